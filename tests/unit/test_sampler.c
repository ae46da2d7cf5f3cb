/* SPDX-License-Identifier: MIT
 *
 * The sampler's arithmetic against libm and against its own promises: mean
 * and distribution of the draw, P of a size, rate 1.  Seeds are fixed; a
 * bound fails by chance less than once in 10^6 seeds.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "payload/sampler.h"

#define DRAWS 400000

static double relative(double got, double want)
{
	return fabs(got - want) / want;
}

static void probability_matches_expm1(void **state)
{
	static const uint64_t rates[] = {
		2, 3, 7, 100, 4096, 524288, 1ull << 30, 1ull << 40,
	};
	double worst = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++)
		for (double s = 0; s < 1e15; s = s * 1.07 + 1) {
			uint64_t size = (uint64_t)s;
			double x = ((double)size + 1) / (double)rates[i];
			double p = pa_sampler_probability(size, rates[i]);

			assert_true(p > 0 && p <= 1);
			worst = fmax(worst, relative(p, -expm1(-x)));
		}
	assert_true(worst < 1e-14);
}

static void probability_at_the_edges(void **state)
{
	(void)state;
	assert_true(pa_sampler_probability(0, 1) == 1);
	assert_true(pa_sampler_probability(1ull << 40, 1) == 1);
	assert_true(pa_sampler_probability(1ull << 62, 2) == 1);
	assert_true(pa_sampler_probability(UINT64_MAX, 1ull << 40) == 1);
	assert_true(pa_sampler_probability(0, 1ull << 40) > 0);
}

/* The draw is floor(-rate ln U) with U from the top 53 bits: a copy of the
 * generator and libm's log say what it has to be. */
static void draw_matches_log(void **state)
{
	static const uint64_t rates[] = { 2, 1000, 524288, 1ull << 40 };
	struct pa_random random, copy;

	(void)state;
	pa_random_init(&random, 11);
	for (int i = 0; i < DRAWS; i++) {
		uint64_t rate = rates[i % 4];
		double want, u;
		int64_t got;

		copy = random;
		u = ((double)(pa_random_next(&copy) >> 11) + 1) * 0x1p-53;
		want = -(double)rate * log(u);
		got = pa_sampler_draw(&random, rate);
		assert_true(got >= 0);
		/* 1e-14 of the value may cross a whole number */
		assert_true((double)got <= want * (1 + 1e-14));
		assert_true((double)got + 1 > want * (1 - 1e-14));
	}
}

static void rate_1_samples_all(void **state)
{
	struct pa_random random;

	(void)state;
	pa_random_init(&random, 3);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(pa_sampler_draw(&random, 1), 0);
}

static void draw_has_the_mean(void **state)
{
	const double rate = 524288;
	struct pa_random random;
	double sum = 0, error;

	(void)state;
	pa_random_init(&random, 1);
	for (int i = 0; i < DRAWS; i++)
		sum += (double)pa_sampler_draw(&random, (uint64_t)rate) + 0.5;
	error = (sum / DRAWS - rate) / (rate / sqrt(DRAWS));
	assert_true(fabs(error) < 5);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov: the largest distance from 1 - exp(-x / rate). */
static void draw_is_exponential(void **state)
{
	const double rate = 1 << 20;
	double *x = malloc(DRAWS * sizeof *x), distance = 0;
	struct pa_random random;

	(void)state;
	assert_non_null(x);
	pa_random_init(&random, 2);
	for (int i = 0; i < DRAWS; i++)
		x[i] = (double)pa_sampler_draw(&random, (uint64_t)rate) + 0.5;
	qsort(x, DRAWS, sizeof *x, compare);
	for (int i = 0; i < DRAWS; i++) {
		double f = -expm1(-x[i] / rate);

		distance = fmax(distance, fabs(f - i / (double)DRAWS));
		distance = fmax(distance, fabs((i + 1) / (double)DRAWS - f));
	}
	free(x);
	assert_true(distance * sqrt(DRAWS) < 2.7);	/* 1e-6 */
}

/* What is sampled by the countdown is sampled with P(size). */
static void countdown_samples_with_p(void **state)
{
	static const uint64_t sizes[] = { 0, 8, 64, 500, 4096, 100000 };
	const uint64_t rate = 4096;
	struct pa_random random;

	(void)state;
	pa_random_init(&random, 4);
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		double p = pa_sampler_probability(sizes[i], rate), n = 200000;
		int64_t left = pa_sampler_draw(&random, rate);
		double sampled = 0;

		for (int k = 0; k < (int)n; k++) {
			if (left > (int64_t)sizes[i]) {
				left -= (int64_t)sizes[i] + 1;
				continue;
			}
			sampled++;
			left = pa_sampler_draw(&random, rate);
		}
		assert_true(fabs(sampled - n * p)
			    <= 5 * sqrt(n * p * (1 - p)) + 1e-6);
	}
}

/* Weights size / P and 1 / P give back what was allocated. */
static void weights_are_unbiased(void **state)
{
	const uint64_t rate = 10000;
	double true_bytes = 0, bytes = 0, variance = 0;
	struct pa_random random;
	int64_t left;

	(void)state;
	pa_random_init(&random, 5);
	left = pa_sampler_draw(&random, rate);
	for (int i = 0; i < 1000000; i++) {
		uint64_t size = pa_random_next(&random) & 2047;
		double p;

		true_bytes += (double)size;
		if (left > (int64_t)size) {
			left -= (int64_t)size + 1;
			continue;
		}
		left = pa_sampler_draw(&random, rate);
		p = pa_sampler_probability(size, rate);
		bytes += (double)size / p;
		variance += (double)size * (double)size * (1 - p) / (p * p);
	}
	assert_true(fabs(bytes - true_bytes) < 5 * sqrt(variance));
}

static void seeds_differ(void **state)
{
	struct pa_random a, b, zero;

	(void)state;
	pa_random_init(&a, 1);
	pa_random_init(&b, 2);
	pa_random_init(&zero, 0);
	assert_true(zero.s[0] | zero.s[1] | zero.s[2] | zero.s[3]);
	assert_true(pa_random_next(&a) != pa_random_next(&b));
	pa_random_init(&a, 7);
	pa_random_init(&b, 7);
	for (int i = 0; i < 100; i++)
		assert_true(pa_random_next(&a) == pa_random_next(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probability_matches_expm1),
		cmocka_unit_test(probability_at_the_edges),
		cmocka_unit_test(draw_matches_log),
		cmocka_unit_test(rate_1_samples_all),
		cmocka_unit_test(draw_has_the_mean),
		cmocka_unit_test(draw_is_exponential),
		cmocka_unit_test(countdown_samples_with_p),
		cmocka_unit_test(weights_are_unbiased),
		cmocka_unit_test(seeds_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
