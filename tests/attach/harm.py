# SPDX-License-Identifier: MIT
"""What a target does to itself, or an administrator to our files, while it is
attached: it lives, it keeps what is its own, and it still answers."""
import contextlib
import os
import shutil
import subprocess
import tempfile

from clients import Raw
from containers import may_unshare, need_root
from context import NOBODY
from directory import ATTACHED, STARTING, Directory
from process import (Failure, mappings, our_threads, read_proc, require, require_equal,
                     wait_until)
SPIN = 0.1		# of a processor: more is a loop that does not wait


def thread_ids(pid):
    """The user and group ids of every thread."""
    ids = set()
    for tid in os.listdir("/proc/%d/task" % pid):
        for line in read_proc(pid, "task/%s/status" % tid).decode().splitlines():
            if line.startswith(("Uid:", "Gid:", "Groups:")):
                ids.add(" ".join(line.split()))
    return ids


def drops_privileges(context):
    """setgroups, setgid and setuid return and reach every thread."""
    if os.getuid() != 0:
        context.skip("needs a target that is root")
    tool = context.tool
    with context.target("harm.py") as target:
        target.ask("threads", 5)
        tool.attach(target, "--rate", "16KiB")
        require_equal(len(our_threads(target.pid)), 1, "threads of ours")
        require_equal(target.ask("drop", NOBODY, NOBODY), [NOBODY] * 6, "its ids")
        ids = " ".join([str(NOBODY)] * 4)
        require_equal(thread_ids(target.pid), {"Uid: " + ids, "Gid: " + ids, "Groups:"},
                      "ids of all its threads")
        target.ask("keep", 500, 5000)
        require(tool.still_served(target)["samples"]["taken"] > 50, "samples")
        tool.report(target)
        tool.detach(target)
        tool.attach(target, "--rate", "16KiB")
        tool.still_served(target)


def socket_of_before(context):
    """The user who made the socket's file is given up: the payload cannot
    remove it any more, so who detaches does."""
    if os.getuid() != 0:
        context.skip("needs a target that is root")
    tool = context.tool
    with context.target("harm.py") as target:
        path = tool.attach(target, "--rate", "16KiB")["socket"]
        if path.startswith("@"):
            context.skip("the socket has no file here")
        target.ask("drop", NOBODY, NOBODY)
        require(os.path.exists(context.row.inside(path)), "the file before the detach")
        tool.detach(target)
        folder, name = os.path.split(context.row.inside(path))
        require(name not in os.listdir(folder), "the socket's file is still there", path)
        require(target.pid not in [p["pid"] for p in tool.good("list")["processes"]],
                "it is listed as attached")
        again = tool.attach(target, "--rate", "16KiB")["socket"]
        require(again != path, "the socket of the new user", again)
        tool.still_served(target)


def after_the_drop(context):
    """The kernel hides such a process from its new user (it is not dumpable
    then): told so, and whoever attached may still ask and detach."""
    tool = context.tool
    with context.program_of_user(NOBODY) as how, context.target("harm.py") as target:
        how.pop("payload")
        if tool.attach(target, "--rate", "16KiB")["socket"].startswith("@"):
            context.skip("the socket has no file here")
        target.ask("drop", NOBODY, NOBODY)
        for verb in ("status", "detach"):
            error = tool.refused("not-permitted", verb, target.pid, **how)
            require("non-dumpable" in error["message"], "the reason", error)
        tool.still_served(target)
        tool.detach(target)


def overwrite(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        f.write(b"\xcc" * size)


def shorten(path):
    os.truncate(path, 0)


def replace(path):
    with open(path + ".new", "wb") as f:
        f.write(b"another version")
    os.rename(path + ".new", path)


def payload_file_changes(context):
    """The installed payload is overwritten in place, cut to nothing, replaced
    and removed: who loaded it before lives, answers, and can be detached."""
    tool = context.tool
    for how in (overwrite, shorten, replace, os.unlink):
        with tempfile.TemporaryDirectory() as directory, context.target("harm.py") as target:
            copy = shutil.copy(tool.payload, directory)
            inode = os.stat(copy).st_ino
            tool.attach(target, "--rate", "16KiB", payload=copy)
            mapped = [line.split()[4] for line in mappings(target.pid)]
            require(str(inode) not in mapped, "the installed file is mapped")
            how(copy)
            target.ask("keep", 500, 5000)
            tool.still_served(target)
            tool.report(target)
            tool.attach(target, "--rate", "64KiB", payload=copy)
            tool.still_served(target)
            tool.detach(target)
            # what is loaded already is started again, without the file
            tool.attach(target, "--rate", "16KiB", payload=copy)
            target.ask("keep", 500, 5000)
            tool.still_served(target)


def served_again(tool, target):
    """Our thread mends what was closed within some seconds."""
    wait_until(lambda: tool.run("status", target.pid).status == 0, 60,
               "the socket to be made anew")
    return tool.still_served(target)


def take_our_numbers(target):
    """Close ours and make others under their numbers; ours may be made anew
    in between, where our thread happens to look: then once more."""
    for _ in range(20):
        target.ask("close_all", 3, 4096)
        own = target.ask("pairs", 120)
        if "64" in own and "65" in own:
            return own
        target.ask("close_pairs")
    raise Failure("the numbers of ours are not to be had", own)


def descriptors_closed(context):
    """os.closerange() in an attached target, then sockets of its own under
    the same numbers: ours are made anew, its own are never touched."""
    tool = context.tool
    for reused in (True, False):
        with context.target("harm.py") as target:
            tool.attach(target, "--rate", "16KiB")
            if reused:
                own = take_our_numbers(target)
            else:
                target.ask("close_all", 3, 4096)
            served_again(tool, target)
            if reused:
                for _ in range(20):
                    require_equal(target.ask("pairs_are_whole"), [], "sockets of its own")
                    tool.still_served(target)
                require_equal(target.ask("pairs", 0), own, "descriptors of its own")
                target.ask("close_pairs")
            tool.report(target)
            tool.detach(target)
            target.fds = {fd: what for fd, what in target.fds.items() if fd < 3}


def counters_in_our_place(context):
    """As above with event counters, which have one inode all together: none
    is read, written or closed, at requests, forks and the end."""
    tool = context.tool
    with context.target("harm.py") as target:
        tool.attach(target, "--rate", "16KiB")
        for _ in range(20):
            target.ask("close_all", 3, 4096)
            if {64, 65, 66} <= set(target.ask("counters", 120)):
                break
            target.ask("close_counters")
        else:
            raise Failure("the numbers of ours are not to be had")
        served_again(tool, target)
        for _ in range(10):
            require_equal(target.ask("fork"), 0, "the child's status")
            tool.still_served(target)
            require_equal(target.ask("counters_are_whole"), [], "counters of its own")
        tool.detach(target)
        require_equal(target.ask("counters_are_whole"), [], "counters after the detach")
        target.ask("close_counters")
        target.fds = {fd: what for fd, what in target.fds.items() if fd < 3}


def socket_file_removed(context):
    """Somebody tidies up /tmp, one of its own: the next command finds the
    process all the same, and the socket has a file again."""
    need_root(context)
    may_unshare(context, ["unshare", "-m"])
    tool = context.tool
    with context.target("harm.py", prefix=["unshare", "-m"]) as target:
        subprocess.run(["nsenter", "-m", "-t", str(target.pid), "mount", "-t", "tmpfs", "-o",
                        "mode=1777", "tmpfs", context.row.inside("/tmp")], check=True, timeout=30)
        path = tool.attach(target, "--rate", "16KiB")["socket"]
        if path.startswith("@"):
            context.skip("the socket has no file here")
        file = "/proc/%d/root%s" % (target.pid, path)
        os.unlink(file)
        tool.report(target)
        require_equal(tool.status(target)["socket"], path, "the socket")
        os.unlink(file)
        if path.startswith("/tmp/"):
            with contextlib.suppress(OSError):	# the payload may have made it anew
                os.rmdir(os.path.dirname(file))
        again = tool.attach(target)
        require(again["already_attached"], "attached before", again)
        tool.still_served(target)
        tool.detach(target)


def asked_while_it_starts(context):
    """A payload that has no socket yet is waited for, as one that lost it."""
    tool = context.tool
    with context.target("harm.py") as target:
        path = tool.attach(target, "--rate", "16KiB")["socket"]
        if path.startswith("@"):
            context.skip("the socket has no file here")
        directory = Directory(target)
        directory.write("state", STARTING)
        os.unlink(context.row.inside(path))
        tool.report(target)
        require_equal(tool.status(target)["socket"], path, "the socket")
        directory.write("state", ATTACHED)
        tool.still_served(target)
        tool.detach(target)


def somebody_binds(context):
    """Another copy in the same process is about to listen under our name, and
    says so by the lock of the directory: its file is left alone."""
    need_root(context)
    may_unshare(context, ["unshare", "-m"])
    tool = context.tool
    with context.target("harm.py", prefix=["unshare", "-m"]) as target:
        path = tool.attach(target)["socket"]
        if path.startswith("@"):
            context.skip("the socket has no file here")
        tool.detach(target)
        # who is attached beside us must not wait for this lock
        subprocess.run(["nsenter", "-m", "-t", str(target.pid), "mount", "-t", "tmpfs", "-o",
                        "mode=700", "tmpfs", os.path.dirname(context.row.inside(path))],
                       check=True, timeout=30)
        file = "/proc/%d/root%s" % (target.pid, path)
        inode = target.ask("bind_only", path)
        require(tool.attach(target)["socket"] != path, "a socket of its own")
        require_equal(os.stat(file).st_ino, inode, "the other's file")
        tool.still_served(target)
        tool.detach(target)
        require_equal(os.stat(file).st_ino, inode, "the other's file")
        target.ask("unbind")
        require_equal(tool.attach(target)["socket"], path, "a stale file's place")
        tool.detach(target)


def cpu_ns(pid, tid):
    return int(read_proc(pid, "task/%d/schedstat" % tid).split()[0])


def waits(pid, tid):
    for line in read_proc(pid, "task/%d/status" % tid).decode().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    return 0


def does_not_spin(target, times):
    """Our thread goes to sleep `times` times; what it used meanwhile."""
    tid = our_threads(target.pid)[0]
    first, used = waits(target.pid, tid), cpu_ns(target.pid, tid)
    begin = os.times().elapsed
    wait_until(lambda: waits(target.pid, tid) >= first + times, 120,
               "our thread to go to sleep %d times" % times)
    passed = os.times().elapsed - begin
    share = (cpu_ns(target.pid, tid) - used) / 1e9 / max(passed, 0.01)
    require(share < SPIN, "our thread spins: %.0f %% of a processor" % (100 * share))
    return share


def no_descriptor_is_left(context):
    """EMFILE in the target while clients wait: no spin, and they are served
    as soon as there is room again."""
    tool = context.tool
    with context.target("harm.py") as target:
        path = tool.attach(target, "--rate", "16KiB")["socket"]
        before = target.ask("limit", "NOFILE", 128)
        require(target.ask("fill_descriptors") > 20, "descriptors")
        callers = [Raw(context, path) for _ in range(5)]
        for caller in callers:
            caller.send(b"STATUS\n")
        shares = [does_not_spin(target, 8)]
        target.ask("free_descriptors")
        for caller in callers:
            require(caller.line().startswith(b"OK "), "an answer after the scarcity")
            caller.close()
        tool.still_served(target)
        # the same without a socket of ours: it cannot even be made anew
        target.ask("limit", "NOFILE", 3)
        target.ask("close_all", 3, 4096)
        shares.append(does_not_spin(target, 8))
        require_equal(target.ask("ping", 5), 5, "answer of the target")
        target.ask("limit", "NOFILE", before)
        served_again(tool, target)
        target.fds = {fd: what for fd, what in target.fds.items() if fd < 3}
        context.note("our thread used %.1f and %.1f %% of a processor" % tuple(
            100 * s for s in shares))


# They wait for our thread to look after its descriptors, every 5 s.
HEAVY = ["descriptors_closed", "no_descriptor_is_left", "socket_file_removed",
         "asked_while_it_starts"]
CASES = [drops_privileges, socket_of_before, after_the_drop, payload_file_changes,
         descriptors_closed, counters_in_our_place, socket_file_removed, asked_while_it_starts,
         somebody_binds, no_descriptor_is_left]
