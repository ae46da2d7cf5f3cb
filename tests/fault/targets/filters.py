# SPDX-License-Identifier: MIT
"""Installs real seccomp filters, on order."""
import ctypes
import os
import struct
import threading

import talk

ACTIONS = {"kill": 0x80000000, "trap": 0x00030000, "errno": 0x00050001, "enosys": 0x00050026, "log": 0x7ffc0000,
           "allow": 0x7fff0000}
libc = ctypes.CDLL(None, use_errno=True)
KEPT = []


def instruction(code, jt, jf, k):
    return struct.pack("<HBBI", code, jt, jf, k)


def program(numbers, action, dead_code=0, others="allow"):
    """The action for these calls, and one for all others."""
    code = instruction(0x20, 0, 0, 0)		# load the number of the call
    for number in numbers:
        code += instruction(0x15, 0, 1, number) + instruction(0x06, 0, 0, ACTIONS[action])
    code += instruction(0x15, 0, 0, 0xffffffff) * dead_code
    code += instruction(0x06, 0, 0, ACTIONS[others])
    buffer = ctypes.create_string_buffer(code, len(code))
    KEPT.append(buffer)
    return struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))


def install(*filter):
    """A filter over this thread.  0 or errno."""
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program(*filter), 0, 0):
        return ctypes.get_errno()
    return 0


def allow_only(numbers):
    """A filter over this thread that kills for every other call."""
    return install(numbers, "allow", 0, "kill")


def fork():
    """The status of a child that works."""
    pid = os.fork()
    if pid == 0:
        os._exit(7 if talk.check_work() == talk.check_work() else 8)
    return os.waitpid(pid, 0)[1] >> 8


def obey_strictly():
    """Strict mode: from now on it may only read, write and end."""
    prctl = ctypes.PyDLL(None).prctl	# which keeps the GIL: no other call
    os.write(1, b'{"answer": "strict"}\n')
    prctl(22, 1, 0, 0, 0)
    os.read(0, 1)


TURNS = [0]
FORKS = []	# one entry: the confined thread is to fork
STATUS = []
SLEEPERS = []


def confined(filter, ready):
    """A thread under a filter of its own that works on."""
    ready.append((threading.get_native_id(), install(*filter)))
    while True:
        TURNS[0] += len([bytes(2000) for _ in range(20)]) == 20
        if FORKS:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            FORKS.pop()
            STATUS.append(os.waitpid(pid, 0)[1])


def confine(*filter):
    """Its tid, and 0 or errno."""
    ready = []
    threading.Thread(target=confined, args=(filter, ready), daemon=True).start()
    while not ready:
        pass
    return ready[0]


def fork_there():
    """A fork in the confined thread; the child's status."""
    FORKS.append(True)
    while not STATUS:
        pass
    return STATUS.pop()


def sleepers(filters):
    """For each filter a thread of C that sleeps under it; their tids."""
    sleep = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                     "confined.so")).pa_confined
    tids = []
    for filter in filters:
        tid, beats = ctypes.c_int(0), ctypes.c_int(0)
        threading.Thread(target=sleep, args=(program(*filter), ctypes.byref(tid),
                                             ctypes.byref(beats)), daemon=True).start()
        while not tid.value:
            pass
        SLEEPERS.append((tid, beats))
        tids.append(tid.value)
    return tids


def beats():
    """How often each of them has woken up."""
    return [beats.value for _, beats in SLEEPERS]


def keep(count, size):
    KEPT.append([bytes(size) for _ in range(count)])
    return len(KEPT)


def turns():
    return TURNS[0]


talk.serve(install=install, allow_only=allow_only, fork=fork, obey_strictly=obey_strictly, confine=confine, turns=turns,
           fork_there=fork_there, sleepers=sleepers, beats=beats, keep=keep)
