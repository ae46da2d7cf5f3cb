# SPDX-License-Identifier: MIT
"""A thread that waits in code without unwind tables, of the library that is
named, and comes back when it is told to."""
import ctypes
import os
import sys
import threading

import talk

library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[1]))
libc = ctypes.CDLL(None)
reading, writing = os.pipe()
TID = ctypes.c_int(0)
results = []


def wait():
    results.append(library.pa_bare_wait(reading, ctypes.byref(TID), libc.gettid))


thread = threading.Thread(target=wait, daemon=True)
thread.start()


def end():
    os.write(writing, b"xxxE")
    thread.join()
    return results


talk.serve(tid=lambda: TID.value, end=end)
