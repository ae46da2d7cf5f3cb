# SPDX-License-Identifier: MIT
"""The estimator: the same numbers as client/estimate.c.

A block of `size` bytes was sampled with P = 1 - exp(-(size + 1) / rate), or
1 where rate is 1.  Its bytes weigh size / P, its object 1 / P.  The interval
is that of Fay and Feuer, with Wilson and Hilferty's chi-squared.
"""
import math

Z = 1.959963984540054               # the normal quantile of 97.5 %
NONE_SEEN = 3.6888794541139363      # -log(2.5 %)


def probability(size, rate):
    if rate <= 1:
        return 1.0
    return -math.expm1(-(size + 1.0) / rate) or 1.0 / rate


def weigh(size, rate):
    """What one sample adds: bytes, variance, largest weight, and the same
    of objects."""
    p = probability(size, rate)
    weight = size / p
    rest = 0.0 if rate <= 1 else math.exp(-(size + 1.0) / rate)
    return (weight, weight * weight * rest, weight * rest,
            1 / p, rest / (p * p), rest / p)


class Sum:
    """Sums over samples, of one site or of many.  age_bytes is the sum of
    weight x age in seconds."""

    __slots__ = ('samples', 'bytes', 'bytes_variance', 'bytes_weight_max',
                 'objects', 'objects_variance', 'objects_weight_max',
                 'age_bytes', 'oldest_ns')

    def __init__(self, values=(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)):
        (self.samples, self.bytes, self.bytes_variance, self.bytes_weight_max,
         self.objects, self.objects_variance, self.objects_weight_max,
         self.age_bytes, self.oldest_ns) = values

    def add_sample(self, size, rate):
        """One sample, without its age."""
        w, wv, wm, o, ov, om = weigh(size, rate)
        self.add(Sum((1, w, wv, wm, o, ov, om, 0.0, 0)))

    def add(self, more):
        self.samples += more.samples
        self.bytes += more.bytes
        self.bytes_variance += more.bytes_variance
        self.objects += more.objects
        self.objects_variance += more.objects_variance
        self.bytes_weight_max = max(self.bytes_weight_max,
                                    more.bytes_weight_max)
        self.objects_weight_max = max(self.objects_weight_max,
                                      more.objects_weight_max)
        self.age_bytes += more.age_bytes
        self.oldest_ns = max(self.oldest_ns, more.oldest_ns)


def chi_squared(z, freedom):
    """Quantile of chi-squared; z is that of the normal distribution."""
    if not freedom > 0:
        return 0.0
    a = 2 / (9 * freedom)
    root = 1 - a + z * math.sqrt(a)
    return freedom * root * root * root if root > 0 else 0.0


def _gamma_quantile(z, total, variance):
    if variance <= 0 or total <= 0:
        return total
    return variance / (2 * total) * chi_squared(
        z, 2 * total * total / variance)


def _interval(total, variance, unseen):
    low = _gamma_quantile(-Z, total, variance)
    high = _gamma_quantile(Z, total + unseen, variance + unseen * unseen)
    low = low if low < total else total         # also where it is no number
    high = high if high > total else total
    if variance > 0 or unseen > 0:
        low -= total * 1e-12
        high += total * 1e-12
    return total, max(low, 0.0), high


def bytes_interval(total, rate):
    """(estimate, low, high) of a Sum's bytes; rate is the largest in force."""
    floor = float(rate) if rate > 1 else 0.0
    if not total.samples:
        return 0.0, 0.0, NONE_SEEN * floor
    return _interval(total.bytes, total.bytes_variance,
                     max(floor, total.bytes_weight_max))


def objects_interval(total, rate):
    floor = float(rate) if rate > 1 else 0.0
    if not total.samples:
        return 0.0, 0.0, NONE_SEEN * floor
    if total.objects > 0:
        floor /= total.bytes / total.objects + 1
    return _interval(total.objects, total.objects_variance,
                     max(floor, total.objects_weight_max))


def difference(came, went):
    """((estimate, low, high), significant) of bytes: `came` sums what only
    the newer source has, `went` what only the older one has."""
    delta = came.bytes - went.bytes
    half = Z * math.sqrt(came.bytes_variance + went.bytes_variance)
    samples = came.samples if delta > 0 else went.samples
    return (delta, delta - half, delta + half), \
        samples >= 5 and abs(delta) > half
