/* SPDX-License-Identifier: MIT
 *
 * From an address to its live record: the bitmap that hooks test without the
 * lock, and the exact index behind it.  The index is in the order of the
 * bitmap's bits, scattered; so "does another live sample share this bit?" is
 * a look at one run of entries instead of a count kept for each bit.
 */
#include "payload/store_internal.h"

#define BITS 19			/* lg of the bits in the bitmap */
#define TAG_REST (32 - BITS)	/* bits of a tag that tell addresses apart */

uint64_t pa_store_bitmap[8192] __attribute__((aligned(PA_IMAGE_PAGE)));

/* ---- the bitmap ---- */

/* The number of the bit that pa_store_maybe_hot tests. */
static uint32_t bit_of(uint64_t address)
{
	uint64_t line = ((address >> 13) * 0x9e3779b97f4a7c15ull) >> 54;

	return (uint32_t)(line << 9 | (address >> 4 & 511));
}

static void bit_put(uint32_t bit, bool value)
{
	uint64_t *word = &pa_store_bitmap[bit >> 6];
	uint64_t mask = 1ull << (bit & 63);
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

	__atomic_store_n(word, value ? old | mask : old & ~mask,
			 __ATOMIC_RELAXED);
}

/* ---- the index ---- */

/* The bit, scattered by an odd factor so that neighbours lie apart, then
 * some of the address. */
static uint32_t tag_of(uint64_t address)
{
	uint32_t bit = bit_of(address) * 0x9e3779b1u & ((1u << BITS) - 1);

	return bit << TAG_REST
		| (uint32_t)(pa_mix(address) & ((1u << TAG_REST) - 1));
}

static uint32_t next_entry(uint32_t i)
{
	return i + 1 == pa_store.capacity.live_slots ? 0 : i + 1;
}

static uint32_t home_of(uint32_t tag)
{
	return pa_scale(tag, pa_store.capacity.live_slots);
}

bool pa_index_find(uint64_t address, uint32_t *entry)
{
	uint32_t tag = tag_of(address), i = home_of(tag);

	for (;; i = next_entry(i)) {
		uint64_t e = pa_store.live_index[i];

		*entry = i;
		if (!e)
			return false;
		if (e >> 32 == tag
		    && pa_store.live[(uint32_t)e].address == address)
			return true;
	}
}

/* Close the hole at i: later entries of the run move up as far as their
 * home allows. */
static void remove_entry(uint32_t i)
{
	uint32_t n = pa_store.capacity.live_slots;
	uint32_t j = i;

	for (;;) {
		uint64_t e;
		uint32_t home;

		j = next_entry(j);
		e = pa_store.live_index[j];
		if (!e)
			break;
		home = home_of((uint32_t)(e >> 32));
		/* may e stand at i?  only if home is not in (i, j] */
		if ((j + n - home) % n >= (j + n - i) % n) {
			pa_store.live_index[i] = e;
			i = j;
		}
	}
	pa_store.live_index[i] = 0;
}

/* Does any live sample have this address's bit? */
static bool bit_shared(uint64_t address)
{
	uint32_t low = tag_of(address) & ~((1u << TAG_REST) - 1);
	uint32_t i = home_of(low);
	uint32_t last = home_of(low | ((1u << TAG_REST) - 1));

	for (bool passed = false;; i = next_entry(i)) {
		uint64_t e = pa_store.live_index[i];

		if (e && ((uint32_t)(e >> 32) ^ low) >> TAG_REST == 0)
			return true;
		passed |= i == last;
		if (!e && passed)
			return false;
	}
}

/* ---- the door ---- */

void pa_index_put(uint64_t address, uint32_t slot)
{
	uint32_t entry;

	pa_index_find(address, &entry);
	pa_store.live_index[entry] = (uint64_t)tag_of(address) << 32 | slot;
	bit_put(bit_of(address), true);
}

void pa_index_remove(uint64_t address, uint32_t entry)
{
	remove_entry(entry);
	if (!bit_shared(address))
		bit_put(bit_of(address), false);
}
