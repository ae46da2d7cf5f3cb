# SPDX-License-Identifier: MIT
"""Work by what people install: numpy with its own threads, or gevent with its
own stacks.  wheels.py numpy|gevent"""
import sys
import threading

import talk

STOP = threading.Event()
WRONG = []
TURNS = [0]
KEPT = []


def multiply():
    """Products of matrices, by native threads, in threads of our own."""
    import numpy

    a = numpy.arange(10000.0).reshape(100, 100)
    right = float((a @ a).sum())
    while not STOP.is_set():
        if float((a @ a).sum()) != right:
            WRONG.append("product")
        if numpy.sort(a[::-1].ravel())[17] != 17.0:
            WRONG.append("order")
        TURNS[0] += 1


def pass_messages():
    """Greenlets that hand words on, sleep and look at the clock."""
    import time

    import gevent
    from gevent.queue import Queue

    def hand_on(inlet, outlet):
        while not STOP.is_set():
            word = inlet.get()
            begin = time.monotonic()
            gevent.sleep(0.001)
            if time.monotonic() - begin < 0.001:
                WRONG.append("early")
            KEPT.append(bytes(600))
            del KEPT[:-500]
            outlet.put(word + 1)
            TURNS[0] += 1

    queues = [Queue() for _ in range(20)]
    ring = [gevent.spawn(hand_on, queues[i - 1], queues[i]) for i in range(20)]
    for queue in queues:
        queue.put(0)
    while not STOP.is_set():
        gevent.sleep(0.005)
    gevent.killall(ring)


def start():
    work = multiply if sys.argv[1] == "numpy" else pass_messages
    for _ in range(2):
        threading.Thread(target=work).start()


def turns():
    return TURNS[0]


def stop():
    STOP.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    return {"wrong": WRONG[:5], "turns": TURNS[0]}


__import__(sys.argv[1])
talk.serve(start=start, stop=stop, turns=turns)
