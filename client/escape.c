/* SPDX-License-Identifier: MIT
 *
 * Names made safe to look at; see escape.h.  It must not know who shows
 * them: terminals and JSON are the only two ways here.
 */
#include "client/escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes in the sequence that starts with `lead`, 0 if it cannot start one. */
static unsigned sequence_length(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return 0;
}

size_t pa_utf8_decode(const char *bytes, size_t length, int32_t *point)
{
	static const int32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *b = (const unsigned char *)bytes;
	unsigned n = sequence_length(b[0]);
	int32_t value;

	*point = -1;
	if (!n || n > length)
		return 1;
	value = n == 1 ? b[0] : b[0] & (0x7f >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 1;
		value = value << 6 | (b[i] & 0x3f);
	}
	if (value < smallest[n] || value > 0x10ffff)
		return 1;
	*point = value;
	return n;
}

static bool is_surrogate(int32_t c)
{
	return c >= 0xd800 && c <= 0xdfff;
}

/* Characters that a terminal acts on, or that change how others look. */
static bool is_hidden(int32_t c)
{
	static const int32_t ranges[][2] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad },
		{ 0x61c, 0x61c }, { 0x180e, 0x180e }, { 0x200b, 0x200b },
		{ 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f },
		{ 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xfffe, 0xffff },
		{ 0xe0000, 0xe007f },
	};

	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return false;
}

/* Columns of one printable character, without asking the user's locale. */
static unsigned point_width(int32_t c)
{
	static const int32_t wide[][2] = {
		{ 0x1100, 0x115f }, { 0x2e80, 0x303e }, { 0x3041, 0xa4cf },
		{ 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f },
		{ 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f },
		{ 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
	};
	static const int32_t none[][2] = {
		{ 0x300, 0x36f }, { 0x483, 0x489 }, { 0x591, 0x5bd },
		{ 0x610, 0x61a }, { 0x64b, 0x65f }, { 0x200c, 0x200d },
		{ 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
		{ 0xe0100, 0xe01ef },
	};

	for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
		if (c >= wide[i][0] && c <= wide[i][1])
			return 2;
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		if (c >= none[i][0] && c <= none[i][1])
			return 0;
	return 1;
}

size_t pa_text_width(const char *text)
{
	size_t length = strlen(text), width = 0;
	int32_t c;

	for (size_t at = 0; at < length; ) {
		at += pa_utf8_decode(text + at, length - at, &c);
		width += c < 0 ? 1 : point_width(c);
	}
	return width;
}

/* The escape of one character, or of the byte where c is -1. */
static int write_escape(char *out, size_t room, int32_t c, unsigned char byte)
{
	switch (c) {
	case '\n':
		return snprintf(out, room, "\\n");
	case '\r':
		return snprintf(out, room, "\\r");
	case '\t':
		return snprintf(out, room, "\\t");
	}
	if (c < 0)
		return snprintf(out, room, "\\x%02x", byte);
	if (c < 0x100)
		return snprintf(out, room, "\\x%02x", (unsigned)c);
	if (c < 0x10000)
		return snprintf(out, room, "\\u%04x", (unsigned)c);
	return snprintf(out, room, "\\U%08x", (unsigned)c);
}

/* An escape takes at most 10 characters for 3 bytes, 6 for 1 or 2. */
static char *escape(const char *bytes, size_t length, bool terminal,
		    size_t *out_length)
{
	size_t room = length * 6 + 16, n = 0;
	char *out = malloc(room);
	int32_t c;

	if (!out)
		return NULL;
	for (size_t at = 0, step; at < length; at += step) {
		step = pa_utf8_decode(bytes + at, length - at, &c);
		if (c < 0 || is_surrogate(c) || (terminal && is_hidden(c))) {
			n += (size_t)write_escape(out + n, room - n, c,
						  (unsigned char)bytes[at]);
		} else {
			memcpy(out + n, bytes + at, step);
			n += step;
		}
	}
	out[n] = '\0';
	if (out_length)
		*out_length = n;
	return out;
}

char *pa_escape_terminal(const char *bytes, size_t length)
{
	return escape(bytes, length, true, NULL);
}

char *pa_escape_json(const char *bytes, size_t length, size_t *out_length)
{
	return escape(bytes, length, false, out_length);
}
