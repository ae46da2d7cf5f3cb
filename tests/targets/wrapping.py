# SPDX-License-Identifier: MIT
"""Puts allocators of its own above those that are installed, on demand; the
argument is the library that has them."""
import ctypes
import sys

import talk

LIBRARY = ctypes.PyDLL(sys.argv[1])


def wrap():
    return LIBRARY.wrap(ctypes.pythonapi.PyMem_GetAllocator, ctypes.pythonapi.PyMem_SetAllocator)


def unwrap():
    return LIBRARY.unwrap(ctypes.pythonapi.PyMem_SetAllocator)


talk.serve(wrap=wrap, unwrap=unwrap)
