/* SPDX-License-Identifier: MIT
 *
 * The A/B flip: copy what is worth keeping of strings, frames, nodes and
 * sites into the other set, then make that the valid one.
 *
 * Kept are the stacks of sites with live samples and, up to half of the room,
 * those of the sites that allocated most; the totals of the rest go to
 * PA_SITE_EVICTED.  Elements keep their order, so that a parent still comes
 * before its children and no hash is needed to copy: a new index is the
 * number of kept elements before.  Sites keep their very index, so that live
 * records need not be written: they resolve in whichever set is valid.
 *
 * Until the flip the old set is untouched and valid; after it the new one is
 * complete.  All under the lock, in time proportional to a set.
 */
#include <stddef.h>
#include <string.h>

#include "payload/store_internal.h"

/* ---- descriptor sets ---- */

uint32_t pa_set_crc(const struct pa_set *set)
{
	uint32_t crc = pa_crc32(0, set, offsetof(struct pa_set, crc));

	return pa_crc32(crc, set->region, sizeof(set->region));
}

void pa_set_withdraw(unsigned set)
{
	struct pa_directory *d = pa_store.directory;
	struct pa_set *s = &d->set[set];

	__atomic_store_n(&s->generation, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->n_regions, 0, __ATOMIC_RELEASE);
	/* generation 0 is never valid, whatever the CRC */
	__atomic_store_n(&s->crc, 0, __ATOMIC_RELEASE);
	memset(s->region, 0, sizeof(s->region));
}

void pa_set_publish(unsigned set, uint64_t generation)
{
	struct pa_directory *d = pa_store.directory;
	struct pa_set *s = &d->set[set];

	pa_set_withdraw(set);
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
		s->region[k - 1] = (struct pa_region) {
			.kind = k, .elem_size = pa_elem_size[k],
			.address = (uint64_t)(uintptr_t)
				pa_store.area[pa_area_of(set, k)].base,
			.capacity = pa_store.capacity.kind[k],
		};
	s->n_regions = PA_IMAGE_KINDS;
	__atomic_store_n(&s->generation, generation, __ATOMIC_RELEASE);
	__atomic_store_n(&s->crc, pa_set_crc(s), __ATOMIC_RELEASE);
	__atomic_store_n(&d->active_set, set, __ATOMIC_RELEASE);
	pa_set_withdraw(!set);
}

/* ---- marks ---- */

struct rebuild {
	struct pa_marks sites, strings, frames, nodes;
	uint32_t half[PA_SET_KINDS + 1];
	uint32_t names;		/* strings marked */
	struct pa_site *new_sites;
	char *new_strings;
	struct pa_frame *new_frames;
	struct pa_node *new_nodes;
};

/* Strings are marked in granules of 4 bytes. */
#define GRAIN 4u
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

static bool is_marked(const struct pa_marks *m, uint32_t i)
{
	return m->bits[i >> 6] >> (i & 63) & 1;
}

/* True if it was not marked before. */
static bool mark(struct pa_marks *m, uint32_t i)
{
	if (is_marked(m, i))
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

static uint32_t rank_of(const struct pa_marks *m, uint32_t i)
{
	return m->rank[i >> 6]
		+ pa_popcount(m->bits[i >> 6] & ((1ull << (i & 63)) - 1));
}

static uint32_t grains_of(uint32_t offset)
{
	uint32_t length;

	memcpy(&length, pa_store.strings + offset, 4);
	return 1 + (length + GRAIN - 1) / GRAIN;
}

static void mark_string(struct rebuild *r, uint32_t offset)
{
	uint32_t first = offset / GRAIN;

	if (is_marked(&r->strings, first))
		return;
	r->names++;
	for (uint32_t n = grains_of(offset); n; n--)
		mark(&r->strings, first++);
}

/* A node, its frame, its names, and its callers up to the first that is
 * marked already. */
static void mark_stack(struct rebuild *r, uint32_t node)
{
	for (; mark(&r->nodes, node); node = pa_store.nodes[node].parent) {
		uint32_t frame = pa_store.nodes[node].frame;

		if (!mark(&r->frames, frame))
			continue;
		mark_string(r, pa_store.frames[frame].file);
		mark_string(r, pa_store.frames[frame].function);
	}
}

static void mark_site(struct rebuild *r, uint32_t site)
{
	mark(&r->sites, site);
	mark_stack(r, pa_store.sites[site].node);
}

static void place_all(struct rebuild *r)
{
	const uint32_t *cap = pa_store.capacity.kind;
	const struct pa_area *area = &pa_store.area[PA_AREA_MARKS];
	char *at = area->base;

	memset(at, 0, area->bytes);
	r->names = 0;
	at = place_marks(&r->sites, cap[PA_KIND_SITES], at);
	at = place_marks(&r->strings, cap[PA_KIND_STRINGS] / GRAIN, at);
	at = place_marks(&r->frames, cap[PA_KIND_FRAMES], at);
	at = place_marks(&r->nodes, cap[PA_KIND_NODES], at);
	at = place_ranks(&r->sites, at);
	at = place_ranks(&r->strings, at);
	at = place_ranks(&r->frames, at);
	place_ranks(&r->nodes, at);
	for (unsigned k = 1; k <= PA_SET_KINDS; k++)
		r->half[k] = cap[k] / 2;
	r->half[PA_KIND_STRINGS] /= GRAIN;
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

static bool half_full(const struct rebuild *r)
{
	return r->sites.marked >= r->half[PA_KIND_SITES]
		|| r->strings.marked >= r->half[PA_KIND_STRINGS]
		|| r->names >= pa_store.capacity.string_count / 2
		|| r->frames.marked >= r->half[PA_KIND_FRAMES]
		|| r->nodes.marked >= r->half[PA_KIND_NODES];
}

/* Would a site's stack stay within half of the nodes? */
static bool fits(const struct rebuild *r, uint32_t site)
{
	uint32_t node = pa_store.sites[site].node;
	uint32_t nodes = r->nodes.marked;

	for (; !is_marked(&r->nodes, node); node = pa_store.nodes[node].parent)
		nodes++;
	return nodes <= r->half[PA_KIND_NODES];
}

static void choose(struct rebuild *r)
{
	uint32_t *heap = pa_store.site_order, n = 0, misfits = 0;

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
}

/* ---- the copy ---- */

static void copy_strings(const struct rebuild *r)
{
	uint32_t offset = 0, to = 0;

	while (offset < pa_store.used[PA_KIND_STRINGS]) {
		uint32_t bytes = grains_of(offset) * GRAIN;

		if (is_marked(&r->strings, offset / GRAIN)) {
			memcpy(r->new_strings + to, pa_store.strings + offset,
			       bytes);
			to += bytes;
		}
		offset += bytes;
	}
}

static uint32_t new_string(const struct rebuild *r, uint32_t offset)
{
	return rank_of(&r->strings, offset / GRAIN) * GRAIN;
}

static void copy_frames(const struct rebuild *r)
{
	struct pa_frame *to = r->new_frames;

	for (uint32_t i = 0; i < pa_store.used[PA_KIND_FRAMES]; i++) {
		if (!is_marked(&r->frames, i))
			continue;
		*to = pa_store.frames[i];
		to->file = new_string(r, to->file);
		to->function = new_string(r, to->function);
		to++;
	}
}

static void copy_nodes(const struct rebuild *r)
{
	struct pa_node *to = r->new_nodes;

	for (uint32_t i = 0; i < pa_store.used[PA_KIND_NODES]; i++) {
		if (!is_marked(&r->nodes, i))
			continue;
		to->parent = rank_of(&r->nodes, pa_store.nodes[i].parent);
		to->frame = rank_of(&r->frames, pa_store.nodes[i].frame);
		to++;
	}
}

static void raise_to(double *value, double least)
{
	if (*value < least)
		*value = least;
}

static void evict(struct pa_site *to, const struct pa_site *from)
{
	to->allocated_samples += from->allocated_samples;
	to->allocated_bytes += from->allocated_bytes;
	to->allocated_bytes_variance += from->allocated_bytes_variance;
	raise_to(&to->allocated_bytes_weight_max,
		 from->allocated_bytes_weight_max);
	to->allocated_objects += from->allocated_objects;
	to->allocated_objects_variance += from->allocated_objects_variance;
	raise_to(&to->allocated_objects_weight_max,
		 from->allocated_objects_weight_max);
	raise_to(&to->peak_bytes, from->peak_bytes);
	if (to->last_ns < from->last_ns)
		to->last_ns = from->last_ns;
}

/* The number of sites up to the last that stays. */
static uint32_t copy_sites(const struct rebuild *r)
{
	struct pa_site *evicted = &r->new_sites[PA_SITE_EVICTED];
	uint32_t end = PA_SITE_FIRST;

	for (uint32_t i = 0; i < PA_SITE_FIRST; i++)
		r->new_sites[i] = pa_store.sites[i];
	for (uint32_t i = PA_SITE_FIRST; i < pa_store.used[PA_KIND_SITES]; i++) {
		if (is_marked(&r->sites, i)) {
			r->new_sites[i] = pa_store.sites[i];
			r->new_sites[i].node =
				rank_of(&r->nodes, pa_store.sites[i].node);
			end = i + 1;
		} else if (pa_site_taken(i)) {
			evict(evicted, &pa_store.sites[i]);
			pa_store.directory->sites_evicted++;
		}
	}
	return end;
}

/* The other set was closed, so it holds zeros: holes become free sites. */
static void open_new(struct rebuild *r, unsigned set)
{
	const struct pa_area *a = &pa_store.area[PA_AREA_SETS
						 + set * PA_SET_KINDS];

	r->new_sites = (struct pa_site *)(void *)a[PA_KIND_SITES - 1].base;
	r->new_strings = a[PA_KIND_STRINGS - 1].base;
	r->new_frames = (struct pa_frame *)(void *)a[PA_KIND_FRAMES - 1].base;
	r->new_nodes = (struct pa_node *)(void *)a[PA_KIND_NODES - 1].base;
	count_ranks(&r->strings);
	count_ranks(&r->frames);
	count_ranks(&r->nodes);
	pa_store_open(pa_area_of(set, PA_KIND_SITES),
		      pa_store.used[PA_KIND_SITES] * sizeof(struct pa_site));
	pa_store_open(pa_area_of(set, PA_KIND_STRINGS),
		      (size_t)r->strings.marked * GRAIN);
	pa_store_open(pa_area_of(set, PA_KIND_FRAMES),
		      r->frames.marked * sizeof(struct pa_frame));
	pa_store_open(pa_area_of(set, PA_KIND_NODES),
		      r->nodes.marked * sizeof(struct pa_node));
}

/* Counts first, then the descriptors that make them count. */
static void flip(const struct rebuild *r, unsigned set, uint32_t sites)
{
	uint64_t *count = pa_store.directory->count[set];

	pa_store.used[PA_KIND_SITES] = sites;
	pa_store.used[PA_KIND_STRINGS] = r->strings.marked * GRAIN;
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
	struct rebuild r;
	uint32_t sites;

	place_all(&r);
	choose(&r);
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
