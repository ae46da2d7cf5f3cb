/* SPDX-License-Identifier: MIT
 *
 * Edges of the graph of references; see references.h.  Which words of a
 * block are in use is told by its type, or by the hint that its owner left.
 */
#include "census/references.h"

#include <stdlib.h>

#include "census/dicts.h"

#define SLICE ((uint64_t)64 << 10)
#define EDGES_MAX (UINT32_MAX - 16)
#define WEAK_LIST_MAX 65536u
/* So far behind its start somebody may point at a block that is no object.
 * Any number may be an address in a large one, where heaps lie low. */
#define INSIDE_MOST 4096u

int pa_references_init(struct pa_references *r, struct pa_window *window,
		       struct pa_types *types)
{
	memset(r, 0, sizeof *r);
	r->window = window;
	r->types = types;
	r->tag_mask = types->layout->tagged_words ? 3 : 0;
	return pa_nodes_init(&r->nodes);
}

void pa_references_deinit(struct pa_references *r)
{
	pa_nodes_deinit(&r->nodes);
	pa_references_forget(r);
	memset(r, 0, sizeof *r);
}

void pa_references_forget(struct pa_references *r)
{
	free(r->graph.first);
	free(r->graph.to);
	r->graph.first = r->graph.to = NULL;
}

uint32_t pa_references_to(const struct pa_references *r, uint64_t word)
{
	uint64_t inside;
	uint32_t n, what;

	word &= ~r->tag_mask;
	if (word < r->nodes.low || word >= r->nodes.high)
		return PA_NO_NODE;
	n = pa_nodes_around(&r->nodes, word, &inside);
	if (n == PA_NO_NODE)
		return n;
	what = r->nodes.node[n];
	if (what & PA_NODE_TYPED ? inside != pa_object_offset(r->types, what) :
	    inside % 8 || inside >= INSIDE_MOST)
		return PA_NO_NODE;
	return n;
}

static void add_edge(struct pa_references *r, uint32_t from, uint64_t word,
		     bool weak_list)
{
	uint32_t to = pa_references_to(r, word), what;

	if (to == PA_NO_NODE || to == from)
		return;
	what = r->nodes.node[to];
	if (weak_list && what & PA_NODE_WEAK)
		return;
	if (r->n_edges == r->room_edges) {
		uint64_t room = r->room_edges + r->room_edges / 2 + 65536ull;
		uint32_t *more;

		room = room < EDGES_MAX ? room : EDGES_MAX;
		more = r->n_edges >= room ? NULL :
			reallocarray(r->graph.to, room, sizeof *more);
		if (!more) {
			r->full = true;
			return;
		}
		r->graph.to = more;
		r->room_edges = (uint32_t)room;
	}
	r->graph.to[r->n_edges++] = to | (what & PA_NODE_LEAF ? PA_LEAF : 0);
}

/* ---- words of one block ---- */

/* Words from .. to of a block, as far as they are in memory. */
static void scan(struct pa_references *r, const struct pa_block *block,
		 uint32_t node, uint64_t from, uint64_t to)
{
	const struct pa_census_source *source = r->window->source;

	to = to < block->size ? to : block->size;
	if (block->small && to <= block->head_size) {
		for (; from + 8 <= to; from += 8)
			add_edge(r, node, pa_word(block->head + from), false);
		return;
	}
	while (from + 8 <= to) {
		uint64_t address = block->address + from;
		size_t run = pa_census_find_run(source, address), n;
		const uint8_t *bytes;

		if (run == source->n_runs ||
		    source->runs[run].start >= block->address + to)
			return;
		if (source->runs[run].start > address)
			from = source->runs[run].start - block->address;
		n = to - from < SLICE ? (size_t)(to - from) : (size_t)SLICE;
		bytes = pa_window_at(r->window, block->address + from, n);
		for (size_t i = 0; i + 8 <= n; i += 8)
			add_edge(r, node, pa_word(bytes + i), false);
		from += n & ~(size_t)7;
	}
}

/* Up to `most` bytes from `at` on; NULL where the block is shorter. */
static const uint8_t *bytes_at(struct pa_references *r,
			       const struct pa_block *block, uint64_t at,
			       size_t most)
{
	if (at > block->size || block->size - at < most)
		return NULL;
	if (block->small && at + most <= block->head_size)
		return block->head + at;
	return pa_window_at(r->window, block->address + at, most);
}

/* Managed dict and weak references in front of the collector's links. */
static void draw_pre_head(struct pa_references *r,
			  const struct pa_block *block, uint32_t node,
			  uint64_t offset)
{
	uint64_t at = offset - PA_GC_HEAD - PA_PRE_HEAD, word;
	const uint8_t *bytes = offset < PA_GC_HEAD + PA_PRE_HEAD ? NULL :
		bytes_at(r, block, at, PA_PRE_HEAD);

	if (!bytes)
		return;
	word = pa_word(bytes + 8);
	add_edge(r, node, pa_word(bytes), true);
	add_edge(r, node, word & 1 ? word + 1 : word, false);
}

/* Where references may begin.  The number of entries of a dict and the version
 * that 3.8 to 3.13 give to each content may look like addresses: a version is
 * a multiple of 4096, and the heap of a program that is not relocated is low. */
static unsigned body_of(const struct pa_type *type)
{
	return type->flags & PA_TPFLAGS_DICT ? PA_DICT_KEYS : PA_OB_BODY;
}

static void draw_object(struct pa_references *r, const struct pa_block *block,
			uint32_t node)
{
	uint32_t what = r->nodes.node[node];
	const struct pa_type *type = &r->types->type[what & PA_NODE_TYPE];
	unsigned offset = pa_object_offset(r->types, what);
	unsigned body = offset + body_of(type);
	uint64_t weak, end = pa_object_end(r->types, type, block->head,
					   block->head_size, block->size,
					   offset);

	if (type->flags & PA_TPFLAGS_PRE_HEAD)
		draw_pre_head(r, block, node, offset);
	if (type->role == PA_ROLE_WEAK) {
		scan(r, block, node, offset + PA_WEAK_CALLBACK,
		     offset + PA_WEAK_CALLBACK + 8);
		scan(r, block, node, offset + PA_WEAK_BODY, end);
		return;
	}
	weak = type->weak_list;
	if (weak < PA_OB_BODY || weak > WEAK_LIST_MAX || weak % 8) {
		scan(r, block, node, body, end);
		return;
	}
	scan(r, block, node, body, offset + weak);
	scan(r, block, node, offset + weak + 8, end);
}

/* Values of attributes: a list of those in use is in front of them, or a
 * head of four bytes says how many there are. */
static uint64_t values_end(struct pa_references *r,
			   const struct pa_block *block, uint64_t skip,
			   uint32_t words)
{
	uint64_t at = skip + words * 8ull;
	const uint8_t *bytes;
	unsigned last = 0;

	if (!r->types->layout->values_prefix) {
		bytes = bytes_at(r, block, at, 8);
		return bytes ? at + 8 + 8ull * bytes[0] : block->size;
	}
	bytes = words ? bytes_at(r, block, skip, words * 8ull) : NULL;
	if (!bytes)
		return block->size;
	for (unsigned i = 0; i < bytes[words * 8 - 2] && i + 3 <= words * 8;
	     i++) {
		unsigned index = bytes[words * 8 - 3 - i] + 1u;

		last = index > last ? index : last;
	}
	return at + last * 8ull;
}

static uint64_t keys_end(struct pa_references *r, const struct pa_block *block,
			 uint64_t skip)
{
	const uint8_t *head = bytes_at(r, block, skip, 40);
	struct pa_entries entries;

	if (!head || !pa_entries_in(r->types, head, &entries) ||
	    entries.n > block->size / entries.stride)
		return block->size;
	return skip + entries.at + entries.n * entries.stride;
}

static void draw_buffer(struct pa_references *r, const struct pa_block *block,
			uint32_t node)
{
	uint32_t what = r->nodes.node[node];
	uint32_t value = what & PA_HINT_VALUE_MAX;
	uint64_t skip = what & PA_NODE_DEBUG ? 16 : 0, end = block->size;
	uint64_t links = skip + 8;

	switch ((enum pa_hint)((what & PA_NODE_TYPE) >> PA_HINT_SHIFT)) {
	case PA_HINT_NONE:
		break;
	case PA_HINT_USED:
		end = skip + value * 8ull;
		break;
	case PA_HINT_DEQUE:
		/* its links to both sides, and the items between */
		scan(r, block, node, skip, links);
		scan(r, block, node, links + PA_DEQUE_ITEMS * 8,
		     links + PA_DEQUE_ITEMS * 8 + 8);
		end = links + (value >> 6 & 63) * 8ull + 8;
		skip = links + (value & 63) * 8ull;
		break;
	case PA_HINT_KEYS:
		end = keys_end(r, block, skip);
		break;
	case PA_HINT_VALUES:
		/* what is in front of them is not all written */
		end = values_end(r, block, skip, value);
		skip += value * 8ull;
		break;
	case PA_HINT_DATA:
		return;
	}
	scan(r, block, node, skip, end);
}

/* ---- walks ---- */

static bool grow_first(struct pa_references *r)
{
	if (r->graph.first)
		return true;
	r->graph.n = r->nodes.count;
	r->graph.first = reallocarray(NULL, r->graph.n + 1ull,
				      sizeof *r->graph.first);
	return r->graph.first;
}

static void close_until(struct pa_references *r, uint32_t node)
{
	while (r->done < node)
		r->graph.first[r->done++] = r->n_edges;
}

uint32_t pa_references_draw(struct pa_references *r,
			    const struct pa_block *block)
{
	uint32_t node = pa_nodes_next(&r->nodes, block->address, &r->extent);
	uint32_t what;

	/* Of a live process blocks may have come, gone or changed. */
	if (node == PA_NO_NODE || !grow_first(r) || node < r->done)
		return 0;
	what = r->nodes.node[node];
	close_until(r, node + 1);
	if (what & PA_NODE_LEAF)
		return what;
	if (what & PA_NODE_TYPED)
		draw_object(r, block, node);
	else
		draw_buffer(r, block, node);
	return what;
}

int pa_references_close(struct pa_references *r)
{
	if (!grow_first(r))
		return -1;
	close_until(r, r->graph.n + 1);
	if (!r->graph.to)
		r->graph.to = calloc(1, sizeof *r->graph.to);
	return r->graph.to ? 0 : -1;
}
