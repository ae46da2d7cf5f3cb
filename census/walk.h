/* SPDX-License-Identifier: MIT
 *
 * Every block of memory that an allocator handed out: pymalloc's pools and
 * glibc's chunks, found by their own headers alone.
 *
 * The same walk serves every pass; what is done with a block is the
 * visitor's business.
 */
#ifndef PA_CENSUS_WALK_H
#define PA_CENSUS_WALK_H

#include "census/window.h"

#define PA_POOL_MAX 16384u
#define PA_POOL_HEADER 48u
#define PA_POOL_BLOCKS (PA_POOL_MAX / 16)
#define PA_CHUNK_HEAD 16u	/* of glibc */

struct pa_pool {
	uint64_t address;
	uint32_t bytes;		/* 4 or 16 KiB */
	uint32_t size;		/* of a block */
	uint32_t carved, live;	/* blocks */
	uint32_t arena;
	uint8_t free[PA_POOL_BLOCKS / 8];
};

enum pa_pool_found {
	PA_POOL_NONE,		/* no pool here */
	PA_POOL_WHOLE,
	PA_POOL_CHANGING,	/* a pool, but its numbers do not agree */
};

/* Is there a pool in these `room` bytes (16 or 4 KiB) of an address? */
enum pa_pool_found pa_pool_look(const uint8_t *bytes, size_t room,
				uint64_t address, struct pa_pool *pool);

struct pa_block {
	uint64_t address, size;	/* what its owner may use */
	uint64_t charge;	/* what it takes, its header too */
	const uint8_t *head;	/* its first bytes, until the window moves */
	size_t head_size;
	bool small;		/* of a pool */
};

struct pa_walk {
	struct pa_window *window;
	void *context;
	void (*block)(void *context, const struct pa_block *block);
	/* each may be NULL */
	void (*pool)(void *context, const struct pa_pool *pool);
	void (*chunk)(void *context, uint64_t address, uint64_t size,
		      bool live);
	/* memory that is there and is none of these */
	void (*gap)(void *context, uint64_t start, uint64_t end);
	/* the size of a pool of no interest at an address, or 0 */
	uint64_t (*skip)(void *context, uint64_t address);
	/* glibc marks the small chunks that it keeps with this; 0 = unknown */
	uint64_t kept_key;
	uint64_t changing, damaged;
	double part_from, part_to;	/* of the whole census, for progress */
	uint64_t reported;
	bool stopped;
};

/* Visit all blocks of all ranges. */
void pa_walk_all(struct pa_walk *walk);

/* ---- chunks.c ---- */

/* Chunks from start to the end of their heap. */
void pa_walk_chunks(struct pa_walk *walk, uint64_t start, uint64_t end);

/* Where the chunks of a heap of another arena begin and end; false if there
 * is none at this address (a multiple of PA_HEAP_MAX). */
#define PA_HEAP_MAX ((uint64_t)64 << 20)
bool pa_find_heap(struct pa_walk *walk, uint64_t address, uint64_t limit,
		  uint64_t *start, uint64_t *end);

/* Does a range without a name begin like the main heap?  (In a core.) */
bool pa_is_main_heap(struct pa_walk *walk, uint64_t start, uint64_t end);

/* Size of a chunk that has a mapping of its own, or 0. */
uint64_t pa_find_mapped_chunk(struct pa_walk *walk, uint64_t address,
			      uint64_t limit);

/* Hand one live chunk to the visitor. */
void pa_visit_chunk(struct pa_walk *walk, uint64_t address, uint64_t size);

#endif /* PA_CENSUS_WALK_H */
