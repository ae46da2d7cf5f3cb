/* SPDX-License-Identifier: MIT
 *
 * The walk of a thread's Python frames and what is read from code objects:
 * names, lines, content hash.  All by borrowed reads: nothing is allocated,
 * no reference count changes, no API is called.  Everything handed in must
 * be alive and must not be changed meanwhile by another thread: one's own
 * frames, or another's while the GIL is held.
 */
#ifndef PA_PAYLOAD_PYTHON_WALK_H
#define PA_PAYLOAD_PYTHON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload/python_layout.h"

/* ---- frames (python_frames.c) ---- */

struct pa_python_frame {
	const char *code;
	/* the instruction, -1 before the first: bytes up to 3.10, else code
	 * units of two bytes */
	int32_t place;
};

/* The innermost frame of a thread state, of whatever kind, or NULL. */
const char *pa_frames_innermost(const char *thread);

/*
 * Up to `max` complete Python frames of a thread state, innermost first.
 * *deeper: there are more.  Cyclic lists end too.  Returns their number.
 */
unsigned pa_frames_walk(const char *thread, struct pa_python_frame *frames,
			unsigned max, bool *deeper);

/* ---- line tables (python_lines.c): pure functions ---- */

/* The line of an instruction; 0 where the table knows none. */
uint32_t pa_lines_find(enum pa_line_format format, const uint8_t *table,
		       size_t size, int32_t first_line, int32_t place);

/* ---- names (python_names.c) ---- */

#define PA_NAME_MAX 65536u	/* bytes of UTF-8; longer names end in U+2026 */

/* The characters of a str object, as they lie there. */
struct pa_characters {
	const void *data;
	size_t length;		/* characters */
	unsigned size;		/* bytes each: 1, 2 or 4; 0: none */
	bool ascii;
};

struct pa_characters pa_name_characters(const char *text);

/*
 * As UTF-8, a lone surrogate as its three bytes.  Points into the object
 * where that is ASCII and short enough, else into buffer[PA_NAME_MAX].
 */
const char *pa_name_utf8(const struct pa_characters *characters,
			 char *buffer, uint32_t *length);

/* Hash of n bytes, chained by `seed`. */
uint64_t pa_hash_bytes(uint64_t seed, const void *bytes, size_t n);

/* Hash of all that names and lines of a code object are made from: equal
 * hashes, equal frames.  Addresses do not enter it. */
uint64_t pa_code_hash(const char *code);

/* The line of an instruction of a code object; 0: not known. */
uint32_t pa_code_line(const char *code, int32_t place);

#endif /* PA_PAYLOAD_PYTHON_WALK_H */
