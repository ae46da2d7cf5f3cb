/* SPDX-License-Identifier: MIT
 *
 * Between search.c and dominators.c.
 */
#ifndef PA_CENSUS_DOMINATORS_PARTS_H
#define PA_CENSUS_DOMINATORS_PARTS_H

#include "census/dominators.h"

/* Each: false without memory.  Room for one more number. */
bool pa_dominators_grow(struct pa_dominators *d);
bool pa_dominators_grow_one(uint32_t **array, uint32_t room);

#endif /* PA_CENSUS_DOMINATORS_PARTS_H */
