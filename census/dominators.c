/* SPDX-License-Identifier: MIT
 *
 * Dominators; see dominators.h.  Tarjan's semidominators over the reversed
 * edges, then each dominator as the nearest common ancestor of parent and
 * semidominator (Georgiadis), found by jump pointers so that a list of
 * millions costs no more than a bush.
 *
 * Most nodes have one edge that leads to them: their parent is their
 * dominator.  Only of the others (merged) edges are reversed and parents kept.
 */
#include "census/dominators_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- numbers that several edges lead to ---- */

struct merged {
	uint64_t *bits;		/* by number */
	uint64_t *tops;		/* of these the roots */
	uint32_t *before;	/* by word of bits: how many are in front */
	uint32_t n;
	/* in their order: edges, parents */
	uint32_t *first, *from, *parent;
};

static void free_merged(struct merged *m)
{
	free(m->bits);
	free(m->tops);
	free(m->before);
	free(m->first);
	free(m->from);
	free(m->parent);
}

static uint32_t place(const struct merged *m, uint32_t v)
{
	uint64_t below = m->bits[v / 64] & ((1ull << v % 64) - 1);

	return m->before[v / 64] + (uint32_t)__builtin_popcountll(below);
}

static int find_merged(const struct pa_dominators *d, struct merged *m)
{
	uint32_t words = d->count / 64 + 1;

	m->bits = calloc(words, sizeof *m->bits);
	m->tops = calloc(words, sizeof *m->tops);
	m->before = calloc(words, sizeof *m->before);
	if (!m->bits || !m->tops || !m->before)
		return -1;
	for (uint32_t i = 0; i < d->graph->n; i++) {
		uint32_t v = d->number[i];

		if (v && pa_bit(d->roots, i))
			pa_set_bit(m->tops, v);
		if (v && (pa_bit(d->roots, i) || pa_bit(d->merged, i)))
			pa_set_bit(m->bits, v);
	}
	for (uint32_t w = 0; w < words; w++) {
		m->before[w] = m->n;
		m->n += (uint32_t)__builtin_popcountll(m->bits[w]);
	}
	m->first = calloc(m->n + 1ull, sizeof *m->first);
	m->parent = calloc(m->n + 1ull, sizeof *m->parent);
	return m->first && m->parent ? 0 : -1;
}

/* Count, or fill in, the edges between numbers of one layer.  What the
 * search used is known by its parent. */
static void reverse_edges(const struct pa_dominators *d, struct merged *m)
{
	const struct pa_graph *graph = d->graph;

	for (uint32_t i = 0; i < graph->n; i++) {
		uint32_t u = d->number[i], start;

		if (!u)
			continue;
		start = d->layer[pa_dominators_layer(d, u)];
		for (uint32_t e = graph->first[i]; e < graph->first[i + 1];
		     e++) {
			uint32_t to = graph->to[e], v;

			if (to & PA_LEAF || !pa_bit(d->merged, to))
				continue;
			v = d->number[to];
			if (v < start || d->parent[v] == u || v == u)
				continue;
			if (m->from)
				m->from[--m->first[place(m, v)]] = u;
			else
				m->first[place(m, v)]++;
		}
	}
}

static int make_reverse(const struct pa_dominators *d, struct merged *m)
{
	uint64_t sum = 0;

	if (find_merged(d, m))
		return -1;
	reverse_edges(d, m);
	for (uint32_t k = 0; k <= m->n; k++) {
		sum += m->first[k];
		m->first[k] = (uint32_t)sum;
	}
	m->from = calloc(sum + 1, sizeof *m->from);
	if (!m->from)
		return -1;
	/* downwards: first[k] ends where the edges begin */
	reverse_edges(d, m);
	return 0;
}

/* ---- semidominators ---- */

/* The way from u up to what was not linked yet, all but its last step. */
static bool climb(struct pa_dominators *d, uint32_t u, uint32_t linked,
		  uint32_t *n)
{
	for (*n = 0; d->parent[u] >= linked; u = d->parent[u]) {
		if (*n == d->room_way) {
			uint32_t room = d->room_way * 2 + 1024;

			if (!pa_dominators_grow_one(&d->way, room))
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
		uint32_t x = d->way[--n], y = d->parent[x];

		if (d->semi[d->label[y]] < d->semi[d->label[x]])
			d->label[x] = d->label[y];
		d->parent[x] = d->parent[y];
	}
	return d->label[u];
}

/* The semidominator of one of them, UINT32_MAX without memory. */
static uint32_t least_of(struct pa_dominators *d, struct merged *m, uint32_t v)
{
	uint32_t k = place(m, v), least = d->parent[v];

	m->parent[k] = least;
	if (pa_bit(m->tops, v))
		return 0;
	for (uint32_t e = m->first[k]; least && e < m->first[k + 1]; e++) {
		uint32_t u = evaluate(d, m->from[e], v + 1);
		uint32_t semi = u <= v ? u : d->semi[u];

		if (!u)
			return UINT32_MAX;
		least = semi < least ? semi : least;
	}
	return least;
}

/* Parents of what is linked, from v on, become shorter ways up. */
static int find_semi(struct pa_dominators *d, struct merged *m)
{
	for (uint32_t v = 0; v < d->count; v++)
		d->label[v] = d->semi[v] = v;
	for (uint32_t v = d->count - 1; v; v--) {
		d->semi[v] = pa_bit(m->bits, v) ? least_of(d, m, v) :
			d->parent[v];
		if (d->semi[v] == UINT32_MAX)
			return -1;
	}
	return 0;
}

/* ---- dominators ---- */

/* label and parent are depth and jump from here on: a jump skips as many
 * steps as the binary digits of the depth allow. */
static void set_jump(struct pa_dominators *d, uint32_t v)
{
	uint32_t p = d->idom[v], j = d->parent[p], k = d->parent[j];

	d->label[v] = d->label[p] + 1;
	d->parent[v] = d->label[p] - d->label[j] == d->label[j] - d->label[k] ?
		k : p;
}

/* A dominator takes the place of its semidominator. */
static void find_idom(struct pa_dominators *d, const struct merged *m)
{
	d->idom = d->semi;
	d->semi = NULL;
	d->idom[0] = d->label[0] = d->parent[0] = 0;
	for (uint32_t v = 1; v < d->count; v++) {
		uint32_t semi = d->idom[v], x = semi;

		if (semi && pa_bit(m->bits, v))
			x = m->parent[place(m, v)];
		while (x > semi)
			x = d->parent[x] > semi ? d->parent[x] : d->idom[x];
		d->idom[v] = x;
		set_jump(d, v);
	}
}

static uint32_t common(const struct pa_dominators *d, uint32_t a, uint32_t b)
{
	while (d->label[a] > d->label[b])
		a = d->label[d->parent[a]] >= d->label[b] ? d->parent[a] :
			d->idom[a];
	while (d->label[b] > d->label[a])
		b = d->label[d->parent[b]] >= d->label[a] ? d->parent[b] :
			d->idom[b];
	while (a != b) {
		bool jump = d->parent[a] != d->parent[b];

		a = jump ? d->parent[a] : d->idom[a];
		b = jump ? d->parent[b] : d->idom[b];
	}
	return a;
}

/* While leaves are hung, one that hangs on the top has its layer and PA_LEAF
 * for a number. */
static uint32_t layer_of_leaf(const struct pa_dominators *d, uint32_t now)
{
	return now & PA_LEAF ? now & ~PA_LEAF : pa_dominators_layer(d, now);
}

/* A leaf hangs on what all that point at it, of the first layer that does,
 * have in common. */
static void hang_leaf(struct pa_dominators *d, uint32_t leaf, uint32_t u,
		      uint32_t layer)
{
	uint32_t now = d->number[leaf], of;

	if (pa_bit(d->roots, leaf))
		return;
	of = now ? layer_of_leaf(d, now) : PA_LAYERS;
	if (of < layer)
		return;
	if (of == layer) {
		if (now & PA_LEAF)
			return;
		u = common(d, now, u);
	}
	d->number[leaf] = u ? u : PA_LEAF | layer;
}

static void hang_leaves(struct pa_dominators *d)
{
	const struct pa_graph *graph = d->graph;

	for (uint32_t i = 0; i < graph->n; i++) {
		uint32_t u = d->number[i], layer;

		if (!u || pa_bit(d->leaves, i))
			continue;
		layer = pa_dominators_layer(d, u);
		for (uint32_t e = graph->first[i]; e < graph->first[i + 1];
		     e++)
			if (graph->to[e] & PA_LEAF)
				hang_leaf(d, graph->to[e] & ~PA_LEAF, u,
					  layer);
	}
	for (uint32_t i = 0; i < graph->n; i++)
		if (d->number[i] & PA_LEAF)
			d->number[i] = 0;
}

int pa_dominators_finish(struct pa_dominators *d)
{
	struct merged m = { .n = 0 };
	int err = pa_dominators_grow(d) ? make_reverse(d, &m) : -1;

	free(d->node);
	d->node = NULL;
	if (!err)
		d->label = calloc(d->count, sizeof *d->label);
	if (err || !d->label || find_semi(d, &m)) {
		free_merged(&m);
		return -1;
	}
	find_idom(d, &m);
	free_merged(&m);
	hang_leaves(d);
	pa_dominators_end_search(d);
	return 0;
}
