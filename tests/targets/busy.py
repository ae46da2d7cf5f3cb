# SPDX-License-Identifier: MIT
"""Threads that compute, allocate, sleep, talk over pipes, compress, load
libraries and collect, and check their own answers all the while."""
import ctypes
import gc
import hashlib
import json
import os
import select
import threading
import time
import zlib

import talk

STOP = threading.Event()
WRONG = []
TURNS = [0]


def compute():
    return sum(i * i for i in range(300)) == 8955050


def text():
    value = {"key %d" % i: [i, str(i), None] for i in range(30)}
    return json.loads(json.dumps(value)) == value


def compress():
    data = b"some data " * 300
    return zlib.decompress(zlib.compress(data)) == data


def digest():
    return hashlib.sha256(b"x" * 5000).hexdigest().startswith("c59d")


def nap():
    start = time.monotonic()
    time.sleep(0.003)
    return time.monotonic() - start >= 0.003


def pipe():
    inlet, out = os.pipe()
    os.write(out, b"word")
    poll = select.poll()
    poll.register(inlet, select.POLLIN)
    ready = poll.poll(2000)
    got = os.read(inlet, 10)
    os.close(inlet)
    os.close(out)
    return got == b"word" and len(ready) == 1


def timeout():
    """A poll with nothing to come ends by its time, not before."""
    start = time.monotonic()
    got = select.select([], [], [], 0.004)
    return got == ([], [], []) and time.monotonic() - start >= 0.0039


def wait():
    event = threading.Event()
    start = time.monotonic()
    return not event.wait(0.004) and time.monotonic() - start >= 0.0039


def library():
    ctypes.CDLL("libm.so.6").cos
    return True


def recursion(depth=200):
    return depth if depth == 0 else recursion(depth - 1)


def collect():
    ring = []
    ring.append(ring)
    del ring
    return gc.collect(0) >= 0


JOBS = [compute, text, compress, digest, nap, pipe, timeout, wait, library,
        lambda: recursion() == 0, collect]


def worker(number):
    turn = number
    while not STOP.is_set():
        job = JOBS[turn % len(JOBS)]
        turn += 1
        try:
            good = job()
        except Exception as e:
            good = False
            WRONG.append(repr(e))
        if not good:
            WRONG.append(getattr(job, "__name__", "job"))
        TURNS[0] += 1


def start():
    for number in range(6):
        threading.Thread(target=worker, args=(number,)).start()


def stop():
    STOP.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    return {"wrong": len(WRONG), "what": WRONG[:5], "turns": TURNS[0]}


def crowd():
    """Reserve all places where a payload puts its directory first."""
    mmap = ctypes.CDLL(None).mmap
    mmap.restype = ctypes.c_void_p
    at, step, count, room = 0x2000000000, 0x100000000, 16, 0x10000
    # no access; private, anonymous, no swap space, only if all is free
    got = mmap(ctypes.c_void_p(at - room), ctypes.c_size_t(count * step + 2 * room), 0,
               0x104022, -1, ctypes.c_long(0))
    if got != at - room:
        raise MemoryError("the low slots are not free")


talk.serve(start=start, stop=stop, crowd=crowd)
