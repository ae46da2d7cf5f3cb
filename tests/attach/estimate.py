# SPDX-License-Identifier: MIT
"""What statistics promise: expected samples, and how far luck may go.

Plain arithmetic; no process, no file.
"""
import math


def probability(size, rate):
    """That a block of `size` bytes is sampled."""
    return 1.0 if rate == 1 else -math.expm1(-(size + 1) / rate)


def expected_samples(sizes, rate):
    return sum(count * probability(size, rate) for size, count in sizes)


def totals(sizes):
    """Exact bytes and objects of {size: blocks}."""
    return (sum(size * count for size, count in sizes),
            sum(count for _, count in sizes))


def binomial_tail(hits, runs, chance):
    """Probability of `hits` or fewer in `runs`."""
    total = 0.0
    for k in range(hits + 1):
        total += math.exp(math.lgamma(runs + 1) - math.lgamma(k + 1)
                          - math.lgamma(runs - k + 1)
                          + k * math.log(chance) + (runs - k) * math.log1p(-chance))
    return min(total, 1.0)


def standard_error(sizes, rate):
    """Of the estimated bytes of {size: blocks}."""
    variance = 0.0
    for size, count in sizes:
        p = probability(size, rate)
        variance += count * size * size * (1 - p) / p
    return math.sqrt(variance)


def covers(interval, truth):
    """A 95 % interval and a true value; room for the last digit."""
    slack = 1e-9 * abs(truth)
    return interval["low"] - slack <= truth <= interval["high"] + slack
