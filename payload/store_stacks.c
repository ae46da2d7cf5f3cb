/* SPDX-License-Identifier: MIT
 *
 * Strings, frames, nodes and sites: each kept once, found again through a
 * private hash table of indexes.  They only grow here; store_rebuild.c makes
 * room.  An element is complete before its count is published, and names
 * only elements that were published before it.
 */
#include <string.h>

#include "payload/store_internal.h"

/* ---- the set in use ---- */

void pa_stacks_select(unsigned set)
{
	const struct pa_area *a = &pa_store.area[PA_AREA_SETS
						 + set * PA_SET_KINDS];

	pa_store.active = set;
	pa_store.sites = (struct pa_site *)(void *)a[PA_KIND_SITES - 1].base;
	pa_store.strings = a[PA_KIND_STRINGS - 1].base;
	pa_store.frames = (struct pa_frame *)(void *)a[PA_KIND_FRAMES - 1].base;
	pa_store.nodes = (struct pa_node *)(void *)a[PA_KIND_NODES - 1].base;
}

void pa_stacks_publish(unsigned kind)
{
	uint64_t *count = pa_store.directory->count[pa_store.active];

	__atomic_store_n(&count[kind - 1], pa_store.used[kind],
			 __ATOMIC_RELEASE);
}

static void open_kind(unsigned kind, uint32_t elements)
{
	pa_store_open(pa_area_of(pa_store.active, kind),
		      (size_t)elements * pa_elem_size[kind]);
}

void pa_stacks_reset(void)
{
	static const uint32_t reserved[PA_SET_KINDS + 1] = {
		[PA_KIND_SITES] = PA_SITE_FIRST,
		[PA_KIND_STRINGS] = 4,	/* the empty string */
		[PA_KIND_FRAMES] = 1,
		[PA_KIND_NODES] = 1,
	};

	for (unsigned k = 1; k <= PA_SET_KINDS; k++) {
		open_kind(k, reserved[k]);
		pa_store.used[k] = reserved[k];
		pa_stacks_publish(k);
	}
	pa_store.string_count = 0;
	pa_store.site_count = PA_SITE_FIRST;
	pa_store.site_taken[0] = (1u << PA_SITE_FIRST) - 1;
	pa_store.site_cursor = 0;
}

/* ---- hashes ---- */

static uint32_t hash_two(uint64_t a, uint64_t b)
{
	return (uint32_t)(pa_mix(a + pa_mix(b)) >> 32);
}

static uint32_t hash_string(const char *bytes, uint32_t length)
{
	uint64_t h = length, x;

	for (; length >= 8; length -= 8, bytes += 8) {
		__builtin_memcpy(&x, bytes, 8);
		h = (h ^ x) * 0xd6e8feb86659fd93ull;
		h ^= h >> 32;
	}
	x = 0;
	memcpy(&x, bytes, length);
	return hash_two(h, x);
}

static uint32_t hash_frame(const struct pa_frame *f)
{
	return hash_two((uint64_t)f->file << 32 | f->function,
			(uint64_t)f->line << 32 | f->first_line);
}

static uint32_t *first_slot(unsigned kind, uint32_t hash)
{
	return pa_store.hash[kind] + pa_scale(hash, pa_store.capacity.hash[kind]);
}

static uint32_t *next_slot(unsigned kind, uint32_t *slot)
{
	slot++;
	return slot == pa_store.hash[kind] + pa_store.capacity.hash[kind]
		? pa_store.hash[kind] : slot;
}

/* Enter an element that is known not to be there. */
static void enter(unsigned kind, uint32_t hash, uint32_t index)
{
	uint32_t *slot = first_slot(kind, hash);

	while (*slot)
		slot = next_slot(kind, slot);
	*slot = index;
}

/* ---- strings ---- */

static uint32_t string_length(uint32_t offset)
{
	uint32_t length;

	__builtin_memcpy(&length, pa_store.strings + offset, 4);
	return length;
}

static uint32_t string_bytes(uint32_t length)
{
	return 4 + ((length + 3) & ~3u);
}

uint32_t pa_store_string_locked(const char *bytes, uint32_t length)
{
	uint32_t capacity = pa_store.capacity.kind[PA_KIND_STRINGS];
	uint32_t offset = pa_store.used[PA_KIND_STRINGS], hash, *slot;

	/* one name may not take more than half: no rebuild would help */
	if (!pa_store.running || !length || length > capacity / 2)
		return 0;
	hash = hash_string(bytes, length);
	for (slot = first_slot(PA_KIND_STRINGS, hash); *slot;
	     slot = next_slot(PA_KIND_STRINGS, slot))
		if (string_length(*slot) == length
		    && memcmp(pa_store.strings + *slot + 4, bytes, length) == 0)
			return *slot;
	if (string_bytes(length) > capacity - offset
	    || pa_store.string_count >= pa_store.capacity.string_count)
		return 0;
	open_kind(PA_KIND_STRINGS, offset + string_bytes(length));
	memcpy(pa_store.strings + offset, &length, 4);
	memcpy(pa_store.strings + offset + 4, bytes, length);
	*slot = offset;
	pa_store.string_count++;
	pa_store.used[PA_KIND_STRINGS] += string_bytes(length);
	pa_stacks_publish(PA_KIND_STRINGS);
	return offset;
}

/* ---- frames and nodes ---- */

/* The index of a new element of a kind that only appends; 0: full. */
static uint32_t append(unsigned kind)
{
	uint32_t index = pa_store.used[kind];

	if (index >= pa_store.capacity.kind[kind])
		return 0;
	open_kind(kind, index + 1);
	return index;
}

static void appended(unsigned kind)
{
	pa_store.used[kind]++;
	pa_stacks_publish(kind);
}

uint32_t pa_store_frame_locked(uint32_t file, uint32_t function,
			       uint32_t line, uint32_t first_line)
{
	struct pa_frame f = { file, function, line, first_line };
	uint32_t *slot, index;

	if (!pa_store.running)
		return 0;
	for (slot = first_slot(PA_KIND_FRAMES, hash_frame(&f)); *slot;
	     slot = next_slot(PA_KIND_FRAMES, slot))
		if (memcmp(&pa_store.frames[*slot], &f, sizeof(f)) == 0)
			return *slot;
	index = append(PA_KIND_FRAMES);
	if (index) {
		pa_store.frames[index] = f;
		*slot = index;
		appended(PA_KIND_FRAMES);
	}
	return index;
}

uint32_t pa_store_node_locked(uint32_t parent, uint32_t frame)
{
	struct pa_node n = { parent, frame };
	uint32_t *slot, index;

	if (!pa_store.running)
		return 0;
	for (slot = first_slot(PA_KIND_NODES, hash_two(parent, frame)); *slot;
	     slot = next_slot(PA_KIND_NODES, slot))
		if (memcmp(&pa_store.nodes[*slot], &n, sizeof(n)) == 0)
			return *slot;
	index = append(PA_KIND_NODES);
	if (index) {
		pa_store.nodes[index] = n;
		*slot = index;
		appended(PA_KIND_NODES);
	}
	return index;
}

/* ---- sites ---- */

/* A hole that a rebuild left, or the next at the end; 0: full. */
static uint32_t take_site(void)
{
	uint32_t words = pa_store.capacity.kind[PA_KIND_SITES] / 64 + 1;

	for (; pa_store.site_cursor < words; pa_store.site_cursor++) {
		uint64_t free = ~pa_store.site_taken[pa_store.site_cursor];
		uint32_t site;

		if (!free)
			continue;
		site = pa_store.site_cursor * 64
			+ pa_popcount((free & -free) - 1);
		if (site >= pa_store.capacity.kind[PA_KIND_SITES])
			return 0;
		pa_store.site_taken[site >> 6] |= 1ull << (site & 63);
		pa_store.site_count++;
		return site;
	}
	return 0;
}

static void make_site(uint32_t index, uint32_t node, uint32_t domain)
{
	struct pa_site *site;

	if (index >= pa_store.used[PA_KIND_SITES])
		open_kind(PA_KIND_SITES, index + 1);
	site = &pa_store.sites[index];
	pa_store.site_born[index] = (uint32_t)pa_store.generation;
	pa_site_begin(site);
	site->node = node;
	site->domain = domain;
	pa_site_end(site);
	if (index >= pa_store.used[PA_KIND_SITES]) {
		pa_store.used[PA_KIND_SITES] = index + 1;
		pa_stacks_publish(PA_KIND_SITES);
	}
}

uint32_t pa_store_site_locked(uint32_t node, uint32_t domain)
{
	uint32_t *slot, index;

	if (!pa_store.running)
		return PA_SITE_FULL;
	if (!node)
		return PA_SITE_NO_PYTHON;
	for (slot = first_slot(PA_KIND_SITES, hash_two(node, domain)); *slot;
	     slot = next_slot(PA_KIND_SITES, slot))
		if (pa_store.sites[*slot].node == node
		    && pa_store.sites[*slot].domain == domain)
			return *slot;
	index = take_site();
	if (!index)
		return PA_SITE_FULL;
	make_site(index, node, domain);
	*slot = index;
	return index;
}

/* ---- after a rebuild ---- */

static void index_strings(void)
{
	uint32_t offset = 4;

	pa_store.string_count = 0;
	while (offset < pa_store.used[PA_KIND_STRINGS]) {
		uint32_t length = string_length(offset);

		enter(PA_KIND_STRINGS, hash_string(pa_store.strings + offset
						   + 4, length), offset);
		pa_store.string_count++;
		offset += string_bytes(length);
	}
}

void pa_stacks_index(void)
{
	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		memset(pa_store.hash[k], 0, 4ull * pa_store.capacity.hash[k]);
	index_strings();
	for (uint32_t i = 1; i < pa_store.used[PA_KIND_FRAMES]; i++)
		enter(PA_KIND_FRAMES, hash_frame(&pa_store.frames[i]), i);
	for (uint32_t i = 1; i < pa_store.used[PA_KIND_NODES]; i++)
		enter(PA_KIND_NODES, hash_two(pa_store.nodes[i].parent,
					      pa_store.nodes[i].frame), i);
	for (uint32_t i = PA_SITE_FIRST; i < pa_store.used[PA_KIND_SITES]; i++)
		if (pa_site_taken(i))
			enter(PA_KIND_SITES,
			      hash_two(pa_store.sites[i].node,
				       pa_store.sites[i].domain), i);
	pa_store.site_cursor = 0;
}
