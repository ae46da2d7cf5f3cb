/* SPDX-License-Identifier: MIT
 *
 * Text into a bounded buffer, without the C library's printf: that follows
 * the target's locale and may allocate.  What does not fit is cut off; the
 * text is always terminated.  Pure functions, any thread.
 */
#ifndef PA_PAYLOAD_TEXT_H
#define PA_PAYLOAD_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct pa_text {
	char *start;
	size_t size;		/* of the buffer, with the NUL */
	size_t length;		/* without the NUL */
};

void pa_text_init(struct pa_text *text, char *buffer, size_t size);
void pa_text_bytes(struct pa_text *text, const char *bytes, size_t length);
void pa_text_string(struct pa_text *text, const char *string);
void pa_text_number(struct pa_text *text, uint64_t number);
void pa_text_hex(struct pa_text *text, uint64_t number);
/* Up to three decimals, or 16 digits and an exponent from 10^15 on. */
void pa_text_double(struct pa_text *text, double number);
/* Printable ASCII as it is, all else as backslash x and two digits. */
void pa_text_escaped(struct pa_text *text, const char *bytes, size_t length);

/* Digits only, the whole of the string, no overflow.  0 or -1. */
int pa_text_parse(const char *string, size_t length, uint64_t *number);

#endif /* PA_PAYLOAD_TEXT_H */
