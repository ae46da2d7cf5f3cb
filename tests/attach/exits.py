# SPDX-License-Identifier: MIT
"""Every way to end, attached: status and output as without us."""
import tempfile

from blocked import ending, unattended
from forks import library
from process import require, require_equal

ENDINGS = ("return", "exit", "_exit", "raise", "term", "int", "kill", "abort",
           "segv", "daemons", "late", "late_forks", "forks", "spawns", "exec")


def ends_as_without_us(context):
    """Attached well before the end, at a rate that samples much."""
    tool = context.tool

    def attach(target):
        tool.attach(target, "--rate", "2KiB")
        tool.report(target)

    for how in ENDINGS:
        alone = unattended(context, how, 20)
        for _ in range(10 if context.full else 2):
            with_us = ending(context, how, -1, attach)
            require_equal(with_us, alone, "status, output, complaint of %r" % how)


def detached_then_ends(context):
    """Detached again: nothing of ours is in the way of the end."""
    tool = context.tool

    def attach(target):
        tool.attach(target, "--rate", "2KiB")
        tool.detach(target)

    for how in ENDINGS:
        with_us = ending(context, how, -1, attach)
        require_equal(with_us, unattended(context, how, 20),
                      "status, output, complaint of %r" % how)


def detached_below_a_wrapper(context):
    """Of hooks that nobody can see in the chain it is not said that they are
    gone: the wrapper that hides them calls them still."""
    tool = context.tool
    with tempfile.TemporaryDirectory(dir=context.row.inside("/tmp")) as directory, \
            context.target("wrapping.py", library(context, directory, "wrapping")) as target:
        tool.attach(target, "--rate", "64KiB")
        require_equal(target.ask("wrap"), 0, "error of the wrapper")
        require_equal(tool.detach(target)["hooks"], "pass-through", "hooks below a wrapper")
        require_equal(target.ask("unwrap"), 0, "error of the wrapper")
        tool.attach(target, "--rate", "64KiB")
        require_equal(tool.detach(target)["hooks"], "off", "hooks on top")


def dead_target_is_reported(context):
    """After its end every verb says so, and list forgets it."""
    tool = context.tool
    with context.target("maker.py") as target:
        tool.attach(target)
        pid = target.pid
        target.kill()
        for verb in ("status", "report", "detach", "attach"):
            tool.refused("no-such-process", verb, pid)
        require(not [p for p in tool.good("list")["processes"] if p["pid"] == pid],
                "a dead process is listed")


CASES = [ends_as_without_us, detached_then_ends, detached_below_a_wrapper, dead_target_is_reported]
