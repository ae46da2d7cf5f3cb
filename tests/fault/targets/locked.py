# SPDX-License-Identifier: MIT
"""Threads that are nearly always inside malloc or the loader, without the
GIL: a random stop is hardly ever a safe point."""
import ctypes
import sys
import time
import zlib

import beats

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.dlopen.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = libc.dlclose.argtypes = [ctypes.c_void_p]
libc.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]


def blocks():
    for size in (700, 3000, 20000, 200000, 5000000):
        libc.free(libc.malloc(size))


def trim():
    libc.malloc_trim(0)


def library():
    handle = libc.dlopen(b"libutil.so.1", 2)
    if not handle:
        return False
    libc.dlclose(handle)


def compress():
    zlib.compress(b"abc" * 20000, 6)


def python():
    time.sleep(0)


works = [blocks, trim, library, library, blocks, compress]
beats.serve(works + [python] if "python" in sys.argv else works)
