# SPDX-License-Identifier: MIT
"""Waits for its orders in many ways: `blocked.py MODE`.

The main thread is blocked as MODE says; orders come by stdin all the same,
or SIGUSR1 wakes it.  `hold` keeps the GIL in a C call for as long as asked.
"""
import ctypes
import select
import signal
import sys
import threading
import time

import talk

KEPT = []


class Woken(Exception):
    pass


def woken(number, frame):
    raise Woken


def by_sleep():
    signal.signal(signal.SIGUSR1, woken)
    talk.say(blocked="sleep")
    try:
        time.sleep(3600)
    except Woken:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def by_epoll():
    poll = select.epoll()
    poll.register(0, select.EPOLLIN)
    talk.say(blocked="epoll")
    poll.poll(-1)
    poll.close()


def by_select():
    talk.say(blocked="select")
    select.select([0], [], [])


def by_join():
    thread = threading.Thread(target=select.select, args=([0], [], []))
    thread.start()
    talk.say(blocked="join")
    thread.join()


def by_lock():
    lock = threading.Lock()
    lock.acquire()

    def release():
        select.select([0], [], [])
        lock.release()

    thread = threading.Thread(target=release)
    thread.start()
    talk.say(blocked="lock")
    lock.acquire()
    thread.join()


def by_event_loop():
    import asyncio

    async def until_order():
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(0, ready.set)
        talk.say(blocked="asyncio")
        await ready.wait()
        loop.remove_reader(0)

    asyncio.run(until_order())


def by_many_timers():
    """Never blocked for long: a thousand short sleeps a second."""
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            time.sleep(0.001)

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    talk.say(blocked="timers")
    select.select([0], [], [])
    stop.set()
    for thread in threads:
        thread.join()


def hold(seconds):
    """A C call that keeps the GIL; what the clock says it took."""
    usleep = ctypes.PyDLL(None).usleep
    usleep.argtypes = [ctypes.c_uint32]
    talk.say(holding=seconds)
    start = time.monotonic()
    usleep(int(seconds * 1e6))
    return time.monotonic() - start


def block(mode):
    globals()["by_" + mode]()
    return mode


def keep(count, size):
    for _ in range(count):
        KEPT.append(bytes(size - 33))
    return keep.__code__.co_firstlineno + 2


if len(sys.argv) > 1:
    block(sys.argv[1])
talk.serve(hold=hold, block=block, keep=keep)
