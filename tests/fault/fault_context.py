# SPDX-License-Identifier: MIT
"""What the fault tests share: the tool and the payload with faults, targets
of tests/fault/targets, and the check of what must hold after every fault."""
import contextlib
import os
import re
import select
import shutil
import struct
import subprocess
import time

import process
from process import (Failure, Target, our_threads, proc_status, require, require_equal,
                     wait_until)

HERE = os.path.dirname(os.path.abspath(__file__))
HANG = 8.0		# seconds without progress of some thread
MOST = 120.0		# however busy the machine is
MAGIC = b"pa-fault-record\0"

# As in payload_faults.c, in its order.
PAYLOAD_POINTS = ["mmap", "mprotect", "madvise", "pthread_create", "pthread_key_create",
                  "register_atfork", "socket", "bind", "chmod", "listen", "socketpair", "open",
                  "read", "dlsym", "gil_take", "jumps", "self_test"]
FAIL, KILL_TOOL = 1, 2


class Faults:
    """The build's programs with faults, and runs of them."""

    def __init__(self, context):
        self.context = context
        self.tool = context.tool
        build = os.path.dirname(os.path.dirname(os.path.abspath(context.program)))
        self.directory = os.path.join(build, "tests", "fault")
        self.program = self.file("pyattach-fault")
        self.payload = self.file("fault.so")

    def file(self, name):
        path = os.path.join(self.directory, name)
        require(os.path.exists(path), "not built (make check TESTS=): " + path)
        return path

    def run(self, target, fault=None, env=None, payload=None, rate="64KiB", timeout="20s",
            options=()):
        """Attach with a fault; the subprocess's result."""
        environment = dict(os.environ, **(env or {}))
        if fault:
            environment["PA_FAULT"] = fault
        command = [self.program, "attach", str(target.pid), "--payload",
                   payload or self.context.tool.payload, "--rate", rate, "--timeout", timeout,
                   "--format", "json"] + list(options)
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=90, env=environment)
        except subprocess.TimeoutExpired:
            raise Failure("did not end in 90 s: %s with %s" % (" ".join(command), fault))

    def armed_payload(self, directory, function, nth, mode, error=12, tool=0):
        """A copy of the faulty payload with its record filled."""
        with open(self.payload, "rb") as f:
            data = bytearray(f.read())
        at = data.index(MAGIC)
        struct.pack_into("<IIIIi", data, at + 16, function, nth, mode, error, tool)
        path = os.path.join(directory, "armed.so")
        with open(path, "wb") as f:
            f.write(data)
        return path

    def record(self, target):
        """(fired, counts) of the payload in a target, or None."""
        with open("/proc/%d/mem" % target.pid, "rb", 0) as memory:
            for line in process.mappings(target.pid):
                fields = line.split(None, 5)
                if len(fields) < 6 or "pyattach" not in fields[5] or "w" not in fields[1]:
                    continue
                start, end = [int(x, 16) for x in fields[0].split("-")]
                memory.seek(start)
                data = memory.read(end - start)
                at = data.find(MAGIC)
                if at >= 0:
                    numbers = struct.unpack_from("<IIIIiI32I", data, at + 16)
                    return numbers[5], dict(zip(PAYLOAD_POINTS, numbers[6:]))
        return None


def placed(context, said):
    """The file for the payload, as the tool tells it under -v; or None."""
    found = re.search(r"payload copied to (\S+)\n", said.decode())
    return context.row.inside(found.group(1)) if found else None


@contextlib.contextmanager
def fault_target(context, name, *arguments, **how):
    """A target of tests/fault/targets, beside those of tests/targets."""
    row = context.row

    class Here:
        """The row, with further files in the target's directory."""
        def __getattr__(self, attribute):
            return getattr(row, attribute)

        def private_directory(self):
            path = row.private_directory()
            for entry in os.listdir(os.path.join(HERE, "targets")):
                if entry.endswith(".py"):
                    shutil.copy(os.path.join(HERE, "targets", entry), path)
            for entry in ("calls.so", "state.so", "wakeups.so", "bare.so", "bare_fp.so",
                          "confined.so"):
                built = os.path.join(Faults(context).directory, entry)
                if os.path.exists(built):
                    shutil.copy(built, path)
            return path

    target = Target(Here(), name, *arguments, **how)
    try:
        yield target
    finally:
        target.kill()


class Patience:
    """The time that counts as a hang, without that for which threads of the
    target waited for a CPU: those that wait for the same lock wait too."""

    def __init__(self, target):
        self.pid, self.begun = target.pid, time.monotonic()
        self.delays, self.starved = self.delays_now(), 0.0

    def delays_now(self):
        delays = {}
        for tid in process.threads(self.pid):
            with contextlib.suppress(OSError):
                delays[tid] = int(process.read_proc(
                    self.pid, "task/%d/schedstat" % tid).split()[1]) / 1e9
        return delays

    def is_over(self):
        now = self.delays_now()
        self.starved += sum(max(0.0, delay - self.delays.get(tid, 0.0))
                            for tid, delay in now.items())
        self.delays = now
        took = time.monotonic() - self.begun
        return took > MOST or took - self.starved > HANG


def answer_in_time(target, *request):
    """Its answer, which must come before it counts as a hang."""
    target.send(*request)
    patience = Patience(target)
    while target.silent():
        require(not patience.is_over(), "hang: no answer to %s" % request[0], target.story())
        select.select([target.process.stdout.fileno()], [], [], 0.05)
    return target.answer()


def beats_on(target):
    """Every thread makes progress within the time that counts as a hang."""
    before = answer_in_time(target, "beats")
    patience = Patience(target)
    while True:
        now = answer_in_time(target, "beats")
        if all(b > a for a, b in zip(before, now)):
            return
        if patience.is_over():
            raise Failure("hang: no progress of threads %s" % [
                i for i, (a, b) in enumerate(zip(before, now)) if b <= a])
        time.sleep(0.005)


def untraced(target):
    """Alive, no tracer, no thread in a tracing stop."""
    require(target.process.poll() is None, "the target died", target.story())
    wait_until(lambda: proc_status(target.pid, "TracerPid") == "0", 30, "the tracer to be gone")
    for tid in process.threads(target.pid):
        try:
            status = process.read_proc(target.pid, "task/%d/stat" % tid)
        except OSError:
            continue
        require(status.rsplit(b")", 1)[1].split()[0] not in (b"t", b"T"),
                "a thread is stopped: %d" % tid)


class Passage:
    """Tells whether a thread may still be on its way through the stub: it was
    committed, and has no CPU yet, or it waits in there for the loader."""
    SIZE, FAR, LOWEST = 256 << 10, 1 << 30, 1 << 40	# of the stub's mapping
    RAN = 1000000	# ns on a CPU: more than the stub takes up to its mapping

    def __init__(self, pid):
        self.pid = pid
        self.not_seen = self.times()

    def times(self):
        """How long each thread has been on a CPU."""
        times = {}
        for tid in process.threads(self.pid):
            with contextlib.suppress(OSError):
                times[tid] = int(process.read_proc(
                    self.pid, "task/%d/schedstat" % tid).split()[0])
        return times

    def waits(self, tid):
        try:
            stat = process.read_proc(self.pid, "task/%d/stat" % tid)
        except OSError:
            return True	# it ended
        return stat.rsplit(b")", 1)[1].split()[0] == b"S"

    def has_mapping(self):
        ends = [tuple(int(x, 16) for x in line.split()[0].split("-"))
                for line in process.mappings(self.pid)]
        for (_, before), (start, end), (after, _) in zip(ends, ends[1:], ends[2:]):
            if (end - start == self.SIZE and start >= self.LOWEST and
                    start - before >= self.FAR and after - end >= self.FAR):
                return True
        return False

    def is_clear(self):
        now = self.times()
        self.not_seen = {
            tid: time for tid, time in self.not_seen.items()
            if now.get(tid, time) < time + self.RAN and not self.waits(tid)}
        return not self.not_seen and not self.has_mapping()


def settled(context, target):
    """Wait until the payload is attached, or nothing of ours is there any
    more; True if it is attached.  Nothing in between may last."""
    tool = context.tool
    passage = Passage(target.pid)
    patience = Patience(target)
    while True:
        clear = passage.is_clear()
        answer = tool.run("status", target.pid, "--format", "json")
        if answer.status == 0:
            hooks = answer.json["hooks"]
            if hooks == "on":
                return True
        if clear and answer.status == tool.status_of["not-attached"] and \
                not our_threads(target.pid):
            return False
        require(not patience.is_over(), "neither attached nor unhooked", answer,
                target.story())
        time.sleep(0.01)


def after_fault(context, target, plain=None):
    """All that must hold after a fault; detaches.  True if it was attached."""
    untraced(target)
    token = context.random.getrandbits(30)
    require_equal(answer_in_time(target, "ping", token), token, "the target's answer")
    attached = settled(context, target)
    if attached:
        context.tool.detach(target)
    wait_until(lambda: not our_threads(target.pid), 30, "our thread to end")
    if plain is not None:
        require_equal(target.ask("allocators"), plain, "allocators after a fault")
    return attached
