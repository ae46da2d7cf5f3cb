# SPDX-License-Identifier: MIT
"""Short threads: what they asked for is counted to the byte.

The machinery of a thread allocates too.  So the same threads run twice, once
with 100 blocks of 1 KiB each and once with none: the difference of the two
exact totals is the truth, up to a few objects that depend on timing.
"""
from estimate import standard_error
from process import our_threads, require, require_equal, threads, wait_until


def asked(context, target, total, blocks):
    """Exact bytes and calls, and the report's row, for one run."""
    tool = context.tool
    before = tool.status(target)["requested"]
    line = target.ask("threads", total, 20, blocks, wait=240)
    after = tool.status(target)["requested"]
    slack = before["uncounted_max"] + after["uncounted_max"]
    return after["bytes"] - before["bytes"], after["calls"] - before["calls"], slack, line


def ten_thousand_short_threads(context):
    """10 000 threads of 100 KiB: exact totals equal, estimates cover."""
    tool = context.tool
    total = 10000
    with context.target("short.py") as target:
        tool.attach(target, "--rate", "64KiB")
        asked(context, target, 200, 100)	# warm free lists and caches
        idle = asked(context, target, total, 0)
        busy = asked(context, target, total, 100)
        truth, calls = total * 100 * 1024, total * 100
        slack = idle[2] + busy[2] + 3e-4 * truth
        off = busy[0] - idle[0] - truth
        require(abs(off) <= slack, "exact bytes are off by %d of %d (slack %d)" % (
            off, truth, slack))
        require(abs(busy[1] - idle[1] - calls) <= 0.01 * calls + slack / 16,
                "exact calls are off", busy, idle)
        context.note("off by %d bytes of %d" % (off, truth))
        rows = tool.report(target, "--of", "allocated")["rows"]
        row = [r for r in rows if (r["file"], r["line"]) == (target.file, busy[3])][0]
        sizes = [(1024, (total + 200) * 100)]
        error = standard_error(sizes, 65536)
        require(abs(row["bytes"]["estimate"] - 1024 * sizes[0][1]) <= 6 * error,
                "the estimate is off by more than 6 standard errors of %d" % error, row)
        require_equal(len(our_threads(target.pid)), 1, "threads of ours")
        tool.still_served(target)


def every_thread_is_sampled_alone(context):
    """At rate 1 nothing of a short thread is lost."""
    tool = context.tool
    with context.target("short.py") as target:
        tool.attach(target, "--rate", "1", "--max-memory", "64MiB")
        line = target.ask("threads", 400, 20, 100)
        rows = tool.report(target, "--of", "allocated")["rows"]
        row = [r for r in rows if (r["file"], r["line"]) == (target.file, line)][0]
        require_equal(row["objects"]["estimate"], 40000, "blocks")
        require_equal(row["bytes"]["estimate"], 40000 * 1024, "bytes")
        # a thread that was joined may have some of its exit before it
        wait_until(lambda: len(threads(target.pid)) == 2, 30, "the short threads to end")


def half_made_state(context):
    """A C thread makes its thread state just when we attach, for which it
    needs no GIL: 3.11 shows it to others before it is filled."""
    if context.row.minor != 11:
        context.skip("only 3.11 shows such")
    tool = context.tool
    with context.target("short.py") as target:
        require(target.ask("half_made"), "the frame of a thread state lies elsewhere")
        tool.attach(target)
        require_equal(tool.status(target)["stacks"], "verified", "stacks")
        target.ask("whole")
        tool.still_served(target)


CASES = [ten_thousand_short_threads, every_thread_is_sampled_alone, half_made_state]
