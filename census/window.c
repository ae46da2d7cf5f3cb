/* SPDX-License-Identifier: MIT
 *
 * Reading a source; see window.h.  Bytes that are not resident are zeros
 * and never asked for.
 */
#include "census/window.h"

#include <stdlib.h>

#define NEAR ((size_t)64 << 10)	/* window after a jump */
#define BACK ((size_t)16 << 10)	/* what a walk may look at once more */
#define AHEAD ((size_t)16)	/* pages, for the cache */

int pa_window_init(struct pa_window *window,
		   const struct pa_census_source *source)
{
	memset(window, 0, sizeof *window);
	window->source = source;
	window->bytes = malloc(PA_WINDOW_MAX);
	window->tags = calloc(PA_WINDOW_PAGES, sizeof *window->tags);
	window->pages = malloc((size_t)PA_WINDOW_PAGES * PA_CENSUS_PAGE);
	return window->bytes && window->tags && window->pages ? 0 : -1;
}

void pa_window_deinit(struct pa_window *window)
{
	free(window->bytes);
	free(window->tags);
	free(window->pages);
	memset(window, 0, sizeof *window);
}

size_t pa_census_find_run(const struct pa_census_source *source,
			  uint64_t address)
{
	size_t low = 0, high = source->n_runs;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (source->runs[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t resident_before(const struct pa_census_source *source,
				uint64_t address)
{
	size_t i = pa_census_find_run(source, address);
	const struct pa_census_run *run;

	if (!source->n_runs)
		return 0;
	if (i == source->n_runs) {
		run = &source->runs[i - 1];
		return run->before + (run->end - run->start);
	}
	run = &source->runs[i];
	return run->before + (address > run->start ? address - run->start : 0);
}

uint64_t pa_census_resident(const struct pa_census_source *source,
			    uint64_t start, uint64_t end)
{
	return end <= start ? 0 :
		resident_before(source, end) - resident_before(source, start);
}

/* Bytes of one run into the window; what cannot be read becomes zeros, and
 * counts as lost if it was not in the window before. */
static void load_piece(struct pa_window *window, uint64_t start, uint64_t end,
		       const struct pa_census_run *before)
{
	const struct pa_census_source *source = window->source;

	while (start < end) {
		uint8_t *to = window->bytes + (start - window->start);
		size_t got = source->read(source->context, start, to,
					  (size_t)(end - start));
		uint64_t hole;

		if (got > end - start)
			got = (size_t)(end - start);
		start += got;
		window->loaded += got;
		if (start == end)
			return;
		hole = PA_CENSUS_PAGE - start % PA_CENSUS_PAGE;
		if (hole > end - start)
			hole = end - start;
		memset(window->bytes + (start - window->start), 0, hole);
		if (start < before->start || start >= before->end)
			window->lost += hole;
		start += hole;
	}
}

static void load(struct pa_window *window, uint64_t start, size_t n)
{
	const struct pa_census_source *source = window->source;
	const struct pa_census_run before = {
		.start = window->start, .end = window->end,
	};
	uint64_t at = start, end = start + n;

	window->start = start;
	window->end = end;
	for (size_t i = pa_census_find_run(source, start);
	     at < end && i < source->n_runs; i++) {
		uint64_t from = source->runs[i].start, to = source->runs[i].end;

		from = from < at ? at : from > end ? end : from;
		to = to > end ? end : to;
		memset(window->bytes + (at - start), 0, from - at);
		if (to > from)
			load_piece(window, from, to, &before);
		at = to > from ? to : from;
	}
	memset(window->bytes + (at - start), 0, end - at);
}

/* Does a walk go on here?  Whoever walks over chunks looks at the head of the
 * next one, then at what is in this one. */
static bool goes_on(const struct pa_window *window, uint64_t start)
{
	return window->end && start + 2 * NEAR >= window->start &&
		start <= window->end + 2 * NEAR;
}

const uint8_t *pa_window_at(struct pa_window *window, uint64_t address,
			    size_t n)
{
	uint64_t start = address & ~(uint64_t)(PA_CENSUS_PAGE - 1);
	size_t want = NEAR;

	if (address >= window->start && address < window->end &&
	    n <= window->end - address)
		return window->bytes + (address - window->start);
	if (goes_on(window, start)) {
		want = PA_WINDOW_MAX;
		start -= start > BACK ? BACK : 0;
	} else if (want < n + PA_CENSUS_PAGE) {
		want = 3 * NEAR;
	}
	if (start > UINT64_MAX - want)
		start = UINT64_MAX - want;
	load(window, start, want);
	return window->bytes + (address - start);
}

/* How many pages to read from this one on: several where the one before was
 * asked for, too, and memory that is there goes on. */
static size_t pages_ahead(const struct pa_window *window, uint64_t page)
{
	const struct pa_census_source *source = window->source;
	uint64_t number = page / PA_CENSUS_PAGE;
	size_t i = number % PA_WINDOW_PAGES, run, most;

	if (!number || window->tags[(number - 1) % PA_WINDOW_PAGES] !=
	    page - PA_CENSUS_PAGE + 1)
		return 1;
	run = pa_census_find_run(source, page);
	if (run == source->n_runs || source->runs[run].start > page)
		return 1;
	most = (size_t)((source->runs[run].end - page) / PA_CENSUS_PAGE);
	most = most < AHEAD ? most : AHEAD;
	most = most < PA_WINDOW_PAGES - i ? most : PA_WINDOW_PAGES - i;
	return most ? most : 1;
}

static const uint8_t *find_page(struct pa_window *window, uint64_t page)
{
	const struct pa_census_source *source = window->source;
	size_t i = page / PA_CENSUS_PAGE % PA_WINDOW_PAGES, n, got;
	uint8_t *bytes = window->pages + i * PA_CENSUS_PAGE;

	if (window->tags[i] == page + 1)
		return bytes;
	n = pages_ahead(window, page);
	memset(window->tags + i, 0, n * sizeof *window->tags);
	got = source->read(source->context, page, bytes, n * PA_CENSUS_PAGE);
	for (size_t k = 0; k < n && (k + 1) * PA_CENSUS_PAGE <= got; k++)
		window->tags[i + k] = page + k * PA_CENSUS_PAGE + 1;
	return window->tags[i] ? bytes : NULL;
}

bool pa_window_peek(struct pa_window *window, uint64_t address, void *buffer,
		    size_t n)
{
	uint8_t *to = buffer;

	if (address > UINT64_MAX - n)
		return false;
	while (n) {
		size_t offset = address % PA_CENSUS_PAGE;
		size_t k = PA_CENSUS_PAGE - offset;
		const uint8_t *page = find_page(window, address - offset);

		if (!page)
			return false;
		k = k < n ? k : n;
		memcpy(to, page + offset, k);
		to += k;
		address += k;
		n -= k;
	}
	return true;
}
