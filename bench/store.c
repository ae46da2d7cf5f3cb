/* SPDX-License-Identifier: MIT
 *
 * How long the store's lock is held, by size of the memory: a sample entered,
 * one removed and put back, a rebuild, a thinning, one turn of a snapshot.
 * Prints a table; the command that builds it is in bench/README.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "payload/sampler.h"
#include "payload/store_internal.h"
#include "payload/sys.h"

static struct pa_random rng;

struct times {
	double insert, remove, thin, rebuild, snapshot;
};

/* Of this thread: the machine has other work. */
static double now_us(void)
{
	return (double)pa_clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e3;
}

static void start(uint64_t memory_max)
{
	pa_store_start(memory_max);
	pa_store_lock();
	pa_store_set_rate_locked(1000);
	pa_store_unlock();
}

static uint32_t stack(uint64_t number, unsigned depth)
{
	char name[64];
	int n = snprintf(name, sizeof(name), "/srv/app/module_%" PRIu64 ".py",
			 number);
	uint32_t file = pa_store_string_locked(name, (uint32_t)n), node = 0;

	for (unsigned line = 1; file && line <= depth; line++) {
		uint32_t frame = pa_store_frame_locked(file, file, line, 1);

		node = frame ? pa_store_node_locked(node, frame) : 0;
		if (!node)
			return PA_SITE_FULL;
	}
	return node ? pa_store_site_locked(node, 2) : PA_SITE_FULL;
}

static void insert(uint64_t number, uint64_t size, uint32_t site)
{
	struct pa_sample s = {
		.address = 0x7f0000000010ull + number * 272, .size = size,
		.rate = pa_store_rate_locked(), .domain = 2, .site = site,
		.luck = (uint32_t)pa_random_next(&rng),
	};

	pa_store_insert_locked(&s);
}

static void fill(struct times *t)
{
	uint32_t n = pa_store.capacity.kind[PA_KIND_LIVE] - 10;
	uint32_t site = stack(1, 3);
	double before = now_us();

	for (uint32_t i = 1; i < n; i++)
		insert(i, 100000, site);
	t->insert = (now_us() - before) / n;
	before = now_us();
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t k = 1 + pa_random_next(&rng) % (n - 1);
		struct pa_live r;

		if (pa_store_remove_locked(0x7f0000000010ull + k * 272, &r))
			pa_store_restore_locked(&r);
	}
	t->remove = (now_us() - before) / 100000;
}

static void take_snapshot(struct times *t)
{
	const void *image;
	size_t bytes;
	double before = now_us();

	pa_store_snapshot_begin(&image, &bytes);
	t->snapshot = now_us() - before;
	pa_store_snapshot_end();
}

/* The longest insertion while twice the table's size comes in. */
static void thin(struct times *t)
{
	uint32_t n = 2 * pa_store.capacity.kind[PA_KIND_LIVE];
	uint32_t site = stack(1, 3);

	for (uint32_t i = 1; i < n; i++) {
		double before = now_us(), took;

		insert(i, 100, site);
		took = now_us() - before;
		if (took > t->thin)
			t->thin = took;
	}
}

/* The mean: a single one may be interrupted. */
static void rebuild(struct times *t)
{
	const struct pa_directory *d = pa_store_directory();
	double sum = 0;

	for (uint64_t i = 1; d->rebuilds < 10; i++) {
		double before = now_us();

		if (pa_store_make_room_locked())
			sum += now_us() - before;
		insert(i % 100, 100, stack(i, 6));
	}
	t->rebuild = sum / 10;
}

int main(void)
{
	pa_random_init(&rng, 1);
	if (pa_store_map_directory() != 0)
		return 1;
	printf("memory   samples   insert  remove+restore   longest   rebuild"
	       "   snapshot\n                   ns              ns  thinning us"
	       "        us      in all us\n");
	for (uint64_t mib = 1; mib <= 256; mib *= 4) {
		struct times t = { 0 };

		start(mib << 20);
		fill(&t);
		take_snapshot(&t);
		start(mib << 20);
		thin(&t);
		start(mib << 20);
		rebuild(&t);
		printf("%3" PRIu64 " MiB %9u %8.0f %15.0f %12.0f %9.0f %14.0f\n",
		       mib, pa_store.capacity.kind[PA_KIND_LIVE],
		       t.insert * 1e3, t.remove * 1e3, t.thin, t.rebuild,
		       t.snapshot);
		pa_store_stop();
	}
	return 0;
}
