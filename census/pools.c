/* SPDX-License-Identifier: MIT
 *
 * pymalloc's pools.  A pool is known by its header, and by an equation that
 * chance cannot meet: blocks carved - blocks free = blocks counted.
 */
#include "census/walk.h"

/* The header, the same on all versions. */
enum {
	COUNT = 0, FREE_BLOCK = 8, ARENA = 32, CLASS = 36, NEXT = 40,
	NEXT_MAX = 44,
};

static bool read_header(const uint8_t *bytes, size_t room, uint64_t address,
			struct pa_pool *pool)
{
	uint32_t class = pa_half(bytes + CLASS), next = pa_half(bytes + NEXT);
	uint32_t most = pa_half(bytes + NEXT_MAX), live = pa_half(bytes);

	if (class >= PA_POOL_BLOCKS || class >= 32)
		return false;
	pool->address = address;
	pool->size = (class + 1) * 16;
	pool->bytes = most + pool->size;
	if (pool->bytes != 4096 && pool->bytes != PA_POOL_MAX)
		return false;
	if (pool->bytes > room || address % pool->bytes)
		return false;
	if (next < PA_POOL_HEADER + pool->size || next > most + pool->size ||
	    (next - PA_POOL_HEADER) % pool->size)
		return false;
	pool->carved = (next - PA_POOL_HEADER) / pool->size;
	pool->live = live;
	pool->arena = pa_half(bytes + ARENA);
	return live <= (pool->bytes - PA_POOL_HEADER) / pool->size;
}

/* Mark the blocks of the free list; false where it leads astray. */
static bool follow(const uint8_t *bytes, struct pa_pool *pool,
		   uint32_t *n_free)
{
	uint64_t at = pa_word(bytes + FREE_BLOCK);

	memset(pool->free, 0, sizeof pool->free);
	for (*n_free = 0; at; ++*n_free) {
		uint64_t in = at - pool->address;
		uint32_t i;

		if (at < pool->address + PA_POOL_HEADER ||
		    in >= pool->bytes || *n_free > pool->carved)
			return false;
		i = (uint32_t)(in - PA_POOL_HEADER) / pool->size;
		if ((in - PA_POOL_HEADER) % pool->size || i >= pool->carved ||
		    pool->free[i / 8] >> i % 8 & 1)
			return false;
		pool->free[i / 8] |= (uint8_t)(1u << i % 8);
		at = pa_word(bytes + in);
	}
	return true;
}

enum pa_pool_found pa_pool_look(const uint8_t *bytes, size_t room,
				uint64_t address, struct pa_pool *pool)
{
	uint64_t first = pa_word(bytes + FREE_BLOCK);
	uint32_t n_free;

	if (!read_header(bytes, room, address, pool))
		return PA_POOL_NONE;
	if (follow(bytes, pool, &n_free) && pool->carved - n_free == pool->live)
		return PA_POOL_WHOLE;
	/* A header alone may be chance: a real one points into itself. */
	if (first && first - address >= pool->bytes)
		return PA_POOL_NONE;
	return PA_POOL_CHANGING;
}
