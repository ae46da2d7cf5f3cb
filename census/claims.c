/* SPDX-License-Identifier: MIT
 *
 * Claims of objects on buffers; see claims.h.
 */
#include "census/claims.h"

#include <stdlib.h>
#include <string.h>

#define TYPE_BITS 20u
#define TYPE_MASK ((1ull << TYPE_BITS) - 1)
#define CLAIMS_MOST ((size_t)1 << 36)

/* An object that is looked at. */
struct subject {
	struct pa_claims *claims;
	const uint8_t *object;
	size_t room;		/* bytes from there on */
	uint32_t type;
};

void pa_claims_deinit(struct pa_claims *claims)
{
	free(claims->starts.claim);
	free(claims->insides.claim);
	memset(claims, 0, sizeof *claims);
}

/* Addresses are multiples of 8 below 2^47: there is room for the type. */
static void add(const struct subject *s, struct pa_claim_list *list,
		uint64_t address)
{
	if (!address || address % 8 || address >> 47)
		return;
	if (list->n == list->room) {
		size_t room = list->room + list->room / 2 + 4096;
		uint64_t *more = room > CLAIMS_MOST ? NULL :
			reallocarray(list->claim, room, sizeof *more);

		if (!more) {
			s->claims->no_memory = true;
			return;
		}
		list->claim = more;
		list->room = room;
	}
	list->claim[list->n++] = address >> 3 << TYPE_BITS | s->type;
}

/* The buffer whose address is a word of the object. */
static void add_field(const struct subject *s, size_t at)
{
	if (at + 8 <= s->room)
		add(s, &s->claims->starts, pa_word(s->object + at));
}

/* Attribute values that lie outside of the instance. */
static void add_values(const struct subject *s, const struct pa_types *types,
		       unsigned offset)
{
	const struct pa_layout *layout = types->layout;
	uint64_t word;

	if (!layout->values_back || offset < layout->values_back ||
	    !(types->type[s->type].flags & PA_TPFLAGS_PRE_HEAD))
		return;
	word = pa_word(s->object - layout->values_back);
	if (!layout->values_tagged)
		add(s, &s->claims->insides, word);
	else if (word & 1)
		add(s, &s->claims->insides, word + 1);
}

void pa_claims_note(struct pa_claims *claims, const struct pa_types *types,
		    uint32_t type, const uint8_t *head, size_t head_size,
		    unsigned offset)
{
	const struct subject s = {
		.claims = claims, .object = head + offset,
		.room = head_size - offset, .type = type,
	};

	switch (types->type[type].shape) {
	case PA_SHAPE_LIST:
		add_field(&s, PA_LIST_ITEMS);
		break;
	case PA_SHAPE_DICT:
		add_field(&s, PA_DICT_KEYS);
		if (PA_DICT_VALUES + 8 <= s.room)
			add(&s, &claims->insides,
			    pa_word(s.object + PA_DICT_VALUES));
		break;
	case PA_SHAPE_SET:
		add_field(&s, PA_SET_TABLE);
		break;
	case PA_SHAPE_DEQUE:
		add_field(&s, PA_DEQUE_LEFT);
		add_field(&s, PA_DEQUE_RIGHT);
		break;
	case PA_SHAPE_BYTEARRAY:
		add_field(&s, PA_BYTEARRAY_BYTES);
		break;
	case PA_SHAPE_ARRAY:
		add_field(&s, PA_ARRAY_ITEMS);
		break;
	case PA_SHAPE_NDARRAY:
		add_field(&s, PA_NDARRAY_DATA);
		break;
	case PA_SHAPE_DATA:
		for (size_t at = PA_OB_BODY; at < types->type[type].basicsize &&
		     at < PA_DATA_MOST; at += 8)
			add_field(&s, at);
		break;
	case PA_SHAPE_TYPE:
		/* keys that the instances of a class share */
		if (PA_TP_FLAGS + 8 <= s.room &&
		    pa_word(s.object + PA_TP_FLAGS) & PA_TPFLAGS_HEAP)
			add_field(&s, types->layout->cached_keys);
		break;
	case PA_SHAPE_SCAN: case PA_SHAPE_LEAF:
		break;
	}
	add_values(&s, types, offset);
}

void pa_claims_settle(struct pa_claims *claims, const struct pa_types *types,
		      struct pa_buffers *buffers)
{
	const struct pa_claim_list *lists[] = {
		&claims->starts, &claims->insides,
	};

	for (int inside = 0; inside < 2; inside++) {
		for (size_t i = 0; i < lists[inside]->n; i++) {
			uint64_t claim = lists[inside]->claim[i];
			uint64_t address = claim >> TYPE_BITS << 3;
			uint32_t type = claim & TYPE_MASK;

			pa_buffers_claim(
				buffers, inside ?
				pa_buffers_around(buffers, address) :
				pa_buffers_at(buffers, address), type,
				types->type[type].shape == PA_SHAPE_TYPE ?
				PA_CLAIM_TYPE : PA_CLAIM_LAYOUT);
		}
	}
	pa_claims_deinit(claims);
}
