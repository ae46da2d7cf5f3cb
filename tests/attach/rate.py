# SPDX-License-Identifier: MIT
"""The rate changes while threads run, and estimates stay right."""
from estimate import expected_samples, standard_error
from process import require, require_equal

RATES = (("4KiB", 4096), ("1MiB", 1 << 20), ("64KiB", 65536))


def old_threads_follow(context):
    """Threads whose countdown was drawn at 1 GiB use 4 KiB at once: were the
    old countdown still running, they would not be sampled at all."""
    tool = context.tool
    with context.target("workers.py") as target:
        tool.attach(target, "--rate", "1GiB")
        target.ask("work", "first", 20, 900)
        got = tool.good("rate", target.pid, "4KiB")
        require_equal((got["rate"], got["previous"]), (4096, 1 << 30), "answer of rate")
        target.ask("work", "second", 300, 900)
        rows = tool.report(target, "--group-by", "function")["rows"]
        sizes = [(900, 300)]
        for index in range(8):
            name = "second_%d" % index
            found = [r for r in rows if r["function"] == name]
            require(found, "thread %d was not sampled at the new rate" % index,
                    sorted(r["function"] for r in rows))
            samples = found[0]["samples"]
            expected = expected_samples(sizes, 4096)
            require(samples > expected / 4, "thread %d: %d samples, %.0f expected" % (
                index, samples, expected))


def estimates_stay_right(context):
    """4 KiB, 1 MiB, 64 KiB in one life: each phase's line is right."""
    tool = context.tool
    with context.target("workers.py") as target:
        tool.attach(target, "--rate", RATES[0][0])
        previous = None
        phases = []
        for number, (text, rate) in enumerate(RATES):
            if previous:
                got = tool.good("rate", target.pid, text)
                require_equal((got["rate"], got["previous"]), (rate, previous), "rate")
            previous = rate
            target.ask("work", "phase%d" % number, 4000, 1000)
            phases.append((number, rate))
        report = tool.report(target, "--group-by", "function")
        for number, rate in phases:
            sizes = [(1000, 8 * 4000)]
            rows = [r for r in report["rows"] if r["function"].startswith("phase%d_" % number)]
            total = sum(r["bytes"]["estimate"] for r in rows)
            samples = sum(r["samples"] for r in rows)
            expected = expected_samples(sizes, rate)
            require(abs(samples - expected) <= 6 * expected ** 0.5 + 6,
                    "%d samples at rate %d, %.0f expected" % (samples, rate, expected))
            require(abs(total - 32e6) <= 6 * standard_error(sizes, rate) + 400000,
                    "%d bytes at rate %d, 32000000 in truth" % (total, rate))
        status = tool.still_served(target)
        asked, seen = status["requested"]["bytes"], status["estimated"]["bytes"]
        # that of the samples is too small where luck gave few at the lowest rate
        error = sum(standard_error([(1000, 32000)], rate) ** 2 for _, rate in phases) ** 0.5
        width = max((seen["high"] - seen["low"]) / 4, error) + 1
        require(abs(asked - seen["estimate"]) <= 6 * width, "exact total %d, estimate %r" % (
            asked, seen))


def refused_rates(context):
    """0, -1, 10EiB, nan, x: refused, and the rate stays."""
    tool = context.tool
    with context.target("maker.py") as target:
        tool.attach(target, "--rate", "32KiB")
        for text in ("0", "-1", "10EiB", "nan", "x", "", "1KB", "2TiB", "0.5"):
            answer = tool.run("rate", "--format", "json", "--", target.pid, text)
            require(answer.status in (2, 75), "rate %r must be refused" % text, answer)
            require(answer.error["error"] in ("usage", "bad-rate"), "word", answer)
            require_equal(tool.still_served(target)["rate"], 32768, "rate after %r" % text)
        for text, value in (("1.5k", 1536), ("2MiB", 2 << 20), ("1g", 1 << 30),
                            ("1TiB", 1 << 40), ("700", 700), ("1", 1)):
            require_equal(tool.good("rate", target.pid, text)["rate"], value, text)
            require_equal(tool.status(target)["rate"], value, text)


CASES = [old_threads_follow, estimates_stay_right, refused_rates]
