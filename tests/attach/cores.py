# SPDX-License-Identifier: MIT
"""Real cores: by a signal, by abort, by gcore, of a live process in gdb; the
tool, gdb and the decoder without gdb must say the same of all of them."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from process import Failure, is_reading, mappings, require, require_equal, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TREE, "gdb"))
from pyattach import (decode, discover, json_views, memory, report)  # noqa: E402

GDB_SECONDS = 120
TORN = 50


# ---- readers ----

def comparable(value):
    """Rows and totals without what depends on the time of the reading."""
    rows = [{k: v for k, v in row.items() if k not in ("age_ns", "oldest_ns")}
            for row in value["rows"]]
    return {"rows": rows, "totals": value["totals"]}


def text_of(value):
    """Rows and totals as bytes: equal is equal to the last digit."""
    return json.dumps(comparable(value), sort_keys=True)


def same(a, b, what):
    require(text_of(a) == text_of(b), "another answer from " + what,
            text_of(a)[:600], text_of(b)[:600])


def decoded(path):
    """(table, report/1) by the decoder in Python, without gdb."""
    source = memory.ElfCoreMemory(path)
    table = decode.Table(source, discover.Discovery(source).run())
    value = json_views.report_json(report.Report(table, limit=0))
    return table, json.loads(json_views.dumps(value))


class Gdb:
    """The gdb of a row, or ours; with a time limit."""

    def __init__(self, context, directory):
        row = context.row
        self.directory = directory
        self.prefix = []
        self.inside = directory
        if row.root and os.path.exists(row.root + "/usr/bin/gdb"):
            self.prefix = ["chroot", row.root]
            self.inside = directory[len(row.root):]
            shutil.copytree(os.path.join(TREE, "gdb"), directory + "/gdb")
            shutil.copytree(os.path.join(TREE, "common"), directory + "/common")
            self.script = self.inside + "/gdb/pyattach-gdb.py"
        else:
            self.script = os.path.join(TREE, "gdb", "pyattach-gdb.py")
            if not shutil.which("gdb"):
                context.skip("no gdb")

    def run(self, *commands, arguments=()):
        words = self.prefix + ["gdb", "-nx", "-q", "-batch", "-iex",
                               "set debuginfod enabled off"]
        for command in ("source " + self.script,) + commands:
            words += ["-ex", command]
        environment = dict(os.environ, HOME="/tmp", PYTHONDONTWRITEBYTECODE="1")
        process = subprocess.Popen(words + list(arguments), env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=GDB_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Failure("gdb did not end", " ".join(words))
        return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def report(self, *arguments, before=()):
        """report/1 by the commands in gdb."""
        name = "gdb-%d.json" % time.monotonic_ns()
        done = self.run(*before, "pyattach export json %s/%s" % (self.inside, name),
                        arguments=arguments)
        path = os.path.join(self.directory, name)
        require(os.path.exists(path), "gdb gave no report", done)
        with open(path, encoding="utf-8") as f:
            return json.load(f)


# ---- targets ----

def need_plain_cores(context):
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read().strip()
    if "/" in pattern or "|" in pattern or "%" in pattern:
        context.skip("kernel.core_pattern is %s, not a plain name" % pattern)
    return pattern


def core_of(target, directory, pattern):
    """Wait for its end; the path of its core.  The signal that ends it comes
    from here: the target must not allocate for it."""
    target.wait(60)
    names = {pattern, "%s.%d" % (pattern, target.pid)}
    found = [n for n in os.listdir(directory) if n in names]
    require(found, "no core was written", os.listdir(directory))
    return os.path.join(directory, found[0])


class Place:
    """A directory for cores that the target can write to."""

    def __init__(self, context):
        self.path = context.row.private_directory()
        os.chmod(self.path, 0o777)
        self.inside = self.path[len(context.row.root):]

    def __enter__(self):
        return self

    def __exit__(self, *_why):
        shutil.rmtree(self.path, ignore_errors=True)


class Scene:
    """A target that keeps known amounts, in a directory of its own, and
    what a case does with it; `with` it."""

    def __init__(self, context, coredump_filter=None, prefix=()):
        self.context, self.tool = context, context.tool
        self.pattern = need_plain_cores(context)
        self.place = Place(context)
        self.manager = context.target("dying.py", unchanged=False, prefix=prefix)
        self.coredump_filter = coredump_filter

    def __enter__(self):
        self.place.__enter__()
        self.target = self.manager.__enter__()
        got = self.target.ask("prepare", self.place.inside, self.coredump_filter)
        require(self.coredump_filter in (None, got), "coredump_filter", got)
        self.gdb = Gdb(self.context, self.place.path)
        return self

    def __exit__(self, *why):
        try:
            return self.manager.__exit__(*why)
        finally:
            self.place.__exit__(*why)

    def attach(self, count, size=3000, rate="16KiB"):
        """Attach, have something kept; the live report of it."""
        self.tool.attach(self.target, "--rate", rate)
        self.target.ask("keep", count, size)
        return self.report()

    def report(self):
        """The live report, once the target allocates no more: it has given
        its answer before it waits for the next question."""
        wait_until(lambda: is_reading(self.target.pid), 30, "the target to wait for a question")
        return self.tool.report(self.target)

    def die(self, number=signal.SIGSEGV):
        """End it by a signal; the path of its core."""
        os.kill(self.target.pid, number)
        return core_of(self.target, self.place.path, self.pattern)

    def inside(self, path):
        """A path as the row's gdb sees it."""
        return path[len(self.context.row.root):] if self.gdb.prefix else path

    def piped(self, path):
        """The tool's answer where the core comes through a pipe."""
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as feeder:
            return self.tool.good("core", "-", "--limit", "0", stdin=feeder.stdout)

    def in_all(self, path, truth):
        """Every reader says the same of a core."""
        tool, gdb, inside = self.tool, self.gdb, self.inside(path)
        same(truth, tool.good("core", path, "--limit", "0"), "the tool on " + path)
        same(truth, self.piped(path), "the tool on a pipe from " + path)
        same(truth, tool.report(path), "report on " + path)
        same(truth, decoded(path)[1], "the decoder on " + path)
        same(truth, gdb.report(before=["core-file " + inside]), "gdb on " + path)
        same(truth, gdb.report(before=["file " + self.target.row.python,
                                       "core-file " + inside]),
             "gdb with the program on " + path)
        image = os.path.join(self.place.path, "x.image")
        tool.good("core", path, "-o", image, "--force")
        same(truth, tool.report(image), "the image kept of " + path)

    def gcore(self, truth):
        """gdb's own core of the live process."""
        path = os.path.join(self.place.path, "gcore.%d" % self.target.pid)
        done = self.gdb.run("generate-core-file " + self.inside(path),
                            arguments=("-p", str(self.target.pid)))
        require(os.path.exists(path), "no core by gcore", done)
        self.in_all(path, truth)


# ---- cases ----

def same_status(context, gdb, target):
    """`info pyattach -json' of the live process is its status/1."""
    _status, out, err = gdb.run("info pyattach -json", arguments=("-p", str(target.pid)))
    lines = [line for line in out.splitlines() if line.startswith("{")]
    require(lines, "gdb gave no status", out, err)
    got, wanted = json.loads(lines[-1]), context.tool.status(target)
    require_equal(sorted(got), sorted(wanted), "keys of status/1")
    for key in ("schema", "pid", "python", "payload_version", "rate", "effective_rate",
                "hooks", "stacks", "dropped", "samples", "memory", "frames", "follow_fork",
                "attached_at_ns"):
        require_equal(got[key], wanted[key], key + " in status/1")
    for what in ("bytes", "calls"):
        for end, value in got["estimated"][what].items():
            # STATUS is text with three decimals
            require(abs(value - wanted["estimated"][what][end]) <= 1e-6 * value,
                    "estimated in status/1", got["estimated"], wanted["estimated"])


def same_everywhere(context):
    """Live report, snapshot, gcore, gdb attached, SIGSEGV; then SIGABRT."""
    for number in (signal.SIGSEGV, signal.SIGABRT):
        with Scene(context) as scene:
            target = scene.target
            truth = scene.attach(4000)
            require(len(truth["rows"]) >= 2, "rows", truth)
            if number == signal.SIGSEGV:
                same(truth, scene.gdb.report("-p", str(target.pid)), "gdb attached")
                same_status(context, scene.gdb, target)
                scene.gcore(truth)
                same(truth, context.tool.report(target), "the process afterwards")
            scene.in_all(scene.die(number), truth)


def filters(context):
    """What coredump_filter leaves out is said, with what to do."""
    for bits in (0, 1, 2, 0x10, 0x33, 0x3f):
        what = "filter %#x" % bits
        with Scene(context, bits) as scene:
            truth = scene.attach(1000)
            path = scene.die()
            if bits & 1:
                same(truth, context.tool.good("core", path, "--limit", "0"), what)
                same(truth, decoded(path)[1], what)
                continue
            error = context.tool.refused("no-table", "core", path)
            require("coredump_filter" in error["hint"] and "not dumped" in error["message"],
                    what, error)
            try:
                decoded(path)
                raise Failure("a table with " + what)
            except discover.NoTable as none:
                require_equal(none.why, "not-dumped", what)


def without_a_table(context):
    """Never attached, and detached: told apart, by the tool and in gdb."""
    for attached in (False, True):
        with Scene(context) as scene:
            if attached:
                scene.tool.attach(scene.target)
                scene.tool.detach(scene.target)
            path = scene.die()
            error = scene.tool.refused("no-table", "core", path)
            said = "detached at" if attached else "nothing was attached to process %d" \
                % scene.target.pid
            require(said in error["message"], "the reason", error)
            answer = scene.gdb.run("core-file " + scene.inside(path), "info pyattach")
            require(said in answer[1] + answer[2], "the reason in gdb", answer)


def again(context):
    """Detach and attach again: the core has the second table, and a third
    attach, while it is attached, makes no other one."""
    with Scene(context) as scene:
        scene.attach(2000)
        scene.tool.detach(scene.target)
        scene.attach(1000, 5000, rate="64KiB")
        scene.tool.attach(scene.target)
        truth = scene.report()
        require_equal(truth["rate"], 65536, "rate after attaching twice")
        path = scene.die()
        require_equal(scene.tool.good("core", path)["rate"], 65536, "rate of the second attach")
        scene.in_all(path, truth)


def forked_child(context):
    """A child that dies has a copy of its parent's table: said so."""
    with Scene(context) as scene:
        scene.attach(2000)
        child = scene.target.ask("child_dies", int(signal.SIGSEGV))
        path = os.path.join(scene.place.path, scene.pattern)
        if not os.path.exists(path):
            path += ".%d" % child
        answer = scene.tool.run("core", path)
        for text in ((answer.stdout + answer.stderr).decode("utf-8", "replace"),
                     "".join(scene.gdb.run("core-file " + scene.inside(path),
                                           "info pyattach")[1:])):
            require("copied by fork" in text and str(scene.target.pid) in text,
                    "a copy by fork is said", text, answer)
        scene.tool.still_served(scene.target)


def torn(context):
    """Crashes amid work: damage is at most a record a thread, and counted."""
    rounds = TORN if context.full or context.row.heavy else 10
    flying = 0
    for k in range(rounds):
        with Scene(context) as scene:
            scene.tool.attach(scene.target, "--rate", "1" if k % 3 else "4KiB")
            threads = scene.target.ask("churn_on", 2)
            # no moment is better than another
            time.sleep(context.random.random() / 20 + 0.01)
            path = scene.die()
            got = scene.tool.good("core", path, "--limit", "0")
            damage = got["damage"]
            flying += damage["torn"]
            require(damage["torn"] <= threads + 1 and not damage["damaged"] and
                    not damage["lost"] and not damage["repaired"],
                    "damage of a crash", damage)
            same(got, decoded(path)[1], "the decoder")
    context.note("%d cores, %d records in flight" % (rounds, flying))


NO_EXEC = """for d in /tmp /var/tmp /dev/shm /run; do
mount --bind $d $d && mount -o remount,bind,noexec $d || exit 9; done; exec "$@" """


def payload_in_a_memfd(context):
    """No directory to load from: the payload's file is a memfd.  gdb opens
    the names of what is loaded; it must not hang."""
    if context.row.root or os.getuid() != 0:
        context.skip("needs root, and a mount namespace of our own root")
    with Scene(context, prefix=("unshare", "-m", "sh", "-c", NO_EXEC, "sh")) as scene:
        truth = scene.attach(2000)
        maps = mappings(scene.target.pid)
        require(any("memfd" in line for line in maps), "a memfd is mapped", *maps[-30:])
        same(truth, scene.gdb.report("-p", str(scene.target.pid)), "gdb attached")
        scene.gcore(truth)
        scene.in_all(scene.die(), truth)


def without_the_payload(context):
    """The payload's installed file is gone or another one when the core is
    read: no reader opens it."""
    with Scene(context) as scene:
        copy = os.path.join(scene.place.path, "payload.so")
        shutil.copy(scene.tool.payload, copy)
        scene.tool.good("attach", scene.target.pid, "--payload", copy, "--rate", "16KiB")
        scene.target.attached = True
        scene.target.ask("keep", 2000, 3000)
        truth = scene.report()
        with open(copy, "r+b") as f:
            f.write(b"another file" * 1000)
        path = scene.die()
        scene.in_all(path, truth)
        os.unlink(copy)
        scene.in_all(path, truth)


def many_mappings(context):
    """40 000 mappings: found at once, in gdb too."""
    with Scene(context) as scene:
        scene.attach(2000)
        count = scene.target.ask("map_many", 40000)
        require(count > 39000, "mappings", count)
        truth = scene.report()
        path = scene.die()
        # of a processor: the machine may be busy
        start = sum(os.times()[2:4])
        same(truth, scene.tool.good("core", path, "--limit", "0"), "the tool")
        seconds = sum(os.times()[2:4]) - start
        require(seconds < 5, "the tool took %.1f s" % seconds)
        same(truth, decoded(path)[1], "the decoder")
        same(truth, scene.gdb.report(before=["core-file " + scene.inside(path)]), "gdb")
        context.note("%d mappings, the tool %.3f s" % (count, seconds))


def edges_of(path):
    """[(address, offset, end in the file)] of what was dumped, and every
    length to cut at: each MiB, each segment's edge, a byte either way."""
    source = memory.ElfCoreMemory(path)
    parts = [(address, offset, offset + present)
             for address, _size, offset, present in source._loads if present]
    size = source.size
    source.close()
    marks = set(range(0, size, 1 << 20)) | {64}
    for _address, offset, end in parts:
        marks |= {offset, end}
    return parts, sorted({m + d for m in marks for d in (-1, 0, 1)
                          if 0 <= m + d <= size}, reverse=True)


def read_cut(path):
    """The decoder's JSON of a cut core, or None; never another exception."""
    try:
        return decoded(path)[1]
    except (discover.NoTable, memory.NotAMemory):
        return None


def cut(context):
    """A core that ran into a limit: what is there is read, at any length,
    and the table lies before all that is mapped at high addresses."""
    tool = context.tool
    with Scene(context) as scene:
        truth = scene.attach(4000, rate="4KiB")
        path = scene.die()
        parts, lengths = edges_of(path)
        first, last = 0x2000000000, 0x3000000000        # the low slots
        table = [end for address, _offset, end in parts if first <= address < last]
        higher = [offset for address, offset, _end in parts if address >= last]
        require(table and max(table) <= min(higher), "the table lies early in the core", parts)
        os.truncate(path, max(table))
        same(truth, tool.good("core", path, "--limit", "0"), "the core cut behind the table")
        samples = truth["totals"]["samples"]
        for length in lengths:
            if length > max(table):
                continue
            os.truncate(path, length)
            answer = tool.run("core", path, "--limit", "0", "--json")
            require(answer.status in (0, 92, 97, 91) or answer.status == 90 and length < 64,
                    "status", length, answer)
            mine = read_cut(path)
            require((mine is None) == (answer.status != 0), "both refuse", length, answer, mine)
            if mine is None:
                continue
            same(answer.json, mine, "the decoder at %d" % length)
            require_equal(answer.json["damage"], mine["damage"], "damage at %d" % length)
            got = mine["totals"]["samples"]
            require(got <= samples, "more of less", length, got, samples)
            samples = got
        context.note("whole in the first %d %% of the core, %d cuts" % (
            max(table) * 100 // lengths[0], len(lengths)))


CASES = [same_everywhere, filters, without_a_table, again, forked_child, torn,
         payload_in_a_memfd, without_the_payload, many_mappings, cut]
