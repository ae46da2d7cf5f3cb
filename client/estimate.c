/* SPDX-License-Identifier: MIT
 *
 * The estimator; see estimate.h.  It must not know where samples come from.
 */
#include "client/estimate.h"

#include <math.h>
#include <stddef.h>

/* The normal quantile of 97.5 %, and -log(2.5 %): the upper end of a Poisson
 * mean of which nothing was seen. */
#define Z 1.959963984540054
#define NONE_SEEN 3.6888794541139363

/* 1 / k!, from k = 1 on. */
static const double factors[] = {
	0x1.0000000000000p+0, 0x1.0000000000000p-1,
	0x1.5555555555555p-3, 0x1.5555555555555p-5,
	0x1.1111111111111p-7, 0x1.6c16c16c16c17p-10,
	0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-16,
	0x1.71de3a556c734p-19, 0x1.27e4fb7789f5cp-22,
	0x1.ae64567f544e4p-26, 0x1.1eed8eff8d898p-29,
	0x1.6124613a86d09p-33, 0x1.93974a8c07c9dp-37,
};

/* ln 2: its upper bits, so that small multiples are exact, and the rest. */
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define LOG2_E 0x1.71547652b82fep+0

/* e^-x and 1 - e^-x for x > 0, of operations that IEEE 754 defines to the
 * last bit: readers with another libm must say the same of one sample. */
static void decay(double x, double *rest, double *p)
{
	double k = floor(x * LOG2_E + 0.5), t, q = 0;

	if (x > 744) {
		*rest = 0;
		*p = 1;
		return;
	}
	t = (k * LN2_HIGH - x) + k * LN2_LOW;	/* within 0.35 of zero */
	for (size_t i = sizeof factors / sizeof factors[0]; i--; )
		q = (q + factors[i]) * t;
	*rest = ldexp(1 + q, -(int)k);
	*p = k > 0 ? 1 - *rest : -q;
}

static void odds(uint64_t size, uint64_t rate, double *rest, double *p)
{
	if (rate <= 1) {
		*rest = 0;
		*p = 1;
	} else {
		decay(((double)size + 1) / (double)rate, rest, p);
	}
}

double pa_probability(uint64_t size, uint64_t rate)
{
	double rest, p;

	odds(size, rate, &rest, &p);
	return p;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

void pa_sum_add_sample(struct pa_sum *sum, uint64_t size, uint64_t rate)
{
	double rest, p, weight;

	odds(size, rate, &rest, &p);
	weight = (double)size / p;
	sum->samples++;
	sum->bytes += weight;
	sum->bytes_variance += weight * weight * rest;
	sum->bytes_weight_max = larger(sum->bytes_weight_max, weight * rest);
	sum->objects += 1 / p;
	sum->objects_variance += rest / (p * p);
	sum->objects_weight_max = larger(sum->objects_weight_max, rest / p);
}

void pa_sum_add(struct pa_sum *sum, const struct pa_sum *more)
{
	sum->samples += more->samples;
	sum->bytes += more->bytes;
	sum->bytes_variance += more->bytes_variance;
	sum->bytes_weight_max = larger(sum->bytes_weight_max,
				       more->bytes_weight_max);
	sum->objects += more->objects;
	sum->objects_variance += more->objects_variance;
	sum->objects_weight_max = larger(sum->objects_weight_max,
					 more->objects_weight_max);
}

double pa_chi_squared(double z, double freedom)
{
	double a = 2 / (9 * freedom);
	double root = 1 - a + z * sqrt(a);

	return root > 0 ? freedom * root * root * root : 0;
}

/* variance / (2 total) chi2(2 total^2 / variance): a gamma quantile. */
static double gamma_quantile(double z, double total, double variance)
{
	if (variance <= 0 || total <= 0)
		return total;
	return variance / (2 * total) *
		pa_chi_squared(z, 2 * total * total / variance);
}

static struct pa_estimate interval(double total, double variance, double unseen)
{
	struct pa_estimate e = { .estimate = total };

	e.low = gamma_quantile(-Z, total, variance);
	e.high = gamma_quantile(Z, total + unseen,
				variance + unseen * unseen);
	/* Where every block was sampled the sums are right but for the
	 * rounding of size / P: the truth must not fall outside by that. */
	e.low = e.low < total ? e.low : total;
	e.high = e.high > total ? e.high : total;
	if (variance > 0 || unseen > 0) {
		e.low -= total * 1e-12;
		e.high += total * 1e-12;
	}
	if (e.low < 0)
		e.low = 0;
	return e;
}

struct pa_estimate pa_estimate_bytes(const struct pa_sum *sum, uint64_t rate)
{
	double floor = rate > 1 ? (double)rate : 0;

	if (!sum->samples)
		return (struct pa_estimate){ 0, 0, NONE_SEEN * floor };
	return interval(sum->bytes, sum->bytes_variance,
			larger(floor, sum->bytes_weight_max));
}

struct pa_estimate pa_estimate_objects(const struct pa_sum *sum, uint64_t rate)
{
	double floor = rate > 1 ? (double)rate : 0;

	if (!sum->samples)
		return (struct pa_estimate){ 0, 0, NONE_SEEN * floor };
	/* What is unseen is taken to be as large as what was seen. */
	if (sum->objects > 0)
		floor /= sum->bytes / sum->objects + 1;
	return interval(sum->objects, sum->objects_variance,
			larger(floor, sum->objects_weight_max));
}

struct pa_estimate pa_estimate_difference(const struct pa_sum *came,
					  const struct pa_sum *went,
					  bool *significant)
{
	double delta = came->bytes - went->bytes;
	double half = Z * sqrt(came->bytes_variance + went->bytes_variance);
	uint64_t n = delta > 0 ? came->samples : went->samples;

	*significant = n >= 5 && fabs(delta) > half;
	return (struct pa_estimate){ delta, delta - half, delta + half };
}
