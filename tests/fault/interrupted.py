# SPDX-License-Identifier: MIT
"""Threads inside blocking system calls, stopped: each call gives its exact
result, without EINTR and not before its time.  Calls whose timeout starts
anew after a stop may be late, by one timeout for each stop; how late is
printed, as a busy machine is late by itself."""

import errno
import os
import re
import signal
import time

from fault_context import Faults, after_fault, fault_target
from frozen import frozen
from process import read_proc, require, require_equal, state, wait_until

# After a stop their timeout begins again (the man page says so).
MAY_BE_LATE = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "recv_timeout", "recvmsg_timeout",
               "recvmmsg_timeout", "read_timeout", "accept_timeout", "send_timeout",
               "connect_timeout", "semtimedop", "sigtimedwait", "io_getevents",
               "io_uring_enter")

EXACT = 1	# PA_RANK_EXACT: who is in no call, too

# Some that the kernel ends with EINTR itself, if nobody makes up for it.
SEEN_AS_EINTR = ("accept_timeout", "epoll_wait_infinite", "recv_timeout", "semop",
                 "sigtimedwait")


def stopped_in(context, faults, target, name, tid, unsafe):
    """Attach by that very thread, or only stop it and let it go."""
    env = {"PA_FAULT_THREAD": str(tid), "PA_FAULT_UNSAFE": str(unsafe)}
    done = faults.run(target, env=env, timeout="10s")
    ok = (0, context.tool.status_of["no-safe-point"])
    require(done.returncode in ok, "attach by the thread in %s: %s" % (name, done.stderr))
    after_fault(context, target)
    return done.returncode == 0


def calls_are_exact(context):
    faults = Faults(context)
    rounds = 5 if context.full else 2
    refused = set()
    with fault_target(context, "calls.py") as target:
        prepared = target.ask("prepared")
        require(prepared >= 0, "the calls could not be prepared")
        facts = wait_until(lambda: ready(target), 30, "all threads to be in their calls")
        target.ask("reset")
        for turn in range(rounds):
            for name, fact in sorted(facts.items()):
                if not stopped_in(context, faults, target, name, fact["tid"], turn % 2):
                    refused.add(name)
        before = target.ask("facts")
        wait_until(lambda: all(f["calls"] > before[n]["calls"] + 1 for n, f in
                               target.ask("facts").items()), 30, "every call to end again")
        judge(target.ask("facts"), context)
        target.ask("stop")
    if prepared == 1:
        context.note("no io_uring here")
    if refused:
        context.note("never a safe point: " + " ".join(sorted(refused)))


def ready(target):
    facts = target.ask("facts")
    return facts if all(f["calls"] and f["tid"] for f in facts.values()) else None


def judge(facts, context):
    late = {}
    for name, fact in sorted(facts.items()):
        require_equal(fact["interrupted"], 0, "EINTR from " + name)
        require_equal(fact["wrong"], 0, "wrong results of %s (errno %d)" % (
            name, fact["last_errno"]))
        require(not fact["early"], "early returns of " + name, fact)
        if fact["timed"]:
            late[name] = fact["latest_ns"] / 1e6
    exact = [ms for name, ms in late.items() if name not in MAY_BE_LATE]
    others = [ms for name, ms in late.items() if name in MAY_BE_LATE]
    context.note("%d calls; late by at most %.1f ms, those with a timeout begun anew %.1f ms"
                 % (len(facts), max(exact), max(others)))


def place(target, tid):
    """Where a thread waits: number and program counter of its call, or None."""
    words = read_proc(target.pid, "task/%d/syscall" % tid).split()
    return (words[0], words[-1]) if len(words) == 9 else None


def tool_is_late(context):
    """The tool is frozen before it can hand the call back: the stub does so
    by itself, and the tool, when it comes at last, does not end the call."""
    faults = Faults(context)
    resumes = "ptrace:8"	# the first one after the commit's detach
    late = 0
    with fault_target(context, "calls.py") as target:
        require(target.ask("prepared") >= 0, "the calls could not be prepared")
        facts = wait_until(lambda: ready(target), 30, "all threads to be in their calls")
        for name, fact in sorted(facts.items()):
            tid = fact["tid"]
            waiting = wait_until(lambda: place(target, tid), 30, "the thread in " + name)
            with frozen(context, faults, target, resumes, timeout="60s",
                        env={"PA_FAULT_THREAD": str(tid)}) as tool:
                if tool:
                    wait_until(lambda: place(target, tid) == waiting, 30,
                               "the thread to be back in " + name)
                    done = tool.go_on()
                    require_equal(done.returncode, 0, "attach: %s" % done.stderr)
                    late += 1
            after_fault(context, target)
        judge(target.ask("facts"), context)
        target.ask("stop")
    require(late > len(facts) // 2, "the tool was late only %d times" % late)


def signals_that_do_nothing(context):
    """While a thread is stopped the kernel keeps signals that are ignored: a
    child's end, a new size of the window.  They end no call."""
    faults = Faults(context)
    with fault_target(context, "calls.py") as target:
        require(target.ask("prepared") >= 0, "the calls could not be prepared")
        facts = wait_until(lambda: ready(target), 30, "all threads to be in their calls")
        for unsafe in ("0", "1"):
            for name, number in zip(SEEN_AS_EINTR * 2, (signal.SIGCHLD, signal.SIGWINCH) * 5):
                tid = facts[name]["tid"]
                wait_until(lambda: place(target, tid), 30, "the thread in " + name)
                # stopped, and not yet looked at
                with frozen(context, faults, target, "ptrace:3",
                            env={"PA_FAULT_THREAD": str(tid), "PA_FAULT_UNSAFE": unsafe}) as tool:
                    require(tool, "the tool came to no stop")
                    wait_until(lambda: state(tid) == "t", 30, "the thread to be stopped")
                    os.kill(tid, number)
                    require_equal(tool.go_on().returncode, 0, "status of the attach")
                after_fault(context, target)
        judge(target.ask("facts"), context)
        target.ask("stop")


def dead_tool_is_not_awaited(context):
    """The tool dies after the commit: the stub goes on soon, as other threads
    may be waiting for this one.  The best of some tries is judged, as any of
    them may have to wait for a CPU: on a busy machine there are more."""
    faults = Faults(context)
    took = []
    with fault_target(context, "calls.py") as target:
        require(target.ask("prepared") >= 0, "the calls could not be prepared")
        facts = wait_until(lambda: ready(target), 30, "all threads to be in their calls")
        tid = facts["nanosleep"]["tid"]
        while len(took) < 5 or (min(took) >= 0.1 and len(took) < 40):
            counter = wait_until(lambda: place(target, tid), 30, "the thread to sleep")[1]
            done = faults.run(target, "ptrace:7:after", env={"PA_FAULT_THREAD": str(tid)})
            start = time.monotonic()
            require_equal(done.returncode, -9, "the tool's end")
            wait_until(lambda: (place(target, tid) or (0, 0))[1] == counter, 30,
                       "the thread to be back in its call")
            took.append(time.monotonic() - start)
            after_fault(context, target)
        judge(target.ask("facts"), context)
        target.ask("stop")
    require(min(took) < 0.1, "how long a dead tool was waited for", took)


def commit_fails(context):
    """The thread is stopped, and the kernel then refuses to write: it is let
    go with its call as it was."""
    faults = Faults(context)
    with fault_target(context, "calls.py") as target:
        require(target.ask("prepared") >= 0, "the calls could not be prepared")
        facts = wait_until(lambda: ready(target), 30, "all threads to be in their calls")
        for name in sorted(facts) if context.full else SEEN_AS_EINTR:
            fact = facts[name]
            wait_until(lambda: place(target, fact["tid"]), 30, "the thread in " + name)
            done = faults.run(target, "pwrite:1:%d" % errno.EIO,
                              {"PA_FAULT_THREAD": str(fact["tid"])}, timeout="10s")
            require(done.returncode in [context.tool.status_of[word] for word in (
                "trace-failed", "no-safe-point")], "status: %s" % done.stderr)
            after_fault(context, target)
        judge(target.ask("facts"), context)
        target.ask("stop")


def tried(said, names):
    """[(name, rank when it was chosen)] of the threads that were let go."""
    ranks, found = {}, []
    for line in said.decode().splitlines():
        rank = re.match(r"rank (\d+) (\d+)$", line)
        if rank:
            ranks[int(rank.group(1))] = int(rank.group(2))
        stop = re.search(r"thread (\d+): a test says so", line)
        if stop:
            tid = int(stop.group(1))
            found.append((names.get(tid, "another"), ranks[tid]))
    return found


def chosen_last(context):
    """No thread in a call of which exactness cannot be promised is stopped
    while there are others."""
    faults = Faults(context)
    with fault_target(context, "calls.py") as target:
        require(target.ask("prepared") >= 0, "the calls could not be prepared")
        facts = wait_until(lambda: ready(target), 30, "all threads to be in their calls")
        names = {fact["tid"]: name for name, fact in facts.items()}
        for _ in range(3):
            done = faults.run(target, env={"PA_FAULT_UNSAFE": "1000", "PA_FAULT_RANKS": "1"},
                              timeout="4s", options=["-v", "--method", "ptrace"])
            require_equal(done.returncode, context.tool.status_of["no-safe-point"], "status")
            stops = tried(done.stderr, names)
            require(len(stops) >= 8, "threads that were tried", stops)
            # there are more exact ones than that; who is out of its call is one
            early = [name for name, rank in stops[:8]
                     if name in MAY_BE_LATE and rank != EXACT]
            require(not early, "stopped before others", early, stops)
            after_fault(context, target)
        judge(target.ask("facts"), context)
        target.ask("stop")


CASES = [calls_are_exact, signals_that_do_nothing, tool_is_late, dead_tool_is_not_awaited, commit_fails,
         chosen_last]
