/* SPDX-License-Identifier: MIT
 *
 * Where the memory goes: one table that adds up to what is resident; see
 * survey.h.
 */
#include "census/survey.h"

#define ARENA_MAX ((uint64_t)1 << 20)

const char *const pa_census_memory_words[PA_MEMORY_KINDS] = {
	[PA_MEMORY_SMALL_LIVE] = "small live",
	[PA_MEMORY_SMALL_FREE] = "small free",
	[PA_MEMORY_HEADERS] = "pool headers",
	[PA_MEMORY_FREE_POOLS] = "free pools",
	[PA_MEMORY_LARGE_LIVE] = "large live",
	[PA_MEMORY_LARGE_FREE] = "large free",
	[PA_MEMORY_ANONYMOUS] = "other anonymous",
	[PA_MEMORY_STACKS] = "stacks",
	[PA_MEMORY_FILES] = "files",
	[PA_MEMORY_NOT_READ] = "not read",
};

static void count_arena(struct pa_survey *s)
{
	const struct pa_arena *arena = &s->arena;
	uint64_t there;

	if (!arena->last)
		return;
	there = pa_census_resident(s->source, arena->first, arena->last);
	s->census->arenas++;
	if (arena->live < there / 4) {
		s->census->arenas_sparse++;
		s->census->sparse_bytes += there;
	}
}

void pa_survey_pool(struct pa_survey *s, const struct pa_pool *pool)
{
	uint64_t *memory = s->census->memory;
	struct pa_census_class *class = &s->census->classes[pool->size / 16 - 1];
	uint64_t end = pool->address + pool->bytes;
	uint64_t there = pa_census_resident(s->source, pool->address, end);
	uint64_t live = (uint64_t)pool->live * pool->size;

	s->census->pools++;
	if (!s->arena.last || s->arena.number != pool->arena ||
	    end - s->arena.first > ARENA_MAX) {
		count_arena(s);
		s->arena = (struct pa_arena){
			.first = pool->address, .number = pool->arena,
		};
	}
	s->arena.last = end;
	s->arena.live += live;
	if (!pool->live) {
		memory[PA_MEMORY_FREE_POOLS] += there;
		return;
	}
	class->pools++;
	class->live += pool->live;
	there -= there < PA_POOL_HEADER ? there : PA_POOL_HEADER;
	live = live < there ? live : there;
	class->free += there - live;
	memory[PA_MEMORY_HEADERS] += PA_POOL_HEADER;
	memory[PA_MEMORY_SMALL_LIVE] += live;
	memory[PA_MEMORY_SMALL_FREE] += there - live;
}

void pa_survey_chunk(struct pa_survey *s, uint64_t address, uint64_t size,
		     bool live)
{
	s->census->memory[live ? PA_MEMORY_LARGE_LIVE : PA_MEMORY_LARGE_FREE]
		+= size < PA_CENSUS_PAGE ? size :
		pa_census_resident(s->source, address, address + size);
}

void pa_survey_add_up(struct pa_survey *s)
{
	struct pa_census *census = s->census;
	uint64_t *memory = census->memory, rest = 0, known = 0;

	count_arena(s);
	for (size_t i = 0; i < s->source->n_ranges; i++) {
		const struct pa_census_range *range = &s->source->ranges[i];

		census->rss += range->resident;
		census->swapped += range->swapped;
		if (range->kind == PA_RANGE_FILE)
			memory[PA_MEMORY_FILES] += range->resident;
		else if (range->kind == PA_RANGE_STACK)
			memory[PA_MEMORY_STACKS] += range->resident;
		else
			rest += range->resident;
	}
	memory[PA_MEMORY_NOT_READ] = s->window.lost;
	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		if (i != PA_MEMORY_FILES && i != PA_MEMORY_STACKS)
			known += memory[i];
	if (known < rest) {
		memory[PA_MEMORY_ANONYMOUS] = rest - known;
		return;
	}
	/* It shrank while it was read, or is damaged: the sum holds. */
	known -= rest;
	for (int i = 0; i < PA_MEMORY_KINDS && known; i++) {
		uint64_t less = memory[i] < known ? memory[i] : known;

		if (i == PA_MEMORY_FILES || i == PA_MEMORY_STACKS)
			continue;
		memory[i] -= less;
		known -= less;
	}
}
