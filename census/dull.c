/* SPDX-License-Identifier: MIT
 *
 * Pools without interest; see dull.h.  A word each: the number of its first
 * page, a type, and whether it is a large one.
 */
#include "census/dull.h"

#include <stdlib.h>

#include "census/owners.h"

#define TYPE_BITS 20u
#define PAGE_SHIFT (TYPE_BITS + 1)
#define LARGE 1u

void pa_dull_deinit(struct pa_dull *dull)
{
	free(dull->pool);
	memset(dull, 0, sizeof *dull);
}

void pa_dull_begin(struct pa_dull *dull, const struct pa_pool *pool)
{
	pa_dull_end(dull);
	dull->address = pool->address;
	dull->bytes = pool->bytes;
	dull->type = 0;
	dull->wanted = false;
}

void pa_dull_end(struct pa_dull *dull)
{
	if (!dull->address || dull->wanted) {
		dull->address = 0;
		return;
	}
	if (dull->n == dull->room) {
		size_t room = dull->room * 2 + 1024;
		uint64_t *more = reallocarray(dull->pool, room, sizeof *more);

		/* Then it is seen again. */
		if (!more)
			return;
		dull->pool = more;
		dull->room = room;
	}
	dull->pool[dull->n++] =
		dull->address / PA_CENSUS_PAGE << PAGE_SHIFT |
		(uint64_t)dull->type << 1 |
		(dull->bytes == PA_POOL_MAX ? LARGE : 0);
	dull->address = 0;
}

uint64_t pa_dull_at(struct pa_dull *dull, const struct pa_types *types,
		    uint64_t address)
{
	uint64_t page = address / PA_CENSUS_PAGE, pool;
	uint32_t type;

	while (dull->next < dull->n &&
	       dull->pool[dull->next] >> PAGE_SHIFT < page)
		dull->next++;
	if (dull->next == dull->n || dull->pool[dull->next] >> PAGE_SHIFT !=
	    page)
		return 0;
	pool = dull->pool[dull->next];
	type = pool >> 1 & ((1u << TYPE_BITS) - 1);
	if (type && !pa_owners_are_done(types, type))
		return 0;
	return pool & LARGE ? PA_POOL_MAX : PA_CENSUS_PAGE;
}
