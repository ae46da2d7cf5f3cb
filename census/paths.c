/* SPDX-License-Identifier: MIT
 *
 * Shortest paths from roots to instances of a type; see holders.h.  The
 * search goes breadth first, kind of root by kind of root.  Paths are kept
 * as shapes: a tree in which each step has a type, and a name from the first
 * path of that shape; a list of a million nodes is one step.
 */
#include <stdlib.h>

#include "census/tree.h"

#define SHAPES_MOST (1u << 20)
#define PATHS 10u
#define STEPS_MOST 64u
#define HOPS 8u			/* blocks between two objects */
#define KEYS_MOST 4096u
#define CHECKS 64u

struct shape {
	uint32_t above;		/* 0 = a root */
	uint32_t node;		/* told apart by it, or PA_NO_NODE */
	struct pa_label label;
	bool part;		/* the dict of the one above: not shown */
	uint8_t checked;	/* others of this shape, for their names */
	uint64_t instances;
};

struct search {
	struct pa_tree *tree;
	struct pa_references *references;
	uint32_t *from;		/* by node: who came first; UINT32_MAX = not
				 * reached, PA_NO_NODE = a root */
	uint32_t *shape_of;	/* by node */
	uint32_t *queue;
	uint32_t head, tail;
	struct shape *shape;	/* 0 is none */
	uint32_t n_shapes, room_shapes;
	uint32_t *slots, n_slots;
	bool *wanted;		/* by type */
};

/* ---- shapes ---- */

static uint32_t hash(const struct shape *s)
{
	uint64_t h = ((uint64_t)s->above << 32 | s->label.type) *
		0x9e3779b97f4a7c15ull;

	h ^= ((uint64_t)s->node << 32 | s->label.name) +
		(s->above ? 0 : (uint64_t)s->label.kind);
	return (uint32_t)(h * 0xd6e8feb86659fd93ull >> 32);
}

/* Those below another have their names from the first one. */
static bool is_same(const struct shape *a, const struct shape *b)
{
	return a->above == b->above && a->node == b->node &&
		a->label.type == b->label.type && (a->above ||
		(a->label.kind == b->label.kind &&
		 a->label.name == b->label.name));
}

static bool grow(struct search *s)
{
	if (s->n_shapes >= s->room_shapes) {
		uint32_t room = s->room_shapes * 2 + 256;
		struct shape *more = reallocarray(s->shape, room,
						  sizeof *more);

		if (!more)
			return false;
		s->shape = more;
		s->room_shapes = room;
	}
	if (s->n_shapes * 2 >= s->n_slots) {
		uint32_t n = s->n_slots ? s->n_slots * 4 : 1024;
		uint32_t *slots = calloc(n, sizeof *slots);

		if (!slots)
			return false;
		for (uint32_t i = 1; i < s->n_shapes; i++) {
			uint32_t h = hash(&s->shape[i]) & (n - 1);

			while (slots[h])
				h = (h + 1) & (n - 1);
			slots[h] = i;
		}
		free(s->slots);
		s->slots = slots;
		s->n_slots = n;
	}
	return true;
}

/* The shape like this one, or 0; *slot: where it belongs. */
static uint32_t find_shape(const struct search *s, const struct shape *like,
			   uint32_t *slot)
{
	uint32_t h = hash(like) & (s->n_slots - 1);

	while (s->slots[h] && !is_same(&s->shape[s->slots[h]], like))
		h = (h + 1) & (s->n_slots - 1);
	*slot = h;
	return s->slots[h];
}

static uint32_t add_shape(struct search *s, const struct shape *like,
			  uint32_t slot)
{
	if (s->n_shapes >= SHAPES_MOST)
		return 0;
	s->shape[s->n_shapes] = *like;
	s->slots[slot] = s->n_shapes;
	return s->n_shapes++;
}

/* ---- steps ---- */

static const struct pa_type *type_of(const struct search *s, uint32_t node,
				     uint32_t *index)
{
	uint32_t what = s->references->nodes.node[node];

	*index = what & PA_NODE_TYPED ? what & PA_NODE_TYPE : 0;
	return *index ? &s->references->types->type[*index] : NULL;
}

/* The name of a node in the object that it was reached from. */
static void name_step(struct search *s, struct shape *shape, uint32_t node)
{
	struct pa_attributes *a = &s->tree->attributes;
	uint32_t from = s->from[node], index, name;

	for (unsigned i = 0; i < HOPS && from < PA_NO_NODE; i++) {
		uint32_t of = s->shape_of[from];

		if (type_of(s, from, &index) && !s->shape[of].part)
			break;
		from = s->from[from];
	}
	if (from >= PA_NO_NODE || !type_of(s, from, &index))
		return;
	pa_attributes_read(a, from, KEYS_MOST);
	shape->part = node == a->dict;
	name = pa_attributes_name(a, node);
	shape->label.name = name;
	if (name)
		shape->label.kind = a->keys &&
			s->shape[shape->above].label.kind !=
			PA_HOLDER_MODULE ? PA_HOLDER_KEY :
			PA_HOLDER_ATTRIBUTE;
}

/* Where several names lead to the same shape it has none. */
static void check_name(struct search *s, struct shape *shape, uint32_t node)
{
	struct shape other = { .above = shape->above };

	if (!shape->label.name || shape->checked == CHECKS)
		return;
	shape->checked++;
	name_step(s, &other, node);
	if (other.label.name == shape->label.name)
		return;
	shape->label.name = 0;
	shape->label.kind = PA_HOLDER_ITEMS;
}

/* The shape of a node that was reached from another one. */
static uint32_t step(struct search *s, uint32_t node, uint32_t from)
{
	struct shape like = {
		.above = s->shape_of[from], .node = PA_NO_NODE,
		.label = { .kind = PA_HOLDER_ITEMS },
	};
	const struct shape *above = &s->shape[like.above];
	uint32_t found, slot;

	if (!like.above || !type_of(s, node, &like.label.type))
		return like.above;
	/* the next of a list is like the one before */
	if (above->above && above->label.type == like.label.type)
		return like.above;
	/* what a module has is told apart one by one */
	if (above->label.kind == PA_HOLDER_MODULE)
		like.node = node;
	if (!grow(s))
		return 0;
	found = find_shape(s, &like, &slot);
	if (found) {
		check_name(s, &s->shape[found], node);
		return found;
	}
	name_step(s, &like, node);
	return add_shape(s, &like, slot);
}

static void visit(struct search *s, uint32_t node, uint32_t from,
		  uint32_t shape)
{
	s->from[node] = from;
	s->shape_of[node] = from == PA_NO_NODE ? shape : step(s, node, from);
	if (!(s->references->nodes.node[node] & PA_NODE_LEAF))
		s->queue[s->tail++] = node;
}

static void run(struct search *s)
{
	const struct pa_graph *graph = &s->references->graph;

	while (s->head < s->tail) {
		uint32_t node = s->queue[s->head++];

		for (uint32_t e = graph->first[node];
		     e < graph->first[node + 1]; e++) {
			uint32_t to = graph->to[e] & ~PA_LEAF;

			if (s->from[to] == UINT32_MAX)
				visit(s, to, node, 0);
		}
	}
}

/* ---- roots ---- */

static enum pa_holder_kind kind_of(enum pa_layer layer)
{
	switch (layer) {
	case PA_LAYER_MODULES:
		return PA_HOLDER_MODULE;
	case PA_LAYER_FRAMES:
		return PA_HOLDER_FRAME;
	case PA_LAYER_CLASSES:
		return PA_HOLDER_CLASS;
	case PA_LAYER_STATIC:
		return PA_HOLDER_STATIC;
	case PA_LAYER_STACKS:
		return PA_HOLDER_STACKS;
	default:
		return PA_HOLDER_NATIVE;
	}
}

static void start(struct search *s, const struct pa_named_root *root)
{
	uint32_t node = root->node & ~PA_LEAF, slot, shape = 0;
	struct shape like = {
		.node = PA_NO_NODE, .label = {
			.kind = kind_of((enum pa_layer)root->layer),
			.name = root->name,
		},
	};

	if (s->from[node] != UINT32_MAX)
		return;
	if (root->layer == PA_LAYER_CLASSES)
		like.label.name = pa_tree_class_name(s->tree, node);
	if (grow(s)) {
		shape = find_shape(s, &like, &slot);
		shape = shape ? shape : add_shape(s, &like, slot);
	}
	visit(s, node, PA_NO_NODE, shape);
	/* a frame's variable is an instance itself, below its function */
	if (shape && root->layer != PA_LAYER_MODULES &&
	    root->layer != PA_LAYER_CLASSES &&
	    type_of(s, node, &like.label.type)) {
		like.above = shape;
		like.label.kind = PA_HOLDER_ITEMS;
		like.label.name = 0;
		if (grow(s)) {
			shape = find_shape(s, &like, &slot);
			s->shape_of[node] = shape ? shape :
				add_shape(s, &like, slot);
		}
	}
}

static void search_all(struct search *s)
{
	const struct pa_roots *roots = s->tree->roots;

	for (unsigned layer = 0; layer < PA_LAYER_GARBAGE; layer++) {
		for (size_t i = 0; i < roots->n; i++)
			if (roots->root[i].layer == layer)
				start(s, &roots->root[i]);
		run(s);
	}
}

/* ---- results ---- */

static void find_wanted(struct search *s)
{
	const struct pa_types *types = s->references->types;
	const char *ask = s->tree->ask->path_to;

	for (uint32_t i = 1; i < types->count; i++) {
		const char *module = types->names + types->type[i].module;
		const char *name = types->names + types->type[i].name;
		const char *last = strrchr(name, '.');
		size_t n = strlen(module);

		/* a class in a function or in a class has a long name */
		s->wanted[i] = !strcmp(ask, name) ||
			(last && !strcmp(ask, last + 1)) ||
			(n && !strncmp(ask, module, n) && ask[n] == '.' &&
			 !strcmp(ask + n + 1, name));
	}
}

static void count_instances(struct search *s)
{
	struct pa_holders *out = s->tree->holders;

	for (uint32_t i = 0; i < s->references->nodes.count; i++) {
		uint32_t index;

		if (!type_of(s, i, &index) || !s->wanted[index])
			continue;
		out->instances++;
		if (s->from[i] == UINT32_MAX || !s->shape_of[i])
			out->unreached++;
		else
			s->shape[s->shape_of[i]].instances++;
	}
}

static const struct shape *the_shapes;	/* for the comparison below */

static int by_instances(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	if (the_shapes[a].instances != the_shapes[b].instances)
		return the_shapes[a].instances < the_shapes[b].instances ?
			1 : -1;
	return (a > b) - (a < b);
}

/* The steps of one shape, from its end on; texts as offsets for now. */
static uint32_t put_steps(const struct search *s, uint32_t shape,
			  struct pa_label *labels, bool *cut)
{
	uint32_t n = 0;

	*cut = false;
	for (; shape; shape = s->shape[shape].above) {
		/* what was asked for is shown even so */
		if (s->shape[shape].part && n)
			continue;
		if (n == STEPS_MOST) {
			*cut = true;
			break;
		}
		labels[n++] = s->shape[shape].label;
	}
	return n;
}

static void fill_path(struct search *s, struct pa_path *path,
		      struct pa_path_step *step_of, uint32_t shape)
{
	struct pa_label labels[STEPS_MOST];
	uint32_t n = put_steps(s, shape, labels, &path->cut);

	path->step = step_of;
	path->n_steps = n;
	path->instances = s->shape[shape].instances;
	for (uint32_t i = 0; i < n; i++)
		pa_tree_fill_step(s->tree, &step_of[i], &labels[n - 1 - i]);
}

static int make_paths(struct search *s)
{
	struct pa_holders *out = s->tree->holders;
	uint32_t most = s->tree->ask->paths_most ?
		s->tree->ask->paths_most : PATHS, n = 0;
	uint32_t *order = calloc(s->n_shapes + 1ull, sizeof *order);

	if (!order)
		return -1;
	for (uint32_t i = 1; i < s->n_shapes; i++)
		if (s->shape[i].instances)
			order[n++] = i;
	the_shapes = s->shape;
	qsort(order, n, sizeof *order, by_instances);
	out->no_path = n > most ? n - most : 0;
	n = n > most ? most : n;
	out->path = calloc(n + 1ull, sizeof *out->path);
	out->steps = calloc((uint64_t)n * STEPS_MOST + 1,
			    sizeof *out->steps);
	for (uint32_t i = 0; out->path && out->steps && i < n; i++)
		fill_path(s, &out->path[out->n_paths++],
			  out->steps + (size_t)i * STEPS_MOST, order[i]);
	free(order);
	return out->path && out->steps ? 0 : -1;
}

int pa_paths_find(struct pa_tree *tree)
{
	struct pa_references *r = tree->roots->references;
	size_t n = r->nodes.count + 1ull;
	struct search s = {
		.tree = tree, .references = r, .n_shapes = 1,
		.from = reallocarray(NULL, n, sizeof *s.from),
		.shape_of = calloc(n, sizeof *s.shape_of),
		.queue = calloc(n, sizeof *s.queue),
		.wanted = calloc(r->types->count, sizeof *s.wanted),
	};
	int err = -1;

	if (s.from && s.shape_of && s.queue && s.wanted && grow(&s)) {
		memset(s.from, 0xff, n * sizeof *s.from);
		memset(s.shape, 0, sizeof *s.shape);
		find_wanted(&s);
		search_all(&s);
		count_instances(&s);
		err = make_paths(&s);
	}
	free(s.from);
	free(s.shape_of);
	free(s.queue);
	free(s.shape);
	free(s.slots);
	free(s.wanted);
	return err;
}
