# SPDX-License-Identifier: MIT
"""No finaliser, no weak reference callback ever runs in our thread."""
from process import require, require_equal


def never_in_our_thread(context):
    """Attach, report, change, detach, many times, under constant collection."""
    tool = context.tool
    with context.target("finalisers.py") as target:
        target.ask("start", 3)
        for _ in range(30 if context.full else 8):
            tool.attach(target, "--rate", "4KiB")
            tool.report(target)
            tool.good("rate", target.pid, "64KiB")
            tool.detach(target)
        tool.attach(target, "--rate", "1")
        tool.report(target)
        got = target.ask("stop")
        require(got["ran"] >= 1, "no finaliser ran at all: the test is void")
        require_equal(got["strange"], [], "foreign threads in which a finaliser ran")


CASES = [never_in_our_thread]
