/* SPDX-License-Identifier: MIT
 *
 * The table of buffers; see buffers.h.
 */
#include "census/buffers.h"

#include <stdlib.h>
#include <string.h>

#define BUFFERS_MAX (UINT32_MAX / 4)
#define NEAR 5u
#define PAGE 4096u
#define IN_PAGE (PAGE / 16)	/* buffers that begin in one page */
#define FILTER_BITS ((size_t)1 << 24)

void pa_buffers_deinit(struct pa_buffers *buffers)
{
	free(buffers->buffer);
	free(buffers->slots);
	free(buffers->filter);
	free(buffers->edges);
	memset(buffers, 0, sizeof *buffers);
}

void pa_buffers_add(struct pa_buffers *buffers, uint64_t address,
		    uint64_t size)
{
	if (address >> 47)
		return;
	if (buffers->count == buffers->room) {
		uint32_t room = buffers->room + buffers->room / 2 + 4096;
		struct pa_buffer *more = room > BUFFERS_MAX ? NULL :
			reallocarray(buffers->buffer, room, sizeof *more);

		if (!more) {
			buffers->no_memory = true;
			return;
		}
		buffers->buffer = more;
		buffers->room = room;
	}
	buffers->buffer[buffers->count++] = (struct pa_buffer){
		.where = address >> 4 << PA_OWNER_BITS,
		.what = size >> 4 << PA_CLAIM_BITS,
	};
}

static int by_address(const void *left, const void *right)
{
	const struct pa_buffer *a = left, *b = right;

	return (a->where > b->where) - (a->where < b->where);
}

static bool is_sorted(const struct pa_buffers *buffers)
{
	for (uint32_t i = 1; i < buffers->count; i++)
		if (buffers->buffer[i - 1].where > buffers->buffer[i].where)
			return false;
	return true;
}

static uint64_t page_of(const struct pa_buffer *buffer)
{
	return pa_buffer_address(buffer) / PAGE;
}

static uint32_t hash(const struct pa_buffers *buffers, uint64_t page)
{
	return (uint32_t)(page * 0x9e3779b97f4a7c15ull >> 32) &
		(buffers->n_slots - 1);
}

/* The first buffer of each page, by page: neighbours stay neighbours. */
static int enter_pages(struct pa_buffers *buffers)
{
	const struct pa_buffer *buffer = buffers->buffer;
	uint32_t pages = 0;

	for (uint32_t i = 0; i < buffers->count; i++)
		pages += !i || page_of(&buffer[i - 1]) != page_of(&buffer[i]);
	buffers->n_slots = 1024;
	while (buffers->n_slots < pages * 2ull)
		buffers->n_slots *= 2;
	buffers->slots = calloc(buffers->n_slots, sizeof *buffers->slots);
	if (!buffers->slots)
		return -1;
	for (uint32_t i = 0; i < buffers->count; i++) {
		uint64_t page = page_of(&buffer[i]);
		uint32_t h = hash(buffers, page);

		if (i && page_of(&buffer[i - 1]) == page)
			continue;
		while (buffers->slots[h])
			h = (h + 1) & (buffers->n_slots - 1);
		buffers->slots[h] = i + 1;
	}
	return 0;
}

int pa_buffers_close(struct pa_buffers *buffers)
{
	if (!is_sorted(buffers))
		qsort(buffers->buffer, buffers->count,
		      sizeof *buffers->buffer, by_address);
	buffers->filter = calloc(FILTER_BITS / 64, sizeof *buffers->filter);
	if (buffers->no_memory || !buffers->filter || enter_pages(buffers))
		return -1;
	buffers->low = UINT64_MAX;
	for (uint32_t i = 0; i < buffers->count; i++) {
		uint64_t bit = pa_buffer_hash(pa_buffer_address(
			&buffers->buffer[i])) >> 40;

		buffers->filter[bit / 64] |= 1ull << bit % 64;
	}
	if (buffers->count) {
		buffers->low = pa_buffer_address(buffers->buffer);
		buffers->high = pa_buffer_address(buffers->buffer +
						  buffers->count - 1);
	}
	return 0;
}

/* The first buffer in the page of an address, or `count`. */
static uint32_t first_in_page(const struct pa_buffers *buffers,
			      uint64_t address)
{
	uint64_t page = address / PAGE;
	uint32_t h;

	for (h = hash(buffers, page); buffers->slots[h];
	     h = (h + 1) & (buffers->n_slots - 1)) {
		uint32_t i = buffers->slots[h] - 1;

		if (page_of(&buffers->buffer[i]) == page)
			return i;
	}
	return buffers->count;
}

/* The first one from `low` on, before `high`, that begins behind an address. */
static uint32_t first_behind(const struct pa_buffers *buffers,
			     uint64_t address, uint32_t low, uint32_t high)
{
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (pa_buffer_address(&buffers->buffer[middle]) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* How many buffers begin in the page of the first one, at most. */
static uint32_t end_of_page(const struct pa_buffers *buffers, uint32_t first)
{
	return buffers->count - first < IN_PAGE ? buffers->count :
		first + IN_PAGE;
}

/* Buffers of one pool lie at equal distances where all are in use: where this
 * one is if that holds from the first one of its page on. */
static uint32_t guess(const struct pa_buffers *buffers, uint64_t address,
		      uint32_t first)
{
	const struct pa_buffer *buffer = &buffers->buffer[first];
	uint64_t start = pa_buffer_address(buffer), step, n;

	if (first + 1 >= buffers->count || address < start)
		return first;
	step = pa_buffer_address(buffer + 1) - start;
	n = step ? (uint32_t)(address - start) / (uint32_t)step : 0;
	return n < buffers->count - first ? first + (uint32_t)n : first;
}

int64_t pa_buffers_at(struct pa_buffers *buffers, uint64_t address)
{
	uint32_t i, first;

	if (address < buffers->low || address > buffers->high)
		return -1;
	for (i = buffers->last + 1; i < buffers->last + NEAR &&
	     i < buffers->count; i++)
		if (pa_buffer_address(&buffers->buffer[i]) == address)
			return buffers->last = i;
	first = first_in_page(buffers, address);
	if (first == buffers->count)
		return -1;
	i = guess(buffers, address, first);
	if (pa_buffer_address(&buffers->buffer[i]) == address)
		return buffers->last = i;
	i = first_behind(buffers, address, first, end_of_page(buffers, first));
	if (!i || pa_buffer_address(&buffers->buffer[i - 1]) != address)
		return -1;
	return buffers->last = i - 1;
}

int64_t pa_buffers_around(struct pa_buffers *buffers, uint64_t address)
{
	int64_t exact = pa_buffers_at(buffers, address);
	uint32_t first, i;

	if (exact >= 0 || address < buffers->low)
		return exact;
	/* mostly it begins in the same page */
	first = first_in_page(buffers, address);
	if (first < buffers->count &&
	    pa_buffer_address(&buffers->buffer[first]) <= address)
		i = first_behind(buffers, address, first,
				 end_of_page(buffers, first));
	else
		i = first_behind(buffers, address, 0, buffers->count);
	if (!i || address - pa_buffer_address(&buffers->buffer[i - 1]) >=
	    pa_buffer_size(&buffers->buffer[i - 1]))
		return -1;
	buffers->last = i - 1;
	return i - 1;
}

/* Whose it is from now on. */
static void give(struct pa_buffer *buffer, uint32_t owner, enum pa_claim claim,
		 bool shared)
{
	buffer->where = (buffer->where & ~PA_OWNER_MASK) | owner;
	buffer->what = (buffer->what & ~(PA_CLAIM_MASK | PA_BUFFER_SHARED)) |
		(unsigned)claim | (shared ? PA_BUFFER_SHARED : 0);
}

void pa_buffers_claim(struct pa_buffers *buffers, int64_t index,
		      uint32_t owner, enum pa_claim claim)
{
	struct pa_buffer *buffer;

	if (index < 0 || !owner)
		return;
	buffer = &buffers->buffer[index];
	if (claim > pa_buffer_claim(buffer))
		give(buffer, owner, claim, false);
	else if (claim == pa_buffer_claim(buffer) &&
		 pa_buffer_owner(buffer) != owner)
		buffer->what |= PA_BUFFER_SHARED;
}
