# SPDX-License-Identifier: MIT
"""The store: generations, the frame cache, no room; the line tables' parsers on
random bytes."""
import ctypes

from layer_base import *
from layer_lines import branches


# ---- the store ----

@group
def generations():
    watch()

    def work():
        for i in range(20):
            x = [None] * T()
    work()
    check('generation_1')
    for i in range(5):
        H.pt_new_generation()
        watch()
        work()
        branches(i)
        check('generation_%d' % (i + 2))


@group
def cached():
    def work():
        x = [None] * (B + 1)
    watch()
    for i in range(100):
        if i == 1:
            before = H.pt_string_calls()
        work()
    after = H.pt_string_calls()
    H.pt_watch(0, 1, 0, 0)
    report(after == before, 'cached', '%d strings interned anew'
           % (after - before))


@group
def full():
    H.pt_limit_nodes(1)
    watch()
    H.pt_new_generation()
    x = [None] * T()
    H.pt_watch(0, 1, 0, 0)
    H.pt_limit_nodes(0)
    got = [(e[3], e[5]) for e in events()]
    report(got == [(1, [])], 'full', repr(got))
    H.pt_new_generation()
    watch()
    x = [None] * T()
    check('after_full')


@group
def price():
    def down(n):
        if n:
            return down(n - 1)
        for i in range(2000):
            x = [None] * (B + 1)
    for n in (1, 20, 100):
        watch()
        H.pt_capture_mean_ns()
        down(n)
        mean = H.pt_capture_mean_ns()
        H.pt_watch(0, 1, 0, 0)
        H.pt_reset()
        print('#   capture at depth %d: %.0f ns, %.0f ns a frame'
              % (n, mean, mean / (n + 3)))
    report(mean < 1000000, 'price')     # the figures are for readers


@group
def fuzz():
    H.pt_fuzz_lines.argtypes = [ctypes.c_uint64, ctypes.c_uint]
    H.pt_fuzz_lines.restype = ctypes.c_uint64
    H.pt_fuzz_lines(SEED * 0x9e3779b97f4a7c15 % 2 ** 64, int(10 ** 6 * SCALE))
    report(True, 'fuzz')


@group
def safe_read():
    H.pt_readable.argtypes = [ctypes.c_void_p]
    good = ctypes.create_string_buffer(8)
    ctypes.set_errno(7)
    got = [H.pt_readable(a) for a in
           (ctypes.addressof(good), 0, 1, 2 ** 47 - 4096, 2 ** 63, 2 ** 64 - 1)]
    report(got == [1, 0, 0, 0, 0, 0], 'safe_read', repr(got))
