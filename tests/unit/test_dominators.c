/* SPDX-License-Identifier: MIT
 *
 * Dominators of graphs with roots in layers: by hand, and random ones against
 * the definition (take a node away and look what is reached no more).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "census/dominators.h"
#include "tests/unit/unit.h"

#define MOST 24u
#define EDGES 96u
#define ROUNDS 4000
#define NOBODY UINT32_MAX
#define LONG 400000u

struct example {
	uint32_t n, n_edges, n_layers;
	uint32_t from[EDGES], to[EDGES];
	uint32_t roots[3][4], n_roots[3];
	bool leaf[MOST];
};

static uint64_t state;

static uint32_t pick(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

/* ---- the definition ---- */

/* What layer 0 .. `layer` reach without node `without`, inside `allowed`. */
static void reach(const struct example *x, uint32_t layer, uint32_t without,
		  const bool *allowed, bool *reached)
{
	bool more = true;

	memset(reached, 0, MOST);
	for (uint32_t i = 0; i < x->n_roots[layer]; i++)
		if (x->roots[layer][i] != without &&
		    allowed[x->roots[layer][i]])
			reached[x->roots[layer][i]] = true;
	while (more) {
		more = false;
		for (uint32_t e = 0; e < x->n_edges; e++) {
			uint32_t to = x->to[e];

			if (!reached[x->from[e]] || reached[to] ||
			    to == without || !allowed[to])
				continue;
			reached[to] = more = true;
		}
	}
}

/* Of those that dominate v the one that all others dominate: it has most. */
static void find_truth(const struct example *x, int *layer_of,
		       uint32_t *idom)
{
	bool allowed[MOST], base[MOST], without[MOST];
	bool above[MOST][MOST] = { { false } };

	memset(allowed, true, sizeof allowed);
	for (uint32_t v = 0; v < MOST; v++)
		layer_of[v] = -1;
	for (uint32_t layer = 0; layer < x->n_layers; layer++) {
		reach(x, layer, NOBODY, allowed, base);
		for (uint32_t d = 0; d < x->n; d++) {
			if (!base[d])
				continue;
			reach(x, layer, d, allowed, without);
			for (uint32_t v = 0; v < x->n; v++)
				above[v][d] = above[v][d] ||
					(base[v] && v != d && !without[v]);
		}
		for (uint32_t v = 0; v < x->n; v++) {
			if (base[v])
				layer_of[v] = (int)layer;
			allowed[v] = allowed[v] && !base[v];
		}
	}
	for (uint32_t v = 0; v < x->n; v++) {
		uint32_t most = 0;

		idom[v] = NOBODY;
		for (uint32_t d = 0; d < x->n; d++) {
			uint32_t n = 1;

			for (uint32_t k = 0; k < x->n; k++)
				n += above[d][k];
			if (above[v][d] && n > most) {
				most = n;
				idom[v] = d;
			}
		}
	}
}

/* ---- ours ---- */

static void make_graph(const struct example *x, struct pa_graph *graph)
{
	uint32_t n = 0;

	graph->n = x->n;
	graph->first = calloc(x->n + 1, sizeof *graph->first);
	graph->to = calloc(x->n_edges + 1, sizeof *graph->to);
	assert_non_null(graph->first);
	assert_non_null(graph->to);
	for (uint32_t v = 0; v < x->n; v++) {
		graph->first[v] = n;
		for (uint32_t e = 0; e < x->n_edges; e++)
			if (x->from[e] == v)
				graph->to[n++] = x->to[e] |
					(x->leaf[x->to[e]] ? PA_LEAF : 0);
	}
	graph->first[x->n] = n;
}

static void check(const struct example *x)
{
	struct pa_graph graph;
	struct pa_dominators d;
	uint32_t truth[MOST], node[MOST + 1] = { NOBODY };
	int layer_of[MOST];

	find_truth(x, layer_of, truth);
	make_graph(x, &graph);
	assert_int_equal(pa_dominators_init(&d, &graph), 0);
	for (uint32_t i = 0; i < x->n_layers; i++) {
		uint32_t roots[4];

		for (uint32_t k = 0; k < x->n_roots[i]; k++)
			roots[k] = x->roots[i][k] |
				(x->leaf[x->roots[i][k]] ? PA_LEAF : 0);
		assert_int_equal(pa_dominators_reach(&d, roots,
						     x->n_roots[i]), 0);
	}
	assert_int_equal(pa_dominators_finish(&d), 0);
	assert_in_range(d.count, 1, x->n + 1);
	for (uint32_t v = 0; v < x->n; v++)
		if (!pa_is_leaf(&d, v) && d.number[v])
			node[d.number[v]] = v;
	for (uint32_t v = 0; v < x->n; v++) {
		uint32_t number;

		assert_int_equal(pa_is_reached(&d, v), layer_of[v] >= 0);
		if (layer_of[v] < 0)
			continue;
		assert_int_equal(pa_is_leaf(&d, v), x->leaf[v]);
		number = pa_is_leaf(&d, v) ? d.number[v] :
			d.idom[d.number[v]];
		assert_int_equal(node[number], truth[v]);
		if (!x->leaf[v])
			assert_int_equal(pa_dominators_layer(&d, d.number[v]),
					 layer_of[v]);
	}
	pa_dominators_deinit(&d);
	free(graph.first);
	free(graph.to);
}

static void random_example(struct example *x)
{
	memset(x, 0, sizeof *x);
	x->n = 1 + pick(MOST);
	x->n_edges = pick(x->n * 4 + 1);
	for (uint32_t v = 0; v < x->n; v++)
		x->leaf[v] = !pick(3);
	x->leaf[0] = false;
	for (uint32_t e = 0; e < x->n_edges; e++) {
		/* a leaf has no edges */
		x->from[e] = pick(x->n);
		if (x->leaf[x->from[e]])
			x->from[e] = 0;
		x->to[e] = pick(x->n);
	}
	x->n_layers = 1 + pick(3);
	for (uint32_t i = 0; i < x->n_layers; i++) {
		x->n_roots[i] = pick(5);
		for (uint32_t k = 0; k < x->n_roots[i]; k++)
			x->roots[i][k] = pick(x->n);
	}
}

static void test_random(void **unused)
{
	const char *seed = getenv("PA_SEED");

	(void)unused;
	state = seed ? strtoull(seed, NULL, 10) :
		(uint64_t)time(NULL) * 2654435761u;
	state = state ? state : 1;
	print_message("# PA_SEED=%llu\n", (unsigned long long)state);
	for (int i = 0; i < ROUNDS; i++) {
		struct example x;

		random_example(&x);
		check(&x);
	}
}

static void test_by_hand(void **unused)
{
	/* a diamond: nobody but the top holds its foot; and a loop */
	struct example x = {
		.n = 6, .n_edges = 7, .n_layers = 2,
		.from = { 0, 0, 1, 2, 3, 4, 5 },
		.to = { 1, 2, 3, 3, 4, 3, 4 },
		.roots = { { 0 }, { 5 } }, .n_roots = { 1, 1 },
	};

	(void)unused;
	/* 5 comes later: it takes nothing from the first layer */
	check(&x);
	/* as a root of the same layer it does */
	x.n_layers = 1;
	x.roots[0][1] = 5;
	x.n_roots[0] = 2;
	check(&x);
	/* nothing at all */
	x.n_layers = x.n_edges = 0;
	check(&x);
}

/* A list of many nodes, each of which has one leaf of its own and one that
 * all have; the last points at the first, and a root at every tenth. */
static void make_long(struct pa_graph *graph)
{
	uint32_t n = 0;

	graph->n = 2 * LONG + 1;
	graph->first = calloc(graph->n + 1, sizeof *graph->first);
	graph->to = calloc(3 * LONG, sizeof *graph->to);
	assert_non_null(graph->first);
	assert_non_null(graph->to);
	for (uint32_t v = 0; v < LONG; v++) {
		graph->first[v] = n;
		graph->to[n++] = (v + 1) % LONG;
		graph->to[n++] = (LONG + v) | PA_LEAF;
		graph->to[n++] = (2 * LONG) | PA_LEAF;
	}
	for (uint32_t v = LONG; v <= graph->n; v++)
		graph->first[v] = n;
}

static void test_long(void **unused)
{
	uint32_t *roots = calloc(LONG, sizeof *roots);
	struct pa_graph graph;
	struct pa_dominators d;

	(void)unused;
	assert_non_null(roots);
	for (uint32_t every = 1; every <= LONG; every += LONG - 1) {
		uint32_t n = 0;

		make_long(&graph);
		for (uint32_t v = 0; v < LONG; v += every)
			roots[n++] = v;
		assert_int_equal(pa_dominators_init(&d, &graph), 0);
		assert_int_equal(pa_dominators_reach(&d, roots, n), 0);
		assert_int_equal(pa_dominators_finish(&d), 0);
		assert_int_equal(d.count, LONG + 1);
		for (uint32_t v = 1; v < LONG; v++) {
			assert_int_equal(d.idom[d.number[v]],
					 every == 1 ? 0 : d.number[v - 1]);
			assert_int_equal(d.number[LONG + v], d.number[v]);
		}
		assert_int_equal(d.number[2 * LONG], every == 1 ? 0 : 1);
		pa_dominators_deinit(&d);
		free(graph.first);
		free(graph.to);
	}
	free(roots);
}

static void test_one_by_one(void **unused)
{
	/* 1 -> 0 -> 1: the first one asked is the root of both */
	uint32_t first[] = { 0, 1, 2, 2 }, to[] = { 1, 0 };
	struct pa_graph graph = { .n = 3, .first = first, .to = to };
	struct pa_dominators d;

	(void)unused;
	assert_int_equal(pa_dominators_init(&d, &graph), 0);
	for (uint32_t v = 0; v < 3; v++)
		assert_int_equal(pa_dominators_start(&d, v == 2 ? v | PA_LEAF :
						     v), 0);
	pa_dominators_end_layer(&d);
	assert_int_equal(pa_dominators_finish(&d), 0);
	assert_int_equal(d.idom[d.number[0]], 0);
	assert_int_equal(d.idom[d.number[1]], d.number[0]);
	assert_true(pa_is_leaf(&d, 2));
	assert_int_equal(d.number[2], 0);
	pa_dominators_deinit(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
