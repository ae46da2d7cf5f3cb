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

/* What the visitor knows of one block. */
struct subject {
	struct pa_owners *owners;
	const struct pa_block *block;
	const uint8_t *object;	/* in block->head */
	size_t room;		/* bytes from there on */
	uint32_t type;		/* 0 = the block is a buffer */
	int64_t buffer;
};

static void claim_at(const struct subject *s, uint64_t address,
		     enum pa_claim claim)
{
	pa_buffers_claim(s->owners->buffers,
			 pa_buffers_at(s->owners->buffers, address), s->type,
			 claim);
}

/* The buffer whose address is a word of the object. */
static void claim_field(const struct subject *s, size_t at)
{
	if (at + 8 <= s->room)
		claim_at(s, pa_word(s->object + at), PA_CLAIM_LAYOUT);
}

/* The same for an address inside of it. */
static void claim_inside(const struct subject *s, uint64_t address)
{
	if (address)
		pa_buffers_claim(s->owners->buffers,
				 pa_buffers_around(s->owners->buffers,
						   address),
				 s->type, PA_CLAIM_LAYOUT);
}

/* Attribute values that lie outside of the instance. */
static void claim_values(const struct subject *s, const struct pa_type *type)
{
	const struct pa_layout *layout = s->owners->types->layout;
	uint64_t word;

	if (!layout->values_back || !(type->flags & PA_TPFLAGS_PRE_HEAD))
		return;
	if (s->object - s->block->head < layout->values_back)
		return;
	word = pa_word(s->object - layout->values_back);
	if (!layout->values_tagged)
		claim_inside(s, word);
	else if (word & 1)
		claim_inside(s, word + 1);
}

/* Keys that the instances of a class share. */
static void claim_keys(const struct subject *s)
{
	size_t at = s->owners->types->layout->cached_keys;

	if (at + 8 <= s->room &&
	    pa_word(s->object + PA_TP_FLAGS) & PA_TPFLAGS_HEAP)
		claim_at(s, pa_word(s->object + at), PA_CLAIM_TYPE);
}

static void claim_known(const struct subject *s, const struct pa_type *type)
{
	switch (type->shape) {
	case PA_SHAPE_LIST:
		claim_field(s, PA_LIST_ITEMS);
		break;
	case PA_SHAPE_DICT:
		claim_field(s, PA_DICT_KEYS);
		if (PA_DICT_VALUES + 8 <= s->room)
			claim_inside(s, pa_word(s->object + PA_DICT_VALUES));
		break;
	case PA_SHAPE_SET:
		claim_field(s, PA_SET_TABLE);
		break;
	case PA_SHAPE_DEQUE:
		claim_field(s, PA_DEQUE_LEFT);
		claim_field(s, PA_DEQUE_RIGHT);
		break;
	case PA_SHAPE_BYTEARRAY:
		claim_field(s, PA_BYTEARRAY_BYTES);
		break;
	case PA_SHAPE_ARRAY:
		claim_field(s, PA_ARRAY_ITEMS);
		break;
	case PA_SHAPE_NDARRAY:
		claim_field(s, PA_NDARRAY_DATA);
		break;
	case PA_SHAPE_TYPE:
		claim_keys(s);
		break;
	case PA_SHAPE_SCAN: case PA_SHAPE_LEAF:
		break;
	}
	claim_values(s, type);
}

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

/* `most` bytes of the block, slice by slice. */
static void scan(const struct subject *s, uint64_t most)
{
	const struct pa_block *block = s->block;
	uint64_t n = block->size < most ? block->size : most;

	if (n <= block->head_size) {
		scan_words(s, block->head, (size_t)n);
		return;
	}
	for (uint64_t at = 0; at < n; ) {
		const struct pa_census_source *source =
			s->owners->window->source;
		uint64_t address = block->address + at;
		size_t run = pa_census_find_run(source, address), k;

		/* over what is not there */
		if (run == source->n_runs ||
		    source->runs[run].start >= block->address + n)
			return;
		if (source->runs[run].start > address)
			at = source->runs[run].start - block->address;
		k = n - at < SLICE ? (size_t)(n - at) : (size_t)SLICE;
		scan_words(s, pa_window_at(s->owners->window,
					   block->address + at, k), k);
		at += k;
	}
}

/* The buffer of a block: they come in the same order. */
static int64_t buffer_of(struct pa_owners *owners, uint64_t address)
{
	const struct pa_buffers *buffers = owners->buffers;

	while (owners->next < buffers->count &&
	       buffers->buffer[owners->next].address < address)
		owners->next++;
	return owners->next < buffers->count &&
		buffers->buffer[owners->next].address == address ?
		(int64_t)owners->next : -1;
}

/* Most buffers are claimed by the end: only the others are scanned, and blocks
 * of a deque, which lead to one another. */
static void scan_later(struct pa_owners *owners, int64_t buffer)
{
	if (buffer < 0)
		return;
	if (owners->n_later == owners->room_later) {
		uint32_t room = owners->room_later * 2 + 1024;
		uint32_t *more = reallocarray(owners->later, room,
					      sizeof *more);

		/* Then some stay without an owner, and are shown so. */
		if (!more)
			return;
		owners->later = more;
		owners->room_later = room;
	}
	owners->later[owners->n_later++] = (uint32_t)buffer;
}

void pa_owners_finish(struct pa_owners *owners)
{
	for (uint32_t i = 0; i < owners->n_later; i++) {
		const struct pa_buffer *buffer =
			&owners->buffers->buffer[owners->later[i]];
		struct pa_block block = {
			.address = buffer->address, .size = buffer->size,
		};
		const struct subject s = {
			.owners = owners, .block = &block,
			.buffer = owners->later[i],
		};

		if (buffer->claim < PA_CLAIM_LAYOUT || owners->types->type[
		    buffer->owner].shape == PA_SHAPE_DEQUE)
			scan(&s, UINT64_MAX);
	}
	free(owners->later);
	owners->later = NULL;
	owners->n_later = owners->room_later = 0;
}

void pa_owners_visit(void *context, const struct pa_block *block)
{
	struct pa_owners *owners = context;
	struct subject s = { .owners = owners, .block = block };
	struct pa_type *type;
	uint64_t references;
	unsigned offset = 0;

	s.type = pa_types_object(owners->types, block->head, block->head_size,
				 block->size, &offset, &references);
	if (s.type && !references)
		return;
	if (!s.type) {
		unsigned skip = pa_is_debug_block(block->head,
						  block->head_size) ? 16 : 0;

		scan_later(owners, buffer_of(owners, block->address + skip));
		return;
	}
	type = &owners->types->type[s.type];
	s.object = block->head + offset;
	s.room = block->head_size - offset;
	claim_known(&s, type);
	if ((type->exact && type->shape != PA_SHAPE_TYPE) ||
	    pa_is_leaf_object(type, s.object, s.room))
		return;
	if (!type->owns && type->scanned++ >= ENOUGH)
		return;
	/* only the head of a str can point at something */
	scan(&s, type->flags & PA_TPFLAGS_STR ? offset + type->basicsize :
	     UINT64_MAX);
}
