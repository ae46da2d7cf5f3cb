# SPDX-License-Identifier: MIT
"""What a census refuses, by name."""
import os
import shutil
import struct
import subprocess
import tempfile

from badinput import bystander
from process import require


def refusals(context):
    """What is not there, not Python, not a core."""
    tool = context.tool
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            tool.refused("not-python", "census", other.pid)
        finally:
            other.kill()
    tool.refused("no-such-process", "census", other.pid)
    for path in __file__, os.devnull, context.program:
        word = "not-an-image" if os.path.isfile(path) else "read"
        error = tool.refused(word, "census", path)
        require(path in error["message"], "the file's name", error)
    tool.refused("read", "census", "/nonexistent")
    tool.refused("usage", "census")
    tool.refused("usage", "census", "1", "--sort", "age")


# Runs nothing but an endless pause(2), for i386.
SMALL = bytes.fromhex("b81d000000cd80ebf7")
COOKIE = b"\0xdebugpy" + struct.pack("<QQ", 0x030d00f0, 1)


def small_program(path):
    """A program of 32 bits, of one page."""
    base = 0x08048000
    head = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    size = 84 + len(SMALL)
    with open(path, "wb") as f:
        f.write(head + struct.pack("<8I", 1, 0, base, base, size, size, 5, 4096) + SMALL)
    os.chmod(path, 0o755)


def others(context):
    """PyPy, GraalPy, musl, free-threaded builds and 32 bits: by name, while
    they run.  What is mapped tells; so a file of that name is mapped."""
    directory = tempfile.mkdtemp(prefix="pa-test-")
    program = ("import mmap, sys; f = open(sys.argv[1], 'rb'); "
               "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); "
               "print('x', flush=True); sys.stdin.read()")
    try:
        for name, content, word, said in (
                ("libpypy3-c.so", b"x", "other-python", "PyPy"),
                ("pypy3.10", b"x", "other-python", "PyPy"),
                ("libpythonvm.so", b"x", "other-python", "GraalPy"),
                ("ld-musl-x86_64.so.1", b"x", "not-glibc", "musl"),
                ("libpython3.13t.so.1.0", b"x", "free-threaded", "free-threaded"),
                ("libpython3.14.so.1.0", COOKIE, "free-threaded", "free-threaded"),
                ("libpython3.7m.so.1.0", b"x", "old-python", "3.7"),
                ("libpython3.99.so.1.0", b"x", "new-python", "3.99")):
            path = os.path.join(directory, name)
            with open(path, "wb") as f:
                f.write(content + bytes(4096))
            # a program without a libpython of its own
            with bystander(["/usr/bin/python3", "-S", "-c", program, path]) as process:
                process.stdout.read(1)
                for options in (), ("--pause",):
                    error = context.tool.refused(word, "census", process.pid, *options)
                    require(said in error["message"], "the name", error)
        path = os.path.join(directory, "small")
        small_program(path)
        try:
            process = subprocess.Popen([path])
        except OSError as e:
            context.note("no program of 32 bits runs here: %s" % e)
            return
        try:
            context.tool.refused("not-64-bit", "census", process.pid)
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(directory)


CASES = [refusals, others]
