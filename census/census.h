/* SPDX-License-Identifier: MIT
 *
 * The census: what a CPython holds, by type, and where its memory goes, told
 * from the outside.
 *
 * The memory may hold anything: nothing read from it is trusted, every loop
 * is bounded by the bytes that are there.  No output, no I/O but through the
 * source.  Sizes are bytes.  Not for several threads.
 */
#ifndef PA_CENSUS_CENSUS_H
#define PA_CENSUS_CENSUS_H

#include "census/source.h"

#define PA_CENSUS_CLASSES 32	/* block sizes of 16, 32, ... 512 bytes */

/* Rows that are no type. */
enum pa_census_special {
	PA_CENSUS_TYPE = 0,
	PA_CENSUS_NATIVE,	/* a block that no object points at */
	PA_CENSUS_SHARED,	/* objects of several types point at it */
	PA_CENSUS_KEPT,		/* in a free list of the interpreter */
};

struct pa_census_row {
	enum pa_census_special special;
	const char *module, *name;	/* UTF-8 or anything: hostile */
	uint64_t objects;
	uint64_t bytes;			/* the blocks that they lie in */
	uint64_t buffers;		/* the blocks that they own */
};

enum pa_census_memory {
	PA_MEMORY_SMALL_LIVE,
	PA_MEMORY_SMALL_FREE,	/* inside pools that are in use */
	PA_MEMORY_HEADERS,	/* of pools */
	PA_MEMORY_FREE_POOLS,
	PA_MEMORY_LARGE_LIVE,
	PA_MEMORY_LARGE_FREE,
	PA_MEMORY_ANONYMOUS,	/* anything else */
	PA_MEMORY_STACKS,
	PA_MEMORY_FILES,
	PA_MEMORY_NOT_READ,
	PA_MEMORY_KINDS,
};

/* Their words in JSON, in the order of the enum. */
extern const char *const pa_census_memory_words[PA_MEMORY_KINDS];

struct pa_census_class {
	uint64_t pools, live;	/* pools in use, blocks in them */
	uint64_t free;		/* resident bytes of free blocks */
};

struct pa_census {
	struct pa_census_row *rows;	/* by module and name, types first */
	size_t n_rows;
	uint64_t memory[PA_MEMORY_KINDS];	/* adds up to rss */
	uint64_t rss, swapped;
	struct pa_census_class classes[PA_CENSUS_CLASSES];
	uint64_t pools;			/* found */
	uint64_t pools_changing;	/* not consistent in three tries */
	uint64_t arenas;
	uint64_t arenas_sparse;		/* less than a quarter in use */
	uint64_t sparse_bytes;		/* resident in those */
	uint64_t types;
	uint64_t objects, debug_blocks, small_chunks;
	uint64_t damaged;		/* links and sizes that lead nowhere */
	char *names;			/* of the rows */
};

/* 0, PA_E_FAILED without memory, PA_E_TIMEOUT where progress said so. */
int pa_census_run(const struct pa_census_source *source,
		  struct pa_census *census);
void pa_census_free(struct pa_census *census);

#endif /* PA_CENSUS_CENSUS_H */
