# SPDX-License-Identifier: MIT
"""A program whose memory is full of what was there before: addresses in slack
behind objects, in unused slots of lists and deques, all of a block that only C
code has; and heaps that were left for the next one."""
import collections
import ctypes
import struct
import sys
import threading

import talk

FOREIGN = 8576      # bytes of the block that nobody owns
KEPT = {}


class Slack(list):
    __slots__ = ()


class Popped(list):
    __slots__ = ()


class Queue(collections.deque):
    __slots__ = ()


class Chunk(bytes):
    __slots__ = ()


def word(address):
    return struct.unpack("<Q", ctypes.string_at(address, 8))[0]


def slack(count, foreign):
    """Lists of 56 bytes in blocks of 64: how many end with the address."""
    text = bytes(24) + struct.pack("<Q", foreign)[:7]
    there = [bytes(bytearray(text)) for _ in range(count)]
    del there
    KEPT["slack"] = [Slack() for _ in range(count)]
    return sum(word(id(o) + 40) == foreign for o in KEPT["slack"])


def popped(count, foreign):
    """Lists and deques with the address in the slot behind the last item."""
    lists = KEPT["popped"] = [Popped(range(8)) for _ in range(count)]
    queues = KEPT["queues"] = [Queue(range(8)) for _ in range(count)]
    for items in lists:
        items.append(None)
        del items[-1]
        ctypes.c_uint64.from_address(word(id(items) + 24) + 8 * len(items)).value = foreign
    for queue in queues:
        last = word(id(queue) + 48)
        ctypes.c_uint64.from_address(word(id(queue) + 32) + 8 + 8 * (last + 1)).value = foreign


def make(count):
    """How many of the first kind have the address left, how large the items
    of the second are."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    foreign = malloc(FOREIGN)
    ctypes.memset(foreign, 0, FOREIGN)
    popped(count, foreign)
    return [slack(count, foreign), sum(sys.getsizeof(o) - 56 + 15 & ~15 for o in KEPT["popped"])]


def second_heap(count):
    """More than one heap of an arena holds: a thread of its own does it."""
    kept = KEPT["chunks"] = []
    thread = threading.Thread(target=lambda: kept.extend(
        Chunk(120000) for _ in range(count)))
    thread.start()
    thread.join()
    return count


talk.serve(make=make, second_heap=second_heap)
