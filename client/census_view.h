/* SPDX-License-Identifier: MIT
 *
 * A census made ready to be shown, and its three formats.
 */
#ifndef PA_CLIENT_CENSUS_VIEW_H
#define PA_CLIENT_CENSUS_VIEW_H

#include "census/census.h"
#include "census/holders.h"
#include "client/census_input.h"
#include "client/options.h"
#include "client/view.h"

struct pa_census_answer {
	const struct pa_census *census;
	const struct pa_census_input *input;
	const char *title;	/* of the script or the file; hostile */
	uint64_t took_ns;
	const struct pa_census_row **rows;	/* filtered, sorted */
	size_t n_rows, n_shown;
	uint64_t objects, bytes;	/* of all of them, with buffers */
	uint64_t rest;		/* bytes of the rows not shown */
	uint64_t limit;		/* rows that were asked for, 0 = all */
	/* who holds it, or NULL */
	const struct pa_holders *holders;
	bool tree;		/* --holders */
	const char *path_to;	/* --path-to, or NULL */
};

/* Filter and sort.  0 or PA_E_FAILED; free answer->rows. */
int pa_census_prepare(struct pa_census_answer *answer,
		      const struct pa_args *args);

/* What it means, in sentences, one a line: leak or fragmentation, what is
 * not to be known.  malloc'd; NULL without memory. */
char *pa_census_sentences(const struct pa_census_answer *answer);

/* Do --include and --exclude let a row through? */
bool pa_census_is_wanted(const struct pa_census_row *row,
			 const struct pa_question *question);

/* ---- what all tables of censuses share ---- */

/* The kinds of memory, for people. */
extern const char *const pa_census_memory_names[PA_MEMORY_KINDS];

/* "shop.py (pid 4711, Python 3.13.0)", escaped; malloc'd or NULL. */
char *pa_census_name(const char *title, int pid, const char *python);
/* Each line of a text as a paragraph (view.h); the text is cut up. */
void pa_census_put_sentences(const struct pa_view *view, char *text);
void pa_census_put_right(FILE *file, const char *text, size_t width);
/* The name of a type behind `used` columns of numbers, and a newline. */
void pa_census_put_name(const struct pa_view *view,
			const struct pa_census_row *row, size_t used,
			const char *behind);
/* The lines of a text, which is cut up, as an array. */
json_t *pa_census_lines(char *text);

/* ---- formats ---- */

/* The object of census/1; NULL without memory. */
json_t *pa_census_json(const struct pa_census_answer *answer);

int pa_census_view_table(const struct pa_view *view,
			 const struct pa_census_answer *answer);
int pa_census_view_json(const struct pa_view *view,
			const struct pa_census_answer *answer);
int pa_census_view_csv(const struct pa_view *view,
		       const struct pa_census_answer *answer);

/* Of the tree of holders: for answers with one. */
int pa_census_view_collapsed(const struct pa_view *view,
			     const struct pa_census_answer *answer);
int pa_census_view_flamegraph(const struct pa_view *view,
			      const struct pa_census_answer *answer);

#endif /* PA_CLIENT_CENSUS_VIEW_H */
