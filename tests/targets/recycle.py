# SPDX-License-Identifier: MIT
"""Fills the free list of list objects at one line, empties it at another."""
import talk

KEEP = [None] * 80


def first_owner():
    for i in range(80):
        KEEP[i] = []	# from the allocator


def give_back():
    for i in range(80):
        KEEP[i] = None


def second_owner():
    for i in range(80):
        KEEP[i] = []	# from the free list


def drain():
    """Leave the free list empty before the first owner comes."""
    hold = [None] * 200
    for i in range(200):
        hold[i] = []
    return hold


def work():
    hold = drain()
    first_owner()
    give_back()
    second_owner()
    first = first_owner.__code__.co_firstlineno + 2
    second = second_owner.__code__.co_firstlineno + 2
    talk.HOLD = hold
    return {"first": first, "second": second}


talk.serve(work=work)
