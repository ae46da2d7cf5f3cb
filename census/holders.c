/* SPDX-License-Identifier: MIT
 *
 * The answer to "who holds it", from the graph on; see holders.h.
 */
#include "census/holders.h"

#include <stdlib.h>

#include "census/answer.h"
#include "census/tree.h"
#include "common/error.h"

/* Parts of the whole: roots and dominators are found, the tree is made. */
#define PART_ROOTS 0.8
#define PART_TREE 0.9

const char *const pa_holder_words[PA_HOLDER_KINDS] = {
	[PA_HOLDER_ALL] = "all",
	[PA_HOLDER_MODULE] = "module",
	[PA_HOLDER_CLASS] = "class",
	[PA_HOLDER_ATTRIBUTE] = "attribute",
	[PA_HOLDER_KEY] = "key",
	[PA_HOLDER_ITEMS] = "items",
	[PA_HOLDER_FRAME] = "frame",
	[PA_HOLDER_SHARED] = "shared",
	[PA_HOLDER_FRAMES] = "frames",
	[PA_HOLDER_STACKS] = "stacks",
	[PA_HOLDER_STATIC] = "static",
	[PA_HOLDER_NATIVE] = "native",
	[PA_HOLDER_GARBAGE] = "garbage",
};

/* Texts may move while names are added: offsets go first, as pointers. */
static const char *offset(uint32_t at)
{
	return (const char *)(uintptr_t)at;
}

static void resolve(const struct pa_holders *holders, const char **text)
{
	*text = holders->names + (uintptr_t)*text;
}

static bool has_type(enum pa_holder_kind kind)
{
	return kind == PA_HOLDER_ATTRIBUTE || kind == PA_HOLDER_KEY ||
		kind == PA_HOLDER_ITEMS;
}

void pa_tree_fill_step(const struct pa_tree *tree, struct pa_path_step *step,
		       const struct pa_label *label)
{
	bool typed = has_type(label->kind);

	step->kind = label->kind;
	step->name = offset(label->name);
	step->module = offset(typed ? pa_tree_module(tree, label->type) : 0);
	step->type = offset(typed ? pa_tree_type(tree, label->type) : 0);
}

/* Names for good, once no more are added. */
static void resolve_all(struct pa_tree *tree)
{
	struct pa_holders *out = tree->holders;

	for (uint32_t i = 0; i < out->n_holders; i++) {
		struct pa_path_step step;

		pa_tree_fill_step(tree, &step, &tree->labels[i]);
		out->holder[i].name = step.name;
		out->holder[i].module = step.module;
		out->holder[i].type = step.type;
	}
	out->names = tree->roots->texts.bytes;
	tree->roots->texts.bytes = NULL;
	for (uint32_t i = 0; i < out->n_holders; i++) {
		resolve(out, &out->holder[i].name);
		resolve(out, &out->holder[i].module);
		resolve(out, &out->holder[i].type);
	}
	for (uint32_t i = 0; i < out->n_paths; i++) {
		struct pa_path_step *step =
			out->steps + (out->path[i].step - out->steps);

		for (uint32_t k = 0; k < out->path[i].n_steps; k++) {
			resolve(out, &step[k].name);
			resolve(out, &step[k].module);
			resolve(out, &step[k].type);
		}
	}
}

/* How far it is; the passes over memory are behind us. */
static int tell(const struct pa_references *references, double part)
{
	const struct pa_census_source *source = references->window->source;

	return source->progress && !source->progress(source->context, part) ?
		PA_E_TIMEOUT : 0;
}

static int answer(struct pa_roots *roots, const struct pa_holders_ask *ask,
		  struct pa_holders *holders)
{
	struct pa_tree tree;
	int err = pa_tree_init(&tree, roots, ask, holders);

	if (!err && ask->tree)
		err = pa_tree_make(&tree);
	pa_retained_deinit(&tree.retained);
	pa_dominators_deinit(&roots->dominators);
	if (!err)
		err = tell(roots->references, PART_TREE);
	if (!err && ask->path_to)
		err = pa_paths_find(&tree);
	if (!err)
		resolve_all(&tree);
	pa_tree_deinit(&tree);
	return err;
}

int pa_holders_answer(struct pa_references *references,
		      struct pa_roots *roots,
		      const struct pa_holders_ask *ask,
		      struct pa_holders *holders)
{
	int err = pa_roots_find(roots, ask->tree);

	/* of the graph only paths need more than its size */
	if (!ask->path_to)
		pa_references_forget(references);
	holders->blocks = roots->dominators.count;
	if (!err)
		err = tell(references, PART_ROOTS);
	if (!err)
		err = answer(roots, ask, holders);
	if (err)
		return err == PA_E_TIMEOUT ? err : PA_E_FAILED;
	holders->references = references->n_edges;
	holders->damaged |= references->full || references->nodes.full ||
		roots->no_memory;
	return 0;
}

void pa_holders_free(struct pa_holders *holders)
{
	free(holders->holder);
	free(holders->path);
	free(holders->steps);
	free(holders->names);
	memset(holders, 0, sizeof *holders);
}
