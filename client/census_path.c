/* SPDX-License-Identifier: MIT
 *
 * The words for holders, and the order of their tree; see census_path.h.
 */
#include "client/census_path.h"

#include <stdlib.h>
#include <string.h>

#include "client/json_out.h"
#include "common/error.h"

/* Collections have no name of their own. */
static const char *collection(enum pa_holder_kind kind)
{
	switch (kind) {
	case PA_HOLDER_ALL:
		return "everything";
	case PA_HOLDER_SHARED:
		return "<several modules>";
	case PA_HOLDER_FRAMES:
		return "<local variables>";
	case PA_HOLDER_STACKS:
		return "<stacks of threads>";
	case PA_HOLDER_STATIC:
		return "<static data>";
	case PA_HOLDER_NATIVE:
		return "<C code>";
	case PA_HOLDER_GARBAGE:
		return "<garbage>";
	default:
		return "";
	}
}

static void put_type(FILE *out, const char *module, const char *type)
{
	if (*module && strcmp(module, "builtins"))
		fprintf(out, "%s.", module);
	fputs(type, out);
}

/* A step behind others, or with nothing in front of it. */
static void put_step(FILE *out, const struct pa_path_step *step)
{
	switch (step->kind) {
	case PA_HOLDER_ATTRIBUTE:
		fprintf(out, ".%s", step->name);
		break;
	case PA_HOLDER_KEY:
		fprintf(out, "['%s']", step->name);
		break;
	case PA_HOLDER_FRAME:
		fprintf(out, "%s()", step->name);
		break;
	case PA_HOLDER_STATIC:
		fprintf(out, *step->name ? "<static data of %s>" :
			"<static data>", step->name);
		break;
	case PA_HOLDER_ITEMS:
		put_type(out, step->module, step->type);
		break;
	default:
		fputs(*step->name ? step->name : collection(step->kind), out);
	}
}

/* Has the step a type that its words do not say? */
static bool says_no_type(const struct pa_path_step *step)
{
	return step->kind != PA_HOLDER_ITEMS && step->kind != PA_HOLDER_MODULE &&
		step->kind != PA_HOLDER_CLASS && *step->type;
}

static struct pa_path_step step_of(const struct pa_holder *holder)
{
	return (struct pa_path_step){
		.kind = holder->kind, .name = holder->name,
		.module = holder->module, .type = holder->type,
	};
}

static char *word_of(const struct pa_path_step *step, const char *colon)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put_step(out, step);
	if (colon && says_no_type(step)) {
		fputs(colon, out);
		put_type(out, step->module, step->type);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

char *pa_holder_word(const struct pa_holder *holder)
{
	struct pa_path_step step = step_of(holder);

	return word_of(&step, NULL);
}

/* Below a collection a name has its module in front, and no dot. */
static bool is_whole_name(const struct pa_holders *holders, uint32_t index)
{
	const struct pa_holder *h = &holders->holder[index];

	return h->kind == PA_HOLDER_ATTRIBUTE && h->parent != PA_NO_HOLDER &&
		*collection(holders->holder[h->parent].kind);
}

char *pa_holder_label(const struct pa_holders *holders, uint32_t index)
{
	struct pa_path_step step = step_of(&holders->holder[index]);
	char *label = word_of(&step, ": ");

	if (label && *label == '.' && is_whole_name(holders, index))
		memmove(label, label + 1, strlen(label));
	return label;
}

char *pa_path_text(const struct pa_path *path)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (path->cut)
		fputs("… → ", out);
	for (uint32_t i = 0; i < path->n_steps; i++) {
		const struct pa_path_step *step = &path->step[i];

		if (i && step->kind != PA_HOLDER_ATTRIBUTE &&
		    step->kind != PA_HOLDER_KEY)
			fputs(" → ", out);
		put_step(out, step);
		if (says_no_type(step)) {
			fputs(" → ", out);
			put_type(out, step->module, step->type);
		}
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- JSON ---- */

json_t *pa_holder_path(const struct pa_holders *holders, uint32_t index)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < 64 && index && index != PA_NO_HOLDER; i++) {
		const struct pa_holder *holder = &holders->holder[index];
		char *word = *holder->name ? strdup(holder->name) :
			pa_holder_word(holder);

		json_array_insert_new(array, 0, pa_json_text(word));
		free(word);
		index = holder->parent;
	}
	return array;
}

json_t *pa_holders_json(const struct pa_holders *holders, uint64_t limit)
{
	json_t *array = json_array();
	struct pa_holder_tree tree;

	if (pa_holder_tree_init(&tree, holders, limit)) {
		json_decref(array);
		return NULL;
	}
	for (uint32_t i = pa_holder_tree_next(&tree, 0); i != PA_NO_HOLDER;
	     i = pa_holder_tree_next(&tree, i)) {
		const struct pa_holder *h = &holders->holder[i];

		json_array_append_new(array, json_pack(
			"{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
			"path", pa_holder_path(holders, i),
			"kind", pa_holder_words[h->kind],
			"type", pa_json_text(h->type),
			"module", pa_json_text(h->module),
			"retained", pa_json_count(h->retained),
			"own", pa_json_count(h->own),
			"objects", pa_json_count(h->objects),
			"retained_objects",
			pa_json_count(h->retained_objects)));
	}
	pa_holder_tree_free(&tree);
	return array;
}

static json_t *steps_array(const struct pa_path *path)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < path->n_steps; i++) {
		const struct pa_path_step *step = &path->step[i];

		json_array_append_new(array, json_pack(
			"{s:s, s:o, s:o, s:o}",
			"kind", pa_holder_words[step->kind],
			"name", pa_json_text(step->name),
			"type", pa_json_text(step->type),
			"module", pa_json_text(step->module)));
	}
	return array;
}

json_t *pa_paths_json(const struct pa_holders *holders)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < holders->n_paths; i++) {
		const struct pa_path *path = &holders->path[i];
		char *text = pa_path_text(path);

		json_array_append_new(array, json_pack(
			"{s:o, s:o, s:b, s:o}",
			"path", pa_json_text(text),
			"instances", pa_json_count(path->instances),
			"cut", path->cut,
			"steps", steps_array(path)));
		free(text);
	}
	return array;
}

/* ---- the tree ---- */

static const struct pa_holder *sorted_by;	/* for the comparison below */

static int by_retained(const void *left, const void *right)
{
	uint32_t i = *(const uint32_t *)left, k = *(const uint32_t *)right;
	uint64_t a = sorted_by[i].retained, b = sorted_by[k].retained;

	if (a != b)
		return a < b ? 1 : -1;
	return (i > k) - (i < k);
}

static void link_children(struct pa_holder_tree *tree)
{
	const struct pa_holders *holders = tree->holders;

	for (uint32_t i = 0; i < holders->n_holders; i++)
		tree->child[i] = tree->next[i] = PA_NO_HOLDER;
	/* parents come first: from the end, so that the order stays */
	for (uint32_t i = holders->n_holders; i-- > 1; ) {
		uint32_t parent = holders->holder[i].parent;

		if (parent >= i)
			continue;
		tree->next[i] = tree->child[parent];
		tree->child[parent] = i;
	}
}

/* The largest; of equals those that come first, so that no holder is shown
 * without what is above it. */
static void choose(struct pa_holder_tree *tree, uint32_t *order,
		   uint64_t limit)
{
	const struct pa_holders *holders = tree->holders;
	uint32_t n = holders->n_holders;

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	sorted_by = holders->holder;
	if (n > 1)
		qsort(order + 1, n - 1, sizeof *order, by_retained);
	for (uint32_t i = 0; i < n && (!limit || i <= limit); i++) {
		uint32_t parent = holders->holder[order[i]].parent;

		tree->shown[order[i]] = !i || (parent < n &&
					       tree->shown[parent]);
		tree->n_shown += tree->shown[order[i]];
	}
}

int pa_holder_tree_init(struct pa_holder_tree *tree,
			const struct pa_holders *holders, uint64_t limit)
{
	size_t n = holders->n_holders + 1ull;
	uint32_t *order = calloc(n, sizeof *order);

	memset(tree, 0, sizeof *tree);
	tree->holders = holders;
	tree->child = calloc(n, sizeof *tree->child);
	tree->next = calloc(n, sizeof *tree->next);
	tree->shown = calloc(n, sizeof *tree->shown);
	if (!order || !tree->child || !tree->next || !tree->shown) {
		free(order);
		pa_holder_tree_free(tree);
		return PA_E_FAILED;
	}
	tree->child[0] = PA_NO_HOLDER;
	link_children(tree);
	choose(tree, order, limit);
	free(order);
	return 0;
}

void pa_holder_tree_free(struct pa_holder_tree *tree)
{
	free(tree->child);
	free(tree->next);
	free(tree->shown);
	memset(tree, 0, sizeof *tree);
}

uint32_t pa_holder_tree_next(const struct pa_holder_tree *tree, uint32_t index)
{
	uint32_t at = tree->child[index];

	for (;;) {
		while (at != PA_NO_HOLDER && !tree->shown[at])
			at = tree->next[at];
		if (at != PA_NO_HOLDER)
			return at;
		if (!index || !tree->holders->n_holders)
			return PA_NO_HOLDER;
		at = tree->next[index];
		index = tree->holders->holder[index].parent;
	}
}

uint64_t pa_holder_tree_self(const struct pa_holder_tree *tree, uint32_t index)
{
	uint64_t self = tree->holders->holder[index].retained;

	for (uint32_t at = tree->child[index]; at != PA_NO_HOLDER;
	     at = tree->next[at]) {
		uint64_t less = tree->shown[at] ?
			tree->holders->holder[at].retained : 0;

		self -= less < self ? less : self;
	}
	return self;
}
