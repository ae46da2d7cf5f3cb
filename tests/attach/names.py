# SPDX-License-Identifier: MIT
"""New file names without end: memory stays bounded, totals stay right."""
from estimate import standard_error
from process import require, rss

LIMIT = 4 << 20


def rss_without_us(context, count):
    """How much the same work grows a process that nobody attached to."""
    with context.target("names.py") as target:
        before = rss(target.pid)
        target.ask("run", count, 2000, wait=600)
        return rss(target.pid) - before


def a_million_file_names(context):
    """Under --max-memory 4MiB, at a rate that samples every second name; the
    full million on two rows by default."""
    tool = context.tool
    count = 1000000 if context.full or context.row.heavy else 100000
    alone = rss_without_us(context, min(count, 100000))
    with context.target("names.py") as target:
        before = rss(target.pid)
        tool.attach(target, "--rate", "4KiB", "--max-memory", "4MiB")
        for _ in range(10):
            live = target.ask("run", count // 10, 2000, wait=600)
            status = tool.status(target)
            require(status["memory"]["limit"] == LIMIT, "limit", status)
            require(status["memory"]["used"] <= LIMIT, "memory over its limit", status["memory"])
        growth = rss(target.pid) - before - max(alone, 0)
        require(growth <= LIMIT + (2 << 20), "RSS grew by %d KiB more than without us" % (
            growth / 1024))
        context.note("%d names, RSS %+d KiB, %d samples" % (
            count, growth / 1024, status["samples"]["taken"]))
        require(status["dropped"] == 0, "dropped", status)
        totals_hold(context, target, count, live, status)


def totals_hold(context, target, count, live, status):
    """The exact total, the estimate of it, and the live bytes."""
    report = context.tool.report(target, "--group-by", "function")
    # thinning may have raised the rate: the bound is that of the last one
    rate = max(status["rate"], status["effective_rate"])
    asked, seen = status["requested"]["bytes"], status["estimated"]["bytes"]
    require(asked >= count * 2000, "requested", status["requested"])
    width = (seen["high"] - seen["low"]) / 4 + 1
    require(abs(asked - seen["estimate"]) <= 6 * width, "requested %d, estimate %r" % (
        asked, seen))
    rows = [r for r in report["rows"] if r["function"] == "body"]
    total = sum(r["bytes"]["estimate"] for r in rows)
    error = standard_error([(2000, live // 2000)], rate)
    require(abs(total - live) <= 6 * error + 2000, "live %d, estimate %d (error %d)" % (
        live, total, error), [r["function"] for r in report["rows"]][:20])
    made = context.tool.report(target, "--group-by", "function", "--of", "allocated")
    total = made["totals"]["bytes"]["estimate"]
    require(abs(total - asked) <= 6 * width + 0.001 * asked,
            "all rows together: %d of %d allocated" % (total, asked))


CASES = [a_million_file_names]
