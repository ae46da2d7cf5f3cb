/* SPDX-License-Identifier: MIT
 *
 * A census made ready to be shown, and its three formats.
 */
#ifndef PA_CLIENT_CENSUS_VIEW_H
#define PA_CLIENT_CENSUS_VIEW_H

#include "census/census.h"
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
};

/* Filter and sort.  0 or PA_E_FAILED; free answer->rows. */
int pa_census_prepare(struct pa_census_answer *answer,
		      const struct pa_args *args);

/* What it means, in sentences, one a line: leak or fragmentation, what is
 * not to be known.  malloc'd; NULL without memory. */
char *pa_census_sentences(const struct pa_census_answer *answer);

int pa_census_view_table(const struct pa_view *view,
			 const struct pa_census_answer *answer);
int pa_census_view_json(const struct pa_view *view,
			const struct pa_census_answer *answer);
int pa_census_view_csv(const struct pa_view *view,
		       const struct pa_census_answer *answer);

#endif /* PA_CLIENT_CENSUS_VIEW_H */
