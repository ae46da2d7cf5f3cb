# SPDX-License-Identifier: MIT
"""The census against a target that knows its own truth: running, stopped,
busy; its formats, its growth."""
import os
import re
import signal
import subprocess
import sys
import time

from badinput import bystander
from process import (Failure, descriptors, mappings, read_proc, require, require_equal, state,
                     wait_until)

TOLERANCE = 0.01


def at_rest(target):
    """All its threads wait, the first one for a request: it answers before it
    does so, and what it does in between would show."""
    def rests():
        for tid in os.listdir("/proc/%d/task" % target.pid):
            try:
                words = read_proc(target.pid, "task/%s/syscall" % tid).split()
            except OSError:
                return False    # it ends
            # its number, six arguments, two addresses
            if len(words) != 9 or int(tid) == target.pid and words[:2] != [b"0", b"0x0"]:
                return False
        return True
    wait_until(rests, 30, "the target to wait for a request")


def rss(pid):
    """All resident bytes, of files too, counted page by page."""
    for line in read_proc(pid, "smaps_rollup").decode().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise Failure("smaps_rollup has no Rss")


def by_name(answer):
    return {(row["module"], row["type"]): row for row in answer["rows"]}


def near(got, expected, what, tolerance=TOLERANCE):
    require(abs(got - expected) <= tolerance * expected + 64,
            "%s: expected %d, got %d" % (what, expected, got))


def check_rows(answer, truth, sizes=True):
    found = by_name(answer)
    for module, name, row in truth:
        what = "%s.%s" % (module, name)
        got = found.get((module, name))
        require(got, "no row of " + what, sorted(str(k) for k in found)[:80])
        require_equal(got["objects"], row["objects"], "objects of " + what)
        if sizes and row["bytes"] is not None:
            near(got["bytes"], row["bytes"], "bytes of " + what)
        if sizes and row["full"] is not None:
            near(got["bytes_with_buffers"], row["full"], "bytes with buffers of " + what)


def check_sum(answer):
    require_equal(sum(part["bytes"] for part in answer["memory"]), answer["rss"],
                  "the sum of where the memory goes")


def check_collectable(answer, truth):
    """Built-in types: a few come and go with each request."""
    found = by_name(answer)
    for name, count in truth.items():
        got = found["builtins", name]["objects"]
        # static types lie in files and are no blocks
        if name == "type":
            require(0 < got <= count + 20, "classes", got, count)
        else:
            require(abs(got - count) <= 20 + count / 100, "objects of " + name, got, count)


def memory_of(answer):
    return {part["kind"]: part["bytes"] for part in answer["memory"]}


def check_shares(answer):
    """Of all rows; and pools by the size of their blocks add up to them all."""
    whole = sum(row["bytes_with_buffers"] for row in answer["rows"])
    for row in answer["rows"]:
        require(abs(row["share"] - row["bytes_with_buffers"] / whole) < 1e-6, "a share", row)
    sizes, memory = answer["size_classes"], memory_of(answer)
    blocks = [size["block"] for size in sizes]
    require(blocks == sorted(set(blocks)) and not [b for b in blocks if b % 16 or b > 512],
            "sizes of blocks", blocks)
    require_equal(sum(size["free_bytes"] for size in sizes), memory["small free"], "free bytes")
    require_equal(sum(size["live"] * size["block"] for size in sizes), memory["small live"],
                  "bytes in use")


def census(context, source, *options, **how):
    return context.tool.good("census", source, "--limit", "0", *options, **how)


def truth_of_it(context):
    """Counts exact, bytes within 1 %, the sum is RSS; RSS does not change."""
    with context.target("census.py", 2) as target:
        truth = target.ask("truth")
        at_rest(target)
        before, maps = rss(target.pid), len(mappings(target.pid))
        answer = census(context, target.pid)
        require_equal(rss(target.pid), before, "RSS after the census")
        require_equal(len(mappings(target.pid)), maps, "mappings after the census")
        require_equal(answer["schema"], "pyattach-sample/census/1", "schema")
        require_equal(answer["pid"], target.pid, "pid")
        require_equal(answer["python"].split("+")[0], context.row.version, "python")
        require_equal(answer["source"], "live", "source")
        require_equal(answer["pools"]["changing"], 0, "changing pools of an idle target")
        require_equal(answer["damaged"], 0, "damage")
        check_rows(answer, truth)
        check_collectable(answer, target.ask("collectable"))
        check_sum(answer)
        check_shares(answer)
        near(answer["rss"], before, "rss", 0.001)
        memory = memory_of(answer)
        require(memory["stacks"] and memory["files"], "stacks and files", memory)
        require(memory["other anonymous"] < answer["rss"] / 20, "too much is not told",
                memory)
        large = 22 << 20
        found = by_name(answer)
        require(sum(found["builtins", n]["bytes_with_buffers"]
                    for n in ("str", "bytes", "bytearray")) >= large, "large blocks")
        context.note("%.0f MiB in %.2f s" % (before / 2**20, answer["took_ns"] / 1e9))


def stopped(context):
    """A stopped process is read as well as a running one."""
    with context.target("census.py", 1) as target:
        truth = target.ask("truth")
        os.kill(target.pid, signal.SIGSTOP)
        wait_until(lambda: state(target.pid) == "T", 10, "the target stops")
        try:
            check_rows(census(context, target.pid), truth)
        finally:
            os.kill(target.pid, signal.SIGCONT)


TRACER = ("import ctypes, sys; p = ctypes.CDLL(None).ptrace; "
          "p.argtypes = [ctypes.c_long] * 4; "
          "print(p(0x4206, int(sys.argv[1]), 0, 0)); sys.stdout.flush(); sys.stdin.read()")


def traced(context):
    """Nothing is stopped, so a process may be in somebody else's hands; for a
    pause it must not, and by whom it is traced is told."""
    with context.target("census.py", 1) as target:
        truth = target.ask("truth")
        with bystander([sys.executable, "-c", TRACER, str(target.pid)]) as process:
            require_equal(process.stdout.readline(), b"0\n", "the tracer")
            check_rows(census(context, target.pid), truth)
            error = context.tool.refused("traced", "census", target.pid, "--pause",
                                         "--max-pause", "5s")
            require("is traced by process %d," % process.pid in error["message"], "by whom",
                    error)


def formats(context):
    """Table, CSV, filters, order, -o."""
    tool = context.tool
    with context.target("census.py", 1) as target:
        pid = target.pid
        table = tool.run("census", pid)
        words = b" ".join(table.stdout.split())
        require(table.status == 0 and b"Where the memory goes" in words
                and b"nothing was stopped" in words, "table", table)
        require(b"ragmentation" in words, "the sentence", table)
        lines = tool.run("census", pid, "--format", "csv", "--limit", "0").stdout.split(b"\r\n")
        require_equal(lines[0], b"module,type,objects,bytes,bytes_with_buffers,share", "CSV")
        require(any(line.startswith(b'"__main__","Slotted",') for line in lines), "CSV rows")
        names = set(by_name(census(context, pid, "--include", "__main__.S*")))
        require_equal(names, {("__main__", "Slotted"), ("__main__", "Set")}, "--include")
        names = set(by_name(census(context, pid, "--include", "__main__.S*",
                                   "--exclude", "Set")))
        require_equal(names, {("__main__", "Slotted")}, "--exclude")
        table = tool.run("census", pid, "--include", "no.such.*")
        require(table.status == 0 and b"No type is left" in table.stdout, "none", table)
        for how, key in (("bytes", "bytes_with_buffers"), ("own", "bytes"), ("objects", "objects")):
            rows = tool.good("census", pid, "--sort", how, "--limit", "5")["rows"]
            values = [row[key] for row in rows]
            require_equal((len(rows), values), (5, sorted(values, reverse=True)),
                          "--limit, --sort " + how)
        rows = census(context, pid, "--sort", "name")["rows"]
        names = [(row["module"] or "", row["type"]) for row in rows]
        require_equal(names, sorted(names), "--sort name")
        path = os.path.join(target.directory, "answer")
        require_equal(tool.run("census", pid, "--json", "-o", path).status, 0, "-o")
        tool.refused("exists", "census", pid, "-o", path)


def growth(context):
    """diff: of two that were kept, and of one that is taken now."""
    tool = context.tool
    with context.target("census.py", 1, unchanged=False) as target:
        old, new = (os.path.join(target.directory, name) for name in ("old", "new"))
        require_equal(tool.run("census", target.pid, "-o", old).status, 0, "census -o")
        target.ask("grow", 5000)
        require_equal(tool.run("census", target.pid, "-o", new).status, 0, "census -o")
        for second in new, target.pid:
            answer = tool.good("diff", old, second, "--limit", "0")
            require_equal(answer["schema"], "pyattach-sample/diff/1", "schema")
            require_equal(answer["matched"], True, "matched")
            found = by_name(answer)
            for name, objects, is_new in (("Slotted", 5000, False), ("Late", 5000, True),
                                          ("Plain", -100, False)):
                row = found["__main__", name]
                require_equal(row["objects"], dict.fromkeys(("estimate", "low", "high"), objects),
                              "growth of " + name)
                require_equal(row["is_new"], is_new, name + " is new")
            near(found["__main__", "Late"]["bytes"]["low"], 5000 * 48, "bytes of Late")
            require("Objects are held" in answer["remarks"][0], "the sentence", answer["remarks"])
        table = tool.run("diff", old, new, "--include", "__main__.*")
        require(table.status == 0 and b"__main__.Late (new)" in table.stdout, "table", table)
        back = by_name(tool.good("diff", new, old, "--limit", "0"))
        require_equal(back["__main__", "Late"]["new"], None, "what is gone")
        cut = os.path.join(target.directory, "cut")
        require_equal(tool.run("census", target.pid, "-o", cut, "--limit", "3").status, 0, "-o")
        answer = tool.good("diff", cut, new, "--limit", "0")
        require(not any(row["is_new"] for row in answer["rows"])
                and "were not kept" in answer["remarks"][-1], "what was cut is not new", answer)


def progress(context):
    """Over a second it says on a terminal how far it is, then wipes that out;
    not where nobody looks.  The clock runs while the tool is stopped."""
    with context.target("census.py", 2) as target:
        seen = None
        for _ in range(40):
            seen = on_terminal(context, target.pid)
            if seen:
                break
        require(seen, "the tool ended before it could be stopped, each time")
        shown = seen.split(b"\r")
        require(re.fullmatch(rb"pyattach-sample: read \d+ %", shown[1]), "progress", seen)
        require(shown[-1] == b"" and not shown[-2].strip(), "it is wiped out", seen)
        require_equal(on_terminal(context, target.pid, "-q") or b"", b"", "with -q")


def on_terminal(context, pid, *options):
    """What a census writes to its terminal that was stopped for 1.1 s early
    on: None if it had ended by then."""
    ours, theirs = os.openpty()
    tool = subprocess.Popen([context.program, "census", str(pid), *options],
                            stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        wait_until(lambda: tool.poll() is not None or looks_at(tool.pid, pid), 20, "it begins")
        # nothing where it has ended by now
        tool.send_signal(signal.SIGSTOP)
        # until the clock is past what it waits for
        end = time.monotonic() + 1.1
        wait_until(lambda: tool.poll() is not None or time.monotonic() > end, 60, "a second")
        tool.send_signal(signal.SIGCONT)
        require_equal(tool.wait(60), 0, "status")
        return read_all(ours)
    finally:
        tool.kill()
        tool.wait()
        os.close(ours)


def looks_at(tool, pid, end=""):
    try:
        return any(path.startswith("/proc/%d" % pid) and path.endswith(end)
                   for path in descriptors(tool).values())
    except OSError:
        return False


def read_all(fd):
    """Of a terminal whose other side is closed; None for nothing."""
    text = b""
    try:
        while True:
            text += os.read(fd, 4096)
    except OSError:
        return text or None


POOL_BLOCKS = 16384 // 32       # more do not fit one of the program's objects


def busy(context):
    """16 threads that allocate: alive and right, whatever is read; what is
    missing was in pools that are counted as changing."""
    changing = pools = 0
    with context.target("census.py", 1) as target:
        kept = [row for row in target.ask("truth") if row[1] != "Slotted"]
        target.ask("busy", 16)
        for _ in range(100 if context.full or context.row.heavy else 8):
            answer = census(context, target.pid)
            changing += answer["pools"]["changing"]
            pools += answer["pools"]["read"]
            check_sum(answer)
            told = [r for r in answer["remarks"] if "were changing while they were read" in r]
            require_equal(len(told), bool(answer["pools"]["changing"]), "sentences of changing")
            found = by_name(answer)
            lost = [row["objects"] - found[module, name]["objects"] for module, name, row in kept]
            require(min(lost) >= 0, "more than there is", lost)
            require(sum(lost) <= answer["pools"]["changing"] * POOL_BLOCKS,
                    "lost, and not counted as changing", lost, answer["pools"])
        turns = target.ask("turns")
        wait_until(lambda: all(a < b for a, b in zip(turns, target.ask("turns"))), 20,
                   "all threads go on")
        context.note("%d of %d pools were changing" % (changing, pools))


def ended(context):
    """A process that is gone, and one that ends while it is looked at."""
    for i in range(12):
        with context.target("census.py", 1, unchanged=False) as target:
            reader = subprocess.Popen([context.program, "census", str(target.pid)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # later each time: before, in and behind the reading
            end = time.monotonic() + i * 0.003
            while time.monotonic() < end:
                pass
            target.kill()
            try:
                _, errors = reader.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                reader.kill()
                raise Failure("the census did not end")
            require(reader.returncode in (0, 10, 11, 18, 29), "status %d" % reader.returncode,
                    errors)


def another_program(context):
    """One that begins anew while it is read is not told as if it were one."""
    caught = None
    with context.target("census.py", 1, unchanged=False) as target:
        for _ in range(40):
            tool = subprocess.Popen([context.program, "census", str(target.pid), "--json"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                wait_until(lambda: tool.poll() is not None
                           or looks_at(tool.pid, target.pid, "/pagemap"), 20, "it begins")
                # nothing where it has ended by now
                tool.send_signal(signal.SIGSTOP)
                target.send("again")
                message = target.read(60)
                require("ready" in message, "the target did not begin again", message)
                tool.send_signal(signal.SIGCONT)
                _, errors = tool.communicate(timeout=60)
            finally:
                tool.kill()
            # it may have been through by then
            require(tool.returncode in (0, 11), "status %d" % tool.returncode, errors)
            if tool.returncode:
                caught = errors
                break
        require(caught and b"another program" in caught, "nobody saw that it began again", caught)


# Each waits for its seconds to pass.
HEAVY = ["progress"]
CASES = [truth_of_it, stopped, traced, formats, growth, progress, busy, ended, another_program]
