#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service of doc/tutorial-memoryerror.md: it keeps too much, and when
its limit is reached it aborts, which leaves a core.

    python3 shop.py        about 20 seconds to attach
"""
import os
import resource
import time

SESSIONS = {}
PICTURES = []


def new_session(number):
    SESSIONS[number] = {"user": "user%d" % number, "basket": list(range(30))}


def resize(number):
    picture = bytes(200_000 + number)
    PICTURES.append(picture[: len(picture) // 2])


def serve():
    for number in range(1_000_000):
        new_session(number)
        if number % 20 == 0:
            resize(number)
            time.sleep(0.01)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
    print("serving as process", os.getpid(), flush=True)
    try:
        serve()
    except MemoryError:
        os.abort()
