/* SPDX-License-Identifier: MIT
 *
 * A census kept as JSON, read again; and two of them compared.
 *
 * A file is hostile: its size, its depth, each type and number is checked.
 * No output.
 */
#ifndef PA_CLIENT_CENSUS_FILE_H
#define PA_CLIENT_CENSUS_FILE_H

#include "census/census.h"
#include "client/json_out.h"
#include "client/options.h"
#include "client/view.h"

struct pa_kept {
	struct pa_census census;	/* rows by module and name, memory, rss */
	json_t *json;			/* owns the names */
	const char *title, *python;	/* "" = not known; hostile */
	uint64_t pid, start_time, time_ns;	/* 0 = not known */
	uint64_t left_out;		/* rows that were not kept */
	bool live;
};

/* Is this the start of a JSON object? */
bool pa_kept_is_json(const char *bytes, size_t n);

/* From a regular file.  PA_E_READ, PA_E_NO_IMAGE, PA_E_DAMAGED,
 * PA_E_FUTURE_IMAGE; free in any case. */
int pa_kept_open(struct pa_kept *kept, const char *path, struct pa_diag *diag);
/* From an object of census/1; takes it over.  `name` is for messages. */
int pa_kept_decode(struct pa_kept *kept, json_t *json, const char *name,
		   struct pa_diag *diag);
void pa_kept_free(struct pa_kept *kept);

struct pa_census_change {
	const struct pa_census_row *old, *new;	/* one may be NULL */
	int64_t bytes, own, objects;		/* new - old; bytes: with buffers */
};

struct pa_census_diff {
	const struct pa_kept *old, *new;
	bool matched;		/* certainly one and the same process */
	struct pa_census_change *changes;	/* filtered, sorted */
	size_t n_changes, n_shown;
	int64_t rest_grown, rest_shrunk;	/* bytes of those not shown */
};

/* 0 or PA_E_FAILED; free(diff->changes). */
int pa_census_compare(struct pa_census_diff *diff, const struct pa_kept *old,
		      const struct pa_kept *new, const struct pa_args *args);

int pa_census_diff_table(const struct pa_view *view,
			 const struct pa_census_diff *diff);
int pa_census_diff_json(const struct pa_view *view,
			const struct pa_census_diff *diff);

#endif /* PA_CLIENT_CENSUS_FILE_H */
