#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The census's pass in Python, without gdb: a memory made by hand is counted
exactly, and one that holds anything ends without an error."""
import struct

import common
from pyattach import census, memory
from tap import done, ok

BASE = 0x7f0000000000
SIZE = 1 << 18
TYPE, THING, NAME = BASE + 64, BASE + 512, BASE + 1024


class Memory(memory._Salvage):
    kind, pid = 'core', 1

    def __init__(self, data):
        self.data = data

    def segments(self):
        return [(BASE, len(self.data), len(self.data))]

    def read(self, address, size):
        at = address - BASE
        if not 0 <= at <= len(self.data) - size:
            raise memory.Loss(address, memory.UNMAPPED)
        return bytes(self.data[at:at + size])


def put(data, at, form, *values):
    struct.pack_into(form, data, at - BASE, *values)


def a_type(data, address, metatype, flags, size):
    put(data, address, '<QQ', 1, metatype)
    put(data, address + census.NAME, '<QQ', NAME, size)
    put(data, address + census.FLAGS, '<Q', flags | 1 << 12)


def made(pools=4, block=64, pool=16384):
    """`type', a type `app.Thing', and pools in which every third is free."""
    data = bytearray(SIZE)
    a_type(data, TYPE, TYPE, census.IS_TYPE, 880)
    a_type(data, THING, TYPE, census.HAS_GC, 32)
    data[NAME - BASE:NAME - BASE + 10] = b'app.Thing\0'
    there = 0
    for i in range(pools):
        start = BASE + pool * (i + 1)
        blocks = (pool - census.HEADER) // block
        free = list(range(0, blocks, 3))
        for k in range(blocks):
            put(data, start + census.HEADER + k * block, '<QQQQ', 0, 0, 1, THING)
        for k, following in zip(free, free[1:] + [None]):
            put(data, start + census.HEADER + k * block, '<Q', 0 if following is None
                else start + census.HEADER + following * block)
        census.HEAD.pack_into(
            data, start - BASE, blocks - len(free), start + census.HEADER, 0,
            block // 16 - 1, census.HEADER + blocks * block, pool - block)
        there += blocks - len(free)
    return data, there


def count(data):
    source = Memory(data)
    return census.by_pass(source, source.read, 0)


def main():
    for pool in census.POOLS:
        for block in (48, 64, 512):
            data, there = made(block=block, pool=pool)
            got = count(data)
            ok([(r['module'], r['type'], r['objects'], r['bytes']) for r in got['rows']]
               == [('app', 'Thing', there, there * block)]
               and got['pools'] == {'read': 4, 'changing': 0},
               'pools of %d bytes, blocks of %d' % (pool, block), got)
    data, there = made()
    struct.pack_into('<I', data, 16384, 5)
    got = count(data)
    ok(got['pools'] == {'read': 3, 'changing': 1}, 'a pool that changes is counted', got)
    draw = common.seed()
    for _ in range(60):
        data, _there = made(pools=3)
        for _ in range(draw.choice((1, 30, 3000))):
            data[draw.choice((draw.randrange(SIZE), draw.randrange(2048),
                              draw.randrange(4) * 16384 + draw.randrange(64)))] = \
                draw.randrange(256)
        count(data[:draw.choice((SIZE, draw.randrange(SIZE)))])
    ok(True, '60 damaged memories')
    done()


main()
