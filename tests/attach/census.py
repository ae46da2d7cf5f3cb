# SPDX-License-Identifier: MIT
"""The census against a target that knows its own truth: running, stopped,
busy, as a core, under other allocators; and what it refuses."""
import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import cores
import wider
from badinput import bystander
from process import (Failure, mappings, read_proc, require, require_equal, state,
                     wait_until)

TOLERANCE = 0.01


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


def census(context, source, *options, **how):
    return context.tool.good("census", source, "--limit", "0", *options, **how)


def truth_of_it(context):
    """Counts exact, bytes within 1 %, the sum is RSS; RSS does not change."""
    with context.target("census.py", 2) as target:
        truth = target.ask("truth")
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
        near(answer["rss"], before, "rss", 0.02)
        memory = memory_of(answer)
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
        rows = tool.good("census", pid, "--sort", "objects", "--limit", "3")["rows"]
        require_equal(len(rows), 3, "--limit")
        require(rows[0]["objects"] >= rows[1]["objects"] >= rows[2]["objects"], "--sort")
        path = os.path.join(target.directory, "answer")
        require_equal(tool.run("census", pid, "--json", "-o", path).status, 0, "-o")
        tool.refused("exists", "census", pid, "-o", path)


def numpy(context):
    """What an array of numpy owns is found, in pools, heaps and mappings."""
    folder = wider.wheel(context, "numpy")
    env = {"PYTHONPATH": folder, "OPENBLAS_NUM_THREADS": "2"}
    with context.target("census.py", 1, env=env, wait=60) as target:
        row = target.ask("numpy_arrays", 60)
        check_rows(census(context, target.pid), [row] + target.ask("truth"))


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


def untouched(context):
    """Memory that was reserved and not used stays so, and counts as nothing;
    what lies in swap is left there."""
    with context.target("census.py", 1, unchanged=False) as target:
        before = by_name(census(context, target.pid))["builtins", "bytes"]
        target.ask("reserve", 256 << 20)
        swapped = target.ask("page_out")
        at_start = rss(target.pid)
        for options in (), ("--pause", "--max-pause", "5s"):
            answer = census(context, target.pid, *options)
            require(abs(rss(target.pid) - at_start) <= 64 << 10, "RSS changed",
                    rss(target.pid), at_start)
            got = by_name(answer)["builtins", "bytes"]
            require(got["objects"] > before["objects"], "bytes objects", got)
            require(got["bytes"] - before["bytes"] < 1 << 20, "untouched pages count", got)
            check_sum(answer)
            if swapped:
                require(answer["swapped"] > 0 and answer["rss"] == at_start, "swap", answer)
        context.note("%d MiB in swap" % (swapped >> 20) if swapped else "no swap here")


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
            found = by_name(answer)
            lost = [row["objects"] - found[module, name]["objects"] for module, name, row in kept]
            require(min(lost) >= 0, "more than there is", lost)
            require(sum(lost) <= answer["pools"]["changing"] * POOL_BLOCKS,
                    "lost, and not counted as changing", lost, answer["pools"])
        turns = target.ask("turns")
        wait_until(lambda: all(a < b for a, b in zip(turns, target.ask("turns"))), 20,
                   "all threads go on")
        context.note("%d of %d pools were changing" % (changing, pools))


def core(context):
    """gcore's core, and that of a signal, say what the process said."""
    gdb = shutil.which("gcore")
    if not gdb:
        context.skip("no gcore")
    with context.target("census.py", 1) as target:
        truth = target.ask("truth")
        live = census(context, target.pid)
        path = os.path.join(target.directory, "core")
        subprocess.run([gdb, "-o", path, str(target.pid)], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        path = "%s.%d" % (path, target.pid)
        require(os.path.exists(path), "no core by gcore")
        compare_core(context, path, truth, live, untouched=True)


def compare_core(context, path, truth, live, untouched=False):
    """What the process said, and the same table as while it lived.  untouched:
    the core has pages that were never touched, so blocks are larger there."""
    answer = census(context, path)
    require_equal(answer["source"], "core", "source")
    require_equal(answer["python"], context.row.version, "python")
    check_rows(answer, truth)
    check_sum(answer)
    before, after = same_numbers(live), same_numbers(answer)
    if not any(name.startswith("<type at ") for _, name in after):
        require_equal(set(after), set(before), "types")
    for name in set(after) & set(before):
        if untouched:
            require_equal(after[name][0], before[name][0], "objects of %s.%s" % name)
            near(after[name][1], before[name][1], "bytes of %s.%s" % name)
            require(after[name][2] >= before[name][2], "buffers of %s.%s" % name)
        else:
            require_equal(after[name], before[name], "the row of %s.%s" % name)
    # names of built-in types are constants, and the files of a chroot are not
    # where the core says: then they have none, but are counted as well
    require_equal(sorted(row[0] for row in after.values()),
                  sorted(row[0] for row in before.values()), "the numbers of all types")


def same_numbers(answer):
    """Of types: (objects, bytes, bytes with buffers)."""
    return {name: (row["objects"], row["bytes"], row["bytes_with_buffers"])
            for name, row in by_name(answer).items() if name[0] or name[1][:6] == "<type "}


@contextlib.contextmanager
def path_with(directory):
    """PATH with a directory in front, or without any pyattach-sample."""
    old = os.environ["PATH"]
    plain = [d for d in old.split(":") if not os.path.exists(d + "/pyattach-sample")]
    os.environ["PATH"] = ":".join([directory] * bool(directory) + plain)
    try:
        yield
    finally:
        os.environ["PATH"] = old


def in_gdb(context):
    """`pyattach census' of a live process and of its core: as the command says
    where it is installed, and small objects exact where it is not."""
    program = os.path.dirname(os.path.abspath(context.program))
    with cores.Place(context) as place:
        gdb = cores.Gdb(context, place.path)
        with context.target("census.py", 1) as target:
            truth = [row for row in target.ask("truth") if row[1] in SMALL_ONLY]
            path = os.path.join(place.path, "core")
            for commands, arguments in (
                    (("generate-core-file " + gdb.inside + "/core",), ("-p", str(target.pid))),
                    ((), ("-core", gdb.inside + "/core"))):
                with path_with(None):
                    check_gdb(gdb.run(*commands, "pyattach census 0 -json",
                                      arguments=arguments), truth)
                if not gdb.prefix:
                    with path_with(program):
                        answer = check_gdb(gdb.run("pyattach census 0 -json",
                                                   arguments=arguments), truth, by_tool=True)
                    require(answer["rss"] > 0, "rss", answer)
            text = gdb.run("pyattach census 3", "pyattach census 1 2", arguments=arguments)
            require("share  type" in text[1] and text[1].count("Slotted") <= 1
                    and "Usage: pyattach census" in text[2], "the table", text)
            require(os.path.exists(path), "the core")


SMALL_ONLY = ("Slotted", "Weak", "List", "Dict", "Set", "Deque", "Node", "OfMeta", "Managed")


def check_gdb(done, truth, by_tool=False):
    lines = [line for line in done[1].splitlines() if line.startswith('{"schema"')]
    require(lines, "gdb gave no census", done)
    answer = json.loads(lines[-1])
    found = {}
    for row in answer["rows"]:
        if row["module"] in (None, "__main__"):
            found[row["type"]] = row
    for _, name, row in truth:
        require(name in found, "no row of " + name, sorted(found)[:60])
        require_equal(found[name]["objects"], row["objects"], "objects of " + name)
        require_equal(found[name]["bytes_with_buffers"] is not None, by_tool, "who counted")
        if row["bytes"] is not None:
            near(found[name]["bytes"], row["bytes"], "bytes of " + name)
    return answer


def signal_core(context):
    """The same of a process that died by SIGSEGV."""
    pattern = cores.need_plain_cores(context)
    with cores.Place(context) as place:
        with context.target("census.py", 1, unchanged=False) as target:
            target.ask("dump_to", place.inside)
            truth = target.ask("truth")
            live = census(context, target.pid)
            os.kill(target.pid, signal.SIGSEGV)
            path = cores.core_of(target, place.path, pattern)
            compare_core(context, path, truth, live)


def other_allocators(context):
    """PYTHONMALLOC: malloc and debug are counted, and said."""
    for name, word in ("malloc", "No pool"), ("debug", "debug allocator"):
        with context.target("census.py", 1, env={"PYTHONMALLOC": name},
                            unchanged=False) as target:
            answer = census(context, target.pid)
            check_sum(answer)
            require(any(word in remark for remark in answer["remarks"]),
                    "PYTHONMALLOC=%s is not said" % name, answer["remarks"])
            rows = target.ask("truth")
            if name == "debug":
                check_rows(answer, rows, sizes=False)
                continue
            # what the C library's caches keep counts as well
            found = by_name(answer)
            for module, kind, row in rows:
                require(found[module, kind]["objects"] >= row["objects"], "objects of " + kind,
                        found[module, kind], row)


def refusals(context):
    """What is not there, not Python, not a core."""
    tool = context.tool
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            tool.refused("not-python", "census", other.pid)
        finally:
            other.kill()
    tool.refused("no-such-process", "census", other.pid)
    tool.refused("not-an-image", "census", __file__)
    tool.refused("read", "census", "/nonexistent")
    tool.refused("usage", "census")
    tool.refused("usage", "census", "1", "--sort", "age")


# Runs nothing but an endless pause(2), for i386.
SMALL = bytes.fromhex("b81d000000cd80ebf7")
COOKIE = b"\0xdebugpy" + struct.pack("<QQ", 0x030d00f0, 1)


def small_program(path):
    """A program of 32 bits, of one page."""
    base = 0x08048000
    head = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    size = 84 + len(SMALL)
    with open(path, "wb") as f:
        f.write(head + struct.pack("<8I", 1, 0, base, base, size, size, 5, 4096) + SMALL)
    os.chmod(path, 0o755)


def others(context):
    """PyPy, GraalPy, musl, free-threaded builds and 32 bits: by name, while
    they run.  What is mapped tells; so a file of that name is mapped."""
    directory = tempfile.mkdtemp(prefix="pa-test-")
    program = ("import mmap, sys; f = open(sys.argv[1], 'rb'); "
               "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); "
               "print('x', flush=True); sys.stdin.read()")
    try:
        for name, content, word, said in (
                ("libpypy3-c.so", b"x", "other-python", "PyPy"),
                ("pypy3.10", b"x", "other-python", "PyPy"),
                ("libpythonvm.so", b"x", "other-python", "GraalPy"),
                ("ld-musl-x86_64.so.1", b"x", "not-glibc", "musl"),
                ("libpython3.13t.so.1.0", b"x", "free-threaded", "free-threaded"),
                ("libpython3.14.so.1.0", COOKIE, "free-threaded", "free-threaded"),
                ("libpython3.7m.so.1.0", b"x", "old-python", "3.7"),
                ("libpython3.99.so.1.0", b"x", "new-python", "3.99")):
            path = os.path.join(directory, name)
            with open(path, "wb") as f:
                f.write(content + bytes(4096))
            # a program without a libpython of its own
            with bystander(["/usr/bin/python3", "-S", "-c", program, path]) as process:
                process.stdout.read(1)
                for options in (), ("--pause",):
                    error = context.tool.refused(word, "census", process.pid, *options)
                    require(said in error["message"], "the name", error)
        path = os.path.join(directory, "small")
        small_program(path)
        try:
            process = subprocess.Popen([path])
        except OSError as e:
            context.note("no program of 32 bits runs here: %s" % e)
            return
        try:
            context.tool.refused("not-64-bit", "census", process.pid)
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(directory)


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


CASES = [truth_of_it, numpy, stopped, formats, growth, untouched, busy, core, in_gdb,
         signal_core, other_allocators, ended, refusals, others]
