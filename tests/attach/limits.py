# SPDX-License-Identifier: MIT
"""Limits of the target that are reached: refused before anything in it is
touched, by a sentence that names the limit; and with --force no harm."""
import contextlib
import os
import tempfile

from process import (descriptors, is_reading, mappings, proc_status, read_proc, require,
                     require_equal, wait_until)

MIB = 1 << 20
LONER = 100000 + os.getpid()	# a user without any other process


def switches(pid):
    """How often its threads were taken off a processor: a stop is one."""
    count = 0
    for tid in os.listdir("/proc/%d/task" % pid):
        for line in read_proc(pid, "task/%s/status" % tid).decode().splitlines():
            if "ctxt_switches" in line:
                count += int(line.split()[1])
    return count


def quiet(target):
    wait_until(lambda: is_reading(target.pid), 30, "the target to wait for a request")
    return switches(target.pid), mappings(target.pid), descriptors(target.pid)


def refused(context, target, word, parts, *options):
    """Refused by that word and these parts of the message, and untouched:
    no thread was stopped, nothing is mapped or open that was not."""
    tool = context.tool
    before = quiet(target)
    error = tool.refused(word, "attach", target.pid, *(tool.attach_options() + list(options)))
    require_equal(quiet(target), before, "switches, maps and descriptors of the target")
    require_equal(proc_status(target.pid, "TracerPid"), "0", "TracerPid")
    for part in parts:
        require(part in error["message"] + error["hint"], "the error must name %s" % part,
                error)
    return error


def forced(context, target):
    """With --force it may fail, but must do no harm."""
    tool = context.tool
    answer = tool.run("attach", target.pid, *tool.attach_options(), "--force", "--timeout",
                      "5s", "--format", "json")
    target.attached = answer.status == 0
    word = "attached" if target.attached else answer.error["error"]
    if target.attached:
        tool.still_served(target)
        tool.detach(target)
    require_equal(target.ask("check"), target.work, "its answer after --force")
    tool.no_trace(target)
    return word


def size(target, key):
    return int(proc_status(target.pid, key).split()[0]) << 10


def memory_is_limited(context):
    """RLIMIT_AS and RLIMIT_DATA with less than --max-memory + 4 MiB left."""
    tool = context.tool
    words = []
    for name, key in (("AS", "VmSize"), ("DATA", "VmData")):
        with context.target("harm.py") as target:
            target.ask("limit", name, size(target, key) + 19 * MIB)
            error = refused(context, target, "no-memory-left",
                            ["RLIMIT_" + name, "KiB more (", "may map only"])
            require("--max-memory" in error["hint"] and "--force" in error["hint"], "hint",
                    error)
            # 14 MiB and what we need besides are there
            tool.attach(target, "--max-memory", "14MiB")
            tool.still_served(target)
        with context.target("harm.py") as target:
            target.ask("limit", name, size(target, key) + MIB // 2)
            refused(context, target, "no-memory-left", ["RLIMIT_" + name], "--max-memory",
                    "1MiB")
            words.append(forced(context, target))
            target.ask("limit", name, -1)
    context.note("forced: " + ", ".join(words))


def attach_again_is_limited(context):
    """What a payload before has mapped is used again: only the rest must fit
    below RLIMIT_AS and RLIMIT_DATA, and larger tables anew."""
    tool = context.tool
    for name, key in (("AS", "VmSize"), ("DATA", "VmData")):
        with context.target("harm.py") as target:
            tool.attach(target, "--max-memory", "32MiB")
            tool.detach(target)
            target.ask("limit", name, size(target, key) + 2 * MIB)
            refused(context, target, "no-memory-left", ["RLIMIT_" + name], "--max-memory",
                    "33MiB")
            for options in (["--max-memory", "32MiB"], []):
                tool.attach(target, *options)
                target.ask("keep", 20, 5000)
                tool.still_served(target)
                tool.detach(target)
            target.ask("limit", name, size(target, key) + MIB // 4)
            refused(context, target, "no-memory-left", ["RLIMIT_" + name])
            context.note("forced: " + forced(context, target))
            target.ask("limit", name, -1)


def descriptors_are_limited(context):
    with context.target("harm.py") as target:
        before = target.ask("limit", "NOFILE", 64)
        target.ask("fill_descriptors")
        target.ask("free_descriptors", 1)
        refused(context, target, "no-fd-left", ["RLIMIT_NOFILE", "64"])
        context.note("forced: " + forced(context, target))
        target.ask("free_descriptors")
        target.ask("limit", "NOFILE", before)
        context.tool.attach(target)
        context.tool.still_served(target)


def threads_are_limited(context):
    """RLIMIT_NPROC binds who is not root."""
    prefix = context.user_of_python(LONER)
    with context.target("harm.py", user=prefix) as target:
        before = target.ask("limit", "NPROC", 1)
        refused(context, target, "no-thread-left",
                ["may not start a thread: RLIMIT_NPROC", "1"])
        context.note("forced: " + forced(context, target))
        target.ask("limit", "NPROC", before)
        context.tool.attach(target)
        context.tool.still_served(target)


def mappings_are_limited(context):
    with open("/proc/sys/vm/max_map_count") as f:
        limit = int(f.read())
    if limit > 300000:
        context.skip("vm.max_map_count is %d here" % limit)
    with context.target("harm.py") as target:
        target.ask("map_pages", limit - len(mappings(target.pid)) - 5)
        refused(context, target, "no-mapping-left", ["memory mappings (vm.max_map_count)", str(limit)])
        context.note("forced: " + forced(context, target))


# ---- cgroups ----

def hierarchy(controller):
    """The folder of our own group where `controller` can be used, and its
    version; None where it cannot."""
    with open("/proc/self/cgroup") as f:
        own = {line.split(":")[1]: line.split(":", 2)[2].rstrip("\n") for line in f}
    with open("/proc/self/mounts") as f:
        mounts = [line.split() for line in f]
    for _, place, kind, options, *_ in mounts:
        if kind == "cgroup" and controller in options.split(",") and controller in own:
            return place + own[controller].rstrip("/"), 1
        if kind == "cgroup2" and "" in own:
            folder = place + own[""].rstrip("/")
            try:
                with open(folder + "/cgroup.controllers") as f:
                    if controller in f.read().split() or controller == "freezer":
                        return folder, 2
            except OSError:
                pass
    return None


@contextlib.contextmanager
def group_of(context, target, controller):
    """A control group with the target in it, as (folder, version)."""
    found = hierarchy(controller)
    if not found or os.getuid() != 0:
        context.skip("no cgroup of %s can be made here: the parsers of its files are "
                     "tested by tests/unit/test_proc" % controller)
    try:
        folder = tempfile.mkdtemp(prefix="pa-test-", dir=found[0])
    except OSError as e:
        context.skip("no cgroup of %s can be made here (%s): the parsers of its files are "
                     "tested by tests/unit/test_proc" % (controller, e.strerror))
    try:
        if found[1] == 2 and controller != "freezer" and not os.path.exists(
                "%s/%s.max" % (folder, controller)):
            context.skip("the %s controller is not handed down to a new cgroup" % controller)
        write(folder, "cgroup.procs", target.pid)
        yield folder, found[1]
    finally:
        if (controller, found[1]) == ("freezer", 1):
            # what is frozen there does not even die
            write(folder, "freezer.state", "THAWED")
        target.kill()
        # the kernel lets go of the dead a moment later
        wait_until(lambda: removed(folder), 60, "the cgroup to be empty")


def removed(folder):
    try:
        os.rmdir(folder)
    except OSError:
        return not os.path.exists(folder)
    return True


def write(folder, name, value):
    with open(os.path.join(folder, name), "w") as f:
        f.write(str(value))


def number(folder, name):
    with open(os.path.join(folder, name)) as f:
        return int(f.read())


def group_memory_is_limited(context):
    """Less than --max-memory + 4 MiB of the cgroup's memory is left."""
    with context.target("harm.py") as target:
        with group_of(context, target, "memory") as (folder, version):
            limit, usage = (("memory.limit_in_bytes", "memory.usage_in_bytes")
                            if version == 1 else ("memory.max", "memory.current"))
            target.ask("keep", 64, MIB)
            write(folder, limit, number(folder, usage) + 12 * MIB)
            error = refused(context, target, "no-memory-left", [limit, "cgroup"])
            require("--max-memory" in error["hint"] and "--force" in error["hint"], "hint",
                    error)
            context.tool.attach(target, "--max-memory", "4MiB")
            context.tool.still_served(target)
            context.finish(target)


def group_pids_are_limited(context):
    with context.target("harm.py") as target:
        with group_of(context, target, "pids") as (folder, _):
            write(folder, "pids.max", number(folder, "pids.current"))
            refused(context, target, "no-thread-left", ["pids.max"])
            context.note("forced: " + forced(context, target))
            write(folder, "pids.max", "max")
            context.tool.attach(target)
            context.tool.still_served(target)
            context.finish(target)


def is_frozen(folder, version):
    name, line = (("freezer.state", "FROZEN") if version == 1 else ("cgroup.events", "frozen 1"))
    with open(os.path.join(folder, name)) as f:
        return line in f.read().splitlines()


def group_is_frozen(context):
    with context.target("harm.py") as target:
        with group_of(context, target, "freezer") as (folder, version):
            name, on, off = (("freezer.state", "FROZEN", "THAWED") if version == 1
                             else ("cgroup.freeze", 1, 0))
            write(folder, name, on)
            wait_until(lambda: is_frozen(folder, version), 30, "the cgroup to freeze")
            context.tool.refused("frozen", "attach", target.pid)
            write(folder, name, off)
            require_equal(target.ask("ping", 9), 9, "answer after the thaw")
            context.tool.attach(target)
            context.tool.still_served(target)
            context.finish(target)


CASES = [memory_is_limited, attach_again_is_limited, descriptors_are_limited,
         threads_are_limited, mappings_are_limited, group_memory_is_limited,
         group_pids_are_limited, group_is_frozen]
