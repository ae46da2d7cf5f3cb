# SPDX-License-Identifier: MIT
"""Forks on demand; each child reports what it is before it ends."""
import ctypes
import json
import os
import subprocess
import sys
import threading
import time
import warnings

import talk

KEPT = []
SEEN = []
warnings.simplefilter("always")


def show(message, *rest, **more):
    if "fork" in str(message):
        SEEN.append(str(message))


warnings.showwarning = show


def in_child(out, before):
    """What the child finds; never returns."""
    status = 1
    try:
        facts = {
            "original": talk.allocators() == before,
            "check": talk.check_work(),
            "threads": sorted(open("/proc/self/task/%s/comm" % t).read().strip()
                              for t in os.listdir("/proc/self/task")),
            "sockets": [n for n in (os.readlink("/proc/self/fd/%s" % f)
                                    for f in list_fds()) if n.startswith("socket:")],
        }
        os.write(out, json.dumps(facts).encode())
        status = 7
    finally:
        os._exit(status)


def list_fds():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            os.readlink("/proc/self/fd/" + fd)
            found.append(fd)
        except OSError:
            pass
    return found


def fork(times, before):
    """Fork; what each child said, and the warnings about threads."""
    del SEEN[:]
    children = []
    for _ in range(times):
        inlet, out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(inlet)
            in_child(out, before)
        os.close(out)
        with os.fdopen(inlet, "rb") as stream:
            text = stream.read()
        status = os.waitpid(pid, 0)[1]
        children.append([status, json.loads(text) if text else None])
        KEPT.append(bytes(5000))
        del KEPT[:-50]
    return {"children": children, "warnings": list(SEEN)}


def storm(seconds, busy):
    """Fork all the time, with `busy` seconds of work or, if negative, of sleep
    in between: how often, and the warnings about threads."""
    del SEEN[:]
    forks = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        until = time.monotonic() + busy
        while time.monotonic() < until:
            KEPT.append(bytes(5000))
            del KEPT[:-50]
        if busy < 0:
            time.sleep(-busy)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        if os.waitpid(pid, 0)[1] != 0:
            raise RuntimeError("a child failed")
        forks += 1
    return [forks, list(SEEN)]


def call_back_after_forks():
    """From now on a fork is followed by Python code of ours, in the parent."""
    os.register_at_fork(after_in_parent=lambda: sum(abs(i) for i in range(100)))
    return True


def another_thread():
    """One that sleeps from now on."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return True


def fork_with_a_thread():
    """The control: with a second thread of its own python must warn."""
    del SEEN[:]
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    stop.set()
    thread.join()
    return len(SEEN)


def fork_from_a_thread():
    """Fork in a thread as soon as the main one is blocked in read(); a second
    answer tells of the child."""
    def forks():
        name = "/proc/self/task/%d/syscall" % os.getpid()
        while not open(name).read().startswith("0 "):
            pass
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        status = os.waitpid(pid, 0)[1]
        talk.say(answer=status)

    threading.Thread(target=forks, daemon=True).start()
    return True


def spawn(times):
    """subprocess, posix_spawn, system: ways that do not fork in Python."""
    for _ in range(times):
        got = subprocess.run([sys.executable, "-S", "-c", "print(6 * 7)"],
                             stdout=subprocess.PIPE)
        if (got.returncode, got.stdout) != (0, b"42\n"):
            return repr(got)
        pid = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", "raise SystemExit(3)"], {})
        if os.waitpid(pid, 0)[1] != 3 << 8:
            return "posix_spawn"
        if os.system("exit 5") != 5 << 8:
            return "system"
    return "good"


def pool_worker(pipe):
    pipe.send([abs(x) for x in pipe.recv()])


def pool(processes):
    """multiprocessing by fork, the usual user of all this; pipes only, for a
    chroot has no /dev/shm for its semaphores."""
    import multiprocessing
    context = multiprocessing.get_context("fork")
    total = 0
    for _ in range(processes):
        mine, theirs = context.Pipe()
        child = context.Process(target=pool_worker, args=(theirs,))
        child.start()
        mine.send(list(range(-100, 100)))
        total += sum(mine.recv())
        child.join()
        if child.exitcode != 0:
            return "exit status %r" % child.exitcode
    return total


def execute():
    """Become another program, the same one, without a payload."""
    os.execv(sys.executable, [sys.executable, __file__])


def keep(count, size):
    for _ in range(count):
        KEPT.append(bytes(size - 33))
    return keep.__code__.co_firstlineno + 2


def child_that_stays():
    """A child that waits for the end of its input; its pid."""
    pid = os.fork()
    if pid == 0:
        inlet, out = os.pipe()
        os.close(0)
        os.read(inlet, 1)
        os._exit(0)
    return pid


PIPES = []


def child_that_serves():
    """A child that obeys ask_child(); its pid."""
    to_child, from_child = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        requests = os.fdopen(to_child[0], "r")
        while True:
            name, *arguments = json.loads(requests.readline())
            answer = {"keep": keep, "len": len}[name](*arguments)
            os.write(from_child[1], json.dumps(answer).encode() + b"\n")
    os.close(to_child[0])
    os.close(from_child[1])
    PIPES[:] = [os.fdopen(to_child[1], "w"), os.fdopen(from_child[0], "r")]
    return pid


def ask_child(*request):
    print(json.dumps(request), file=PIPES[0], flush=True)
    return json.loads(PIPES[1].readline())


def end_child(pid):
    del PIPES[:]
    os.kill(pid, 15)
    return os.waitpid(pid, 0)[1]


# ---- handlers of fork that are older than the sampler's ----

WISH, GRANTED = threading.Event(), threading.Event()


def allocate_on_wish():
    while True:
        WISH.wait()
        WISH.clear()
        KEPT[:] = [bytes(1000) for _ in range(200)]
        GRANTED.set()


@ctypes.CFUNCTYPE(None)
def wait_for_allocations():
    GRANTED.clear()
    WISH.set()
    GRANTED.wait()


def hold_up_forks():
    """From now on a fork waits until another thread has allocated."""
    threading.Thread(target=allocate_on_wish, daemon=True).start()
    register = ctypes.CDLL(None).__getattr__("__register_atfork")
    register(wait_for_allocations, None, None, None)
    return True


NESTED = []


@ctypes.CFUNCTYPE(None)
def fork_once_more():
    if not NESTED:
        NESTED.append(None)
        pid = ctypes.CDLL(None).fork()
        if pid == 0:
            os._exit(7)
        NESTED[0] = os.waitpid(pid, 0)[1]


def fork_amid_a_fork():
    """By an older handler: what the inner child gave, and the outer one.
    None: this C library's fork cannot be called there."""
    if list(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split("."))) < [2, 36]:
        return None
    ctypes.CDLL(None).__getattr__("__register_atfork")(fork_once_more, None, None, None)
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return [NESTED[0], os.waitpid(pid, 0)[1]]


# ---- C code of ours ----

CHURNING = []


def library():
    return ctypes.CDLL(os.environ["LD_PRELOAD"])


def churn(count):
    """So many threads that allocate in C all the time; 0: no more."""
    c = library()
    c.stop_churning(0 if count else 1)
    for thread in CHURNING:
        thread.join()
    CHURNING[:] = [threading.Thread(target=c.churn, args=(
        ctypes.pythonapi.PyMem_RawMalloc, ctypes.pythonapi.PyMem_RawFree)) for _ in range(count)]
    for thread in CHURNING:
        thread.start()
    return True


def fork_in_c():
    """Answers from C, where it then reads one byte."""
    return library().fork_then_read()


def hold_up_start():
    """The sampler's thread does not begin before fork_amid_start()."""
    library().start_shall(1)
    return True


def fork_amid_start():
    """Fork, with that thread going on when it is asked to leave; the status."""
    library().start_shall(2)
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    library().start_shall(0)
    return os.waitpid(pid, 0)[1]


def fork_without_a_thread():
    """As fork_amid_start, and that thread cannot be started anew."""
    library().threads_shall_fail(1)
    return fork_amid_start()


def fork_in_handler(times):
    """By a signal that arrives in the middle of a sample: what children gave."""
    c = library()
    got = []
    for _ in range(times):
        c.arm()
        while c.forked() < 0:
            KEPT.append(bytes(1000))
        if c.forked() == 0:
            os._exit(7 if talk.check_work() > 0 else 1)
        got.append(os.waitpid(c.forked(), 0)[1])
    return got


talk.serve(fork=fork, storm=storm, fork_with_a_thread=fork_with_a_thread,
           fork_from_a_thread=fork_from_a_thread, spawn=spawn,
           pool=pool, execute=execute, keep=keep, child_that_stays=child_that_stays,
           end_child=end_child, hold_up_forks=hold_up_forks, churn=churn, fork_in_c=fork_in_c,
           fork_in_handler=fork_in_handler, hold_up_start=hold_up_start,
           fork_amid_start=fork_amid_start, fork_without_a_thread=fork_without_a_thread,
           call_back_after_forks=call_back_after_forks, another_thread=another_thread,
           fork_amid_a_fork=fork_amid_a_fork, child_that_serves=child_that_serves, ask_child=ask_child)
