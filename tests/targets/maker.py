# SPDX-License-Identifier: MIT
"""Makes known amounts on demand: the workhorse of most groups.

bytes(n) asks the allocator for n + 33 bytes, in every version: the numbers
of this target are exact.
"""
import sys
import threading

import talk

KEPT = []
HEADER = 33


def keep(count, size):
    """Keep `count` blocks of `size` bytes; the line that does it."""
    size -= HEADER
    for _ in range(count):
        KEPT.append(bytes(size))
    return keep.__code__.co_firstlineno + 4


def churn(count, size):
    """Make and free `count` blocks; the line that does it."""
    size -= HEADER
    for _ in range(count):
        bytes(size)
    return churn.__code__.co_firstlineno + 4


def grow(steps, size):
    """One bytearray that grows by realloc; the line, and its final length."""
    grown = bytearray()
    for _ in range(steps):
        grown += b"x" * size
    KEPT.append(grown)
    return [grow.__code__.co_firstlineno + 4, len(grown)]


def drop():
    del KEPT[:]


def in_threads(threads, count, size):
    """The same by new threads, one after the other."""
    for _ in range(threads):
        thread = threading.Thread(target=keep, args=(count, size))
        thread.start()
        thread.join()
    return keep.__code__.co_firstlineno + 4


def touch():
    """Use every page that the interpreter's pools have, and give them back:
    which of them it uses next is no growth then."""
    kept = [bytes(size) for size in range(8, 470, 16) for _ in range(700)]
    return len(kept)


def small_blocks(count):
    """How far the interpreter's own count of blocks moves while `count`
    small blocks come and go."""
    before = sys.getallocatedblocks()
    for _ in range(count):
        object()
        bytes(40)
    return sys.getallocatedblocks() - before


def tracing(what):
    """tracemalloc: start, stop, or (for a number) kept bytes it sees."""
    import tracemalloc
    if what == "start":
        tracemalloc.start()
    elif what == "stop":
        tracemalloc.stop()
    elif what == "traced":
        snapshot = tracemalloc.take_snapshot()
        line = keep.__code__.co_firstlineno + 4
        return sum(t.size for t in snapshot.traces
                   if t.traceback[0].filename == __file__
                   and t.traceback[0].lineno == line)
    return tracemalloc.is_tracing()


talk.serve(keep=keep, churn=churn, grow=grow, drop=drop, in_threads=in_threads, touch=touch,
           small_blocks=small_blocks, tracing=tracing)
