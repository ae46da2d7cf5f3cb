# SPDX-License-Identifier: MIT
"""Rate 1: every allocation is a sample, so every number is exact."""
import os
import time

from directory import Directory
from process import require, require_equal, wait_turns


def row_of(report, target, line):
    rows = [r for r in report["rows"] if (r["file"], r["line"]) == (target.file, line)]
    require(len(rows) == 1, "one row for line %d" % line, rows or report["rows"][:8])
    return rows[0]


def require_exact(number, truth, what):
    require_equal(number["estimate"], truth, what)
    require_equal((number["low"], number["high"]), (truth, truth), what + ", interval")


def every_allocation_is_counted(context):
    """Known blocks at a known line: bytes, objects, interval of length 0."""
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "1")
        line = target.ask("keep", 5000, 633)
        churned = target.ask("churn", 3000, 700)
        live = context.tool.report(target)
        row = row_of(live, target, line)
        require_equal(row["function"], "keep", "function")
        # the list that holds them grows at the same line
        blocks = row["objects"]["estimate"]
        require(5000 <= blocks <= 5001, "5000 blocks and a list: %r" % blocks, row)
        require(5000 * 633 <= row["bytes"]["estimate"] <= 5000 * 633 + 60000, "bytes", row)
        require_equal(row["bytes"]["low"], row["bytes"]["high"], "interval at rate 1")
        require(not [r for r in live["rows"] if r["line"] == churned and r["bytes"]["estimate"]
                     and r["file"] == target.file], "a freed block is still shown")
        made = row_of(context.tool.report(target, "--of", "allocated"), target, churned)
        require_exact(made["bytes"], 3000 * 700, "bytes allocated and freed")
        require_exact(made["objects"], 3000, "objects allocated and freed")


def frees_are_seen(context):
    """Both paths of free: small blocks, blocks beyond pymalloc, realloc."""
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "1")
        for size in (64, 512, 600, 5000, 200000):
            line = target.ask("keep", 200, size)
            report = context.tool.report(target)
            row = row_of(report, target, line)
            require(row["objects"]["estimate"] >= 200, "blocks of %d" % size, row)
            target.ask("drop")
            rows = context.tool.report(target)["rows"]
            left = [r for r in rows if (r["file"], r["line"]) == (target.file, line)
                    and r["objects"]["estimate"] > 1]
            require(not left, "freed blocks of %d are still shown" % size, left)


def realloc_moves_the_record(context):
    """A block that grew belongs to its last grower, with its last size."""
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "1")
        line, length = target.ask("grow", 400, 1000)
        row = row_of(context.tool.report(target), target, line)
        require(length <= row["bytes"]["estimate"] <= 1.3 * length + 4096, "bytes", row, length)
        require(row["objects"]["estimate"] <= 3, "a grown block is one object", row)


def totals_agree(context):
    """Two ways to count, one truth: the counters and the samples."""
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "1")
        before = context.tool.status(target)
        target.ask("keep", 1000, 100)
        target.ask("churn", 2000, 3000)
        target.ask("in_threads", 20, 50, 900)
        status = context.tool.status(target)
        asked, seen = status["requested"], status["estimated"]
        slack = asked["uncounted_max"]
        require(abs(asked["bytes"] - seen["bytes"]["estimate"]) <= slack,
                "bytes: exact %r, from the samples %r" % (asked, seen["bytes"]))
        require(asked["bytes"] - before["requested"]["bytes"]
                >= 1000 * 100 + 2000 * 3000 + 1000 * 900 - slack, "bytes too few", asked)
        if asked.get("calls") is not None:
            require(abs(asked["calls"] - seen["calls"]["estimate"]) <= slack + 64,
                    "calls: exact %r, from the samples %r" % (asked, seen["calls"]))


def domains_are_kept(context):
    """What pymalloc hands on to RAW is charged there, under its own name."""
    with context.target("maker.py") as target:
        for rate in ("1", "16KiB"):
            context.tool.attach(target, "--rate", rate)
            target.ask("keep", 10000, 3000)
            rows = context.tool.report(target, "--group-by", "domain")["rows"]
            live = {r["domain"]: r["bytes"]["estimate"] for r in rows}
            # at 16 KiB the standard error of the former is 2 % of it
            require(live.get("obj", 0) > 0.8 * 3e7, "bytes in obj", live)
            require(live.get("raw", 0) < 0.1 * 3e7, "bytes in raw", live)
            target.ask("drop")
            context.tool.detach(target)


def totals_reach_the_memory(context):
    """For a core: nobody asks, and the totals there are 5 s old at most."""
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "1MiB")
        read = Directory(target).read
        before = context.tool.status(target)["requested"]["calls"]
        target.ask("churn", 20000, 3000)
        wait_turns(lambda: read("requested_calls") >= before + 20000, 6.0,
                   "the totals to be brought into memory")
        require(context.tool.status(target)["requested"]["calls"] - read("requested_calls")
                < 1000, "calls in memory")
        brought = read("requested_monotonic_ns")
        age = time.monotonic_ns() - brought
        require(0 <= age < 30 * 10**9, "the time of the totals", age)


def low_rates_keep_frees(context):
    """Rates from 1 to 4 KiB, where free is hooked, and above."""
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "100")
        for rate in ("100", "1KiB", "4KiB", "5KiB"):
            context.tool.good("rate", target.pid, rate)
            target.ask("keep", 20000, 100)
            target.ask("drop")
            status = context.tool.status(target)
            taken, live = status["samples"]["taken"], status["samples"]["live"]
            require(live * 4 < taken, "%d of %d samples live at %s" % (live, taken, rate))


def interpreter_counts_stay(context):
    """sys.getallocatedblocks() is not moved by what we sample."""
    with context.target("maker.py") as target:
        alone = target.ask("small_blocks", 200000)
        for rate in ("4KiB", "256"):
            context.tool.attach(target, "--rate", rate)
            moved = target.ask("small_blocks", 200000)
            require(abs(moved - alone) <= 50, "blocks of the interpreter moved by %d at %s, "
                    "by %d without us" % (moved, rate, alone))
            context.tool.detach(target)


def tracebacks_are_whole(context):
    """Known chains of calls, innermost first, cut where --frames says."""
    tool = context.tool
    for frames in (64, 3):
        with context.target("chains.py") as target:
            tool.attach(target, "--rate", "1", "--frames", frames)
            chain = target.ask("chain")
            rows = tool.report(target, "--group-by", "traceback")["rows"]
            wanted = [[target.file, line, name] for name, line in chain]
            stacks = [[[f["file"], f["line"], f["function"]] for f in r["stack"]]
                      for r in rows]
            found = [s for s in stacks if s[:1] == wanted[:1]]
            require_equal(len(found), 1, "stacks of the chain")
            if frames == 64:
                require_equal(found[0][:len(wanted)], wanted, "the chain")
                require(found[0][-1][2] == "<module>", "the outermost frame", found[0])
            else:
                require_equal(found[0][:3], wanted[:3], "the innermost frames")
                require(len(found[0]) <= 4 and found[0][-1][2] == "<truncated>",
                        "the cut", found[0])
            deep = target.ask("recurse", 900)
            rows = tool.report(target)["rows"]
            row_of({"rows": rows}, target, deep)


def groupings_agree(context):
    """Whatever the rows stand for, they add up to the same totals."""
    tool = context.tool
    with context.target("maker.py") as target:
        tool.attach(target, "--rate", "1")
        target.ask("keep", 3000, 300)
        target.ask("in_threads", 5, 100, 2000)
        path = os.path.join(target.directory, "image")
        tool.good("snapshot", target.pid, "-o", path)
        totals = {}
        for of in ("live", "allocated"):
            for group in ("line", "function", "file", "traceback"):
                report = tool.report(path, "--group-by", group, "--of", of)
                total = report["totals"]
                for what in ("bytes", "objects"):
                    added = sum(r[what]["estimate"] for r in report["rows"])
                    require_equal(round(added), round(total[what]["estimate"]),
                                  "%s of the rows by %s" % (what, group))
                known = totals.setdefault(of, total)
                require_equal(total, known, "totals by %s" % group)
        limited = tool.good("report", path, "--limit", "2")
        require_equal(len(limited["rows"]), 2, "rows under --limit 2")
        require_equal(limited["totals"], totals["live"], "totals under --limit")
        for sort in ("bytes", "objects", "samples"):
            rows = tool.report(path, "--sort", sort)["rows"]
            values = [r[sort] if sort == "samples" else r[sort]["estimate"] for r in rows]
            require_equal(values, sorted(values, reverse=True), "order by " + sort)


CASES = [every_allocation_is_counted, frees_are_seen, realloc_moves_the_record,
         totals_agree, domains_are_kept, totals_reach_the_memory, low_rates_keep_frees,
         interpreter_counts_stay, tracebacks_are_whole, groupings_agree]
