# SPDX-License-Identifier: MIT
"""What the fault targets share: threads that work in turns, count them and
check every result; the main thread obeys the test.  A thread that makes no
progress is seen by its count, a wrong result by `wrong`, a pause by `gap`.
"""
import os
import select
import sys
import threading
import time

import talk

STOP = threading.Event()
TURNS = []
WRONG = []
GAP = [0.0]
THREADS = []


def note(what):
    if len(WRONG) < 100:
        WRONG.append(str(what))


def not_early(what, start, wanted):
    took = time.monotonic() - start
    if took < wanted:
        note("%s ended after %.6f of %.6f s" % (what, took, wanted))


def loop(number, work):
    while not STOP.is_set():
        try:
            if work() is False:
                note(work.__name__)
        except Exception as e:
            note("%s: %r" % (work.__name__, e))
        TURNS[number] += 1


def watch():
    """The longest time for which a thread of Python did not run."""
    last = time.monotonic()
    while not STOP.is_set():
        time.sleep(0.0005)
        now = time.monotonic()
        GAP[0] = max(GAP[0], now - last - 0.0005)
        last = now


def beats():
    return TURNS


def gap():
    worst, GAP[0] = GAP[0], 0.0
    return worst


def wrong():
    return WRONG


def stop():
    STOP.set()
    for thread in THREADS:
        thread.join(20)
    return WRONG


def start(works):
    for number, work in enumerate(works):
        TURNS.append(0)
        THREADS.append(threading.Thread(target=loop, args=(number, work), daemon=True))
    THREADS.append(threading.Thread(target=watch, daemon=True))
    for thread in THREADS:
        thread.start()


COMMANDS = dict(beats=beats, gap=gap, wrong=wrong, stop=stop)


def serve(works, **commands):
    start(works)
    talk.serve(**dict(COMMANDS, **commands))
    os._exit(0 if not WRONG else 3)


class Requests:
    """For targets with one thread: the orders that have come meanwhile."""

    def __init__(self, **commands):
        self.commands = dict(COMMANDS, ping=lambda x: x, check=talk.check_work,
                             allocators=talk.allocators, **commands)
        self.buffer = b""
        talk.say(ready=os.getpid(), version=list(sys.version_info[:3]))

    def serve_what_came(self):
        import json
        while select.select([0], [], [], 0)[0]:
            got = os.read(0, 65536)
            if not got:
                os._exit(0)
            self.buffer += got
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                request = json.loads(line.decode())
                if request[0] == "quit":
                    talk.say(answer="bye")
                    os._exit(0)
                talk.say(answer=self.commands[request[0]](*request[1:]))
