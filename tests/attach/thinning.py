# SPDX-License-Identifier: MIT
"""More live samples than there is room for: the table thins, stays right."""
from estimate import standard_error
from process import require, require_equal


def full_table_thins(context):
    """Many live objects at a low rate under 1 MiB."""
    tool = context.tool
    with context.target("maker.py") as target:
        tool.attach(target, "--rate", "256", "--max-memory", "1MiB")
        small = target.ask("keep", 60000, 200)
        target.ask("in_threads", 4, 5000, 1000)
        status = tool.status(target)
        require(status["samples"]["thinned"] > 0, "nothing was thinned", status)
        require(status["effective_rate"] > 256, "effective rate", status)
        require_equal(status["rate"], 256, "rate as asked for")
        require(status["memory"]["used"] <= 1 << 20, "memory", status["memory"])
        require_equal(status["dropped"], 0, "dropped")
        rate = status["effective_rate"]
        report = tool.report(target)
        require_equal(report["effective_rate"], rate, "effective rate of the report")
        row = [r for r in report["rows"] if (r["file"], r["line"]) == (target.file, small)][0]
        sizes = [(200, 60000), (1000, 20000)]
        error = standard_error(sizes, rate)
        truth = 60000 * 200 + 4 * 5000 * 1000
        # the list that holds the blocks is at the same line
        require(abs(row["bytes"]["estimate"] - truth) <= 5 * error + 800000,
                "%d in truth" % truth, row, "standard error %d" % error)
        context.note("effective rate %d, %d live" % (rate, status["samples"]["live"]))


def freed_makes_room(context):
    """What was thinned and then freed leaves nothing behind."""
    tool = context.tool
    with context.target("maker.py") as target:
        tool.attach(target, "--rate", "256", "--max-memory", "1MiB")
        for _ in range(3):
            line = target.ask("keep", 50000, 300)
            target.ask("drop")
        rows = tool.report(target)["rows"]
        left = [r for r in rows if (r["file"], r["line"]) == (target.file, line)
                and r["bytes"]["estimate"] > 500000]
        require(not left, "freed blocks are still counted", left)
        got = tool.good("rate", target.pid, "512KiB")
        require_equal(got["rate"], 524288, "rate")
        tool.still_served(target)


CASES = [full_table_thins, freed_makes_room]
