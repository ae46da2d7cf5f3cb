# SPDX-License-Identifier: MIT
"""Every object has a finaliser that records the thread it ran in."""
import gc
import threading
import weakref

import talk

SEEN = set()
OWN = {threading.get_native_id()}
STOP = threading.Event()
GRAVE = []


class Mortal:
    def __init__(self):
        self.me = self	# only the cyclic collector ends it

    def __del__(self):
        SEEN.add(threading.get_native_id())


class Plain:
    def __del__(self):
        SEEN.add(threading.get_native_id())


def make():
    for _ in range(200):
        Mortal()
        Plain()
        victim = Mortal()
        GRAVE.append(weakref.ref(victim, lambda r: SEEN.add(threading.get_native_id())))
    if len(GRAVE) > 2000:
        del GRAVE[:]


def worker():
    OWN.add(threading.get_native_id())
    while not STOP.is_set():
        make()


def start(threads):
    gc.set_threshold(50, 2, 2)	# collections at every turn
    for _ in range(threads):
        threading.Thread(target=worker).start()


def stop():
    """Threads in which a finaliser ran and that are not ours to know."""
    STOP.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    gc.collect()
    return {"ran": len(SEEN), "strange": sorted(SEEN - OWN)}


talk.serve(start=start, stop=stop)
