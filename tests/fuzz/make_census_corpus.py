#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the corpus of fuzz_census: small memories at the address that it
gives them, with a type that is its own type, a class, a dict, a list, a
deque, instances in a pool, chunks of glibc's."""
import os
import struct
import sys

BASE = 0x7f0000000000
SIZE = 96 << 10
TYPE, CLASS, NAME, MODULE, KEY, DICT, KEYS, LIST = (
    BASE + 0x10000 + i * 0x800 for i in range(8))


class Memory:
    def __init__(self, how):
        self.bytes = bytearray(SIZE)
        self.bytes[0] = how

    def word(self, at, *values):
        at -= BASE
        for value in values:
            struct.pack_into("<Q", self.bytes, at, value & (1 << 64) - 1)
            at += 8

    def text(self, at, text):
        self.bytes[at - BASE:at - BASE + len(text)] = text


def add_type(m, at, of, name, flags, base, ditems):
    m.word(at, 5, of)
    m.word(at + 24, name, 32, 0)
    m.word(at + 168, flags | 1 << 12)
    m.word(at + 256, base, ditems)


def add_str(m, at, text, header):
    m.word(at, 3, CLASS, len(text), 0)
    m.word(at + 32, 1 << 6 | 1 << 5 | 1 << 2)
    m.text(at + header, text)


def add_pool(m, at, size, blocks, pool):
    carved = (pool - 48) // size
    free = carved - len(blocks)
    edges = [at + 48 + i * size for i in range(carved)]
    m.word(at, len(blocks), edges[len(blocks)] if free else 0)
    struct.pack_into("<IIII", m.bytes, at - BASE + 32, 0, size // 16 - 1,
                     48 + carved * size, pool - size)
    for edge, words in zip(edges, blocks):
        m.word(edge, *words)
    for edge, after in zip(edges[len(blocks):], edges[len(blocks) + 1:] + [0]):
        m.word(edge, after)


def add_chunks(m, at, sizes):
    for size in sizes:
        m.word(at + 8, size | 1)
        at += size


def memory(how, minor, name=b"Outer.Inner"):
    m = Memory(how)
    header = 40 if minor >= 12 else 48
    short = minor >= 11
    add_type(m, TYPE, TYPE, NAME + 0x400, 1 << 31, 0, 0)
    add_type(m, CLASS, TYPE, NAME + 0x400, 1 << 9, 0, DICT)
    qualname = {9: 856, 8: 864, 10: 864, 11: 864, 15: 880}.get(minor, 872)
    m.word(CLASS + qualname, NAME, KEYS)
    m.text(NAME + 0x400, b"an.old.name\0")
    add_str(m, NAME, name, header)
    add_str(m, MODULE, b"some.module", header)
    add_str(m, KEY, b"__module__", header)
    m.word(DICT, 1, TYPE, 1, 0, KEYS, 0)
    if short:
        m.word(KEYS, 1, 0x0303 | 1 << 16, 5, 1, 0)
        m.word(KEYS + 40, KEY, MODULE)
    else:
        m.word(KEYS, 1, 8, 0, 5, 1)
        m.word(KEYS + 48, 7, KEY, MODULE)
    pool = 16384 if minor >= 10 else 4096
    inside = [[1, CLASS, BASE + 0x8000 + 48 + i * 64, LIST] for i in range(20)]
    buffers = [[BASE + 0x8000 + 48 + (i + 1) % 20 * 64, 1 << 40] for i in range(20)]
    add_pool(m, BASE + 0x4000, 32, inside, pool)
    add_pool(m, BASE + 0x8000, 64, buffers, pool)
    add_chunks(m, BASE, [0x290, 0x40, 0x600, 0x20, 0x1000])
    m.word(BASE + 0xc000, 0, 0x2002, 1, CLASS)
    m.bytes[0] = how
    return bytes(m.bytes)


def main():
    for minor in (8, 10, 12, 15):
        for live, heap in ((32, 0), (0, 64)):
            if heap and minor != 12:
                continue
            name = "py3%d-%s" % (minor, "heap" if heap else "pools")
            with open(os.path.join(sys.argv[1], name), "wb") as f:
                f.write(memory((minor - 8) * 2 | live | heap, minor))
    with open(os.path.join(sys.argv[1], "py312-not-ascii"), "wb") as f:
        f.write(memory(8, 12, b"\xe4" * 300))


main()
