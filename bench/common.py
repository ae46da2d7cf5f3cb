# SPDX-License-Identifier: MIT
"""What the benchmarks share: targets, the command, medians, the host line.

Nothing here judges: a benchmark prints a table and exits 0.
"""
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("PA_PROGRAM") or shutil.which("pyattach-sample") or \
    os.path.join(HERE, "..", "build", "client", "pyattach-sample")


def median(values):
    return statistics.median(values)


def percentile(values, share):
    """The value below which `share` (0..1) of them lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(math.ceil(share * len(ordered))) - 1)]


def geomean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def host_line():
    model = "unknown CPU"
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
    except OSError:
        pass
    return "%s, %d CPUs, Linux %s, load %.1f" % (
        model, os.cpu_count() or 0, platform.release(), os.getloadavg()[0])


class Target(object):
    """A Python program of this directory, run by `python` in a chroot or not.

    chroot: None or the root directory; the program's files are copied into it.
    Lines go in by say(), one JSON line comes back.
    """

    def __init__(self, python, program, chroot=None, arguments=()):
        self.copied = None
        command = [python]
        if chroot:
            self.copied = tempfile.mkdtemp(dir=os.path.join(chroot, "tmp"))
            os.chmod(self.copied, 0o755)
            for name in os.listdir(HERE):
                if name.endswith(".py"):
                    shutil.copy(os.path.join(HERE, name), self.copied)
            inside = "/tmp/" + os.path.basename(self.copied)
            command = ["chroot", chroot, python]
            path = inside + "/" + program
        else:
            path = os.path.join(HERE, program)
        self.process = subprocess.Popen(
            command + [path] + list(arguments), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, universal_newlines=True)
        self.pid = self.process.pid
        self.ready = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the target ended early")
        return json.loads(line)

    def say(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        try:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.copied:
            shutil.rmtree(self.copied, ignore_errors=True)


def command(*arguments):
    """Run pyattach-sample with --json; the answer, or the end of the bench."""
    done = subprocess.run([PROGRAM] + list(arguments) + ["--format", "json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode:
        sys.exit("bench: %s: status %d: %s" % (
            " ".join(arguments), done.returncode, done.stderr.strip()))
    return json.loads(done.stdout)


def pythons(parser):
    """Add the options that name interpreters; see interpreters()."""
    parser.add_argument("--python", action="append", metavar="PATH",
                        help="an interpreter; may be repeated")
    parser.add_argument("--chroot", metavar="DIR",
                        help="the interpreters' root directory")


def interpreters(options):
    return options.python or ["/usr/bin/python3"]
