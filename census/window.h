/* SPDX-License-Identifier: MIT
 *
 * Reading a source fast: a window that slides over its runs, and a cache of
 * pages for what lies here and there.
 */
#ifndef PA_CENSUS_WINDOW_H
#define PA_CENSUS_WINDOW_H

#include <string.h>

#include "census/source.h"

#define PA_WINDOW_MAX ((size_t)1 << 20)
#define PA_WINDOW_PAGES 2048u

struct pa_window {
	const struct pa_census_source *source;
	uint8_t *bytes;
	uint64_t start, end;	/* what it holds now */
	uint64_t lost;		/* resident bytes that could not be read */
	uint64_t loaded;	/* bytes read, for the progress */
	uint64_t *tags;		/* of the page cache; 0 = empty */
	uint8_t *pages;
};

/* 0, or -1 without memory. */
int pa_window_init(struct pa_window *window,
		   const struct pa_census_source *source);
void pa_window_deinit(struct pa_window *window);

/*
 * n <= 64 KiB bytes at an address, zeros where the target has none.  Valid
 * until the next call with this window.
 */
const uint8_t *pa_window_at(struct pa_window *window, uint64_t address,
			    size_t n);

/* n bytes of anything that is mapped; all or none.  For single words. */
bool pa_window_peek(struct pa_window *window, uint64_t address, void *buffer,
		    size_t n);

/* The first run that ends behind an address; n_runs if none does. */
size_t pa_census_find_run(const struct pa_census_source *source,
			  uint64_t address);

/* Bytes of runs between two addresses. */
uint64_t pa_census_resident(const struct pa_census_source *source,
			    uint64_t start, uint64_t end);

static inline uint64_t pa_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof word);
	return word;
}

static inline uint32_t pa_half(const uint8_t *bytes)
{
	uint32_t half;

	memcpy(&half, bytes, sizeof half);
	return half;
}

#endif /* PA_CENSUS_WINDOW_H */
