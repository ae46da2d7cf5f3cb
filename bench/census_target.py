# SPDX-License-Identifier: MIT
"""A process of a given size, for bench/census: records in lists and dicts,
text and large blocks, with a thread whose speed is the throughput.

    census_target.py MIB [MODULE]

Reads commands, answers each with one line of JSON: turns and the longest gap
between two since the last command, or the measure of a module (guppy, objgraph,
gc) in this process itself.
"""
import gc
import json
import os
import sys
import threading
import time


class Record:
    def __init__(self, i):
        self.number = i + 1000
        self.name = "record %d" % i
        self.tags = [i, self.name]


class Point:
    __slots__ = ("x", "y")

    def __init__(self, i):
        self.x, self.y = float(i), i + 100000


TURNS = [0]
GAP = [0.0]     # the longest time between two turns
KEPT = []


def rss():
    with open("/proc/self/smaps_rollup") as f:
        for line in f:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    return 0


def work():
    """Some allocation, some computation; counts its turns."""
    last = time.monotonic()
    while True:
        table = {i: str(i) for i in range(200)}
        sum(len(v) for v in table.values())
        TURNS[0] += 1
        now = time.monotonic()
        GAP[0] = max(GAP[0], now - last)
        last = now


def longest_gap():
    """Since it was asked for the last time."""
    gap, GAP[0] = GAP[0], 0.0
    return gap


def fill(mib):
    gc.disable()
    i = 0
    while rss() < mib << 20:
        KEPT.append([Record(i + k) for k in range(5000)])
        KEPT.append({i + k: Point(i + k) for k in range(5000)})
        KEPT.append("x" * (1 << 20))
        i += 5000
    gc.enable()


def by_guppy():
    from guppy import hpy
    return len(str(hpy().heap()))


def by_objgraph():
    import objgraph
    return len(objgraph.most_common_types(limit=20, shortnames=False))


def by_gc():
    counts = {}
    for o in gc.get_objects():
        counts[type(o)] = counts.get(type(o), 0) + 1
    return len(counts)


def measure(name):
    """Time, the longest time without a turn of the thread, added memory."""
    function = {"guppy": by_guppy, "objgraph": by_objgraph, "gc": by_gc}[name]
    longest_gap()
    before, turns, begin = rss(), TURNS[0], time.monotonic()
    function()
    seconds = time.monotonic() - begin
    turns, added = TURNS[0] - turns, rss() - before
    time.sleep(0.05)    # a turn ends the gap
    return {"seconds": seconds, "turns": turns, "added": added, "gap": longest_gap()}


def main():
    fill(int(sys.argv[1]))
    threading.Thread(target=work, daemon=True).start()
    print(json.dumps({"pid": os.getpid(), "rss": rss(),
                      "objects": len(gc.get_objects())}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        if words[0] == "measure":
            try:
                answer = measure(words[1])
            except ImportError as e:
                answer = {"missing": str(e)}
        else:
            answer = {"turns": TURNS[0], "at": time.monotonic(), "gap": longest_gap()}
        print(json.dumps(answer), flush=True)


main()
