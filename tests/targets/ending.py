# SPDX-License-Identifier: MIT
"""Says ready, works until the given moment, then ends or forks as told:
`ending.py HOW MILLISECONDS [HELD]`: with HELD, a C call keeps the GIL for so
many milliseconds just before.  MILLISECONDS -1: work until a second line
comes.  Output and status must not depend on us."""
import atexit
import os
import select
import signal
import subprocess
import sys
import threading
import time

HOW, WAIT = sys.argv[1], int(sys.argv[2]) / 1000.0
HELD = int(sys.argv[3]) if len(sys.argv) > 3 else 0


def work_until(end):
    """Allocate until the clock says so."""
    kept = []
    while time.monotonic() < end:
        kept.append({"value": [str(len(kept))] * 20})
        if len(kept) > 500:
            del kept[:]


def work_until_told():
    """Allocate until there is something to read."""
    while not select.select([0], [], [], 0)[0]:
        work_until(time.monotonic() + 0.01)
    os.read(0, 1)


def say(text):
    os.write(1, text.encode() + b"\n")


def forks():
    for i in range(5):
        pid = os.fork()
        if pid == 0:
            work_until(time.monotonic() + 0.02)
            say("child %d" % i)
            os._exit(i)
        say("status %d" % (os.waitpid(pid, 0)[1] >> 8))


def spawns():
    for i in range(3):
        got = subprocess.run([sys.executable, "-S", "-c", "print(%d)" % i],
                             stdout=subprocess.PIPE)
        say("spawned %r %d" % (got.stdout, got.returncode))


def executes():
    os.execv(sys.executable, [sys.executable, "-S", "-c",
                              "import sys; print('executed'); sys.exit(9)"])


def daemons():
    def for_ever():
        while True:
            bytes(1000)
    for _ in range(3):
        threading.Thread(target=for_ever, daemon=True).start()
    atexit.register(say, "atexit ran")
    sys.exit(4)


def raises():
    raise ValueError("on purpose")


def late():
    """Work in atexit, after the threads were joined."""
    atexit.register(lambda: (work_until(time.monotonic() + 0.05), say("late")))
    sys.exit(6)


def late_forks():
    """Fork in atexit."""
    atexit.register(forks)
    sys.exit(8)


def hold():
    import ctypes
    usleep = ctypes.PyDLL(None).usleep
    say("holding")
    usleep(ctypes.c_uint32(HELD * 1000))


ENDS = {
    "return": lambda: say("fell off the end"),
    "exit": lambda: sys.exit(3),
    "_exit": lambda: os._exit(5),
    "raise": raises,
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "int": lambda: signal.raise_signal(signal.SIGINT),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "daemons": daemons,
    "late": late,
    "late_forks": late_forks,
    "forks": forks,
    "spawns": spawns,
    "exec": executes,
}

say("ready")
os.read(0, 1)
if WAIT < 0:
    work_until_told()
else:
    work_until(time.monotonic() + WAIT)
if HELD:
    hold()
say("now")
ENDS[HOW]()
