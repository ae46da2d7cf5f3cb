/* SPDX-License-Identifier: MIT
 *
 * Nodes put together by what a person would call them: for the tree of
 * holders, not for others.
 */
#ifndef PA_CENSUS_GROUPS_H
#define PA_CENSUS_GROUPS_H

#include "census/holders.h"

struct pa_bag {
	uint32_t *node;
	uint32_t n, room;
};

struct pa_label {
	enum pa_holder_kind kind;
	uint32_t name;		/* in texts */
	uint32_t type;		/* index; 0 = a buffer or none */
};

struct pa_group {
	struct pa_label label;
	uint64_t retained, objects;
	/* members that hold nothing: their bytes, and how many */
	uint64_t leaf_bytes, leaf_objects;
	struct pa_bag members;	/* what it stands for */
	struct pa_bag below;	/* of a collection: what it holds */
};

struct pa_groups {
	struct pa_group *group;
	uint32_t n, room;
	uint32_t *slots, n_slots;	/* index + 1 by label */
	uint32_t last;		/* was got: mostly the next one, too */
};

/* Each: false or NULL without memory. */
bool pa_bag_add(struct pa_bag *bag, uint32_t node);
/* The group of a label, a new one if there is none yet. */
struct pa_group *pa_groups_get(struct pa_groups *groups,
			       const struct pa_label *label);
/* Largest first; no more pa_groups_get afterwards. */
void pa_groups_sort(struct pa_groups *groups);
void pa_group_deinit(struct pa_group *group);
void pa_groups_deinit(struct pa_groups *groups);

static inline bool pa_same_label(const struct pa_label *a,
				 const struct pa_label *b)
{
	return a->kind == b->kind && a->name == b->name && a->type == b->type;
}

#endif /* PA_CENSUS_GROUPS_H */
