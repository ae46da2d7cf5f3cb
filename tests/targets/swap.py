# SPDX-License-Identifier: MIT
"""Loads tests/swap.c's library and swaps the hooks in this process."""
import ctypes
import os

import talk


def swap(times, hammers, rate):
    library = ctypes.PyDLL(os.path.join(os.path.dirname(__file__), "swap.so"))
    function = library.pa_test_swap
    function.argtypes = [ctypes.c_uint64, ctypes.c_uint, ctypes.c_uint64]
    return function(times, hammers, rate)


talk.serve(swap=swap)
