/* SPDX-License-Identifier: MIT
 *
 * Module and qualified name of each type.  A static type has both in its C
 * name; a heap type has a str each, one of them in its dict.
 */
#include <stdio.h>
#include <stdlib.h>

#include "census/dicts.h"

/* Keep n bytes and a NUL; the offset, 0 ("") without memory. */
static uint32_t keep(struct pa_types *types, const char *text, size_t n)
{
	uint32_t at = (uint32_t)types->names_size;

	while (types->names_room - types->names_size < n + 1) {
		char *more = types->names_room > UINT32_MAX / 4 ? NULL :
			realloc(types->names, types->names_room * 2);

		if (!more) {
			types->no_memory = true;
			return 0;
		}
		types->names = more;
		types->names_room *= 2;
	}
	memcpy(types->names + at, text, n);
	types->names[at + n] = '\0';
	types->names_size += n + 1;
	return at;
}

/* The value of the key "__module__" in a type's dict, as a str. */
static size_t read_module(struct pa_types *types, uint64_t dict, char *text)
{
	return pa_read_str(types, pa_dict_get(types, dict, "__module__"),
			   text);
}

static void name_by_text(struct pa_types *types, struct pa_type *type)
{
	char text[PA_NAME_MAX];
	size_t n = pa_read_text(types, type->name_at, text);
	const char *dot = n ? memrchr(text, '.', n) : NULL;

	if (!n) {
		n = (size_t)snprintf(text, sizeof text, "<type at 0x%llx>",
				     (unsigned long long)type->address);
		type->module = 0;
	} else {
		type->module = dot ? keep(types, text, (size_t)(dot - text)) :
			keep(types, "builtins", 8);
	}
	type->name = dot ? keep(types, dot + 1, n - (size_t)(dot + 1 - text)) :
		keep(types, text, n);
}

static void name_one(struct pa_types *types, struct pa_type *type)
{
	char text[PA_NAME_MAX];
	uint8_t word[8];
	size_t n;

	if (type->flags & PA_TPFLAGS_HEAP &&
	    pa_window_peek(types->window, type->address +
			   types->layout->qualname, word, sizeof word)) {
		n = pa_read_str(types, pa_word(word), text);
		if (n) {
			type->name = keep(types, text, n);
			n = read_module(types, type->dict, text);
			type->module = n ? keep(types, text, n) : 0;
			return;
		}
	}
	name_by_text(types, type);
}

void pa_types_name(struct pa_types *types)
{
	for (uint32_t i = 1; i < types->count; i++)
		name_one(types, &types->type[i]);
}
