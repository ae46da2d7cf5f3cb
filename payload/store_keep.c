/* SPDX-License-Identifier: MIT
 *
 * What a rebuild keeps: the stacks of sites with live samples and, up to half
 * of the room, those of the sites that allocated most.  Only marks; nothing
 * of the image is changed here.
 */
#include <string.h>

#include "payload/store_internal.h"

/* ---- marks ---- */

/* Sites with too deep a stack to keep, before the search ends. */
#define MISFITS 64u

static char *place_marks(struct pa_marks *m, uint32_t elements, char *at)
{
	m->words = elements / 64 + 1;
	m->marked = 0;
	m->bits = (uint64_t *)(void *)at;
	at += 8ull * m->words;
	return at;
}

static char *place_ranks(struct pa_marks *m, char *at)
{
	m->rank = (uint32_t *)(void *)at;
	return at + 4ull * m->words;
}

/* True if it was not marked before. */
static bool mark(struct pa_marks *m, uint32_t i)
{
	if (pa_is_marked(m, i))
		return false;
	m->bits[i >> 6] |= 1ull << (i & 63);
	m->marked++;
	return true;
}

static void count_ranks(struct pa_marks *m)
{
	uint32_t sum = 0;

	for (uint32_t w = 0; w < m->words; w++) {
		m->rank[w] = sum;
		sum += pa_popcount(m->bits[w]);
	}
}

static void mark_string(struct pa_rebuild *r, uint32_t offset)
{
	uint32_t first = offset / PA_GRAIN;

	if (pa_is_marked(&r->strings, first))
		return;
	r->names++;
	for (uint32_t n = pa_grains_of(offset); n; n--)
		mark(&r->strings, first++);
}

/* A node, its frame, its names, and its callers up to the first that is
 * marked already. */
static void mark_stack(struct pa_rebuild *r, uint32_t node)
{
	for (; mark(&r->nodes, node); node = pa_store.nodes[node].parent) {
		uint32_t frame = pa_store.nodes[node].frame;

		if (!mark(&r->frames, frame))
			continue;
		mark_string(r, pa_store.frames[frame].file);
		mark_string(r, pa_store.frames[frame].function);
	}
}

static void mark_site(struct pa_rebuild *r, uint32_t site)
{
	mark(&r->sites, site);
	mark_stack(r, pa_store.sites[site].node);
}

static void place_all(struct pa_rebuild *r)
{
	const uint32_t *cap = pa_store.capacity.kind;
	const struct pa_area *area = &pa_store.area[PA_AREA_MARKS];
	char *at = area->base;

	memset(at, 0, area->bytes);
	r->names = 0;
	at = place_marks(&r->sites, cap[PA_KIND_SITES], at);
	at = place_marks(&r->strings, cap[PA_KIND_STRINGS] / PA_GRAIN, at);
	at = place_marks(&r->frames, cap[PA_KIND_FRAMES], at);
	at = place_marks(&r->nodes, cap[PA_KIND_NODES], at);
	at = place_ranks(&r->sites, at);
	at = place_ranks(&r->strings, at);
	at = place_ranks(&r->frames, at);
	place_ranks(&r->nodes, at);
	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		r->half[k] = cap[k] / 2;
	r->half[PA_KIND_STRINGS] /= PA_GRAIN;
	/* the reserved elements */
	mark(&r->nodes, 0);
	mark(&r->frames, 0);
	mark(&r->strings, 0);
	for (uint32_t i = 0; i < PA_SITE_FIRST; i++)
		mark(&r->sites, i);
}

/* ---- which sites stay ---- */

static bool smaller(uint32_t a, uint32_t b)
{
	return pa_store.sites[a].allocated_bytes
		< pa_store.sites[b].allocated_bytes;
}

static void sift_down(uint32_t *heap, uint32_t n, uint32_t i)
{
	uint32_t value = heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && smaller(heap[child], heap[child + 1]))
			child++;
		if (!smaller(value, heap[child]))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = value;
}

static bool half_full(const struct pa_rebuild *r)
{
	return r->sites.marked >= r->half[PA_KIND_SITES]
		|| r->strings.marked >= r->half[PA_KIND_STRINGS]
		|| r->names >= pa_store.capacity.string_count / 2
		|| r->frames.marked >= r->half[PA_KIND_FRAMES]
		|| r->nodes.marked >= r->half[PA_KIND_NODES];
}

/* Would a site's stack stay within half of the nodes? */
static bool fits(const struct pa_rebuild *r, uint32_t site)
{
	uint32_t node = pa_store.sites[site].node;
	uint32_t nodes = r->nodes.marked;

	for (; !pa_is_marked(&r->nodes, node); node = pa_store.nodes[node].parent)
		nodes++;
	return nodes <= r->half[PA_KIND_NODES];
}

void pa_keep_choose(struct pa_rebuild *r)
{
	uint32_t *heap = pa_store.site_order, n = 0, misfits = 0;

	place_all(r);
	for (uint32_t i = PA_SITE_FIRST; i < pa_store.used[PA_KIND_SITES]; i++) {
		if (!pa_site_taken(i))
			continue;
		if (pa_store.sites[i].live_samples)
			mark_site(r, i);
		else
			heap[n++] = i;
	}
	for (uint32_t i = n / 2; i--;)
		sift_down(heap, n, i);
	/* the largest first, for as long as there is room */
	while (n && misfits < MISFITS && !half_full(r)) {
		if (fits(r, heap[0]))
			mark_site(r, heap[0]);
		else
			misfits++;
		heap[0] = heap[--n];
		if (n)
			sift_down(heap, n, 0);
	}
	count_ranks(&r->strings);
	count_ranks(&r->frames);
	count_ranks(&r->nodes);
}
