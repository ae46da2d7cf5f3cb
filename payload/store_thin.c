/* SPDX-License-Identifier: MIT
 *
 * Thinning: where the live table is full the effective rate rises, and each
 * live sample stays with probability P(new rate) / P(its rate), decided by
 * its luck.  Every record carries its own rate, so the table is right at any
 * moment of a thinning, which therefore goes on in small steps, one at each
 * insertion, instead of all at once under the lock.
 */
#include "payload/sampler.h"
#include "payload/store_internal.h"

#define STEP 64u		/* records at an insertion: some 5 us */
#define BIG_STEP 1024u		/* and while there is no room at all */
#define PROBES 256u
#define RATE_LIMIT (1ull << 40)	/* as for a rate that is asked for */

/* 21 more bits of luck, from the id: the bits that earlier thinnings used
 * up.  In [0, 1). */
static double more_luck(uint64_t id, uint64_t rate)
{
	return (double)(pa_mix(id ^ pa_mix(rate)) >> 43) * 0x1p-21;
}

bool pa_thin_keeps(uint64_t id, uint64_t size, uint64_t from, uint64_t rate,
		   uint32_t *luck)
{
	double keep = pa_sampler_probability(size, rate)
		/ pa_sampler_probability(size, from);
	double x = *luck + more_luck(id, rate);

	if (x >= keep * 0x1p32)
		return false;
	/* given that it stays, x is uniform below keep: spread it again */
	x /= keep;
	*luck = x >= 0x1.fffffffep31 ? UINT32_MAX : (uint32_t)x;
	return true;
}

static void thin_one(uint32_t slot, uint64_t rate)
{
	const struct pa_live *r = &pa_store.live[slot];
	uint32_t luck = r->luck;

	if (!r->address || r->rate >= rate)
		return;
	if (pa_thin_keeps(r->id, r->size, r->rate, rate, &luck)) {
		pa_live_reweigh(slot, rate, luck);
		return;
	}
	pa_live_drop(slot);
	pa_store.directory->samples_thinned++;
}

void pa_thin_step(uint32_t records)
{
	uint64_t rate = pa_store.directory->rate_effective;
	uint32_t end = pa_store.used[PA_KIND_LIVE];

	for (; records && pa_store.thin_cursor < end; records--)
		thin_one(pa_store.thin_cursor++, rate);
	if (pa_store.thin_cursor >= end)
		pa_store.thinning = false;
}

/* How many of the probed records `rate` is expected to keep, in parts of
 * all. */
static double kept_at(uint64_t rate)
{
	uint32_t n = pa_store.used[PA_KIND_LIVE] - 1;
	uint32_t step = n / PROBES + 1;
	double kept = 0, seen = 0;

	for (uint32_t slot = 1; slot <= n; slot += step) {
		const struct pa_live *r = &pa_store.live[slot];

		if (!r->address)
			continue;
		seen++;
		kept += r->rate >= rate ? 1
			: pa_sampler_probability(r->size, rate)
			/ pa_sampler_probability(r->size, r->rate);
	}
	return seen > 0 ? kept / seen : 0;
}

/* Double the rate, more than once where big blocks or a rate that was
 * lowered meanwhile would keep nearly all. */
static bool begin(void)
{
	struct pa_directory *d = pa_store.directory;
	uint64_t rate = d->rate_effective;

	do {
		if (!rate || rate > RATE_LIMIT / 2)
			return false;
		rate *= 2;
	} while (kept_at(rate) > 0.75);
	d->rate_effective = rate;
	pa_store.thinning = true;
	pa_store.thin_cursor = 1;
	return true;
}

bool pa_thin_make_room(void)
{
	if (pa_store.thinning)
		pa_thin_step(STEP);
	while (!pa_live_has_room()) {
		if (!pa_store.thinning && !begin())
			return false;
		pa_thin_step(BIG_STEP);
	}
	return true;
}
