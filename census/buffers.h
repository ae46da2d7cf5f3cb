/* SPDX-License-Identifier: MIT
 *
 * Blocks that hold no object - tables, arrays, text - and whose they are.
 *
 * First all of them are added, then the table is closed, then owners are
 * told.  A known layout beats a pointer that was merely found; a type beats
 * its instances, since they share the keys of its dicts.
 */
#ifndef PA_CENSUS_BUFFERS_H
#define PA_CENSUS_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pa_claim { PA_CLAIM_NONE, PA_CLAIM_SCAN, PA_CLAIM_LAYOUT, PA_CLAIM_TYPE };

/* There are millions: address and owner share a word, so do size and claim. */
struct pa_buffer {
	uint64_t where;		/* address / 16, index of a type: 0 = nobody's */
	uint64_t what;		/* size / 16, PA_BUFFER_SHARED, enum pa_claim */
};
#define PA_OWNER_BITS 20u
#define PA_OWNER_MASK ((1ull << PA_OWNER_BITS) - 1)
#define PA_BUFFER_SHARED 4ull	/* types of the same claim differ */
#define PA_CLAIM_MASK 3ull
#define PA_CLAIM_BITS 3u

struct pa_edge {
	uint32_t from, to;	/* buffers */
};

struct pa_buffers {
	struct pa_buffer *buffer;	/* by address once closed */
	uint32_t count, room;
	uint32_t *slots;	/* index + 1 of a page's first, by page */
	uint32_t n_slots;
	uint64_t *filter;	/* bits by address: may be a start */
	uint64_t low, high;	/* addresses */
	uint32_t last;		/* found: the next is often its neighbour */
	struct pa_edge *edges;
	uint32_t n_edges, room_edges;
	bool no_memory;
};

void pa_buffers_deinit(struct pa_buffers *buffers);
/* Multiples of 16, below 2^47. */
void pa_buffers_add(struct pa_buffers *buffers, uint64_t address,
		    uint64_t size);
/* 0, or -1 without memory. */
int pa_buffers_close(struct pa_buffers *buffers);

/* The buffer that begins at an address, or -1. */
int64_t pa_buffers_at(struct pa_buffers *buffers, uint64_t address);
/* The buffer that holds an address, or -1. */
int64_t pa_buffers_around(struct pa_buffers *buffers, uint64_t address);

void pa_buffers_claim(struct pa_buffers *buffers, int64_t index,
		      uint32_t owner, enum pa_claim claim);
/* One buffer points at another. */
void pa_buffers_link(struct pa_buffers *buffers, int64_t from, int64_t to);
/* What a buffer points at is its owner's, where nobody else claims it. */
void pa_buffers_spread(struct pa_buffers *buffers);

static inline uint64_t pa_buffer_address(const struct pa_buffer *buffer)
{
	return buffer->where >> PA_OWNER_BITS << 4;
}

static inline uint64_t pa_buffer_size(const struct pa_buffer *buffer)
{
	return buffer->what >> PA_CLAIM_BITS << 4;
}

static inline uint32_t pa_buffer_owner(const struct pa_buffer *buffer)
{
	return buffer->where & PA_OWNER_MASK;
}

static inline enum pa_claim pa_buffer_claim(const struct pa_buffer *buffer)
{
	return (enum pa_claim)(buffer->what & PA_CLAIM_MASK);
}

static inline uint64_t pa_buffer_hash(uint64_t address)
{
	return (address >> 4) * 0x9e3779b97f4a7c15ull;
}

/* Is it certain that no buffer begins here?  Fast, for every word. */
static inline bool pa_buffers_none(const struct pa_buffers *buffers,
				   uint64_t word)
{
	uint64_t h;

	if (word & 15 || word < buffers->low || word > buffers->high)
		return true;
	h = pa_buffer_hash(word) >> 40;
	return !(buffers->filter[h / 64] >> h % 64 & 1);
}

#endif /* PA_CENSUS_BUFFERS_H */
