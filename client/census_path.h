/* SPDX-License-Identifier: MIT
 *
 * Holders and paths to objects as words: `app.cache.CACHE → dict → list`.
 * Names are as the target gave them; whoever shows the words escapes them.
 */
#ifndef PA_CLIENT_CENSUS_PATH_H
#define PA_CLIENT_CENSUS_PATH_H

#include "census/holders.h"
#include "client/census_view.h"

/* Each is malloc'd, or NULL without memory. */

/* One step alone, without what is above it: ".lines", "['key']", "Order". */
char *pa_holder_word(const struct pa_holder *holder);
/* The same with its type: ".lines: list"; below a collection, of a module:
 * "app.cache.LINES: list". */
char *pa_holder_label(const struct pa_holders *holders, uint32_t index);
/* From the first step to the last. */
char *pa_path_text(const struct pa_path *path);

/* The names down to a holder, as an array. */
json_t *pa_holder_path(const struct pa_holders *holders, uint32_t index);
/* All holders that are to be shown, and all paths. */
json_t *pa_holders_json(const struct pa_holders *holders, uint64_t limit);
json_t *pa_paths_json(const struct pa_holders *holders);

/* The two parts of a table. */
int pa_holders_table(const struct pa_view *view,
		     const struct pa_census_answer *answer);
int pa_paths_table(const struct pa_view *view,
		   const struct pa_census_answer *answer);

/* ---- the tree, from above ---- */

struct pa_holder_tree {
	const struct pa_holders *holders;
	uint32_t *child, *next;		/* by index; PA_NO_HOLDER = none */
	bool *shown;
	uint32_t n_shown;
};

/* With the `limit` that retain most; 0 = all.  0 or PA_E_FAILED. */
int pa_holder_tree_init(struct pa_holder_tree *tree,
			const struct pa_holders *holders, uint64_t limit);
void pa_holder_tree_free(struct pa_holder_tree *tree);
/* The one behind `index` in the order parent, first child, ...; skips those
 * that are not shown.  PA_NO_HOLDER at the end; begin with holder 0. */
uint32_t pa_holder_tree_next(const struct pa_holder_tree *tree,
			     uint32_t index);
/* What no shown child of it retains. */
uint64_t pa_holder_tree_self(const struct pa_holder_tree *tree,
			     uint32_t index);

#endif /* PA_CLIENT_CENSUS_PATH_H */
