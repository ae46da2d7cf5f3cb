/* SPDX-License-Identifier: MIT
 *
 * Owners of buffers; see owners.h.  Known layouts first; what is left goes
 * to whoever has its address in a word.
 */
#include "census/owners.h"

#include <stdlib.h>

/* So many instances without a buffer: none has one. */
#define ENOUGH 4096u
#define SLICE ((uint64_t)64 << 10)

/* What is scanned. */
struct subject {
	struct pa_owners *owners;
	const struct pa_block *block;
	uint32_t type;		/* 0 = the block is a buffer */
	int64_t buffer;
};

static void scan_words(const struct subject *s, const uint8_t *bytes, size_t n)
{
	struct pa_buffers *buffers = s->owners->buffers;

	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t word = pa_word(bytes + i);
		int64_t to;

		if (pa_buffers_none(buffers, word))
			continue;
		to = pa_buffers_at(buffers, word);
		if (to < 0)
			continue;
		if (s->type) {
			s->owners->types->type[s->type].owns = true;
			pa_buffers_claim(buffers, to, s->type, PA_CLAIM_SCAN);
		} else {
			pa_buffers_link(buffers, s->buffer, to);
		}
	}
}

/* Words from .. to of the block, slice by slice. */
static void scan(const struct subject *s, uint64_t from, uint64_t to)
{
	const struct pa_census_source *source = s->owners->window->source;
	const struct pa_block *block = s->block;

	to = to < block->size ? to : block->size;
	from = from < to ? from : to;
	if (to <= block->head_size) {
		scan_words(s, block->head + from, (size_t)(to - from));
		return;
	}
	while (from < to) {
		uint64_t address = block->address + from;
		size_t run = pa_census_find_run(source, address), k;

		/* over what is not there */
		if (run == source->n_runs ||
		    source->runs[run].start >= block->address + to)
			return;
		if (source->runs[run].start > address)
			from = source->runs[run].start - block->address;
		k = to - from < SLICE ? (size_t)(to - from) : (size_t)SLICE;
		scan_words(s, pa_window_at(s->owners->window,
					   block->address + from, k), k);
		from += k;
	}
}

/* Of a deque's block only the links to its neighbours: its slots may be left
 * over from what was there before, as those of a list. */
static void scan_deque(const struct subject *s)
{
	scan(s, 0, 8);
	scan(s, PA_DEQUE_NEXT, PA_DEQUE_NEXT + 8);
}

/* Most buffers are claimed by the end: only the others are scanned, and blocks
 * of a deque, which lead to one another. */
void pa_owners_finish(struct pa_owners *owners)
{
	for (uint32_t i = 0; i < owners->buffers->count; i++) {
		const struct pa_buffer *buffer = &owners->buffers->buffer[i];
		struct pa_block block = {
			.address = pa_buffer_address(buffer),
			.size = pa_buffer_size(buffer),
		};
		const struct subject s = {
			.owners = owners, .block = &block, .buffer = i,
		};

		if (pa_buffer_claim(buffer) < PA_CLAIM_LAYOUT)
			scan(&s, 0, UINT64_MAX);
		else if (owners->types->type[pa_buffer_owner(buffer)].shape ==
			 PA_SHAPE_DEQUE)
			scan_deque(&s);
	}
}

bool pa_owners_want(const struct pa_types *types, uint32_t type)
{
	return !types->type[type].exact ||
		types->type[type].shape == PA_SHAPE_TYPE;
}

bool pa_owners_are_done(const struct pa_types *types, uint32_t type)
{
	return !types->type[type].owns && types->type[type].scanned >= ENOUGH;
}

void pa_owners_scan(struct pa_owners *owners, const struct pa_block *block,
		    uint32_t index, unsigned offset)
{
	struct pa_type *type = &owners->types->type[index];
	struct subject s = {
		.owners = owners, .block = block, .type = index,
	};
	uint64_t end;

	if (!pa_owners_want(owners->types, index) ||
	    pa_is_leaf_object(type, block->head + offset,
			      block->head_size - offset))
		return;
	if (!type->owns && type->scanned++ >= ENOUGH)
		return;
	/* only the head of a str can point at something */
	end = type->flags & PA_TPFLAGS_STR ? offset + type->basicsize :
		pa_object_end(owners->types, type, block->head,
			      block->head_size, block->size, offset);
	scan(&s, offset + PA_OB_BODY, end);
}
