/* SPDX-License-Identifier: MIT
 *
 * The estimator: what a weighted sample says about all allocations, and how
 * sure that is (doc/SAMPLING.md).
 *
 * A block of `size` bytes was sampled with P = 1 - exp(-(size + 1) / rate)
 * (rate 1: P = 1).  Its bytes weigh size / P, its object 1 / P.  Pure
 * functions, doubles throughout, nothing is rounded.  Any thread.
 */
#ifndef PA_CLIENT_ESTIMATE_H
#define PA_CLIENT_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

/* Sums over samples.  All zero is the empty sum. */
struct pa_sum {
	uint64_t samples;
	double bytes;
	double bytes_variance;		/* sum of w^2 (1 - P) */
	double bytes_weight_max;	/* largest w (1 - P) */
	double objects;
	double objects_variance;	/* sum of (1 - P) / P^2 */
	double objects_weight_max;	/* largest (1 - P) / P */
};

/* With a 95 % interval. */
struct pa_estimate {
	double estimate, low, high;
};

/* P, in (0, 1]. */
double pa_probability(uint64_t size, uint64_t rate);

void pa_sum_add_sample(struct pa_sum *sum, uint64_t size, uint64_t rate);
void pa_sum_add(struct pa_sum *sum, const struct pa_sum *more);

/*
 * The Fay-Feuer interval.  `rate` is the largest rate that was in force while
 * the sum was gathered: so much one more, unseen sample could weigh.  With
 * rate 1 nothing is unseen and the estimate is exact.  Without samples the
 * interval is [0, 3.69 rate].
 */
struct pa_estimate pa_estimate_bytes(const struct pa_sum *sum, uint64_t rate);
struct pa_estimate pa_estimate_objects(const struct pa_sum *sum,
				       uint64_t rate);

/*
 * A difference of two snapshots of one process: `came` sums the samples that
 * only the newer one has, `went` those that only the older one has; what is
 * in both cancels exactly.  *significant: the interval excludes zero and at
 * least five samples differ on the side that prevails.
 */
struct pa_estimate pa_estimate_difference(const struct pa_sum *came,
					  const struct pa_sum *went,
					  bool *significant);

/* Quantile of chi-squared by Wilson and Hilferty; z is the normal one. */
double pa_chi_squared(double z, double freedom);

#endif /* PA_CLIENT_ESTIMATE_H */
