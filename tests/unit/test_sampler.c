/* SPDX-License-Identifier: MIT
 *
 * The payload's arithmetic: draws follow the exponential law, a block is
 * sampled with the probability that its weight assumes.  Seeds are fixed; the
 * bounds are 5 standard errors or more.
 */
#include <math.h>
#include <stdbool.h>

#include "payload/sampler.h"
#include "tests/unit/unit.h"

#define DRAWS 200000

static const uint64_t rates[] = { 2, 16, 256, 4096, 524288, 1ull << 30, 1ull << 40 };
#define RATES (sizeof rates / sizeof rates[0])

static void test_generator_is_repeatable(void **state)
{
	struct pa_random a, b, c;
	unsigned equal = 0;

	(void)state;
	pa_random_init(&a, 7);
	pa_random_init(&b, 7);
	pa_random_init(&c, 8);
	for (int i = 0; i < 1000; i++) {
		uint64_t x = pa_random_next(&a);

		assert_true(x == pa_random_next(&b));
		equal += x == pa_random_next(&c);
	}
	assert_int_equal(equal, 0);
	pa_random_init(&a, 0);	/* any seed is good */
	assert_true(pa_random_next(&a) != pa_random_next(&a));
}

static void test_rate_one_takes_all(void **state)
{
	struct pa_random random;

	(void)state;
	pa_random_init(&random, 1);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(pa_sampler_draw(&random, 1), 0);
	assert_true(pa_sampler_probability(0, 1) == 1);
	assert_true(pa_sampler_probability(1 << 20, 1) == 1);
}

/* floor of an exponential has the mean 1 / (e^(1/r) - 1), deviation near r */
static void test_mean_of_draws(void **state)
{
	(void)state;
	for (size_t r = 0; r < RATES; r++) {
		struct pa_random random;
		double sum = 0, rate = (double)rates[r];
		double mean = 1 / expm1(1 / rate);

		pa_random_init(&random, 11 + r);
		for (int i = 0; i < DRAWS; i++) {
			int64_t draw = pa_sampler_draw(&random, rates[r]);

			assert_true(draw >= 0);
			sum += (double)draw;
		}
		assert_true(fabs(sum / DRAWS - mean) <= 5 * rate / sqrt(DRAWS));
	}
}

/* Kolmogorov and Smirnov: the largest distance of the two distributions. */
static void test_law_of_draws(void **state)
{
	enum { BINS = 400 };
	unsigned bin[BINS] = { 0 };
	struct pa_random random;
	double seen = 0, worst = 0;

	(void)state;
	pa_random_init(&random, 5);
	for (int i = 0; i < DRAWS; i++) {
		double u = exp(-(double)pa_sampler_draw(&random, 1u << 30)
			       / (double)(1u << 30));
		int k = (int)(u * BINS);

		bin[k < BINS ? k : BINS - 1]++;
	}
	for (int k = 0; k < BINS; k++) {
		seen += bin[k];
		worst = fmax(worst, fabs(seen / DRAWS - (k + 1.0) / BINS));
	}
	assert_true(worst * sqrt(DRAWS) < 2.2);	/* one in 10 000 */
}

/* What is drawn and what is weighed are the same P. */
static void test_blocks_are_sampled_with_p(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 16, 512, 4096, 16384 };
	const uint64_t rate = 4096;

	(void)state;
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
		double p = pa_sampler_probability(sizes[s], rate), hits = 0;
		struct pa_random random;

		pa_random_init(&random, 90 + s);
		for (int i = 0; i < DRAWS; i++)
			hits += (int64_t)sizes[s] + 1 >
				pa_sampler_draw(&random, rate);
		assert_true(fabs(hits - DRAWS * p) <=
			    5 * sqrt(DRAWS * p * (1 - p)) + 5);
	}
}

static void test_probability(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 15, 4095, 1 << 19, 1ull << 33, 1ull << 45 };

	(void)state;
	for (size_t r = 0; r < RATES; r++)
		for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
			double wanted = -expm1(-((double)sizes[s] + 1)
					       / (double)rates[r]);
			double got = pa_sampler_probability(sizes[s], rates[r]);

			assert_true(got > 0 && got <= 1);
			assert_true(fabs(got - wanted) <= 1e-9 * wanted);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generator_is_repeatable),
		cmocka_unit_test(test_rate_one_takes_all),
		cmocka_unit_test(test_mean_of_draws),
		cmocka_unit_test(test_law_of_draws),
		cmocka_unit_test(test_blocks_are_sampled_with_p),
		cmocka_unit_test(test_probability),
	};

	return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
