# SPDX-License-Identifier: MIT
"""Pythons that are not quite what was installed: another malloc below them,
inside another program, in a virtualenv, deleted or upgraded while they run,
with native threads and stacks of their own."""
import os
import shutil
import subprocess
import tempfile

from exact import row_of
from process import TARGETS, descriptors, mappings, require, require_equal, wait_until

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
MALLOCS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}
ROUNDS = 5


def works(context, target):
    """Attach, exact counts, detach, attach again."""
    tool = context.tool
    tool.attach(target, "--rate", "1")
    line = target.ask("keep", 2000, 400)
    row = row_of(tool.report(target), target, line)
    require(2000 <= row["objects"]["estimate"] <= 2001, "blocks", row)
    tool.detach(target)
    tool.attach(target, "--rate", "4KiB")
    target.ask("keep", 2000, 5000)
    require(tool.still_served(target)["samples"]["taken"] > 500, "samples")


def busy_works(context, target):
    """The same again and again while its threads work."""
    tool = context.tool
    for _ in range(20 if context.full else ROUNDS):
        tool.attach(target, "--rate", "16KiB")
        tool.report(target)
        tool.detach(target)
    require_equal(target.ask("stop")["wrong"] or 0, 0, "wrong answers of its threads")


# ---- another malloc ----

def loads(context, library):
    """The library may want a newer C library than the row's."""
    command = (context.row.command[:-1] + ["env", "LD_PRELOAD=" + library]
               + [context.row.python, "-S", "-c", "pass"])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30)
    return done.returncode == 0 and not done.stdout


def replaced_malloc(context, name):
    """Through the interpreter's own pools and without them, idle and busy."""
    library = os.path.join(LIBRARIES, MALLOCS[name])
    if not os.path.exists(library):
        context.skip("%s is not installed" % library)
    place = tempfile.mkdtemp(prefix="pa-test-", dir=context.row.inside("/tmp"))
    try:
        os.chmod(place, 0o755)
        copy = shutil.copy(library, place)[len(context.row.root):]
        if not loads(context, copy):
            context.skip("%s does not load under this C library" % name)
        for mode in ("pymalloc", "malloc"):
            env = {"LD_PRELOAD": copy, "PYTHONMALLOC": mode}
            with context.target("maker.py", env=env) as target:
                require(any(copy in line for line in mappings(target.pid)),
                        "%s is not loaded" % name)
                works(context, target)
            with context.target("busy.py", env=env) as target:
                target.ask("start")
                busy_works(context, target)
    finally:
        shutil.rmtree(place)


def jemalloc(context):
    replaced_malloc(context, "jemalloc")


def tcmalloc(context):
    replaced_malloc(context, "tcmalloc")


# ---- other programs and other places ----

def copied_files(context, directory):
    """The interpreter and its library, copied; the copy and its environment."""
    row = context.row
    source = os.path.realpath(row.inside(row.python))
    python = shutil.copy(source, os.path.join(directory, os.path.basename(source)))
    prefix = os.path.dirname(os.path.dirname(source[len(row.root):]))
    env = {"PYTHONHOME": prefix}
    if row.build == "shared":
        shutil.copy(libpython(context), directory)
        env["LD_LIBRARY_PATH"] = directory[len(row.root):]
    return python, env


def libpython(context):
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(context.row.python)))
    return os.path.join(prefix, "lib", "libpython3.%d.so.1.0" % context.row.minor)


def removed(path):
    os.unlink(path)


def upgraded(path):
    """As a package manager does it: another file takes the name."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    middle = len(data) // 2
    data[4096:middle] = bytes(middle - 4096)
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


def replaced_by_text(path):
    os.unlink(path)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n")


def files_change(context):
    """Interpreter and library deleted, or upgraded, under a running process:
    what counts is what is mapped."""
    for change in (removed, upgraded, replaced_by_text):
        directory = tempfile.mkdtemp(prefix="pa-test-", dir=context.row.inside("/tmp"))
        os.chmod(directory, 0o755)
        try:
            python, env = copied_files(context, directory)
            with context.target("maker.py", env=env, python=python[len(context.row.root):]
                                ) as target:
                for name in os.listdir(directory):
                    change(os.path.join(directory, name))
                require(any(python in line and "(deleted)" in line
                            for line in mappings(target.pid)), "the program is deleted")
                works(context, target)
        finally:
            shutil.rmtree(directory)


def virtualenv(context):
    row = context.row
    directory = tempfile.mkdtemp(prefix="pa-test-", dir=row.inside("/tmp"))
    inside = directory[len(row.root):]
    try:
        done = subprocess.run(row.command + ["-m", "venv", "--without-pip", inside + "/env"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        if done.returncode:
            context.skip("this Python cannot make a virtualenv: %s" % (
                done.stdout.decode("utf-8", "replace").strip().splitlines() or ["?"])[-1])
        with context.target("maker.py", python=inside + "/env/bin/python") as target:
            works(context, target)
    finally:
        shutil.rmtree(directory)


def embedded(context):
    """libpython inside a program of another name, its symbols hidden."""
    if context.row.build != "shared":
        context.skip("no libpython to embed")
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        context.skip("no C compiler")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "service")
        subprocess.run(compiler + ["-o", program, os.path.join(TARGETS, "embed.c"), "-ldl"],
                       check=True, timeout=60)
        prefix = os.path.dirname(os.path.dirname(os.path.realpath(context.row.python)))
        # extension modules find no symbols of a hidden library: not even ctypes
        with context.target("maker.py", unchanged=False, python=program,
                            python_options=[libpython(context)],
                            env={"PYTHONHOME": prefix}) as target:
            works(context, target)
            require_equal(target.ask("check"), target.ask("check"), "answers")


# ---- what people install ----

def wheel(context, name):
    """The folder with numpy and gevent, made by scripts/test."""
    cache = os.environ.get("PA_CACHE") or "/var/cache/pyattach-sample"
    folder = os.path.join(context.row.root or cache, "pa-wheels-3.%d" % context.row.minor)
    if not os.path.isdir(os.path.join(folder, name)):
        context.skip("%s for Python 3.%d is not there" % (name, context.row.minor))
    return folder[len(context.row.root):]


def with_wheel(context, name):
    env = {"PYTHONPATH": wheel(context, name), "OPENBLAS_NUM_THREADS": "2"}
    with context.target("wheels.py", name, env=env, wait=60) as target:
        target.ask("start")
        wait_until(lambda: target.ask("turns") > 10, 60, "its threads to work")
        target.fds = descriptors(target.pid)	# with those of its event loops
        for _ in range(3):
            before = target.ask("turns")
            context.tool.attach(target, "--rate", "16KiB")
            wait_until(lambda: target.ask("turns") > before + 5, 60, "progress, attached")
            context.tool.report(target)
            context.tool.detach(target)
        stopped = target.ask("stop")
        require_equal(stopped["wrong"], [], "wrong answers of its threads")


def numpy_(context):
    with_wheel(context, "numpy")


def gevent_(context):
    with_wheel(context, "gevent")


# Large packages, for two interpreters only.
HEAVY = ["numpy_", "gevent_"]
CASES = [jemalloc, tcmalloc, files_change, virtualenv, embedded, numpy_, gevent_]
