# SPDX-License-Identifier: MIT
"""Many short threads, each with a known amount: some at a time."""
import threading

import talk


def short(count):
    for _ in range(count):
        bytes(991)	# 1024 of the allocator, with its header


def threads(total, at_once, count):
    """`total` threads that make and free `count` blocks of 1024 bytes."""
    for _ in range(total // at_once):
        batch = [threading.Thread(target=short, args=(count,)) for _ in range(at_once)]
        for thread in batch:
            thread.start()
        for thread in batch:
            thread.join()
    return short.__code__.co_firstlineno + 2


talk.serve(threads=threads)
