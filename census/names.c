/* SPDX-License-Identifier: MIT
 *
 * Module and qualified name of each type.  A static type has both in its C
 * name; a heap type has a str each, one of them in its dict.
 */
#include <stdio.h>
#include <stdlib.h>

#include "census/types.h"

#define NAME_MAX_BYTES 256u
#define ENTRIES_MAX 4096u

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

static size_t put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | (c >> 18 & 7));
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

static uint32_t character(const uint8_t *bytes, size_t i, unsigned kind)
{
	uint16_t two;

	if (kind == 1)
		return bytes[i];
	if (kind == 4)
		return pa_half(bytes + 4 * i);
	memcpy(&two, bytes + 2 * i, sizeof two);
	return two;
}

/* A str as UTF-8 into text[NAME_MAX_BYTES]: its length, 0 if it is no str
 * or empty.  Long ones are cut. */
static size_t read_str(struct pa_types *types, uint64_t address, char *text)
{
	uint8_t head[PA_STR_STATE + 4], bytes[NAME_MAX_BYTES];
	const struct pa_layout *layout = types->layout;
	uint32_t state, kind;
	uint64_t length;
	size_t n = 0, most;
	bool ascii;

	if (!address || !pa_window_peek(types->window, address, head,
					sizeof head))
		return 0;
	length = pa_word(head + PA_STR_LENGTH);
	state = pa_half(head + PA_STR_STATE);
	kind = state >> 2 & 7;
	ascii = state >> 6 & 1;
	if (!(state >> 5 & 1) || !(kind == 1 || kind == 2 || kind == 4) ||
	    (ascii && kind != 1))
		return 0;
	most = sizeof bytes / kind < NAME_MAX_BYTES / 4 ?
		sizeof bytes / kind : NAME_MAX_BYTES / 4;
	if (ascii)
		most = NAME_MAX_BYTES;
	if (length > most)
		length = most;
	if (!pa_window_peek(types->window, address + (ascii ? layout->ascii :
						      layout->compact),
			    bytes, length * kind))
		return 0;
	for (size_t i = 0; i < length; i++) {
		uint32_t c = character(bytes, i, kind);

		/* else it could grow beyond the text */
		if (ascii && c > 0x7f)
			return 0;
		n += put_utf8(text + n, c);
	}
	return n;
}

/* Where the entries of a dict's keys are, and how many. */
static bool find_entries(const struct pa_types *types, const uint8_t *keys,
			 uint64_t *at, uint64_t *n, unsigned *stride)
{
	if (types->layout->short_keys) {
		if (keys[9] > 40)
			return false;
		*stride = keys[10] ? 16 : 24;
		*at = 32 + (1ull << keys[9]);
		*n = pa_word(keys + 24);
	} else {
		uint64_t size = pa_word(keys + 8);

		*stride = 24;
		*at = 40 + size * (size <= 0xff ? 1 : size <= 0xffff ? 2 :
				   size <= 0xffffffff ? 4 : 8);
		*n = pa_word(keys + 32);
	}
	return true;
}

/* The value of the key "__module__" in a type's dict, as a str. */
static size_t read_module(struct pa_types *types, uint64_t dict, char *text)
{
	uint8_t head[PA_DICT_VALUES], keys[40], entry[24];
	uint64_t address, at, n;
	unsigned stride;

	if (!dict || !pa_window_peek(types->window, dict, head, sizeof head))
		return 0;
	address = pa_word(head + PA_DICT_KEYS);
	if (!pa_window_peek(types->window, address, keys, sizeof keys) ||
	    !find_entries(types, keys, &at, &n, &stride))
		return 0;
	if (n > ENTRIES_MAX)
		n = ENTRIES_MAX;
	for (uint64_t i = 0; i < n; i++) {
		/* general entries have the hash in front */
		unsigned in = stride - 16;
		size_t length;

		if (!pa_window_peek(types->window, address + at + i * stride,
				    entry, stride))
			return 0;
		length = read_str(types, pa_word(entry + in), text);
		if (length == 10 && !memcmp(text, "__module__", 10))
			return read_str(types, pa_word(entry + in + 8), text);
	}
	return 0;
}

/* A C string: its length, cut at text[NAME_MAX_BYTES]. */
static size_t read_text(struct pa_types *types, uint64_t address, char *text)
{
	size_t n = 0;

	while (n < NAME_MAX_BYTES) {
		uint64_t page = PA_CENSUS_PAGE -
			(address + n) % PA_CENSUS_PAGE;
		size_t k = page < NAME_MAX_BYTES - n ? (size_t)page :
			NAME_MAX_BYTES - n;
		const char *end;

		if (!pa_window_peek(types->window, address + n, text + n, k))
			return n;
		end = memchr(text + n, '\0', k);
		if (end)
			return (size_t)(end - text);
		n += k;
	}
	return n;
}

static void name_by_text(struct pa_types *types, struct pa_type *type)
{
	char text[NAME_MAX_BYTES];
	size_t n = read_text(types, type->name_at, text);
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
	char text[NAME_MAX_BYTES];
	uint8_t word[8];
	size_t n;

	if (type->flags & PA_TPFLAGS_HEAP &&
	    pa_window_peek(types->window, type->address +
			   types->layout->qualname, word, sizeof word)) {
		n = read_str(types, pa_word(word), text);
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
