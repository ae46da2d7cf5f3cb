# SPDX-License-Identifier: MIT
"""A fork gives an unhooked, working child, and the parent samples on."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from process import TARGETS, our_threads, read_proc, require, require_equal, wait_until


def children_are_clean(context, target, times):
    got = target.ask("fork", times, target.before, wait=120)
    for status, facts in got["children"]:
        require_equal(status, 7 << 8, "status of the child")
        require_equal(facts["original"], True, "allocators of the child are the original ones")
        require_equal(facts["check"], target.work, "answer of the child")
        require("pyattach" not in facts["threads"], "a thread of ours in the child", facts)
        require_equal(facts["sockets"], [], "sockets in the child")
    return got["warnings"]


def fifty_forks(context):
    """Children are unhooked and work; the parent is served all the while."""
    tool = context.tool
    with context.target("forking.py") as target:
        got = tool.attach(target, "--rate", "4KiB")
        children_are_clean(context, target, 50)
        target.ask("check")
        wait_until(lambda: our_threads(target.pid), 30, "our thread to come back")
        before = tool.still_served(target)["samples"]["taken"]
        target.ask("keep", 2000, 1000)
        status = tool.still_served(target)
        require(status["samples"]["taken"] > before + 300, "the parent no longer samples")
        # one that left before a fork may still have some of its exit before it
        wait_until(lambda: len(our_threads(target.pid)) == 1, 30, "one thread of ours")
        require_equal(tool.attach(target)["socket"], got["socket"], "socket")


def fork_warns_of_nothing(context):
    """3.12 and later warn of threads at fork: ours must not be seen."""
    if context.row.minor < 12:
        context.skip("no such warning before 3.12")
    for callbacks in (False, True):
        with context.target("forking.py") as target:
            if callbacks:	# some versions count after them
                target.ask("call_back_after_forks")
            require_equal(target.ask("fork_with_a_thread"), 1, "the control must warn")
            context.tool.attach(target, "--rate", "64KiB")
            warned = children_are_clean(context, target, 50)
            require_equal(warned, [], "warnings of os.fork()")
            require_equal(target.ask("fork_with_a_thread"), 1, "the control must warn, attached")


def attach_amid_forks(context):
    """It forks all the time while we attach and detach: each attach works or
    runs out of time, and no fork sees our thread on its way in or out.  But
    for one that is begun between a fork and its counting of threads, some
    0.5 % of such attaches (decision 8): four of 30 are no chance any more."""
    tool = context.tool
    attached, warnings = 0, []
    with context.target("forking.py") as target:
        for busy in (0, 0.01, -0.005, 0.002, -0.001):
            target.send("storm", 2, busy)
            for _ in range(6):
                answer = tool.run("attach", target.pid, *tool.attach_options(),
                                  "--timeout", "3s", "--rate", "64KiB", "--format", "json")
                require(answer.status == 0 or answer.error["error"] in (
                    "gil-timeout", "timeout", "no-safe-point"), "attach amid forks", answer)
                if answer.status == 0:
                    attached += 1
                    tool.good("detach", target.pid)
            forks, warned = target.answer(60)
            warnings += warned
            context.note("%g: %d forks" % (busy, forks))
        require(len(warnings) <= 3, "warnings of os.fork()", warnings)
        if warnings:
            context.note("%d warned of our thread" % len(warnings))
        require(attached >= 15, "only %d attaches of 30 worked" % attached)


def library(context, directory, name):
    """A program of targets/, built as one; its path as the target sees it."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        context.skip("no C compiler")
    os.chmod(directory, 0o755)
    path = os.path.join(directory, name + ".so")
    subprocess.run(compiler + ["-shared", "-fPIC", "-o", path,
                               os.path.join(TARGETS, name + ".c"), "-ldl"],
                   check=True, timeout=60)
    return path[len(context.row.root):]


@contextlib.contextmanager
def preloaded(context, name):
    """The target with that program of targets/ preloaded."""
    with tempfile.TemporaryDirectory(dir=context.row.inside("/tmp")) as directory, \
            context.target("forking.py", user=["env", "LD_PRELOAD=" + library(
                context, directory, name)]) as target:
        yield target


def fork_amid_our_locks(context):
    """Our thread holds the interpreter's own locks a thousand times longer
    than it does, and every fork waits for it: no child is without one."""
    if context.row.minor >= 13:
        context.skip("its locks are no semaphores from 3.13 on")
    tool = context.tool
    with preloaded(context, "slow_post") as target:
        target.ask("another_thread")	# else ours leaves before a fork, from 3.12 on
        target.send("storm", 2, 0)
        for _ in range(20):
            tool.attach(target, "--timeout", "20s", "--rate", "64KiB")
            tool.detach(target)
        context.note("%d forks" % target.answer(60)[0])


def require_kept(report, target, line):
    """Of `keep` 1000 1000; at its line the list grows too."""
    row = [r for r in report["rows"] if (r["file"], r["line"]) == (target.file, line)][0]
    require(1000 <= row["objects"]["estimate"] <= 1002 and row["bytes"]["estimate"] >= 1e6,
            "1000 blocks of 1000 bytes", row)


def children_of(pid):
    """Those of all its threads."""
    pids = []
    for task in os.listdir("/proc/%d/task" % pid):
        pids += map(int, read_proc(pid, "task/%s/children" % task).split())
    return pids


def has_open(pid, path):
    directory = "/proc/%d/fd" % pid
    return any(os.path.samefile(os.path.join(directory, fd), path)
               for fd in os.listdir(directory))


def child_beside_the_lock(context):
    """A child that came by no handler of ours, while our thread had the lock
    of the socket's directory, does not keep it."""
    tool = context.tool
    with preloaded(context, "fork_at_lock") as target:
        path = tool.attach(target)["socket"]
        if path.startswith("@"):
            context.skip("the socket has no file here")
        where = os.path.dirname(context.row.inside(path))
        require(any(has_open(child, where) for child in children_of(target.pid)),
                "no child has the descriptor of the lock", children_of(target.pid))
        tool.detach(target)
        require_equal(tool.attach(target)["socket"], path, "the place of the next socket")
        tool.still_served(target)
        tool.detach(target)


def requests_between_forks(context):
    """A status asked while it forks without pause is answered in time."""
    tool = context.tool
    with context.target("forking.py") as target:
        tool.attach(target, "--rate", "64KiB")
        for _ in range(5):
            target.send("fork", 30, target.before)
            require_equal(tool.status(target)["hooks"], "on", "hooks amid forks")
            tool.report(target)
            for status, _ in target.answer(60)["children"]:
                require_equal(status, 7 << 8, "status of the child")


def fork_beside_a_sleeper(context):
    """A thread forks while the main one sleeps in C: we answer soon after."""
    tool = context.tool
    with context.target("forking.py") as target:
        # no sample brings our thread back here
        tool.attach(target, "--rate", "1GiB")
        for _ in range(3):
            target.ask("fork_from_a_thread")
            require_equal(target.answer(60), 7 << 8, "status of the child")
            require_equal(tool.status(target)["hooks"], "on", "hooks after the fork")


def fork_without_the_gil(context):
    """The only thread forks in C, with the GIL let go, and stays there: no
    bytecode follows that could bring our thread back."""
    tool = context.tool
    with preloaded(context, "forker") as target:
        tool.attach(target, "--rate", "1GiB")
        for _ in range(3):
            target.send("fork_in_c")
            require_equal(target.answer(60), 7 << 8, "status of the child")
            require_equal(tool.status(target)["hooks"], "on", "hooks after the fork")
            target.process.stdin.write(b"\n")
            target.process.stdin.flush()
            require_equal(target.answer(60), 1, "bytes that it read")


def fork_amid_a_late_start(context):
    """Our thread comes to run after the deadline, and a fork asks it to leave:
    the start has failed, and the next one works."""
    tool = context.tool
    with preloaded(context, "forker") as target:
        target.ask("hold_up_start")
        tool.refused("timeout", "attach", target.pid, *tool.attach_options(), "--timeout", "3s")
        require_equal(target.ask("fork_amid_start"), 7 << 8, "status of the child")
        tool.attach(target, "--rate", "64KiB")
        tool.still_served(target)


def fork_amid_a_last_start(context):
    """Sent away by a fork, our thread cannot be started anew: the start has
    failed for that reason, and the next one works."""
    if context.row.minor < 12:
        context.skip("a fork sends no thread away that starts")
    tool = context.tool
    with preloaded(context, "forker") as target:
        target.ask("hold_up_start")
        attach = subprocess.Popen([tool.program, "attach", str(target.pid), "--timeout", "60s",
                                   "--format", "json"] + list(tool.attach_options()),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: len(os.listdir("/proc/%d/task" % target.pid)) > 1 or
                       attach.poll() is not None, 30, "our thread")
            require_equal(target.ask("fork_without_a_thread"), 7 << 8, "status of the child")
            errors = attach.communicate(timeout=90)[1]
        finally:
            attach.kill()
            attach.wait()
        require_equal(json.loads(errors.decode())["error"], "no-thread-left", "error")
        tool.attach(target, "--rate", "64KiB")
        tool.still_served(target)


def fork_that_waits_for_others(context):
    """A handler of fork that is older than ours, so that it runs after ours,
    waits with the GIL given up until another thread has taken samples."""
    tool = context.tool
    with context.target("forking.py") as target:
        target.ask("hold_up_forks")
        tool.attach(target, "--rate", "1")
        before = tool.status(target)["samples"]["taken"]
        children_are_clean(context, target, 10)
        status = tool.status(target)
        require_equal(status["hooks"], "on", "hooks in status")
        require(status["samples"]["taken"] >= before + 2000, "samples amid forks", status)


def fork_amid_a_fork(context):
    """An older handler forks itself: afterwards all is as it was."""
    tool = context.tool
    with context.target("forking.py") as target:
        tool.attach(target, "--rate", "4KiB")
        got = target.ask("fork_amid_a_fork")
        if got is None:
            context.skip("this C library does not fork in a handler of fork")
        require_equal(got, [7 << 8] * 2, "status of the children")
        before = tool.status(target)["samples"]["taken"]
        target.ask("keep", 2000, 1000)
        require(tool.status(target)["samples"]["taken"] > before + 300, "no samples any more")
        tool.detach(target)
        tool.attach(target)


def fork_in_a_signal_handler(context):
    """In a thread that is taking a sample: both go on with it."""
    tool = context.tool
    with preloaded(context, "forker") as target:
        tool.attach(target, "--rate", "1")
        require_equal(target.ask("fork_in_handler", 5), [7 << 8] * 5, "status of the children")
        require_equal(tool.status(target)["hooks"], "on", "hooks in status")
        line = target.ask("keep", 1000, 1000)
        require_kept(tool.report(target), target, line)


def children_amid_samples(context):
    """Eight threads change the table all the time: whatever a child's copy of
    it is, the child works, and an attach to it begins anew."""
    tool = context.tool
    with preloaded(context, "forker") as target:
        tool.attach(target, "--rate", "1")
        target.ask("churn", 8)
        children_are_clean(context, target, 50)
        require_equal(tool.status(target)["hooks"], "on", "hooks in status")
        for _ in range(5):
            child = target.ask("child_that_serves")
            try:
                # its handlers of fork are through
                require_equal(target.ask("ask_child", "len", "abc"), 3, "answer of the child")
                tool.good("attach", child, *tool.attach_options(), "--rate", "1")
                line = target.ask("ask_child", "keep", 1000, 1000)
                require_kept(tool.report(child), target, line)
                require_equal(tool.good("detach", child)["hooks"], "off", "hooks of the child")
            finally:
                require_equal(target.ask("end_child", child), 15, "status of the child")
        target.ask("churn", 0)
        require_equal(tool.status(target)["hooks"], "on", "hooks in status")


def other_ways_to_a_child(context):
    """subprocess, posix_spawn, system, multiprocessing."""
    with context.target("forking.py") as target:
        context.tool.attach(target, "--rate", "4KiB")
        require_equal(target.ask("spawn", 10), "good", "spawned programs")
        for _ in range(3):
            require_equal(target.ask("pool", 3), 30000, "answer of the pool")
        wait_until(lambda: our_threads(target.pid), 30, "our thread to come back")
        context.tool.still_served(target)


def attach_to_a_child(context):
    """A child of an attached process: not attached, and attachable."""
    tool = context.tool
    with context.target("forking.py") as target:
        first = tool.attach(target, "--rate", "64KiB")
        child = target.ask("child_that_stays")
        try:
            tool.refused("not-attached", "status", child)
            got = tool.good("attach", child, *tool.attach_options())
            require(got["socket"] != first["socket"], "the child has its own socket")
            require_equal(tool.good("status", child)["hooks"], "on", "hooks of the child")
            require_equal(tool.good("detach", child)["hooks"], "off", "hooks of the child")
        finally:
            require_equal(target.ask("end_child", child), 15, "status of the child")
        tool.still_served(target)


def exec_ends_it(context):
    """exec gives a new program: not attached, attachable, same pid."""
    tool = context.tool
    with context.target("forking.py") as target:
        tool.attach(target, "--rate", "64KiB")
        target.send("execute")
        target.attached = False
        require_equal(target.read()["ready"], target.hello["ready"], "pid after exec")
        target.before = target.ask("allocators")
        tool.refused("not-attached", "status", target.pid)
        tool.attach(target, "--rate", "4KiB")
        target.ask("keep", 2000, 1000)
        require(tool.still_served(target)["samples"]["taken"] > 300, "samples after exec")


CASES = [fifty_forks, fork_warns_of_nothing, attach_amid_forks, fork_amid_our_locks,
         child_beside_the_lock, requests_between_forks, fork_beside_a_sleeper, fork_without_the_gil,
         fork_amid_a_late_start,
         fork_amid_a_last_start, fork_that_waits_for_others, fork_amid_a_fork,
         fork_in_a_signal_handler, children_amid_samples, other_ways_to_a_child,
         attach_to_a_child, exec_ends_it]
