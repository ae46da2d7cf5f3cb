# SPDX-License-Identifier: MIT
"""Processes of a test: the target, and what /proc says about it.

Every wait has a limit.  A process is ended by the pid that we started, never
by name.  Nothing here knows the command under test.
"""
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

TARGETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "targets")


class Failure(Exception):
    """A test saw something else than it must."""


class Skip(Exception):
    """A test cannot run here; the text says why."""


def require(condition, text, *more):
    if not condition:
        raise Failure(text + "".join("\n    " + str(x) for x in more))


def require_equal(got, expected, what):
    require(got == expected, "%s: expected %r, got %r" % (what, expected, got))


def wait_until(condition, seconds, what):
    """Poll a fact of another process that cannot be waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("waited %.1f s in vain: %s" % (seconds, what))
        time.sleep(0.002)


def wait_turns(condition, seconds, what, turn=0.002):
    """The same with a promised limit, counted in turns of 2 ms that we were
    given ourselves: where the machine is too busy for them, it was too busy
    for the other process as well."""
    for _ in range(int(seconds / turn)):
        value = condition()
        if value:
            return value
        time.sleep(turn)
    raise Failure("waited %d turns of %g s in vain: %s" % (seconds / turn, turn, what))


# ---- /proc ----

def read_proc(pid, name):
    with open("/proc/%d/%s" % (pid, name), "rb") as f:
        return f.read()


def proc_status(pid, key):
    for line in read_proc(pid, "status").decode().splitlines():
        if line.startswith(key + ":"):
            return line.split(":", 1)[1].strip()
    return None


def state(pid):
    return proc_status(pid, "State")[0]


def threads(pid):
    """{tid: name} of a process."""
    found = {}
    for tid in os.listdir("/proc/%d/task" % pid):
        try:
            found[int(tid)] = read_proc(pid, "task/%s/comm" % tid).decode().strip()
        except OSError:
            pass
    return found


def is_reading(pid):
    """Is its first thread in read(0, ...), and off the processor?  What the
    state says is set a moment before a thread goes to sleep."""
    return read_proc(pid, "syscall").startswith(b"0 0x0 ")


def our_threads(pid):
    return [t for t, name in threads(pid).items() if name == "pyattach"]


def descriptors(pid):
    """{fd: what it is, without the inode} of a process."""
    found = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            found[int(fd)] = os.readlink("/proc/%d/fd/%s" % (pid, fd)).split(":[")[0]
        except OSError:
            pass
    return found


def mappings(pid):
    return read_proc(pid, "maps").decode("utf-8", "replace").splitlines()


def rss(pid):
    """Resident bytes of the process's own, counted page by page.  VmRSS lags
    behind by some 100 KiB on kernels that count for each processor, and pages
    of files come as the kernel reads ahead."""
    for line in read_proc(pid, "smaps_rollup").decode().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return int(proc_status(pid, "RssAnon").split()[0]) * 1024


def descendant(ancestor, inner):
    """The pid, as we see it, of the process below `ancestor` that calls
    itself `inner` in its own pid namespace."""
    parents = {}
    for name in os.listdir("/proc"):
        try:
            if name.isdigit():
                parents[int(name)] = int(proc_status(int(name), "PPid"))
        except (OSError, TypeError):
            pass
    below = {ancestor}
    for _ in range(4):
        below |= {pid for pid, parent in parents.items() if parent in below}
    found = [pid for pid in below - {ancestor}
             if proc_status(pid, "NSpid").split()[1:] == [str(inner)]]
    require(len(found) == 1, "one process %d below %d" % (inner, ancestor), found)
    return found[0]


# ---- the target ----

class Target:
    """A program of tests/targets under the row's interpreter."""

    def __init__(self, row, name, *arguments, env=None, prefix=(), python_options=(),
                 user=(), python=None, wait=30.0, text=False, nested=False):
        """prefix: words before the whole command; user: words before the
        interpreter, inside of its root; python: another one there; nested:
        it runs in a pid namespace, as a child of what we start."""
        self.row = row
        self.directory = row.private_directory()
        self.errors = tempfile.TemporaryFile()
        inside = self.directory[len(row.root):]
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONHASHSEED": "0",
                       "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        environment.update(env or {})
        self.process = subprocess.Popen(
            list(prefix) + row.command[:-1] + list(user)
            + [python or row.python] + list(python_options)
            + [os.path.join(inside, name)] + [str(a) for a in arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env=environment, cwd="/")
        self.pid = self.process.pid
        self.file = os.path.join(inside, name)
        self.buffer = b""
        self.attached = False
        self.ended = False
        try:
            self.hello = self.read_line(wait) if text else self.read(wait)
            if nested:
                self.pid = descendant(self.process.pid, self.hello["ready"])
        except Failure:
            self.kill()
            raise

    # talk

    def read(self, wait=30.0):
        """The next line of the target, as an object."""
        return json.loads(self.read_line(wait))

    def read_line(self, wait=30.0):
        end = time.monotonic() + wait
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            require(left > 0, "the target said nothing for %.0f s" % wait, self.story())
            if select.select([fd], [], [], left)[0]:
                got = os.read(fd, 1 << 16)
                require(got, "the target closed its output", self.story())
                self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def rest(self, wait=30.0):
        """All that it says until it closes its output."""
        end = time.monotonic() + wait
        fd = self.process.stdout.fileno()
        while True:
            left = end - time.monotonic()
            require(left > 0, "the target did not end in %.0f s" % wait, self.story())
            if select.select([fd], [], [], left)[0]:
                got = os.read(fd, 1 << 16)
                if not got:
                    return self.buffer
                self.buffer += got

    def errors_text(self):
        """Its stderr so far, read without moving the file's offset: the
        target writes there."""
        fd = self.errors.fileno()
        return os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "replace")

    @property
    def complaint(self):
        """The last line of its stderr."""
        lines = self.errors_text().strip().splitlines()
        return lines[-1] if lines else ""

    def silent(self):
        """True if the target has said nothing that was not read."""
        return not self.buffer and not select.select(
            [self.process.stdout.fileno()], [], [], 0)[0]

    def send(self, *request):
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as e:
            raise Failure("cannot talk to the target: %s" % e, self.story())

    def ask(self, *request, wait=60.0):
        self.send(*request)
        return self.answer(wait)

    def answer(self, wait=60.0):
        message = self.read(wait)
        require("answer" in message, "the target failed", message.get("error", message))
        return message["answer"]

    def story(self):
        """How the target fares, and the end of its stderr."""
        text = self.errors_text()[-3000:]
        return "exit status %s, stderr: %s" % (self.process.poll(), text or "(none)")

    # end

    def wait(self, wait=30.0):
        try:
            status = self.process.wait(wait)
        except subprocess.TimeoutExpired:
            raise Failure("the target did not end in %.0f s" % wait, self.story())
        self.ended = True
        self._forget()
        return status

    def quit(self, wait=30.0):
        """End it politely; its exit status."""
        require_equal(self.ask("quit", wait=wait), "bye", "answer to quit")
        self.process.stdin.close()
        return self.wait(wait)

    def kill(self):
        """End it by pid, whatever its state, and forget it."""
        if self.process.poll() is None:
            if self.pid != self.process.pid:
                os.kill(self.pid, signal.SIGKILL)
            self.process.send_signal(signal.SIGKILL)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                raise Failure("the target did not die in 60 s: frozen, or traced")
        self.ended = True
        self._forget()

    def _forget(self):
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except OSError:
                pass
        shutil.rmtree(self.directory, ignore_errors=True)
