# SPDX-License-Identifier: MIT
"""The workloads that bench/workloads times: small, deterministic, stdlib only.

Each function does one kind of work that real programs do and returns a value
that must not differ between two runs.  None may keep state or do I/O beyond
memory.  Python 3.8 syntax: the module runs in the target.
"""
import collections
import decimal
import io
import itertools
import json
import pickle
import random
import re
import sqlite3
import xml.etree.ElementTree as ElementTree
import zlib


class Point(object):
    def __init__(self, x, y):
        self.x = x
        self.y = y


class Slotted(object):
    __slots__ = ("left", "right")

    def __init__(self, left, right):
        self.left = left
        self.right = right


def objects():
    """Plain objects made and dropped: nothing but the allocator."""
    total = 0
    for _ in range(60):
        total += len([object() for _ in range(5000)])
    return total


def instances():
    points = []
    for i in range(60000):
        points.append(Point(i, i + 1))
        if len(points) > 1000:
            del points[:900]
    return sum(p.x for p in points)


def list_append():
    total = 0
    for _ in range(100):
        grown = []
        for i in range(6000):
            grown.append(i)
        total += len(grown)
    return total


def dict_churn():
    table = {}
    for i in range(120000):
        table[i % 3000, i % 7] = i
        if i % 5000 == 0:
            table.clear()
    return len(table)


def comprehension():
    return sum(len([x * 2.5 for x in range(1000)]) for _ in range(500))


def tuples():
    return sum(len(list(zip(range(2000), range(2000)))) for _ in range(250))


def string_join():
    return sum(len(",".join(str(i) for i in range(1000))) for _ in range(180))


def string_concat():
    out = []
    for i in range(60000):
        out.append("row %d: %s" % (i, "x" * (i % 40)))
    return sum(map(len, out))


def bytes_big():
    return sum(len(bytes(70000 + i % 9)) for i in range(3000))


def bytearray_grow():
    total = 0
    for _ in range(100):
        grown = bytearray()
        for _ in range(500):
            grown += b"0123456789abcdef" * 4
        total += len(grown)
    return total


def json_round():
    data = {"users": [{"id": i, "name": "user%d" % i, "tags": ["a", "b", "c"],
                       "score": i / 3.0} for i in range(600)]}
    return sum(len(json.dumps(json.loads(json.dumps(data)))) for _ in range(8))


def pickle_round():
    data = [(i, str(i), {"k": i, "v": [i] * 5}) for i in range(3000)]
    return sum(len(pickle.loads(pickle.dumps(data, 4))) for _ in range(6))


def regex():
    text = "alpha=1; beta=22; gamma=333; delta=4444 " * 400
    pattern = re.compile(r"(\w+)=(\d+)")
    return sum(len(pattern.findall(text)) for _ in range(12))


def generators():
    def chain(depth, n):
        if depth == 0:
            for i in range(n):
                yield i
        else:
            for i in chain(depth - 1, n):
                yield i + 1
    return sum(chain(6, 40000))


def nbody():
    x, y, vx, vy = 1.0, 0.0, 0.0, 1.0
    for _ in range(120000):
        r3 = (x * x + y * y) ** 1.5
        vx -= 0.001 * x / r3
        vy -= 0.001 * y / r3
        x += 0.001 * vx
        y += 0.001 * vy
    return round(x + y, 9)


def tree():
    def make(depth):
        if depth == 0:
            return Slotted(None, None)
        return Slotted(make(depth - 1), make(depth - 1))

    def count(node):
        return 1 if node.left is None else (
            1 + count(node.left) + count(node.right))
    return sum(count(make(12)) for _ in range(8))


def sorting():
    rng = random.Random(7)
    values = [rng.random() for _ in range(40000)]
    return sum(int(sorted(values, key=lambda v: -v)[0] * 1000)
               for _ in range(3))


def counters():
    words = ("the quick brown fox jumps over the lazy dog " * 300).split()
    return sum(len(collections.Counter(words)) for _ in range(20))


def database():
    db = sqlite3.connect(":memory:")
    db.execute("create table t (id integer, name text)")
    db.executemany("insert into t values (?, ?)",
                   ((i, "name%d" % i) for i in range(12000)))
    rows = db.execute("select name, id from t where id % 3 = 0").fetchall()
    db.close()
    return len(rows)


def decimals():
    total = decimal.Decimal(0)
    for i in range(60000):
        total += decimal.Decimal(i) / 7
    return str(total)[:12]


def xml_parse():
    text = "<r>" + "<item id='1'><n>value</n></item>" * 1500 + "</r>"
    return sum(len(ElementTree.fromstring(text)) for _ in range(6))


def compressing():
    data = b"".join(b"%d line of a log\n" % i for i in range(5000))
    return sum(len(zlib.decompress(zlib.compress(data, 1))) for _ in range(12))


def text_io():
    out = io.StringIO()
    for i in range(40000):
        print(i, "line", file=out)
    return len(out.getvalue().splitlines())


def products():
    return sum(1 for _ in itertools.product(range(60), repeat=3))


# Programs do what services do; loops do nothing but allocate, to show the
# worst.
PROGRAMS = [string_join, string_concat, json_round, pickle_round, regex,
            generators, nbody, tree, sorting, counters, database, decimals,
            xml_parse, compressing, text_io, products]
LOOPS = [objects, instances, list_append, dict_churn, comprehension, tuples,
         bytes_big, bytearray_grow]
WORKLOADS = PROGRAMS + LOOPS
