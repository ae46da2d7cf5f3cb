# SPDX-License-Identifier: MIT
"""Can take every low slot that a directory could lie at, and keep the GIL."""
import ctypes

import talk

FIRST, STEP, COUNT = 0x2000000000, 0x100000000, 16
MAP = 0x02 | 0x20 | 0x100000	# private, anonymous, fixed, never replacing


def take():
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_size_t
    libc.mmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long]
    return sum(libc.mmap(FIRST + i * STEP, 4096, 0, MAP, -1, 0) == FIRST + i * STEP
               for i in range(COUNT))


def hold(seconds):
    talk.say(holding=seconds)
    return ctypes.PyDLL(None).usleep(int(seconds * 1e6))


talk.serve(take=take, hold=hold)
