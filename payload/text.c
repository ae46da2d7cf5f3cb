/* SPDX-License-Identifier: MIT
 *
 * See text.h.
 */
#include <string.h>

#include "payload/text.h"

void pa_text_init(struct pa_text *text, char *buffer, size_t size)
{
	*text = (struct pa_text){ buffer, size, 0 };
	buffer[0] = 0;
}

void pa_text_bytes(struct pa_text *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->length;

	if (length > room)
		length = room;
	memcpy(text->start + text->length, bytes, length);
	text->length += length;
	text->start[text->length] = 0;
}

void pa_text_string(struct pa_text *text, const char *string)
{
	pa_text_bytes(text, string, strlen(string));
}

static void digits(struct pa_text *text, uint64_t number, unsigned base,
		   int width)
{
	char buffer[24], *p = buffer + sizeof buffer;

	do {
		*--p = "0123456789abcdef"[number % base];
		number /= base;
		width--;
	} while (number || width > 0);
	pa_text_bytes(text, p, (size_t)(buffer + sizeof buffer - p));
}

void pa_text_number(struct pa_text *text, uint64_t number)
{
	digits(text, number, 10, 1);
}

void pa_text_hex(struct pa_text *text, uint64_t number)
{
	pa_text_string(text, "0x");
	digits(text, number, 16, 1);
}

/* Three decimals, no zeros at the end. */
static void decimals(struct pa_text *text, double number)
{
	uint64_t thousandths = (uint64_t)(number * 1000 + 0.5);
	uint64_t rest = thousandths % 1000;
	int width = 3;

	digits(text, thousandths / 1000, 10, 1);
	if (!rest)
		return;
	for (; rest % 10 == 0; width--)
		rest /= 10;
	pa_text_string(text, ".");
	digits(text, rest, 10, width);
}

static void scientific(struct pa_text *text, double number)
{
	unsigned exponent = 0;
	uint64_t mantissa;

	for (; number >= 1e32; exponent += 16)
		number /= 1e16;
	for (; number >= 10; exponent++)
		number /= 10;
	mantissa = (uint64_t)(number * 1e15 + 0.5);
	if (mantissa >= 10000000000000000ull) {
		mantissa /= 10;
		exponent++;
	}
	digits(text, mantissa / 1000000000000000ull, 10, 1);
	pa_text_string(text, ".");
	digits(text, mantissa % 1000000000000000ull, 10, 15);
	pa_text_string(text, "e+");
	digits(text, exponent, 10, 2);
}

void pa_text_double(struct pa_text *text, double number)
{
	if (!(number > 0))	/* a sum of weights is never below 0 */
		pa_text_string(text, "0");
	else if (number >= 1e12 && number < 1e15)	/* thousandths: > 2^53 */
		digits(text, (uint64_t)(number + 0.5), 10, 1);
	else if (number < 1e12)
		decimals(text, number);
	else if (number <= 1.7e308)
		scientific(text, number);
	else
		pa_text_string(text, "1.7e+308");
}

void pa_text_escaped(struct pa_text *text, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c >= 0x20 && c < 0x7f && c != '\\') {
			pa_text_bytes(text, bytes + i, 1);
			continue;
		}
		pa_text_string(text, "\\x");
		digits(text, c, 16, 2);
	}
}

int pa_text_parse(const char *string, size_t length, uint64_t *number)
{
	uint64_t n = 0;

	if (!length)
		return -1;
	for (size_t i = 0; i < length; i++) {
		unsigned digit = (unsigned)(unsigned char)string[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n)
		    || __builtin_add_overflow(n, digit, &n))
			return -1;
	}
	*number = n;
	return 0;
}
