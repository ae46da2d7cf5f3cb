# SPDX-License-Identifier: MIT
"""Keeps known amounts and dies on demand, leaving a core where it is told."""
import ctypes
import mmap
import os
import resource
import signal
import threading

import talk

KEPT = []
MAPS = []


def prepare(directory, coredump_filter=None):
    """Cores of any size, into a directory; bits of coredump_filter."""
    os.chdir(directory)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    if coredump_filter is not None:
        with open("/proc/self/coredump_filter", "w") as f:
            f.write(hex(coredump_filter))
    with open("/proc/self/coredump_filter") as f:
        return int(f.read(), 16)


def pages(count, size):
    return [bytes(size + i % 100) for i in range(count)]


def numbers(count):
    return [[float(i)] for i in range(count)]


def keep(count, size):
    """Two lines that hold something, of two domains."""
    KEPT.append(pages(count, size))
    KEPT.append(numbers(count))
    return count


def map_many(count):
    """So many mappings: every other page has another protection."""
    area = mmap.mmap(-1, count * 4096)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    for i in range(0, count, 2):
        if protect(base + i * 4096, 4096, 1):
            break
    MAPS.append(area)
    with open("/proc/self/maps") as f:
        return len(f.readlines())


def die(number):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pause()


def churn():
    """Allocate and free without end."""
    kept = []
    while True:
        kept.append(bytearray(len(kept) % 3000))
        if len(kept) > 500:
            del kept[:400]


def churn_on(threads):
    """Be busy until somebody ends us."""
    for _ in range(threads):
        threading.Thread(target=churn, daemon=True).start()
    return threads


def child_dies(number):
    """A forked child dies; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            die(number)
        finally:
            os._exit(3)
    os.waitpid(pid, 0)
    return pid


talk.serve(prepare=prepare, keep=keep, map_many=map_many, die=die,
           churn_on=churn_on, child_dies=child_dies)
