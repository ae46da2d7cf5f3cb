/* SPDX-License-Identifier: MIT
 *
 * Snapshots: the bytes are a whole image with right CRCs, also while threads
 * insert and remove; one copy serves all holders; memory goes back.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/store_fixture.h"

/* Walk a snapshot as a file reader does. */
static struct image open_snapshot(const void *bytes, size_t n)
{
	const struct pa_directory *d = bytes;
	struct image m = { .d = d };
	const void *at[PA_IMAGE_KINDS + 1];
	uint64_t end = PA_IMAGE_PAGE;

	assert_memory_equal(d->magic, PA_IMAGE_MAGIC, 16);
	assert_true(d->flags & PA_FLAG_SNAPSHOT);
	assert_int_equal(d->snapshot_crc, pa_crc32(
		0, d, offsetof(struct pa_directory, snapshot_crc)));
	assert_int_equal(d->tail_crc,
			 pa_crc32(0, &d->requested_monotonic_ns, 8));
	assert_int_equal(d->tail_reserved, 0);
	assert_int_equal(d->identity_crc, pa_crc32(
		0, d, offsetof(struct pa_directory, identity_crc)));
	assert_int_equal(d->set[0].crc, pa_set_crc(&d->set[0]));
	assert_int_equal(d->set[0].n_regions, PA_IMAGE_KINDS);
	assert_int_equal(d->set[1].generation, 0);
	assert_int_equal(d->active_set, 0);
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++) {
		const struct pa_region *r = &d->set[0].region[k - 1];

		m.n[k] = d->count[0][k - 1];
		assert_int_equal(r->kind, k);
		assert_int_equal(r->elem_size, pa_elem_size[k]);
		assert_true(r->file_offset == end);	/* no gaps */
		assert_int_equal(r->file_offset % 8, 0);
		end = r->file_offset + m.n[k] * r->elem_size;
		assert_true(end <= n);
		at[k] = (const char *)bytes + r->file_offset;
		assert_int_equal(d->region_crc[k - 1], pa_crc32(
			0, at[k], m.n[k] * r->elem_size));
	}
	assert_int_equal(end, n);
	m.sites = at[PA_KIND_SITES];
	m.strings = at[PA_KIND_STRINGS];
	m.frames = at[PA_KIND_FRAMES];
	m.nodes = at[PA_KIND_NODES];
	m.live = at[PA_KIND_LIVE];
	return m;
}

/* All references resolve; live figures are those of the records. */
static void check_references(const struct image *m)
{
	double bytes = 0, of_sites = 0;
	uint64_t live = 0;

	for (uint64_t i = 1; i < m->n[PA_KIND_FRAMES]; i++) {
		assert_null(check_string(m, m->frames[i].file));
		assert_null(check_string(m, m->frames[i].function));
	}
	for (uint64_t i = 1; i < m->n[PA_KIND_NODES]; i++) {
		assert_true(m->nodes[i].parent < i);
		assert_true(m->nodes[i].frame < m->n[PA_KIND_FRAMES]);
	}
	for (uint64_t i = 0; i < m->n[PA_KIND_SITES]; i++) {
		assert_int_equal(m->sites[i].seq & 1, 0);
		assert_true(m->sites[i].node < m->n[PA_KIND_NODES]);
		live += m->sites[i].live_samples;
		of_sites += m->sites[i].live_bytes;
	}
	for (uint64_t i = 1; i < m->n[PA_KIND_LIVE]; i++) {
		const struct pa_live *r = &m->live[i];
		struct pa_weight w;

		assert_int_equal(r->seq & 1, 0);
		assert_true(r->seq && r->address);
		assert_int_equal(r->check, live_check(r));
		assert_true(r->site < m->n[PA_KIND_SITES]);
		pa_weigh(r->size, r->rate, &w);
		bytes += w.bytes;
	}
	assert_int_equal(live, m->n[PA_KIND_LIVE] - 1);
	assert_int_equal(live, m->d->samples_live);
	assert_true(near(bytes, of_sites));
}

static void snapshot_is_a_whole_image(void **state)
{
	const void *bytes;
	struct image m, own;
	size_t n;

	(void)state;
	start_store(4u << 20, 4096);
	for (uint64_t i = 1; i <= 5000; i++) {
		struct pa_sample s;

		pa_store_make_room_locked();
		s = make_sample(i * 128, below(9000), make_stack(i / 9, 4));
		pa_store_insert_locked(&s);
		if (i % 3 == 0)
			pa_store_remove_locked((i - below(i)) * 128, NULL);
	}
	assert_int_equal(pa_store_snapshot_begin(&bytes, &n), 0);
	m = open_snapshot(bytes, n);
	check_references(&m);
	check_totals(&m);
	own = live_image();
	assert_memory_equal(m.strings, own.strings, own.n[PA_KIND_STRINGS]);
	assert_int_equal(m.d->samples_taken, own.d->samples_taken);
	assert_int_equal(m.d->pid, getpid());
	assert_true(m.d->rss > 4096);
	assert_true(m.d->snapshot_realtime_ns > 1000000000000000000ull);
	assert_true(m.d->memory_used <= 4u << 20);
	for (uint64_t i = 1; i < m.n[PA_KIND_LIVE]; i++)
		if (m.live[i].site >= PA_SITE_FIRST)
			assert_null(check_stack(
				&m, m.sites[m.live[i].site].node,
				m.live[i].address / 128 / 9));
	pa_store_snapshot_end();
	pa_store_stop();
	assert_int_equal(pa_store_snapshot_begin(&bytes, &n), PA_E_DETACHED);
}

static void empty_snapshot_is_an_image(void **state)
{
	const void *bytes;
	struct image m;
	size_t n;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	assert_int_equal(pa_store_snapshot_begin(&bytes, &n), 0);
	m = open_snapshot(bytes, n);
	check_references(&m);
	assert_int_equal(m.n[PA_KIND_LIVE], 1);
	assert_int_equal(m.n[PA_KIND_SITES], PA_SITE_FIRST);
	pa_store_snapshot_end();
	pa_store_stop();
}

static void holders_share_one_copy(void **state)
{
	const void *first, *second;
	struct pa_sample s;
	struct image m;
	size_t n, again;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	assert_int_equal(pa_store_snapshot_begin(&first, &n), 0);
	s = make_sample(64, 5, PA_SITE_NO_PYTHON);
	pa_store_insert_locked(&s);
	assert_int_equal(pa_store_snapshot_begin(&second, &again), 0);
	assert_ptr_equal(first, second);
	assert_int_equal(n, again);
	pa_store_snapshot_end();
	m = open_snapshot(first, n);	/* still there */
	assert_int_equal(m.n[PA_KIND_LIVE], 1);
	pa_store_snapshot_end();
	assert_int_equal(pa_store_snapshot_begin(&first, &n), 0);
	m = open_snapshot(first, n);
	assert_int_equal(m.n[PA_KIND_LIVE], 2);
	pa_store_snapshot_end();
	pa_store_snapshot_end();	/* one too many does no harm */
	pa_store_stop();
}

static void full_tables_fit_the_buffer(void **state)
{
	(void)state;
	for (uint64_t max = PA_MEMORY_MIN; max <= 64u << 20; max *= 4) {
		const struct pa_area *a = &pa_store.area[PA_AREA_SNAPSHOT];
		const void *bytes;
		struct image m;
		size_t n;

		start_store(max, 1u << 20);
		for (uint64_t i = 1; pa_live_has_room(); i++) {
			struct pa_sample s = make_sample(
				i * 64, 1u << 30, make_stack(i, 1));

			assert_true(pa_store_insert_locked(&s));
		}
		assert_true(pa_store.directory->stacks_full > 0);
		assert_int_equal(pa_store_snapshot_begin(&bytes, &n), 0);
		assert_true(n <= a->bytes);
		m = open_snapshot(bytes, n);
		check_references(&m);
		assert_true(m.d->memory_used <= max);
		pa_store_snapshot_end();
	}
	pa_store_stop();
}

/* ---- threads ---- */

#define WORKERS 3
#define BLOCKS 300

static int stop_working;

/* Blocks 0 .. of a worker live for ever, the others come and go. */
static uint64_t worker_address(uint64_t worker, uint64_t i)
{
	return 0x7f0000000000ull + worker * (1ull << 32) + i * 272;
}

static void worker_insert(uint64_t worker, uint64_t i, uint64_t stack)
{
	struct pa_sample s = {
		.address = worker_address(worker, i), .size = 100000,
		.domain = PA_DOMAIN_OBJ, .thread = (uint32_t)worker,
	};

	pa_store_lock();
	pa_store_make_room_locked();
	s.rate = pa_store_rate_locked();
	s.site = make_stack(worker << 32 | stack, 3);
	s.luck = (uint32_t)pa_mix(stack);
	pa_store_insert_locked(&s);
	pa_store_unlock();
	assert_true(pa_store_maybe_hot((void *)(uintptr_t)s.address));
}

static void *work(void *argument)
{
	uint64_t worker = (uint64_t)(uintptr_t)argument;

	for (uint64_t i = 0; i < BLOCKS / 2; i++)
		worker_insert(worker, i, i);
	for (uint64_t n = BLOCKS;
	     !__atomic_load_n(&stop_working, __ATOMIC_RELAXED); n++) {
		uint64_t i = BLOCKS / 2 + n % (BLOCKS / 2);
		void *block = (void *)(uintptr_t)worker_address(worker, i);
		struct pa_live removed;

		if (pa_store_maybe_hot(block)) {
			bool had;

			pa_store_lock();
			had = pa_store_remove_locked((uint64_t)(uintptr_t)
						     block, &removed);
			pa_store_unlock();
			if (had && n % 7 == 0) {
				pa_store_lock();
				pa_store_restore_locked(&removed);
				pa_store_unlock();
				continue;
			}
		}
		worker_insert(worker, i, n);
	}
	return NULL;
}

/* What lived all the time is in every snapshot, once. */
static void check_survivors(const struct image *m)
{
	unsigned seen[WORKERS][BLOCKS / 2] = { { 0 } };

	for (uint64_t k = 1; k < m->n[PA_KIND_LIVE]; k++) {
		uint64_t at = m->live[k].address - 0x7f0000000000ull;
		uint64_t i = (at & 0xffffffff) / 272;

		if (i < BLOCKS / 2)
			seen[at >> 32][i]++;
		if (m->live[k].site >= PA_SITE_FIRST && i < BLOCKS / 2)
			assert_null(check_stack(
				m, m->sites[m->live[k].site].node,
				at >> 32 << 32 | i));
	}
	for (unsigned w = 0; w < WORKERS; w++)
		for (unsigned i = 0; i < BLOCKS / 2; i++)
			assert_int_equal(seen[w][i], 1);
}

static void wait_for_samples(uint64_t number)
{
	for (uint64_t taken = 0; taken < number;) {
		pa_store_lock();
		taken = pa_store_directory()->samples_taken;
		pa_store_unlock();
	}
}

static void snapshots_while_threads_work(void **state)
{
	pthread_t threads[WORKERS];
	uint64_t size = 0;

	(void)state;
	start_store(2u << 20, 1000);	/* 100000 B: always sampled */
	for (uintptr_t w = 0; w < WORKERS; w++)
		assert_int_equal(pthread_create(&threads[w], NULL, work,
						(void *)w), 0);
	wait_for_samples(20000);
	for (int i = 0; i < 100; i++) {
		const void *bytes;
		struct image m;
		size_t n;

		wait_for_samples((uint64_t)i * 500);
		assert_int_equal(pa_store_snapshot_begin(&bytes, &n), 0);
		m = open_snapshot(bytes, n);
		check_references(&m);
		check_survivors(&m);
		size += n;
		pa_store_snapshot_end();
	}
	__atomic_store_n(&stop_working, 1, __ATOMIC_RELAXED);
	for (int w = 0; w < WORKERS; w++)
		pthread_join(threads[w], NULL);
	printf("# %llu rebuilds, %llu samples, snapshots of %llu KiB\n",
	       (unsigned long long)pa_store_directory()->rebuilds,
	       (unsigned long long)pa_store_directory()->samples_taken,
	       (unsigned long long)size / 100 >> 10);
	assert_true(pa_store_directory()->rebuilds > 3);
	pa_store_stop();
}

/* A child made while a copy was held or under way takes its own. */
static void fork_child_takes_its_own(void **state)
{
	const void *bytes;
	int status = 0;
	size_t n;
	pid_t pid;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	assert_int_equal(pa_store_snapshot_begin(&bytes, &n), 0);
	pa_store.copying = true;
	pid = fork();
	if (pid == 0) {
		struct pa_sample s;
		struct image m;

		pa_store_lock_reset();
		s = make_sample(64, 5, PA_SITE_NO_PYTHON);
		pa_store_insert_locked(&s);
		if (pa_store_snapshot_begin(&bytes, &n) != 0)
			_exit(1);
		m = open_snapshot(bytes, n);
		_exit(m.n[PA_KIND_LIVE] == 2 ? 7 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	pa_store.copying = false;
	pa_store_snapshot_end();
	pa_store_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot_is_a_whole_image),
		cmocka_unit_test(empty_snapshot_is_an_image),
		cmocka_unit_test(holders_share_one_copy),
		cmocka_unit_test(full_tables_fit_the_buffer),
		cmocka_unit_test(snapshots_while_threads_work),
		cmocka_unit_test(fork_child_takes_its_own),
	};

	return RUN_WITH_SEED(tests);
}
