/* SPDX-License-Identifier: MIT
 *
 * The walk over all ranges; see walk.h.  Always goes forward, so it ends.
 */
#include "census/walk.h"

#define TRIES 3

static void report(struct pa_walk *walk)
{
	const struct pa_census_source *source = walk->window->source;
	const struct pa_census_run *last = source->runs + source->n_runs - 1;
	uint64_t all, done = walk->window->loaded;
	double part;

	if (!source->progress || done - walk->reported < (uint64_t)16 << 20)
		return;
	walk->reported = done;
	all = last->before + (last->end - last->start);
	part = all ? (double)done / (double)all : 1;
	part = walk->part_from + (walk->part_to - walk->part_from) *
		(part < 1 ? part : 1);
	walk->stopped |= !source->progress(source->context, part);
}

static void visit_pool(struct pa_walk *walk, const struct pa_pool *pool,
		       const uint8_t *bytes)
{
	if (walk->pool)
		walk->pool(walk->context, pool);
	for (uint32_t i = 0; i < pool->carved; i++) {
		uint32_t in = PA_POOL_HEADER + i * pool->size;
		struct pa_block block = {
			.address = pool->address + in, .size = pool->size,
			.charge = pool->size, .head = bytes + in, .head_size = pool->size,
			.small = true,
		};

		if (!(pool->free[i / 8] >> i % 8 & 1))
			walk->block(walk->context, &block);
	}
}

/* A pool that was caught in a change: read it again, all at once. */
static bool read_again(struct pa_walk *walk, struct pa_pool *pool)
{
	const struct pa_census_source *source = walk->window->source;
	static _Thread_local uint8_t bytes[PA_POOL_MAX];
	uint64_t end = pa_census_resident(source, pool->address,
					  pool->address + pool->bytes);

	for (int i = 0; source->live && i < TRIES; i++) {
		/* Its resident part comes first. */
		memset(bytes, 0, sizeof bytes);
		source->read(source->context, pool->address, bytes,
			     (size_t)end);
		if (pa_pool_look(bytes, pool->bytes, pool->address, pool) !=
		    PA_POOL_WHOLE)
			continue;
		visit_pool(walk, pool, bytes);
		return true;
	}
	return false;
}

/* The pool at an address, or 0: its size. */
static uint32_t try_pool(struct pa_walk *walk, uint64_t at, uint64_t end)
{
	size_t room = at % PA_POOL_MAX || end - at < PA_POOL_MAX ?
		PA_CENSUS_PAGE : PA_POOL_MAX;
	const uint8_t *bytes = pa_window_at(walk->window, at, room);
	struct pa_pool pool;

	switch (pa_pool_look(bytes, room, at, &pool)) {
	case PA_POOL_WHOLE:
		visit_pool(walk, &pool, bytes);
		return pool.bytes;
	case PA_POOL_CHANGING:
		if (read_again(walk, &pool))
			return pool.bytes;
		walk->changing++;
		return PA_CENSUS_PAGE;
	case PA_POOL_NONE:
		break;
	}
	return 0;
}

/* Anonymous memory: pools, heaps of arenas, chunks of their own mapping.
 * Returns where to go on. */
static uint64_t step(struct pa_walk *walk, uint64_t at, uint64_t end)
{
	uint64_t from, to;
	uint64_t size = walk->skip ? walk->skip(walk->context, at) : 0;

	if (size)
		return at + size;
	if (at % PA_HEAP_MAX == 0 && pa_find_heap(walk, at, end, &from, &to)) {
		pa_walk_chunks(walk, from, to);
		return (to + PA_CENSUS_PAGE - 1) & -(uint64_t)PA_CENSUS_PAGE;
	}
	size = try_pool(walk, at, end);
	if (size)
		return at + size;
	size = pa_find_mapped_chunk(walk, at, end);
	if (!size && walk->gap)
		walk->gap(walk->context, at, at + PA_CENSUS_PAGE);
	if (!size)
		return at + PA_CENSUS_PAGE;
	if (walk->chunk)
		walk->chunk(walk->context, at, size, true);
	pa_visit_chunk(walk, at, size);
	return at + size;
}

static void walk_range(struct pa_walk *walk,
		       const struct pa_census_range *range)
{
	const struct pa_census_source *source = walk->window->source;
	uint64_t at = range->start;

	while (at < range->end && !walk->stopped) {
		size_t i = pa_census_find_run(source, at);

		if (i == source->n_runs || source->runs[i].start >= range->end)
			return;
		if (source->runs[i].start > at)
			at = source->runs[i].start;
		at = step(walk, at, range->end);
		report(walk);
	}
}

void pa_walk_all(struct pa_walk *walk)
{
	const struct pa_census_source *source = walk->window->source;

	for (size_t i = 0; i < source->n_ranges && !walk->stopped; i++) {
		const struct pa_census_range *range = &source->ranges[i];
		size_t run = pa_census_find_run(source, range->start);

		if (run == source->n_runs)
			return;
		if (source->runs[run].start >= range->end)
			continue;
		if (range->kind == PA_RANGE_HEAP ||
		    (range->kind == PA_RANGE_ANON && !source->live &&
		     pa_is_main_heap(walk, range->start, range->end)))
			pa_walk_chunks(walk, range->start, range->end);
		else if (range->kind == PA_RANGE_ANON)
			walk_range(walk, range);
	}
}
