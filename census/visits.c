/* SPDX-License-Identifier: MIT
 *
 * What each pass does with a block; see survey.h.
 */
#include "census/survey.h"

/* From this size on some of a block's pages may never have been touched. */
#define WORTH_ASKING ((uint64_t)64 << 10)

uint64_t pa_survey_taken(const struct pa_survey *s, uint64_t address,
			 uint64_t size)
{
	return size < WORTH_ASKING ? size :
		pa_census_resident(s->source, address, address + size);
}

/* ---- first pass ---- */

/* Which pools the second pass has to see: those with objects that are
 * scanned for buffers and, where the graph is drawn, all that is no leaf. */
static void note_want(struct pa_survey *s, const struct pa_block *block,
		      uint32_t type, unsigned offset, uint64_t references)
{
	if (type && (!references ||
		     pa_is_leaf_object(&s->types.type[type],
				       block->head + offset,
				       block->head_size - offset)))
		return;
	if (s->ask)
		pa_dull_want(&s->dull);
	else if (type && pa_owners_want(&s->types, type))
		pa_dull_want_for(&s->dull, type);
}

static void count_object(struct pa_survey *s, const struct pa_block *block,
			 uint32_t index, unsigned offset, uint64_t bytes)
{
	struct pa_type *type = &s->types.type[index];

	type->objects++;
	type->bytes += bytes;
	s->census->objects++;
	s->census->small_chunks += !block->small && block->size <= 512;
	pa_claims_note(&s->claims, &s->types, index, block->head,
		       block->head_size, offset);
}

void pa_survey_count(void *context, const struct pa_block *block)
{
	struct pa_survey *s = context;
	uint64_t references = 0, bytes = block->charge;
	unsigned offset = 0;
	uint32_t index = pa_types_object(&s->types, block->head,
					 block->head_size, block->size,
					 &offset, &references);
	bool debug = pa_is_debug_block(block->head, block->head_size);

	note_want(s, block, index, offset, references);
	if (s->ask)
		pa_references_note(&s->references, block, index, offset,
				   references);
	/* a chunk's header is in front of it */
	if (!block->small)
		bytes = pa_survey_taken(s, block->address - PA_CHUNK_HEAD,
					bytes);
	s->census->debug_blocks += debug;
	if (!index) {
		pa_buffers_add(&s->buffers, block->address + (debug ? 16 : 0),
			       bytes);
	} else if (!references) {
		s->kept.blocks++;
		s->kept.bytes += bytes;
	} else {
		count_object(s, block, index, offset, bytes);
	}
}

/* ---- second pass ---- */

void pa_survey_scan(void *context, const struct pa_block *block)
{
	struct pa_survey *s = context;
	uint64_t references;
	unsigned offset = 0;
	uint32_t type = pa_types_object(&s->types, block->head,
					block->head_size, block->size,
					&offset, &references);

	if (type && references)
		pa_owners_scan(&s->owners, block, type, offset);
}

/* For the graph as well; that may move the window. */
void pa_survey_draw(void *context, const struct pa_block *block)
{
	struct pa_survey *s = context;
	uint32_t what = pa_references_draw(&s->references, block);
	struct pa_block again = *block;

	if (!(what & PA_NODE_TYPED) ||
	    !pa_owners_want(&s->types, what & PA_NODE_TYPE))
		return;
	if (!block->small)
		again.head = pa_window_at(&s->window, block->address,
					  block->head_size);
	pa_owners_scan(&s->owners, &again, what & PA_NODE_TYPE,
		       pa_object_offset(&s->types, what));
}
