/* SPDX-License-Identifier: MIT
 *
 * What a census reads: the memory of a process or of a core, as ranges and
 * as runs of bytes that are really there.
 *
 * Whoever fills this in promises that a read makes nothing resident in the
 * target.  All addresses are the target's.  Not for several threads.
 */
#ifndef PA_CENSUS_SOURCE_H
#define PA_CENSUS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_CENSUS_PAGE 4096u

enum pa_census_kind {
	PA_RANGE_ANON,		/* private, writable, of no file */
	PA_RANGE_HEAP,		/* [heap]: glibc's main arena */
	PA_RANGE_STACK,		/* of a thread */
	PA_RANGE_FILE,		/* everything else */
};

struct pa_census_range {
	uint64_t start, end;
	enum pa_census_kind kind;
	bool writable;
	uint64_t resident, swapped;	/* bytes */
	const char *name;	/* of the file, or NULL; hostile */
};

/* Bytes of anonymous memory that can be read.  Page aligned. */
struct pa_census_run {
	uint64_t start, end;
	uint64_t before;	/* bytes of all runs in front of it */
};

struct pa_census_source {
	int python_minor;
	bool live;		/* it changes while it is read */
	const struct pa_census_range *ranges;	/* by address, disjoint */
	size_t n_ranges;
	const struct pa_census_run *runs;	/* by address, disjoint */
	size_t n_runs;
	void *context;
	/* How many of the first n bytes at an address could be read. */
	size_t (*read)(void *context, uint64_t address, void *buffer,
		       size_t n);
	/* Called now and then with the part that is done, 0 .. 1; or NULL.
	 * false ends the census. */
	bool (*progress)(void *context, double part);
};

#endif /* PA_CENSUS_SOURCE_H */
