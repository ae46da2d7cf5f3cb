/* SPDX-License-Identifier: MIT
 *
 * Where the image lives: start, stop and what lies where in the arena.  The
 * directory and its identity are in store_directory.c.  Nothing is ever
 * unmapped here: a late hook may still read.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/error.h"
#include "payload/store_internal.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE ((size_t)PA_IMAGE_PAGE)
#define SET_LIMIT (24u << 20)	/* bounds the time of a rebuild */
#define CODE_LIMIT (4u << 20)
/* Left for the records of threads.c, which outlive an attach. */
#define THREADS_LIMIT (2u << 20)
/* Where the arena may lie, seen from the directory. */
#define ARENA_FIRST (1ull << 20)
#define ARENA_STEP (1280ull << 20)
#define ARENA_PLACES 3u

struct pa_store pa_store;

const uint32_t pa_elem_size[PA_IMAGE_KINDS + 1] = {
	[PA_KIND_SITES] = sizeof(struct pa_site),
	[PA_KIND_STRINGS] = 1,
	[PA_KIND_FRAMES] = sizeof(struct pa_frame),
	[PA_KIND_NODES] = sizeof(struct pa_node),
	[PA_KIND_LIVE] = sizeof(struct pa_live),
};

/* How a set is divided, in percent: about five nodes, two frames and two
 * names a site. */
static const unsigned set_share[PA_SET_KINDS + 1] = {
	[PA_KIND_SITES] = 38,
	[PA_KIND_STRINGS] = 28,
	[PA_KIND_FRAMES] = 16,
	[PA_KIND_NODES] = 18,
};

static size_t page_down(size_t bytes)
{
	return bytes & ~(PAGE - 1);
}

static size_t page_up(size_t bytes)
{
	return page_down(bytes + PAGE - 1);
}

static size_t at_most(size_t bytes, size_t limit)
{
	return bytes < limit ? bytes : limit;
}

/* One half more than the elements: a load of two thirds at most. */
static uint32_t hash_slots(uint32_t elements)
{
	return elements + elements / 2 + 1;
}

static size_t marks_bytes(uint32_t elements)
{
	return (elements / 64 + 1) * (sizeof(uint64_t) + sizeof(uint32_t));
}

/* The sizes of everything that belongs to a set; their sum without the
 * second set. */
static size_t size_set(struct pa_store *store, size_t bytes)
{
	struct pa_capacity *c = &store->capacity;
	struct pa_area *a = store->area;
	size_t sum = 0;

	for (unsigned k = 1; k <= PA_SET_KINDS; k++) {
		size_t part = page_down(bytes * set_share[k] / 100);
		uint32_t elements;

		c->kind[k] = (uint32_t)(part / pa_elem_size[k]);
		elements = k == PA_KIND_STRINGS ? c->kind[k] / 16 : c->kind[k];
		c->hash[k] = hash_slots(elements);
		a[PA_AREA_SETS + k - 1].bytes = part;
		a[PA_AREA_SETS + PA_SET_KINDS + k - 1].bytes = part;
		a[PA_AREA_SITE_INDEX + k - 1].bytes = page_up(4 * c->hash[k]);
		sum += part + page_up(4 * c->hash[k]);
	}
	c->string_count = c->kind[PA_KIND_STRINGS] / 16;
	/* born, order, and the bits of taken */
	a[PA_AREA_SITE_NOTES].bytes = page_up(
		8 * c->kind[PA_KIND_SITES]
		+ 8 * (c->kind[PA_KIND_SITES] / 64 + 1));
	a[PA_AREA_MARKS].bytes = page_up(
		marks_bytes(c->kind[PA_KIND_SITES])
		+ marks_bytes(c->kind[PA_KIND_STRINGS] / 4)
		+ marks_bytes(c->kind[PA_KIND_FRAMES])
		+ marks_bytes(c->kind[PA_KIND_NODES]) + 64);
	return sum + a[PA_AREA_SITE_NOTES].bytes + a[PA_AREA_MARKS].bytes;
}

/* Live table, its index and its half of the snapshot buffer out of what is
 * left; image_set is the other half. */
static void size_live(struct pa_store *store, size_t left, size_t image_set)
{
	const size_t each = 2 * sizeof(struct pa_live) + 12;
	struct pa_capacity *c = &store->capacity;
	struct pa_area *a = store->area;

	left -= image_set + 5 * PAGE;	/* the directory; rounding */
	a[PA_AREA_LIVE].bytes = page_down(left / each * sizeof(struct pa_live));
	c->kind[PA_KIND_LIVE] = (uint32_t)(a[PA_AREA_LIVE].bytes
					   / sizeof(struct pa_live));
	c->live_slots = hash_slots(c->kind[PA_KIND_LIVE]);
	a[PA_AREA_LIVE_INDEX].bytes = page_up(8ull * c->live_slots);
	a[PA_AREA_SNAPSHOT].bytes = PAGE + image_set + a[PA_AREA_LIVE].bytes;
}

static size_t size_areas(struct pa_store *store, uint64_t memory_max)
{
	size_t budget = memory_max - PA_STORE_OVERHEAD;
	size_t set = at_most(budget * 5 / 32, SET_LIMIT);
	size_t image_set = 0, sum = 0, spent;

	store->area[PA_AREA_CODE].bytes =
		page_down(at_most(budget / 32, CODE_LIMIT));
	spent = size_set(store, set);
	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		image_set += store->area[PA_AREA_SETS + k - 1].bytes;
	spent += image_set + store->area[PA_AREA_CODE].bytes
		+ at_most(budget / 32, THREADS_LIMIT);
	size_live(store, budget - spent, image_set);
	for (unsigned i = 0; i < PA_AREA_COUNT; i++)
		sum += store->area[i].bytes;
	return sum;
}

size_t pa_store_lay_out(struct pa_store *store, uint64_t memory_max,
			char *base)
{
	size_t sum = size_areas(store, memory_max);
	struct pa_area *a = store->area;
	char *next = base, *notes;

	if (!base)
		return sum;
	for (unsigned i = 0; i < PA_AREA_COUNT; i++) {
		a[i].base = next;
		a[i].open = 0;
		next += a[i].bytes;
	}
	store->live = (struct pa_live *)(void *)a[PA_AREA_LIVE].base;
	store->live_index = (uint64_t *)(void *)a[PA_AREA_LIVE_INDEX].base;
	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		store->hash[k] = (uint32_t *)(void *)
			a[PA_AREA_SITE_INDEX + k - 1].base;
	notes = a[PA_AREA_SITE_NOTES].base;
	store->site_taken = (uint64_t *)(void *)notes;
	notes += 8 * (store->capacity.kind[PA_KIND_SITES] / 64 + 1);
	store->site_born = (uint32_t *)(void *)notes;
	store->site_order = store->site_born
		+ store->capacity.kind[PA_KIND_SITES];
	return sum;
}

/* ---- pages ---- */

/* Big steps: few calls, few mappings, little dumped that is not in use. */
void pa_store_open(enum pa_area_id id, size_t bytes)
{
	struct pa_area *a = &pa_store.area[id];
	size_t step = page_up(a->bytes / 16), want;
	int saved = errno;

	if (bytes <= a->open)
		return;
	if (step < 16 * PAGE)
		step = 16 * PAGE;
	want = at_most((bytes + step - 1) / step * step, a->bytes);
	if (id < PA_AREA_PRIVATE
	    && madvise(a->base, want, MADV_DODUMP) != 0)
		/* no mapping left to split: rather dump all than nothing */
		madvise(pa_store.arena, pa_store.arena_bytes, MADV_DODUMP);
	a->open = want;
	pa_store_account();
	errno = saved;
}

void pa_store_give_back(void *base, size_t bytes)
{
	int saved = errno;

	if (bytes && madvise(base, bytes, MADV_DONTNEED) != 0)
		memset(base, 0, bytes);		/* locked pages stay */
	errno = saved;
}

void pa_store_close(enum pa_area_id id)
{
	struct pa_area *a = &pa_store.area[id];
	int saved = errno;

	pa_store_give_back(a->base, a->open);
	if (id < PA_AREA_PRIVATE)
		madvise(a->base, a->open, MADV_DONTDUMP);
	a->open = 0;
	errno = saved;
}

void pa_store_account(void)
{
	uint64_t sum = PA_STORE_OVERHEAD;

	for (unsigned i = 0; i < PA_AREA_COUNT; i++)
		sum += pa_store.area[i].open;
	if (sum > pa_store.directory->memory_used)
		pa_store.directory->memory_used = sum;
}

/* ---- the arena ---- */

/* `bytes` between two guards, at `at` or (NULL) anywhere. */
static char *map_guarded(char *at, size_t bytes)
{
	size_t all = bytes + 2 * PAGE;
	char *p = mmap(at ? at - PAGE : NULL, all, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
		       | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* kernels before 4.17 take the flag for a hint */
	if ((at && p + PAGE != at)
	    || mprotect(p + PAGE, bytes, PROT_READ | PROT_WRITE) != 0) {
		munmap(p, all);
		return NULL;
	}
	return p + PAGE;
}

static char *map_arena(size_t bytes)
{
	char *near = (char *)pa_store.directory + ARENA_FIRST, *p = NULL;

	for (unsigned i = 0; !p && i < ARENA_PLACES; i++)
		p = map_guarded(near + i * ARENA_STEP, bytes);
	if (!p)
		p = map_guarded(NULL, bytes);
	if (!p)
		return NULL;
	/* a huge page would make one touched byte cost 2 MiB */
	madvise(p, bytes, MADV_NOHUGEPAGE);
	madvise(p, bytes, MADV_DONTDUMP);
	/* Touched while it is one mapping, it can be one again: parts that are
	 * split off later share what the kernel compares before it merges. */
	*(volatile char *)p = 0;
	return p;
}

static int need_arena(uint64_t memory_max)
{
	size_t bytes = pa_store_lay_out(&pa_store, memory_max, NULL);
	char *p;

	if (bytes <= pa_store.arena_bytes)
		return 0;
	p = map_arena(bytes);
	if (!p)
		return PA_E_NO_MEMORY_LEFT;
	/* in this order: a fork may come between */
	__atomic_store_n(&pa_store.arena, p, __ATOMIC_RELEASE);
	__atomic_store_n(&pa_store.arena_bytes, bytes, __ATOMIC_RELEASE);
	return 0;
}

/* ---- start and stop ---- */

static void clear_bitmap(void)
{
	/* its pages are given back; a late hook reads zeros */
	if (madvise(pa_store_bitmap, sizeof(pa_store_bitmap),
		    MADV_DONTNEED) == 0)
		return;
	for (unsigned i = 0; i < 8192; i++)
		if (__atomic_load_n(&pa_store_bitmap[i], __ATOMIC_RELAXED))
			__atomic_store_n(&pa_store_bitmap[i], 0,
					 __ATOMIC_RELAXED);
}

static void clear_counters(struct pa_directory *d)
{
	d->rate = d->rate_effective = 0;
	d->samples_live = d->samples_taken = d->samples_thinned = 0;
	d->samples_freed = d->dropped = 0;
	d->sites_evicted = d->stacks_full = d->rebuilds = 0;
	d->requested_bytes = d->requested_calls = d->uncounted_max = 0;
	d->requested_monotonic_ns = 0;
	d->estimated_bytes = d->estimated_bytes_variance = 0;
	d->estimated_bytes_weight_max = d->estimated_objects = 0;
	d->estimated_objects_variance = d->estimated_objects_weight_max = 0;
	d->heartbeat_realtime_ns = d->heartbeat_monotonic_ns = 0;
	d->memory_used = 0;
}

/* All pages back, nothing of the arena dumped: one mapping again. */
static void empty_arena(void)
{
	int saved = errno;

	pa_store_give_back(pa_store.arena, pa_store.arena_bytes);
	madvise(pa_store.arena, pa_store.arena_bytes, MADV_DONTDUMP);
	errno = saved;
}

int pa_store_start(uint64_t memory_max)
{
	struct pa_directory *d = pa_store.directory;
	int error;

	if (!d || memory_max < PA_MEMORY_MIN || memory_max > PA_MEMORY_LIMIT)
		return PA_E_SETUP_FAILED;
	pa_store_stop();
	error = need_arena(memory_max);
	if (error)
		return error;
	pa_store_lock();
	__atomic_store_n(&pa_store.soiled, true, __ATOMIC_RELEASE);
	clear_counters(d);
	pa_store_lay_out(&pa_store, memory_max, pa_store.arena);
	for (unsigned i = PA_AREA_PRIVATE; i < PA_AREA_SNAPSHOT; i++)
		pa_store_open(i, pa_store.area[i].bytes);
	pa_store.generation++;
	pa_store.first_generation = pa_store.generation;
	pa_store.last_id = pa_store.compared_ns = 0;
	pa_store.removed = pa_store.rebuild_at = pa_store.rebuild_pause = 0;
	pa_stacks_select(0);
	pa_live_reset();
	pa_stacks_reset();
	pa_set_publish(0, pa_store.generation);
	pa_snapshot_reset();
	d->memory_max = memory_max;
	pa_store_seal_identity();
	pa_store.running = true;
	pa_store_unlock();
	return 0;
}

void pa_store_stop(void)
{
	if (!pa_store.directory)
		return;
	pa_store_lock();
	pa_store.running = false;
	pa_set_withdraw(0);
	pa_set_withdraw(1);
	clear_bitmap();
	pa_store_unlock();
	/* whether it ran does not tell: this may be the child of a fork that
	 * came amid a start or a stop */
	if (pa_store.soiled)
		empty_arena();
	__atomic_store_n(&pa_store.soiled, false, __ATOMIC_RELEASE);
}

void *pa_store_code_cache(size_t *bytes)
{
	*bytes = pa_store.area[PA_AREA_CODE].bytes;
	return pa_store.area[PA_AREA_CODE].base;
}
