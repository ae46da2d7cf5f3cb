# SPDX-License-Identifier: MIT
"""What one case of one row is given: the row, the tool, targets that are
ended whatever happens, and the checks that end every test.
"""
import contextlib
import os
import shutil
import subprocess
import tempfile

from process import Skip, Target, descriptors, require, require_equal

NOBODY = 65534


class Context:
    def __init__(self, row, tool, options, random):
        self.row = row
        self.tool = tool
        self.full = options.full
        self.program = options.program
        self.random = random
        self.notes = []
        self.shared = {}	# facts that cases of one row hand on

    def note(self, text):
        """A remark to be printed behind the verdict."""
        self.notes.append(text)

    def skip(self, reason):
        raise Skip(reason)

    @contextlib.contextmanager
    def target(self, name, *arguments, unchanged=True, **how):
        """A target for the block.  If the block ends well and the target is
        still there it is checked, detached, checked again and asked to end."""
        target = Target(self.row, name, *arguments, **how)
        try:
            if unchanged:
                target.before = target.ask("allocators")
                target.work = target.ask("check")
                target.fds = descriptors(target.pid)
            yield target
            if not target.ended:
                self.finish(target, unchanged)
        finally:
            target.kill()

    def finish(self, target, unchanged=True):
        """The end of every test: alive, right, unhooked, untraced, quiet."""
        if unchanged:
            require_equal(target.ask("check"), target.work, "answer of the target at the end")
        socket = None
        if target.attached:
            socket = self.tool.status(target).get("socket") or self.socket_of(target)
            self.tool.detach(target)
        self.tool.no_trace(target)
        if unchanged:
            require_equal(target.ask("allocators"), target.before, "allocators at the end")
            require_equal(descriptors(target.pid), target.fds, "descriptors at the end")
            require_equal(target.ask("check"), target.work, "answer of the target, detached")
        if socket and not socket.startswith("@"):
            require(not os.path.exists(self.row.inside(socket)),
                    "the socket file is still there: " + socket)
        require_equal(target.quit(), 0, "exit status of the target")

    def socket_of(self, target):
        for entry in self.tool.good("list")["processes"]:
            if entry["pid"] == target.pid:
                return entry["socket"]
        return None

    # ---- other users ----

    def user(self, uid):
        """The words that run a command as that user, without privileges."""
        if os.getuid() != 0:
            self.skip("needs root to become another user")
        return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"]

    def user_of_python(self, uid):
        """The same, where that user can run this very interpreter."""
        prefix = self.user(uid)
        command = self.row.command if not self.row.root else [self.row.python]
        root = ["chroot", self.row.root] if self.row.root else []
        done = subprocess.run(root + prefix + command
                              + ["-c", "import sys; print(sys.version.split()[0])"],
                              timeout=30, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        if done.returncode:
            self.skip("another user cannot run this interpreter")
        if done.stdout.decode().strip() != self.row.version:
            self.skip("another user gets another libpython")
        return prefix

    @contextlib.contextmanager
    def program_of_user(self, uid=NOBODY):
        """For Tool.run(): as that user, by a program that he can read."""
        prefix = self.user(uid)
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            yield {"prefix": prefix, "program": shutil.copy(self.program, directory),
                   "payload": shutil.copy(self.tool.payload, directory)}
