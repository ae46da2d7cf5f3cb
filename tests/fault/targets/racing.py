# SPDX-License-Identifier: MIT
"""The main thread waits, to be stopped; another one obeys, and ends, forks
or replaces the process at once when it is told to."""
import os
import signal
import sys
import threading

import talk

CHILDREN = []
CAUGHT = []


def leave(status):
    talk.say(answer="leaving")
    os._exit(status)


def execute():
    talk.say(answer="executing")
    os.execv(sys.executable, [sys.executable] + sys.argv)


def fork():
    """A child that works, and tells by its status that it did."""
    child = os.fork()
    if child == 0:
        os._exit(7 if talk.check_work() == talk.check_work() else 8)
    CHILDREN.append(child)
    return True


def forked():
    """The statuses of the children."""
    statuses = [os.waitpid(child, 0)[1] >> 8 for child in CHILDREN]
    del CHILDREN[:]
    return statuses


def obey():
    talk.serve(leave=leave, execute=execute, fork=fork, forked=forked,
               caught=lambda: len(CAUGHT))
    os._exit(0)


signal.signal(signal.SIGUSR1, lambda number, frame: CAUGHT.append(number))
threading.Thread(target=obey).start()
threading.Event().wait()
