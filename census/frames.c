/* SPDX-License-Identifier: MIT
 *
 * Roots in the frames of running functions; see roots.h.
 *
 * From 3.11 on frames lie in chunks of their own, of which a thread's state
 * knows the first free word; older ones are objects at which something outside
 * of all objects points.
 */
#include <stdlib.h>

#include "census/dicts.h"
#include "census/roots.h"

#define CHUNK_HEAD 24u		/* previous, size, words in use */
#define CHUNK_LEAST 16384u
#define CHUNK_MOST ((uint64_t)64 << 20)
#define CHUNKS_MOST 4096u
#define STATE_LEAST 256u	/* size of a thread's state */
#define STATE_MOST 16384u

struct chunk {
	uint64_t start, end;
	uint64_t top;		/* first free word */
};

struct chunks {
	struct chunk *chunk;	/* by address */
	size_t n;
};

static uint32_t function_name(struct pa_roots *roots, uint64_t code)
{
	struct pa_types *types = roots->references->types;
	char text[PA_NAME_MAX];
	uint8_t word[8];

	if (!pa_window_peek(types->window, code + types->layout->co_name, word,
			    sizeof word))
		return 0;
	return pa_texts_add(&roots->texts, text,
			    pa_read_str(types, pa_word(word), text));
}

static enum pa_role role_of(const struct pa_roots *roots, uint32_t node)
{
	const struct pa_references *r = roots->references;
	uint32_t what = node == PA_NO_NODE ? 0 : r->nodes.node[node];

	return what & PA_NODE_TYPED ?
		r->types->type[what & PA_NODE_TYPE].role : PA_ROLE_NONE;
}

/* ---- frames that are objects ---- */

static void add_frame(struct pa_roots *roots, uint32_t node)
{
	struct pa_references *r = roots->references;
	uint64_t size, address;
	uint8_t word[8];
	uint32_t name = 0;

	if (role_of(roots, node) != PA_ROLE_FRAME)
		return;
	address = pa_nodes_address(&r->nodes, node, &size) +
		pa_object_offset(r->types, r->nodes.node[node]);
	if (pa_window_peek(r->window, address + PA_FRAME_CODE, word,
			   sizeof word))
		name = function_name(roots, pa_word(word));
	pa_roots_add(roots, PA_LAYER_FRAMES, node, name);
}

/* What a block of C code points at: a thread's state is one. */
static void find_objects(struct pa_roots *roots)
{
	const struct pa_references *r = roots->references;

	for (uint32_t i = 0; i < r->nodes.count; i++) {
		if ((r->nodes.node[i] & ~PA_NODE_DEBUG) != PA_NODE_LIVE)
			continue;
		for (uint32_t e = r->graph.first[i]; e < r->graph.first[i + 1];
		     e++)
			add_frame(roots, r->graph.to[e] & ~PA_LEAF);
	}
}

static void stack_page(struct pa_roots *roots, void *context,
		       uint64_t address, const uint8_t *page)
{
	(void)context;
	(void)address;
	for (size_t i = 0; i < PA_CENSUS_PAGE; i += 8)
		add_frame(roots, pa_references_to(roots->references,
						  pa_word(page + i)));
}

static void find_on_stacks(struct pa_roots *roots)
{
	const struct pa_census_source *source =
		roots->references->window->source;

	for (size_t i = 0; i < source->n_ranges; i++)
		if (source->ranges[i].kind == PA_RANGE_STACK &&
		    source->ranges[i].end - source->ranges[i].start <=
		    CHUNK_MOST)
			pa_roots_pages(roots, source->ranges[i].start,
				       source->ranges[i].end, stack_page,
				       NULL);
}

/* ---- frames in chunks ---- */

static bool is_chunk(const uint8_t *head, uint64_t address, uint64_t end,
		     struct chunk *chunk)
{
	uint64_t previous = pa_word(head), size = pa_word(head + 8);
	uint64_t top = pa_word(head + 16);

	if (previous % PA_CENSUS_PAGE || previous >> 47 ||
	    size < CHUNK_LEAST || size > CHUNK_MOST || size & (size - 1) ||
	    size > end - address || top > (size - CHUNK_HEAD) / 8)
		return false;
	chunk->start = address;
	chunk->end = address + size;
	/* where another one follows it is written down, else it is 0 */
	chunk->top = top ? address + CHUNK_HEAD + top * 8 : 0;
	return true;
}

static void find_chunks(struct pa_roots *roots, struct chunks *chunks)
{
	struct pa_window *window = roots->references->window;

	for (size_t i = 0; i < roots->n_spans; i++) {
		const struct pa_span *span = &roots->span[i];
		uint64_t at = span->start;

		while (at < span->end && span->end - at >= CHUNK_HEAD &&
		       chunks->n < CHUNKS_MOST) {
			struct chunk *chunk = &chunks->chunk[chunks->n];
			uint64_t end = span->end;

			/* its last pages may never have been touched */
			if (is_chunk(pa_window_at(window, at, CHUNK_HEAD), at,
				     end + CHUNK_MOST, chunk)) {
				at = chunk->end;
				chunks->n++;
			} else {
				at += PA_CENSUS_PAGE;
			}
		}
	}
}

static struct chunk *find_chunk(const struct chunks *chunks, uint64_t start)
{
	size_t low = 0, high = chunks->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (chunks->chunk[middle].start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < chunks->n && chunks->chunk[low].start == start ?
		&chunks->chunk[low] : NULL;
}

/* A thread's state has these in a row: chunk, first free word, end. */
static void look_for_state(struct pa_roots *roots, void *context,
			   const uint8_t *bytes, size_t n)
{
	const struct chunks *chunks = context;

	(void)roots;
	for (size_t i = 0; i + 24 <= n; i += 8) {
		uint64_t start = pa_word(bytes + i);
		uint64_t top = pa_word(bytes + i + 8);
		struct chunk *chunk;

		if (!start || start % PA_CENSUS_PAGE)
			continue;
		chunk = find_chunk(chunks, start);
		if (chunk && top % 8 == 0 && top >= start + CHUNK_HEAD &&
		    top <= chunk->end &&
		    pa_word(bytes + i + 16) == chunk->end)
			chunk->top = top;
	}
}

static void state_page(struct pa_roots *roots, void *context,
		       uint64_t address, const uint8_t *page)
{
	(void)address;
	look_for_state(roots, context, page, PA_CENSUS_PAGE);
}

static void find_states(struct pa_roots *roots, struct chunks *chunks)
{
	struct pa_references *r = roots->references;
	const struct pa_census_source *source = r->window->source;

	for (size_t i = 0; i < source->n_ranges; i++)
		if (source->ranges[i].kind == PA_RANGE_FILE &&
		    source->ranges[i].writable &&
		    source->ranges[i].end - source->ranges[i].start <=
		    CHUNK_MOST)
			pa_roots_pages(roots, source->ranges[i].start,
				       source->ranges[i].end, state_page,
				       chunks);
	for (size_t i = 0; i < roots->n_spans; i++)
		if (roots->span[i].end - roots->span[i].start <= CHUNK_MOST)
			pa_roots_pages(roots, roots->span[i].start,
				       roots->span[i].end, state_page,
				       chunks);
	for (uint32_t i = 0; i < r->nodes.n_extents; i++) {
		const struct pa_extent *extent = &r->nodes.extent[i];
		uint64_t size = (uint64_t)extent->units * 16;

		if (extent->units & (PA_EXTENT_POOL | PA_EXTENT_LARGE) ||
		    size < STATE_LEAST || size > STATE_MOST ||
		    r->nodes.node[extent->first] & PA_NODE_TYPED)
			continue;
		look_for_state(roots, chunks, pa_window_at(
			r->window, extent->address, size), size);
	}
}

static void scan_chunk(struct pa_roots *roots, const struct chunk *chunk)
{
	struct pa_references *r = roots->references;
	uint64_t end = chunk->top ? chunk->top : chunk->end;
	uint32_t name = 0;
	uint8_t word[8];

	for (uint64_t at = chunk->start + CHUNK_HEAD; at < end; at += 8) {
		uint32_t node;

		if (!pa_window_peek(r->window, at, word, sizeof word))
			return;
		node = pa_references_to(r, pa_word(word));
		/* a frame begins with its code, and what follows is its own */
		if (role_of(roots, node) == PA_ROLE_CODE)
			name = function_name(roots, pa_word(word) &
					     ~r->tag_mask);
		pa_roots_add(roots, PA_LAYER_FRAMES, node, name);
	}
}

void pa_roots_find_frames(struct pa_roots *roots)
{
	struct chunks chunks = { NULL, 0 };

	if (roots->references->window->source->python_minor < 11) {
		find_objects(roots);
		find_on_stacks(roots);
		return;
	}
	chunks.chunk = calloc(CHUNKS_MOST, sizeof *chunks.chunk);
	if (!chunks.chunk) {
		roots->no_memory = true;
		return;
	}
	find_chunks(roots, &chunks);
	if (chunks.n)
		find_states(roots, &chunks);
	for (size_t i = 0; i < chunks.n; i++)
		scan_chunk(roots, &chunks.chunk[i]);
	free(chunks.chunk);
}
