/* SPDX-License-Identifier: MIT
 *
 * Dominators; see dominators.h.  Tarjan's semidominators over the reversed
 * edges, then each dominator as the nearest common ancestor of parent and
 * semidominator (Georgiadis), found by jump pointers so that a list of
 * millions costs no more than a bush.
 */
#include "census/dominators.h"

#include <stdlib.h>
#include <string.h>

int pa_dominators_init(struct pa_dominators *d, const struct pa_graph *graph)
{
	memset(d, 0, sizeof *d);
	d->graph = graph;
	d->count = 1;
	d->layer[0] = 1;
	d->number = calloc(graph->n + 1ull, sizeof *d->number);
	d->leaves = calloc(graph->n / 64 + 1ull, sizeof *d->leaves);
	d->roots = calloc(graph->n / 64 + 1ull, sizeof *d->roots);
	return d->number && d->leaves && d->roots ? 0 : -1;
}

static void free_scratch(struct pa_dominators *d)
{
	uint32_t **scratch[] = { &d->parent, &d->semi, &d->label, &d->above,
		&d->way };

	for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++) {
		free(*scratch[i]);
		*scratch[i] = NULL;
	}
	free(d->roots);
	free(d->tops);
	d->roots = d->tops = NULL;
}

void pa_dominators_deinit(struct pa_dominators *d)
{
	free_scratch(d);
	free(d->number);
	free(d->node);
	free(d->idom);
	free(d->leaves);
	memset(d, 0, sizeof *d);
}

/* ---- the search ---- */

static bool grow_one(uint32_t **array, uint32_t room)
{
	uint32_t *more = reallocarray(*array, room, sizeof *more);

	if (more)
		*array = more;
	return more;
}

/* Room for one more number. */
static bool grow(struct pa_dominators *d)
{
	uint32_t room = d->room + d->room / 4 + 65536;

	if (d->count < d->room)
		return true;
	/* semi is where the search stands in the edges of a node */
	if (!grow_one(&d->node, room) || !grow_one(&d->parent, room) ||
	    !grow_one(&d->semi, room))
		return false;
	d->room = room;
	return true;
}

static bool enter(struct pa_dominators *d, uint32_t node, uint32_t parent)
{
	if (!grow(d))
		return false;
	d->node[d->count] = node;
	d->parent[d->count] = parent;
	d->semi[d->count] = d->graph->first[node];
	d->number[node] = d->count++;
	return true;
}

static bool search(struct pa_dominators *d, uint32_t root)
{
	const struct pa_graph *graph = d->graph;
	uint32_t at;

	if (d->number[root])
		return true;
	if (!enter(d, root, 0))
		return false;
	at = d->count - 1;
	while (at) {
		uint32_t end = graph->first[d->node[at] + 1], to;

		if (d->semi[at] == end) {
			at = d->parent[at];
			continue;
		}
		to = graph->to[d->semi[at]++];
		if (to & PA_LEAF) {
			pa_set_bit(d->leaves, to & ~PA_LEAF);
		} else if (!d->number[to]) {
			if (!enter(d, to, at))
				return false;
			at = d->count - 1;
		}
	}
	return true;
}

int pa_dominators_reach(struct pa_dominators *d, const uint32_t *roots,
			size_t n)
{
	/* Earlier layers own what they reach: only new roots are roots. */
	for (size_t i = 0; i < n; i++)
		if (!pa_is_reached(d, roots[i] & ~PA_LEAF))
			pa_set_bit(d->roots, roots[i] & ~PA_LEAF);
	for (size_t i = 0; i < n; i++) {
		uint32_t node = roots[i] & ~PA_LEAF;

		if (!pa_bit(d->roots, node))
			continue;
		if (roots[i] & PA_LEAF)
			pa_set_bit(d->leaves, node);
		else if (!search(d, node))
			return -1;
	}
	pa_dominators_end_layer(d);
	return 0;
}

int pa_dominators_start(struct pa_dominators *d, uint32_t root)
{
	uint32_t node = root & ~PA_LEAF;

	if (pa_is_reached(d, node))
		return 0;
	pa_set_bit(d->roots, node);
	if (!(root & PA_LEAF))
		return search(d, node) ? 0 : -1;
	pa_set_bit(d->leaves, node);
	return 0;
}

void pa_dominators_end_layer(struct pa_dominators *d)
{
	if (d->n_layers < PA_LAYERS - 1)
		d->n_layers++;
	d->layer[d->n_layers] = d->count;
}

uint32_t pa_dominators_layer(const struct pa_dominators *d, uint32_t number)
{
	uint32_t layer = 0;

	while (layer + 1 < d->n_layers &&
	       number >= d->layer[layer + 1])
		layer++;
	return layer;
}

/* ---- reversed edges ---- */

struct reverse {
	uint32_t *first, *from;	/* by number */
};

/* Count, or fill in, the edges between numbers of one layer.  What the
 * search used is known by its parent. */
static void reverse_edges(const struct pa_dominators *d, struct reverse *r)
{
	uint32_t layer = 0;

	for (uint32_t u = 1; u < d->count; u++) {
		uint32_t node = d->node[u];

		layer = u < d->layer[layer + 1] ? layer : pa_dominators_layer(d, u);
		for (uint32_t e = d->graph->first[node];
		     e < d->graph->first[node + 1]; e++) {
			uint32_t to = d->graph->to[e], v;

			if (to & PA_LEAF)
				continue;
			v = d->number[to];
			if (v < d->layer[layer] || d->parent[v] == u || v == u)
				continue;
			if (r->from)
				r->from[--r->first[v]] = u;
			else
				r->first[v]++;
		}
	}
}

static int make_reverse(const struct pa_dominators *d, struct reverse *r)
{
	uint64_t sum = 0;

	r->from = NULL;
	r->first = calloc(d->count + 1ull, sizeof *r->first);
	if (!r->first)
		return -1;
	reverse_edges(d, r);
	for (uint32_t v = 0; v <= d->count; v++) {
		sum += r->first[v];
		r->first[v] = (uint32_t)sum;
	}
	r->from = calloc(sum + 1, sizeof *r->from);
	if (!r->from)
		return -1;
	/* downwards: first[v] ends where v's edges begin */
	reverse_edges(d, r);
	return 0;
}

/* ---- semidominators ---- */

/* The way from u up to what was not linked yet, all but its last step. */
static bool climb(struct pa_dominators *d, uint32_t u, uint32_t linked,
		  uint32_t *n)
{
	for (*n = 0; d->above[u] >= linked; u = d->above[u]) {
		if (*n == d->room_way) {
			uint32_t room = d->room_way * 2 + 1024;

			if (!grow_one(&d->way, room))
				return false;
			d->room_way = room;
		}
		d->way[(*n)++] = u;
	}
	return true;
}

/* The number with the least semidominator between u and what was linked
 * before `linked`; 0 without memory. */
static uint32_t evaluate(struct pa_dominators *d, uint32_t u, uint32_t linked)
{
	uint32_t n;

	if (u < linked)
		return u;
	if (!climb(d, u, linked, &n))
		return 0;
	while (n) {
		uint32_t x = d->way[--n], y = d->above[x];

		if (d->semi[d->label[y]] < d->semi[d->label[x]])
			d->label[x] = d->label[y];
		d->above[x] = d->above[y];
	}
	return d->label[u];
}

static int find_semi(struct pa_dominators *d, const struct reverse *r)
{
	for (uint32_t v = 0; v < d->count; v++) {
		d->label[v] = v;
		d->above[v] = v ? d->parent[v] : 0;
		d->semi[v] = v;
	}
	for (uint32_t v = d->count - 1; v; v--) {
		uint32_t least = d->parent[v];

		if (pa_bit(d->tops, v))
			least = 0;
		for (uint32_t e = r->first[v]; least && e < r->first[v + 1];
		     e++) {
			uint32_t u = evaluate(d, r->from[e], v + 1);
			uint32_t semi = u <= v ? u : d->semi[u];

			if (!u)
				return -1;
			least = semi < least ? semi : least;
		}
		d->semi[v] = least;
	}
	return 0;
}

/* ---- dominators ---- */

/* label and above are depth and jump from here on: a jump skips as many
 * steps as the binary digits of the depth allow. */
static void set_jump(struct pa_dominators *d, uint32_t v)
{
	uint32_t p = d->idom[v], j = d->above[p], k = d->above[j];

	d->label[v] = d->label[p] + 1;
	d->above[v] = d->label[p] - d->label[j] == d->label[j] - d->label[k] ?
		k : p;
}

/* A dominator takes the place of its semidominator. */
static void find_idom(struct pa_dominators *d)
{
	d->idom = d->semi;
	d->semi = NULL;
	d->idom[0] = d->label[0] = d->above[0] = 0;
	for (uint32_t v = 1; v < d->count; v++) {
		uint32_t x = d->parent[v], semi = d->idom[v];

		while (x > semi)
			x = d->above[x] > semi ? d->above[x] : d->idom[x];
		d->idom[v] = x;
		set_jump(d, v);
	}
}

static uint32_t common(const struct pa_dominators *d, uint32_t a, uint32_t b)
{
	while (d->label[a] > d->label[b])
		a = d->label[d->above[a]] >= d->label[b] ? d->above[a] :
			d->idom[a];
	while (d->label[b] > d->label[a])
		b = d->label[d->above[b]] >= d->label[a] ? d->above[b] :
			d->idom[b];
	while (a != b) {
		bool jump = d->above[a] != d->above[b];

		a = jump ? d->above[a] : d->idom[a];
		b = jump ? d->above[b] : d->idom[b];
	}
	return a;
}

/* A leaf hangs on what all that point at it have in common. */
static void hang_leaf(struct pa_dominators *d, uint32_t leaf, uint32_t u,
		      uint32_t layer)
{
	uint32_t now = d->number[leaf];

	if (pa_bit(d->roots, leaf) || now == PA_LEAF)
		return;
	if (!now)
		now = u;
	else if (now >= d->layer[layer])
		now = common(d, now, u);
	/* else an earlier layer has it */
	d->number[leaf] = now ? now : PA_LEAF;
}

static void hang_leaves(struct pa_dominators *d)
{
	const struct pa_graph *graph = d->graph;
	uint32_t layer = 0;

	for (uint32_t u = 1; u < d->count; u++) {
		layer = u < d->layer[layer + 1] ? layer : pa_dominators_layer(d, u);
		for (uint32_t e = graph->first[d->node[u]];
		     e < graph->first[d->node[u] + 1]; e++)
			if (graph->to[e] & PA_LEAF)
				hang_leaf(d, graph->to[e] & ~PA_LEAF, u,
					  layer);
	}
	for (uint32_t i = 0; i < graph->n; i++)
		if (d->number[i] == PA_LEAF)
			d->number[i] = 0;
}

/* Roots by number; then nodes are not needed until dominators are found. */
static int put_nodes_away(struct pa_dominators *d)
{
	d->tops = calloc(d->count / 64 + 1ull, sizeof *d->tops);
	if (!d->tops)
		return -1;
	for (uint32_t v = 1; v < d->count; v++)
		if (pa_bit(d->roots, d->node[v]))
			pa_set_bit(d->tops, v);
	free(d->node);
	d->node = NULL;
	return 0;
}

static int get_nodes_back(struct pa_dominators *d)
{
	free(d->parent);
	d->parent = NULL;
	d->node = calloc(d->count, sizeof *d->node);
	if (!d->node)
		return -1;
	for (uint32_t i = 0; i < d->graph->n; i++)
		if (d->number[i])
			d->node[d->number[i]] = i;
	return 0;
}

int pa_dominators_finish(struct pa_dominators *d)
{
	struct reverse r = { NULL, NULL };
	int err = grow(d) ? make_reverse(d, &r) : -1;

	if (!err)
		err = put_nodes_away(d);
	d->label = calloc(d->count, sizeof *d->label);
	d->above = calloc(d->count, sizeof *d->above);
	if (!d->label || !d->above)
		err = -1;
	if (!err)
		err = find_semi(d, &r);
	free(r.first);
	free(r.from);
	free(d->way);
	d->way = NULL;
	if (err)
		return err;
	find_idom(d);
	if (get_nodes_back(d))
		return -1;
	hang_leaves(d);
	free_scratch(d);
	return 0;
}
