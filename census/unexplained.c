/* SPDX-License-Identifier: MIT
 *
 * Objects that no module, frame or static word reaches; see roots.h.
 *
 * As the collector does: an object whose reference count is larger than
 * the number of references found to it is held by somebody who is not seen,
 * so by C code.  What is left when all that is taken away is garbage.
 */
#include <stdlib.h>

#include "census/roots.h"

#define STACK_MOST ((uint64_t)64 << 20)
#define IMMORTAL (1u << 29)

struct unexplained {
	struct pa_roots *roots;
	uint64_t *owned;	/* bits: blocks that some object leads to */
	uint64_t *on_stack;	/* bits: nodes that a stack points at */
	uint32_t *count;	/* references found, by node */
};

static bool is_left(const struct unexplained *u, uint32_t node)
{
	return u->roots->references->nodes.node[node] & PA_NODE_LIVE &&
		!pa_is_reached(&u->roots->dominators, node);
}

static bool is_typed(const struct unexplained *u, uint32_t node)
{
	return u->roots->references->nodes.node[node] & PA_NODE_TYPED;
}

/* Blocks that one object leads to through blocks only. */
static bool mark_owned(struct unexplained *u, uint32_t start, uint32_t **stack,
		       size_t *room)
{
	const struct pa_graph *graph = &u->roots->references->graph;
	size_t n = 0;

	for (uint32_t node = start;; node = (*stack)[--n]) {
		for (uint32_t e = graph->first[node];
		     e < graph->first[node + 1]; e++) {
			uint32_t to = graph->to[e] & ~PA_LEAF;

			if (is_typed(u, to) || !is_left(u, to) ||
			    pa_bit(u->owned, to))
				continue;
			pa_set_bit(u->owned, to);
			if (n == *room) {
				size_t more = *room * 2 + 1024;
				uint32_t *bigger = reallocarray(*stack, more,
							sizeof *bigger);

				if (!bigger)
					return false;
				*stack = bigger;
				*room = more;
			}
			(*stack)[n++] = to;
		}
		if (!n)
			return true;
	}
}

static int mark_all_owned(struct unexplained *u)
{
	uint32_t n = u->roots->references->graph.n, *stack = NULL;
	size_t room = 0;
	bool fine = true;

	for (uint32_t i = 0; i < n && fine; i++)
		if (is_typed(u, i) && is_left(u, i))
			fine = mark_owned(u, i, &stack, &room);
	free(stack);
	return fine ? 0 : -1;
}

static void count_references(struct unexplained *u)
{
	const struct pa_references *r = u->roots->references;
	const struct pa_graph *graph = &r->graph;

	for (uint32_t i = 0; i < graph->n; i++) {
		uint32_t of_type;

		if (!is_left(u, i) || (!is_typed(u, i) &&
				       !pa_bit(u->owned, i)))
			continue;
		for (uint32_t e = graph->first[i]; e < graph->first[i + 1];
		     e++)
			u->count[graph->to[e] & ~PA_LEAF]++;
		if (!is_typed(u, i))
			continue;
		of_type = pa_references_to(r, r->types->type[r->nodes.node[i] &
					   PA_NODE_TYPE].address);
		if (of_type != PA_NO_NODE)
			u->count[of_type]++;
	}
}

static void mark_stack(struct pa_roots *roots, void *context,
		       uint64_t address, const uint8_t *page)
{
	const struct unexplained *u = context;

	(void)address;
	for (size_t i = 0; i < PA_CENSUS_PAGE; i += 8) {
		uint32_t to = pa_references_to(roots->references,
					       pa_word(page + i));

		if (to != PA_NO_NODE)
			pa_set_bit(u->on_stack, to);
	}
}

static void mark_stacks(struct unexplained *u)
{
	const struct pa_census_source *source =
		u->roots->references->window->source;

	for (size_t i = 0; i < source->n_ranges; i++)
		if (source->ranges[i].kind == PA_RANGE_STACK &&
		    source->ranges[i].end - source->ranges[i].start <=
		    STACK_MOST)
			pa_roots_pages(u->roots, source->ranges[i].start,
				       source->ranges[i].end, mark_stack, u);
}

/* Has somebody a reference that was not found? */
static bool is_held(const struct unexplained *u, uint32_t node)
{
	struct pa_references *r = u->roots->references;
	uint64_t size, address = pa_nodes_address(&r->nodes, node, &size);
	uint8_t word[8];
	uint32_t references;

	address += pa_object_offset(r->types, r->nodes.node[node]);
	if (!pa_window_peek(r->window, address, word, sizeof word))
		return false;
	references = pa_half(word);
	return references > u->count[node] || references >= IMMORTAL;
}

static void add_held(const struct unexplained *u, enum pa_layer layer)
{
	for (uint32_t i = 0; i < u->roots->references->graph.n; i++)
		if (is_typed(u, i) && is_left(u, i) &&
		    (layer == PA_LAYER_NATIVE || pa_bit(u->on_stack, i)) &&
		    is_held(u, i))
			pa_roots_add(u->roots, layer, i, 0);
}

/* The rest: what the collector would find, then blocks. */
static int search_left(const struct unexplained *u, bool typed,
		       bool collected)
{
	const struct pa_references *r = u->roots->references;

	for (uint32_t i = 0; i < r->graph.n; i++) {
		uint32_t what = r->nodes.node[i];

		if (!is_left(u, i) || is_typed(u, i) != typed ||
		    (collected && !(r->types->type[what & PA_NODE_TYPE].flags &
				    PA_TPFLAGS_GC)))
			continue;
		if (pa_dominators_start(&u->roots->dominators, i |
					(what & PA_NODE_LEAF ? PA_LEAF : 0)))
			return -1;
	}
	return 0;
}

static int search_rest(struct unexplained *u)
{
	if (mark_all_owned(u))
		return -1;
	count_references(u);
	mark_stacks(u);
	add_held(u, PA_LAYER_STACKS);
	if (pa_roots_search(u->roots, PA_LAYER_STACKS))
		return -1;
	add_held(u, PA_LAYER_NATIVE);
	if (pa_roots_search(u->roots, PA_LAYER_NATIVE) ||
	    search_left(u, true, true) || search_left(u, true, false))
		return -1;
	pa_dominators_end_layer(&u->roots->dominators);
	if (search_left(u, false, false))
		return -1;
	pa_dominators_end_layer(&u->roots->dominators);
	return 0;
}

int pa_roots_find_unexplained(struct pa_roots *roots)
{
	size_t n = roots->references->graph.n, words = n / 64 + 1;
	struct unexplained u = {
		.roots = roots, .owned = calloc(words, 8),
		.on_stack = calloc(words, 8),
		.count = calloc(n + 1, sizeof *u.count),
	};
	int err = u.owned && u.on_stack && u.count ? search_rest(&u) : -1;

	free(u.owned);
	free(u.on_stack);
	free(u.count);
	return err;
}
