/* SPDX-License-Identifier: MIT
 *
 * Pools that the second pass has no use for: nothing in them points at a
 * buffer, or all that does is of one type whose instances turned out to have
 * none.
 */
#ifndef PA_CENSUS_DULL_H
#define PA_CENSUS_DULL_H

#include "census/types.h"
#include "census/walk.h"

struct pa_dull {
	uint64_t *pool;		/* by address, see dull.c */
	size_t n, room;
	size_t next;		/* of the second pass */
	/* the pool that is looked at */
	uint64_t address;	/* 0 = none */
	uint32_t bytes;
	uint32_t type;		/* that may point at buffers; 0 = none */
	bool wanted;		/* several do */
};

void pa_dull_deinit(struct pa_dull *dull);

/* First pass, in the order of addresses: a pool, what is in it, its end. */
void pa_dull_begin(struct pa_dull *dull, const struct pa_pool *pool);
void pa_dull_end(struct pa_dull *dull);

/* This pool has to be seen again... */
static inline void pa_dull_want(struct pa_dull *dull)
{
	dull->wanted = true;
}

/* ... unless this type, where it is the only one, owns nothing. */
static inline void pa_dull_want_for(struct pa_dull *dull, uint32_t type)
{
	if (!dull->type)
		dull->type = type;
	else if (dull->type != type)
		dull->wanted = true;
}

/* Second pass, in the same order: the size of a dull pool at an address, or
 * 0. */
uint64_t pa_dull_at(struct pa_dull *dull, const struct pa_types *types,
		    uint64_t address);

#endif /* PA_CENSUS_DULL_H */
