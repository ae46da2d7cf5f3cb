/* SPDX-License-Identifier: MIT
 *
 * The second pass: who points at each buffer.
 */
#ifndef PA_CENSUS_OWNERS_H
#define PA_CENSUS_OWNERS_H

#include "census/buffers.h"
#include "census/types.h"
#include "census/walk.h"

struct pa_owners {
	struct pa_window *window;
	struct pa_types *types;
	struct pa_buffers *buffers;	/* closed */
	uint32_t next;			/* buffer: the walk is in their order */
	uint32_t *later;		/* buffers whose owner comes behind */
	uint32_t n_later, room_later;
};

/* A visitor of pa_walk: context is a struct pa_owners. */
void pa_owners_visit(void *context, const struct pa_block *block);

/* After the walk: what nobody claimed may belong to another buffer. */
void pa_owners_finish(struct pa_owners *owners);

#endif /* PA_CENSUS_OWNERS_H */
