# SPDX-License-Identifier: MIT
"""What one case of one row is given: the row, the tool, targets that are
ended whatever happens, and the checks that end every test.
"""
import contextlib
import os

from process import Skip, Target, descriptors, require, require_equal


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
