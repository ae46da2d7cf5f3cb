# SPDX-License-Identifier: MIT
"""Every step of tool and payload, with the death of the tool and with an
error there: the target lives, is untraced, unhooked or attached, and answers;
an error has its word and status."""
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from containers import READ_ONLY, shell
from fault_context import (FAIL, KILL_TOOL, PAYLOAD_POINTS, Faults, after_fault, beats_on,
                           fault_target, placed)
from process import require, require_equal, state, wait_until

# What may be said where a call of the payload fails every time.
WORDS = {
    "mmap": ("loader", "no-memory-left", "setup-failed", "no-thread-left", "hook-failed"),
    "pthread_create": ("no-thread-left",),
    "register_atfork": ("no-memory-left",),
    "mprotect": ("no-memory-left", "setup-failed", "hook-failed"),
    "socket": ("socket-failed", "no-fd-left"),
    "bind": ("socket-failed", "no-fd-left"),
    "listen": ("socket-failed", "no-fd-left"),
    "socketpair": ("no-fd-left",),
    "gil_take": ("gil-timeout",),
    "jumps": ("hook-failed",),
    "dlsym": ("setup-failed", "other-python", "failed", "hook-failed", "not-python"),
}
# Where the attach goes on all the same.
HARMLESS = ("madvise", "self_test", "open", "read", "pthread_key_create", "chmod")
# What a busy machine may say at any time.
BUSY = ("timeout", "gil-timeout", "no-safe-point")
TRIES = 5		# with a fresh target, where it said so


def judged(context, done, what):
    """A status that is listed, with its word; or success."""
    require(done.returncode in (0, -9) or done.returncode in
            context.tool.status_of.values(), "%s: status %d" % (what, done.returncode),
            done.stderr)
    if done.returncode > 0:
        error = json.loads(done.stderr.decode())
        require_equal(context.tool.status_of[error["error"]], done.returncode, what)
        require(error["message"] and error["hint"], "%s: an error without a reason" % what)
        return error["error"]
    return "attached" if done.returncode == 0 else "killed"


def numbers(context, count, most):
    """Which of count calls: all of them, or some in between."""
    if context.full or count <= most:
        return list(range(1, count + 1))
    ends = most // 3
    middle = context.random.sample(range(ends + 1, count - ends + 1), most - 2 * ends)
    return sorted(set(list(range(1, ends + 1)) + middle +
                      list(range(count - ends + 1, count + 1))))


def tool_counts(context, faults, target):
    with tempfile.NamedTemporaryFile("r") as out:
        done = faults.run(target, env={"PA_FAULT_COUNTS": out.name, "PA_FAULT_UNSAFE": "1"})
        require_equal(done.returncode, 0, "an attach without a fault")
        counts = {}
        for line in out:
            name, count = line.split()
            counts[name] = int(count)
    after_fault(context, target)
    return counts


def tool_points(context):
    """The tool dies before and after each call, and each call fails; once
    where the payload is loaded, once where it is started again."""
    faults = Faults(context)
    words = {}
    runs = 0
    with fault_target(context, "many.py") as target:
        counts = tool_counts(context, faults, target)
        for needed in ("ptrace", "pwrite", "waitid", "process_vm_readv", "openat"):
            require(counts[needed] > 1, "the wrapped tool does not call " + needed, counts)
    for name, count in sorted(counts.items()):
        with fault_target(context, "many.py") as target:
            plain = target.ask("allocators")
            for nth in numbers(context, count, 4 if name != "ptrace" else 12):
                for how in ("before", "after", str(errno.EPERM), str(errno.ENOMEM)):
                    fault = "%s:%d:%s" % (name, nth, how)
                    done = faults.run(target, fault, {"PA_FAULT_UNSAFE": "1"}, timeout="2s")
                    word = judged(context, done, fault)
                    words[word] = words.get(word, 0) + 1
                    runs += 1
                    after_fault(context, target, plain if not runs % 8 else None)
            beats_on(target)
            require_equal(target.ask("wrong"), [], "wrong results")
    context.note("%d faults" % runs)
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


def first_loads(context):
    """The tool dies around each call that touches the target, each time at
    a target that has never been attached to."""
    faults = Faults(context)
    with fault_target(context, "many.py") as target:
        counts = tool_counts(context, faults, target)
    for name in ("ptrace", "pwrite", "sendfile", "unlinkat", "fchown", "nanosleep"):
        for nth in numbers(context, counts[name], 3):
            for how in ("before", "after"):
                with fault_target(context, "many.py") as target:
                    faults.run(target, "%s:%d:%s" % (name, nth, how))
                    after_fault(context, target)
                    done = faults.run(target)
                    require_equal(done.returncode, 0, "a good attach after a death")
                    after_fault(context, target)
                    beats_on(target)
                    require_equal(target.ask("wrong"), [], "wrong results")


def files_of_the_dead(context):
    """A tool that is killed leaves no file behind: from the commit on the
    payload removes it, before it the next attach does, and never that of a
    tool that still lives."""
    faults = Faults(context)
    early = ["ptrace:%d:%s" % (n, how) for n in (1, 2, 3) for how in ("before", "after")]
    early += ["sendfile:1:after", "fchmod:1:before"]
    left = []
    for fault in early:
        with fault_target(context, "many.py") as target:
            done = faults.run(target, fault, options=["-v"])
            path = placed(context, done.stderr)
            if path is None:	# it died while it made the file
                require_equal(done.returncode, -9, "the tool's end")
            elif os.path.exists(path):
                left.append(path)
            after_fault(context, target)
    require(left, "no tool died with a file of its own")
    with fault_target(context, "many.py") as target:
        require_equal(faults.run(target).returncode, 0, "an attach")
        require(not [p for p in left if os.path.exists(p)], "files that are still there", left)
        after_fault(context, target)
    # PTRACE_DETACH is the last call of a good attach before it waits
    with fault_target(context, "many.py") as target:
        done = faults.run(target, env={"PA_FAULT_COUNTS": "/dev/stderr"})
        last = int(re.search(rb"ptrace (\d+)", done.stderr).group(1))
        after_fault(context, target)
    for fault in ("ptrace:%d:after" % last, "nanosleep:1:before", "nanosleep:1:after"):
        with fault_target(context, "many.py") as target:
            done = faults.run(target, fault, options=["-v"])
            path = placed(context, done.stderr)
            require(path, "the file is not named", done.stderr)
            if after_fault(context, target):
                require(not os.path.exists(path), "the payload has not removed it", fault)


def sweeping_spares_the_living(context):
    """Two tools, one of them held while its file is there: the other one's
    attach to another process leaves that file alone."""
    faults = Faults(context)
    with fault_target(context, "many.py") as one, fault_target(context, "many.py") as other:
        command = [faults.program, "attach", str(one.pid), "--payload", context.tool.payload,
                   "-v", "--timeout", "60s"]
        held = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE,
                                env=dict(os.environ, PA_FAULT="ptrace:1:stop"))
        try:
            line = b""
            while b"payload copied to" not in line:
                line = held.stderr.readline()
                require(line, "the tool ended early")
            path = context.row.inside(line.split()[-1].decode())
            wait_until(lambda: state(held.pid) == "T", 60, "the tool to be held")
            require_equal(faults.run(other).returncode, 0, "the other attach")
            require(os.path.exists(path), "the file of a living tool is gone")
            held.send_signal(signal.SIGCONT)
            held.communicate(timeout=90)
            require_equal(held.returncode, 0, "the tool that was held")
        finally:
            held.kill()
            held.wait()
        require(not os.path.exists(path), "the file is still there")
        for target in (one, other):
            require(after_fault(context, target), "it was attached")


def said(context, faults, target, fault, word, part, **how):
    """An attach with a fault is refused by that word, with that sentence."""
    done = faults.run(target, fault, **how)
    require_equal(done.returncode, context.tool.status_of[word], "%s: %s" % (fault, done.stderr))
    message = json.loads(done.stderr.decode())["message"]
    require(part in message, "%s: %s" % (fault, part), message)
    after_fault(context, target)


def sentences(context):
    """What is said where the kernel refuses a step of ours."""
    faults = Faults(context)
    with fault_target(context, "many.py") as target:
        said(context, faults, target, "ptrace:0:%d" % errno.EPERM, "not-permitted",
             "to trace a thread of process")
        said(context, faults, target, "ptrace:2:%d" % errno.EIO, "trace-failed",
             "failed for thread")
        if context.row.minor >= 14:
            said(context, faults, target, "write:0:%d" % errno.ENOSPC, "no-place",
                 "cannot write a script", options=["--method", "remote-exec"])
            said(context, faults, target, "ptrace:0:%d" % errno.EPERM, "trace-failed",
                 "not all threads of process", options=["--method", "remote-exec"])
    prefix = ["unshare", "-m"] + shell(context, READ_ONLY)
    with fault_target(context, "many.py", prefix=prefix) as target:
        said(context, faults, target, "sendfile:0:%d" % errno.ENOSPC, "no-place",
             "cannot fill the memfd")
        if context.row.minor >= 14:
            said(context, faults, target, None, "no-place",
                 "has no directory to load the payload from",
                 options=["--method", "remote-exec"])


def payload_counts(context, faults, directory):
    with fault_target(context, "many.py") as target:
        done = faults.run(target, payload=faults.armed_payload(directory, 0, 0, 0))
        require_equal(done.returncode, 0, "attach of the unarmed payload")
        record = faults.record(target)
        require(record, "the payload's record is not in the target")
        after_fault(context, target)
    return record[1]


def one_payload_fault(context, faults, directory, name, nth, how):
    """A fresh target, one fault, then a good attach of the same payload.
    None: the machine was too busy for the attach to come to that point."""
    function = PAYLOAD_POINTS.index(name)
    what = "%s:%d:%s" % (name, nth, how)
    with fault_target(context, "many.py") as target:
        plain = target.ask("allocators")
        if how == "kill":
            word = killed_by_payload(context, faults, directory, target, function, nth)
        else:
            armed = faults.armed_payload(directory, function, nth, FAIL)
            done = faults.run(target, payload=armed)
            word = judged(context, done, what)
        record = faults.record(target)
        if word in BUSY and not (record and record[0]):
            after_fault(context, target, plain)
            return None
        # how often it is called depends on the target's threads and maps
        require(record is None or record[0] or nth > 1, "%s was not reached" % what, word)
        after_fault(context, target, plain)
        if nth == 0 and how == "error" and name in WORDS:
            require(word in WORDS[name] + BUSY, "%s every time: %s" % (name, word))
        if nth == 0 and how == "error" and name in HARMLESS:
            require(word in ("attached",) + BUSY, "%s every time: %s" % (name, word))
        if nth:
            done = faults.run(target, payload=armed_off(faults, directory))
            require_equal(done.returncode, 0, "a good attach after %s: %s" % (
                what, done.stderr))
            after_fault(context, target, plain)
        beats_on(target)
        require_equal(target.ask("wrong"), [], "wrong results")
    return word


def armed_off(faults, directory):
    return faults.armed_payload(directory, 0, 0, 0)


def killed_by_payload(context, faults, directory, target, function, nth):
    """The payload kills the tool at the point: the tool's pid is written
    into its copy between fork and exec."""
    armed = faults.armed_payload(directory, function, nth, KILL_TOOL)

    def arm():
        faults.armed_payload(directory, function, nth, KILL_TOOL, 0, os.getpid())

    command = [faults.program, "attach", str(target.pid), "--payload", armed, "--rate",
               "64KiB", "--timeout", "20s", "--format", "json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=90, preexec_fn=arm)
    return judged(context, done, "death at " + PAYLOAD_POINTS[function])


def payload_points(context):
    """Each call of the payload's set-up fails once, then every time; and the
    tool dies at each."""
    faults = Faults(context)
    directory = tempfile.mkdtemp(prefix="pa-fault-")
    words = {}
    try:
        counts = payload_counts(context, faults, directory)
        for name in PAYLOAD_POINTS:
            require(counts[name], "the payload does not call " + name, counts)
            each = numbers(context, min(counts[name], 12), 3) if context.full else [1]
            wanted = [(n, "error") for n in each] + [(0, "error")] + [
                (n, "kill") for n in (each if context.full else each[-1:])]
            for nth, how in wanted:
                word = None
                for _ in range(TRIES):
                    word = word or one_payload_fault(context, faults, directory, name, nth, how)
                require(word, "%s:%d:%s: never came so far" % (name, nth, how))
                words[word] = words.get(word, 0) + 1
    finally:
        shutil.rmtree(directory)
    context.note(", ".join("%s %d" % w for w in sorted(words.items())))


def low_slots_taken(context):
    """No low slot is free: the directory lies elsewhere and is found."""
    with fault_target(context, "slots.py") as target:
        plain = target.ask("allocators")
        require_equal(target.ask("take"), 16, "slots taken by the target itself")
        context.tool.attach(target, "--rate", "16KiB")
        context.tool.still_served(target)
        require(context.tool.report(target)["pid"] == target.pid, "report")
        after_fault(context, target, plain)


# The tool does the same everywhere: one row will do.
ONCE = ["tool_points", "first_loads"]
CASES = [payload_points, tool_points, first_loads, files_of_the_dead,
         sweeping_spares_the_living, sentences, low_slots_taken]
