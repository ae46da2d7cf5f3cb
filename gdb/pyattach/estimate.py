# SPDX-License-Identifier: MIT
"""The estimator: the same numbers as client/estimate.c.

A block of `size` bytes was sampled with P = 1 - exp(-(size + 1) / rate), or
1 where rate is 1.  Its bytes weigh size / P, its object 1 / P.  The interval
is that of Fay and Feuer, with Wilson and Hilferty's chi-squared.
"""
import math

Z = 1.959963984540054               # the normal quantile of 97.5 %
NONE_SEEN = 3.6888794541139363      # -log(2.5 %)


# 1 / k!, down to k = 1; ln 2 in two parts, the upper with few bits.
FACTORS = [1.0 / math.factorial(k) for k in range(14, 0, -1)]
LN2_HIGH = float.fromhex('0x1.62e42feep-1')
LN2_LOW = float.fromhex('0x1.a39ef35793c76p-33')
LOG2_E = float.fromhex('0x1.71547652b82fep+0')


def odds(size, rate):
    """(1 - P, P), to the last bit as client/estimate.c: gdb's libm may be
    another."""
    if rate <= 1:
        return 0.0, 1.0
    x = (size + 1.0) / rate
    if x > 744:
        return 0.0, 1.0
    k = math.floor(x * LOG2_E + 0.5)
    t, q = (k * LN2_HIGH - x) + k * LN2_LOW, 0.0
    for factor in FACTORS:
        q = (q + factor) * t
    rest = math.ldexp(1 + q, -k)
    return rest, 1 - rest if k else -q


def probability(size, rate):
    return odds(size, rate)[1]


# Sums are exact, so that their order does not matter: integers in these
# units, no larger than TOP.  As client/tally.h.
TOP = (1 << 128) - 1
BYTES, BYTES_VARIANCE, OBJECTS, OBJECTS_VARIANCE, AGE = 30, 16, 40, 30, 16


def fixed(value, bits):
    """A double in units of 2 ** -bits."""
    scaled = value * (1 << bits)
    return int(scaled) if scaled < 2.0 ** 128 else TOP


def weigh(size, rate):
    """What one sample adds: bytes, their variance, objects, their variance,
    in fixed point; then the largest weights."""
    rest, p = odds(size, rate)
    weight = size / p
    return (fixed(weight, BYTES),
            fixed(weight * weight * rest, BYTES_VARIANCE),
            fixed(1 / p, OBJECTS), fixed(rest / (p * p), OBJECTS_VARIANCE),
            weight * rest, rest / p)


class Sum:
    """Sums over samples, of one site or of many: kept exactly, read as
    doubles."""

    __slots__ = ('samples', 'exact', 'bytes_weight_max',
                 'objects_weight_max', 'oldest_ns')

    def __init__(self):
        self.samples = self.oldest_ns = 0
        self.exact = (0, 0, 0, 0, 0)
        self.bytes_weight_max = self.objects_weight_max = 0.0

    @classmethod
    def of(cls, samples, figures):
        """From the six doubles that an image keeps."""
        total = cls()
        total.samples = samples
        (w, wv, total.bytes_weight_max,
         o, ov, total.objects_weight_max) = figures
        total.exact = (fixed(w, BYTES), fixed(wv, BYTES_VARIANCE),
                       fixed(o, OBJECTS), fixed(ov, OBJECTS_VARIANCE), 0)
        return total

    def add_samples(self, number, weights, ages=0, oldest=0):
        """So many equal ones; weights as weigh() gives them, ages: their
        sum in ns."""
        w, wv, o, ov, wm, om = weights
        self._add(number, (number * w, number * wv, number * o, number * ov,
                           (w >> BYTES - AGE) * ages), wm, om, oldest)

    def add(self, more):
        self._add(more.samples, more.exact, more.bytes_weight_max,
                  more.objects_weight_max, more.oldest_ns)

    def _add(self, samples, exact, bytes_max, objects_max, oldest):
        self.samples += samples
        a, b, c, d, e = self.exact
        v, w, x, y, z = exact
        new = a + v, b + w, c + x, d + y, e + z
        self.exact = new if max(new) <= TOP else \
            tuple(min(k, TOP) for k in new)
        if bytes_max > self.bytes_weight_max:
            self.bytes_weight_max = bytes_max
        if objects_max > self.objects_weight_max:
            self.objects_weight_max = objects_max
        if oldest > self.oldest_ns:
            self.oldest_ns = oldest

    @property
    def bytes(self):
        return self.exact[0] / (1 << BYTES)

    @property
    def bytes_variance(self):
        return self.exact[1] / (1 << BYTES_VARIANCE)

    @property
    def objects(self):
        return self.exact[2] / (1 << OBJECTS)

    @property
    def objects_variance(self):
        return self.exact[3] / (1 << OBJECTS_VARIANCE)

    def age_ns(self):
        """The mean age, weighted by bytes."""
        if not self.exact[0]:
            return 0
        age = self.exact[4] / (1 << AGE) / self.bytes
        return int(age) if age < 2.0 ** 63 else (1 << 63) - 1


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
