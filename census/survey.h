/* SPDX-License-Identifier: MIT
 *
 * One census while it is taken; between census.c, memory.c, visits.c and
 * rows.c.  Not for anybody else.
 */
#ifndef PA_CENSUS_SURVEY_H
#define PA_CENSUS_SURVEY_H

#include "census/answer.h"
#include "census/claims.h"
#include "census/dull.h"
#include "census/owners.h"

/* Neighbouring pools with the same number of an arena. */
struct pa_arena {
	uint64_t first, last, live;
	uint32_t number;
};

/* Blocks that are no instance of a type. */
struct pa_special {
	uint64_t blocks, bytes;
};

struct pa_survey {
	const struct pa_census_source *source;
	struct pa_census *census;
	struct pa_window window;
	struct pa_types types;
	struct pa_buffers buffers;
	struct pa_claims claims;
	struct pa_owners owners;
	struct pa_dull dull;
	struct pa_arena arena;
	struct pa_special kept, native, shared;
	/* who holds it, where that was asked */
	const struct pa_holders_ask *ask;
	struct pa_references references;
	struct pa_roots roots;
};

/* What a block takes of the memory that is there. */
uint64_t pa_survey_taken(const struct pa_survey *s, uint64_t address,
			 uint64_t size);

/* memory.c: where the memory goes.  Pools and chunks of the first pass, then
 * the rest of it. */
void pa_survey_pool(struct pa_survey *s, const struct pa_pool *pool);
void pa_survey_chunk(struct pa_survey *s, uint64_t address, uint64_t size,
		     bool live);
void pa_survey_add_up(struct pa_survey *s);

/* visits.c: what is done with a block.  The context is a survey. */
void pa_survey_count(void *context, const struct pa_block *block);
void pa_survey_draw(void *context, const struct pa_block *block);
void pa_survey_scan(void *context, const struct pa_block *block);

/* rows.c: buffers are counted once all have their owners, and freed. */
void pa_survey_count_buffers(struct pa_survey *s);
/* Takes the names of the types away.  0 or PA_E_FAILED. */
int pa_survey_make_rows(struct pa_survey *s);

#endif /* PA_CENSUS_SURVEY_H */
