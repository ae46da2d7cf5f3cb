/* SPDX-License-Identifier: MIT
 *
 * The text of str objects as UTF-8, and the content hash of code objects
 * that the frame cache is keyed by: code objects and their strings die and
 * their addresses are used again all the time, so an address proves nothing.
 */
#include "payload/python_walk.h"

#define KIND_MASK 7u

struct pa_characters pa_name_characters(const char *text)
{
	const struct pa_layout *l = &pa_layout;
	struct pa_characters c = { "?", 1, 1, true };
	uint32_t state;
	unsigned size;

	if (!text)
		return c;
	state = (uint32_t)pa_field_int(text, l->str_state);
	size = state >> l->str_kind_shift & KIND_MASK;
	if (size != 1 && size != 2 && size != 4)
		return c;
	c.length = (size_t)pa_field_long(text, l->str_length);
	c.size = size;
	c.ascii = state & l->str_ascii_bit;
	if (!(state & l->str_compact_bit))	/* a subclass's, or old */
		c.data = pa_field_pointer(text, l->str_compact);
	else
		c.data = text + (c.ascii ? l->str_ascii : l->str_compact);
	if (!c.data)
		c.length = 0;
	return c;
}

static uint32_t character(const struct pa_characters *c, size_t i)
{
	switch (c->size) {
	case 1:
		return ((const uint8_t *)c->data)[i];
	case 2:
		return ((const uint16_t *)c->data)[i];
	default:
		return ((const uint32_t *)c->data)[i];
	}
}

/* One character as UTF-8; 1 to 4 bytes. */
static unsigned encode(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 63));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 63));
		out[2] = (char)(0x80 | (code & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | (code >> 18 & 7));
	out[1] = (char)(0x80 | (code >> 12 & 63));
	out[2] = (char)(0x80 | (code >> 6 & 63));
	out[3] = (char)(0x80 | (code & 63));
	return 4;
}

#define MARK "\xe2\x80\xa6"	/* U+2026: the name went on */
#define MARK_SIZE 3u

const char *pa_name_utf8(const struct pa_characters *characters,
			 char *buffer, uint32_t *length)
{
	uint32_t used = 0, boundary = 0;

	if (characters->ascii && characters->length <= PA_NAME_MAX) {
		*length = (uint32_t)characters->length;
		return characters->data;
	}
	for (size_t i = 0; i < characters->length; i++) {
		char one[4];
		unsigned n = encode(character(characters, i), one);

		if (used <= PA_NAME_MAX - MARK_SIZE)
			boundary = used;
		if (used + n > PA_NAME_MAX) {
			memcpy(buffer + boundary, MARK, MARK_SIZE);
			used = boundary + MARK_SIZE;
			break;
		}
		memcpy(buffer + used, one, n);
		used += n;
	}
	*length = used;
	return buffer;
}

/* ---- content hash ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9ddfea08eb382d69ull;
	return hash ^ hash >> 29;
}

/* memcpy by its own name would be a call: the payload is built freestanding */
static uint64_t load(const char *p)
{
	uint64_t word;

	__builtin_memcpy(&word, p, 8);
	return word;
}

/* The last n < 8 of all bytes, or those that end with them. */
static uint64_t load_rest(const char *p, size_t n, size_t all)
{
	uint64_t word = 0;

	if (n && all >= 8)
		return load(p + n - 8);
	for (size_t i = 0; i < n; i++)
		word = word << 8 | (uint8_t)p[i];
	return word;
}

/* In four lanes: a multiplication waits for the one before it, and line
 * tables are long.  Every frame of every sample comes here. */
static uint64_t hash_lanes(uint64_t seed, const char *p, size_t n)
{
	uint64_t a = seed, b = ~seed, c = seed + 1, d = ~seed + 1;

	for (; n >= 32; n -= 32, p += 32) {
		a = mix(a, load(p));
		b = mix(b, load(p + 8));
		c = mix(c, load(p + 16));
		d = mix(d, load(p + 24));
	}
	return mix(mix(mix(a, b), c), d);
}

uint64_t pa_hash_bytes(uint64_t seed, const void *bytes, size_t n)
{
	const char *p = bytes;
	uint64_t hash = mix(seed, n);
	size_t all = n;

	if (n >= 32) {
		hash = hash_lanes(hash, p, n);
		p += n & ~(size_t)31;
		n &= 31;
	}
	for (; n >= 8; n -= 8, p += 8)
		hash = mix(hash, load(p));
	return mix(hash, load_rest(p, n, all));
}

/* No more of a name than is ever kept. */
static uint64_t hash_name(uint64_t seed, const char *text)
{
	struct pa_characters c = pa_name_characters(text);
	size_t n = c.length <= PA_NAME_MAX ? c.length : PA_NAME_MAX + 1;

	return pa_hash_bytes(mix(seed, c.size), c.data, n * c.size);
}

static const char *line_table(const char *code, size_t *size)
{
	const char *table = pa_field_pointer(code, pa_layout.code_lines);
	int64_t n = table ? pa_field_long(table, pa_layout.bytes_size) : 0;

	*size = n > 0 ? (size_t)n : 0;
	return table + pa_layout.bytes_data;
}

uint64_t pa_code_hash(const char *code)
{
	const struct pa_layout *l = &pa_layout;
	uint32_t first = (uint32_t)pa_field_int(code, l->code_first_line);
	const char *table;
	uint64_t hash;
	size_t size;

	hash = hash_name(first, pa_field_pointer(code, l->code_file));
	hash = hash_name(hash, pa_field_pointer(code, l->code_name));
	table = line_table(code, &size);
	return pa_hash_bytes(hash, table, size);
}

uint32_t pa_code_line(const char *code, int32_t place)
{
	size_t size;
	const char *table = line_table(code, &size);

	return pa_lines_find(pa_layout.line_format, (const uint8_t *)table,
			     size, pa_field_int(code,
						pa_layout.code_first_line),
			     place);
}
