# SPDX-License-Identifier: MIT
"""Blocked and idle targets: attach works, or ends in time with the reason,
and after a failure nothing of ours acts later."""
import signal
import time

from process import Failure, require, require_equal, state, wait_until

MODES = ("sleep", "epoll", "select", "join", "lock", "event_loop", "many_timers")


def wake(target, mode):
    if mode == "sleep":
        target.process.send_signal(signal.SIGUSR1)


def blocks(target):
    """Its main thread has gone to sleep in the call that it spoke of."""
    wait_until(lambda: state(target.pid) == "S", 30, "the target to block")


def holds(target, seconds):
    """Its only thread is in a C call that keeps the GIL; since when at most."""
    since = time.monotonic()
    target.send("hold", seconds)
    target.read()
    blocks(target)
    return since


def idle_targets(context):
    """Asleep in each way: attach works, the sleep goes on, no early return."""
    for mode in MODES:
        with context.target("blocked.py") as target:
            target.send("block", mode)
            target.read()
            if mode != "many_timers":
                blocks(target)
            context.tool.attach(target, "--rate", "16KiB")
            require(target.silent(), "the target woke up: " + mode)
            status = context.tool.status(target)
            require_equal(status["hooks"], "on", "hooks while blocked: " + mode)
            wake(target, mode)
            if mode != "sleep":
                target.send("ping", 1)
            require_equal(target.answer(), mode, "answer")
            if mode != "sleep":
                require_equal(target.answer(), 1, "answer")
            target.ask("keep", 3000, 600)
            require(context.tool.status(target)["samples"]["taken"] > 40, "samples")


def gil_is_released_in_time(context):
    """The GIL is held for a while, less than the timeout: attach waits."""
    with context.target("blocked.py") as target:
        holds(target, 1.5)
        got = context.tool.attach(target, "--timeout", "20s")
        held = target.answer()
        require(held >= 1.5, "the call returned early: %r" % held)
        require(got["total_ns"] < 15e9, "attach took too long", got)
        context.tool.still_served(target)


def timed_out_attach_acts_no_more(context):
    """The GIL is held beyond the timeout: an error in time, then nothing."""
    for held, timeout in ((30, 5),) if context.full else ((5, 1.5), (30, 5)):
        if times_out(context, held, timeout):
            return
    raise Failure("the command began when the call was over")


def times_out(context, held, timeout):
    """False: this machine is so slow that the GIL was free in time."""
    tool = context.tool
    with context.target("blocked.py") as target:
        since = holds(target, held)
        start = time.monotonic()
        answer = tool.run("attach", target.pid, *tool.attach_options(),
                          "--timeout", "%gs" % timeout, "--format", "json")
        took = time.monotonic() - start
        if answer.status == 0 and time.monotonic() - since >= held:
            target.attached = True
            return False
        require(answer.status in (tool.status_of["gil-timeout"], tool.status_of["timeout"],
                                  tool.status_of["no-safe-point"]), "status", answer)
        require(timeout - 0.5 <= took <= timeout + 20, "ended after %.1f s, asked for %g" % (
            took, timeout), answer)
        context.note("after %.2f s: %s" % (took, answer.error["error"]))
        require(target.silent() or time.monotonic() - since >= held,
                "the C call was cut short")
        tool.no_trace(target)
        tool.refused("not-attached", "status", target.pid)
        after = target.answer(held + 10)
        require(after >= held, "the call returned early: %r" % after)
        require_equal(target.ask("allocators"), target.before, "allocators after the call")
        require_equal(target.ask("check"), target.work, "answer after the call")
        tool.no_trace(target)
        tool.attach(target, "--rate", "16KiB")
        target.ask("keep", 3000, 600)
        require(tool.status(target)["samples"]["taken"] > 40, "samples of the new attach")
    return True


def ctrl_c_leaves_nothing(context):
    """The command is interrupted while it waits for the GIL."""
    import subprocess
    tool = context.tool
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with context.target("blocked.py") as target:
            holds(target, 3)
            command = subprocess.Popen(
                [tool.program, "attach", str(target.pid), "--timeout", "20s"]
                + tool.attach_options(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                # a shell's background job would hand on that SIGINT is ignored
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            try:
                command.wait(0.3 + context.random.random())
            except subprocess.TimeoutExpired:
                pass
            command.send_signal(number)
            early = command.wait(30)	# 0: it was quicker than the call
            require(target.answer() >= 3, "the C call was cut short")
            require_equal(target.ask("check"), target.work, "answer")
            # The payload may have come up after all: it answers, or nothing is there.
            answer = tool.run("status", target.pid, "--format", "json")
            require(answer.status in (0, tool.status_of["not-attached"]), "status", answer)
            if early == 0:
                context.note("the attach was quicker than signal %d" % number)
            if number != signal.SIGKILL and early != 0:
                require(answer.status != 0, "an interrupted attach went on", answer)
            target.attached = answer.status == 0


def unattended(context, how, wait, *held):
    """Status and output of targets/ending.py without us."""
    key = "ending %s %s" % (how, held)
    if key not in context.shared:
        context.shared[key] = ending(context, how, wait, None, *held)
    return context.shared[key]


def ending(context, how, wait, during, *held):
    """Run targets/ending.py; `during(target)` is called while it works, or
    while it holds the GIL.  Once more where 3.10 itself crashed when all was
    done: a daemon thread that waits for the GIL looks at the interpreter after
    that was freed (take_gil).  Of some hundred such ends one does, alone too."""
    for _ in range(4):
        got = one_ending(context, how, wait, during, *held)
        if how != "daemons" or context.row.minor != 10 or got[0] != -signal.SIGSEGV:
            break
        context.note("the interpreter crashed at its end")
    return got


def one_ending(context, how, wait, during, *held):
    with context.target("ending.py", how, wait, *held, unchanged=False,
                        text=True) as target:
        target.process.stdin.write(b"\n")
        target.process.stdin.flush()
        if held:
            require_equal(target.read_line(), b"holding", "line of the target")
        if during:
            during(target)
        if wait < 0:
            target.process.stdin.write(b"\n")
            target.process.stdin.flush()
        output = target.rest(30)
        status = target.wait()
        return status, output, target.complaint


class Forks:
    """An attach amid an os.fork() that has it warn of our thread, from 3.12 on
    (decision 8): some of them are no fault, if all else is as without us."""

    def __init__(self, context):
        self.context = context
        self.tries = 0
        self.warned = []

    def compare(self, got, alone, what):
        self.tries += 1
        if (self.context.row.minor >= 12 and got != alone
                and got == alone[:2] + ("  pid = os.fork()",)):
            self.warned.append(what)
            return
        require_equal(got, alone, what)

    def end(self):
        require(len(self.warned) <= 3 + self.tries // 100, "warnings of os.fork()",
                *self.warned)
        if self.warned:
            self.context.note("%d warned of our thread" % len(self.warned))


ENDINGS = ("return", "exit", "_exit", "raise", "term", "daemons", "late", "late_forks",
           "forks", "spawns", "exec")


def target_ends_meanwhile(context):
    """It exits, forks or execs while we attach, at a random moment."""
    tool = context.tool
    outcomes = {}
    forks = Forks(context)

    def attach(target):
        wait = context.random.uniform(0, 0.03)
        time.sleep(wait)  # a random moment, not a synchronisation
        answer = tool.run("attach", target.pid, *tool.attach_options(), "--timeout", "5s",
                          "--rate", "4KiB", "--format", "json")
        word = "attached" if answer.status == 0 else answer.error["error"]
        outcomes[word] = outcomes.get(word, 0) + 1
        require(word in ("attached", "exited", "no-such-process", "zombie", "finalising",
                         "not-initialised", "pid-reused", "no-safe-point", "timeout",
                         "not-python", "gil-timeout", "loading", "socket-failed",
                         "uninterruptible"),
                "an unexpected error", answer)

    for how in ENDINGS:
        alone = unattended(context, how, 20)
        for _ in range(30 if context.full else 6):
            with_us = ending(context, how, context.random.randrange(60), attach)
            forks.compare(with_us, alone, "status, output, complaint of %r" % how)
    forks.end()
    context.note(", ".join("%s %d" % o for o in sorted(outcomes.items())))


def ends_while_an_attach_waits(context):
    """The GIL is held, an attach waits for it or has given up; then the
    target exits, forks or execs at once."""
    tool = context.tool
    words = {}
    forks = Forks(context)
    for how in ("return", "exit", "_exit", "daemons", "late", "forks", "spawns", "exec",
                "term"):
        alone = unattended(context, how, 0, 300)
        for timeout in ("0.1s", "8s"):
            def attach(target):
                answer = tool.run("attach", target.pid, *tool.attach_options(), "--timeout",
                                  timeout, "--rate", "4KiB", "--format", "json")
                word = "attached" if answer.status == 0 else answer.error["error"]
                words[word] = words.get(word, 0) + 1

            with_us = ending(context, how, 0, attach, 300)
            forks.compare(with_us, alone, "%r after a held GIL, timeout %s" % (how, timeout))
    forks.end()
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


CASES = [idle_targets, gil_is_released_in_time, timed_out_attach_acts_no_more,
         ctrl_c_leaves_nothing, target_ends_meanwhile,
         ends_while_an_attach_waits]
