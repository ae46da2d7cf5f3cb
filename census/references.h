/* SPDX-License-Identifier: MIT
 *
 * The conservative reference graph: each aligned word of a block that points
 * at an object, or into a block without one, is an edge.
 *
 * Noted in the first walk over all blocks, drawn in the second.  Left out:
 * the type of an object, the collector's links, what weak references point
 * at, and words that are not in use.
 */
#ifndef PA_CENSUS_REFERENCES_H
#define PA_CENSUS_REFERENCES_H

#include "census/nodes.h"

/* A word outside of all blocks that points at one. */
struct pa_root {
	uint32_t node;
	uint32_t from;		/* what the caller said */
};

struct pa_references {
	struct pa_window *window;
	struct pa_types *types;
	struct pa_nodes nodes;
	struct pa_graph graph;
	uint32_t n_edges, room_edges;
	uint32_t done;		/* nodes that have their edges */
	uint32_t extent;	/* of the block that was drawn last */
	uint64_t tag_mask;	/* bits of a word that are no address */
	bool full;		/* too many, or no memory: some left out */
};

/* 0, or -1 without memory. */
int pa_references_init(struct pa_references *r, struct pa_window *window,
		       struct pa_types *types);
void pa_references_deinit(struct pa_references *r);

/* First walk: a block, and what pa_types_object said of it. */
void pa_references_note(struct pa_references *r, const struct pa_block *block,
			uint32_t type, unsigned offset, uint64_t references);
/* Second walk, once the nodes are closed.  May move the window.  Returns what
 * is known of the block's node, 0 if it has none. */
uint32_t pa_references_draw(struct pa_references *r, const struct pa_block *block);
/* After it: 0, or -1 without memory. */
int pa_references_close(struct pa_references *r);

/* Free the edges once dominators are found; how many there are stays. */
void pa_references_forget(struct pa_references *r);

/* The node that a word refers to, or PA_NO_NODE. */
uint32_t pa_references_to(const struct pa_references *r, uint64_t word);

#endif /* PA_CENSUS_REFERENCES_H */
