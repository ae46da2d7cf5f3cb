# SPDX-License-Identifier: MIT
"""Allocates known amounts from known lines, and keeps them.

`truth.py` waits for `work`; `truth.py --count` does the same work under
tracemalloc.start(1) and prints, for every line, the sizes of the live blocks.
The same program, run twice, is its own truth.  Each site is a line of its
own in a function of its own.  Numbers are far above the length of any free
list: a recycled block belongs to its first owner here and to its last one in
tracemalloc.
"""
import collections
import sys
import threading
import types

import talk

KEEP = []
CODES = []
# What a function is called in reports: its qualified name, 3.11 and later.
NAME_FIELDS = [f for f in ("co_name", "co_qualname") if hasattr(talk.serve.__code__, f)]


class Node:
    __slots__ = ("left", "right", "value")

    def __init__(self, value):
        self.value = value


class Plain:
    def method(self, count):
        for i in range(count):
            KEEP.append(bytes(700 + i % 90))


def small_objects(count):
    out = []
    for i in range(count):
        out.append(Node(i))
    KEEP.append(out)


def small_strings(count):
    out = []
    for i in range(count):
        out.append("item number %d" % i)
    KEEP.append(out)


def growing_lists(count):
    for _ in range(count):
        grown = []
        for _ in range(700):
            grown.append(None)
        KEEP.append(grown)


def extended_lists(count):
    for _ in range(count):
        grown = []
        for _ in range(20):
            grown += (None,) * 30
        KEEP.append(grown)


def big_bytes(count):
    out = []
    for i in range(count):
        out.append(bytes(20000 + i))
    KEEP.append(out)


def byte_arrays(count):
    for _ in range(count):
        grown = bytearray()
        for _ in range(40):
            grown.extend(b"x" * 50)
        KEEP.append(grown)


def dicts_filled(count):
    for _ in range(count):
        table = {}
        for key in range(60):
            table[key] = None
        KEEP.append(table)


def dict_copies(count):
    table = dict.fromkeys(range(40))
    out = []
    for _ in range(count):
        out.append(table.copy())
    KEEP.append(out)


def sets_filled(count):
    for _ in range(count):
        table = set()
        for key in range(60):
            table.add(key)
        KEEP.append(table)


def deques(count):
    for _ in range(count):
        queue = collections.deque()
        for _ in range(300):
            queue.append(None)
        KEEP.append(queue)


def long_tuples(count):
    out = []
    source = [None] * 40
    for _ in range(count):
        out.append(tuple(source))
    KEEP.append(out)


def large_integers(count):
    out = []
    for i in range(count):
        out.append(1 << (1200 + i % 60))
    KEEP.append(out)


def joined_strings(count):
    parts = ["part"] * 70
    for _ in range(count):
        KEEP.append("/".join(parts))


def one_byte_at_a_time():
    while True:
        yield bytes(900)


def generator_values(count):
    source = one_byte_at_a_time()
    KEEP.append([next(source) for _ in range(count)])


def suspended_generators(count):
    out = []
    for _ in range(count):
        out.append(one_byte_at_a_time())
    for generator in out:
        next(generator)
    KEEP.append(out)


def suspended_coroutines(count):
    async def waiting(value):
        return value
    out = []
    for i in range(count):
        out.append(waiting(i))
    KEEP.append(out)


def closures(count):
    out = []
    for i in range(count):
        def inner():
            return i
        out.append(inner)
    KEEP.append(out)


def comprehension(count):
    KEEP.append([
        bytes(800)
        for _ in range(count)
    ])


def short_lived(count):
    for i in range(count):
        bytes(600 + i % 100)


def sort_keys(count):
    def key(value):
        KEEP.append(bytearray(1000))
        return -value
    sorted(range(count), key=key)


def deep(count, depth):
    if depth:
        return deep(count, depth - 1)
    for _ in range(count):
        KEEP.append(bytes(1100))


def in_thread(count, out):
    for _ in range(count):
        out.append(bytes(650))


def in_threads(count):
    for _ in range(4):
        out = []
        KEEP.append(out)
        thread = threading.Thread(target=in_thread, args=(count // 4, out))
        thread.start()
        thread.join()


EXECUTED = """\
def {name}(count, out):
    for _ in range(count):
        out.append(bytes({size}))
    return out
"""


def executed(file, name, size):
    """Run code whose file has any name; remember the code."""
    code = compile(EXECUTED.format(name=name, size=size), file, "exec")
    space = {}
    exec(code, space)
    CODES.append(code)
    KEEP.append(space[name](1500, []))


def renamed(name, size):
    """Run a function whose name no source text could have."""
    code = compile(EXECUTED.format(name="plain", size=size),
                   "<renamed %d>" % size, "exec")
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)][0]
    inner = inner.replace(**dict.fromkeys(NAME_FIELDS, name))
    CODES.append(inner)
    KEEP.append(types.FunctionType(inner, globals())(1500, []))


def work(scale):
    small_objects(30000 * scale)
    small_strings(20000 * scale)
    growing_lists(300 * scale)
    extended_lists(300 * scale)
    big_bytes(90 * scale)
    byte_arrays(600 * scale)
    dicts_filled(600 * scale)
    dict_copies(800 * scale)
    sets_filled(300 * scale)
    deques(500 * scale)
    long_tuples(3500 * scale)
    large_integers(6000 * scale)
    joined_strings(3500 * scale)
    generator_values(1500 * scale)
    suspended_generators(6000 * scale)
    suspended_coroutines(8000 * scale)
    closures(9000 * scale)
    comprehension(1500 * scale)
    short_lived(20000 * scale)
    sort_keys(1400 * scale)
    deep(1200 * scale, 20)
    deep(1200 * scale, 150)
    in_threads(2400 * scale)
    Plain().method(1800 * scale)
    executed("<template 1>", "rendered", 600)
    executed("/srv/\u00e9t\u00e9/\u6f22\u5b57.py", "h\u00e9ron", 610)
    executed("/srv/bad\udcff\udc80.py", "plain", 620)
    renamed("sur\udcff\ud800rogate", 630)
    renamed("\U0001f40d snake", 640)
    return len(KEEP)


def lines_of(code, found):
    """(file, line) -> names of the functions that the line is in."""
    import dis
    for _, line in dis.findlinestarts(code):
        if line:
            names = found.setdefault((code.co_filename, line), [])
            name = getattr(code, NAME_FIELDS[-1])
            if name not in names:
                names.append(name)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            lines_of(inner, found)


def sites(snapshot):
    """Every line of ours with live blocks: names and {size: blocks}."""
    found = {}
    with open(__file__, encoding="utf-8") as f:
        lines_of(compile(f.read(), __file__, "exec"), found)
    for code in CODES:
        lines_of(code, found)
    sizes = {}
    for trace in snapshot.traces:
        frame = trace.traceback[0]
        if (frame.filename, frame.lineno) in found:
            count = sizes.setdefault((frame.filename, frame.lineno), {})
            count[trace.size] = count.get(trace.size, 0) + 1
    return [{"file": file, "line": line, "functions": found[file, line],
             "sizes": sorted(table.items())}
            for (file, line), table in sorted(sizes.items())]


def counted(scale):
    import tracemalloc
    tracemalloc.start(1)
    work(scale)
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    return sites(snapshot)


if "--count" in sys.argv:
    talk.serve(work=counted)
else:
    talk.serve(work=work)
