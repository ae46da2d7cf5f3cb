# SPDX-License-Identifier: MIT
"""Many short threads, each with a known amount: some at a time."""
import ctypes
import threading

import talk

CFRAME = 56	# of a thread state of 3.11
HALF_MADE = []


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


def half_made():
    """A thread state as 3.11 shows it while a C thread makes it: linked, and
    not filled."""
    python = ctypes.pythonapi
    python.PyInterpreterState_Main.restype = ctypes.c_void_p
    python.PyThreadState_New.restype = ctypes.c_void_p
    python.PyThreadState_New.argtypes = [ctypes.c_void_p]
    state = python.PyThreadState_New(python.PyInterpreterState_Main())
    field = ctypes.c_uint64.from_address(state + CFRAME)
    HALF_MADE.extend((state, field, field.value))
    field.value = 0
    return 0 < HALF_MADE[2] - state < 4096


def whole():
    state, field, value = HALF_MADE
    field.value = value
    for name in ("PyThreadState_Clear", "PyThreadState_Delete"):
        end = getattr(ctypes.pythonapi, name)
        end.restype = None
        end.argtypes = [ctypes.c_void_p]
        end(state)
    return True


talk.serve(threads=threads, half_made=half_made, whole=whole)
