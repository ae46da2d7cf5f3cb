# SPDX-License-Identifier: MIT
"""A thread in each of the system calls of calls.so, made from C."""
import ctypes
import os
import signal
import threading

import talk


class Result(ctypes.Structure):
    _fields_ = [("calls", ctypes.c_uint64), ("wrong", ctypes.c_uint64),
                ("interrupted", ctypes.c_uint64), ("early", ctypes.c_uint64),
                ("latest_ns", ctypes.c_int64), ("early_ns", ctypes.c_int64),
                ("behind_ns", ctypes.c_int64), ("tid", ctypes.c_int32),
                ("last_errno", ctypes.c_int32)]


library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "calls.so"))
library.pa_calls_name.restype = ctypes.c_char_p
results = (Result * 40).in_dll(library, "pa_calls_results")
STOP = ctypes.c_int(0)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
prepared = library.pa_calls_prepare()
names = []
threads = [threading.Thread(target=library.pa_calls_feed, args=(ctypes.byref(STOP),),
                            daemon=True)]
while library.pa_calls_name(len(names)):
    number = len(names)
    names.append(library.pa_calls_name(number).decode())
    if names[number] == "io_uring_enter" and prepared == 1:
        names[number] = ""
        continue
    threads.append(threading.Thread(target=library.pa_calls_run,
                                    args=(number, ctypes.byref(STOP)), daemon=True))
for thread in threads:
    thread.start()


def facts():
    return {name: dict(((field, getattr(results[i], field)) for field, _ in Result._fields_),
                       timed=library.pa_calls_timed(i))
            for i, name in enumerate(names) if name}


def reset():
    """From here on only the lateness counts that comes."""
    for i in range(len(names)):
        results[i].latest_ns = 0
    return True


def stop():
    STOP.value = 1
    return True


talk.serve(prepared=lambda: prepared, facts=facts, reset=reset, stop=stop)
os._exit(0)
