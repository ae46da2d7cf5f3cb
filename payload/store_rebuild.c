/* SPDX-License-Identifier: MIT
 *
 * The A/B flip: copy what is worth keeping of strings, frames, nodes and
 * sites into the other set, then make that the valid one.
 *
 * store_keep.c says what that is; the totals of other sites go to
 * PA_SITE_EVICTED.  Elements keep their order, so that a parent still comes
 * before its children and no hash is needed to copy: a new index is the
 * number of kept elements before.  Sites keep their very index, so that live
 * records need not be written: they resolve in whichever set is valid.
 *
 * Until the flip the old set is untouched and valid; after it the new one is
 * complete.  All under the lock, in time proportional to a set.
 */
#include <string.h>

#include "payload/store_internal.h"

/* ---- the copy ---- */

static void copy_strings(const struct pa_rebuild *r)
{
	uint32_t offset = 0, to = 0;

	while (offset < pa_store.used[PA_KIND_STRINGS]) {
		uint32_t bytes = pa_grains_of(offset) * PA_GRAIN;

		if (pa_is_marked(&r->strings, offset / PA_GRAIN)) {
			memcpy(r->new_strings + to, pa_store.strings + offset,
			       bytes);
			to += bytes;
		}
		offset += bytes;
	}
}

static uint32_t new_string(const struct pa_rebuild *r, uint32_t offset)
{
	return pa_rank_of(&r->strings, offset / PA_GRAIN) * PA_GRAIN;
}

static void copy_frames(const struct pa_rebuild *r)
{
	struct pa_frame *to = r->new_frames;

	for (uint32_t i = 0; i < pa_store.used[PA_KIND_FRAMES]; i++) {
		if (!pa_is_marked(&r->frames, i))
			continue;
		*to = pa_store.frames[i];
		to->file = new_string(r, to->file);
		to->function = new_string(r, to->function);
		to++;
	}
}

static void copy_nodes(const struct pa_rebuild *r)
{
	struct pa_node *to = r->new_nodes;

	for (uint32_t i = 0; i < pa_store.used[PA_KIND_NODES]; i++) {
		if (!pa_is_marked(&r->nodes, i))
			continue;
		to->parent = pa_rank_of(&r->nodes, pa_store.nodes[i].parent);
		to->frame = pa_rank_of(&r->frames, pa_store.nodes[i].frame);
		to++;
	}
}

static void evict(struct pa_site *to, const struct pa_site *from)
{
	to->allocated_samples += from->allocated_samples;
	to->allocated_bytes += from->allocated_bytes;
	to->allocated_bytes_variance += from->allocated_bytes_variance;
	pa_raise_to(&to->allocated_bytes_weight_max,
		 from->allocated_bytes_weight_max);
	to->allocated_objects += from->allocated_objects;
	to->allocated_objects_variance += from->allocated_objects_variance;
	pa_raise_to(&to->allocated_objects_weight_max,
		 from->allocated_objects_weight_max);
	pa_raise_to(&to->peak_bytes, from->peak_bytes);
	if (to->last_ns < from->last_ns)
		to->last_ns = from->last_ns;
}

/* The number of sites up to the last that stays. */
static uint32_t copy_sites(const struct pa_rebuild *r)
{
	struct pa_site *evicted = &r->new_sites[PA_SITE_EVICTED];
	uint32_t end = PA_SITE_FIRST;

	for (uint32_t i = 0; i < PA_SITE_FIRST; i++)
		r->new_sites[i] = pa_store.sites[i];
	for (uint32_t i = PA_SITE_FIRST; i < pa_store.used[PA_KIND_SITES]; i++) {
		if (pa_is_marked(&r->sites, i)) {
			r->new_sites[i] = pa_store.sites[i];
			r->new_sites[i].node =
				pa_rank_of(&r->nodes, pa_store.sites[i].node);
			end = i + 1;
		} else if (pa_site_taken(i)) {
			evict(evicted, &pa_store.sites[i]);
			pa_store.directory->sites_evicted++;
		}
	}
	return end;
}

/* The other set was closed, so it holds zeros: holes become free sites. */
static void open_new(struct pa_rebuild *r, unsigned set)
{
	const struct pa_area *a = &pa_store.area[PA_AREA_SETS
						 + set * PA_SET_KINDS];

	r->new_sites = (struct pa_site *)(void *)a[PA_KIND_SITES - 1].base;
	r->new_strings = a[PA_KIND_STRINGS - 1].base;
	r->new_frames = (struct pa_frame *)(void *)a[PA_KIND_FRAMES - 1].base;
	r->new_nodes = (struct pa_node *)(void *)a[PA_KIND_NODES - 1].base;
	pa_store_open(pa_area_of(set, PA_KIND_SITES),
		      pa_store.used[PA_KIND_SITES] * sizeof(struct pa_site));
	pa_store_open(pa_area_of(set, PA_KIND_STRINGS),
		      (size_t)r->strings.marked * PA_GRAIN);
	pa_store_open(pa_area_of(set, PA_KIND_FRAMES),
		      r->frames.marked * sizeof(struct pa_frame));
	pa_store_open(pa_area_of(set, PA_KIND_NODES),
		      r->nodes.marked * sizeof(struct pa_node));
}

/* Counts first, then the descriptors that make them count. */
static void flip(const struct pa_rebuild *r, unsigned set, uint32_t sites)
{
	uint64_t *count = pa_store.directory->count[set];

	pa_store.used[PA_KIND_SITES] = sites;
	pa_store.used[PA_KIND_STRINGS] = r->strings.marked * PA_GRAIN;
	pa_store.used[PA_KIND_FRAMES] = r->frames.marked;
	pa_store.used[PA_KIND_NODES] = r->nodes.marked;
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
		__atomic_store_n(&count[k - 1], pa_store.used[k],
				 __ATOMIC_RELEASE);
	pa_set_publish(set, ++pa_store.generation);
	pa_stacks_select(set);
	memcpy(pa_store.site_taken, r->sites.bits, 8ull * r->sites.words);
	pa_store.site_count = r->sites.marked;
}

static void close_old(unsigned set)
{
	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		pa_store_close(pa_area_of(set, k));
}

static void rebuild(void)
{
	unsigned old = pa_store.active, set = !old;
	struct pa_rebuild r;
	uint32_t sites;

	pa_keep_choose(&r);
	open_new(&r, set);
	copy_strings(&r);
	copy_frames(&r);
	copy_nodes(&r);
	sites = copy_sites(&r);
	flip(&r, set, sites);
	close_old(old);
	pa_stacks_index();
	pa_store.directory->rebuilds++;
}

/* ---- when ---- */

/* Is any kind filled to so many eighths? */
static bool filled(unsigned eighths)
{
	const struct pa_capacity *c = &pa_store.capacity;
	const uint32_t used[PA_SET_KINDS + 1] = {
		[PA_KIND_SITES] = pa_store.site_count,
		[PA_KIND_STRINGS] = pa_store.used[PA_KIND_STRINGS],
		[PA_KIND_FRAMES] = pa_store.used[PA_KIND_FRAMES],
		[PA_KIND_NODES] = pa_store.used[PA_KIND_NODES],
	};

	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		if (used[k] >= (uint64_t)c->kind[k] * eighths / 8)
			return true;
	return pa_store.string_count
		>= (uint64_t)c->string_count * eighths / 8;
}

/* A rebuild that did not free enough is not tried again before an eighth of
 * the sites could have become free; then twice that, up to 16 times. */
static void set_pause(void)
{
	uint64_t least = pa_store.capacity.kind[PA_KIND_SITES] / 8
		+ pa_store.directory->samples_live / 8;

	if (!filled(5))
		pa_store.rebuild_pause = 0;
	else if (pa_store.rebuild_pause < least)
		pa_store.rebuild_pause = least;
	else if (pa_store.rebuild_pause < 16 * least)
		pa_store.rebuild_pause *= 2;
	pa_store.rebuild_at = pa_store.removed + pa_store.rebuild_pause;
}

bool pa_store_make_room_locked(void)
{
	if (!pa_store.running || pa_store.copying || !filled(6)
	    || pa_store.removed < pa_store.rebuild_at)
		return false;
	rebuild();
	set_pause();
	return true;
}

uint64_t pa_store_generation_locked(void)
{
	return pa_store.generation;
}
