/* SPDX-License-Identifier: MIT
 *
 * Exact sums; see tally.h.  It must not know where samples come from.
 */
#include "client/tally.h"

static double power_of_two(int bits)
{
	return (double)((uint64_t)1 << bits);
}

static pa_fixed fixed(double value, int bits)
{
	double scaled = value * power_of_two(bits);

	return scaled < 0x1p128 ? (pa_fixed)scaled : ~(pa_fixed)0;
}

static double real(pa_fixed value, int bits)
{
	return (double)value / power_of_two(bits);
}

double pa_fixed_bytes(pa_fixed bytes)
{
	return real(bytes, PA_FIXED_BYTES);
}

struct pa_tally pa_tally_of(const struct pa_sum *sum)
{
	return (struct pa_tally){
		.samples = sum->samples,
		.bytes = fixed(sum->bytes, PA_FIXED_BYTES),
		.bytes_variance = fixed(sum->bytes_variance,
					PA_FIXED_BYTES_VARIANCE),
		.bytes_weight_max = sum->bytes_weight_max,
		.objects = fixed(sum->objects, PA_FIXED_OBJECTS),
		.objects_variance = fixed(sum->objects_variance,
					  PA_FIXED_OBJECTS_VARIANCE),
		.objects_weight_max = sum->objects_weight_max,
	};
}

struct pa_sum pa_tally_sum(const struct pa_tally *tally)
{
	return (struct pa_sum){
		.samples = tally->samples,
		.bytes = real(tally->bytes, PA_FIXED_BYTES),
		.bytes_variance = real(tally->bytes_variance,
				       PA_FIXED_BYTES_VARIANCE),
		.bytes_weight_max = tally->bytes_weight_max,
		.objects = real(tally->objects, PA_FIXED_OBJECTS),
		.objects_variance = real(tally->objects_variance,
					 PA_FIXED_OBJECTS_VARIANCE),
		.objects_weight_max = tally->objects_weight_max,
	};
}

uint64_t pa_tally_age_ns(const struct pa_tally *tally)
{
	double age;

	if (!tally->bytes)
		return 0;
	age = real(tally->age, PA_FIXED_AGE) /
		real(tally->bytes, PA_FIXED_BYTES);
	return age < 0x1p63 ? (uint64_t)age : INT64_MAX;
}
