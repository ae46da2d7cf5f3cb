/* SPDX-License-Identifier: MIT
 *
 * The object that begins in a block: its type, whether it points at anything,
 * and where it ends; see types.h.
 */
#include "census/types.h"

#define DEBUG_HEAD 16u
#define CODE_UNIT 2u		/* bytes of an instruction */
#define CODE_MIN 128u		/* bytes of the fields in front of them */

/* The same for what is asked for again and again. */
static uint32_t type_at(struct pa_types *types, uint64_t address)
{
	uint32_t *recent = &types->recent[(address >> 4 ^ address >> 12) %
					  PA_TYPES_RECENT];

	if (types->type[*recent].address != address)
		*recent = pa_types_at(types, address);
	return *recent;
}

/* Could this word be a reference count?  Pointers cannot. */
static bool is_count(const struct pa_layout *layout, uint64_t word)
{
	return !(word >> 32 & (layout->flags_in_refcount ? 0xffff :
			       0xffffffff));
}

/* Is it kept for reuse, with the next one of its type where the count was?
 * That one, or none behind it, tells it from two pointers in a buffer. */
static bool is_kept(struct pa_types *types, const uint8_t *head)
{
	uint64_t link = pa_word(head), type = pa_word(head + PA_OB_TYPE);
	uint8_t next[PA_OB_TYPE + 8];

	return types->layout->kept_links && !(link % 16) && !(link >> 47) &&
		pa_types_known(types, type) &&
		pa_window_peek(types->window, link, next, sizeof next) &&
		pa_word(next + PA_OB_TYPE) == type &&
		(!pa_word(next) || !is_count(types->layout, pa_word(next)));
}

bool pa_is_leaf_object(const struct pa_type *type, const uint8_t *bytes,
		       size_t room)
{
	if (type->flags & PA_TPFLAGS_STR)
		return !(type->flags & PA_TPFLAGS_HEAP) &&
			room >= PA_STR_STATE + 4 &&
			(pa_half(bytes + PA_STR_STATE) & PA_STR_ASCII) ==
			PA_STR_ASCII;
	return type->exact && type->shape == PA_SHAPE_LEAF &&
		!(type->flags & PA_TPFLAGS_TUPLE);
}

uint32_t pa_types_object(struct pa_types *types, const uint8_t *head,
			 size_t head_size, uint64_t size, unsigned *offset,
			 uint64_t *references)
{
	unsigned skip = pa_is_debug_block(head, head_size) ? DEBUG_HEAD : 0;

	for (unsigned at = 0; at <= (unsigned)(PA_GC_HEAD + PA_PRE_HEAD); at += 16) {
		const struct pa_type *type;
		unsigned in = skip + at, want;
		uint32_t index;
		uint64_t least;
		bool kept;

		if (in + 16 > head_size)
			break;
		kept = !is_count(types->layout, pa_word(head + in));
		if (kept && !is_kept(types, head + in))
			continue;
		index = type_at(types, pa_word(head + in + PA_OB_TYPE));
		if (!index)
			continue;
		type = &types->type[index];
		want = (type->flags & PA_TPFLAGS_GC ? 16u : 0u) +
			(type->flags & PA_TPFLAGS_PRE_HEAD ? 16u : 0u);
		/* a str's basic size is that of the longest of its heads */
		least = type->flags & PA_TPFLAGS_STR &&
			!(type->flags & PA_TPFLAGS_HEAP) ?
			types->layout->ascii : type->basicsize;
		if (want != at || in + least > size)
			continue;
		*offset = in;
		*references = kept ? 0 : pa_half(head + in);
		return index;
	}
	return 0;
}

/* A core may have lost the name of its type: nothing else counts by twos. */
static bool is_code(const struct pa_types *types, const struct pa_type *type)
{
	return types->layout->co_tail && type->itemsize == CODE_UNIT &&
		!(type->flags & PA_TPFLAGS_HEAP) && type->basicsize > CODE_MIN;
}

uint64_t pa_object_end(const struct pa_types *types,
		       const struct pa_type *type, const uint8_t *head,
		       size_t head_size, uint64_t size, unsigned offset)
{
	uint64_t end = offset + type->basicsize, n;

	if (types->layout->inline_values &&
	    type->flags & PA_TPFLAGS_INLINE_VALUES)
		return end < head_size ? end + 8 + 8ull * head[end] : end;
	if (is_code(types, type))
		return end - types->layout->co_tail;
	if (!type->itemsize)
		return end;
	/* generators have a list of weak references where the size would be,
	 * and locals behind it */
	if (type->weak_list == PA_OB_SIZE)
		return size;
	if (offset + PA_OB_SIZE + 8 > head_size)
		return size;
	n = pa_word(head + offset + PA_OB_SIZE);
	if (n > size / type->itemsize)
		return size;
	/* an attribute dict may follow, aligned */
	return end + ((n * type->itemsize + 7) & ~7ull);
}
