/* SPDX-License-Identifier: MIT
 *
 * Makes the tree of holders out of dominators, and paths out of a search; the
 * two share names.  Inside of the census only.
 */
#ifndef PA_CENSUS_TREE_H
#define PA_CENSUS_TREE_H

#include "census/attributes.h"
#include "census/groups.h"
#include "census/retained.h"

/* The name of a value that several modules have: "app.cache.CACHE". */
struct pa_shared {
	uint32_t node, name;
	bool script;		/* of __main__ */
};

struct pa_tree {
	struct pa_roots *roots;
	struct pa_retained retained;
	struct pa_attributes attributes;
	struct pa_shared *shared;	/* by node */
	size_t n_shared, room_shared;
	const struct pa_holders_ask *ask;
	struct pa_holders *holders;
	struct pa_label *labels;	/* of each holder */
	uint32_t room;
	uint64_t least;			/* bytes */
	struct pa_bag parts;		/* scratch */
	bool no_memory;
};

/* Each: 0, or -1 without memory. */
int pa_tree_init(struct pa_tree *tree, struct pa_roots *roots,
		 const struct pa_holders_ask *ask, struct pa_holders *holders);
void pa_tree_deinit(struct pa_tree *tree);

/* top.c: everything below holder 0. */
int pa_tree_make(struct pa_tree *tree);

/* tree.c: a group and what is below it; deinits it. */
uint32_t pa_tree_emit(struct pa_tree *tree, struct pa_group *group,
		      uint32_t parent);
/* The label of a node below another one by its name, 0 = none. */
struct pa_label pa_tree_label(const struct pa_tree *tree, uint32_t node,
			      enum pa_holder_kind kind, uint32_t name);
/* A child group of a collection that is not expanded. */
uint32_t pa_tree_add(struct pa_tree *tree, const struct pa_label *label,
		     uint32_t parent);

/* top.c: names that modules have for what hangs on several. */
uint32_t pa_tree_shared_name(const struct pa_tree *tree, uint32_t node);

/* The words of a label, as offsets in texts for now: holders.c resolves
 * them. */
void pa_tree_fill_step(const struct pa_tree *tree, struct pa_path_step *step,
		       const struct pa_label *label);

/* paths.c */
int pa_paths_find(struct pa_tree *tree);

/* A type's names as texts. */
uint32_t pa_tree_module(const struct pa_tree *tree, uint32_t type);
uint32_t pa_tree_type(const struct pa_tree *tree, uint32_t type);
/* "module.Name" of a type's node, a text; 0 = it is none. */
uint32_t pa_tree_class_name(const struct pa_tree *tree, uint32_t node);

#endif /* PA_CENSUS_TREE_H */
