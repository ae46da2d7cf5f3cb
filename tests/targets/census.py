# SPDX-License-Identifier: MIT
"""A program that knows what it holds, for the census.

Its truth is counted from inside: sizes are those of the blocks, so
sys.getsizeof is rounded up as the allocators do.
"""
import collections
import gc
import os
import signal
import sys
import threading
import tracemalloc
import weakref

import talk

NEW = sys.version_info[:2]


class Plain:
    def __init__(self, i):
        self.number = i
        self.text = "text %d" % i


class Slotted:
    __slots__ = ("one", "two", "three")


class Weak:
    __slots__ = ("value", "__weakref__")


class Ref(weakref.ref):
    __slots__ = ()


class List(list):
    __slots__ = ()


class Dict(dict):
    __slots__ = ()


class Set(set):
    __slots__ = ()


class Int(int):
    __slots__ = ()


class Text(str):
    __slots__ = ()


class Deque(collections.deque):
    __slots__ = ()


class Array(bytearray):
    __slots__ = ()


class Managed:
    """Attributes in a dict, or where this version keeps them."""
    def __init__(self, i):
        self.one = self.two = self.three = None


class Loose:
    """Each with a dict of its own (combined, where those are split)."""
    def __init__(self, i):
        self.__dict__ = {"a%d" % (i % 50): None, "b": None}


class Meta(type):
    pass


class OfMeta(metaclass=Meta):
    __slots__ = ("x",)


class Node:
    """Cycles that only the collector can free."""
    __slots__ = ("other",)


class Outer:
    class Inner:
        __slots__ = ("x",)


ONE = type("Same", (), {"__module__": "first.module", "__slots__": ("a",)})
TWO = type("Same", (), {"__module__": "second.module", "__slots__": ("a", "b")})
HELD = {}


def traced(kind):
    """Sizes of the blocks that the allocators give for one empty instance:
    its own, which is asked for first, and that of its attributes."""
    tracemalloc.start()
    kept = [object.__new__(kind) for _ in range(100)]
    sizes = collections.Counter(block(t.size) for t in tracemalloc.take_snapshot().traces)
    tracemalloc.stop()
    each = {size: n // len(kept) for size, n in sizes.items() if n >= len(kept)}
    return (block(own(kept[0])) if NEW < (3, 13) else max(each),
            sum(size * n for size, n in each.items()))


def make(scale):
    gc.disable()
    # from 3.13 on the first instances leave room for more attributes
    for kind in Plain, Loose, Managed:
        for i in range(50):
            kind(i)
    HELD.update(
        Managed=[Managed(i) for i in range(1500 * scale)],
        Plain=[Plain(i) for i in range(3000 * scale)],
        Loose=[Loose(i) for i in range(600 * scale)],
        Slotted=[Slotted() for _ in range(2000 * scale)],
        Weak=[Weak() for _ in range(1000 * scale)],
        List=[List(range(i % 300)) for i in range(500 * scale)],
        Dict=[Dict(zip(range(i % 200), range(200))) for i in range(300 * scale)],
        Set=[Set(range(i % 200)) for i in range(300 * scale)],
        Int=[Int(i << 40) for i in range(700 * scale)],
        Text=[Text("a text of the program %d" % i) for i in range(400 * scale)],
        Deque=[Deque(range(i % 500)) for i in range(200 * scale)],
        Array=[Array(b"x" * (1000 * i)) for i in range(1, 40)],
        OfMeta=[OfMeta() for _ in range(350 * scale)],
        Inner=[Outer.Inner() for _ in range(150 * scale)],
        one=[ONE() for _ in range(250 * scale)],
        two=[TWO() for _ in range(120 * scale)])
    HELD["Ref"] = [Ref(w) for w in HELD["Weak"]]
    HELD["large"] = ["y" * (10 << 20), b"z" * (5 << 20), bytearray(b"q" * (7 << 20)),
                     [None] * (1 << 20), dict.fromkeys(range(100000)), set(range(100000))]
    # freed in between: holes in pools, that are not counted as objects
    del HELD["Slotted"][::3]
    for i in range(90):
        node = Node()
        node.other = Node()
        node.other.other = node


def block(n):
    """What an allocator takes for n bytes."""
    if n <= 512:
        return n + 15 & ~15
    if n < 1 << 17:
        return max(32, n + 8 + 15 & ~15)
    return n + 4096


def own(o):
    """The object alone: its basic size and what lies in front of it."""
    kind = type(o)
    size = kind.__basicsize__ + (16 if kind.__flags__ & 1 << 14 else 0)
    if kind.__flags__ & 3 << 3 and NEW >= (3, 11):
        size += 16
    return size


def buffers(o):
    """Of those whose size getsizeof tells."""
    more = sys.getsizeof(o) - type(o).__basicsize__ - (
        16 if type(o).__flags__ & 1 << 14 else 0)
    return block(more) if more > 0 else 0


# Whose own bytes follow from the size of the type.
FIXED = ("Slotted", "Weak", "Ref", "OfMeta", "Inner", "one", "two", "List", "Dict", "Set",
         "Deque", "Array", "Text")


def owned(name, o):
    """Blocks behind an object, None where that cannot be told."""
    if name in ("List", "Dict", "Set"):
        return buffers(o)
    if name == "Deque":    # blocks of 64 items and two links
        return (sys.getsizeof(o) - type(o).__basicsize__) // 528 * block(528)
    if name == "Text":
        return block(len(o) + 1)
    if name == "Array":    # from 3.15 on a bytes object has the data
        return block(o.__alloc__()) if NEW < (3, 15) else None
    return 0


def rows(name, objects):
    """Counts, and bytes where they can be told."""
    if name in FIXED:
        alone = sum(block(own(o)) for o in objects)
        more = [owned(name, o) for o in objects]
        return {"objects": len(objects), "bytes": alone,
                "full": None if None in more else alone + sum(more)}
    if name == "Int":    # with one digit more than it needs
        alone = sum(block(sys.getsizeof(o) + 4) for o in objects)
        return {"objects": len(objects), "bytes": alone, "full": alone}
    if name in ("Plain", "Loose", "Managed"):
        one, full = traced(type(objects[0]))
        if NEW < (3, 11) or (name == "Loose" and NEW < (3, 13)):
            full = one      # a dict is an object of its own
        return {"objects": len(objects), "bytes": one * len(objects),
                "full": full * len(objects)}
    return {"objects": len(objects), "bytes": None, "full": None}


def truth():
    """[module, name, what rows() says] of every type of the program."""
    names = {"one": ["first.module", "Same"], "two": ["second.module", "Same"],
             "Inner": ["__main__", "Outer.Inner"]}
    found = []
    for name, objects in HELD.items():
        if name not in ("large", "more", "late", "arrays", "reserve"):
            found.append(names.get(name, ["__main__", name]) + [rows(name, objects)])
    found.append(["__main__", "Node", {"objects": 180,
                                       "bytes": 180 * block(own(Node())), "full": None}])
    return found


def collectable():
    """How many objects of some built-in types the collector sees."""
    kinds = {}
    for o in gc.get_objects():
        kinds[type(o)] = kinds.get(type(o), 0) + 1
    return {k.__name__: kinds.get(k, 0) for k in (list, set, type(make), property, type)}


def dump_to(directory):
    """Die with a core there."""
    import os
    import resource
    os.chdir(directory)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    return True


def numpy_arrays(count):
    """Arrays that own their data: [module, name, what rows() says]."""
    import numpy

    class Grid(numpy.ndarray):
        pass
    # the largest have huge pages, where it can
    HELD["arrays"] = [Grid((100 + i, 100) if i % 4 else (1000 + i, 1000)) for i in range(count)]
    for grid in HELD["arrays"]:
        grid.fill(1.5)
    return [Grid.__module__, Grid.__qualname__, {
        "objects": count, "bytes": None,
        "full": sum(block(grid.nbytes) + block(own(grid)) for grid in HELD["arrays"])}]


def reserve(size):
    """Zeros that nobody has touched."""
    HELD["reserve"] = bytes(size)
    return True


def page_out():
    """Send the large text to swap: bytes of it that went there."""
    import ctypes

    text = HELD["large"][0]
    start = id(text) + 8191 & ~4095
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(8 << 20), 21)
    with open("/proc/self/status") as f:
        return sum(int(line.split()[1]) << 10 for line in f if line.startswith("VmSwap:"))


class Late:
    __slots__ = ("x", "y")


def grow(count):
    """More of what was there, and of a type that was not."""
    HELD["more"] = [Slotted() for _ in range(count)]
    HELD["late"] = [Late() for _ in range(count)]
    del HELD["Plain"][:100]
    return True


TURNS = []
COUNTS = {}


def busy(count):
    """Threads that allocate and free until the end, and count their turns."""
    def work(me):
        while True:
            kept = [Slotted() for _ in range(100)] + [str(i) for i in range(300)]
            del kept[::2]
            TURNS[me] += 1
    for me in range(count):
        TURNS.append(0)
        threading.Thread(target=work, args=(me,), daemon=True).start()
    return count


def idle(count):
    """Threads that wait until the end."""
    for _ in range(count):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return count


def turns():
    return TURNS


def count_signals():
    """Real-time signals: each has a handler of its own that counts."""
    def count(number, frame):
        COUNTS[number] += 1
    for number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):
        COUNTS[number] = 0
        signal.signal(number, count)
    return sorted(COUNTS)


def signals():
    return [COUNTS[number] for number in sorted(COUNTS)]


def again():
    """The same program from its start, in the same process."""
    os.execv(sys.executable, [sys.executable] + sys.argv)


make(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
talk.serve(truth=truth, collectable=collectable, busy=busy, idle=idle, turns=turns, grow=grow,
           reserve=reserve, page_out=page_out, numpy_arrays=numpy_arrays,
           count_signals=count_signals, signals=signals, dump_to=dump_to, again=again)
