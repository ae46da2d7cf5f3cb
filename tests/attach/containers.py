# SPDX-License-Identifier: MIT
"""Targets behind walls: namespaces that an ordinary user made, with another
C library than ours, from the host and from inside; roots that cannot be
written to, that run nothing, that lack /proc."""
import contextlib
import os
import shutil
import subprocess
import tempfile

from context import NOBODY
from process import mappings, require, require_equal

# Mounts need a shell before the target; R is the root it will have.
SHELL = ["sh", "-e", "-c"]
READ_ONLY = """
mount --rbind "$R/" "$R/"; mount -o remount,bind,ro "$R/"
for d in /tmp /var/tmp /dev/shm /run; do
	mount --bind "$R$d" "$R$d"; mount -o remount,bind,ro "$R$d"
done
"""
NO_PROC = """
umount -l "$R/proc" || test -z "$(ls "$R/proc")"
"""
OWN_RUN = """
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mkdir -m 755 "$R/run/user"; mkdir -m 700 "$R/run/user/0"
"""


def need_root(context):
    if os.getuid() != 0:
        context.skip("needs root")


def may_unshare(context, words):
    done = subprocess.run(words + ["true"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)
    if done.returncode:
        context.skip("no namespaces here: %s" % done.stderr.decode().strip())


def shell(context, script, root=None):
    """Words that prepare the mounts of the target's namespace, then run it."""
    root = context.row.root if root is None else root
    return SHELL + ["R=%s\n%s\nexec \"$@\"" % (root, script), "sh"]


# ---- a container of an ordinary user ----

@contextlib.contextmanager
def container(context, script=""):
    """A target in mount, pid and user namespaces of uid 65534, where it is
    root and pid 1, and where the host's root is nobody."""
    need_root(context)
    owner = context.user_of_python(NOBODY)
    words = owner + ["unshare", "-Urmp", "--fork", "--kill-child",
                     "--mount-proc=%s/proc" % context.row.root]
    may_unshare(context, words)
    with context.target("maker.py", prefix=words + shell(context, script),
                        nested=True) as target:
        require_equal(target.hello["ready"], 1, "its pid, as it sees it")
        yield target


def tool_inside(context, target):
    """Our program and what it links, where the target can see it: for
    Tool.run(), in the target's namespaces.  Its loader is the host's."""
    folder = os.path.join(target.directory, "tool")
    os.mkdir(folder)
    text = subprocess.run(["ldd", context.program], check=True, stdout=subprocess.PIPE,
                          timeout=30).stdout.decode()
    files = [word for line in text.splitlines() for word in line.split()
             if word.startswith("/")]
    for path in files + [context.program, context.tool.payload]:
        shutil.copy(path, folder)
    loader = [os.path.basename(f) for f in files if "ld-linux" in f][0]
    inside = folder[len(context.row.root):]
    enter = context.user(NOBODY) + ["nsenter", "-t", str(target.pid), "-U", "-m", "-p", "-r",
                                    "--preserve-credentials"]
    return {"prefix": enter + [os.path.join(inside, loader), "--library-path", inside],
            "program": os.path.join(inside, os.path.basename(context.program)),
            "payload": os.path.join(inside, os.path.basename(context.tool.payload))}


def every_verb(context, target, pid, directory=None, payload=None, **how):
    """All that the command can do with a process, by whoever `how` says."""
    tool = context.tool
    options = tool.attach_options(payload)
    got = tool.good("attach", pid, "--rate", "16KiB", *options, **how)
    require_equal(got["pid"], pid, "pid")
    # so that the end of the test looks for what may be left
    target.attached = True
    target.ask("keep", 2000, 1000)
    status = tool.good("status", pid, **how)
    require_equal((status["pid"], status["hooks"]), (pid, "on"), "pid and hooks in status")
    require(status["samples"]["taken"] > 60, "samples", status)
    require(tool.good("report", pid, **how)["rows"], "rows of the report")
    require_equal(tool.good("rate", pid, "64KiB", **how)["previous"], 16384, "previous rate")
    listed = [p["pid"] for p in tool.good("list", **how)["processes"]]
    require(pid in listed, "the process is not listed", listed)
    again = tool.good("attach", pid, *options, **how)
    require_equal((again["already_attached"], again["socket"]), (True, got["socket"]),
                  "a second attach")
    answer = tool.run("snapshot", pid, "-o", "-", **how)
    require(answer.status == 0 and answer.stdout, "snapshot", answer)
    tool.good("census", pid, **how)
    tool.good("detach", pid, **how)
    target.attached = False
    tool.refused("not-attached", "status", pid, **how)
    return got


def from_inside(context):
    """By its own root, who is nobody outside."""
    with container(context) as target:
        every_verb(context, target, 1, **tool_inside(context, target))


def from_outside_by_its_user(context):
    """By the user who made the container, without any privilege."""
    for script in ("", OWN_RUN):
        with container(context, script) as target, context.program_of_user() as how:
            got = every_verb(context, target, target.pid, **how)
            if script:
                require(got["socket"].startswith("/run/user/0/"), "socket", got)


def from_outside_by_root(context):
    """By the host's root, who is nobody inside."""
    for script in ("", OWN_RUN):
        with container(context, script) as target:
            every_verb(context, target, target.pid)


# ---- mounts that leave no place ----

@contextlib.contextmanager
def other_mounts(context, script, root=None, **how):
    """A target whose mounts are its own, prepared by the script."""
    need_root(context)
    words = ["unshare", "-m"]
    may_unshare(context, words)
    with context.target("maker.py", prefix=words + shell(context, script, root),
                        **how) as target:
        yield target


def noexec_tmp(context):
    """The next directory will do."""
    script = 'mount --bind "$R/tmp" "$R/tmp"; mount -o remount,bind,noexec "$R/tmp"'
    with other_mounts(context, script) as target:
        got = every_verb(context, target, target.pid)
        require(not got["socket"].startswith("@"), "socket", got)


def no_writable_directory(context):
    """A read-only root and nothing beside it: the payload is in a memfd, its
    socket has an abstract name, and no file is made."""
    with other_mounts(context, READ_ONLY) as target:
        got = every_verb(context, target, target.pid)
        require(got["socket"].startswith("@"), "socket", got)
        require(any("memfd:" in line for line in mappings(target.pid)), "a memfd is mapped")


def read_only_root(context):
    """Only the root is: /dev/shm is a place."""
    script = READ_ONLY + 'mount -t tmpfs tmpfs "$R/dev/shm"'
    with other_mounts(context, script) as target:
        every_verb(context, target, target.pid)
        require(any("/dev/shm/.pyattach-" in line for line in mappings(target.pid)),
                "a file of /dev/shm is mapped")


def without_proc(context):
    """A root without /proc."""
    with no_proc(context) as target:
        every_verb(context, target, target.pid)


def without_proc_or_place(context):
    """Neither /proc nor a directory: a memfd has no name there, so refused."""
    with no_proc(context, READ_ONLY) as target:
        error = context.tool.refused("no-place", "attach", target.pid,
                                     *context.tool.attach_options())
        require("no /proc to name a memfd" in error["message"], "message", error)


@contextlib.contextmanager
def no_proc(context, script=""):
    """In a chroot whose /proc is empty; on the host a view of the root file
    system alone serves as one."""
    if context.row.root:
        with other_mounts(context, NO_PROC + script) as target:
            yield target
        return
    need_root(context)
    with tempfile.TemporaryDirectory(dir="/mnt") as root:
        alone = 'mount --bind / "$R"; mount --bind /tmp "$R/tmp"\n'
        with other_mounts(context, alone + NO_PROC + script, root,
                          user=["chroot", root]) as target:
            yield target


CASES = [from_inside, from_outside_by_its_user, from_outside_by_root, noexec_tmp,
         no_writable_directory, read_only_root, without_proc, without_proc_or_place]
