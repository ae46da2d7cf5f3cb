/* SPDX-License-Identifier: MIT
 *
 * Text and dicts of the target; see dicts.h.
 */
#include "census/dicts.h"

#define ENTRIES_MAX 4096u

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

size_t pa_read_str(struct pa_types *types, uint64_t address, char *text)
{
	uint8_t head[PA_STR_STATE + 4], bytes[PA_NAME_MAX];
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
	most = sizeof bytes / kind < PA_NAME_MAX / 4 ?
		sizeof bytes / kind : PA_NAME_MAX / 4;
	if (ascii)
		most = PA_NAME_MAX;
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

size_t pa_read_text(struct pa_types *types, uint64_t address, char *text)
{
	size_t n = 0;

	while (n < PA_NAME_MAX) {
		uint64_t page = PA_CENSUS_PAGE -
			(address + n) % PA_CENSUS_PAGE;
		size_t k = page < PA_NAME_MAX - n ? (size_t)page :
			PA_NAME_MAX - n;
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

bool pa_entries_in(const struct pa_types *types, const uint8_t *keys,
		   struct pa_entries *entries)
{
	if (types->layout->short_keys) {
		if (keys[9] > 40)
			return false;
		entries->stride = keys[10] ? 16 : 24;
		entries->at = 32 + (1ull << keys[9]);
		entries->n = pa_word(keys + 24);
	} else {
		uint64_t size = pa_word(keys + 8);

		if (size >> 40)
			return false;
		entries->stride = 24;
		entries->at = 40 + size * (size <= 0xff ? 1 : size <= 0xffff ?
					   2 : size <= 0xffffffff ? 4 : 8);
		entries->n = pa_word(keys + 32);
	}
	return true;
}

bool pa_dict_open_keys(struct pa_dict *dict, struct pa_types *types,
		       uint64_t keys, uint64_t values)
{
	struct pa_entries entries;
	uint8_t head[40];

	if (!keys || !pa_window_peek(types->window, keys, head, sizeof head) ||
	    !pa_entries_in(types, head, &entries))
		return false;
	*dict = (struct pa_dict){
		.types = types, .entries = keys + entries.at,
		.values = values, .n = entries.n, .most = ENTRIES_MAX,
		.stride = entries.stride,
	};
	if (values && types->layout->short_keys &&
	    !types->layout->values_prefix)
		dict->values += 8;
	return true;
}

bool pa_dict_open(struct pa_dict *dict, struct pa_types *types,
		  uint64_t address)
{
	uint8_t head[PA_DICT_VALUES + 8];

	return address && pa_window_peek(types->window, address, head,
					 sizeof head) &&
		pa_dict_open_keys(dict, types, pa_word(head + PA_DICT_KEYS),
				  pa_word(head + PA_DICT_VALUES));
}

bool pa_dict_next(struct pa_dict *dict, uint64_t *key, uint64_t *value)
{
	struct pa_window *window = dict->types->window;
	/* general entries have the hash in front */
	unsigned in = dict->stride - 16;
	uint8_t entry[24], word[8];

	while (dict->next < dict->n && dict->next < dict->most) {
		uint64_t i = dict->next++;

		if (!pa_window_peek(window, dict->entries + i * dict->stride,
				    entry, dict->stride))
			return false;
		*key = pa_word(entry + in);
		*value = pa_word(entry + in + 8);
		if (dict->values) {
			if (!pa_window_peek(window, dict->values + i * 8,
					    word, sizeof word))
				return false;
			*value = pa_word(word);
		}
		if (*key && *value)
			return true;
	}
	return false;
}

uint64_t pa_dict_get(struct pa_types *types, uint64_t address,
		     const char *name)
{
	size_t n = strlen(name);
	uint64_t key, value;
	struct pa_dict dict;
	char text[PA_NAME_MAX];

	if (!pa_dict_open(&dict, types, address))
		return 0;
	while (pa_dict_next(&dict, &key, &value))
		if (pa_read_str(types, key, text) == n &&
		    !memcmp(text, name, n))
			return value;
	return 0;
}
