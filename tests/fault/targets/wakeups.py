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


def facts():
    return {name: {field: getattr(results[i], field) for field, _ in Result._fields_}
            for i, name in enumerate(names)}


def stop():
    STOP.value = 1
    return True


talk.serve(prepared=lambda: prepared, facts=facts, stop=stop)
os._exit(0)
