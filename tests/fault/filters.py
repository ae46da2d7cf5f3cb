# SPDX-License-Identifier: MIT
"""Seccomp filters of the target: one that would end it for a call of ours
refuses and names the call; a harmless one is no obstacle."""
import os
import re

from containers import READ_ONLY, shell
from fault_context import HERE, Faults, after_fault, fault_target
from process import our_threads, read_proc, require, require_equal, wait_until

NUMBERS = {"clone": 56, "clone3": 435, "socket": 41, "process_vm_readv": 310, "bind": 49,
           "mprotect": 10, "socketpair": 53, "accept4": 288, "memfd_create": 319,
           "execve": 59, "ptrace": 101, "openat": 257, "getpid": 39, "futex": 202,
           "madvise": 28, "gettid": 186, "mmap": 9, "tgkill": 234, "pwrite64": 18,
           "sched_getaffinity": 204}


def refused(context, target, part, *options):
    error = context.tool.refused("seccomp", "attach", target.pid,
                                 *(context.tool.attach_options() + list(options)))
    require(part in error["message"], "the call is not named: " + part, error)
    return error["message"]


def killing(context):
    """Each call of ours that would kill, one at a time."""
    for name in ("clone", "clone3", "socket", "process_vm_readv", "bind", "mprotect",
                 "socketpair", "accept4", "getpid"):
        for action in ("kill", "trap"):
            with fault_target(context, "filters.py") as target:
                plain = target.ask("allocators")
                require_equal(target.ask("install", [NUMBERS[name]], action), 0, "filter")
                said = refused(context, target, " " + name)
                require("a seccomp filter of process" in said or "over thread" in said, said)
                after_fault(context, target, plain)


def failing(context):
    """Calls that must not fail would fail."""
    for name in ("clone3", "socket", "mprotect"):
        with fault_target(context, "filters.py") as target:
            require_equal(target.ask("install", [NUMBERS[name]], "errno"), 0, "filter")
            refused(context, target, " " + name)
            after_fault(context, target)


def second_of_two(context):
    """Every filter counts, not only the last."""
    with fault_target(context, "filters.py") as target:
        require_equal(target.ask("install", [NUMBERS["socket"]], "kill"), 0, "filter")
        require_equal(target.ask("install", [NUMBERS["ptrace"]], "kill", 300), 0, "filter")
        refused(context, target, " socket")
        after_fault(context, target)


def harmless(context):
    """What we do not call may kill; what we tolerate may fail."""
    for names, action in ((["execve", "ptrace", "memfd_create"], "kill"), (["clone3"], "enosys"),
                          (["process_vm_readv", "sched_getaffinity"], "errno"),
                          (["socket", "clone"], "log")):
        with fault_target(context, "filters.py") as target:
            plain = target.ask("allocators")
            numbers = [NUMBERS[n] for n in names]
            require_equal(target.ask("install", numbers, action, 100), 0, "filter")
            require_equal(read_proc(target.pid, "status").decode().split("Seccomp:")[1].split()[0],
                          "2", "the target's seccomp mode")
            context.tool.attach(target, "--rate", "16KiB")
            context.tool.still_served(target)
            require(after_fault(context, target, plain), "it was attached")


def unreadable(context):
    """Without CAP_SYS_ADMIN the filters cannot be read: refused, unless the
    user says that they are harmless."""
    import subprocess
    with fault_target(context, "filters.py") as target:
        target.ask("install", [NUMBERS["ptrace"]], "kill")
        prefix = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
        if subprocess.call(prefix + ["true"], stderr=subprocess.DEVNULL):
            context.skip("setpriv cannot drop a capability here")
        options = context.tool.attach_options()
        error = context.tool.refused("seccomp", "attach", target.pid, *options, prefix=prefix)
        require("cannot be read" in error["message"], "message", error)
        after_fault(context, target)
        context.tool.good("attach", target.pid, "--assume-seccomp-ok", *options, prefix=prefix)
        require(after_fault(context, target), "it was attached")


def strict(context):
    """Who may only read and write is left alone."""
    with fault_target(context, "filters.py") as target:
        target.ask("obey_strictly")
        wait_until(lambda: read_status(target.pid, "Seccomp") == "1", 30, "strict mode")
        error = context.tool.refused("seccomp", "attach", target.pid,
                                     *context.tool.attach_options())
        require("strict" in error["message"], "the mode is not named", error)
        require(target.process.poll() is None, "the target died", target.story())


def read_status(pid, key):
    return read_proc(pid, "status").decode().split(key + ":")[1].split()[0]


def of_another_thread(context):
    """Only one thread is confined: it is passed over, as our thread would
    inherit its filter; it works on, hooked.  Where it is the only one that
    could be used, refused."""
    faults = Faults(context)
    for name in ("socket", "clone3", "process_vm_readv"):
        with fault_target(context, "filters.py") as target:
            plain = target.ask("allocators")
            tid, error = target.ask("confine", [NUMBERS[name]], "kill")
            require_equal(error, 0, "filter")
            require_equal(read_status(target.pid, "Seccomp"), "0", "mode of the main thread")
            done = faults.run(target, env={"PA_FAULT_THREAD": str(tid)})
            require_equal(done.returncode, context.tool.status_of["seccomp"],
                          "status by the confined thread: %s" % done.stderr)
            require(name.encode() in done.stderr, "the call is not named", done.stderr)
            after_fault(context, target, plain)
            for _ in range(5):
                context.tool.attach(target, "--rate", "16KiB")
                before = target.ask("turns")
                wait_until(lambda: target.ask("turns") > before + 100, 30, "its progress")
                require(context.tool.still_served(target)["samples"]["taken"], "samples")
                require(after_fault(context, target, plain), "it was attached")


def wake_on(target):
    """Every thread of C under a filter lives and goes on."""
    before = target.ask("beats")
    wait_until(lambda: all(b > a for a, b in zip(before, target.ask("beats"))), 30,
               "the confined threads to go on")


def hooks_elsewhere(context):
    """What our hooks call in a thread that is never stopped to load anything:
    its filter counts too, the call and the thread are named.  Who knows better
    may attach, through another thread."""
    faults = Faults(context)
    for name in ("futex", "madvise", "gettid", "mmap", "tgkill"):
        for action in ("kill", "trap"):
            with fault_target(context, "filters.py") as target:
                plain = target.ask("allocators")
                _, tid = target.ask("sleepers", [[[NUMBERS["ptrace"]], action],
                                                 [[NUMBERS[name]], action]])
                refused(context, target, "thread %d " % tid)
                said = refused(context, target, "not allow %s," % name)
                require("which our hooks need in every thread" in said, said)
                after_fault(context, target, plain)
                done = faults.run(target, env={"PA_FAULT_THREAD": str(target.pid)},
                                  options=["--assume-seccomp-ok"])
                require_equal(done.returncode, 0, "attach all the same: %s" % done.stderr)
                context.tool.still_served(target)
                wake_on(target)
                require(after_fault(context, target, plain), "it was attached")


def unreadable_elsewhere(context):
    with fault_target(context, "filters.py") as target:
        tid = target.ask("sleepers", [[[NUMBERS["ptrace"]], "kill"]])[0]
        prefix = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
        error = context.tool.refused("seccomp", "attach", target.pid,
                                     *context.tool.attach_options(), prefix=prefix)
        require("seccomp filter that cannot be read over thread %d " % tid in error["message"],
                "message", error)
        after_fault(context, target)


def many_threads(context):
    """Sixty threads under one harmless filter are no obstacle, and not each of
    them is stopped; where they differ none is taken for another."""
    with fault_target(context, "filters.py") as target:
        target.ask("sleepers", [[[NUMBERS["ptrace"]], "kill"]] * 60)
        got = context.tool.attach(target, "--rate", "16KiB")
        require(got["stops"] <= 50, "stops", got)
        context.tool.still_served(target)
        wake_on(target)
        context.note("%d stops for 60 threads, %.2f ms at most" % (
            got["stops"], got["stopped_ns"] / 1e6))
        require(after_fault(context, target), "it was attached")
    with fault_target(context, "filters.py") as target:
        target.ask("sleepers", [[[300 + n], "kill"] for n in range(40)])
        refused(context, target, "too many threads")
        wake_on(target)
        after_fault(context, target)


def made_by_others(context):
    """A thread that our own would not outlive forks: ours comes back all the
    same, but not as its child."""
    with fault_target(context, "filters.py") as target:
        plain = target.ask("allocators")
        require_equal(target.ask("confine", [NUMBERS["accept4"]], "kill")[1], 0, "filter")
        context.tool.attach(target, "--rate", "4KiB")
        for _ in range(5):
            require_equal(target.ask("fork_there"), 0, "status of its child")
            wait_until(lambda: target.ask("keep", 50, 5000) and our_threads(target.pid), 30,
                       "our thread to come back")
            for tid in our_threads(target.pid):
                require("Seccomp:\t0" in read_proc(target.pid, "task/%d/status" % tid).decode(),
                        "our thread is confined")
            context.tool.still_served(target)
        require(after_fault(context, target, plain), "it was attached")


def loaded_by_others(context):
    """Any thread may run the script of remote debugging."""
    if context.row.minor < 14:
        context.skip("Python %s takes no remote debugging" % context.row.version)
    for name in ("accept4", "pwrite64"):
        with fault_target(context, "filters.py") as target:
            tid, error = target.ask("confine", [NUMBERS[name]], "kill")
            require_equal(error, 0, "filter")
            refused(context, target, "thread %d " % tid, "--method", "remote-exec")
            said = refused(context, target, "not allow %s," % name, "--method", "remote-exec")
            require("any thread may be the one that loads" in said, said)
            after_fault(context, target)


def judged_calls(lists=""):
    """Names of all calls that injector/seccomp.c judges filters by; or of some
    of its lists."""
    path = os.path.join(os.path.dirname(HERE), "..", "injector", "seccomp.c")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if lists:
        text = "".join(re.findall(
            r"^static const struct call (?:%s)(?:\[\])? = .*?;$" % lists, text, re.M | re.S))
    return set(re.findall(r"\b(?:CALL|MAY_FAIL)\((\w+)[,)]", text) +
               re.findall(r'\{ "(\w+)", SYS_', text)) - {"name"}


def call_numbers(context):
    """{name: number} out of the kernel's header."""
    path = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
    if not os.path.exists(path):
        context.skip("no " + path)
    with open(path, encoding="ascii") as f:
        return {name: int(number) for name, number in re.findall(
            r"^#define __NR_(\w+) (\d+)$", f.read(), re.M)}


# What the target itself calls beside that.
OWN = {"exit_group", "wait4", "mremap", "rt_sigreturn"}
# Of fork() itself, which counts threads from 3.12 on.
OWN_THERE = {"rt_sigprocmask", "set_robust_list", "getrandom", "lseek", "newfstatat"}


def nothing_else(context):
    """Any other call than those that are judged would kill the target: an
    attach, all that it serves, forks, a detach, and all of it again."""
    tool, number = context.tool, call_numbers(context)
    with fault_target(context, "filters.py") as target:
        plain = target.ask("allocators")
        require_equal(target.ask("fork"), 7, "status of a child")
        allowed = judged_calls() | OWN
        require(len(allowed) > 50, "the list was understood", allowed)
        require_equal(target.ask("allow_only", [number[n] for n in sorted(allowed)]), 0,
                      "filter")
        require_equal(target.ask("fork"), 7, "status of a child, confined")
        for _ in range(3):
            tool.attach(target, "--rate", "4KiB")
            for _ in range(3):
                target.ask("keep", 500, 5000)
                require_equal(target.ask("fork"), 7, "status of a child, attached")
                require(tool.still_served(target)["samples"]["taken"] > 50, "samples")
                require(tool.report(target)["rows"], "rows")
            tool.good("rate", target.pid, "64KiB")
            require(after_fault(context, target, plain), "it was attached")


def nothing_else_elsewhere(context):
    """The same for a thread that only allocates and forks: no call but those of
    the hooks and of the handlers of fork()."""
    tool, number = context.tool, call_numbers(context)
    allowed = judged_calls("hook_calls|fork_calls?") | OWN | OWN_THERE
    require("futex" in allowed and "clone" in allowed and "bind" not in allowed,
            "the lists were understood", allowed)
    with fault_target(context, "filters.py", python_options=["-W", "ignore"]) as target:
        plain = target.ask("allocators")
        tid, error = target.ask("confine", [number[n] for n in sorted(allowed)], "allow", 0,
                                "kill")
        require_equal(error, 0, "filter")
        require_equal(target.ask("fork_there"), 0, "status of its child")
        for _ in range(3):
            tool.attach(target, "--rate", "1")
            for _ in range(3):
                before = target.ask("turns")
                wait_until(lambda: target.ask("turns") > before + 100, 20, "its progress")
                require_equal(target.ask("fork_there"), 0, "status of its child, attached")
                wait_until(lambda: target.ask("keep", 50, 5000) and our_threads(target.pid), 30,
                           "our thread to come back")
                tool.still_served(target)
            require(after_fault(context, target, plain), "it was attached")


def without_memfd(context):
    """memfd_create would kill where nothing else is left."""
    prefix = ["unshare", "-m"] + shell(context, READ_ONLY)
    with fault_target(context, "filters.py", prefix=prefix) as target:
        plain = target.ask("allocators")
        require_equal(target.ask("install", [NUMBERS["memfd_create"]], "kill"), 0, "filter")
        refused(context, target, " memfd_create")
        after_fault(context, target, plain)
    # an error is not a death: the way is closed, no more
    with fault_target(context, "filters.py", prefix=prefix) as target:
        require_equal(target.ask("install", [NUMBERS["memfd_create"]], "errno"), 0, "filter")
        error = context.tool.refused("no-place", "attach", target.pid,
                                     *context.tool.attach_options())
        require("memfd_create failed" in error["message"], "message", error)
        after_fault(context, target)


CASES = [killing, failing, second_of_two, harmless, unreadable, strict, of_another_thread,
         hooks_elsewhere, unreadable_elsewhere, many_threads, made_by_others,
         loaded_by_others, without_memfd, nothing_else, nothing_else_elsewhere]
