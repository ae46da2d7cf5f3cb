/* SPDX-License-Identifier: MIT
 *
 * The tree of holders below one group; see tree.h.  A node's buffers and the
 * dict of its attributes are a part of it; its other children in the
 * dominator tree are grouped by name and type.
 */
#include "census/tree.h"

#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MOST 24u
#define HOLDERS_MOST 10000u
#define KEYS_MOST 64u		/* of a dict whose keys are shown */
#define LOOK_BACK 8u		/* holders above, for repetitions */

int pa_tree_init(struct pa_tree *tree, struct pa_roots *roots,
		 const struct pa_holders_ask *ask, struct pa_holders *holders)
{
	memset(tree, 0, sizeof *tree);
	tree->roots = roots;
	tree->ask = ask;
	tree->holders = holders;
	return pa_attributes_init(&tree->attributes, roots->references,
				  &roots->texts);
}

void pa_tree_deinit(struct pa_tree *tree)
{
	pa_retained_deinit(&tree->retained);
	pa_attributes_deinit(&tree->attributes);
	free(tree->shared);
	free(tree->labels);
	free(tree->parts.node);
	memset(tree, 0, sizeof *tree);
}

/* ---- names ---- */

uint32_t pa_tree_module(const struct pa_tree *tree, uint32_t type)
{
	const struct pa_types *types = tree->roots->references->types;
	const char *text = types->names + types->type[type].module;

	return type ? pa_texts_add(&tree->roots->texts, text, strlen(text)) :
		0;
}

uint32_t pa_tree_type(const struct pa_tree *tree, uint32_t type)
{
	const struct pa_types *types = tree->roots->references->types;
	const char *text = types->names + types->type[type].name;

	return type ? pa_texts_add(&tree->roots->texts, text, strlen(text)) :
		pa_texts_add(&tree->roots->texts, "<buffer>", 8);
}

uint32_t pa_tree_class_name(const struct pa_tree *tree, uint32_t node)
{
	struct pa_references *r = tree->roots->references;
	uint32_t what = r->nodes.node[node], index;
	const struct pa_types *types = r->types;
	const char *module;
	uint64_t size;
	char text[600];
	int n;

	if (!(what & PA_NODE_TYPED) || types->type[what & PA_NODE_TYPE].shape
	    != PA_SHAPE_TYPE)
		return 0;
	index = pa_types_at(r->types, pa_nodes_address(&r->nodes, node, &size)
			    + pa_object_offset(types, what));
	/* no instances: it was not asked for before and has no name */
	if (!index || !types->type[index].name)
		return 0;
	module = types->names + types->type[index].module;
	n = snprintf(text, sizeof text, "%.256s%s%.256s", module,
		     *module ? "." : "", types->names +
		     types->type[index].name);
	return pa_texts_add(&tree->roots->texts, text, (size_t)n);
}

struct pa_label pa_tree_label(const struct pa_tree *tree, uint32_t node,
			      enum pa_holder_kind kind, uint32_t name)
{
	uint32_t what = tree->roots->references->nodes.node[node];

	return (struct pa_label){
		.kind = name ? kind : PA_HOLDER_ITEMS, .name = name,
		.type = what & PA_NODE_TYPED ? what & PA_NODE_TYPE : 0,
	};
}

/* ---- what is below ---- */

struct expansion {
	struct pa_tree *tree;
	struct pa_group *group;
	struct pa_groups below;
	uint64_t own, objects;
};

static bool is_typed(const struct pa_tree *tree, uint32_t node)
{
	return tree->roots->references->nodes.node[node] & PA_NODE_TYPED;
}

/* A node that holds nothing is a number of bytes, and no more. */
static void put_leaf(struct expansion *x, uint32_t node,
		     const struct pa_label *label)
{
	uint64_t own = pa_retained_own(&x->tree->retained, node);
	struct pa_group *group;

	if (pa_same_label(label, &x->group->label)) {
		x->own += own;
		x->objects++;
		return;
	}
	group = pa_groups_get(&x->below, label);
	if (!group) {
		x->tree->no_memory = true;
		return;
	}
	group->leaf_bytes += own;
	group->leaf_objects++;
	group->retained += own;
	group->objects++;
}

static void put(struct expansion *x, uint32_t node,
		const struct pa_label *label)
{
	struct pa_group *group;
	uint64_t objects;

	if (pa_is_leaf(&x->tree->roots->dominators, node)) {
		put_leaf(x, node, label);
		return;
	}
	/* the next of a list is like the one before: one holder for all */
	if (pa_same_label(label, &x->group->label)) {
		if (!pa_bag_add(&x->group->members, node))
			x->tree->no_memory = true;
		return;
	}
	group = pa_groups_get(&x->below, label);
	if (!group || !pa_bag_add(&group->members, node)) {
		x->tree->no_memory = true;
		return;
	}
	group->retained += pa_retained_bytes(&x->tree->retained, node,
					     &objects);
	group->objects += objects;
}

static void put_child(struct expansion *x, uint32_t node)
{
	struct pa_tree *tree = x->tree;
	const struct pa_attributes *a = &tree->attributes;
	bool keys = a->keys && x->group->label.kind != PA_HOLDER_MODULE;
	struct pa_label label;

	if (!is_typed(tree, node) || node == a->dict) {
		x->own += pa_retained_own(&tree->retained, node);
		if (!pa_is_leaf(&tree->roots->dominators, node) &&
		    !pa_bag_add(&tree->parts, node))
			tree->no_memory = true;
		return;
	}
	label = pa_tree_label(tree, node, keys ? PA_HOLDER_KEY :
			      PA_HOLDER_ATTRIBUTE,
			      pa_attributes_name(a, node));
	put(x, node, &label);
}

static void expand_member(struct expansion *x, uint32_t node, uint64_t keys)
{
	struct pa_tree *tree = x->tree;
	const struct pa_dominators *d = &tree->roots->dominators;
	const uint32_t *first = tree->retained.first;

	x->own += pa_retained_own(&tree->retained, node);
	x->objects++;
	if (pa_is_leaf(d, node) ||
	    first[d->number[node]] == first[d->number[node] + 1])
		return;
	pa_attributes_read(&tree->attributes, node, keys);
	tree->parts.n = 0;
	do {
		uint32_t number = d->number[node];

		for (uint32_t i = first[number]; i < first[number + 1]; i++)
			put_child(x, tree->retained.child[i]);
		node = tree->parts.n ? tree->parts.node[--tree->parts.n] :
			PA_NO_NODE;
	} while (node != PA_NO_NODE);
}

static void expand(struct expansion *x)
{
	struct pa_group *group = x->group;
	uint64_t keys = group->label.kind == PA_HOLDER_MODULE ? UINT64_MAX :
		group->members.n == 1 ? KEYS_MOST : 0;

	for (uint32_t i = 0; i < group->below.n; i++) {
		uint32_t node = group->below.node[i];
		struct pa_label label = pa_tree_label(
			x->tree, node, PA_HOLDER_ATTRIBUTE,
			group->label.kind == PA_HOLDER_SHARED ?
			pa_tree_shared_name(x->tree, node) : 0);

		put(x, node, &label);
	}
	x->own += group->leaf_bytes;
	x->objects += group->leaf_objects;
	/* it grows by what is like it */
	for (uint32_t i = 0; i < group->members.n; i++)
		expand_member(x, group->members.node[i], keys);
}

/* ---- holders ---- */

uint32_t pa_tree_add(struct pa_tree *tree, const struct pa_label *label,
		     uint32_t parent)
{
	struct pa_holders *out = tree->holders;
	uint32_t most = tree->ask->most ? tree->ask->most : HOLDERS_MOST;

	if (out->n_holders >= most) {
		out->damaged = true;
		return PA_NO_HOLDER;
	}
	if (out->n_holders == tree->room) {
		uint32_t room = tree->room * 2 + 64;
		struct pa_holder *more = reallocarray(out->holder, room,
						      sizeof *more);
		struct pa_label *labels;

		if (more)
			out->holder = more;
		labels = more ? reallocarray(tree->labels, room,
					     sizeof *labels) : NULL;
		if (!labels) {
			tree->no_memory = true;
			return PA_NO_HOLDER;
		}
		tree->labels = labels;
		tree->room = room;
	}
	tree->labels[out->n_holders] = *label;
	out->holder[out->n_holders] = (struct pa_holder){
		.kind = label->kind, .parent = parent,
		.depth = parent == PA_NO_HOLDER ? 0 :
			out->holder[parent].depth + 1,
	};
	return out->n_holders++;
}

/* Is the like of it among those above?  Then what is below it repeats. */
static bool repeats(const struct pa_tree *tree, uint32_t index)
{
	uint32_t above = tree->holders->holder[index].parent;

	for (unsigned i = 0; i < LOOK_BACK && above != PA_NO_HOLDER; i++) {
		if (pa_same_label(&tree->labels[above], &tree->labels[index]))
			return true;
		above = tree->holders->holder[above].parent;
	}
	return false;
}

static void emit_below(struct pa_tree *tree, struct pa_groups *below,
		       uint32_t index)
{
	pa_groups_sort(below);
	for (uint32_t i = 0; i < below->n; i++) {
		if (below->group[i].retained < tree->least)
			break;
		if (pa_tree_emit(tree, &below->group[i], index) ==
		    PA_NO_HOLDER)
			break;
	}
}

uint32_t pa_tree_emit(struct pa_tree *tree, struct pa_group *group,
		      uint32_t parent)
{
	struct expansion x = { .tree = tree, .group = group };
	uint32_t index = pa_tree_add(tree, &group->label, parent);
	struct pa_holder *holder;

	if (index == PA_NO_HOLDER)
		return index;
	expand(&x);
	holder = &tree->holders->holder[index];
	holder->own = x.own;
	holder->objects = x.objects;
	holder->retained = group->retained;
	holder->retained_objects = group->objects;
	pa_group_deinit(group);
	if (holder->depth < DEPTH_MOST && !repeats(tree, index))
		emit_below(tree, &x.below, index);
	pa_groups_deinit(&x.below);
	return index;
}
