/* SPDX-License-Identifier: MIT
 *
 * What the files store_*.c share: the one state, the areas of the arena, and
 * the small steps that more than one of them takes.  Nobody else includes
 * this; store.h is the door.
 *
 * Everything here needs the store's lock unless it says otherwise.  A region
 * kind K of the image has index K - 1 in descriptors and counts.
 */
#ifndef PA_PAYLOAD_STORE_INTERNAL_H
#define PA_PAYLOAD_STORE_INTERNAL_H

#include <string.h>

#include "payload/store.h"

/* What is ours beside the arena: the bitmap, the directory, the payload's
 * own data and the touched part of the server's stack. */
#define PA_STORE_OVERHEAD (128u << 10)
#define PA_MEMORY_MIN (1ull << 20)
#define PA_MEMORY_LIMIT (1ull << 30)
#define PA_SET_KINDS 4u		/* kinds that are rebuilt: all but LIVE */
#define PA_IMAGE_KINDS 5u

/* The arena, in this order.  Areas before PA_AREA_PRIVATE are the image's;
 * what follows is never in a core dump. */
enum pa_area_id {
	PA_AREA_SETS = 0,	/* 2 sets of PA_SET_KINDS, in kind order */
	PA_AREA_LIVE = 2 * PA_SET_KINDS,
	PA_AREA_PRIVATE,
	PA_AREA_LIVE_INDEX = PA_AREA_PRIVATE,
	PA_AREA_SITE_INDEX,
	PA_AREA_STRING_INDEX,
	PA_AREA_FRAME_INDEX,
	PA_AREA_NODE_INDEX,
	PA_AREA_SITE_NOTES,
	PA_AREA_MARKS,
	PA_AREA_CODE,
	PA_AREA_SNAPSHOT,
	PA_AREA_COUNT
};

struct pa_area {
	char *base;
	size_t bytes;
	size_t open;	/* leading bytes in use; the rest is not dumped */
};

/* Elements that fit; strings in bytes, live and hash slots included. */
struct pa_capacity {
	uint32_t kind[PA_IMAGE_KINDS + 1];
	uint32_t string_count;
	uint32_t live_slots;	/* of the live index */
	uint32_t hash[PA_SET_KINDS + 1];	/* slots, by kind */
};

/* One bit an element, and for each word the number of bits before it. */
struct pa_marks {
	uint64_t *bits;
	uint32_t *rank;
	uint32_t words;
	uint32_t marked;
};

struct pa_store {
	struct pa_directory *directory;
	char *arena;		/* the largest mapping so far */
	size_t arena_bytes;
	bool running;
	bool soiled;		/* the arena may hold more than zeros */
	unsigned active;	/* set in use, 0 or 1 */
	uint64_t generation;	/* of the set in use; never goes back */
	uint64_t first_generation;	/* of this start */
	/* CLOCK_REALTIME less CLOCK_MONOTONIC, and when that was seen */
	uint64_t realtime_ahead, compared_ns;
	uint64_t last_id;
	struct pa_area area[PA_AREA_COUNT];
	struct pa_capacity capacity;

	/* the set in use; counts of elements, 0 of each is reserved */
	struct pa_site *sites;
	char *strings;
	struct pa_frame *frames;
	struct pa_node *nodes;
	uint32_t used[PA_IMAGE_KINDS + 1];	/* by kind; sites, live: high-water */
	uint32_t string_count;
	uint32_t site_count;	/* without holes */
	uint32_t site_cursor;	/* word of site_taken to look at first */

	struct pa_live *live;
	uint64_t *live_index;	/* tag << 32 | slot */
	uint32_t *hash[PA_SET_KINDS + 1];	/* by kind */
	uint64_t *site_taken;	/* one bit a site */
	uint32_t *site_born;	/* generation in which a site was made */
	uint32_t *site_order;	/* scratch of a rebuild */
	uint32_t live_free;	/* head of the list of free slots, 0 = none */

	/* thinning under way: slots from thin_cursor on are still to be seen */
	bool thinning;
	uint32_t thin_cursor;

	/* what must change before a rebuild is worth its price again */
	uint64_t removed;
	uint64_t rebuild_at;
	uint64_t rebuild_pause;

	bool copying;		/* a snapshot copy is under way */
};
extern struct pa_store pa_store;

/* Not __builtin_popcount: that may call a function of libgcc. */
static inline uint32_t pa_popcount(uint64_t x)
{
	x -= x >> 1 & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (uint32_t)(x * 0x0101010101010101ull >> 56);
}

/* ---- store_map.c ---- */

/* Areas, capacities and pointers for memory_max bytes at `base`; the bytes
 * that it takes.  base may be NULL to ask only. */
size_t pa_store_lay_out(struct pa_store *store, uint64_t memory_max,
			char *base);
/* The first `bytes` of an area are in use from now on. */
void pa_store_open(enum pa_area_id id, size_t bytes);
/* Nothing of an area is in use any more: it holds zeros. */
void pa_store_close(enum pa_area_id id);
/* Give pages back; they read as zeros afterwards. */
void pa_store_give_back(void *base, size_t bytes);
/* Bring directory->memory_used up to date. */
void pa_store_account(void);

static inline enum pa_area_id pa_area_of(unsigned set, unsigned kind)
{
	return kind == PA_KIND_LIVE ? PA_AREA_LIVE
		: (enum pa_area_id)(PA_AREA_SETS + set * PA_SET_KINDS
				    + kind - 1);
}

extern const uint32_t pa_elem_size[PA_IMAGE_KINDS + 1];

/* ---- store_stacks.c ---- */

/* Empty tables with their reserved elements in the set in use. */
void pa_stacks_reset(void);
/* Point sites, strings … to the set in use. */
void pa_stacks_select(unsigned set);
/* Fill the hash tables from the set in use. */
void pa_stacks_index(void);
/* Publish used[kind] in the directory. */
void pa_stacks_publish(unsigned kind);

static inline bool pa_site_taken(uint32_t site)
{
	return pa_store.site_taken[site >> 6] >> (site & 63) & 1;
}

/* Mark a site as being written, and as written. */
static inline void pa_site_begin(struct pa_site *site)
{
	(void)__atomic_exchange_n(&site->seq, site->seq + 1, __ATOMIC_ACQ_REL);
}

static inline void pa_site_end(struct pa_site *site)
{
	__atomic_store_n(&site->seq, site->seq + 1, __ATOMIC_RELEASE);
}

static inline void pa_raise_to(double *value, double least)
{
	if (*value < least)
		*value = least;
}

/* ---- store_live.c, store_thin.c ---- */

/* The Horvitz-Thompson weights of one sample. */
struct pa_weight {
	double bytes, bytes_variance, bytes_max;
	double objects, objects_variance, objects_max;
};
/* No lock. */
void pa_weigh(uint64_t size, uint64_t rate, struct pa_weight *weight);

void pa_live_reset(void);
/* Take a record out of table, index, bitmap and its site's live figures;
 * counting why is the caller's. */
void pa_live_drop(uint32_t slot);
/* Change rate and luck of a record in place, and its site's figures. */
void pa_live_reweigh(uint32_t slot, uint64_t rate, uint32_t luck);
bool pa_live_has_room(void);

/* A few records of a thinning under way. */
void pa_thin_step(uint32_t records);
/* Thin until there is room.  False if no rate makes room. */
bool pa_thin_make_room(void);
/* Would a sample survive at `rate`?  Sets *luck to its new value. */
bool pa_thin_keeps(uint64_t id, uint64_t size, uint64_t from, uint64_t rate,
		   uint32_t *luck);

/* ---- store_index.c ---- */

/* Where an address's entry is; false: where it would be put. */
bool pa_index_find(uint64_t address, uint32_t *entry);
/* Enter an address that is not there, and set its bit. */
void pa_index_put(uint64_t address, uint32_t slot);
/* Take out an entry that was found; its bit goes if nobody shares it. */
void pa_index_remove(uint64_t address, uint32_t entry);

/* ---- store_keep.c ---- */

/* Strings are marked in granules of 4 bytes. */
#define PA_GRAIN 4u

struct pa_rebuild {
	struct pa_marks sites, strings, frames, nodes;
	uint32_t half[PA_SET_KINDS + 1];
	uint32_t names;		/* strings marked */
	struct pa_site *new_sites;
	char *new_strings;
	struct pa_frame *new_frames;
	struct pa_node *new_nodes;
};

/* Mark what stays, and count the ranks. */
void pa_keep_choose(struct pa_rebuild *rebuild);

static inline bool pa_is_marked(const struct pa_marks *m, uint32_t i)
{
	return m->bits[i >> 6] >> (i & 63) & 1;
}

/* The number of marked elements before one: its new index. */
static inline uint32_t pa_rank_of(const struct pa_marks *m, uint32_t i)
{
	return m->rank[i >> 6]
		+ pa_popcount(m->bits[i >> 6] & ((1ull << (i & 63)) - 1));
}

static inline uint32_t pa_grains_of(uint32_t offset)
{
	uint32_t length;

	memcpy(&length, pa_store.strings + offset, 4);
	return 1 + (length + PA_GRAIN - 1) / PA_GRAIN;
}

/* ---- store_sets.c ---- */

/* Write a descriptor set of the directory for the regions of `set`, with the
 * counts already stored, and make it the valid one. */
void pa_set_publish(unsigned set, uint64_t generation);
/* No reader may believe this set any more. */
void pa_set_withdraw(unsigned set);
uint32_t pa_set_crc(const struct pa_set *set);

/* ---- store_snapshot.c ---- */

/* In a fork child or at a start: no copy is under way, nobody holds one. */
void pa_snapshot_reset(void);

/* ---- hashes; no lock ---- */

static inline uint64_t pa_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	return x;
}

/* A 32-bit hash to a slot below n, in order. */
static inline uint32_t pa_scale(uint32_t hash, uint32_t n)
{
	return (uint32_t)((uint64_t)hash * n >> 32);
}

#endif /* PA_PAYLOAD_STORE_INTERNAL_H */
