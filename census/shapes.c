/* SPDX-License-Identifier: MIT
 *
 * What instances of a type are: their shape, which tells where their buffers
 * are, and their role in the graph of references; see types.h.
 */
#include "census/types.h"

#define NAME_ROOM 32u
#define BASES 64

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
		{ "_io.BufferedReader", PA_SHAPE_DATA },
		{ "_io.BufferedWriter", PA_SHAPE_DATA },
		{ "_io.BufferedRandom", PA_SHAPE_DATA },
		{ "_io.StringIO", PA_SHAPE_DATA },
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
void pa_type_find_role(struct pa_types *types, struct pa_type *type)
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

void pa_type_find_shape(struct pa_types *types, struct pa_type *type)
{
	uint8_t words[PA_TP_READ];
	uint64_t base = type->base, flags = type->flags;
	bool heap = flags & PA_TPFLAGS_HEAP;

	type->shape = flag_shape(flags);
	if (type->shape == PA_SHAPE_SCAN)
		type->shape = named_shape(types, type->name_at);
	else if (heap)
		return;
	/* deque, array, files are heap types on some versions; a class of the
	 * program has no dot in its name */
	if (heap && type->shape != PA_SHAPE_DEQUE &&
	    type->shape != PA_SHAPE_ARRAY && type->shape != PA_SHAPE_DATA)
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
