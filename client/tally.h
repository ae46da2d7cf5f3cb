/* SPDX-License-Identifier: MIT
 *
 * Exact sums of weighted samples: the same whatever the order in which they
 * were added, so that every reader of one table says the same of it to the
 * last digit.  Fixed point in 128 bits; what is too large stays at the top.
 *
 * gdb/pyattach/estimate.py counts in the same units.  Pure functions.
 */
#ifndef PA_CLIENT_TALLY_H
#define PA_CLIENT_TALLY_H

#include <stdint.h>

#include "client/estimate.h"

__extension__ typedef unsigned __int128 pa_fixed;

/* Bits behind the point: what a rate of 2^40 and 2^60 bytes leave free. */
#define PA_FIXED_BYTES 30
#define PA_FIXED_BYTES_VARIANCE 16
#define PA_FIXED_OBJECTS 40
#define PA_FIXED_OBJECTS_VARIANCE 30
#define PA_FIXED_AGE 16

/* All zero is the empty tally. */
struct pa_tally {
	uint64_t samples;
	pa_fixed bytes, bytes_variance, objects, objects_variance;
	pa_fixed age;			/* bytes x ns */
	double bytes_weight_max, objects_weight_max;
};

static inline pa_fixed pa_fixed_add(pa_fixed a, pa_fixed b)
{
	pa_fixed sum = a + b;

	return sum < a ? ~(pa_fixed)0 : sum;
}

static inline void pa_tally_add(struct pa_tally *tally,
				const struct pa_tally *more)
{
	tally->samples += more->samples;
	tally->bytes = pa_fixed_add(tally->bytes, more->bytes);
	tally->bytes_variance = pa_fixed_add(tally->bytes_variance,
					     more->bytes_variance);
	tally->objects = pa_fixed_add(tally->objects, more->objects);
	tally->objects_variance = pa_fixed_add(tally->objects_variance,
					       more->objects_variance);
	tally->age = pa_fixed_add(tally->age, more->age);
	if (more->bytes_weight_max > tally->bytes_weight_max)
		tally->bytes_weight_max = more->bytes_weight_max;
	if (more->objects_weight_max > tally->objects_weight_max)
		tally->objects_weight_max = more->objects_weight_max;
}

/* One sample's bytes times its age. */
static inline pa_fixed pa_fixed_age(pa_fixed bytes, uint64_t age_ns)
{
	pa_fixed weight = bytes >> (PA_FIXED_BYTES - PA_FIXED_AGE);
	pa_fixed product;

	if (!(weight >> 64))
		return weight * age_ns;
	return __builtin_mul_overflow(weight, (pa_fixed)age_ns, &product) ?
		~(pa_fixed)0 : product;
}

/* What sums that were made elsewhere add: finite, not negative. */
struct pa_tally pa_tally_of(const struct pa_sum *sum);

/* The figures as doubles, each the nearest one. */
struct pa_sum pa_tally_sum(const struct pa_tally *tally);

double pa_fixed_bytes(pa_fixed bytes);

/* The mean age, weighted by bytes; 0 where there are none. */
uint64_t pa_tally_age_ns(const struct pa_tally *tally);

#endif /* PA_CLIENT_TALLY_H */
