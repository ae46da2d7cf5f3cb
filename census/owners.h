/* SPDX-License-Identifier: MIT
 *
 * The second pass: who points at each buffer, where no layout tells.
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
};

/* Have instances of a type to be scanned at all? */
bool pa_owners_want(const struct pa_types *types, uint32_t type);
/* Were there so many without a buffer that none has one? */
bool pa_owners_are_done(const struct pa_types *types, uint32_t type);

/* An object in a block, `offset` behind its start.  May move the window. */
void pa_owners_scan(struct pa_owners *owners, const struct pa_block *block,
		    uint32_t type, unsigned offset);

/* After the walk: what nobody claimed may belong to another buffer. */
void pa_owners_finish(struct pa_owners *owners);

#endif /* PA_CENSUS_OWNERS_H */
