#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A few attach tests under the python that the build was configured with.

Skipped, with the reason, where this user may not trace his own children.
The full matrix is the business of scripts/test.
"""
import ctypes
import os
import subprocess
import sys
import tempfile

from tap import done, ok, skip_all

HERE = os.path.join(os.environ["PA_SRCDIR"], "tests")
PYTHON = os.environ.get("PYTHON") or sys.executable
CASES = ["--group", "exact", "--group", "detach", "--case", "nothing_is_left",
         "--case", "every_allocation_is_counted"]


def may_trace():
    """'' if a child that did nothing to invite it can be seized."""
    child = subprocess.Popen([PYTHON, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    try:
        if libc.ptrace(0x4206, child.pid, 0, 0) == 0:
            return ""
        return os.strerror(ctypes.get_errno())
    finally:
        child.stdin.close()
        child.wait()


def row():
    """This python as a row of the list, or why not."""
    facts = subprocess.run(
        [PYTHON, "-c", "import os, sys, sysconfig;"
         "print(os.path.realpath(sys.executable));"
         "print('%d.%d.%d' % sys.version_info[:3]);"
         "print('shared' if sysconfig.get_config_var('Py_ENABLE_SHARED') else 'static');"
         "print(sys.implementation.name)"],
        stdout=subprocess.PIPE, check=True).stdout.decode().split()
    if facts[3] != "cpython" or not (3, 8) <= tuple(map(int, facts[1].split(".")[:2])) <= (3, 15):
        skip_all("%s is not a supported CPython" % PYTHON)
    build = facts[2]
    # Debian configures one build and links another: ask the file itself.
    with open(facts[0], "rb") as f:
        build = "shared" if b"libpython3" in f.read() and build == "shared" else "static"
    return "this\t-\t%s\t%s\t%s\n" % (facts[0], facts[1], build)


def main():
    why = may_trace()
    if why:
        skip_all("ptrace of an own child is not permitted: " + why)
    with tempfile.NamedTemporaryFile("w", suffix=".rows") as rows:
        rows.write(row())
        rows.flush()
        got = subprocess.run([PYTHON, "-B", os.path.join(HERE, "run_attach.py"),
                              "--rows", rows.name] + CASES,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    text = got.stdout.decode("utf-8", "replace")
    for line in text.splitlines():
        print("# " + line)
    ok(got.returncode == 0, "attach, sample, report, detach under " + PYTHON)
    done()


main()
