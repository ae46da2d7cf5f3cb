# SPDX-License-Identifier: MIT
"""Threads in C without the GIL whose registers, flags, red zone and errno
hold known values; `changed` says how many did not survive."""
import ctypes
import os
import threading

import talk

library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "state.so"))
STOP = ctypes.c_int(0)
TURNS = [ctypes.c_uint64(0) for _ in range(4)]
CHANGED = [0] * 4


def run(number, function):
    function.restype = ctypes.c_uint64
    CHANGED[number] = function(ctypes.byref(STOP), ctypes.byref(TURNS[number]))


def stop():
    STOP.value = 1
    for thread in threads:
        thread.join()
    return CHANGED


threads = [threading.Thread(target=run, args=pair) for pair in enumerate(
    [library.pa_state_spin, library.pa_state_spin, library.pa_state_errno,
     library.pa_state_leaf])]
for thread in threads:
    thread.start()
talk.serve(beats=lambda: [t.value for t in TURNS], stop=stop,
           wide=lambda: library.pa_state_has_avx512())
