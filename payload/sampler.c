/* SPDX-License-Identifier: MIT
 *
 * The arithmetic behind sampler.h: generator, logarithm, exponential.  The
 * payload links no libm, so log and expm1 are power series here, good to a
 * few units in the last place over the ranges that are used.
 */
#include "payload/sampler.h"

#define LN2_HIGH 0x1.62e42fefa39efp-1
#define LN2_LOW  0x1.abc9e3b39803fp-56
#define SQRT_HALF 0x1.6a09e667f3bcdp-1

static uint64_t rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static uint64_t split_mix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void pa_random_init(struct pa_random *random, uint64_t seed)
{
	/* four outputs of a bijection of a counter: never all zero */
	for (int i = 0; i < 4; i++)
		random->s[i] = split_mix(&seed);
}

uint64_t pa_random_next(struct pa_random *random)
{
	uint64_t *s = random->s;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* -ln(n 2^-53) for n in 1 .. 2^53. */
static double minus_log(uint64_t n)
{
	int bits = 64 - __builtin_clzll(n);
	int exponent = bits - 53;	/* n 2^-53 = m 2^exponent */
	double m = (double)n / (double)(1ull << bits);	/* [1/2, 1) */
	double s, z, sum = 0;

	if (m < SQRT_HALF) {
		m *= 2;
		exponent--;
	}
	/* ln m = 2 artanh(s), |s| <= 0.172 */
	s = (m - 1) / (m + 1);
	z = s * s;
	for (int k = 23; k >= 3; k -= 2)
		sum = (sum + 1.0 / k) * z;
	return -(exponent * LN2_HIGH
		 + (exponent * LN2_LOW + 2 * s + 2 * s * sum));
}

int64_t pa_sampler_draw(struct pa_random *random, uint64_t rate)
{
	uint64_t n = (pa_random_next(random) >> 11) + 1;

	if (rate <= 1)
		return 0;
	return (int64_t)((double)rate * minus_log(n));
}

/* The last term that counts: r^k / (k + 1)! is below 2^-56 after it. */
static int last_term(double r)
{
	return r < 1e-4 ? 5 : r < 3e-2 ? 9 : 16;
}

/* 1 - exp(-r) for 0 <= r <= 0.35, relative to its own size. */
static double small_probability(double r)
{
	static const double inverse[] = {
		0, 1, 1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8,
		1. / 9, 1. / 10, 1. / 11, 1. / 12, 1. / 13, 1. / 14, 1. / 15,
		1. / 16,
	};
	double sum = 1;

	/* r (1 - r/2 (1 - r/3 (1 - ...))) */
	for (int k = last_term(r); k >= 2; k--)
		sum = 1 - r * inverse[k] * sum;
	return r * sum;
}

double pa_sampler_probability(uint64_t size, uint64_t rate)
{
	double x, r, power = 1;
	int k;

	if (rate <= 1)
		return 1;
	x = ((double)size + 1) / (double)rate;
	if (x > 45)
		return 1;	/* less than 2^-64 away */
	/* exp(-x) = 2^-k exp(-r); for k = 0 nothing cancels */
	k = (int)(x / LN2_HIGH + 0.5);
	if (k == 0)
		return small_probability(x);
	r = (x - k * LN2_HIGH) - k * LN2_LOW;
	for (int i = 0; i < k; i++)
		power *= 0.5;
	if (r >= 0)
		return 1 - power * (1 - small_probability(r));
	/* exp(|r|) = 1 / exp(-|r|) */
	return 1 - power / (1 - small_probability(-r));
}
