# SPDX-License-Identifier: MIT
"""Sixteen threads, one kind of work each, every result checked."""
import ctypes
import json
import os
import queue
import random
import select
import socket
import subprocess
import tempfile
import threading
import time
import warnings
import zlib

import _ctypes
import beats

warnings.simplefilter("ignore")		# a fork with threads, on purpose
near, far = socket.socketpair()
near.settimeout(120)
far.settimeout(120)
letters = queue.Queue(4)
nothing = select.epoll()


def large_blocks():
    blocks = [bytearray(random.randrange(400, 200000)) for _ in range(20)]
    return all(not b[0] for b in blocks)


def small_blocks():
    table = {str(k): [k] * 20 for k in range(200)}
    return all(table[str(k)][0] == k for k in range(200))


def compress():
    data = os.urandom(500) * 60
    return zlib.decompress(zlib.compress(data, 1)) == data


def files():
    with tempfile.TemporaryFile() as f:
        f.write(b"abc" * 9000)
        f.seek(0)
        return f.read() == b"abc" * 9000


def speak():
    near.sendall(b"ping" * 10)
    time.sleep(0.003)
    return near.recv(40, socket.MSG_WAITALL) == b"ping" * 10


def answer():
    far.sendall(far.recv(40, socket.MSG_WAITALL))


def put():
    try:
        letters.put(1, timeout=0.01)
        time.sleep(0.002)
    except queue.Full:
        pass


def get():
    try:
        return letters.get(timeout=0.01) == 1
    except queue.Empty:
        pass


def by_select():
    start = time.monotonic()
    ready = select.select([], [], [], 0.012)
    beats.not_early("select", start, 0.0119)
    return ready == ([], [], [])


def by_poll():
    start = time.monotonic()
    ready = select.poll().poll(11)
    beats.not_early("poll", start, 0.0109)
    return not ready


def by_epoll():
    start = time.monotonic()
    ready = nothing.poll(0.02)
    beats.not_early("epoll", start, 0.0199)
    return not ready


def sleep():
    start = time.monotonic()
    time.sleep(0.015)
    beats.not_early("sleep", start, 0.0149)


LIBRARY = ctypes.CDLL("libutil.so.1")._name


def library():
    _ctypes.dlclose(ctypes.CDLL(LIBRARY)._handle)


def thread():
    done = []
    one = threading.Thread(target=done.append, args=(1,))
    one.start()
    one.join()
    time.sleep(0.003)
    return done == [1]


def program():
    time.sleep(0.05)
    return subprocess.call(["/bin/true"]) == 0


def fork():
    time.sleep(0.05)
    child = os.fork()
    if not child:
        os._exit(7)
    return os.waitpid(child, 0)[1] == 7 << 8


def text():
    data = {str(i): list(range(20)) for i in range(50)}
    return json.loads(json.dumps(data)) == data


beats.serve([large_blocks, small_blocks, compress, files, speak, answer, put, get, by_select,
             by_poll, by_epoll, sleep, library, thread, program, fork])
