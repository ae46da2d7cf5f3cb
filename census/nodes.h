/* SPDX-License-Identifier: MIT
 *
 * All blocks of a census by number, and which block an address lies in.
 *
 * Blocks are added in the order of their addresses.  A pool's blocks have
 * numbers whether they are in use or not, so that a number costs four bytes.
 */
#ifndef PA_CENSUS_NODES_H
#define PA_CENSUS_NODES_H

#include "census/dominators.h"
#include "census/types.h"
#include "census/walk.h"

/* What is known of a block, beside its type (or hint) in the low bits. */
#define PA_NODE_TYPE 0x000fffffu
#define PA_NODE_LIVE (1u << 20)
#define PA_NODE_TYPED (1u << 21)	/* an object; else a hint */
#define PA_NODE_DEBUG (1u << 22)	/* behind a head of 16 bytes */
#define PA_NODE_LEAF (1u << 23)		/* points at nothing */
#define PA_NODE_WEAK (1u << 24)		/* a weak reference */

/* How much of a block without an object is in use: for what lies behind
 * may be left over from its last owner. */
enum pa_hint {
	PA_HINT_NONE = 0,
	PA_HINT_USED = 1,	/* value: words */
	PA_HINT_DEQUE = 2,	/* value: first and last item, 6 bits each */
	PA_HINT_KEYS = 3,	/* of a dict: its head says it */
	PA_HINT_VALUES = 4,	/* value: words in front of the values */
	PA_HINT_DATA = 5,	/* no pointers */
};
#define PA_HINT_SHIFT 17
#define PA_HINT_VALUE_MAX ((1u << PA_HINT_SHIFT) - 1)

struct pa_extent {
	uint64_t address;	/* of the first block */
	uint32_t first;		/* number of the first block */
	uint32_t units;		/* of 16 bytes that a block takes */
};
#define PA_EXTENT_POOL 0x80000000u	/* blocks of a pool */
#define PA_EXTENT_LARGE 0x40000000u	/* units are pages */

/* What was learned of a block before it had a number. */
struct pa_hinted {
	uint64_t address;
	uint32_t hint, value;
};

#define PA_NODES_NEAR 256u

struct pa_nodes {
	struct pa_extent *extent;	/* by address */
	uint32_t n_extents, room_extents;
	uint32_t *node;		/* by number */
	uint32_t count, room;
	uint32_t **middle;	/* by address: extents, see nodes.c */
	uint32_t *leaves;
	uint32_t n_leaves, room_leaves;
	uint64_t low, high;	/* addresses */
	uint32_t *near;		/* by number / PA_NODES_NEAR: an extent */
	struct pa_hinted *hinted;
	size_t n_hinted, room_hinted;
	bool full;		/* no room or no memory for some */
};

int pa_nodes_init(struct pa_nodes *nodes);
void pa_nodes_deinit(struct pa_nodes *nodes);

void pa_nodes_add_pool(struct pa_nodes *nodes, const struct pa_pool *pool);
/* A block with what is known of it; one of a pool must be in the last one.
 * Returns its number or PA_NO_NODE. */
uint32_t pa_nodes_add(struct pa_nodes *nodes, const struct pa_block *block,
		      uint32_t what);

/* All are added: blocks can be found by address, hints find their blocks.
 * 0, or -1 without memory. */
int pa_nodes_close(struct pa_nodes *nodes);

/* A note for pa_nodes_close. */
void pa_nodes_hint(struct pa_nodes *nodes, uint64_t address, enum pa_hint hint,
		   uint64_t value);

/* The block in use that an address lies in, or PA_NO_NODE; *inside: how far
 * behind its start. */
uint32_t pa_nodes_around(const struct pa_nodes *nodes, uint64_t address,
			 uint64_t *inside);
/* The block in use that begins at an address, or PA_NO_NODE; *extent: where to
 * look from, 0 at first, for addresses that only grow. */
uint32_t pa_nodes_next(const struct pa_nodes *nodes, uint64_t address,
		       uint32_t *extent);
/* Its address and what it takes; once closed. */
uint64_t pa_nodes_address(const struct pa_nodes *nodes, uint32_t number,
			  uint64_t *size);
/* What one block of an extent takes. */
uint64_t pa_extent_bytes(const struct pa_extent *extent);

/* How far behind its block's start the object of a node lies. */
static inline unsigned pa_object_offset(const struct pa_types *types,
					uint32_t what)
{
	uint64_t flags = types->type[what & PA_NODE_TYPE].flags;

	return (flags & PA_TPFLAGS_GC ? PA_GC_HEAD : 0u) +
		(flags & PA_TPFLAGS_PRE_HEAD ? PA_PRE_HEAD : 0u) +
		(what & PA_NODE_DEBUG ? 16u : 0u);
}

#endif /* PA_CENSUS_NODES_H */
