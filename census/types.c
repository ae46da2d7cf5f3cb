/* SPDX-License-Identifier: MIT
 *
 * Recognising types and objects; see types.h.  A type is an object whose own
 * type says that its instances are types, up to `type`, which is its own.
 */
#include "census/types.h"

#include <stdlib.h>

#define TYPES_MAX (1u << 20)
#define REFUSED 65536u
#define RECENT 1024u
#define CHAIN 8			/* metatypes of metatypes */
#define SIZE_MAX_OF_TYPE (1ull << 31)
#define DEBUG_HEAD 16u
#define NAME_ROOM 32u
#define BASES 64

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
	types->recent = calloc(RECENT, sizeof *types->recent);
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

/* The start of a C name; the longest one asked for lies on one page or two. */
static void read_name(struct pa_types *types, uint64_t at, char *name)
{
	memset(name, 0, NAME_ROOM);
	for (size_t n = NAME_ROOM; n > 4; n /= 2)
		if (pa_window_peek(types->window, at, name, n - 1))
			return;
}

/* Types by the name of the static type at the end of their bases. */
static enum pa_shape named_shape(struct pa_types *types, uint64_t name_at)
{
	static const struct {
		const char *name;
		enum pa_shape shape;
	} known[] = {
		{ "set", PA_SHAPE_SET }, { "frozenset", PA_SHAPE_SET },
		{ "collections.deque", PA_SHAPE_DEQUE },
		{ "bytearray", PA_SHAPE_BYTEARRAY },
		{ "array.array", PA_SHAPE_ARRAY },
		{ "numpy.ndarray", PA_SHAPE_NDARRAY },
		{ "float", PA_SHAPE_LEAF }, { "complex", PA_SHAPE_LEAF },
	};
	char name[NAME_ROOM];

	read_name(types, name_at, name);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (!strcmp(name, known[i].name))
			return known[i].shape;
	return PA_SHAPE_SCAN;
}

static enum pa_role named_role(struct pa_types *types, uint64_t name_at)
{
	static const struct {
		const char *name;
		enum pa_role role;
	} known[] = {
		{ "weakref", PA_ROLE_WEAK },
		{ "weakref.ReferenceType", PA_ROLE_WEAK },
		{ "weakproxy", PA_ROLE_WEAK },
		{ "weakref.ProxyType", PA_ROLE_WEAK },
		{ "weakcallableproxy", PA_ROLE_WEAK },
		{ "weakref.CallableProxyType", PA_ROLE_WEAK },
		{ "module", PA_ROLE_MODULE }, { "frame", PA_ROLE_FRAME },
		{ "code", PA_ROLE_CODE },
	};
	char name[NAME_ROOM];

	read_name(types, name_at, name);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (!strcmp(name, known[i].name))
			return known[i].role;
	return PA_ROLE_NONE;
}

/* Its own role, or that of the static type among its bases. */
static void find_role(struct pa_types *types, struct pa_type *type)
{
	uint64_t base = type->base;
	uint8_t words[PA_TP_READ];

	if (!(type->flags & PA_TPFLAGS_HEAP))
		type->role = named_role(types, type->name_at);
	for (int i = 0; i < BASES && base && !type->role; i++) {
		if (!pa_window_peek(types->window, base, words, sizeof words))
			return;
		if (!(pa_word(words + PA_TP_FLAGS) & PA_TPFLAGS_HEAP))
			type->role = named_role(types,
						pa_word(words + PA_TP_NAME));
		base = pa_word(words + PA_TP_BASE);
	}
}

static enum pa_shape flag_shape(uint64_t flags)
{
	if (flags & PA_TPFLAGS_TYPE)
		return PA_SHAPE_TYPE;
	if (flags & PA_TPFLAGS_LIST)
		return PA_SHAPE_LIST;
	if (flags & PA_TPFLAGS_DICT)
		return PA_SHAPE_DICT;
	if (flags & (PA_TPFLAGS_INT | PA_TPFLAGS_BYTES | PA_TPFLAGS_TUPLE))
		return PA_SHAPE_LEAF;
	return PA_SHAPE_SCAN;
}

static void find_shape(struct pa_types *types, struct pa_type *type)
{
	uint8_t words[PA_TP_READ];
	uint64_t base = type->base, flags = type->flags;
	bool heap = flags & PA_TPFLAGS_HEAP;

	type->shape = flag_shape(flags);
	if (type->shape == PA_SHAPE_SCAN)
		type->shape = named_shape(types, type->name_at);
	else if (heap)
		return;
	/* deque and array are heap types on some versions; a class of the
	 * program has no dot in its name */
	if (heap && type->shape != PA_SHAPE_DEQUE &&
	    type->shape != PA_SHAPE_ARRAY)
		type->shape = PA_SHAPE_SCAN;
	type->exact = type->shape != PA_SHAPE_SCAN;
	for (int i = 0; i < BASES && base && !type->shape; i++) {
		if (!pa_window_peek(types->window, base, words, sizeof words))
			break;
		type->shape = named_shape(types, pa_word(words + PA_TP_NAME));
		base = pa_word(words + PA_TP_BASE);
	}
	/* a subclass may have slots of its own */
	if (type->shape == PA_SHAPE_LEAF && !type->exact)
		type->shape = PA_SHAPE_SCAN;
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
	find_shape(types, type);
	find_role(types, type);
	put_slot(types, types->count);
	return types->count++;
}

uint32_t pa_types_at(struct pa_types *types, uint64_t address)
{
	uint32_t h = hash(address), mask = types->n_slots - 1, index;
	uint64_t *refused = &types->refused[h >> 16];

	if (address % 8 || address < 65536 || address >> 47)
		return 0;
	for (uint32_t i = h & mask; types->slots[i]; i = (i + 1) & mask)
		if (types->type[types->slots[i]].address == address)
			return types->slots[i];
	if (*refused == address)
		return 0;
	index = examine(types, address);
	if (!index)
		*refused = address;
	return index;
}

/* The same for what is asked for again and again. */
static uint32_t type_at(struct pa_types *types, uint64_t address)
{
	uint32_t *recent = &types->recent[(address >> 4 ^ address >> 12) %
					  RECENT];

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

		if (in + 16 > head_size)
			break;
		if (!is_count(types->layout, pa_word(head + in)))
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
		*references = pa_half(head + in);
		return index;
	}
	return 0;
}
