/* SPDX-License-Identifier: MIT
 *
 * Sums over the dominator tree; see retained.h.  A node's number is larger
 * than its dominator's, so that one pass from the end suffices.
 */
#include "census/retained.h"

#include <stdlib.h>

#define WORTH_ASKING ((uint64_t)64 << 10)

static uint64_t there(const struct pa_retained *t, uint64_t address,
		      uint64_t size)
{
	/* only chunks are so large, and begin with their header */
	address -= PA_CHUNK_HEAD;
	return size < WORTH_ASKING ? size : pa_census_resident(
		t->roots->references->window->source, address, address + size);
}

uint64_t pa_retained_own(const struct pa_retained *t, uint32_t node)
{
	uint64_t size, address = pa_nodes_address(
		&t->roots->references->nodes, node, &size);

	return there(t, address, size);
}

uint64_t pa_retained_sum(const struct pa_retained *t, uint32_t number)
{
	return ((uint64_t)t->more[number] << 32 | t->units[number]) << 4;
}

static void add_bytes(struct pa_retained *t, uint32_t number, uint64_t bytes)
{
	uint64_t units = t->units[number] + (bytes >> 4);

	t->units[number] = (uint32_t)units;
	if (units >> 32)
		t->more[number] = units >> 32 > 255u - t->more[number] ? 255 :
			(uint8_t)(t->more[number] + (units >> 32));
}

bool pa_retained_is_top(const struct pa_retained *t, uint32_t node)
{
	uint32_t low = t->first[0], high = t->first[1];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (t->child[middle] < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->first[1] && t->child[low] == node;
}

uint64_t pa_retained_bytes(const struct pa_retained *t, uint32_t node,
			   uint64_t *objects)
{
	const struct pa_dominators *d = &t->roots->dominators;

	if (pa_is_leaf(d, node)) {
		*objects = 1;
		return pa_retained_own(t, node);
	}
	*objects = t->objects[d->number[node]];
	return pa_retained_sum(t, d->number[node]);
}

static void add_objects(uint32_t *sum, uint32_t n)
{
	*sum = n > UINT32_MAX - *sum ? UINT32_MAX : *sum + n;
}

/* The number that a node's own bytes belong to. */
static void add_own(struct pa_retained *t, uint32_t node, uint64_t bytes)
{
	const struct pa_dominators *d = &t->roots->dominators;
	uint32_t number = d->number[node];

	add_bytes(t, number, bytes);
	if (t->roots->references->nodes.node[node] & PA_NODE_TYPED)
		add_objects(&t->objects[number], 1);
}

static void add_all(struct pa_retained *t)
{
	const struct pa_nodes *nodes = &t->roots->references->nodes;

	for (uint32_t i = 0; i < nodes->n_extents; i++) {
		uint64_t size, address;
		uint32_t node = nodes->extent[i].first;
		uint32_t end = i + 1 < nodes->n_extents ?
			nodes->extent[i + 1].first : nodes->count;

		address = nodes->extent[i].address;
		size = pa_extent_bytes(&nodes->extent[i]);
		for (; node < end; node++, address += size)
			if (nodes->node[node] & PA_NODE_LIVE &&
			    pa_is_reached(&t->roots->dominators, node))
				add_own(t, node, there(t, address, size));
	}
}

/* Whose child: a leaf's number is its dominator's. */
static uint32_t parent_of(const struct pa_dominators *d, uint32_t node)
{
	return pa_is_leaf(d, node) ? d->number[node] :
		d->idom[d->number[node]];
}

static int find_children(struct pa_retained *t)
{
	const struct pa_dominators *d = &t->roots->dominators;
	uint32_t sum = 0;

	t->first = calloc(d->count + 1ull, sizeof *t->first);
	if (!t->first)
		return -1;
	for (uint32_t i = 0; i < d->graph->n; i++)
		if (pa_is_reached(d, i))
			t->first[parent_of(d, i)]++;
	for (uint32_t v = 0; v <= d->count; v++)
		t->first[v] = sum += t->first[v];
	t->child = calloc(sum + 1ull, sizeof *t->child);
	if (!t->child)
		return -1;
	/* downwards, so that they stay in order of address */
	for (uint32_t i = d->graph->n; i--; )
		if (pa_is_reached(d, i))
			t->child[--t->first[parent_of(d, i)]] = i;
	return 0;
}

int pa_retained_init(struct pa_retained *t, struct pa_roots *roots)
{
	struct pa_dominators *d = &roots->dominators;
	int err;

	memset(t, 0, sizeof *t);
	t->roots = roots;
	t->units = calloc(d->count, sizeof *t->units);
	t->more = calloc(d->count, sizeof *t->more);
	t->objects = calloc(d->count, sizeof *t->objects);
	if (!t->units || !t->more || !t->objects)
		return -1;
	add_all(t);
	for (uint32_t v = d->count - 1; v; v--) {
		add_bytes(t, d->idom[v], pa_retained_sum(t, v));
		add_objects(&t->objects[d->idom[v]], t->objects[v]);
	}
	err = find_children(t);
	pa_dominators_forget(d);
	return err;
}

void pa_retained_deinit(struct pa_retained *t)
{
	free(t->units);
	free(t->more);
	free(t->objects);
	free(t->first);
	free(t->child);
	memset(t, 0, sizeof *t);
}
