/* SPDX-License-Identifier: MIT
 *
 * Blocks by number and by address; see nodes.h.
 *
 * From an address to its extent: a table of 8 GiB steps, below it one of
 * 2 MiB steps, below that one of pages.  An entry is the first extent that
 * has a part in the page (or, marked, in all of the 2 MiB) and 1.
 */
#include "census/nodes.h"

#include <stdlib.h>

#define TOP_SHIFT 33
#define TOP (1u << (47 - TOP_SHIFT))
#define MIDDLE_SHIFT 21
#define MIDDLE (1u << (TOP_SHIFT - MIDDLE_SHIFT))
#define PAGES 512u
#define WHOLE 0x80000000u
#define EXTENTS_MAX 0x7ffffff0u
#define NODES_MAX (PA_NO_NODE - PA_POOL_BLOCKS)
#define UNITS_MAX (PA_EXTENT_LARGE - 1)
#define CHUNK_MOST ((uint64_t)1 << 40)	/* is found by address up to there */
#define POOL_HEAD 48u
#define POOL_UNITS 32u		/* of its blocks, at most */
/* exact for quotients of numbers below 1024 and up to 32 */
#define R(n) ((1u << 20) / (n) + 1)

int pa_nodes_init(struct pa_nodes *nodes)
{
	memset(nodes, 0, sizeof *nodes);
	nodes->low = UINT64_MAX;
	nodes->middle = calloc(TOP, sizeof *nodes->middle);
	return nodes->middle ? 0 : -1;
}

void pa_nodes_deinit(struct pa_nodes *nodes)
{
	for (uint32_t i = 0; nodes->middle && i < TOP; i++)
		free(nodes->middle[i]);
	free(nodes->middle);
	free(nodes->leaves);
	free(nodes->extent);
	free(nodes->node);
	free(nodes->hinted);
	free(nodes->near);
	memset(nodes, 0, sizeof *nodes);
}

/* n more numbers for an extent; false: none. */
static bool add_extent(struct pa_nodes *nodes, uint64_t address,
		       uint32_t units, uint32_t n)
{
	struct pa_extent *extent;

	if (nodes->n_extents && address <=
	    nodes->extent[nodes->n_extents - 1].address)
		return false;
	if (nodes->n_extents == nodes->room_extents) {
		uint32_t room = nodes->room_extents +
			nodes->room_extents / 2 + 4096;
		struct pa_extent *more = room > EXTENTS_MAX ? NULL :
			reallocarray(nodes->extent, room, sizeof *more);

		if (!more)
			return false;
		nodes->extent = more;
		nodes->room_extents = room;
	}
	if (nodes->count + n > nodes->room) {
		uint32_t room = nodes->count + n + nodes->count / 2 + 65536;
		uint32_t *more = nodes->count + n > NODES_MAX ? NULL :
			reallocarray(nodes->node, room, sizeof *more);

		if (!more)
			return false;
		nodes->node = more;
		nodes->room = room;
	}
	extent = &nodes->extent[nodes->n_extents++];
	*extent = (struct pa_extent){ address, nodes->count, units };
	memset(nodes->node + nodes->count, 0, n * sizeof *nodes->node);
	nodes->count += n;
	return true;
}

void pa_nodes_add_pool(struct pa_nodes *nodes, const struct pa_pool *pool)
{
	if (pool->live && !add_extent(nodes, pool->address + POOL_HEAD,
				      pool->size / 16 | PA_EXTENT_POOL,
				      pool->carved))
		nodes->full = true;
}

uint64_t pa_extent_bytes(const struct pa_extent *extent)
{
	if (extent->units & PA_EXTENT_LARGE)
		return (uint64_t)(extent->units & UNITS_MAX) * PA_CENSUS_PAGE;
	return (uint64_t)(extent->units & UNITS_MAX) * 16;
}

static uint32_t units_of(uint64_t bytes)
{
	if (bytes / 16 <= UNITS_MAX)
		return (uint32_t)(bytes / 16);
	bytes /= PA_CENSUS_PAGE;
	return PA_EXTENT_LARGE | (bytes < UNITS_MAX ? (uint32_t)bytes :
				  UNITS_MAX);
}

static uint32_t numbers_of(const struct pa_nodes *nodes, uint32_t i)
{
	return (i + 1 < nodes->n_extents ? nodes->extent[i + 1].first :
		nodes->count) - nodes->extent[i].first;
}

uint32_t pa_nodes_add(struct pa_nodes *nodes, const struct pa_block *block,
		      uint32_t what)
{
	const struct pa_extent *extent;
	uint64_t in;
	uint32_t i;

	if (block->charge < 16)
		return PA_NO_NODE;
	if (!block->small && !add_extent(nodes, block->address,
					 units_of(block->charge), 1)) {
		nodes->full = true;
		return PA_NO_NODE;
	}
	if (!nodes->n_extents)
		return PA_NO_NODE;
	extent = &nodes->extent[nodes->n_extents - 1];
	in = (block->address - extent->address) / pa_extent_bytes(extent);
	if (block->address < extent->address ||
	    in >= numbers_of(nodes, nodes->n_extents - 1))
		return PA_NO_NODE;
	i = extent->first + (uint32_t)in;
	nodes->node[i] = what;
	return i;
}

/* ---- by address ---- */

static uint32_t *leaf_of(struct pa_nodes *nodes, uint32_t *entry)
{
	if (!*entry) {
		if (nodes->n_leaves == nodes->room_leaves) {
			uint32_t room = nodes->room_leaves * 2 + 64;
			uint32_t *more = reallocarray(nodes->leaves, room,
						      PAGES * sizeof *more);

			if (!more)
				return NULL;
			nodes->leaves = more;
			nodes->room_leaves = room;
		}
		memset(nodes->leaves + (size_t)nodes->n_leaves * PAGES, 0,
		       PAGES * sizeof *nodes->leaves);
		*entry = ++nodes->n_leaves;
	}
	return nodes->leaves + (size_t)(*entry - 1) * PAGES;
}

/* Enter one extent from an address on, as far as one step goes. */
static uint64_t enter(struct pa_nodes *nodes, uint32_t i, uint64_t at,
		      uint64_t end)
{
	uint64_t step = (uint64_t)1 << MIDDLE_SHIFT, page = PA_CENSUS_PAGE;
	uint32_t **middle = &nodes->middle[at >> TOP_SHIFT], *entry, *leaf;

	if (!*middle)
		*middle = calloc(MIDDLE, sizeof **middle);
	if (!*middle) {
		nodes->full = true;
		return end;
	}
	entry = &(*middle)[at >> MIDDLE_SHIFT & (MIDDLE - 1)];
	if (at % step == 0 && end - at >= step && !*entry) {
		*entry = (i + 1) | WHOLE;
		return at + step;
	}
	leaf = *entry & WHOLE ? NULL : leaf_of(nodes, entry);
	if (!leaf) {
		nodes->full = true;
		return end;
	}
	leaf += at / page % PAGES;
	if (!*leaf)
		*leaf = i + 1;
	return (at & ~(page - 1)) + page;
}

/* A hint of what turned out to be an object, or nothing, is dropped. */
static void take_hints(struct pa_nodes *nodes)
{
	for (size_t i = 0; i < nodes->n_hinted; i++) {
		const struct pa_hinted *h = &nodes->hinted[i];
		uint64_t inside, value = h->value;
		uint32_t n = pa_nodes_around(nodes, h->address, &inside);

		if (n == PA_NO_NODE || nodes->node[n] & PA_NODE_TYPED)
			continue;
		if (nodes->node[n] & PA_NODE_DEBUG)
			inside -= inside < 16 ? inside : 16;
		if (h->hint == PA_HINT_VALUES)
			value = inside / 8;
		else if (inside)
			continue;
		if (value <= PA_HINT_VALUE_MAX)
			nodes->node[n] = (nodes->node[n] & ~PA_NODE_TYPE) |
				h->hint << PA_HINT_SHIFT | (uint32_t)value;
	}
	free(nodes->hinted);
	nodes->hinted = NULL;
	nodes->n_hinted = nodes->room_hinted = 0;
}

/* The extents that the numbers 0, 256, 512 ... are in, and the last one. */
static bool enter_numbers(struct pa_nodes *nodes)
{
	uint32_t n = nodes->count / PA_NODES_NEAR + 2, at = 0;

	nodes->near = calloc(n, sizeof *nodes->near);
	if (!nodes->near)
		return false;
	for (uint32_t k = 0; k < n; k++) {
		while (at + 1 < nodes->n_extents &&
		       nodes->extent[at + 1].first <=
		       (uint64_t)k * PA_NODES_NEAR)
			at++;
		nodes->near[k] = at;
	}
	return true;
}

int pa_nodes_close(struct pa_nodes *nodes)
{
	if (!enter_numbers(nodes))
		return -1;
	for (uint32_t i = 0; i < nodes->n_extents; i++) {
		const struct pa_extent *extent = &nodes->extent[i];
		uint64_t at = extent->address, n = numbers_of(nodes, i);
		uint64_t size = n * pa_extent_bytes(extent);

		if (at >> 47)
			continue;
		size = size < CHUNK_MOST ? size : CHUNK_MOST;
		if (size > ((uint64_t)1 << 47) - at)
			size = ((uint64_t)1 << 47) - at;
		nodes->low = at < nodes->low ? at : nodes->low;
		nodes->high = at + size > nodes->high ? at + size :
			nodes->high;
		for (uint64_t end = at + size; at < end; )
			at = enter(nodes, i, at, end);
	}
	take_hints(nodes);
	return 0;
}

void pa_nodes_hint(struct pa_nodes *nodes, uint64_t address, enum pa_hint hint,
		   uint64_t value)
{
	if (!address || value > PA_HINT_VALUE_MAX)
		return;
	if (nodes->n_hinted == nodes->room_hinted) {
		size_t room = nodes->room_hinted + nodes->room_hinted / 2 +
			4096;
		struct pa_hinted *more = reallocarray(nodes->hinted, room,
						      sizeof *more);

		/* Then more is scanned than is in use. */
		if (!more)
			return;
		nodes->hinted = more;
		nodes->room_hinted = room;
	}
	nodes->hinted[nodes->n_hinted++] = (struct pa_hinted){
		address, (uint32_t)hint, (uint32_t)value,
	};
}

/* Which block of a pool is so many bytes behind the first one, without a
 * division: units are up to 32, bytes up to PA_POOL_MAX. */
static uint32_t block_of(uint32_t in, uint32_t units)
{
	static const uint32_t reciprocal[] = {
		0, R(1), R(2), R(3), R(4), R(5), R(6), R(7), R(8), R(9),
		R(10), R(11), R(12), R(13), R(14), R(15), R(16), R(17),
		R(18), R(19), R(20), R(21), R(22), R(23), R(24), R(25),
		R(26), R(27), R(28), R(29), R(30), R(31), R(32),
	};

	return (in >> 4) * reciprocal[units] >> 20;
}

/* The block in an extent, *inside it; PA_NO_NODE behind its end. */
static uint32_t node_in(const struct pa_nodes *nodes, uint32_t i,
			uint64_t in, uint64_t *inside)
{
	const struct pa_extent *extent = &nodes->extent[i];
	uint32_t n, units = extent->units & UNITS_MAX;

	if (!(extent->units & PA_EXTENT_POOL)) {
		*inside = in;
		return in < pa_extent_bytes(extent) ? extent->first :
			PA_NO_NODE;
	}
	if (in > PA_POOL_MAX || units > POOL_UNITS)
		return PA_NO_NODE;
	n = block_of((uint32_t)in, units);
	*inside = in - (uint64_t)n * units * 16;
	return n < numbers_of(nodes, i) ? extent->first + n : PA_NO_NODE;
}

uint32_t pa_nodes_around(const struct pa_nodes *nodes, uint64_t address,
			 uint64_t *inside)
{
	const uint32_t *middle;
	uint32_t i, n;

	if (address < nodes->low || address >= nodes->high)
		return PA_NO_NODE;
	middle = nodes->middle[address >> TOP_SHIFT];
	i = middle ? middle[address >> MIDDLE_SHIFT & (MIDDLE - 1)] : 0;
	if (i && !(i & WHOLE))
		i = nodes->leaves[(size_t)(i - 1) * PAGES +
				  address / PA_CENSUS_PAGE % PAGES];
	i &= ~WHOLE;
	if (!i--)
		return PA_NO_NODE;
	while (i + 1 < nodes->n_extents &&
	       nodes->extent[i + 1].address <= address)
		i++;
	if (address < nodes->extent[i].address)
		return PA_NO_NODE;
	n = node_in(nodes, i, address - nodes->extent[i].address, inside);
	return n != PA_NO_NODE && nodes->node[n] & PA_NODE_LIVE ? n :
		PA_NO_NODE;
}

uint32_t pa_nodes_next(const struct pa_nodes *nodes, uint64_t address,
		       uint32_t *extent)
{
	uint64_t inside = 0;
	uint32_t i = *extent, n;

	while (i + 1 < nodes->n_extents &&
	       nodes->extent[i + 1].address <= address)
		i++;
	*extent = i;
	if (i >= nodes->n_extents || address < nodes->extent[i].address)
		return PA_NO_NODE;
	n = node_in(nodes, i, address - nodes->extent[i].address, &inside);
	return n == PA_NO_NODE || inside ||
		!(nodes->node[n] & PA_NODE_LIVE) ? PA_NO_NODE : n;
}

/* The extent of a number. */
static uint32_t extent_of(const struct pa_nodes *nodes, uint32_t number)
{
	uint32_t low = nodes->near[number / PA_NODES_NEAR];
	uint32_t high = nodes->near[number / PA_NODES_NEAR + 1] + 1;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (nodes->extent[middle].first <= number)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t pa_nodes_address(const struct pa_nodes *nodes, uint32_t number,
			  uint64_t *size)
{
	const struct pa_extent *extent =
		&nodes->extent[extent_of(nodes, number)];

	*size = pa_extent_bytes(extent);
	return extent->address + (number - extent->first) * *size;
}
