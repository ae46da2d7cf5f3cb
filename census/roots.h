/* SPDX-License-Identifier: MIT
 *
 * Where the search for holders begins, and what each root is called.
 *
 * Roots come in layers, in the order of the enum: what an earlier one
 * reaches, a later one does not hold.  Of an object that no layer up to
 * the stacks reaches, the reference count decides: if the references that
 * were found explain it, it is garbage, else C code has it.
 */
#ifndef PA_CENSUS_ROOTS_H
#define PA_CENSUS_ROOTS_H

#include "census/references.h"
#include "census/texts.h"

enum pa_layer {
	PA_LAYER_MODULES,	/* entries of sys.modules, and their dicts */
	PA_LAYER_FRAMES,	/* local variables of running functions */
	PA_LAYER_CLASSES,	/* types of what is reached by now */
	PA_LAYER_STATIC,	/* static data of programs and libraries */
	PA_LAYER_STACKS,	/* counted references, seen on a stack */
	PA_LAYER_NATIVE,	/* counted references, seen nowhere */
	PA_LAYER_GARBAGE,
	PA_LAYER_BLOCKS,	/* blocks that only C code can know */
	PA_LAYER_COUNT,
};

/* Anonymous memory that holds neither pools nor chunks. */
struct pa_span {
	uint64_t start, end;
};

struct pa_named_root {
	uint32_t node;		/* with PA_LEAF */
	uint32_t name;		/* in texts; 0 = none */
	uint8_t layer;
};

struct pa_roots {
	struct pa_references *references;
	struct pa_dominators dominators;
	struct pa_texts texts;
	struct pa_named_root *root;	/* by node once found */
	size_t n, room;
	struct pa_span *span;	/* by address */
	size_t n_spans, room_spans;
	uint32_t *batch;	/* of the layer that is being made */
	size_t room_batch;
	bool no_memory;
};

/* 0, or -1 without memory. */
int pa_roots_init(struct pa_roots *roots, struct pa_references *references);
void pa_roots_deinit(struct pa_roots *roots);

/* While blocks are walked: no block lies here.  In the order of addresses. */
void pa_roots_gap(struct pa_roots *roots, uint64_t start, uint64_t end);

/* Find all roots and, where they are asked for, dominators; types have names
 * by now. */
int pa_roots_find(struct pa_roots *roots, bool dominators);

/* The record of a root, or NULL: it hangs on several, or is only C's. */
const struct pa_named_root *pa_roots_of(const struct pa_roots *roots,
					uint32_t node);

/* ---- for the files that find them ---- */

void pa_roots_add(struct pa_roots *roots, enum pa_layer layer, uint32_t node,
		  uint32_t name);
/* Search from all roots of a layer.  0, or -1 without memory. */
int pa_roots_search(struct pa_roots *roots, enum pa_layer layer);

/* Words of memory outside of blocks: each page that is there. */
typedef void pa_page_fn(struct pa_roots *roots, void *context,
			uint64_t address, const uint8_t *page);
void pa_roots_pages(struct pa_roots *roots, uint64_t start, uint64_t end,
		    pa_page_fn *fn, void *context);

/* frames.c */
void pa_roots_find_frames(struct pa_roots *roots);
/* unexplained.c: the layers from the stacks on.  0 or -1. */
int pa_roots_find_unexplained(struct pa_roots *roots);

#endif /* PA_CENSUS_ROOTS_H */
