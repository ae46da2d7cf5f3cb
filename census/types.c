/* SPDX-License-Identifier: MIT
 *
 * Recognising types and objects; see types.h.  A type is an object whose own
 * type says that its instances are types, up to `type`, which is its own.
 */
#include "census/types.h"

#include <stdlib.h>

#define TYPES_MAX (1u << 20)
#define REFUSED 65536u
#define CHAIN 8			/* metatypes of metatypes */
#define SIZE_MAX_OF_TYPE (1ull << 31)

static uint32_t hash(uint64_t address)
{
	return (uint32_t)((address >> 3) * 0x9e3779b97f4a7c15ull >> 32);
}

int pa_types_init(struct pa_types *types, struct pa_window *window, int minor)
{
	memset(types, 0, sizeof *types);
	types->window = window;
	types->layout = pa_layout_of(minor);
	types->room = 1024;
	types->n_slots = 4096;
	types->count = 1;
	types->names_size = 1;
	types->names_room = 65536;
	types->type = calloc(types->room, sizeof *types->type);
	types->slots = calloc(types->n_slots, sizeof *types->slots);
	types->refused = calloc(REFUSED, sizeof *types->refused);
	types->names = calloc(types->names_room, 1);
	types->recent = calloc(PA_TYPES_RECENT, sizeof *types->recent);
	return types->recent && types->type && types->slots && types->refused &&
		types->names ? 0 : -1;
}

void pa_types_deinit(struct pa_types *types)
{
	free(types->type);
	free(types->slots);
	free(types->refused);
	free(types->recent);
	free(types->names);
	memset(types, 0, sizeof *types);
}

static void put_slot(struct pa_types *types, uint32_t index)
{
	uint32_t mask = types->n_slots - 1;
	uint32_t h = hash(types->type[index].address) & mask;

	while (types->slots[h])
		h = (h + 1) & mask;
	types->slots[h] = index;
}

/* Room for one more; false: there is none. */
static bool grow(struct pa_types *types)
{
	if (types->count == TYPES_MAX)
		return false;
	if (types->count == types->room) {
		struct pa_type *more = reallocarray(types->type, types->room,
						    2 * sizeof *more);

		if (!more)
			return false;
		types->type = more;
		types->room *= 2;
	}
	if (types->count * 2 >= types->n_slots) {
		uint32_t *slots = calloc(types->n_slots, 4 * sizeof *slots);

		if (!slots)
			return false;
		free(types->slots);
		types->slots = slots;
		types->n_slots *= 4;
		for (uint32_t i = 1; i < types->count; i++)
			put_slot(types, i);
	}
	return true;
}

/* Does a chain of metatypes lead to one that is its own type? */
static bool is_type(struct pa_types *types, uint64_t metatype)
{
	for (int i = 0; i < CHAIN; i++) {
		uint8_t words[PA_TP_FLAGS + 8];
		uint64_t next;

		if (metatype % 8 || !pa_window_peek(types->window, metatype,
						    words, sizeof words) ||
		    !(pa_word(words + PA_TP_FLAGS) & PA_TPFLAGS_TYPE))
			return false;
		next = pa_word(words + PA_OB_TYPE);
		if (next == metatype)
			return true;
		metatype = next;
	}
	return false;
}

/* Look at what may be a type; 0 if it is none. */
static uint32_t examine(struct pa_types *types, uint64_t address)
{
	uint8_t words[PA_TP_READ];
	struct pa_type *type;

	if (!pa_window_peek(types->window, address, words, sizeof words) ||
	    !is_type(types, pa_word(words + PA_OB_TYPE)) ||
	    !(pa_word(words + PA_TP_FLAGS) & PA_TPFLAGS_READY) ||
	    pa_word(words + PA_TP_BASICSIZE) < 16 ||
	    pa_word(words + PA_TP_BASICSIZE) > SIZE_MAX_OF_TYPE ||
	    !pa_word(words + PA_TP_NAME))
		return 0;
	if (!grow(types)) {
		types->no_memory = true;
		return 0;
	}
	type = &types->type[types->count];
	memset(type, 0, sizeof *type);
	type->address = address;
	type->flags = pa_word(words + PA_TP_FLAGS);
	type->basicsize = pa_word(words + PA_TP_BASICSIZE);
	type->itemsize = pa_word(words + PA_TP_ITEMSIZE);
	type->base = pa_word(words + PA_TP_BASE);
	type->dict = pa_word(words + PA_TP_DICT);
	type->name_at = pa_word(words + PA_TP_NAME);
	type->weak_list = pa_word(words + PA_TP_WEAK_LIST);
	type->dict_offset = (int64_t)pa_word(words + PA_TP_DICT_OFFSET);
	type->members = pa_word(words + PA_TP_MEMBERS);
	pa_type_find_shape(types, type);
	pa_type_find_role(types, type);
	put_slot(types, types->count);
	return types->count++;
}

uint32_t pa_types_known(const struct pa_types *types, uint64_t address)
{
	uint32_t mask = types->n_slots - 1;

	for (uint32_t i = hash(address) & mask; types->slots[i];
	     i = (i + 1) & mask)
		if (types->type[types->slots[i]].address == address)
			return types->slots[i];
	return 0;
}

uint32_t pa_types_at(struct pa_types *types, uint64_t address)
{
	uint64_t *refused = &types->refused[hash(address) >> 16];
	uint32_t index;

	if (address % 8 || address < 65536 || address >> 47)
		return 0;
	index = pa_types_known(types, address);
	if (index)
		return index;
	if (*refused == address)
		return 0;
	index = examine(types, address);
	if (!index)
		*refused = address;
	return index;
}
