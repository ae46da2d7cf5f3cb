/* SPDX-License-Identifier: MIT
 *
 * The report: rows and totals made of one or several images, ready for any
 * view.  Grouping, filters, order and intervals happen here and nowhere else.
 * No output; no I/O.
 */
#ifndef PA_CLIENT_MODEL_H
#define PA_CLIENT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/estimate.h"
#include "client/image_read.h"
#include "client/names.h"
#include "client/tally.h"

enum pa_group_by {
	PA_BY_LINE, PA_BY_FUNCTION, PA_BY_FILE, PA_BY_TRACEBACK, PA_BY_THREAD,
	PA_BY_DOMAIN,
};
enum pa_of { PA_OF_LIVE, PA_OF_ALLOCATED };
enum pa_sort { PA_SORT_BYTES, PA_SORT_OBJECTS, PA_SORT_SAMPLES, PA_SORT_AGE };
enum pa_source_kind {
	PA_SOURCE_MIXED, PA_SOURCE_LIVE, PA_SOURCE_IMAGE, PA_SOURCE_CORE,
};

/* Their words on the command line and in JSON, in the order of the enums. */
extern const char *const pa_group_by_words[];	/* ended by NULL */
extern const char *const pa_of_words[];
extern const char *const pa_sort_words[];
extern const char *const pa_source_words[];
extern const char *const pa_domain_words[];

/* What the user asked for. */
struct pa_question {
	enum pa_group_by group_by;
	enum pa_of of;
	enum pa_sort sort;
	uint64_t limit;			/* rows, 0 = all */
	uint64_t min_age_ns, max_age_ns;	/* 0 = no bound */
	uint64_t min_size;		/* rows estimated smaller are hidden */
	/* Shell patterns for the innermost frame's file or function. */
	const char *const *include, *const *exclude;
	size_t n_include, n_exclude;
};

struct pa_row {
	/* What the row stands for; which fields hold depends on group_by.
	 * `special` is a pa_site_index below PA_SITE_FIRST, or 0. */
	uint32_t special;
	uint32_t file, function, line, first_line;
	uint32_t step;			/* of the stack, PA_BY_TRACEBACK */
	uint32_t number;		/* tid or domain */

	struct pa_tally tally;		/* while images are added */
	struct pa_sum sum;		/* in the end */
	uint64_t oldest_ns;		/* age of the oldest sample */
	struct pa_estimate bytes, objects;	/* of a row that is shown */
	double share;			/* of the totals' bytes, 0 .. 1 */
	uint64_t age_ns;		/* mean, weighted by bytes */
};

struct pa_report {
	struct pa_question question;
	struct pa_names names;

	enum pa_source_kind source;
	unsigned n_sources;
	uint32_t pid;			/* 0 where several were merged */
	char python[32];
	char title[256];		/* of the script; hostile; "" unknown */
	uint32_t state;			/* pa_image_state of the last source */
	uint64_t time_ns, attached_ns;	/* CLOCK_REALTIME */
	uint64_t uptime_ns;		/* from attach to the snapshot */
	uint64_t rate, rate_effective, rate_max;
	/* uncounted_max UINT64_MAX: at least so much was requested */
	uint64_t requested_bytes, requested_calls, uncounted_max;
	/* How much older than the image these are; UINT64_MAX: not known. */
	uint64_t requested_age_ns;
	struct pa_tally estimated;
	struct pa_sum estimated_sum;
	struct pa_estimate estimated_bytes, estimated_calls;
	uint64_t rss, rss_at_attach;
	double unexplained;		/* rss - everything live, at least 0 */
	uint64_t torn, damaged, evicted, stacks_full, dropped;
	uint64_t repaired, lost;	/* as in struct pa_image */
	bool stacks_off;

	pa_fixed all_live;		/* bytes before any filter */
	double all_live_bytes;
	struct pa_sum total_sum;	/* of what passed the filters */
	struct pa_estimate total_bytes, total_objects;

	struct pa_row *rows;		/* sorted; the first n_shown pass */
	uint32_t n_rows, n_shown;
	struct pa_sum rest;		/* of the rows not shown */
	uint32_t room_rows;
	struct pa_map by_key;
};

int pa_report_init(struct pa_report *report,
		   const struct pa_question *question);
void pa_report_free(struct pa_report *report);

/* Add an image; it may be freed afterwards.  0 or PA_E_FAILED. */
int pa_report_add(struct pa_report *report, const struct pa_image *image,
		  enum pa_source_kind source);

/* After the last image: intervals, shares, order, limit. */
void pa_report_finish(struct pa_report *report);

/* The name of a fixed site ("<evicted>"), NULL for index 0 and others. */
const char *pa_special_name(uint32_t site);

/* PY_VERSION_HEX as "3.13.0", "3.14.0rc1". */
void pa_python_text(uint32_t hex, char *text, size_t size);

#endif /* PA_CLIENT_MODEL_H */
