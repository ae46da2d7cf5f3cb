# SPDX-License-Identifier: MIT
"""Processes that cannot be attached to: a clear error, and no harm."""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from context import NOBODY
from process import require, require_equal, state, wait_until

OLD = {"2.7": "old-python", "3.6": "old-python", "3.7": "old-python"}


@contextlib.contextmanager
def bystander(command, **how):
    """A process that reads until its input ends."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, **how)
    try:
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def no_such_process(context):
    for pid in (4194303, 2 ** 22 + 5):
        for verb in ("attach", "status", "report", "detach"):
            error = context.tool.refused("no-such-process", verb, pid)
            require("no process %d" % pid in error["message"], "message", error)
    context.tool.refused("no-such-process", "rate", 4194303, "1MiB")
    for pid in (0, -1, "99999999999999999999", "1x"):
        answer = context.tool.run("attach", "--pid=%s" % pid)
        require(answer.status in (2, 10), "pid %s" % pid, answer)


def not_python(context):
    with bystander(["cat"]) as process:
        error = context.tool.refused("not-python", "attach", process.pid,
                                     *context.tool.attach_options())
        require(str(process.pid) in error["message"], "the pid in the message", error)
        require("is not a CPython process" in error["message"], "message", error)
        require_equal(process.poll(), None, "cat lives on")


def kernel_thread(context):
    if not os.path.exists("/proc/2/stat") or open("/proc/2/comm").read() != "kthreadd\n":
        context.skip("no kernel thread is visible here")
    context.tool.refused("kernel-thread", "attach", 2)


def old_interpreters(context):
    """2.7, 3.6 and 3.7 by name, where the machine has them."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    missing = []
    for version, word in sorted(OLD.items()):
        found = glob.glob("%s/versions/%s.*/bin/python" % (root, version))
        found = found or [p for p in [shutil.which("python" + version)] if p]
        if not found:
            missing.append(version)
            continue
        with bystander([found[0], "-c", "import sys; sys.stdout.write('x'); "
                        "sys.stdout.flush(); sys.stdin.read()"]) as process:
            process.stdout.read(1)
            error = context.tool.refused(word, "attach", process.pid,
                                         *context.tool.attach_options())
            require(version in error["message"], "the version in the message", error)
            require_equal(process.poll(), None, "python %s lives on" % version)
    if missing:
        context.note("not found: " + " ".join(missing))


def stopped(context):
    with context.target("maker.py") as target:
        target.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: state(target.pid) == "T", 30, "the target to stop")
        context.tool.refused("stopped", "attach", target.pid)
        require_equal(state(target.pid), "T", "state after the refusal")
        target.process.send_signal(signal.SIGCONT)
        require_equal(target.ask("ping", 3), 3, "answer")
        context.tool.attach(target)
        context.tool.still_served(target)
        target.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: state(target.pid) == "T", 30, "the target to stop")
        answer = context.tool.run("status", target.pid, "--format", "json")
        require(answer.seconds < 30, "status of a stopped target must end", answer)
        target.process.send_signal(signal.SIGCONT)
        context.tool.still_served(target)


def zombie(context):
    process = subprocess.Popen(context.row.command + ["-S", "-c", "pass"],
                               env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
    wait_until(lambda: state(process.pid) == "Z", 20, "the zombie")
    context.tool.refused("zombie", "attach", process.pid)
    require_equal(process.wait(), 0, "status of the zombie")


def uninterruptible(context):
    """Its only thread is in vfork, whose child waits: no stop is possible."""
    with context.target("harm.py") as target:
        fifo = os.path.join(target.directory, "fifo")
        os.mkfifo(fifo)
        target.send("spawn", fifo[len(context.row.root):])
        wait_until(lambda: state(target.pid) == "D", 30, "the target to be in vfork")
        error = context.tool.refused("uninterruptible", "attach", target.pid,
                                     *context.tool.attach_options())
        require("no thread of process %d can be stopped" % target.pid in error["message"],
                "message", error)
        require("uninterruptible sleep or vfork" in error["message"], "message", error)
        with open(fifo, "w"):
            pass
        require_equal(target.answer(), 0, "status of the child")
        context.tool.attach(target)
        context.tool.still_served(target)


def traced(context):
    """Somebody traces it: said, and by whom."""
    tracer = ("import ctypes, sys; p = ctypes.CDLL(None).ptrace; "
              "p.argtypes = [ctypes.c_long] * 4; "
              "print(p(0x4206, int(sys.argv[1]), 0, 0)); sys.stdout.flush(); sys.stdin.read()")
    with context.target("maker.py") as target:
        with bystander([sys.executable, "-c", tracer, str(target.pid)]) as process:
            require_equal(process.stdout.readline(), b"0\n", "the tracer")
            error = context.tool.refused("traced", "attach", target.pid)
            require(str(process.pid) in error["message"], "the tracer's pid", error)
        context.tool.attach(target)
        context.tool.still_served(target)


def another_user(context):
    """An unprivileged user may neither attach nor ask."""
    if os.getuid() != 0:
        context.skip("needs root to become another user")
    tool = context.tool
    with tempfile.TemporaryDirectory() as directory, context.target("maker.py") as target:
        os.chmod(directory, 0o755)
        program = shutil.copy(tool.program, directory)
        payload = shutil.copy(tool.payload, directory)
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        options = ["--payload", payload] if tool.has_payload else []

        def refused_to_him(*arguments):
            done = subprocess.run(other + [program] + [str(a) for a in arguments]
                                  + ["--format", "json"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
            require_equal(done.returncode, tool.status_of["not-permitted"],
                          "status of %s: %s" % (arguments[0], done.stderr))

        refused_to_him("attach", target.pid, *options)
        got = tool.attach(target)
        for verb in ("status", "report", "detach"):
            refused_to_him(verb, target.pid)
        refused_to_him("rate", target.pid, "1")
        tool.still_served(target)
        done = subprocess.run(other + [program, "list", "--format", "json"],
                              stdout=subprocess.PIPE, timeout=30)
        listed = [p["pid"] for p in json.loads(done.stdout.decode())["processes"]]
        require(target.pid not in listed, "he sees it in the list", listed)
        require(got["rate"] == tool.status(target)["rate"], "rate unchanged")


def namespace_that_cannot_be_entered(context):
    """A user namespace in which we are nobody, by a root who may not enter
    any: its payload could never be talked to."""
    owner = context.user_of_python(NOBODY)
    if context.row.root:
        context.skip("who is in a chroot may make no user namespace")
    less = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    for words in (owner + ["unshare", "-U"], less):
        if subprocess.call(words + ["true"], stderr=subprocess.DEVNULL):
            context.skip("no user namespace, or no setpriv, here")
    with context.target("maker.py", user=owner + ["unshare", "-Ur"]) as target:
        error = context.tool.refused("not-permitted", "attach", target.pid,
                                     *context.tool.attach_options(), prefix=less)
        require("is in a user namespace that does not know user" in error["message"],
                "message", error)
        require("inside that namespace" in error["hint"], "hint", error)


def as_another_user(context):
    """Root attaches to a process of another user; its socket is that user's."""
    other = context.user_of_python(65534)
    with context.target("maker.py", user=other) as target:
        got = context.tool.attach(target, "--rate", "16KiB")
        if not got["socket"].startswith("@"):
            there = os.stat(context.row.inside(got["socket"]))
            require_equal((there.st_uid, there.st_mode & 0o777), (65534, 0o600), "the socket")
        target.ask("keep", 2000, 1000)
        require(context.tool.still_served(target)["samples"]["taken"] > 60, "samples")
        context.tool.report(target)


CASES = [no_such_process, not_python, kernel_thread, old_interpreters, stopped, zombie,
         uninterruptible, traced, another_user, namespace_that_cannot_be_entered, as_another_user]
