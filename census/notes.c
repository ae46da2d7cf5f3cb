/* SPDX-License-Identifier: MIT
 *
 * What the first walk notes of each block for the graph of references; see
 * references.h: is it a leaf, a weak reference, and how much of the tables
 * that it owns is in use.
 */
#include "census/references.h"

struct object {
	struct pa_references *r;
	const struct pa_type *type;
	const uint8_t *bytes;
	size_t room;
};

static uint64_t field(const struct object *o, size_t at)
{
	return at + 8 <= o->room ? pa_word(o->bytes + at) : 0;
}

static void hint(const struct object *o, uint64_t address, enum pa_hint what,
		 uint64_t value)
{
	pa_nodes_hint(&o->r->nodes, address, what, value);
}

/* Shared keys of 3.8 to 3.10 say how many values there are. */
static void hint_old_values(const struct object *o, uint64_t keys,
			    uint64_t values)
{
	uint8_t head[40];

	if (pa_window_peek(o->r->window, keys, head, sizeof head))
		hint(o, values, PA_HINT_USED,
		     pa_word(head + 24) + pa_word(head + 32));
}

static void note_dict(const struct object *o)
{
	uint64_t keys = field(o, PA_DICT_KEYS);
	uint64_t values = field(o, PA_DICT_VALUES);

	hint(o, keys, PA_HINT_KEYS, 0);
	if (!values)
		return;
	if (o->r->types->layout->short_keys)
		hint(o, values, PA_HINT_VALUES, 0);
	else
		hint_old_values(o, keys, values);
}

static void note_deque(const struct object *o)
{
	uint64_t left = field(o, PA_DEQUE_LEFT);
	uint64_t right = field(o, PA_DEQUE_RIGHT);
	uint64_t from = field(o, PA_DEQUE_LEFT_INDEX) & 63;
	uint64_t to = field(o, PA_DEQUE_RIGHT_INDEX) & 63;

	if (left == right) {
		hint(o, left, PA_HINT_DEQUE, from | to << 6);
		return;
	}
	hint(o, left, PA_HINT_DEQUE, from | 63 << 6);
	hint(o, right, PA_HINT_DEQUE, to << 6);
}

static void note_shape(const struct object *o)
{
	switch (o->type->shape) {
	case PA_SHAPE_LIST:
		hint(o, field(o, PA_LIST_ITEMS), PA_HINT_USED,
		     field(o, PA_OB_SIZE));
		break;
	case PA_SHAPE_DICT:
		note_dict(o);
		break;
	case PA_SHAPE_DEQUE:
		note_deque(o);
		break;
	case PA_SHAPE_BYTEARRAY:
		hint(o, field(o, PA_BYTEARRAY_BYTES), PA_HINT_DATA, 0);
		break;
	case PA_SHAPE_ARRAY:
		hint(o, field(o, PA_ARRAY_ITEMS), PA_HINT_DATA, 0);
		break;
	case PA_SHAPE_DATA:
		/* what was there before is in them until they are full */
		for (size_t at = PA_OB_BODY; at < o->type->basicsize &&
		     at < PA_DATA_MOST; at += 8)
			hint(o, field(o, at), PA_HINT_DATA, 0);
		break;
	case PA_SHAPE_TYPE:
		if (field(o, PA_TP_FLAGS) & PA_TPFLAGS_HEAP)
			hint(o, field(o, o->r->types->layout->cached_keys),
			     PA_HINT_KEYS, 0);
		break;
	case PA_SHAPE_SCAN: case PA_SHAPE_LEAF: case PA_SHAPE_SET:
	case PA_SHAPE_NDARRAY:
		break;
	}
}

/* Attribute values in a block of their own. */
static void note_values(const struct object *o, const uint8_t *head)
{
	const struct pa_layout *layout = o->r->types->layout;
	uint64_t word;

	if (!layout->values_back || !(o->type->flags & PA_TPFLAGS_PRE_HEAD) ||
	    o->bytes - head < layout->values_back)
		return;
	word = pa_word(o->bytes - layout->values_back);
	if (!layout->values_tagged)
		hint(o, word, PA_HINT_VALUES, 0);
	else if (word & 1)
		hint(o, word + 1, PA_HINT_VALUES, 0);
}

void pa_references_note(struct pa_references *r, const struct pa_block *block,
			uint32_t type, unsigned offset, uint64_t references)
{
	struct object o = {
		.r = r, .type = &r->types->type[type],
		.bytes = block->head + offset,
		.room = block->head_size - offset,
	};
	uint32_t what = PA_NODE_LIVE;

	if (pa_is_debug_block(block->head, block->head_size))
		what |= PA_NODE_DEBUG;
	if (!type) {
		pa_nodes_add(&r->nodes, block, what);
		return;
	}
	if (!references)
		return;
	what |= PA_NODE_TYPED | type;
	if (o.type->role == PA_ROLE_WEAK)
		what |= PA_NODE_WEAK;
	if (pa_is_leaf_object(o.type, o.bytes, o.room))
		what |= PA_NODE_LEAF;
	pa_nodes_add(&r->nodes, block, what);
	if (what & PA_NODE_LEAF)
		return;
	note_shape(&o);
	note_values(&o, block->head);
}
