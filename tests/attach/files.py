# SPDX-License-Identifier: MIT
"""Bad files as a source, and files as an output: refused, nothing lost."""
import os
import tempfile

from process import require, require_equal


def snapshot_file(context, target, directory):
    context.tool.attach(target, "--rate", "4KiB")
    target.ask("keep", 3000, 700)
    path = os.path.join(directory, "good.image")
    context.tool.good("snapshot", target.pid, "-o", path)
    with open(path, "rb") as f:
        return path, f.read()


def damaged_snapshots(context):
    """Cut short at every kind of place, bits flipped, zeros: refused."""
    tool = context.tool
    flips = 1000 if context.full else 200
    with tempfile.TemporaryDirectory() as directory, context.target("maker.py") as target:
        path, data = snapshot_file(context, target, directory)
        good = tool.report(path)
        require_equal(good["source"], "image", "source")
        bad = os.path.join(directory, "bad.image")

        words = ("damaged", "truncated", "not-an-image", "future-image")

        def refused(content, what, harmless=False):
            with open(bad, "wb") as f:
                f.write(content)
            answer = tool.run("report", bad, "--limit", "0", "--format", "json")
            if answer.status == 0 and harmless and answer.json == good:
                return	# a bit that means nothing
            require(answer.status in [tool.status_of[w] for w in words],
                    what + " must be refused", answer)
            require(answer.error["error"] in words, what, answer)

        cuts = {0, 1, 15, 16, 100, 4095, 4096, 4097, len(data) // 2, len(data) - 1}
        cuts |= {context.random.randrange(len(data)) for _ in range(20)}
        for cut in sorted(cuts):
            refused(data[:cut], "cut at %d of %d" % (cut, len(data)))
        for _ in range(flips):
            bit = context.random.randrange(8 * len(data))
            if context.random.random() < 0.5:
                bit %= 8 * 4096	# half of them in the directory
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << (bit % 8)
            refused(bytes(changed), "bit %d of byte %d flipped" % (bit % 8, bit // 8),
                    harmless=True)
        for start in (0, len(data) // 2, len(data) - 5000):
            refused(data[:start] + bytes(4096) + data[start + 4096:], "zeroed page")
        tool.still_served(target)


def strange_files(context):
    """/dev/zero, a directory, a FIFO, an empty file, a text, an ELF file."""
    tool = context.tool
    with tempfile.TemporaryDirectory() as directory, context.target("maker.py") as target:
        tool.attach(target)
        fifo = os.path.join(directory, "fifo")
        os.mkfifo(fifo)
        empty = os.path.join(directory, "empty")
        open(empty, "w").close()
        unreadable = os.path.join(directory, "missing", "file")
        for path in ("/dev/zero", "/dev/null", "/dev/urandom", directory, fifo, empty,
                     __file__, tool.payload, unreadable, ""):
            answer = tool.run("report", path if "/" in path or not path else "./" + path,
                              "--format", "json", wait=60)
            require(answer.status in [tool.status_of[w] for w in
                                      ("not-an-image", "read", "truncated", "no-table",
                                       "damaged", "usage")], "report of %r" % path, answer)
            require(answer.seconds < 30, "report of %r took long" % path, answer)
        tool.still_served(target)


def output_files(context):
    """-o: never overwrites without --force, never leaves half a file."""
    tool = context.tool
    with tempfile.TemporaryDirectory() as directory, context.target("maker.py") as target:
        path, data = snapshot_file(context, target, directory)
        tool.refused("exists", "snapshot", target.pid, "-o", path)
        with open(path, "rb") as f:
            require_equal(f.read() == data, True, "the file is untouched")
        tool.good("snapshot", target.pid, "-o", path, "--force")
        tool.refused("write", "snapshot", target.pid, "-o", os.path.join(directory, "no", "x"))
        answer = tool.run("snapshot", target.pid, "-o", "/dev/full")
        require_equal(answer.status, tool.status_of["write"], "a full disk")
        require(b"/dev/full cannot be written: No space left" in answer.stderr,
                "the file and the cause are named", answer)
        answer = tool.run("snapshot", target.pid, "-o", "-")
        require_equal(answer.status, 0, "snapshot to stdout")
        other = os.path.join(directory, "stdout.image")
        with open(other, "wb") as f:
            f.write(answer.stdout)
        require_equal(tool.report(other)["pid"], target.pid, "pid in that image")
        require_equal(sorted(os.listdir(directory)), ["good.image", "stdout.image"], "files")
        tool.still_served(target)


CASES = [damaged_snapshots, strange_files, output_files]
