# SPDX-License-Identifier: MIT
"""The target's side of a test: one JSON request a line in, one answer out.

A target never sleeps to synchronise: it says that it is ready, obeys, and
answers when it is done.  Python 3.8 syntax; must not import anything that a
minimal Debian python lacks at module level.
"""
import json
import os
import sys
import traceback

_out = os.fdopen(os.dup(1), "w", encoding="ascii")


def say(**fields):
    """Write one line to the test."""
    _out.write(json.dumps(fields) + "\n")
    _out.flush()


def allocators():
    """What is installed now, from inside: five words for each domain."""
    import ctypes

    words = []
    for domain in range(3):
        raw = (ctypes.c_uint64 * 5)()
        ctypes.pythonapi.PyMem_GetAllocator(ctypes.c_int(domain), raw)
        words.append([hex(word) for word in raw])
    return words


def check_work():
    """A small computation with a known answer, through many allocations."""
    table = {}
    for i in range(2000):
        table.setdefault(str(i % 97), []).append(bytes(i % 600))
    return sum(len(x) for row in table.values() for x in row)


def _ping(value):
    return value


def serve(**commands):
    """Say ready, obey until `quit` or the end of the input."""
    commands.setdefault("ping", _ping)
    commands.setdefault("allocators", allocators)
    commands.setdefault("check", check_work)
    say(ready=os.getpid(), version=list(sys.version_info[:3]))
    while True:
        line = sys.stdin.readline()
        if not line:
            break
        request = json.loads(line)
        if request[0] == "quit":
            say(answer="bye")
            break
        try:
            say(answer=commands[request[0]](*request[1:]))
        except Exception:
            say(error=traceback.format_exc())
