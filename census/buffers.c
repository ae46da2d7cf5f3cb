/* SPDX-License-Identifier: MIT
 *
 * The table of buffers; see buffers.h.
 */
#include "census/buffers.h"

#include <stdlib.h>
#include <string.h>

#define BUFFERS_MAX (UINT32_MAX / 4)
#define EDGES_MAX (1u << 24)
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
		.address = address, .size = size,
	};
}

static int by_address(const void *left, const void *right)
{
	const struct pa_buffer *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

static bool is_sorted(const struct pa_buffers *buffers)
{
	for (uint32_t i = 1; i < buffers->count; i++)
		if (buffers->buffer[i - 1].address > buffers->buffer[i].address)
			return false;
	return true;
}

static uint64_t page_of(uint64_t address)
{
	return address / PAGE;
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
		pages += !i || page_of(buffer[i - 1].address) !=
			page_of(buffer[i].address);
	buffers->n_slots = 1024;
	while (buffers->n_slots < pages * 2ull)
		buffers->n_slots *= 2;
	buffers->slots = calloc(buffers->n_slots, sizeof *buffers->slots);
	if (!buffers->slots)
		return -1;
	for (uint32_t i = 0; i < buffers->count; i++) {
		uint64_t page = page_of(buffer[i].address);
		uint32_t h = hash(buffers, page);

		if (i && page_of(buffer[i - 1].address) == page)
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
		uint64_t bit = pa_buffer_hash(buffers->buffer[i].address) >> 40;

		buffers->filter[bit / 64] |= 1ull << bit % 64;
	}
	if (buffers->count) {
		buffers->low = buffers->buffer[0].address;
		buffers->high = buffers->buffer[buffers->count - 1].address;
	}
	return 0;
}

/* The first buffer in the page of an address, or `count`. */
static uint32_t first_in_page(const struct pa_buffers *buffers,
			      uint64_t address)
{
	uint64_t page = page_of(address);
	uint32_t h;

	for (h = hash(buffers, page); buffers->slots[h];
	     h = (h + 1) & (buffers->n_slots - 1)) {
		uint32_t i = buffers->slots[h] - 1;

		if (page_of(buffers->buffer[i].address) == page)
			return i;
	}
	return buffers->count;
}

int64_t pa_buffers_at(struct pa_buffers *buffers, uint64_t address)
{
	uint32_t low, high;

	if (address < buffers->low || address > buffers->high)
		return -1;
	for (uint32_t i = buffers->last + 1; i < buffers->last + NEAR &&
	     i < buffers->count; i++)
		if (buffers->buffer[i].address == address)
			return buffers->last = i;
	low = first_in_page(buffers, address);
	high = buffers->count - low < IN_PAGE ? buffers->count :
		low + IN_PAGE;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (buffers->buffer[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == buffers->count || buffers->buffer[low].address != address)
		return -1;
	return buffers->last = low;
}

int64_t pa_buffers_around(struct pa_buffers *buffers, uint64_t address)
{
	int64_t exact = pa_buffers_at(buffers, address);
	uint32_t low = 0, high = buffers->count;

	if (exact >= 0 || address < buffers->low)
		return exact;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (buffers->buffer[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address - buffers->buffer[low - 1].address >=
	    buffers->buffer[low - 1].size)
		return -1;
	return low - 1;
}

void pa_buffers_claim(struct pa_buffers *buffers, int64_t index,
		      uint32_t owner, enum pa_claim claim)
{
	struct pa_buffer *buffer;

	if (index < 0 || !owner)
		return;
	buffer = &buffers->buffer[index];
	if (claim < buffer->claim)
		return;
	if (claim > buffer->claim) {
		buffer->claim = (uint8_t)claim;
		buffer->owner = owner;
		buffer->shared = false;
	} else if (buffer->owner != owner) {
		buffer->shared = true;
	}
}

void pa_buffers_link(struct pa_buffers *buffers, int64_t from, int64_t to)
{
	if (from < 0 || to < 0 || from == to ||
	    buffers->buffer[to].claim != PA_CLAIM_NONE)
		return;
	if (buffers->n_edges == buffers->room_edges) {
		uint32_t room = buffers->room_edges * 2 + 4096;
		struct pa_edge *more = room > EDGES_MAX ? NULL :
			reallocarray(buffers->edges, room, sizeof *more);

		/* Then some stay without an owner, and are shown so. */
		if (!more)
			return;
		buffers->edges = more;
		buffers->room_edges = room;
	}
	buffers->edges[buffers->n_edges++] = (struct pa_edge){
		(uint32_t)from, (uint32_t)to,
	};
}

static int by_from(const void *left, const void *right)
{
	const struct pa_edge *a = left, *b = right;

	return (a->from > b->from) - (a->from < b->from);
}

static uint32_t first_edge(const struct pa_buffers *buffers, uint32_t from)
{
	uint32_t low = 0, high = buffers->n_edges;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (buffers->edges[middle].from < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void pa_buffers_spread(struct pa_buffers *buffers)
{
	/* Each buffer enters the queue once. */
	uint32_t *queue = calloc(buffers->count + 1ull, sizeof *queue);
	uint32_t n = 0;

	if (!queue || !buffers->n_edges) {
		free(queue);
		return;
	}
	qsort(buffers->edges, buffers->n_edges, sizeof *buffers->edges,
	      by_from);
	for (uint32_t i = 0; i < buffers->n_edges; i++) {
		uint32_t from = buffers->edges[i].from;

		if ((!i || buffers->edges[i - 1].from != from) &&
		    buffers->buffer[from].claim)
			queue[n++] = from;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct pa_buffer *from = &buffers->buffer[queue[i]];

		for (uint32_t e = first_edge(buffers, queue[i]);
		     e < buffers->n_edges &&
		     buffers->edges[e].from == queue[i]; e++) {
			struct pa_buffer *to =
				&buffers->buffer[buffers->edges[e].to];

			if (to->claim)
				continue;
			to->claim = PA_CLAIM_SCAN;
			to->owner = from->owner;
			to->shared = from->shared;
			queue[n++] = buffers->edges[e].to;
		}
	}
	free(queue);
}
