/* SPDX-License-Identifier: MIT
 *
 * glibc's chunks: the main heap, the heaps of other arenas, chunks with a
 * mapping of their own.  A chunk is in use when the next one says so and no
 * thread keeps it for itself; those in fastbins look used.
 */
#include "census/walk.h"

enum {
	SIZE = 8, USER = 16, PREV_IN_USE = 1, MAPPED = 2, FLAGS = 7,
	SIZE_MIN = 32, FENCE = 32, AGREE = 4,
};
#define HEAD 4096u
/* A thread's own list of free chunks, the first chunk of its heap. */
#define LIST_LEAST 512u
#define LIST_MOST 4096u
#define KEPT_MOST 1040u		/* size of a chunk in it */
#define TRIAL 256u

static uint64_t size_field(struct pa_walk *walk, uint64_t address)
{
	return pa_word(pa_window_at(walk->window, address + SIZE, 8));
}

/* The size of a chunk that fits in front of `end`, or 0. */
static uint64_t chunk_size(struct pa_walk *walk, uint64_t address,
			   uint64_t end)
{
	uint64_t size;

	if (end - address < SIZE_MIN || address >= end)
		return 0;
	size = size_field(walk, address) & ~(uint64_t)FLAGS;
	return size < SIZE_MIN || size % 16 || size > end - address ? 0 : size;
}

/* Where a heap could not grow glibc ends it with two heads that are no chunks:
 * the first has only the size of a head, the second that or none. */
static bool is_fence(struct pa_walk *walk, uint64_t address, uint64_t end)
{
	uint64_t next;

	if (end - address < FENCE || address >= end ||
	    (size_field(walk, address) & ~(uint64_t)FLAGS) != USER)
		return false;
	next = size_field(walk, address + USER);
	return next & PREV_IN_USE && (next & ~(uint64_t)FLAGS) <= USER;
}

/* Do so many chunks in a row look right from here, or all up to the end? */
static bool chunks_agree(struct pa_walk *walk, uint64_t address, uint64_t end,
			 unsigned n)
{
	while (n-- && address < end) {
		uint64_t size = chunk_size(walk, address, end);

		if (!size && !is_fence(walk, address, end))
			return false;
		address += size ? size : FENCE;
	}
	return true;
}

void pa_visit_chunk(struct pa_walk *walk, uint64_t address, uint64_t size)
{
	struct pa_block block = {
		.address = address + USER, .charge = size,
	};

	/* the last word of a mapped chunk is not the owner's, of others the
	 * first word of the next chunk is: the difference is noise */
	block.size = size - SIZE;
	block.head_size = block.size < HEAD ? block.size : HEAD;
	block.head = pa_window_at(walk->window, block.address,
				  block.head_size);
	walk->block(walk->context, &block);
}

/*
 * Free chunks that a thread keeps for itself look used.  Each has a key in
 * its second word: the list's own address, or (from glibc 2.34 on) a random
 * number, the same in all.  Find it through the list.
 */
static void find_kept_key(struct pa_walk *walk, uint64_t start, uint64_t end)
{
	uint64_t size = chunk_size(walk, start, end), key = 0;
	uint64_t lists[LIST_MOST / 8];
	unsigned agree = 0;

	if (walk->kept_key || size < LIST_LEAST || size > LIST_MOST)
		return;
	memcpy(lists, pa_window_at(walk->window, start + USER, size - USER),
	       size - USER);
	for (size_t i = 0; i < (size - USER) / 8 && agree < AGREE; i++) {
		uint64_t other;

		if (lists[i] % 16 || lists[i] < start + size ||
		    lists[i] >= end || end - lists[i] < 2 * SIZE)
			continue;
		other = pa_word(pa_window_at(walk->window, lists[i] + SIZE, 8));
		agree = other && other == key ? agree + 1 : 0;
		key = other;
	}
	/* a random number is no address: types are addresses, too */
	if (key == start + USER || (agree && key >> 47))
		walk->kept_key = key;
}

static bool is_kept(struct pa_walk *walk, uint64_t address, uint64_t size)
{
	return walk->kept_key && size <= KEPT_MOST && size >= SIZE_MIN &&
		size_field(walk, address + USER) == walk->kept_key;
}

void pa_walk_chunks(struct pa_walk *walk, uint64_t start, uint64_t end)
{
	uint64_t at = start;

	find_kept_key(walk, start, end);

	while (at < end && end - at >= SIZE_MIN && !walk->stopped) {
		uint64_t size = chunk_size(walk, at, end);
		bool live;

		if (!size && is_fence(walk, at, end)) {
			if (walk->chunk)
				walk->chunk(walk->context, at, FENCE, false);
			at += FENCE;
			continue;
		}
		if (!size) {
			/* go on where chunks make sense again */
			walk->damaged++;
			do
				at += 16;
			while (end - at >= SIZE_MIN &&
			       !chunks_agree(walk, at, end, AGREE));
			continue;
		}
		/* the last one is the room that is left */
		live = end - at > size + USER &&
			size_field(walk, at + size) & PREV_IN_USE &&
			!is_kept(walk, at, size);
		if (walk->chunk)
			walk->chunk(walk->context, at, size, live);
		if (live)
			pa_visit_chunk(walk, at, size);
		at += size;
	}
}

bool pa_find_heap(struct pa_walk *walk, uint64_t address, uint64_t limit,
		  uint64_t *start, uint64_t *end)
{
	const uint8_t *head = pa_window_at(walk->window, address, 64);
	uint64_t arena = pa_word(head), size = pa_word(head + 16);
	uint64_t mapped = pa_word(head + 24), in = arena % PA_HEAP_MAX;
	bool first = arena / PA_HEAP_MAX == address / PA_HEAP_MAX;
	uint64_t from, to;

	if (in < 0x20 || in > 0x60 || size % PA_CENSUS_PAGE || !size ||
	    size > PA_HEAP_MAX || mapped < size || mapped > PA_HEAP_MAX)
		return false;
	*end = address + size < limit ? address + size : limit;
	/* Behind its description, which grows with glibc's versions. */
	from = first ? arena + 2048 : address + 0x20;
	to = first ? arena + 2560 : address + 0x60;
	for (*start = from & ~15ull; *start < to; *start += 16)
		if (*start < *end &&
		    chunks_agree(walk, *start, *end, TRIAL) &&
		    size_field(walk, *start) & PREV_IN_USE)
			return true;
	return false;
}

bool pa_is_main_heap(struct pa_walk *walk, uint64_t start, uint64_t end)
{
	return end - start > SIZE_MIN &&
		size_field(walk, start) & PREV_IN_USE &&
		!(size_field(walk, start) & MAPPED) &&
		!pa_word(pa_window_at(walk->window, start, 8)) &&
		chunks_agree(walk, start, end, TRIAL);
}

uint64_t pa_find_mapped_chunk(struct pa_walk *walk, uint64_t address,
			      uint64_t limit)
{
	const uint8_t *head = pa_window_at(walk->window, address, USER);
	uint64_t size = pa_word(head + SIZE);

	if (pa_word(head) || (size & FLAGS) != MAPPED)
		return 0;
	size &= ~(uint64_t)FLAGS;
	/* glibc 2.43 leaves the header out of the size */
	if (size % PA_CENSUS_PAGE == PA_CENSUS_PAGE - USER)
		size += USER;
	return size < PA_CENSUS_PAGE || size % PA_CENSUS_PAGE ||
		size > limit - address ? 0 : size;
}
