/* SPDX-License-Identifier: MIT
 *
 * Groups of nodes by label; see groups.h.
 */
#include "census/groups.h"

#include <stdlib.h>
#include <string.h>

#define BAG_MOST 0x7fffff00u

bool pa_bag_add(struct pa_bag *bag, uint32_t node)
{
	if (bag->n == bag->room) {
		uint32_t room = bag->room + bag->room / 2 + 4;
		uint32_t *more = room > BAG_MOST ? NULL :
			reallocarray(bag->node, room, sizeof *more);

		if (!more)
			return false;
		bag->node = more;
		bag->room = room;
	}
	bag->node[bag->n++] = node;
	return true;
}

static uint32_t hash(const struct pa_label *label)
{
	uint64_t h = ((uint64_t)label->name << 32 | label->type) +
		(uint64_t)label->kind * 0x632be59bd9b4e019ull;

	return (uint32_t)(h * 0x9e3779b97f4a7c15ull >> 32);
}

static void enter(struct pa_groups *groups, uint32_t index)
{
	uint32_t mask = groups->n_slots - 1;
	uint32_t h = hash(&groups->group[index].label) & mask;

	while (groups->slots[h])
		h = (h + 1) & mask;
	groups->slots[h] = index + 1;
}

static bool grow(struct pa_groups *groups)
{
	if (groups->n == groups->room) {
		uint32_t room = groups->room * 2 + 16;
		struct pa_group *more = reallocarray(groups->group, room,
						     sizeof *more);

		if (!more)
			return false;
		groups->group = more;
		groups->room = room;
	}
	if (groups->n * 2 >= groups->n_slots) {
		uint32_t n = groups->n_slots ? groups->n_slots * 4 : 64;
		uint32_t *slots = calloc(n, sizeof *slots);

		if (!slots)
			return false;
		free(groups->slots);
		groups->slots = slots;
		groups->n_slots = n;
		for (uint32_t i = 0; i < groups->n; i++)
			enter(groups, i);
	}
	return true;
}

struct pa_group *pa_groups_get(struct pa_groups *groups,
			       const struct pa_label *label)
{
	uint32_t h, mask;

	if (groups->last < groups->n &&
	    pa_same_label(&groups->group[groups->last].label, label))
		return &groups->group[groups->last];
	if (!grow(groups))
		return NULL;
	mask = groups->n_slots - 1;
	for (h = hash(label) & mask; groups->slots[h]; h = (h + 1) & mask) {
		struct pa_group *group =
			&groups->group[groups->slots[h] - 1];

		if (pa_same_label(&group->label, label)) {
			groups->last = groups->slots[h] - 1;
			return group;
		}
	}
	groups->group[groups->n] = (struct pa_group){ .label = *label };
	groups->last = groups->n;
	groups->slots[h] = ++groups->n;
	return &groups->group[groups->n - 1];
}

static int by_size(const void *left, const void *right)
{
	const struct pa_group *a = left, *b = right;

	if (a->retained != b->retained)
		return a->retained < b->retained ? 1 : -1;
	if (a->label.name != b->label.name)
		return a->label.name < b->label.name ? -1 : 1;
	return (a->label.type > b->label.type) -
		(a->label.type < b->label.type);
}

void pa_groups_sort(struct pa_groups *groups)
{
	if (groups->n)
		qsort(groups->group, groups->n, sizeof *groups->group,
		      by_size);
}

void pa_group_deinit(struct pa_group *group)
{
	free(group->members.node);
	free(group->below.node);
	group->members = group->below = (struct pa_bag){ NULL, 0, 0 };
}

void pa_groups_deinit(struct pa_groups *groups)
{
	for (uint32_t i = 0; i < groups->n; i++)
		pa_group_deinit(&groups->group[i]);
	free(groups->group);
	free(groups->slots);
	memset(groups, 0, sizeof *groups);
}
