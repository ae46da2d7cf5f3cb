# SPDX-License-Identifier: MIT
"""What may happen in the middle of an attach: the target ends, executes
another program, forks, is stopped, gets another tracer or a second injector,
or its pid gets another process.  The tool is frozen at a step, the thing
happens, the tool goes on: it says the truth, and the target is not harmed."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from directory import ATTACHED, STARTING, Directory
from fault_context import Faults, after_fault, fault_target
from frozen import afterwards, at_every_step, frozen, outcome, steps_of, works_again
from process import (Failure, Skip, mappings, our_threads, proc_status, read_proc, require,
                     require_equal, state, threads, wait_until)

ENDED = ("exited", "no-such-process", "zombie", "pid-reused", "not-attached")
# Who asks at a bad moment may be told to come again.
LATER = ("timeout", "gil-timeout", "no-safe-point", "loading", "traced", "stopped",
         "uninterruptible", "trace-failed")


# ---- the target acts ----

def ended_by_itself(context, target, plain, done):
    require_equal(target.wait(), 23, "exit status of the target")


@afterwards(ended_by_itself)
def leave(target, tool):
    require_equal(target.ask("leave", 23), "leaving", "the target's answer")


def target_exits(context):
    at_every_step(context, leave, ENDED)


def executed(context, target, plain, done):
    hello = target.read()
    require_equal(hello["ready"], target.pid, "pid after exec")
    # frozen before its first look, the tool attached to the new program
    after_fault(context, target)
    works_again(context, target, target.ask("allocators"), done)


@afterwards(executed)
def execute(target, tool):
    require_equal(target.ask("execute"), "executing", "the target's answer")


def target_executes(context):
    """The new program is not attached by half; it is attachable."""
    at_every_step(context, execute, ENDED + LATER + ("not-initialised", "not-python"))


def has_forked(context, target, plain, done):
    require_equal(target.ask("forked"), [7], "statuses of the children")
    works_again(context, target, plain, done)


@afterwards(has_forked)
def fork(target, tool):
    require_equal(target.ask("fork"), True, "the target's answer")


def target_forks(context):
    at_every_step(context, fork, LATER)


# ---- others act ----

def was_killed(context, target, plain, done):
    require_equal(target.wait(), -9, "exit status of the target")


@afterwards(was_killed)
def kill(target, tool):
    target.process.send_signal(signal.SIGKILL)
    # a frozen tracer keeps the remains of a thread
    wait_until(lambda: state(target.pid) in "ZX", 30, "the target to die")


def target_is_killed(context):
    at_every_step(context, kill, ENDED)


def continued(context, target, plain, done):
    target.process.send_signal(signal.SIGCONT)
    works_again(context, target, plain, done)


@afterwards(continued)
def stop(target, tool):
    target.process.send_signal(signal.SIGSTOP)


def target_is_stopped(context):
    """SIGSTOP: said, and all is well when it is continued."""
    at_every_step(context, stop, LATER, most=8, timeout="0.5s")


class Tracer:
    """strace or gdb at the target while the tool is frozen."""

    afterwards = staticmethod(lambda context, target, plain, done: None)

    def __init__(self, command):
        self.command = command
        self.came = 0

    def __call__(self, target, tool):
        self.process = subprocess.Popen(
            [word.replace("PID", str(target.pid)) for word in self.command],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # it traces, or was told that somebody does
        wait_until(lambda: self.process.poll() is not None or traced_by(
            target.pid) == self.process.pid, 60, "the tracer to come or to go")
        self.came += traced_by(target.pid) == self.process.pid

    def end(self):
        self.process.stdin.close()
        if self.command[0] == "strace":
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def traced_by(pid):
    return int(proc_status(pid, "TracerPid"))


def with_tracer(context, command, most):
    if not shutil.which(command[0]):
        context.skip("no %s here" % command[0])
    tracer = Tracer(command)

    def tracer_ends(context, target, plain, done):
        tracer.end()
        wait_until(lambda: traced_by(target.pid) == 0, 30, "the tracer to be gone")
        works_again(context, target, plain, done)

    tracer.afterwards = tracer_ends
    # a tracer may hold what the tool waits for
    at_every_step(context, tracer, LATER, most, timeout="2s")
    require(tracer.came, "%s never traced it" % command[0])
    context.note("%s traced it %d times" % (command[0], tracer.came))


def strace_comes(context):
    with_tracer(context, ["strace", "-f", "-o", "/dev/null", "-p", "PID"], 12)


def gdb_comes(context):
    """gdb holds all threads until its input ends."""
    hold = "python if gdb.selected_inferior().pid: gdb.execute('shell cat >/dev/null')"
    with_tracer(context, ["gdb", "-nx", "-q", "-batch", "-p", "PID", "-ex", hold], 4)


def second_injector(context):
    """A whole second attach while the first is frozen: one payload, and each
    tool is told how it is."""
    faults = Faults(context)
    words = {}
    for step in steps_of(context, faults):
        with fault_target(context, "racing.py") as target:
            plain = target.ask("allocators")
            with frozen(context, faults, target, step) as tool:
                if not tool:
                    continue
                second = faults.run(target, timeout="4s")
                first = tool.go_on()
            pair = "%s and %s" % (outcome(context, first, step, LATER),
                                  outcome(context, second, step, LATER))
            words[pair] = words.get(pair, 0) + 1
            require("attached" in pair, "neither attached at %s" % step, first.stderr,
                    second.stderr)
            # who gave way has told so before its thread has quite ended
            wait_until(lambda: len(our_threads(target.pid)) == 1, 30,
                       "one thread of ours to be left after " + pair)
            works_again(context, target, plain, first)
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


def overtaken(context):
    """Others detach what the tool attached, and attach anew, before it has
    read the answer: it does not wait on for one that is gone."""
    faults = Faults(context)
    with fault_target(context, "blocked.py") as target:
        plain = target.ask("allocators")
        target.send("hold", 4)
        target.read()
        # so late it waits for the payload, which waits for the GIL
        step = "nanosleep:100"
        with frozen(context, faults, target, step, timeout="30s") as tool:
            require(tool, "the tool did not wait")
            target.answer()
            context.tool.good("status", target.pid)
            context.tool.detach(target)
            require_equal(faults.run(target).returncode, 0, "the next attach")
            start = time.monotonic()
            done = tool.go_on()
        require_equal(outcome(context, done, step, ("not-attached",)), "not-attached", "word")
        require(b"detached by somebody else just when it was attached" in done.stderr, "message",
                done.stderr)
        require(time.monotonic() - start < 15, "it waited for an answer that is gone")
        context.tool.still_served(target)
        works_again(context, target, plain, done)


def asked_amid_two(context):
    """No low slot is free, and two payloads wait for the GIL: who asks them is
    answered by the one that wins, also if it had called the other."""
    faults = Faults(context)
    verbs = ("status", "status", "rate", "report")
    others = 0
    for _ in range(6 if context.full else 3):
        with fault_target(context, "slots.py") as target, contextlib.ExitStack() as stack:
            plain = target.ask("allocators")
            require_equal(target.ask("take"), 16, "slots taken by the target itself")
            target.send("hold", 1.5)
            target.read()
            with frozen(context, faults, target, "ptrace:1", timeout="30s") as tool:
                second = stack.enter_context(running(faults.program, "attach", target.pid,
                                                     "--payload", context.tool.payload))
                wait_until(lambda: our_threads(target.pid), 30, "the second's payload")
                tool.process.send_signal(signal.SIGCONT)
                wait_until(lambda: len(our_threads(target.pid)) == 2 or
                           tool.process.poll() is not None, 30, "the first's payload")
                asked = [stack.enter_context(running(
                    context.tool.program, verb, target.pid, *["64KiB"] * (verb == "rate")))
                    for verb in verbs]
                done = tool.go_on()
            others += second.wait(30) != 0
            for verb, one in zip(verbs, asked):
                error = one.communicate(timeout=30)[1]
                require_equal(one.returncode, 0, "%s amid two attaches: %s" % (verb, error))
            target.answer()
            works_again(context, target, plain, done)
    context.note("%d times the first won" % others)


@contextlib.contextmanager
def running(program, verb, pid, *options):
    process = subprocess.Popen([program, verb, str(pid), "--timeout", "30s"] + list(options),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def interrupted_behind_another(context):
    """Interrupted before it has touched the process, to which somebody else
    attached meanwhile: what is not its own it does not detach."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        with frozen(context, faults, target, "ptrace:1") as tool:
            require_equal(faults.run(target).returncode, 0, "the other attach")
            tool.process.send_signal(signal.SIGINT)
            done = tool.go_on()
        require(done.returncode != 0, "an interrupted attach was good", done.stdout)
        context.tool.still_served(target)
        works_again(context, target, plain, done)


def code_left(pid):
    """Address and bytes of the code that attaches leave, in /proc/PID/mem."""
    with open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in mappings(pid):
            fields = line.split()
            if "x" not in fields[1] or fields[-1].startswith("["):
                continue
            end = int(fields[0].split("-")[1], 16)
            memory.seek(end - 4096)
            page = memory.read(4096)
            at = page.find(b"PYATTACH")
            if at >= 0:
                size = int.from_bytes(page[at + 8:at + 16], "little")
                return end - 4096 + at, page[at:at + size]
    raise Failure("no code is left")


def other_build(context):
    """Another build's code came into the place that was found free: it may
    be running, and stays."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        with frozen(context, faults, target, "ptrace:1") as tool:
            require_equal(faults.run(target).returncode, 0, "the first attach")
            after_fault(context, target)
            at, code = code_left(target.pid)
            other = code[:-1] + bytes([code[-1] ^ 1])
            with open("/proc/%d/mem" % target.pid, "r+b", 0) as memory:
                memory.seek(at)
                memory.write(other)
            done = tool.go_on()
        require_equal(outcome(context, done, "ptrace:1", ("trace-failed",)), "trace-failed",
                      "word")
        require(b"writing the stub" in done.stderr, "message", done.stderr)
        require_equal(code_left(target.pid), (at, other), "the other code")
        works_again(context, target, plain, done)


def waits_at(target, tid, elsewhere=None):
    """The stack pointer of a thread that waits in the kernel, once it is not
    `elsewhere`."""
    def look():
        words = read_proc(target.pid, "task/%d/syscall" % tid).split()
        return words[7] if len(words) == 9 and words[7] != elsewhere else None
    return wait_until(look, 30, "the thread to wait")


def late_for_another(context):
    """A tool comes too late to hand the call back, while another tool's stub
    waits in the same thread, further down: each minds its own."""
    faults = Faults(context)
    handing_back = "ptrace:8"	# the first one after the commit's detach
    words = {}
    with fault_target(context, "depths.py") as target:
        plain = target.ask("allocators")
        tid = wait_until(lambda: target.ask("tid"), 30, "the thread")
        on_it = {"PA_FAULT_THREAD": str(tid)}
        told = ""
        for _ in range(20 if context.full else 8):
            up = waits_at(target, tid)
            with frozen(context, faults, target, "ptrace:1:stop," + handing_back,
                        env=on_it) as other:
                with frozen(context, faults, target, handing_back, env=on_it) as late:
                    require(other and late, "a tool came to no step")
                    # it may still be in the stub, which waits 60 ms
                    target.ask("tell", "d")
                    told += "d"
                    wait_until(lambda: target.ask("got") == told, 30, "the thread to go on")
                    waits_at(target, tid, up)
                    other.next_step()
                    done = late.go_on()
                word = outcome(context, done, handing_back, LATER)
                outcome(context, other.go_on(), handing_back, LATER)
            words[word] = words.get(word, 0) + 1
            target.ask("tell", "u")
            told += "u"
            wait_until(lambda: target.ask("got") == told, 30, "the thread to come up")
            after_fault(context, target, plain)
        works_again(context, target, plain, None)
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


# ---- the pid is used again ----

class PidSpace:
    """A pid namespace in which the test chooses the numbers."""

    def __init__(self, context):
        mount = "mount -t proc proc %s/proc && " % context.row.root if context.row.root else ""
        self.keeper = subprocess.Popen(
            ["unshare", "-mp", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
             mount + "echo x; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        require_equal(self.keeper.stdout.readline(), b"x\n", "the namespace")
        inner = [int(p) for p in os.listdir("/proc") if p.isdigit() and parent_of(p)
                 == self.keeper.pid]
        require_equal(len(inner), 1, "processes in the namespace")
        self.enter = ["nsenter", "-t", str(inner[0]), "-m", "-p"]

    def next_pid(self, pid):
        done = subprocess.run(self.enter + ["sh", "-c", "echo %d >/proc/sys/kernel/ns_last_pid"
                                            % (pid - 1)], stderr=subprocess.PIPE, timeout=20)
        if done.returncode:
            raise Skip("the kernel lets nobody choose a pid: %s" % done.stderr.decode())

    def end(self):
        self.keeper.kill()
        self.keeper.communicate()


def parent_of(pid):
    try:
        return int(proc_status(int(pid), "PPid"))
    except (OSError, TypeError):
        return None


def pid_is_used_again(context):
    """Another python under the same pid: it is never taken for the first."""
    faults = Faults(context)
    words = {}
    space = PidSpace(context)
    try:
        # between the first and the last ptrace the remains keep the number
        steps = [s for s in steps_of(context, faults)
                 if s.startswith(("openat", "process_vm_readv", "sendfile")) or s == "ptrace:1"]
        for step in steps if context.full else context.random.sample(steps, 8):
            word = one_reuse(context, faults, space, step)
            words[word] = words.get(word, 0) + 1
    finally:
        space.end()
    require(set(words) - {"attached", "held"}, "the pid was never used again", words)
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


def is_traced(pid):
    """Does the frozen tool hold a thread?  Then its remains keep the pid."""
    return any(b"TracerPid:\t0\n" not in read_proc(pid, "task/%d/status" % tid)
               for tid in threads(pid))


def one_reuse(context, faults, space, step):
    how = {"prefix": space.enter, "nested": True}
    with fault_target(context, "racing.py", **how) as first:
        pid = first.hello["ready"]
        with frozen(context, faults, first, step, pid=pid, prefix=space.enter,
                    timeout="20s") as tool:
            if not tool:
                return "attached"
            held = is_traced(first.pid)
            os.kill(first.pid, signal.SIGKILL)
            if held:
                return "held"
            first.process.wait(60)
            space.next_pid(pid)
            with fault_target(context, "racing.py", **how) as second:
                require_equal(second.hello["ready"], pid, "pid of the second")
                plain = second.ask("allocators")
                done = tool.go_on()
                word = outcome(context, done, step, ENDED)
                works_again(context, second, plain, done)
    return word


def stopped_at_last(context):
    """Stopped by job control after the preflight, before the first stop."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        with frozen(context, faults, target, "ptrace:1") as tool:
            target.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: state(target.pid) == "T", 30, "the target to stop")
            done = tool.go_on()
        require_equal(outcome(context, done, "ptrace:1", ("stopped",)), "stopped", "word")
        require(b"is stopped (by job control)" in done.stderr, "message", done.stderr)
        # let go by the tool, it has to run up to where it stops again
        wait_until(lambda: state(target.pid) == "T", 30, "it is stopped again")
        target.process.send_signal(signal.SIGCONT)
        after_fault(context, target, plain)


TRACER = ("import ctypes, sys; p = ctypes.CDLL(None).ptrace; "
          "p.argtypes = [ctypes.c_long] * 4; "
          "print(p(0x4206, int(sys.argv[1]), 0, 0)); sys.stdout.flush(); sys.stdin.read()")


def traced_at_last(context):
    """Traced by another since the preflight: by whom is told."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        with frozen(context, faults, target, "ptrace:1",
                    env={"PA_FAULT_THREAD": str(target.pid)}) as tool:
            tracer = subprocess.Popen([sys.executable, "-c", TRACER, str(target.pid)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                require_equal(tracer.stdout.readline(), b"0\n", "the tracer")
                done = tool.go_on()
            finally:
                tracer.kill()
                tracer.wait()
                tracer.stdin.close()
                tracer.stdout.close()
        require_equal(outcome(context, done, "ptrace:1", ("traced",)), "traced", "word")
        require(b"is traced by process" in done.stderr
                and str(tracer.pid).encode() in done.stderr, "message", done.stderr)
        after_fault(context, target, plain)


def signal_survives(context):
    """The tool dies while it holds a thread that is about to take a signal."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        for sent, death in enumerate(("waitid:1:before", "waitid:1:after", "ptrace:3:before",
                                      "ptrace:3:after"), 1):
            # not yet interrupted: the signal is what it stops for
            with frozen(context, faults, target, death + ",ptrace:2",
                        env={"PA_FAULT_THREAD": str(target.pid)}) as tool:
                target.process.send_signal(signal.SIGUSR1)
                wait_until(lambda: state(target.pid) == "t", 30, "the thread to stop")
                require_equal(tool.go_on().returncode, -9, "the tool's end at " + death)
            wait_until(lambda: target.ask("caught") == sent, 30, "the signal, after " + death)
            after_fault(context, target)
        works_again(context, target, plain, None)


# ---- asked to end, or late ----

COMMITTED = "ptrace:8"	# the first one after the detach at the commit


def interrupted_while_it_waits(context):
    """For the socket of a payload that starts: it ends, and the process was
    not touched."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        path = context.tool.attach(target)["socket"]
        if path.startswith("@"):
            context.skip("the socket has no file here")
        directory = Directory(target)
        ticket = directory.read("start_ticket")
        directory.write("state", STARTING)
        done = None
        for _ in range(20):	# else the payload has made it anew meanwhile
            with contextlib.suppress(FileNotFoundError):
                os.unlink(context.row.inside(path))
            with frozen(context, faults, target, "nanosleep:2") as tool:
                if tool:
                    tool.process.terminate()
                    done = tool.go_on()
                    break
        require(done, "it never waited")
        directory.write("state", ATTACHED)
        require_equal(done.returncode, -signal.SIGTERM, "status: %s" % done.stderr)
        require(b"before process %d was touched" % target.pid in done.stderr, "message",
                done.stderr)
        require_equal(directory.read("start_ticket"), ticket, "the ticket of the attach")
        works_again(context, target, plain, done)


def is_attached(context, target):
    return context.tool.run("status", target.pid).status == 0


def interrupted_when_stopped(context):
    """What was begun cannot be undone, as the target is stopped: told so."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        with frozen(context, faults, target, COMMITTED, timeout="12s",
                    env={"PA_FAULT_THREAD": str(target.pid)}) as tool:
            require(tool, "it was not committed")
            wait_until(lambda: is_attached(context, target), 30, "the attach")
            target.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: state(target.pid) == "T", 30, "the target to stop")
            tool.process.terminate()
            done = tool.go_on()
        require_equal(done.returncode, -signal.SIGTERM, "status: %s" % done.stderr)
        require(b"is attached" in done.stderr and b"detach it" in done.stderr, "message",
                done.stderr)
        target.process.send_signal(signal.SIGCONT)
        works_again(context, target, plain, done)


def answers_after_the_deadline(context):
    """The hooks are in: an answer that comes late is an answer."""
    faults = Faults(context)
    with fault_target(context, "racing.py") as target:
        plain = target.ask("allocators")
        attached = False
        for seconds in (2, 8, 32):	# until tool and payload were in time
            end = time.monotonic() + seconds
            with frozen(context, faults, target, COMMITTED, timeout="%ds" % seconds,
                        env={"PA_FAULT_THREAD": str(target.pid)}) as tool:
                if tool:
                    wait_until(lambda: is_attached(context, target) or time.monotonic() > end,
                               60, "the attach")
                    attached = is_attached(context, target)
                    wait_until(lambda: time.monotonic() > end + 0.5, 60, "the deadline to pass")
                    done = tool.go_on()
            if attached and done.returncode != context.tool.status_of["timeout"]:
                break
            after_fault(context, target, plain)
        require(attached, "never attached in time")
        require_equal(done.returncode, 0, "status: %s" % done.stderr)
        works_again(context, target, plain, done)


CASES = [signal_survives, interrupted_while_it_waits, interrupted_when_stopped,
         answers_after_the_deadline, stopped_at_last, traced_at_last, target_exits, target_executes, target_forks,
         target_is_killed, target_is_stopped, strace_comes, gdb_comes, second_injector, overtaken,
         asked_amid_two, interrupted_behind_another, late_for_another,
         other_build, pid_is_used_again]
