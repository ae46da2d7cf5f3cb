/* SPDX-License-Identifier: MIT
 *
 * Snapshots: a copy of the image in a buffer of its own, taken in short
 * turns under the lock, finished without it.  One copy serves all clients
 * that ask soon while one of them still holds it.  Server thread only, but for
 * the reset in a fork child.
 *
 * Order: live records first, then sites, then the counts of nodes, frames
 * and strings are fixed; so whatever a copied element names is copied too.
 * Rebuilds wait meanwhile (pa_store.copying).
 */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "payload/process.h"
#include "payload/store_internal.h"
#include "payload/sys.h"

#define TURN (64u << 10)	/* bytes copied while the lock is held */
#define SHARED_MAX_NS 2000000000ull	/* older than that is not now */

static struct {
	unsigned holders;
	size_t bytes;
	char *buffer;
	uint32_t count[PA_IMAGE_KINDS + 1];
	char *staged;		/* live records before they have their place */
} snapshot;

void pa_snapshot_reset(void)
{
	snapshot.holders = 0;
	snapshot.bytes = 0;
	pa_store.copying = false;
}

static struct pa_directory *copied_directory(void)
{
	return (struct pa_directory *)(void *)snapshot.buffer;
}

static char *copied(unsigned kind)
{
	return snapshot.buffer
		+ copied_directory()->set[0].region[kind - 1].file_offset;
}

static size_t bytes_of(unsigned kind)
{
	return (size_t)snapshot.count[kind] * pa_elem_size[kind];
}

/* ---- copying, in turns ---- */

/* One turn over the live table from *slot on; false at its end. */
static bool copy_live_turn(uint32_t *slot)
{
	uint32_t end = *slot + TURN / sizeof(struct pa_live);
	struct pa_live *to = (struct pa_live *)(void *)snapshot.staged;

	if (end > pa_store.used[PA_KIND_LIVE])
		end = pa_store.used[PA_KIND_LIVE];
	for (; *slot < end; ++*slot) {
		const struct pa_live *from = &pa_store.live[*slot];

		if (!from->address)
			continue;
		to[snapshot.count[PA_KIND_LIVE]] = *from;
		to[snapshot.count[PA_KIND_LIVE]++].seq = 2;
	}
	return end < pa_store.used[PA_KIND_LIVE];
}

static void copy_live(void)
{
	uint32_t slot = 1;
	bool more = true;

	snapshot.count[PA_KIND_LIVE] = 1;	/* element 0 stays zeros */
	while (more) {
		pa_store_lock();
		more = copy_live_turn(&slot);
		pa_store_unlock();
	}
}

static void copy_in_turns(char *to, const char *from, size_t bytes)
{
	while (bytes) {
		size_t n = bytes < TURN ? bytes : TURN;

		pa_store_lock();
		memcpy(to, from, n);
		pa_store_unlock();
		to += n;
		from += n;
		bytes -= n;
	}
}

/* Where a region goes: right after the one before it, so that every byte is
 * under a CRC. */
static void place(unsigned kind, size_t *at)
{
	struct pa_region *r = &copied_directory()->set[0].region[kind - 1];

	r->kind = kind;
	r->elem_size = pa_elem_size[kind];
	r->address = (uint64_t)(uintptr_t)
		pa_store.area[pa_area_of(pa_store.active, kind)].base;
	r->file_offset = *at;
	r->capacity = snapshot.count[kind];
	copied_directory()->count[0][kind - 1] = snapshot.count[kind];
	*at += bytes_of(kind);
}

/* Fix the counts of these kinds; the lock is held. */
static void fix_count(unsigned kind)
{
	snapshot.count[kind] = pa_store.used[kind];
}

static void copy_directory(void)
{
	struct pa_directory *d = copied_directory();

	*d = *pa_store.directory;
	memset(d->set, 0, sizeof(d->set));
	memset(d->count, 0, sizeof(d->count));
	d->set[0].generation = pa_store.generation;
	d->set[0].n_regions = PA_IMAGE_KINDS;
	d->active_set = 0;
	d->flags |= PA_FLAG_SNAPSHOT;
}

static const char *source(unsigned kind)
{
	return pa_store.area[pa_area_of(pa_store.active, kind)].base;
}

/* An empty string more, where the regions that follow would not be aligned;
 * it is not copied: the buffer holds zeros. */
static void align_strings(void)
{
	uint32_t *count = &snapshot.count[PA_KIND_STRINGS];

	*count = (*count + 7) & ~7u;
}

static void copy_all(void)
{
	size_t at = PA_IMAGE_PAGE, strings;

	copy_live();
	pa_store_lock();
	fix_count(PA_KIND_SITES);
	pa_store_unlock();
	copy_in_turns(snapshot.buffer + at, source(PA_KIND_SITES),
		      bytes_of(PA_KIND_SITES));
	pa_store_lock();
	fix_count(PA_KIND_STRINGS);
	fix_count(PA_KIND_FRAMES);
	fix_count(PA_KIND_NODES);
	copy_directory();
	pa_store_unlock();
	strings = bytes_of(PA_KIND_STRINGS);
	align_strings();
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
		place(k, &at);
	copy_in_turns(copied(PA_KIND_NODES), source(PA_KIND_NODES),
		      bytes_of(PA_KIND_NODES));
	copy_in_turns(copied(PA_KIND_FRAMES), source(PA_KIND_FRAMES),
		      bytes_of(PA_KIND_FRAMES));
	copy_in_turns(copied(PA_KIND_STRINGS), source(PA_KIND_STRINGS),
		      strings);
	memmove(copied(PA_KIND_LIVE), snapshot.staged, bytes_of(PA_KIND_LIVE));
	snapshot.bytes = at;
}

/* ---- finishing, without the lock ---- */

/* The sites' live figures from the very records that were copied: between
 * two turns some came and went. */
static void recount_live(void)
{
	struct pa_site *sites = (struct pa_site *)(void *)copied(PA_KIND_SITES);
	const struct pa_live *live = (const struct pa_live *)(const void *)
		copied(PA_KIND_LIVE);

	for (uint32_t i = 0; i < snapshot.count[PA_KIND_SITES]; i++) {
		sites[i].seq = 2;
		sites[i].live_samples = 0;
		sites[i].live_bytes = sites[i].live_objects = 0;
	}
	for (uint32_t i = 1; i < snapshot.count[PA_KIND_LIVE]; i++) {
		struct pa_site *site = &sites[live[i].site];
		struct pa_weight w;

		pa_weigh(live[i].size, live[i].rate, &w);
		site->live_samples++;
		site->live_bytes += w.bytes;
		site->live_objects += w.objects;
	}
	copied_directory()->samples_live = snapshot.count[PA_KIND_LIVE] - 1;
}

static void seal(void)
{
	struct pa_directory *d = copied_directory();

	d->snapshot_realtime_ns = pa_clock_ns(CLOCK_REALTIME);
	d->snapshot_monotonic_ns = pa_clock_ns(CLOCK_MONOTONIC);
	d->rss = pa_process_rss();
	d->identity_crc = pa_crc32(0, d, offsetof(struct pa_directory,
						  identity_crc));
	d->set[0].crc = pa_set_crc(&d->set[0]);
	memset(d->region_crc, 0, sizeof(d->region_crc));
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
		d->region_crc[k - 1] = pa_crc32(0, copied(k), bytes_of(k));
	d->reserved = d->tail_reserved = 0;
	d->tail_crc = pa_crc32(0, &d->requested_monotonic_ns,
			       sizeof(d->requested_monotonic_ns));
	d->snapshot_crc = pa_crc32(0, d, offsetof(struct pa_directory,
						  snapshot_crc));
}

/* ---- the door ---- */

static bool start_copying(void)
{
	const struct pa_area *a = &pa_store.area[PA_AREA_SNAPSHOT];
	bool running;

	pa_store_lock();
	running = pa_store.running;
	pa_store.copying = running;
	if (running) {
		snapshot.buffer = a->base;
		snapshot.staged = a->base + a->bytes
			- pa_store.area[PA_AREA_LIVE].bytes;
	}
	pa_store_unlock();
	/* in a fork child what the parent was about to send may lie there */
	if (running)
		pa_store_give_back(a->base, a->bytes);
	return running;
}

static void end_copying(void)
{
	pa_store_lock();
	pa_store.copying = false;
	/* what was staged beyond the end is gone again with the rest */
	pa_store_open(PA_AREA_SNAPSHOT,
		      snapshot.bytes + bytes_of(PA_KIND_LIVE));
	copied_directory()->memory_used = pa_store.directory->memory_used;
	pa_store_unlock();
}

int pa_store_snapshot_begin(const void **image, size_t *bytes)
{
	if (!snapshot.holders) {
		if (!start_copying())
			return PA_E_DETACHED;
		copy_all();
		end_copying();
		recount_live();
		seal();
	} else if (pa_clock_ns(CLOCK_MONOTONIC)
		   - copied_directory()->snapshot_monotonic_ns
		   > SHARED_MAX_NS) {
		/* slow readers, one after the other, would keep it for ever */
		return PA_E_BUSY;
	}
	snapshot.holders++;
	*image = snapshot.buffer;
	*bytes = snapshot.bytes;
	return 0;
}

void pa_store_snapshot_end(void)
{
	if (!snapshot.holders || --snapshot.holders)
		return;
	pa_store_give_back(snapshot.buffer,
			   pa_store.area[PA_AREA_SNAPSHOT].bytes);
	pa_store_lock();
	pa_store.area[PA_AREA_SNAPSHOT].open = 0;
	pa_store_unlock();
}
