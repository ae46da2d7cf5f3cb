/* SPDX-License-Identifier: MIT
 *
 * Roots, layer by layer; see roots.h.
 */
#include "census/roots.h"

#include <stdlib.h>

#include "census/dicts.h"

#define ROOTS_MAX ((size_t)1 << 26)
#define SPANS_MAX ((size_t)1 << 22)
#define STATIC_MOST ((uint64_t)64 << 20)	/* of one file's data */
#define ZEROS_MOST ((uint64_t)4 << 20)		/* behind it */
#define SYS_MOST 64u				/* interpreters */
#define MODULES_MOST ((uint64_t)1 << 20)

int pa_roots_init(struct pa_roots *roots, struct pa_references *references)
{
	memset(roots, 0, sizeof *roots);
	roots->references = references;
	return pa_texts_init(&roots->texts);
}

void pa_roots_deinit(struct pa_roots *roots)
{
	pa_dominators_deinit(&roots->dominators);
	pa_texts_deinit(&roots->texts);
	free(roots->root);
	free(roots->span);
	free(roots->batch);
	memset(roots, 0, sizeof *roots);
}

void pa_roots_gap(struct pa_roots *roots, uint64_t start, uint64_t end)
{
	struct pa_span *last = roots->n_spans ?
		&roots->span[roots->n_spans - 1] : NULL;

	if (last && last->end == start) {
		last->end = end;
		return;
	}
	if (!roots->span || roots->n_spans == roots->room_spans) {
		size_t room = roots->room_spans * 2 + 256;
		struct pa_span *more = room > SPANS_MAX ? NULL :
			reallocarray(roots->span, room, sizeof *more);

		if (!more) {
			roots->no_memory = true;
			return;
		}
		roots->span = more;
		roots->room_spans = room;
	}
	roots->span[roots->n_spans++] = (struct pa_span){ start, end };
}

void pa_roots_add(struct pa_roots *roots, enum pa_layer layer, uint32_t node,
		  uint32_t name)
{
	uint32_t leaf;

	if (node == PA_NO_NODE ||
	    pa_is_reached(&roots->dominators, node))
		return;
	if (roots->n == roots->room) {
		size_t room = roots->room * 2 + 1024;
		struct pa_named_root *more = room > ROOTS_MAX ? NULL :
			reallocarray(roots->root, room, sizeof *more);

		if (!more) {
			roots->no_memory = true;
			return;
		}
		roots->root = more;
		roots->room = room;
	}
	leaf = roots->references->nodes.node[node] & PA_NODE_LEAF ?
		PA_LEAF : 0;
	roots->root[roots->n++] = (struct pa_named_root){
		.node = node | leaf, .name = name, .layer = (uint8_t)layer,
	};
}

int pa_roots_search(struct pa_roots *roots, enum pa_layer layer)
{
	size_t n = 0, first = roots->n;

	while (first && roots->root[first - 1].layer == layer)
		first--;
	if (roots->n - first > roots->room_batch) {
		uint32_t *more = reallocarray(roots->batch, roots->n - first,
					      sizeof *more);

		if (!more)
			return -1;
		roots->batch = more;
		roots->room_batch = roots->n - first;
	}
	for (size_t i = first; i < roots->n; i++)
		roots->batch[n++] = roots->root[i].node;
	return pa_dominators_reach(&roots->dominators, roots->batch, n);
}

void pa_roots_pages(struct pa_roots *roots, uint64_t start, uint64_t end,
		    pa_page_fn *fn, void *context)
{
	struct pa_window *window = roots->references->window;
	uint8_t page[PA_CENSUS_PAGE];

	start &= ~(uint64_t)(PA_CENSUS_PAGE - 1);
	for (uint64_t at = start; at < end && end - at >= PA_CENSUS_PAGE;
	     at += PA_CENSUS_PAGE)
		if (pa_window_peek(window, at, page, sizeof page))
			fn(roots, context, at, page);
}

/* ---- modules ---- */

/* A name in sys.modules, the module, and its dict. */
static void add_module(struct pa_roots *roots, uint64_t key, uint64_t value)
{
	struct pa_references *r = roots->references;
	uint32_t node = pa_references_to(r, value), name;
	char text[PA_NAME_MAX];
	uint8_t word[8];

	name = pa_texts_add(&roots->texts, text,
			    pa_read_str(r->types, key, text));
	if (!name)
		return;
	pa_roots_add(roots, PA_LAYER_MODULES, node, name);
	if (node == PA_NO_NODE || !(r->nodes.node[node] & PA_NODE_TYPED) ||
	    r->types->type[r->nodes.node[node] & PA_NODE_TYPE].role !=
	    PA_ROLE_MODULE ||
	    !pa_window_peek(r->window, value + PA_MODULE_DICT, word,
			    sizeof word))
		return;
	pa_roots_add(roots, PA_LAYER_MODULES,
		     pa_references_to(r, pa_word(word)), name);
}

/* Is this the module `sys`?  Then its `modules`, else 0. */
static uint64_t modules_of(struct pa_types *types, uint64_t module)
{
	char text[PA_NAME_MAX];
	uint8_t word[8];
	uint64_t dict;

	if (!pa_window_peek(types->window, module + PA_MODULE_DICT, word,
			    sizeof word))
		return 0;
	dict = pa_word(word);
	if (pa_read_str(types, pa_dict_get(types, dict, "__name__"), text) !=
	    3 || memcmp(text, "sys", 3))
		return 0;
	return pa_dict_get(types, dict, "modules");
}

static void find_modules(struct pa_roots *roots)
{
	struct pa_references *r = roots->references;
	uint64_t key, value, size;
	struct pa_dict dict;
	unsigned found = 0;

	for (uint32_t i = 0; i < r->nodes.count && found < SYS_MOST; i++) {
		uint32_t what = r->nodes.node[i];

		if (!(what & PA_NODE_TYPED) || r->types->type[what &
		    PA_NODE_TYPE].role != PA_ROLE_MODULE)
			continue;
		value = pa_nodes_address(&r->nodes, i, &size) +
			pa_object_offset(r->types, what);
		if (!pa_dict_open(&dict, r->types, modules_of(r->types,
							      value)))
			continue;
		found++;
		dict.most = MODULES_MOST;
		while (pa_dict_next(&dict, &key, &value))
			add_module(roots, key, value);
	}
}

/* ---- classes ---- */

static int find_classes(struct pa_roots *roots)
{
	struct pa_references *r = roots->references;
	bool *used = calloc(r->types->count, sizeof *used);

	if (!used)
		return -1;
	for (uint32_t i = 0; i < r->nodes.count; i++) {
		uint32_t what = r->nodes.node[i];

		if (what & PA_NODE_TYPED && pa_is_reached(&roots->dominators,
							  i))
			used[what & PA_NODE_TYPE] = true;
	}
	for (uint32_t i = 1; i < r->types->count; i++)
		if (used[i])
			pa_roots_add(roots, PA_LAYER_CLASSES, pa_references_to(
				r, r->types->type[i].address), 0);
	free(used);
	return 0;
}

/* ---- static data ---- */

struct words {
	enum pa_layer layer;
	uint32_t name;
};

static void add_words(struct pa_roots *roots, void *context, uint64_t address,
		      const uint8_t *page)
{
	const struct words *words = context;

	(void)address;
	for (size_t i = 0; i < PA_CENSUS_PAGE; i += 8)
		pa_roots_add(roots, words->layer, pa_references_to(
			roots->references, pa_word(page + i)), words->name);
}

static uint32_t file_name(struct pa_roots *roots,
			  const struct pa_census_range *range)
{
	const char *slash = strrchr(range->name, '/');
	const char *name = slash ? slash + 1 : range->name;

	return pa_texts_add(&roots->texts, name, strnlen(name, 255));
}

static bool is_data(const struct pa_census_range *range)
{
	return range->kind == PA_RANGE_FILE && range->writable &&
		range->name && range->end - range->start <= STATIC_MOST;
}

static void find_static(struct pa_roots *roots)
{
	const struct pa_census_source *source =
		roots->references->window->source;

	for (size_t i = 0; i < source->n_ranges; i++) {
		const struct pa_census_range *range = &source->ranges[i];
		struct words words = { PA_LAYER_STATIC, 0 };

		if (!is_data(range))
			continue;
		words.name = file_name(roots, range);
		pa_roots_pages(roots, range->start, range->end, add_words,
			       &words);
	}
}

/* The file whose zeros behind its data hold an address, or 0. */
static uint32_t file_before(struct pa_roots *roots, uint64_t address)
{
	const struct pa_census_source *source =
		roots->references->window->source;
	size_t low = 0, high = source->n_ranges;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (source->ranges[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || low == source->n_ranges ||
	    source->ranges[low - 1].end != source->ranges[low].start ||
	    address - source->ranges[low].start >= ZEROS_MOST ||
	    !is_data(&source->ranges[low - 1]))
		return 0;
	return file_name(roots, &source->ranges[low - 1]);
}

/* Zeros of a file's data, once written to.  Other anonymous memory is not
 * asked: what is held from there has references that nobody explains. */
static void find_zeros(struct pa_roots *roots)
{
	for (size_t i = 0; i < roots->n_spans; i++) {
		const struct pa_span *span = &roots->span[i];
		uint64_t end = span->end - span->start < ZEROS_MOST ?
			span->end : span->start + ZEROS_MOST;
		struct words words = {
			PA_LAYER_STATIC, file_before(roots, span->start),
		};

		if (words.name)
			pa_roots_pages(roots, span->start, end, add_words,
				       &words);
	}
}

/* ---- all ---- */

static int by_node(const void *left, const void *right)
{
	const struct pa_named_root *a = left, *b = right;
	uint32_t x = a->node & ~PA_LEAF, y = b->node & ~PA_LEAF;

	if (x != y)
		return x < y ? -1 : 1;
	return (a->layer > b->layer) - (a->layer < b->layer);
}

static int search_all(struct pa_roots *roots)
{
	find_modules(roots);
	if (pa_roots_search(roots, PA_LAYER_MODULES))
		return -1;
	pa_roots_find_frames(roots);
	if (pa_roots_search(roots, PA_LAYER_FRAMES) || find_classes(roots) ||
	    pa_roots_search(roots, PA_LAYER_CLASSES))
		return -1;
	find_static(roots);
	find_zeros(roots);
	if (pa_roots_search(roots, PA_LAYER_STATIC))
		return -1;
	return pa_roots_find_unexplained(roots);
}

int pa_roots_find(struct pa_roots *roots, bool dominators)
{
	if (pa_dominators_init(&roots->dominators,
			       &roots->references->graph) ||
	    search_all(roots))
		return -1;
	if (roots->n)	/* there may be no array */
		qsort(roots->root, roots->n, sizeof *roots->root, by_node);
	free(roots->batch);
	roots->batch = NULL;
	if (dominators)
		return pa_dominators_finish(&roots->dominators);
	pa_dominators_end_search(&roots->dominators);
	return 0;
}

const struct pa_named_root *pa_roots_of(const struct pa_roots *roots,
					uint32_t node)
{
	size_t low = 0, high = roots->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if ((roots->root[middle].node & ~PA_LEAF) < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low < roots->n && (roots->root[low].node & ~PA_LEAF) == node ?
		&roots->root[low] : NULL;
}
