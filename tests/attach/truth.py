# SPDX-License-Identifier: MIT
"""Estimates against the truth: the same program run twice, once counted by
tracemalloc and once sampled by us, compared line by line."""
from estimate import (binomial_tail, covers, expected_samples, standard_error,
                      totals)
from process import Failure, require, require_equal

RATES = ("8KiB", "16KiB", "24KiB")
SIZES = {"8KiB": 8192, "16KiB": 16384, "24KiB": 24576}


def shown(text):
    """A name as reports give it: lone surrogates as six characters."""
    return "".join("\\u%04x" % ord(c) if 0xd800 <= ord(c) < 0xe000 else c for c in text)


def truth_of(context):
    """The sites of targets/truth.py under this interpreter, counted."""
    if "sites" not in context.shared:
        with context.target("truth.py", "--count", unchanged=False) as target:
            context.shared["sites"] = target.ask("work", 1, wait=240)
            context.shared["file"] = target.file
    return context.shared["sites"]


def rename(site, context, target):
    """The counted run had another directory: its file under our name."""
    if site["file"] == context.shared["file"]:
        return target.file
    return shown(site["file"])


def compare(context, rows, target, rate):
    """(bytes covered, objects covered, sites) of one report; fails where a
    site is missing, named wrongly or off by more than luck explains."""
    table = {}
    for row in rows:
        table.setdefault((row["file"], row["line"]), []).append(row)
    bytes_hit = objects_hit = runs = 0
    for site in truth_of(context):
        if expected_samples(site["sizes"], rate) < 30:
            continue
        where = (rename(site, context, target), site["line"])
        names = [shown(n) for n in site["functions"]]
        found = [r for r in table.get(where, []) if r["function"] in names]
        require(found, "no row for %s:%d in %s" % (where + (names,)),
                "rows of that line: %s" % table.get(where))
        if len(found) > 1:
            continue	# one line in two functions: not one site
        true_bytes, true_objects = totals(site["sizes"])
        error = standard_error(site["sizes"], rate)
        off = abs(found[0]["bytes"]["estimate"] - true_bytes)
        require(off <= 7 * error + 0.02 * true_bytes,
                "%s:%d %s: %d bytes in truth, %.1f standard errors away" % (
                    where + (names, true_bytes, off / max(error, 1))), found[0])
        runs += 1
        bytes_hit += covers(found[0]["bytes"], true_bytes)
        objects_hit += covers(found[0]["objects"], true_objects)
    return bytes_hit, objects_hit, runs


def sampled(context, rate):
    with context.target("truth.py") as target:
        context.tool.attach(target, "--rate", rate, "--frames", "200")
        target.ask("work", 1, wait=240)
        report = context.tool.report(target, "--group-by", "line")
        require_equal(report["rate"], SIZES[rate], "rate of the report")
        status = context.tool.status(target)
        require_equal(status["samples"]["thinned"], 0, "thinned samples")
        return compare(context, report["rows"], target, SIZES[rate])


def sites_are_found_and_covered(context):
    """Every site with 30 expected samples: right name, right amount."""
    total = [0, 0, 0]
    for rate in RATES:
        one = sampled(context, rate)
        require(one[2] >= 20, "too few sites at %s: %d" % (rate, one[2]))
        for hits in one[:2]:
            require(binomial_tail(hits, one[2], 0.95) > 1e-6,
                    "%d of %d values in their interval at %s" % (hits, one[2], rate))
        total = [a + b for a, b in zip(total, one)]
    context.shared["coverage"] = total
    context.note("in their interval: bytes %d, objects %d of %d" % tuple(total))


def coverage(everything):
    """Over the whole matrix: at least 92 % of 200 or more."""
    found = [c.shared["coverage"] for c in everything.rows if "coverage" in c.shared]
    runs = sum(f[2] for f in found)
    if not runs:
        raise Failure("no row gave a comparison")
    for what, index in (("bytes", 0), ("objects", 1)):
        hits = sum(f[index] for f in found)
        everything.note("%s %d of %d (%.1f %%)" % (what, hits, runs, 100 * hits / runs))
        # of a single row 92 % would be a matter of luck
        require(hits >= 0.92 * runs if runs >= 200 else
                binomial_tail(hits, runs, 0.95) > 1e-6,
                "coverage of %s: %d of %d" % (what, hits, runs))


def recycled_block_counts_for_its_first_owner(context):
    """A list header from the free list belongs to the line that made it."""
    with context.target("recycle.py") as target:
        context.tool.attach(target, "--rate", "1")
        lines = target.ask("work")
        rows = context.tool.report(target, "--group-by", "line")["rows"]
        count = {}
        for row in rows:
            if row["file"] == target.file:
                count[row["line"]] = count.get(row["line"], 0) + row["objects"]["estimate"]
        first, second = count.get(lines["first"], 0), count.get(lines["second"], 0)
        require(first >= 60, "the first owner's line has %d of 80 lists" % first, rows[:20])
        require(second <= 20, "the second owner's line has %d of 80 lists" % second)


CASES = [sites_are_found_and_covered, recycled_block_counts_for_its_first_owner]
OVER_ALL = [coverage]
