# SPDX-License-Identifier: MIT
"""Where the memory goes: every kind of memory has its row, the rows add up to
RSS, and reading makes nothing resident; other allocators, NumPy."""
import os

import wider
from census import at_rest, by_name, census, check_rows, check_sum, memory_of, near, rss
from process import read_proc, require, require_equal


def maps_of(pid):
    """(start, end, name, resident bytes) of each mapping."""
    found = []
    for line in read_proc(pid, "smaps").decode("utf-8", "replace").splitlines():
        words = line.split(None, 5)
        if not words[0].endswith(":"):
            start, end = (int(word, 16) for word in words[0].split("-"))
            found.append([start, end, words[5] if len(words) > 5 else "", 0])
        elif words[0] == "Rss:":
            found[-1][3] = int(words[1]) << 10
    return found


def stacks_of(pid):
    """Resident bytes of the stacks of threads, all of which wait."""
    pointers = [int(read_proc(pid, "task/%s/syscall" % tid).split()[-2], 16)
                for tid in os.listdir("/proc/%d/task" % pid)]
    return sum(resident for start, end, name, resident in maps_of(pid)
               if name == "[stack]" or any(start <= p < end for p in pointers))


def check_types(answer, types):
    found = by_name(answer)
    for name, objects, size in types:
        row = found["__main__", name]
        require_equal(row["objects"], objects, "objects of " + name)
        if size is not None:
            near(row["bytes_with_buffers"], size, "bytes of " + name)


def every_kind(context):
    """Shared memory, memfd, files, stacks, arenas of threads, blocks whose
    mappings are cut: each in its row, and the rows add up to RSS."""
    with context.target("memory.py", unchanged=False) as target:
        at_rest(target)
        before = memory_of(census(context, target.pid))
        truth = target.ask("make")
        at_rest(target)
        answer = census(context, target.pid)
        after = memory_of(answer)
        check_sum(answer)
        near(answer["rss"], sum(m[3] for m in maps_of(target.pid)), "rss", 0.001)
        for kind, size in truth["parts"].items():
            require(abs(after[kind] - before[kind] - size) <= 512 << 10, kind,
                    before[kind], after[kind], size)
        near(after["stacks"], stacks_of(target.pid), "stacks", 0.02)
        require(after["stacks"] > before["stacks"] > 0, "stacks", before, after)
        check_types(answer, truth["types"])
        near(after["large live"] - before["large live"], truth["large"], "large blocks", 0.02)
        require_equal((after["not read"], answer["damaged"]), (0, 0), "not read, damaged")
        context.note(", ".join("%s %.1f" % (kind, size / 2**20)
                               for kind, size in after.items() if size > 1 << 20))


VERDICTS = (
    ("held", "Not fragmentation: ", "Objects are held"),
    ("fragmented", "Fragmentation: ", "What grew is free space"),
    ("large fragmented", "Fragmentation: ", "What grew is free space"),
    ("in part", "Fragmentation in part: ", "Objects are held"),
    ("C", "Neither fragmentation nor Python's objects: ", "no object points at it"),
    ("anonymous", "of it anonymous memory", "not in Python's objects"),
    ("shared", "of it programs, libraries, mapped files", "not in Python's objects"),
)


def check_arenas(answer, what):
    """Nearly empty ones are counted and told; which size left them so, too."""
    arenas, told = answer["arenas"], " ".join(answer["remarks"])
    if what != "fragmented":
        require(arenas["sparse_bytes"] < answer["rss"] / 8, "nearly empty arenas: " + what, arenas)
        return
    require(arenas["sparse_bytes"] > 48 << 20, "nearly empty arenas", arenas)
    require("%d of %d arenas are less than a quarter in use" % (
        arenas["sparse"], arenas["read"]) in told, "the sentence", told)
    free = {size["block"]: size["free_bytes"] for size in answer["size_classes"]}
    require(max(free.values()) > 0.9 * sum(free.values())
            and max(free, key=free.get) in (48, 64), "free space by size", free)


def verdicts(context):
    """Leak or fragmentation?  The sentence for a program that is all of one
    sort, and that for how it became so."""
    tool = context.tool
    for what, now, growth in VERDICTS:
        with context.target("memory.py", unchanged=False) as target:
            old = os.path.join(target.directory, "old")
            require_equal(tool.run("census", target.pid, "-o", old).status, 0, "census -o")
            target.ask("become", what)
            at_rest(target)
            answer = census(context, target.pid)
            said = answer["remarks"][0]
            require(now in said, "the sentence for " + what, said)
            check_arenas(answer, what)
            said = tool.good("diff", old, target.pid)["remarks"][0]
            require(growth in said, "the growth of " + what, said)


def numpy(context):
    """What an array of numpy owns is found, in pools, heaps and mappings."""
    folder = wider.wheel(context, "numpy")
    env = {"PYTHONPATH": folder, "OPENBLAS_NUM_THREADS": "2"}
    with context.target("census.py", 1, env=env, wait=60) as target:
        row = target.ask("numpy_arrays", 12)
        check_rows(census(context, target.pid), [row] + target.ask("truth"))


def untouched(context):
    """Memory that was reserved and not used stays so, and counts as nothing;
    what lies in swap is left there."""
    with context.target("census.py", 1, unchanged=False) as target:
        before = by_name(census(context, target.pid))["builtins", "bytes"]
        target.ask("reserve", 256 << 20)
        swapped = target.ask("page_out")
        at_rest(target)
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
                require(answer["swapped"] >= swapped, "swap", answer["swapped"], swapped)
                near(answer["rss"], at_start, "rss beside swap", 0.002)
        context.note("%d MiB in swap" % (swapped >> 20) if swapped else "no swap here")


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


# Each sort is a program of its own, of 64 MiB.
HEAVY = ["verdicts"]
CASES = [every_kind, verdicts, numpy, untouched, other_allocators]
