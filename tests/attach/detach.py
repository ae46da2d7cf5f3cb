# SPDX-License-Identifier: MIT
"""After detach everything is as it was; what stays is bounded."""
import contextlib
import ctypes
import errno
import os
import socket
import types

from clients import Raw
from directory import ATTACHED, STARTING, Directory
from process import (Failure, descriptors, mappings, our_threads, require,
                     require_equal, rss, wait_until)

DETACHED = 3	# PA_STATE_DETACHED
PIDFD_GETFD = 438


def nothing_is_left(context):
    """Allocators, threads, descriptors, socket file: as before."""
    tool = context.tool
    with context.target("maker.py") as target:
        before = target.ask("allocators")
        fds = descriptors(target.pid)
        tool.refused("not-attached", "status", target.pid)
        got = tool.attach(target, "--rate", "4KiB")
        require(target.ask("allocators") != before, "the hooks are not there")
        require_equal(len(our_threads(target.pid)), 1, "threads of ours")
        socket = context.row.inside(got["socket"])
        if not got["socket"].startswith("@"):
            require_equal(os.stat(socket).st_mode & 0o777, 0o600, "mode of the socket")
        line = target.ask("keep", 2000, 600)
        rows = tool.report(target)["rows"]
        require([r for r in rows if r["line"] == line and r["file"] == target.file],
                "the report lacks the line", rows[:5])
        last = tool.detach(target)
        require_equal(last["hooks"], "off", "hooks after detach")
        require(last["samples_taken"] > 100, "samples taken", last)
        require_equal(target.ask("allocators"), before, "allocators")
        tool.no_trace(target)
        require_equal(descriptors(target.pid), fds, "descriptors")
        require(not os.path.exists(socket), "the socket file is still there")
        for verb in (["status"], ["report"], ["detach"]):
            tool.refused("not-attached", *verb, target.pid)
        target.ask("drop")


def stays_for_ever(context):
    """What is mapped after a detach: the payload, the directory, no more."""
    with context.target("maker.py") as target:
        before = len(mappings(target.pid))
        context.tool.attach(target)
        target.ask("keep", 1000, 600)
        context.tool.detach(target)
        context.tool.no_trace(target)
        now = mappings(target.pid)
        require(not [m for m in now if "rwx" in m.split()[1]], "a mapping is rwx")
        context.note("%d more mappings" % (len(now) - before))


def fifty_cycles(context):
    """Mappings as after the first cycle, RSS within 100 KiB of it."""
    tool = context.tool
    with context.target("maker.py") as target:
        cycles = 50
        known = None
        for _ in range(cycles):	# what the target's own heap grows by
            target.ask("churn", 2000, 600)
            target.ask("check")
            target.ask("allocators")
        target.ask("touch")
        for cycle in range(cycles):
            tool.attach(target, "--rate", "16KiB")
            target.ask("churn", 2000, 600)
            if cycle % 10 == 0:
                tool.report(target)
            tool.detach(target)
            require_equal(target.ask("check"), target.work, "answer in cycle %d" % cycle)
            require_equal(target.ask("allocators"), target.before, "allocators")
            tool.no_trace(target)
            if cycle == 0:
                known = (len(mappings(target.pid)), rss(target.pid), mappings(target.pid))
        now = mappings(target.pid)
        require(len(now) <= known[0], "%d mappings, %d after the first cycle" % (
            len(now), known[0]), *[m for m in now if m not in known[2]])
        growth = rss(target.pid) - known[1]
        require(growth <= 100 * 1024, "RSS grew by %d KiB in %d cycles" % (
            growth / 1024, cycles))
        context.note("RSS %+d KiB" % (growth / 1024))


def attach_twice(context):
    """Attaching again: same rate is fine, another rate changes it, an option
    that cannot change is refused by name."""
    tool = context.tool
    with context.target("maker.py") as target:
        first = tool.attach(target, "--rate", "64KiB", "--max-memory", "8MiB")
        require_equal(first["already_attached"], False, "already_attached")
        again = tool.attach(target)
        require_equal(again["already_attached"], True, "already_attached")
        require_equal(again["socket"], first["socket"], "socket")
        require_equal(again["rate"], 65536, "rate unchanged where none was given")
        other = tool.attach(target, "--rate", "32KiB")
        require_equal(other["rate"], 32768, "rate")
        require_equal(tool.status(target)["rate"], 32768, "rate in status")
        for option in (("--frames", "7"), ("--max-memory", "9MiB")):
            error = tool.refused("fixed-option", "attach", target.pid, *option)
            require(option[0] in error["message"], "the option's name", error)
        tool.attach(target, "--max-memory", "8MiB")
        tool.still_served(target)


def seen_in_the_list(context):
    """list shows it while attached, with the facts of attach."""
    tool = context.tool
    with context.target("maker.py") as target:
        got = tool.attach(target, "--rate", "128KiB")
        entry = [p for p in tool.good("list")["processes"] if p["pid"] == target.pid]
        require_equal(len(entry), 1, "entries of the target")
        require_equal(entry[0]["rate"], 131072, "rate")
        require_equal(entry[0]["socket"], got["socket"], "socket")
        require("maker.py" in entry[0]["command"], "command", entry)
        tool.detach(target)
        require(not [p for p in tool.good("list")["processes"] if p["pid"] == target.pid],
                "still listed after detach")


def shared_socket(context, pid, fd):
    """The very socket that a process has under that number; None: it is closed."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        got = libc.syscall(PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)
    if got < 0 and ctypes.get_errno() == errno.EBADF:
        return None
    if got < 0:
        context.skip("no pidfd_getfd here: %s" % os.strerror(ctypes.get_errno()))
    return socket.socket(fileno=got)


def end_of(context, pid, name):
    """The socket of a process whose peer has that name: not just a new one,
    for somebody's `list` may come, and numbers are used again."""
    for fd, what in descriptors(pid).items():
        if what != "socket":
            continue
        its_end = shared_socket(context, pid, fd)
        if its_end is None:
            continue
        with contextlib.suppress(OSError):
            if its_end.getpeername() == name:
                return its_end
        its_end.close()
    raise Failure("no client %r in process %d" % (name, pid))


def attach_while_it_leaves(context):
    """Who asked for the detach does not take the answer, so that our thread
    stays a while: an attach waits for its end."""
    tool = context.tool
    with context.target("maker.py") as target:
        path = tool.attach(target)["socket"]
        directory = Directory(target)
        name = b"\0pa-test-%d" % target.pid
        client = Raw(context, path, name)
        client.send(b"STATUS\n")
        client.line()
        with contextlib.closing(end_of(context, target.pid, name)) as its_end:
            with contextlib.suppress(BlockingIOError):
                while True:
                    its_end.send(bytes(4096), socket.MSG_DONTWAIT)
            client.send(b"DETACH\n")
            wait_until(lambda: directory.read("state") == DETACHED, 30, "the detach")
            require_equal(tool.attach(target)["already_attached"], False, "attached before")
        client.close()
        tool.still_served(target)
        tool.detach(target)


def attached_in_the_child(context, target, child, below):
    tool = context.tool
    got = tool.good("attach", child, "--rate", "4KiB", *tool.attach_options())
    require_equal(got["already_attached"], False, "attached before")
    require(target.ask("allocators") != below, "the hooks are not there")
    target.ask("check")
    require(tool.good("status", child)["samples"]["taken"] > 10, "samples of the child")
    tool.good("detach", child)
    require_equal(target.ask("allocators"), below, "allocators of the child")
    return [m for m in mappings(child) if "x" in m.split()[1]]


def child_of_a_raw_clone(context):
    """It has copies of all of ours but the thread: nothing in it is started
    again, it gets a payload of its own, once; and the parent goes on."""
    with context.target("cloning.py") as target:
        context.tool.attach(target, "--rate", "4KiB")
        below = target.ask("allocators")
        for copied in (ATTACHED, STARTING):
            child = target.ask("clone")
            context.tool.refused("not-attached", "status", child)
            ends, seconds = target.ask("forks", 10)
            require_equal(ends, [7 << 8], "status of its children")
            require(seconds < 8, "each fork waits for a thread that is not there", seconds)
            Directory(types.SimpleNamespace(pid=child)).write("state", copied)
            code = attached_in_the_child(context, target, child, below)
            for _ in range(3):
                again = attached_in_the_child(context, target, child, below)
                require_equal(len(again), len(code), "mappings of code")
            require_equal(our_threads(child), [], "threads of ours")
            require_equal(target.ask("leave", 7), 7 << 8, "status of the child")
            context.tool.still_served(target)
        context.tool.detach(target)
        require_equal(target.ask("allocators"), target.before, "allocators")


CASES = [attach_while_it_leaves, child_of_a_raw_clone, nothing_is_left, stays_for_ever, fifty_cycles, attach_twice, seen_in_the_list]
