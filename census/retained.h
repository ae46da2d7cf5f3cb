/* SPDX-License-Identifier: MIT
 *
 * What each node of the dominator tree retains, and its children.
 */
#ifndef PA_CENSUS_RETAINED_H
#define PA_CENSUS_RETAINED_H

#include "census/roots.h"

struct pa_retained {
	struct pa_roots *roots;
	/* by number: own and all below, of 16 bytes; hardly any has `more` */
	uint32_t *units;
	uint8_t *more;
	uint32_t *objects;	/* the same, stops at UINT32_MAX */
	uint32_t *first;	/* by number: where its children begin */
	uint32_t *child;	/* nodes */
};

/* Takes what dominators were found as, but for the numbers.  0, or -1 without
 * memory. */
int pa_retained_init(struct pa_retained *retained, struct pa_roots *roots);
void pa_retained_deinit(struct pa_retained *retained);

/* What one node takes of the memory that is there, without others. */
uint64_t pa_retained_own(const struct pa_retained *retained, uint32_t node);
/* By number. */
uint64_t pa_retained_sum(const struct pa_retained *retained, uint32_t number);
/* Does a node that is reached hang on the roots alone? */
bool pa_retained_is_top(const struct pa_retained *retained, uint32_t node);
/* What a node retains, a leaf too. */
uint64_t pa_retained_bytes(const struct pa_retained *retained, uint32_t node,
			   uint64_t *objects);

#endif /* PA_CENSUS_RETAINED_H */
