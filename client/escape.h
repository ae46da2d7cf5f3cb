/* SPDX-License-Identifier: MIT
 *
 * Names that come from a target, made safe to look at.
 *
 * A name may hold anything: ESC sequences, newlines, bidi marks, bytes that
 * are no UTF-8, 64 KiB of them.  What leaves here is valid UTF-8 of printable
 * characters only.  No I/O; pure functions; any thread.
 */
#ifndef PA_CLIENT_ESCAPE_H
#define PA_CLIENT_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decode one character.  Returns how many bytes it took (1 where the bytes
 * are no UTF-8) and stores the code point, or -1 for such a byte.  A lone
 * surrogate in three bytes is given as 0xd800 .. 0xdfff.  length > 0.
 */
size_t pa_utf8_decode(const char *bytes, size_t length, int32_t *point);

/* Columns that valid, printable UTF-8 takes on a terminal. */
size_t pa_text_width(const char *text);

/*
 * For terminals and messages: control and bidi characters become visible
 * escapes (\n, \x1b, \u202e), lone surrogates \udcff, other bytes \xff.
 * A malloc'd string; NULL only without memory.
 */
char *pa_escape_terminal(const char *bytes, size_t length);

/*
 * For JSON: valid UTF-8 that keeps every character but lone surrogates
 * (six characters each: \udcff) and bytes that are no UTF-8 (four: \xff).
 * NUL bytes stay, hence *out_length.  A malloc'd string, also ended by NUL.
 */
char *pa_escape_json(const char *bytes, size_t length, size_t *out_length);

#endif /* PA_CLIENT_ESCAPE_H */
