# SPDX-License-Identifier: MIT
"""Threads that only a signal wakes, and their senders, in wakeups.so."""
import ctypes
import os
import sys
import threading

import talk


class Result(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "sent", "handled", "ended", "lost", "wrong", "restarted", "between")] + [
            ("tid", ctypes.c_int32), ("last_errno", ctypes.c_int32)]


library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "wakeups.so"))
library.pa_wakeups_name.restype = ctypes.c_char_p
results = (Result * 16).in_dll(library, "pa_wakeups")
STOP = ctypes.c_int(0)
prepared = library.pa_wakeups_prepare()
names = []
while library.pa_wakeups_name(len(names)):
    names.append(library.pa_wakeups_name(len(names)).decode())
for number in range(len(names)):
    for routine, arguments in (
            (library.pa_wakeups_wait, (number, ctypes.byref(STOP))),
            (library.pa_wakeups_send, (number, int(sys.argv[1]) + number, ctypes.byref(STOP)))):
        threading.Thread(target=routine, args=arguments, daemon=True).start()


def at_one_moment(i):
    """The counts of a thread, which only grow: what is read twice alike was
    so in between."""
    while True:
        copies = [bytes(results[i]) for _ in range(2)]
        if copies[0] == copies[1]:
            return Result.from_buffer_copy(copies[0])


def facts():
    moments = [at_one_moment(i) for i in range(len(names))]
    return {name: {field: getattr(moment, field) for field, _ in Result._fields_}
            for name, moment in zip(names, moments)}


def stop():
    STOP.value = 1
    return True


talk.serve(prepared=lambda: prepared, facts=facts, stop=stop)
os._exit(0)
