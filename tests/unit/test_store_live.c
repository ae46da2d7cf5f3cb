/* SPDX-License-Identifier: MIT
 *
 * The live table and its bitmap against a model, and that thinning is
 * unbiased.
 */
#include "tests/unit/store_fixture.h"

/* ---- the live table against a model ---- */

#define ADDRESSES 4000

struct model {
	bool live[ADDRESSES];
	uint64_t size[ADDRESSES];
	unsigned count;
};

/* Several shapes: dense, all on one bit of a line, far apart. */
static uint64_t address_of(unsigned i, unsigned shape)
{
	switch (shape) {
	case 0:
		return 0x7f0000000000ull + i * 16ull;
	case 1:
		return 0x7f0000000010ull + i * 65536ull;
	case 2:
		return 0x7f0000000010ull + (i % 8) * 2 + (i / 8) * 16ull;
	default:
		return pa_mix(i + 1) | 1;
	}
}

static void check_model(const struct model *model, unsigned shape)
{
	struct image m = live_image();
	unsigned bits = 0;

	check_totals(&m);
	assert_int_equal(m.d->samples_live, model->count);
	for (unsigned i = 0; i < ADDRESSES; i++)
		if (model->live[i])
			assert_true(pa_store_maybe_hot(
				(void *)(uintptr_t)address_of(i, shape)));
	for (unsigned i = 0; i < 8192; i++)
		bits += pa_popcount(pa_store_bitmap[i]);
	assert_true(bits <= model->count);
	assert_true(!bits == !model->count);
}

static void model_step(struct model *model, unsigned shape)
{
	unsigned i = (unsigned)below(ADDRESSES);
	uint64_t at = address_of(i, shape);
	struct pa_sample s = make_sample(at, below(100000),
					 PA_SITE_FIRST - 1);
	struct pa_live removed;

	switch (below(4)) {
	case 0:
	case 1:		/* now and then over one whose free was not seen */
		if (model->live[i] && below(8))
			return;
		assert_true(pa_store_insert_locked(&s));
		model->count += !model->live[i];
		model->live[i] = true;
		model->size[i] = s.size;
		return;
	case 2:
		assert_int_equal(pa_store_remove_locked(at, &removed),
				 model->live[i]);
		if (!model->live[i])
			return;
		assert_int_equal(removed.size, model->size[i]);
		pa_store_restore_locked(&removed);
		return;
	default:
		assert_int_equal(pa_store_remove_locked(at, NULL),
				 model->live[i]);
		model->count -= model->live[i];
		model->live[i] = false;
	}
}

static void table_agrees_with_a_model(void **state)
{
	(void)state;
	for (unsigned shape = 0; shape < 4; shape++) {
		struct model model = { .count = 0 };

		start_store(2u << 20, 4096);
		for (unsigned i = 0; i < 100000; i++) {
			model_step(&model, shape);
			if (i % 5000 == 0)
				check_model(&model, shape);
		}
		for (unsigned i = 0; i < ADDRESSES; i++)
			if (model.live[i])
				assert_true(pa_store_remove_locked(
					address_of(i, shape), NULL));
		model = (struct model) { .count = 0 };
		check_model(&model, shape);
		for (unsigned i = 0; i < pa_store.used[PA_KIND_SITES]; i++) {
			assert_true(pa_store.sites[i].live_bytes == 0);
			assert_true(pa_store.sites[i].live_objects == 0);
		}
		for (uint32_t i = 0; i < pa_store.capacity.live_slots; i++)
			assert_int_equal(pa_store.live_index[i], 0);
	}
	pa_store_stop();
}

/* ---- thinning ---- */

struct population {
	uint64_t size;
	unsigned number;
};

static const struct population populations[] = {
	{ 0, 3000 }, { 24, 6000 }, { 500, 4000 }, { 40000, 1500 },
	{ 3000000, 300 },
};
#define GROUPS (sizeof(populations) / sizeof(populations[0]))

/* Allocate all in a random order, each sampled as a thread would; free a
 * third of them on the way. */
static void allocate_population(uint64_t *next)
{
	unsigned left[GROUPS], all = 0;

	for (unsigned g = 0; g < GROUPS; g++)
		all += left[g] = populations[g].number;
	for (; all; all--) {
		uint64_t pick = below(all), rate = pa_store_rate_locked();
		struct pa_sample s;
		unsigned g = 0;

		while (pick >= left[g])
			pick -= left[g++];
		left[g]--;
		*next += 4096 + 16;
		/* now and then the thread has not seen the new rate yet */
		if (below(20) == 0)
			rate = pa_store_directory()->rate;
		s = make_sample(*next, populations[g].size, PA_SITE_FIRST + g);
		s.rate = rate;
		if ((int64_t)s.size + 1 > pa_sampler_draw(&rng, rate))
			pa_store_insert_locked(&s);
		if (*next / 4112 % 3 == 0)
			pa_store_remove_locked(*next - 4112, NULL);
	}
}

/* The standard error of a mean. */
static double error_of(double sum, double squares, int n)
{
	double variance = squares / n - (sum / n) * (sum / n);

	return variance > 0 ? sqrt(variance / n) : 0;
}

static void thinning_is_unbiased(void **state)
{
	enum { RUNS = 400 };
	double sum[GROUPS] = { 0 }, square[GROUPS] = { 0 };
	double live_sum[GROUPS] = { 0 }, live_square[GROUPS] = { 0 };
	uint64_t thinned = 0;

	(void)state;
	for (int run = 0; run < RUNS; run++) {
		uint64_t next = 0;

		start_store(PA_MEMORY_MIN, 64);
		for (unsigned g = 0; g < GROUPS; g++)
			assert_int_equal(make_stack(g, 2), PA_SITE_FIRST + g);
		allocate_population(&next);
		thinned += pa_store_directory()->samples_thinned;
		for (unsigned g = 0; g < GROUPS; g++) {
			const struct pa_site *s =
				&pa_store.sites[PA_SITE_FIRST + g];

			sum[g] += s->allocated_objects;
			square[g] += s->allocated_objects
				* s->allocated_objects;
			live_sum[g] += s->live_objects;
			live_square[g] += s->live_objects * s->live_objects;
		}
		if (run % 50 == 0) {
			struct image m = live_image();

			check_totals(&m);
		}
	}
	assert_true(thinned > 1000ull * RUNS);
	for (unsigned g = 0; g < GROUPS; g++) {
		double n = populations[g].number, mean = sum[g] / RUNS;
		double sd = error_of(sum[g], square[g], RUNS);
		double live = live_sum[g] / RUNS;
		double live_sd = error_of(live_sum[g], live_square[g], RUNS);

		printf("# size %7llu: allocated %.1f of %.0f (se %.2f), live "
		       "%.1f of %.1f (se %.2f)\n", (unsigned long long)
		       populations[g].size, mean, n, sd, live, n * 2 / 3,
		       live_sd);
		assert_true(fabs(mean - n) <= 5 * sd + 1e-3);
		assert_true(fabs(live - n * 2 / 3) <= 5 * live_sd + 1e-6);
	}
	pa_store_stop();
}

/* Thinned in one step or in many, a sample has the same chance. */
static void luck_stays_uniform(void **state)
{
	enum { SAMPLES = 200000, BINS = 16 };
	unsigned kept = 0, bins[BINS] = { 0 };
	double want, sd;

	(void)state;
	for (unsigned i = 1; i <= SAMPLES; i++) {
		uint32_t luck = (uint32_t)(pa_random_next(&rng) >> 32);
		uint64_t rate = 1;
		bool keeps = true;

		while (keeps && rate < 64) {
			keeps = pa_thin_keeps(i, 30, rate, rate * 2, &luck);
			rate *= 2;
		}
		kept += keeps;
		if (keeps)
			bins[luck >> 28]++;
	}
	want = SAMPLES * pa_sampler_probability(30, 64);
	sd = sqrt(want * (1 - pa_sampler_probability(30, 64)));
	assert_true(fabs(kept - want) < 5 * sd);
	for (unsigned b = 0; b < BINS; b++)
		assert_true(fabs(bins[b] - kept / (double)BINS)
			    < 5 * sqrt(kept / (double)BINS));
}

/* Blocks of 1 MiB, sampled at the rate in force. */
static void insert_big_blocks(uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		struct pa_sample s = make_sample(i << 20, 1u << 20,
						 PA_SITE_NO_PYTHON);

		if ((int64_t)s.size + 1 > pa_sampler_draw(&rng, s.rate))
			pa_store_insert_locked(&s);
	}
}

/* Blocks far above the rate: doubling once would keep them all. */
static void big_blocks_are_thinned_too(void **state)
{
	struct pa_directory *d;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	d = pa_store_directory();
	insert_big_blocks(1, 20000);
	assert_true(d->samples_live > 200);
	assert_int_equal(d->dropped, 0);
	assert_int_equal(d->samples_taken, d->samples_live
			 + d->samples_thinned);
	assert_true(d->rate_effective > 1u << 20);
	/* a rate that is set anew holds, whatever the table keeps */
	pa_store_set_rate_locked(100);
	assert_int_equal(pa_store_rate_locked(), 100);
	insert_big_blocks(20000, 30000);
	assert_int_equal(d->dropped, 0);
	assert_true(d->rate_effective > 1u << 20);
	pa_store_stop();
}

/* At the largest rate there is, what does not fit is counted. */
static void no_rate_is_too_large_to_count(void **state)
{
	struct pa_directory *d;

	(void)state;
	start_store(PA_MEMORY_MIN, 1ull << 40);
	d = pa_store_directory();
	for (uint64_t i = 1; i < 10000; i++) {
		struct pa_sample s = make_sample(i << 10, 1u << 20,
						 PA_SITE_NO_PYTHON);

		pa_store_insert_locked(&s);
	}
	assert_int_equal(d->rate_effective, 1ull << 40);
	assert_int_equal(d->samples_taken, d->samples_live + d->dropped);
	assert_true(d->dropped > 0);
	pa_store_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_agrees_with_a_model),
		cmocka_unit_test(thinning_is_unbiased),
		cmocka_unit_test(luck_stays_uniform),
		cmocka_unit_test(big_blocks_are_thinned_too),
		cmocka_unit_test(no_rate_is_too_large_to_count),
	};

	return RUN_WITH_SEED(tests);
}
