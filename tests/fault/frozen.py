# SPDX-License-Identifier: MIT
"""A tool that is frozen at a step, so that something can happen meanwhile;
then it goes on.  What is common to the races: steps, words, ends."""
import contextlib
import os
import signal
import subprocess
import tempfile
import time

from fault_context import Faults, after_fault, fault_target
from points import judged
from process import Failure, require, require_equal

# Calls of the tool at which it is frozen.
STEPS = ("ptrace", "pwrite", "waitid", "openat", "process_vm_readv", "sendfile", "unlinkat",
         "nanosleep")


class Frozen:
    """A tool that stops itself at a step."""

    def __init__(self, faults, pid, step, timeout="20s", prefix=(), env=()):
        environment = dict(os.environ, PA_FAULT=step + ":stop", **dict(env))
        self.process = subprocess.Popen(
            list(prefix) + [faults.program, "attach", str(pid), "--payload",
                            faults.context.tool.payload, "--rate", "64KiB", "--timeout",
                            timeout, "--format", "json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment)

    def wait_frozen(self):
        """True if it came to that step, False if it ended before."""
        end = time.monotonic() + 60
        while True:
            info = os.waitid(os.P_PID, self.process.pid,
                             os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info:
                return info.si_code == os.CLD_STOPPED
            if time.monotonic() > end:
                raise Failure("the tool neither froze nor ended")
            time.sleep(0.001)

    def next_step(self):
        """On to where it stops itself once more."""
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        self.process.send_signal(signal.SIGCONT)
        require(self.wait_frozen(), "the tool came to no second step")

    def go_on(self):
        """Its result, as subprocess.run() gives it."""
        self.process.send_signal(signal.SIGCONT)
        try:
            out, err = self.process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            raise Failure("the tool did not end in 90 s")
        return subprocess.CompletedProcess([], self.process.returncode, out, err)

    def end(self):
        """Not by reading to the end: in a namespace the tool is a child of
        what we started, and may stay, frozen, until the namespace ends."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def frozen(context, faults, target, step, pid=None, **how):
    tool = Frozen(faults, pid or target.pid, step, **how)
    try:
        yield tool if tool.wait_frozen() else None
    finally:
        tool.end()


def steps_of(context, faults):
    """Steps to freeze at: all with --full, else the ends and some between."""
    with fault_target(context, "racing.py") as target, tempfile.NamedTemporaryFile("r") as out:
        done = faults.run(target, env={"PA_FAULT_COUNTS": out.name})
        require_equal(done.returncode, 0, "an attach without a fault")
        counts = dict(line.split() for line in out)
        after_fault(context, target)
    steps = []
    for name in STEPS:
        count = int(counts[name])
        numbers = set(range(1, count + 1))
        if not context.full and count > 4 and name != "ptrace":
            numbers = {1, count} | set(context.random.sample(range(2, count), 2))
        steps += ["%s:%d" % (name, n) for n in sorted(numbers)]
    return steps


def outcome(context, done, step, allowed):
    word = judged(context, done, step)
    require(word in ("attached",) + allowed, "at %s: %s" % (step, word), done.stderr)
    return word


@contextlib.contextmanager
def ended(disturb):
    """Whatever happens: who still traces a target keeps it from dying."""
    try:
        yield
    finally:
        if getattr(disturb, "process", None):
            disturb.end()


def at_every_step(context, disturb, allowed, most=None, timeout="20s"):
    """disturb(target, tool) at each step; the words that the tool said."""
    faults = Faults(context)
    steps = steps_of(context, faults)
    if most and not context.full and len(steps) > most:
        steps = ["openat:1"] + context.random.sample(steps, most - 1)
    words = {}
    for step in steps:
        with fault_target(context, "racing.py") as target, ended(disturb):
            plain = target.ask("allocators")
            with frozen(context, faults, target, step, timeout=timeout) as tool:
                if not tool:
                    continue
                disturb(target, tool)
                done = tool.go_on()
            word = outcome(context, done, step, allowed)
            words[word] = words.get(word, 0) + 1
            disturb.afterwards(context, target, plain, done)
    require(words, "the tool came to no step")
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


def afterwards(check):
    def set_it(function):
        function.afterwards = check
        return function
    return set_it


def works_again(context, target, plain, done):
    """It lives, and a good attach and detach go through."""
    after_fault(context, target, plain)
    context.tool.attach(target, "--rate", "64KiB")
    context.tool.still_served(target)
    require(after_fault(context, target, plain), "it was attached")
    require_equal(target.quit(), 0, "exit status of the target")
