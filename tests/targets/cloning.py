# SPDX-License-Identifier: MIT
"""Makes a child by the bare system call, of which neither the C library nor
the interpreter hears.  While it lives the child answers in its place."""
import ctypes
import os
import signal
import time

import talk

CLONE = 56
LIBC = ctypes.PyDLL(None)	# with the GIL, which the child then has too


def clone():
    """In the child: its pid.  In the parent, later: how the child ended."""
    child = LIBC.syscall(CLONE, int(signal.SIGCHLD), 0, 0, 0, 0)
    if child == 0:
        return os.getpid()
    return os.waitpid(child, 0)[1]


def forks(times):
    """How the children ended, and the seconds that it took."""
    began, got = time.monotonic(), set()
    for _ in range(times):
        child = os.fork()
        if child == 0:
            os._exit(7)
        got.add(os.waitpid(child, 0)[1])
    return [sorted(got), time.monotonic() - began]


talk.serve(clone=clone, forks=forks, leave=os._exit)
