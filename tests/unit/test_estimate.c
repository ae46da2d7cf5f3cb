/* SPDX-License-Identifier: MIT
 *
 * The estimator: unbiased, covered by its intervals as often as promised,
 * exact at rate 1.  Simulated with fixed seeds; no process, no file.
 */
#include <math.h>
#include <string.h>

#include "client/estimate.h"
#include "client/tally.h"
#include "payload/sampler.h"
#include "tests/unit/unit.h"

static double uniform(struct pa_random *random)
{
	return ((double)(pa_random_next(random) >> 11) + 0.5) / 9007199254740992.0;
}

/* Sample `count` blocks of each size, of `kinds` sizes, once. */
static struct pa_sum draw(struct pa_random *random, const uint64_t *sizes,
			  unsigned kinds, unsigned count, uint64_t rate)
{
	struct pa_sum sum;

	memset(&sum, 0, sizeof sum);
	for (unsigned k = 0; k < kinds; k++)
		for (unsigned i = 0; i < count; i++)
			if (uniform(random) < pa_probability(sizes[k], rate))
				pa_sum_add_sample(&sum, sizes[k], rate);
	return sum;
}

static void test_probability_is_the_samplers(void **state)
{
	(void)state;
	for (uint64_t rate = 1; rate <= 1ull << 40; rate *= 4)
		for (uint64_t size = 0; size < 1ull << 40; size = size * 7 + 1) {
			double a = pa_probability(size, rate);
			double b = pa_sampler_probability(size, rate);

			assert_true(fabs(a - b) <= 1e-9 * a);
		}
}

/* Coverage of 95 % intervals, and the mean of the estimates.  Numbers of
 * objects are checked on request only: where a site mixes large blocks with
 * tiny ones of which none was seen, no estimator could know of those. */
static void check_mix(const uint64_t *sizes, unsigned kinds, unsigned count,
		      uint64_t rate, bool count_objects)
{
	enum { RUNS = 1500 };
	struct pa_random random;
	double truth = 0, objects = (double)kinds * count, mean = 0;
	double variance = 0;
	unsigned bytes_hit = 0, objects_hit = 0;

	for (unsigned k = 0; k < kinds; k++)
		truth += (double)sizes[k] * count;
	pa_random_init(&random, kinds * 1000 + count);
	for (int run = 0; run < RUNS; run++) {
		struct pa_sum sum = draw(&random, sizes, kinds, count, rate);
		struct pa_estimate b = pa_estimate_bytes(&sum, rate);
		struct pa_estimate n = pa_estimate_objects(&sum, rate);

		assert_true(b.low <= b.estimate && b.estimate <= b.high);
		bytes_hit += b.low <= truth && truth <= b.high;
		objects_hit += n.low <= objects && objects <= n.high;
		mean += b.estimate / RUNS;
		variance += sum.bytes_variance / RUNS;
	}
	assert_true(bytes_hit >= 0.93 * RUNS);
	assert_true(!count_objects || objects_hit >= 0.93 * RUNS);
	assert_true(fabs(mean - truth) <= 5 * sqrt(variance / RUNS) + 1e-9 * truth);
}

static void test_coverage_of_one_size(void **state)
{
	static const uint64_t size[] = { 100 };

	(void)state;
	check_mix(size, 1, 400, 1000, true);	/* 40 samples */
	check_mix(size, 1, 50, 1000, true);	/* 5 samples */
	check_mix(size, 1, 10, 1000, true);	/* 1 sample */
}

static void test_coverage_of_mixed_sizes(void **state)
{
	static const uint64_t sizes[] = { 8, 40, 100, 700, 5000, 60000 };
	static const uint64_t near[] = { 200, 400, 700, 1100, 2000 };

	(void)state;
	check_mix(sizes, 6, 40, 4096, false);
	check_mix(sizes, 6, 5, 4096, false);
	check_mix(near, 5, 40, 4096, true);
}

static void test_rate_one_is_exact(void **state)
{
	struct pa_sum sum;

	(void)state;
	memset(&sum, 0, sizeof sum);
	for (uint64_t size = 0; size < 1000; size++)
		pa_sum_add_sample(&sum, size, 1);
	for (int i = 0; i < 2; i++) {
		struct pa_estimate e = i ? pa_estimate_bytes(&sum, 1)
			: pa_estimate_objects(&sum, 1);
		double truth = i ? 499500 : 1000;

		assert_true(e.estimate == truth && e.low == truth &&
			    e.high == truth);
	}
}

static void test_nothing_seen(void **state)
{
	struct pa_sum sum;
	struct pa_estimate e;

	(void)state;
	memset(&sum, 0, sizeof sum);
	e = pa_estimate_bytes(&sum, 1 << 20);
	assert_true(e.estimate == 0 && e.low == 0);
	assert_true(e.high > 3.6 * (1 << 20) && e.high < 3.8 * (1 << 20));
	e = pa_estimate_bytes(&sum, 1);
	assert_true(e.estimate == 0 && e.low == 0 && e.high == 0);
}

/* The same to the last bit in any order. */
static void test_tallies_know_no_order(void **state)
{
	struct pa_tally parts[2] = { { 0 }, { 0 } };
	struct pa_tally huge;
	const struct pa_sum much = { .samples = 1, .bytes = 1e300,
				     .objects = 1 };

	(void)state;
	for (int way = 0; way < 2; way++)
		for (uint64_t k = 0; k < 10000; k++) {
			uint64_t i = way ? 9999 - k : k;
			struct pa_sum one = { 0 };
			struct pa_tally tally;

			pa_sum_add_sample(&one, i * i % 50021, 4096 + i % 7);
			tally = pa_tally_of(&one);
			tally.age = pa_fixed_age(tally.bytes, i * 1000003);
			pa_tally_add(&parts[way], &tally);
		}
	assert_memory_equal(&parts[0], &parts[1], sizeof parts[0]);
	assert_true(pa_tally_sum(&parts[0]).bytes > 0);
	assert_true(pa_tally_age_ns(&parts[0]) > 0 &&
		    pa_tally_age_ns(&parts[0]) < 9999ull * 1000003);
	huge = pa_tally_of(&much);
	pa_tally_add(&huge, &huge);
	assert_true(huge.bytes == ~(pa_fixed)0);
}

/* e^-x is ours: as good as the library's. */
static void test_probability_is_exact(void **state)
{
	(void)state;
	for (uint64_t rate = 2; rate < (uint64_t)1 << 41; rate *= 2)
		for (uint64_t size = 0; size < rate * 100; size += size + 1) {
			double x = ((double)size + 1) / (double)rate;
			double p = pa_probability(size, rate);

			assert_true(fabs(p + expm1(-x)) <= 4e-16 * p);
		}
	assert_true(pa_probability((uint64_t)1 << 62, 2) == 1);
}

static void test_sums_add(void **state)
{
	struct pa_sum a, b, all;

	(void)state;
	memset(&a, 0, sizeof a);
	b = all = a;
	for (uint64_t size = 1; size < 5000; size += 7) {
		pa_sum_add_sample(size % 2 ? &a : &b, size, 4096);
		pa_sum_add_sample(&all, size, 4096);
	}
	pa_sum_add(&a, &b);
	assert_true(a.samples == all.samples);
	assert_true(fabs(a.bytes - all.bytes) < 1e-9 * all.bytes);
	assert_true(fabs(a.bytes_variance - all.bytes_variance)
		    < 1e-9 * all.bytes_variance);
	assert_true(a.bytes_weight_max == all.bytes_weight_max);
	assert_true(fabs(a.objects_variance - all.objects_variance)
		    < 1e-9 * all.objects_variance);
}

/* What is in both snapshots cancels: 10 MB of growth beside 100 MB. */
static void test_differences(void **state)
{
	enum { RUNS = 1000 };
	static const uint64_t size[] = { 1000 };
	struct pa_random random;
	unsigned hit = 0, found = 0;

	(void)state;
	pa_random_init(&random, 3);
	for (int run = 0; run < RUNS; run++) {
		struct pa_sum came = draw(&random, size, 1, 10000, 500000);
		struct pa_sum went;
		struct pa_estimate e;
		bool significant;

		memset(&went, 0, sizeof went);
		e = pa_estimate_difference(&came, &went, &significant);
		hit += e.low <= 1e7 && 1e7 <= e.high;
		found += significant;
		e = pa_estimate_difference(&came, &came, &significant);
		assert_true(e.estimate == 0 && e.low <= 0 && e.high >= 0);
		assert_false(significant);
	}
	assert_true(hit >= 0.92 * RUNS);
	assert_true(found >= 0.95 * RUNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probability_is_the_samplers),
		cmocka_unit_test(test_coverage_of_one_size),
		cmocka_unit_test(test_coverage_of_mixed_sizes),
		cmocka_unit_test(test_rate_one_is_exact),
		cmocka_unit_test(test_nothing_seen),
		cmocka_unit_test(test_tallies_know_no_order),
		cmocka_unit_test(test_probability_is_exact),
		cmocka_unit_test(test_sums_add),
		cmocka_unit_test(test_differences),
	};

	return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
