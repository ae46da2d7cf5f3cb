/* SPDX-License-Identifier: MIT
 *
 * The search that dominators begin with: numbers in depth first order, layer
 * by layer; see dominators.h.
 */
#include "census/dominators_parts.h"

#include <stdlib.h>
#include <string.h>

int pa_dominators_init(struct pa_dominators *d, const struct pa_graph *graph)
{
	memset(d, 0, sizeof *d);
	d->graph = graph;
	d->count = 1;
	d->layer[0] = 1;
	d->number = calloc(graph->n + 1ull, sizeof *d->number);
	d->leaves = calloc(graph->n / 64 + 1ull, sizeof *d->leaves);
	d->roots = calloc(graph->n / 64 + 1ull, sizeof *d->roots);
	d->merged = calloc(graph->n / 64 + 1ull, sizeof *d->merged);
	return d->number && d->leaves && d->roots && d->merged ? 0 : -1;
}

void pa_dominators_end_search(struct pa_dominators *d)
{
	uint32_t **scratch[] = { &d->node, &d->parent, &d->semi, &d->label,
		&d->way };

	for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++) {
		free(*scratch[i]);
		*scratch[i] = NULL;
	}
	free(d->roots);
	free(d->merged);
	d->roots = d->merged = NULL;
}

void pa_dominators_forget(struct pa_dominators *d)
{
	free(d->idom);
	d->idom = NULL;
}

void pa_dominators_deinit(struct pa_dominators *d)
{
	pa_dominators_end_search(d);
	free(d->number);
	free(d->idom);
	free(d->leaves);
	memset(d, 0, sizeof *d);
}

/* ---- the search ---- */

bool pa_dominators_grow_one(uint32_t **array, uint32_t room)
{
	uint32_t *more = reallocarray(*array, room, sizeof *more);

	if (more)
		*array = more;
	return more;
}

/* Room for one more number. */
bool pa_dominators_grow(struct pa_dominators *d)
{
	uint32_t room = d->room + d->room / 4 + 65536;

	if (d->count < d->room)
		return true;
	/* semi is where the search stands in the edges of a node */
	if (!pa_dominators_grow_one(&d->node, room) ||
	    !pa_dominators_grow_one(&d->parent, room) ||
	    !pa_dominators_grow_one(&d->semi, room))
		return false;
	d->room = room;
	return true;
}

static bool enter(struct pa_dominators *d, uint32_t node, uint32_t parent)
{
	if (!pa_dominators_grow(d))
		return false;
	d->node[d->count] = node;
	d->parent[d->count] = parent;
	d->semi[d->count] = d->graph->first[node];
	d->number[node] = d->count++;
	return true;
}

static bool search(struct pa_dominators *d, uint32_t root)
{
	const struct pa_graph *graph = d->graph;
	uint32_t at;

	if (d->number[root])
		return true;
	if (!enter(d, root, 0))
		return false;
	at = d->count - 1;
	while (at) {
		uint32_t end = graph->first[d->node[at] + 1], to;

		if (d->semi[at] == end) {
			at = d->parent[at];
			continue;
		}
		to = graph->to[d->semi[at]++];
		if (to & PA_LEAF) {
			pa_set_bit(d->leaves, to & ~PA_LEAF);
		} else if (!d->number[to]) {
			if (!enter(d, to, at))
				return false;
			at = d->count - 1;
		} else if (d->number[to] >= d->layer[d->n_layers]) {
			pa_set_bit(d->merged, to);
		}
	}
	return true;
}

int pa_dominators_reach(struct pa_dominators *d, const uint32_t *roots,
			size_t n)
{
	/* Earlier layers own what they reach: only new roots are roots. */
	for (size_t i = 0; i < n; i++)
		if (!pa_is_reached(d, roots[i] & ~PA_LEAF))
			pa_set_bit(d->roots, roots[i] & ~PA_LEAF);
	for (size_t i = 0; i < n; i++) {
		uint32_t node = roots[i] & ~PA_LEAF;

		if (!pa_bit(d->roots, node))
			continue;
		if (roots[i] & PA_LEAF)
			pa_set_bit(d->leaves, node);
		else if (!search(d, node))
			return -1;
	}
	pa_dominators_end_layer(d);
	return 0;
}

int pa_dominators_start(struct pa_dominators *d, uint32_t root)
{
	uint32_t node = root & ~PA_LEAF;

	if (pa_is_reached(d, node))
		return 0;
	pa_set_bit(d->roots, node);
	if (!(root & PA_LEAF))
		return search(d, node) ? 0 : -1;
	pa_set_bit(d->leaves, node);
	return 0;
}

void pa_dominators_end_layer(struct pa_dominators *d)
{
	if (d->n_layers < PA_LAYERS - 1)
		d->n_layers++;
	d->layer[d->n_layers] = d->count;
}

uint32_t pa_dominators_layer(const struct pa_dominators *d, uint32_t number)
{
	uint32_t layer = 0;

	while (layer + 1 < d->n_layers &&
	       number >= d->layer[layer + 1])
		layer++;
	return layer;
}
