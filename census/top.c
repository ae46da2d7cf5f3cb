/* SPDX-License-Identifier: MIT
 *
 * The top of the tree of holders: what has no dominator but the roots, by
 * the kind of root; see tree.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "census/dicts.h"
#include "census/tree.h"

#define SHARED_MOST ((size_t)1 << 22)
#define LEAST 0.001

/* ---- names of what several modules have ---- */

static void add_shared(struct pa_tree *tree, uint32_t node, uint32_t name,
		       bool script)
{
	if (tree->n_shared == tree->room_shared) {
		size_t room = tree->room_shared * 2 + 1024;
		struct pa_shared *more = room > SHARED_MOST ? NULL :
			reallocarray(tree->shared, room, sizeof *more);

		if (!more)
			return;
		tree->shared = more;
		tree->room_shared = room;
	}
	tree->shared[tree->n_shared++] = (struct pa_shared){
		node, name, script,
	};
}

static void name_shared(struct pa_tree *tree, const struct pa_named_root *root)
{
	struct pa_attributes *a = &tree->attributes;
	struct pa_texts *texts = &tree->roots->texts;
	char text[600];
	int n;

	pa_attributes_read(a, root->node & ~PA_LEAF, 0);
	for (uint32_t i = 0; i < a->n; i++) {
		uint32_t node = a->attribute[i].node;

		if (!pa_retained_is_top(&tree->retained, node) ||
		    pa_roots_of(tree->roots, node))
			continue;
		n = snprintf(text, sizeof text, "%.256s.%.256s",
			     texts->bytes + root->name,
			     texts->bytes + a->attribute[i].name);
		add_shared(tree, node, pa_texts_add(texts, text, (size_t)n),
			   !strncmp(text, "__main__.", 9));
	}
}

/* By node; of several names the one that came first in sys.modules.  The
 * script is the first of all and has what others made. */
static int by_node(const void *left, const void *right)
{
	const struct pa_shared *a = left, *b = right;

	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->script != b->script)
		return a->script ? 1 : -1;
	return (a->name > b->name) - (a->name < b->name);
}

static int by_name(const void *left, const void *right)
{
	const struct pa_named_root *a = left, *b = right;

	return (a->name > b->name) - (a->name < b->name);
}

static int name_all_shared(struct pa_tree *tree)
{
	const struct pa_roots *roots = tree->roots;
	struct pa_named_root *module = calloc(roots->n + 1, sizeof *module);
	size_t n = 0;

	if (!module)
		return -1;
	for (size_t i = 0; i < roots->n; i++)
		if (roots->root[i].layer == PA_LAYER_MODULES)
			module[n++] = roots->root[i];
	/* names were given in the order of sys.modules */
	qsort(module, n, sizeof *module, by_name);
	for (size_t i = 0; i < n; i++)
		name_shared(tree, &module[i]);
	free(module);
	if (tree->n_shared)
		qsort(tree->shared, tree->n_shared, sizeof *tree->shared,
		      by_node);
	return 0;
}

uint32_t pa_tree_shared_name(const struct pa_tree *tree, uint32_t node)
{
	size_t low = 0, high = tree->n_shared;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (tree->shared[middle].node < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low < tree->n_shared && tree->shared[low].node == node ?
		tree->shared[low].name : 0;
}

/* ---- kinds of roots ---- */

static enum pa_layer layer_of(const struct pa_tree *tree, uint32_t node,
			      const struct pa_named_root *root)
{
	const struct pa_dominators *d = &tree->roots->dominators;

	if (root)
		return (enum pa_layer)root->layer;
	if (pa_is_leaf(d, node))
		return PA_LAYER_MODULES;
	return (enum pa_layer)pa_dominators_layer(d, d->number[node]);
}

/* Where a node without a dominator belongs. */
static struct pa_label classify(const struct pa_tree *tree, uint32_t node)
{
	const struct pa_named_root *root = pa_roots_of(tree->roots, node);
	struct pa_label label = { .name = root ? root->name : 0 };
	uint32_t class_name;

	switch (layer_of(tree, node, root)) {
	case PA_LAYER_MODULES:
		label.kind = root ? PA_HOLDER_MODULE : PA_HOLDER_SHARED;
		break;
	case PA_LAYER_FRAMES:
		label.kind = PA_HOLDER_FRAME;
		break;
	case PA_LAYER_CLASSES:
		label.kind = PA_HOLDER_SHARED;
		break;
	case PA_LAYER_STATIC:
		label.kind = PA_HOLDER_STATIC;
		break;
	case PA_LAYER_STACKS:
		label.kind = PA_HOLDER_STACKS;
		break;
	case PA_LAYER_GARBAGE:
		label.kind = PA_HOLDER_GARBAGE;
		break;
	default:
		label.kind = PA_HOLDER_NATIVE;
	}
	if (label.kind != PA_HOLDER_SHARED)
		return label;
	class_name = pa_tree_class_name(tree, node);
	if (class_name) {
		label.kind = PA_HOLDER_CLASS;
		label.name = class_name;
	}
	return label;
}

static bool is_frame(const struct pa_tree *tree, uint32_t node)
{
	const struct pa_references *r = tree->roots->references;
	uint32_t what = r->nodes.node[node];

	return what & PA_NODE_TYPED && r->types->type[what &
		PA_NODE_TYPE].role == PA_ROLE_FRAME;
}

/* Modules, classes and frames stand for their nodes, others collect them. */
static void put(struct pa_tree *tree, struct pa_groups *top,
		struct pa_groups *frames, uint32_t node)
{
	struct pa_label label = classify(tree, node);
	bool frame = label.kind == PA_HOLDER_FRAME;
	struct pa_group *group = pa_groups_get(frame ? frames : top, &label);
	struct pa_bag *bag;
	uint64_t objects;

	if (!group) {
		tree->no_memory = true;
		return;
	}
	bag = label.kind == PA_HOLDER_MODULE || label.kind == PA_HOLDER_CLASS
		|| (frame && is_frame(tree, node)) ? &group->members :
		&group->below;
	if (!pa_bag_add(bag, node))
		tree->no_memory = true;
	group->retained += pa_retained_bytes(&tree->retained, node, &objects);
	group->objects += objects;
}

static void sum_up(struct pa_tree *tree, const struct pa_groups *top)
{
	struct pa_holders *out = tree->holders;

	for (uint32_t i = 0; i < top->n; i++) {
		const struct pa_group *group = &top->group[i];

		if (group->label.kind == PA_HOLDER_GARBAGE) {
			out->garbage_bytes += group->retained;
			out->garbage_objects += group->objects;
		} else if (group->label.kind == PA_HOLDER_NATIVE) {
			out->native_bytes += group->retained;
			out->native_objects += group->objects;
		}
	}
}

static void emit_frames(struct pa_tree *tree, struct pa_groups *frames,
			const struct pa_group *sum)
{
	uint32_t index = pa_tree_add(tree, &sum->label, 0);

	if (index == PA_NO_HOLDER)
		return;
	tree->holders->holder[index].retained = sum->retained;
	tree->holders->holder[index].retained_objects = sum->objects;
	pa_groups_sort(frames);
	for (uint32_t i = 0; i < frames->n &&
	     frames->group[i].retained >= tree->least; i++)
		pa_tree_emit(tree, &frames->group[i], index);
}

/* All running functions as one collection among the others. */
static void add_frames(struct pa_groups *top, const struct pa_groups *frames)
{
	const struct pa_label label = { .kind = PA_HOLDER_FRAMES };
	struct pa_group *sum = frames->n ? pa_groups_get(top, &label) : NULL;

	for (uint32_t i = 0; sum && i < frames->n; i++) {
		sum->retained += frames->group[i].retained;
		sum->objects += frames->group[i].objects;
	}
}

static void emit_top(struct pa_tree *tree, struct pa_groups *top,
		     struct pa_groups *frames)
{
	pa_groups_sort(top);
	for (uint32_t i = 0; i < top->n; i++) {
		enum pa_holder_kind kind = top->group[i].label.kind;

		/* what nobody holds is always told */
		if (top->group[i].retained < tree->least &&
		    kind != PA_HOLDER_GARBAGE && kind != PA_HOLDER_NATIVE)
			continue;
		if (kind == PA_HOLDER_FRAMES)
			emit_frames(tree, frames, &top->group[i]);
		else
			pa_tree_emit(tree, &top->group[i], 0);
	}
}

int pa_tree_make(struct pa_tree *tree)
{
	const struct pa_label all = { .kind = PA_HOLDER_ALL };
	struct pa_groups top = { .n = 0 }, frames = { .n = 0 };
	const struct pa_retained *t = &tree->retained;
	double least = tree->ask->least > 0 ? tree->ask->least : LEAST;
	uint64_t all_bytes;

	if (pa_retained_init(&tree->retained, tree->roots) ||
	    name_all_shared(tree))
		return -1;
	all_bytes = pa_retained_sum(t, 0);
	tree->least = (uint64_t)(least * (double)all_bytes) + 1;
	if (pa_tree_add(tree, &all, PA_NO_HOLDER) == PA_NO_HOLDER)
		return -1;
	tree->holders->holder[0].retained = all_bytes;
	tree->holders->holder[0].retained_objects = t->objects[0];
	for (uint32_t i = t->first[0]; i < t->first[1]; i++)
		put(tree, &top, &frames, t->child[i]);
	add_frames(&top, &frames);
	sum_up(tree, &top);
	emit_top(tree, &top, &frames);
	pa_groups_deinit(&top);
	pa_groups_deinit(&frames);
	return tree->no_memory ? -1 : 0;
}
