/* SPDX-License-Identifier: MIT
 *
 * A census of one piece of memory that the test itself holds.
 */
#ifndef PA_TESTS_CENSUS_FIXTURE_H
#define PA_TESTS_CENSUS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "census/census.h"
#include "tests/unit/unit.h"

/* `size` bytes that the process has at `start`. */
struct piece {
	const uint8_t *bytes;
	uint64_t start;
	size_t size;
	enum pa_census_kind kind;
};

/* The read of a source whose context is a piece: how many bytes, 0 outside. */
static inline size_t read_piece(void *context, uint64_t address, void *buffer,
				size_t n)
{
	const struct piece *piece = context;
	uint64_t at = address - piece->start;

	if (at >= piece->size)
		return 0;
	n = n < piece->size - at ? n : piece->size - at;
	memcpy(buffer, piece->bytes + at, n);
	return n;
}

/* The census of it, all resident; `source` tells the version and how to read.
 * The caller frees it. */
static inline struct pa_census census_of(const struct piece *piece,
					 struct pa_census_source source)
{
	const struct pa_census_range range = {
		.start = piece->start, .end = piece->start + piece->size,
		.kind = piece->kind, .writable = true,
		.resident = piece->size,
	};
	const struct pa_census_run run = {
		.start = range.start, .end = range.end,
	};
	struct pa_census census;

	source.ranges = &range;
	source.runs = &run;
	source.n_ranges = source.n_runs = 1;
	assert_int_equal(pa_census_run(&source, &census), 0);
	assert_int_equal(census.rss, piece->size);
	return census;
}

#endif /* PA_TESTS_CENSUS_FIXTURE_H */
