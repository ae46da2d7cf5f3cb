/* SPDX-License-Identifier: MIT
 *
 * Buffers that only other buffers point at: whose they are; see buffers.h.
 */
#include <stdlib.h>

#include "census/buffers.h"

#define EDGES_MAX (1u << 24)

void pa_buffers_link(struct pa_buffers *buffers, int64_t from, int64_t to)
{
	if (from < 0 || to < 0 || from == to ||
	    pa_buffer_claim(&buffers->buffer[to]) != PA_CLAIM_NONE)
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
		    pa_buffer_claim(&buffers->buffer[from]))
			queue[n++] = from;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct pa_buffer *from = &buffers->buffer[queue[i]];

		for (uint32_t e = first_edge(buffers, queue[i]);
		     e < buffers->n_edges &&
		     buffers->edges[e].from == queue[i]; e++) {
			struct pa_buffer *to =
				&buffers->buffer[buffers->edges[e].to];

			if (pa_buffer_claim(to))
				continue;
			pa_buffers_claim(buffers, buffers->edges[e].to,
					 pa_buffer_owner(from),
					 PA_CLAIM_SCAN);
			to->what |= from->what & PA_BUFFER_SHARED;
			queue[n++] = buffers->edges[e].to;
		}
	}
	free(queue);
}
