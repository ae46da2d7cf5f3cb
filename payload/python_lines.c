/* SPDX-License-Identifier: MIT
 *
 * From an instruction to its line, for the three formats of line tables.
 * Pure functions over the bytes of the table; they never read beyond its end
 * and end with it, whatever it holds.
 */
#include "payload/python_walk.h"

static uint32_t positive(int64_t line)
{
	return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

/* 3.8, 3.9: pairs of bytes (distance, step of the line); a step holds from
 * where the distances so far end. */
static uint32_t find_lnotab(const uint8_t *p, const uint8_t *end,
			    int64_t line, int32_t place)
{
	int64_t at = 0;

	for (; end - p >= 2; p += 2) {
		at += p[0];
		if (at > place)
			break;
		line += (int8_t)p[1];
	}
	return positive(line);
}

/* 3.10: pairs (length, step of the line): the step first, then the range it
 * covers; step -128: these instructions have no line. */
static uint32_t find_ranges(const uint8_t *p, const uint8_t *end,
			    int64_t line, int32_t place)
{
	int64_t at = 0;

	for (; end - p >= 2; p += 2) {
		int8_t step = (int8_t)p[1];

		if (step != INT8_MIN)
			line += step;
		at += p[0];
		if (place < at)
			return step == INT8_MIN ? 0 : positive(line);
	}
	return 0;
}

/* Six bits a byte, the lowest first; bit 6 says that more follow.  The sign
 * is in the lowest bit. */
static const uint8_t *read_signed(const uint8_t *p, const uint8_t *end,
				  int64_t *value)
{
	uint64_t bits = 0;
	unsigned shift = 0;

	while (p < end) {
		bits |= (uint64_t)(*p & 63) << shift;
		if (shift < 48)
			shift += 6;
		if (!(*p++ & 64))
			break;
	}
	*value = bits & 1 ? -(int64_t)(bits >> 1) : (int64_t)(bits >> 1);
	return p;
}

enum { CODE_ONE_LINE = 10, CODE_NO_COLUMNS = 13, CODE_LONG, CODE_NONE };

/* 3.11 and later: entries that begin with a byte 1CCCCLLL: CCCC tells what
 * follows, LLL + 1 is the number of code units.  Only bytes that begin an
 * entry have the high bit, so columns are passed over without decoding. */
static uint32_t find_locations(const uint8_t *p, const uint8_t *end,
			       int64_t line, int32_t place)
{
	int64_t at = 0;

	while (p < end) {
		unsigned code = *p >> 3 & 15;
		int64_t step = 0;

		at += (*p++ & 7) + 1;
		if (code == CODE_NO_COLUMNS || code == CODE_LONG)
			p = read_signed(p, end, &step);
		else if (code >= CODE_ONE_LINE && code < CODE_NO_COLUMNS)
			step = code - CODE_ONE_LINE;
		line += step;
		if (place < at)
			return code == CODE_NONE ? 0 : positive(line);
		while (p < end && !(*p & 128))
			p++;
	}
	return 0;
}

uint32_t pa_lines_find(enum pa_line_format format, const uint8_t *table,
		       size_t size, int32_t first_line, int32_t place)
{
	if (place < 0)
		return positive(first_line);
	switch (format) {
	case PA_LINES_LNOTAB:
		return find_lnotab(table, table + size, first_line, place);
	case PA_LINES_RANGES:
		return find_ranges(table, table + size, first_line, place);
	case PA_LINES_LOCATIONS:
		return find_locations(table, table + size, first_line, place);
	}
	return 0;
}
