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

int pa_nodes_init(struct pa_nodes *nodes)
{
	memset(nodes, 0, sizeof *nodes);
	nodes->low = UINT64_MAX;
	nodes->middle = calloc(TOP, sizeof *nodes->middle);
	nodes->last = calloc(1, sizeof *nodes->last);
	return nodes->middle && nodes->last ? 0 : -1;
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
	free(nodes->last);
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

void pa_nodes_close(struct pa_nodes *nodes)
{
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

uint32_t pa_nodes_around(const struct pa_nodes *nodes, uint64_t address,
			 uint64_t *inside)
{
	const uint32_t *middle;
	uint64_t in, size;
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
	in = address - nodes->extent[i].address;
	size = pa_extent_bytes(&nodes->extent[i]);
	if (address < nodes->extent[i].address)
		return PA_NO_NODE;
	n = 0;
	if (in >= size) {
		if (!(nodes->extent[i].units & PA_EXTENT_POOL) ||
		    in > PA_POOL_MAX)
			return PA_NO_NODE;
		n = (uint32_t)in / (uint32_t)size;
		if (n >= numbers_of(nodes, i))
			return PA_NO_NODE;
	}
	*inside = in - n * size;
	n += nodes->extent[i].first;
	return nodes->node[n] & PA_NODE_LIVE ? n : PA_NO_NODE;
}

uint32_t pa_nodes_extent(const struct pa_nodes *nodes, uint32_t number)
{
	uint32_t low = *nodes->last, high = nodes->n_extents;

	/* mostly it is the same as before, or the next one */
	for (uint32_t i = 0; i < 2 && low < high; i++, low++)
		if (nodes->extent[low].first <= number &&
		    number - nodes->extent[low].first < numbers_of(nodes, low))
			return *nodes->last = low;
	low = 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (nodes->extent[middle].first <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return *nodes->last = low ? low - 1 : 0;
}

uint64_t pa_nodes_address(const struct pa_nodes *nodes, uint32_t number,
			  uint64_t *size)
{
	const struct pa_extent *extent =
		&nodes->extent[pa_nodes_extent(nodes, number)];

	*size = pa_extent_bytes(extent);
	return extent->address + (number - extent->first) * *size;
}
