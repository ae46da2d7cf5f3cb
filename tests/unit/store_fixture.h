/* SPDX-License-Identifier: MIT
 *
 * What the tests of the store share: random numbers with a printed seed, a
 * store that is started afresh, stacks made of numbers, and checks of the
 * whole image by walking it.  Header only; one program includes it once.
 */
#ifndef PA_TESTS_STORE_FIXTURE_H
#define PA_TESTS_STORE_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "payload/sampler.h"
#include "payload/store_internal.h"
#include "tests/unit/unit.h"

static struct pa_random rng;

/* PA_SEED in the environment repeats a run. */
static inline void seed_rng(void)
{
	const char *text = getenv("PA_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0)
		: (uint64_t)time(NULL) * 1000003 + (uint64_t)clock();

	printf("# PA_SEED=%llu\n", (unsigned long long)seed);
	pa_random_init(&rng, seed);
}

static inline int seed_group(void **state)
{
	(void)state;
	seed_rng();
	return 0;
}

/* The tests of a program, after the seed was chosen and printed. */
#define RUN_WITH_SEED(tests) cmocka_run_group_tests(tests, seed_group, NULL)

static inline uint64_t below(uint64_t n)
{
	return pa_random_next(&rng) % n;
}

static inline void start_store(uint64_t memory_max, uint64_t rate)
{
	assert_int_equal(pa_store_map_directory(), 0);
	assert_int_equal(pa_store_start(memory_max), 0);
	pa_store_lock();
	pa_store_set_rate_locked(rate);
	pa_store_unlock();
}

static inline struct pa_sample make_sample(uint64_t address, uint64_t size,
					   uint32_t site)
{
	struct pa_sample s = {
		.address = address, .size = size, .site = site,
		.rate = pa_store_rate_locked(), .domain = PA_DOMAIN_OBJ,
		.thread = 1, .luck = (uint32_t)(pa_random_next(&rng) >> 32),
	};

	return s;
}

/* The site of a stack of `depth` frames that is named by a number: file
 * "/f/<number>.py", functions "g<0>" (outermost) and so on. */
static inline uint32_t make_stack(uint64_t number, unsigned depth)
{
	char name[64];
	uint32_t node = 0, file;
	int n = snprintf(name, sizeof(name), "/f/%llu.py",
			 (unsigned long long)number);

	file = pa_store_string_locked(name, (uint32_t)n);
	if (!file)
		return PA_SITE_FULL;
	for (unsigned i = 0; i < depth; i++) {
		uint32_t function, frame;

		n = snprintf(name, sizeof(name), "g%u", i);
		function = pa_store_string_locked(name, (uint32_t)n);
		frame = function ? pa_store_frame_locked(file, function,
							 i + 1, 1) : 0;
		node = frame ? pa_store_node_locked(node, frame) : 0;
		if (!node)
			return PA_SITE_FULL;
	}
	return pa_store_site_locked(node, PA_DOMAIN_OBJ);
}

/* ---- an image, wherever its bytes are ---- */

struct image {
	const struct pa_directory *d;
	const struct pa_site *sites;
	const char *strings;
	const struct pa_frame *frames;
	const struct pa_node *nodes;
	const struct pa_live *live;
	uint64_t n[PA_IMAGE_KINDS + 1];
};

static inline uint16_t live_check(const struct pa_live *r)
{
	const unsigned char *p = (const unsigned char *)r;
	uint32_t h = 2166136261u;

	for (size_t i = 8; i < 64; i++)
		h = (h ^ p[i]) * 16777619u;
	return (uint16_t)h;
}

/* NULL or what is wrong with a string. */
static inline const char *check_string(const struct image *m, uint32_t at)
{
	uint32_t length;

	if (at % 4 || at + 4ull > m->n[PA_KIND_STRINGS])
		return "string out of range";
	memcpy(&length, m->strings + at, 4);
	if (at + 4ull + length > m->n[PA_KIND_STRINGS])
		return "string too long";
	return NULL;
}

/* Is the stack of a node the one that make_stack gives to `number`? */
static inline const char *check_stack(const struct image *m, uint32_t node,
				      uint64_t number)
{
	char want[64];
	int n = snprintf(want, sizeof(want), "/f/%llu.py",
			 (unsigned long long)number);

	while (node) {
		const struct pa_node *at = &m->nodes[node];
		const struct pa_frame *f;
		uint32_t length;

		if (node >= m->n[PA_KIND_NODES] || at->parent >= node)
			return "node out of range";
		if (!at->frame || at->frame >= m->n[PA_KIND_FRAMES])
			return "frame out of range";
		f = &m->frames[at->frame];
		if (check_string(m, f->file) || check_string(m, f->function))
			return "name out of range";
		memcpy(&length, m->strings + f->file, 4);
		if (length != (uint32_t)n
		    || memcmp(m->strings + f->file + 4, want, length) != 0)
			return "the name of another stack";
		node = at->parent;
	}
	return NULL;
}

/* The image in this process's memory; lock held or nobody else about. */
static inline struct image live_image(void)
{
	const struct pa_directory *d = pa_store_directory();
	struct image m = { .d = d };

	m.sites = pa_store.sites;
	m.strings = pa_store.strings;
	m.frames = pa_store.frames;
	m.nodes = pa_store.nodes;
	m.live = pa_store.live;
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++) {
		m.n[k] = d->count[pa_store.active][k - 1];
		assert_int_equal(m.n[k], pa_store.used[k]);
	}
	return m;
}

static inline bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-6;
}

/* Sums over sites equal the directory's, live records equal the sites'. */
static inline void check_totals(const struct image *m)
{
	double bytes = 0, objects = 0, variance = 0, live_bytes = 0;
	double bytes_of_records = 0;
	uint64_t live = 0, records = 0;

	for (uint64_t i = 0; i < m->n[PA_KIND_SITES]; i++) {
		bytes += m->sites[i].allocated_bytes;
		variance += m->sites[i].allocated_bytes_variance;
		objects += m->sites[i].allocated_objects;
		live += m->sites[i].live_samples;
		live_bytes += m->sites[i].live_bytes;
	}
	for (uint64_t i = 1; i < m->n[PA_KIND_LIVE]; i++) {
		struct pa_weight w;

		if (!m->live[i].address)
			continue;
		assert_int_equal(m->live[i].seq & 1, 0);
		assert_int_equal(m->live[i].check, live_check(&m->live[i]));
		assert_true(m->live[i].site < m->n[PA_KIND_SITES]);
		pa_weigh(m->live[i].size, m->live[i].rate, &w);
		bytes_of_records += w.bytes;
		records++;
	}
	assert_true(near(bytes, m->d->estimated_bytes));
	assert_true(near(variance, m->d->estimated_bytes_variance));
	assert_true(near(objects, m->d->estimated_objects));
	assert_int_equal(live, m->d->samples_live);
	assert_int_equal(records, m->d->samples_live);
	assert_true(near(live_bytes, bytes_of_records));
}

#endif /* PA_TESTS_STORE_FIXTURE_H */
