/* SPDX-License-Identifier: MIT
 *
 * Dominators of a graph that has its roots in layers.
 *
 * Knows nothing of memory or Python.  A node belongs to the first layer that
 * reaches it, and edges from later layers to it do not count.  Nodes that are
 * known to have no edges of their own (leaves) are cheap: they are in the
 * millions.  Semi-NCA with jump pointers: n log n at worst, whatever the
 * shape, and no recursion.
 */
#ifndef PA_CENSUS_DOMINATORS_H
#define PA_CENSUS_DOMINATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_LEAF 0x80000000u	/* in an edge: its target is a leaf */
#define PA_NO_NODE 0x7fffffffu
#define PA_LAYERS 12u

struct pa_graph {
	uint32_t n;		/* nodes, less than PA_NO_NODE */
	uint32_t *first;	/* n + 1: where the edges of a node begin */
	uint32_t *to;		/* nodes, with PA_LEAF */
};

/* Nodes that are reached and no leaves are numbered from 1 in the order of
 * the search; 0 is what all roots hang on. */
struct pa_dominators {
	const struct pa_graph *graph;
	uint32_t count;		/* numbers in use, 0 too */
	uint32_t *number;	/* by node: 0 = not reached or a leaf; once
				 * finished a leaf's dominator */
	uint32_t *idom;		/* by number, once finished */
	uint64_t *leaves;	/* bits by node: reached leaves */
	uint32_t layer[PA_LAYERS + 1];	/* first number of each, and the end */
	uint32_t n_layers;

	/* while they are made */
	uint32_t room;
	uint32_t *node;		/* by number, of the search */
	uint32_t *parent, *semi, *label;	/* by number */
	uint32_t *way, room_way;
	uint64_t *roots;	/* bits by node */
	uint64_t *merged;	/* bits by node: several edges lead to it */
};

/* Each: 0, or -1 without memory. */
int pa_dominators_init(struct pa_dominators *d, const struct pa_graph *graph);
/* Search from the roots of one more layer; each may be a leaf (PA_LEAF). */
int pa_dominators_reach(struct pa_dominators *d, const uint32_t *roots,
			size_t n);
/* The same one by one: what an earlier root reaches is no root. */
int pa_dominators_start(struct pa_dominators *d, uint32_t root);
void pa_dominators_end_layer(struct pa_dominators *d);
/* The layer of a number. */
uint32_t pa_dominators_layer(const struct pa_dominators *d, uint32_t number);
int pa_dominators_finish(struct pa_dominators *d);
/* The end where no dominators are asked for: only what was reached. */
void pa_dominators_end_search(struct pa_dominators *d);
/* Free the dominators; numbers and leaves stay. */
void pa_dominators_forget(struct pa_dominators *d);
void pa_dominators_deinit(struct pa_dominators *d);

static inline bool pa_bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static inline void pa_set_bit(uint64_t *bits, uint32_t i)
{
	bits[i / 64] |= 1ull << i % 64;
}

static inline bool pa_is_reached(const struct pa_dominators *d, uint32_t node)
{
	return d->number[node] || pa_bit(d->leaves, node);
}

/* Is a finished node a leaf?  Then number[] is its dominator's. */
static inline bool pa_is_leaf(const struct pa_dominators *d, uint32_t node)
{
	return pa_bit(d->leaves, node);
}

#endif /* PA_CENSUS_DOMINATORS_H */
