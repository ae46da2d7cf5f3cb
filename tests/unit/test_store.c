/* SPDX-License-Identifier: MIT
 *
 * The store against a model: where it is mapped, the lock, CRC, the live
 * table and its bitmap, and that thinning is unbiased.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

/* ---- CRC ---- */

static uint32_t crc_by_bits(uint32_t crc, const unsigned char *p, size_t n)
{
	for (crc = ~crc; n; n--)
		for (int bit = (crc ^= *p++, 0); bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	return ~crc;
}

static void crc_is_that_of_zlib(void **state)
{
	unsigned char bytes[300];

	(void)state;
	assert_int_equal(pa_crc32(0, "123456789", 9), 0xcbf43926u);
	assert_int_equal(pa_crc32(7, "", 0), 7);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)below(256);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n < 100; n++)
			assert_int_equal(pa_crc32(5, bytes + at, n),
					 crc_by_bits(5, bytes + at, n));
}

/* ---- the lock ---- */

static uint64_t shared_count;

static void *count_up(void *unused)
{
	(void)unused;
	for (int i = 0; i < 50000; i++) {
		pa_store_lock();
		shared_count++;
		pa_store_unlock();
	}
	return NULL;
}

static void lock_excludes(void **state)
{
	pthread_t threads[4];

	(void)state;
	errno = 12345;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up,
						NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shared_count, 200000);
	errno = 4321;
	pa_store_lock();
	pa_store_unlock();
	assert_int_equal(errno, 4321);
}

static void lock_is_free_in_a_fork_child(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	pa_store_lock();
	pid = fork();
	if (pid == 0) {
		pa_store_lock_reset();
		pa_store_lock();
		_exit(42);
	}
	pa_store_unlock();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

/* ---- mappings ---- */

static unsigned count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned lines = 0;
	int c;

	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

static bool is_readable(const void *address)
{
	int pipes[2];
	bool readable;

	assert_int_equal(pipe(pipes), 0);
	readable = write(pipes[1], address, 1) == 1;
	close(pipes[0]);
	close(pipes[1]);
	return readable;
}

/* AddressSanitizer's shadow lies over all of them. */
static bool some_slot_is_free(void)
{
	for (unsigned k = 0; k < PA_SLOT_COUNT; k++) {
		char *at = (char *)(PA_SLOT_FIRST + k * PA_SLOT_STEP);
		char *p = mmap(at, 4096, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(p, 4096);
		if (p == at)
			return true;
	}
	return false;
}

static void directory_lies_at_a_slot(void **state)
{
	struct pa_directory *d;
	uint64_t at;
	char *p;

	(void)state;
	if (!some_slot_is_free())
		LEAVE_OUT("no low slot is free in this process");
	assert_int_equal(pa_store_map_directory(), 0);
	d = pa_store_directory();
	at = (uint64_t)(uintptr_t)d;
	assert_int_equal((at - PA_SLOT_FIRST) % PA_SLOT_STEP, 0);
	assert_true((at - PA_SLOT_FIRST) / PA_SLOT_STEP < PA_SLOT_COUNT);
	assert_true(d->flags & PA_FLAG_LOW_SLOT);
	assert_memory_equal(d->magic, PA_IMAGE_MAGIC, 16);
	assert_int_equal(d->self, at);
	assert_int_equal(d->endian, PA_IMAGE_ENDIAN);
	assert_int_equal(d->pid, getpid());
	assert_true(d->start_time > 0);
	assert_int_equal(d->identity_crc, crc_by_bits(
		0, (unsigned char *)d, offsetof(struct pa_directory,
						identity_crc)));
	p = (char *)d;
	assert_true(is_readable(p));
	assert_false(is_readable(p - 1));
	assert_false(is_readable(p + PA_IMAGE_PAGE));
	/* once in a life */
	assert_int_equal(pa_store_map_directory(), 0);
	assert_ptr_equal(pa_store_directory(), d);
}

/* A fork child whose slots are all taken, by a map that a reader could not
 * mistake for ours. */
static void directory_lies_anywhere_if_slots_are_taken(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		struct pa_directory *d;

		for (unsigned k = 0; k < PA_SLOT_COUNT; k++)
			mmap((void *)(PA_SLOT_FIRST + k * PA_SLOT_STEP), 4096,
			     PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(&pa_store, 0, sizeof(pa_store));
		if (pa_store_map_directory() != 0)
			_exit(1);
		d = pa_store_directory();
		if (d->flags & PA_FLAG_LOW_SLOT)
			_exit(2);
		if ((uintptr_t)d % (2u << 20) || is_readable((char *)d - 1)
		    || is_readable((char *)d + 4096))
			_exit(3);
		if (pa_store_start(PA_MEMORY_MIN) != 0)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static uint64_t resident_bytes(const char *from, size_t bytes)
{
	static unsigned char seen[(1u << 30) / 4096];
	uint64_t sum = 0;

	assert_int_equal(mincore((void *)(uintptr_t)from, bytes, seen), 0);
	for (size_t i = 0; i < bytes / 4096; i++)
		sum += (seen[i] & 1) * 4096ull;
	return sum;
}

static void sizes_fit_every_limit(void **state)
{
	(void)state;
	for (uint64_t max = PA_MEMORY_MIN; max <= PA_MEMORY_LIMIT;
	     max += max / 7 + below(100000)) {
		struct pa_store trial;
		size_t bytes = pa_store_lay_out(&trial, max, NULL);

		assert_true(bytes + PA_STORE_OVERHEAD <= max);
		assert_true(bytes + PA_STORE_OVERHEAD
			    >= max - max / 15 - 40000);
		for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
			assert_true(trial.capacity.kind[k] >= 400);
	}
	assert_int_not_equal(pa_store_start(PA_MEMORY_MIN - 1), 0);
	assert_int_not_equal(pa_store_start(PA_MEMORY_LIMIT + 1), 0);
}

static void cycles_leave_no_mapping(void **state)
{
	unsigned first = 0;
	size_t bytes;

	(void)state;
	for (int cycle = 0; cycle < 50; cycle++) {
		char *p;

		start_store(4u << 20, 1000);
		p = pa_store_code_cache(&bytes);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(p[i], 0);
		memset(p, 1, bytes);
		for (uint64_t i = below(40000); i; i--) {
			struct pa_sample s = make_sample(
				i * 64, 10, make_stack(i, 3));

			pa_store_insert_locked(&s);
		}
		assert_true(pa_store.directory->memory_used <= 4u << 20);
		assert_true(resident_bytes(pa_store.arena,
					   pa_store.arena_bytes)
			    <= pa_store.directory->memory_used);
		pa_store_stop();
		assert_int_equal(resident_bytes(pa_store.arena,
						pa_store.arena_bytes), 0);
		if (cycle == 0)
			first = count_mappings();
	}
	assert_int_equal(count_mappings(), first);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(pa_store_bitmap[i], 0);
}

/* madvise cannot give back what the application has locked. */
static void locked_memory_is_emptied(void **state)
{
	struct pa_sample s;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	if (mlock(pa_store.arena, pa_store.arena_bytes) != 0)
		LEAVE_OUT("this process may not lock memory");
	s = make_sample(64, 10, make_stack(1, 3));
	assert_true(pa_store_insert_locked(&s));
	pa_store_stop();
	for (size_t i = 0; i < pa_store.arena_bytes; i++)
		assert_int_equal(pa_store.arena[i], 0);
	munlock(pa_store.arena, pa_store.arena_bytes);
}

static void nothing_happens_after_stop(void **state)
{
	struct pa_sample s;
	struct pa_live removed;
	const void *image;
	size_t bytes;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	s = make_sample(0x1000, 10, PA_SITE_NO_PYTHON);
	assert_true(pa_store_insert_locked(&s));
	assert_true(pa_store_remove_locked(0x1000, &removed));
	pa_store_stop();
	assert_false(pa_store_insert_locked(&s));
	assert_false(pa_store_remove_locked(0x1000, NULL));
	pa_store_restore_locked(&removed);
	assert_int_equal(pa_store_string_locked("x", 1), 0);
	assert_int_equal(pa_store_frame_locked(0, 0, 1, 1), 0);
	assert_int_equal(pa_store_node_locked(0, 1), 0);
	assert_int_equal(pa_store_site_locked(1, 0), PA_SITE_FULL);
	assert_false(pa_store_make_room_locked());
	assert_true(pa_store_snapshot_begin(&image, &bytes) < 0);
	pa_store_snapshot_end();
	/* nor does a record of an earlier start come back */
	start_store(PA_MEMORY_MIN, 1);
	pa_store_restore_locked(&removed);
	assert_int_equal(pa_store_directory()->samples_live, 0);
	pa_store_stop();
}

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

static int set_up(void **state)
{
	(void)state;
	seed_rng();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_is_that_of_zlib),
		cmocka_unit_test(directory_lies_at_a_slot),
		cmocka_unit_test(directory_lies_anywhere_if_slots_are_taken),
		cmocka_unit_test(lock_excludes),
		cmocka_unit_test(lock_is_free_in_a_fork_child),
		cmocka_unit_test(sizes_fit_every_limit),
		cmocka_unit_test(cycles_leave_no_mapping),
		cmocka_unit_test(nothing_happens_after_stop),
		cmocka_unit_test(locked_memory_is_emptied),
		cmocka_unit_test(table_agrees_with_a_model),
		cmocka_unit_test(thinning_is_unbiased),
		cmocka_unit_test(luck_stays_uniform),
		cmocka_unit_test(big_blocks_are_thinned_too),
		cmocka_unit_test(no_rate_is_too_large_to_count),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
