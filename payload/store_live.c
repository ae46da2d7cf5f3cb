/* SPDX-License-Identifier: MIT
 *
 * The live table: dense records that never move, so that a reader of a core
 * or a snapshot copy sees each of them once.  store_index.c finds one by its
 * address, store_thin.c makes room.
 */
#include <string.h>
#include <time.h>

#include "payload/sampler.h"
#include "payload/store_internal.h"
#include "payload/sys.h"

#define HASHED offsetof(struct pa_live, address)
#define COMPARE_NS 1000000000ull	/* of the two clocks */

/* ---- weights ---- */

void pa_weigh(uint64_t size, uint64_t rate, struct pa_weight *w)
{
	double p = pa_sampler_probability(size, rate), rest = 1 - p;

	w->objects = 1 / p;
	w->objects_max = rest / p;
	w->objects_variance = rest / (p * p);
	w->bytes = (double)size / p;
	w->bytes_max = w->bytes * rest;
	w->bytes_variance = w->bytes * w->bytes_max;
}

static void add_allocated(struct pa_site *s, const struct pa_weight *w)
{
	struct pa_directory *d = pa_store.directory;

	s->allocated_samples++;
	s->allocated_bytes += w->bytes;
	s->allocated_bytes_variance += w->bytes_variance;
	pa_raise_to(&s->allocated_bytes_weight_max, w->bytes_max);
	s->allocated_objects += w->objects;
	s->allocated_objects_variance += w->objects_variance;
	pa_raise_to(&s->allocated_objects_weight_max, w->objects_max);
	d->estimated_bytes += w->bytes;
	d->estimated_bytes_variance += w->bytes_variance;
	pa_raise_to(&d->estimated_bytes_weight_max, w->bytes_max);
	d->estimated_objects += w->objects;
	d->estimated_objects_variance += w->objects_variance;
	pa_raise_to(&d->estimated_objects_weight_max, w->objects_max);
}

static void add_live(struct pa_site *s, const struct pa_weight *w)
{
	s->live_samples++;
	s->live_bytes += w->bytes;
	s->live_objects += w->objects;
	pa_raise_to(&s->peak_bytes, s->live_bytes);
}

/* Rounding errors of many samples end where the site is empty. */
static void take_live(struct pa_site *s, const struct pa_weight *w)
{
	s->live_samples--;
	s->live_bytes = s->live_samples ? s->live_bytes - w->bytes : 0;
	s->live_objects = s->live_samples ? s->live_objects - w->objects : 0;
}

/* ---- records ---- */

static uint16_t check_of(const struct pa_live *r)
{
	const unsigned char *p = (const unsigned char *)r;
	uint32_t hash = 0x811c9dc5u;	/* FNV-1a of 32 bits */

	for (size_t i = HASHED; i < sizeof(*r); i++)
		hash = (hash ^ p[i]) * 0x01000193u;
	return (uint16_t)hash;
}

/* Write all but seq; a reader that finds seq odd ignores the record. */
static void write_record(uint32_t slot, const struct pa_live *from)
{
	struct pa_live *r = &pa_store.live[slot];
	uint32_t seq = r->seq | 1;

	(void)__atomic_exchange_n(&r->seq, seq, __ATOMIC_ACQ_REL);
	/* by name it would be a call: the payload is built freestanding */
	__builtin_memcpy((char *)r + sizeof(r->seq), (const char *)from
			 + sizeof(r->seq), sizeof(*r) - sizeof(r->seq));
	r->check = check_of(r);
	seq = seq + 1 ? seq + 1 : 2;	/* 0 would say: free */
	__atomic_store_n(&r->seq, seq, __ATOMIC_RELEASE);
}

/* A free slot keeps the number of the next free one in `luck`. */
static uint32_t take_slot(void)
{
	uint32_t slot = pa_store.live_free;

	if (slot) {
		pa_store.live_free = pa_store.live[slot].luck;
		return slot;
	}
	slot = pa_store.used[PA_KIND_LIVE]++;
	pa_store_open(PA_AREA_LIVE, (slot + 1ull) * sizeof(struct pa_live));
	pa_stacks_publish(PA_KIND_LIVE);
	return slot;
}

static void free_slot(uint32_t slot)
{
	struct pa_live *r = &pa_store.live[slot];
	uint32_t seq = r->seq | 1;

	(void)__atomic_exchange_n(&r->seq, seq, __ATOMIC_ACQ_REL);
	memset((char *)r + sizeof(r->seq), 0, sizeof(*r) - sizeof(r->seq));
	r->luck = pa_store.live_free;
	pa_store.live_free = slot;
	__atomic_store_n(&r->seq, seq + 1, __ATOMIC_RELEASE);
}

bool pa_live_has_room(void)
{
	return pa_store.live_free || pa_store.used[PA_KIND_LIVE]
		< pa_store.capacity.kind[PA_KIND_LIVE];
}

void pa_live_reset(void)
{
	pa_store.used[PA_KIND_LIVE] = 1;	/* element 0 is reserved */
	pa_store.live_free = 0;
	pa_store.thinning = false;
	pa_store_open(PA_AREA_LIVE, sizeof(struct pa_live));
	pa_stacks_publish(PA_KIND_LIVE);
}

/* Enter a record that is complete but for seq and check. */
static void enter(const struct pa_live *record, const struct pa_weight *w,
		  bool is_new)
{
	struct pa_site *site = &pa_store.sites[record->site];
	uint32_t slot = take_slot();

	write_record(slot, record);
	pa_index_put(record->address, slot);
	pa_store.directory->samples_live++;
	pa_site_begin(site);
	if (is_new) {
		site->last_ns = record->birth_ns;
		add_allocated(site, w);
	}
	add_live(site, w);
	pa_site_end(site);
}

static void drop_entry(uint32_t slot, uint32_t entry)
{
	struct pa_live *r = &pa_store.live[slot];
	struct pa_site *site = &pa_store.sites[r->site];
	uint64_t address = r->address;
	struct pa_weight w;

	pa_weigh(r->size, r->rate, &w);
	pa_site_begin(site);
	take_live(site, &w);
	pa_site_end(site);
	free_slot(slot);
	pa_index_remove(address, entry);
	pa_store.directory->samples_live--;
	pa_store.removed++;
}

void pa_live_drop(uint32_t slot)
{
	uint32_t entry;

	if (pa_index_find(pa_store.live[slot].address, &entry))
		drop_entry(slot, entry);
}

void pa_live_reweigh(uint32_t slot, uint64_t rate, uint32_t luck)
{
	struct pa_live r = pa_store.live[slot];
	struct pa_site *site = &pa_store.sites[r.site];
	struct pa_weight before, after;

	pa_weigh(r.size, r.rate, &before);
	r.rate = rate;
	r.luck = luck;
	pa_weigh(r.size, r.rate, &after);
	write_record(slot, &r);
	pa_site_begin(site);
	take_live(site, &before);
	add_live(site, &after);
	pa_site_end(site);
}

/* ---- the door ---- */

/* The time of a sample.  Asking one clock is dear enough: the other is a
 * fixed distance away, measured anew every second. */
static uint64_t beat(struct pa_directory *d)
{
	uint64_t now = pa_clock_ns(CLOCK_MONOTONIC);

	if (now - pa_store.compared_ns >= COMPARE_NS) {
		pa_store.compared_ns = now;
		pa_store.realtime_ahead = pa_clock_ns(CLOCK_REALTIME) - now;
	}
	d->heartbeat_monotonic_ns = now;
	d->heartbeat_realtime_ns = now + pa_store.realtime_ahead;
	return now;
}

bool pa_store_insert_locked(const struct pa_sample *sample)
{
	struct pa_directory *d = pa_store.directory;
	struct pa_live r = {
		.domain = (uint8_t)sample->domain, .address = sample->address,
		.size = sample->size, .rate = sample->rate,
		.site = sample->site, .thread = sample->thread,
		.luck = sample->luck,
	};
	struct pa_weight w;

	if (!pa_store.running)
		return false;
	/* one there already: its free was not seen, it is gone all the same */
	pa_store_remove_locked(r.address, NULL);
	r.id = ++pa_store.last_id;
	r.birth_ns = beat(d);
	d->samples_taken++;
	if (!r.address || !pa_thin_make_room()) {
		/* others count here without the lock */
		__atomic_fetch_add(&d->dropped, 1, __ATOMIC_RELAXED);
		return false;
	}
	/* drawn before a thinning: what happened to its like happens to it */
	if (d->rate_effective > d->rate && r.rate < d->rate_effective) {
		if (!pa_thin_keeps(r.id, r.size, r.rate, d->rate_effective,
				   &r.luck)) {
			d->samples_thinned++;
			return false;
		}
		r.rate = d->rate_effective;
	}
	d->stacks_full += r.site == PA_SITE_FULL;
	pa_weigh(r.size, r.rate, &w);
	enter(&r, &w, true);
	return true;
}

bool pa_store_remove_locked(uint64_t address, struct pa_live *removed)
{
	uint32_t entry, slot;

	if (!pa_store.running || !address || !pa_index_find(address, &entry))
		return false;
	slot = (uint32_t)pa_store.live_index[entry];
	if (removed) {
		*removed = pa_store.live[slot];
		/* of which set its site is an index */
		removed->seq = (uint32_t)pa_store.generation;
	}
	drop_entry(slot, entry);
	pa_store.directory->samples_freed++;
	return true;
}

/* The site of a record that was out of the table while a rebuild may have
 * evicted it, or given its index to another. */
static uint32_t site_since(const struct pa_live *removed)
{
	uint32_t site = removed->site;

	if (site < PA_SITE_FIRST || (pa_site_taken(site)
				     && pa_store.site_born[site]
				     <= removed->seq))
		return site;
	return PA_SITE_EVICTED;
}

void pa_store_restore_locked(const struct pa_live *removed)
{
	struct pa_directory *d = pa_store.directory;
	struct pa_live r = *removed;
	struct pa_weight w;

	/* a record of an earlier start has no place in these tables */
	if (!pa_store.running
	    || removed->seq < (uint32_t)pa_store.first_generation)
		return;
	pa_store_remove_locked(r.address, NULL);
	d->samples_freed--;
	if (!pa_thin_make_room()) {
		d->samples_thinned++;
		return;
	}
	r.site = site_since(removed);
	pa_weigh(r.size, r.rate, &w);
	enter(&r, &w, false);
}

uint64_t pa_store_rate_locked(void)
{
	return pa_store.directory->rate_effective;
}

void pa_store_set_rate_locked(uint64_t rate)
{
	pa_store.directory->rate = rate;
	pa_store.directory->rate_effective = rate;
	pa_store.thinning = false;
}
