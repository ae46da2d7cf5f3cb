/* SPDX-License-Identifier: MIT
 *
 * The report's rows and totals; see model.h.  It must not print, and must
 * not know in which order a view wants to show things.
 */
#include "client/model_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pa_group_by_words[] = {
	"line", "function", "file", "traceback", "thread", "domain", NULL,
};
const char *const pa_of_words[] = { "live", "allocated", NULL };
const char *const pa_sort_words[] = {
	"bytes", "objects", "samples", "age", NULL,
};
const char *const pa_source_words[] = { NULL, "live", "image", "core" };
const char *const pa_domain_words[] = { "raw", "mem", "obj" };

const char *pa_special_name(uint32_t site)
{
	switch (site) {
	case PA_SITE_EVICTED:
		return "<evicted>";
	case PA_SITE_FULL:
		return "<stacks full>";
	case PA_SITE_NO_PYTHON:
		return "<no Python frame>";
	}
	return NULL;
}

void pa_python_text(uint32_t hex, char *text, size_t size)
{
	static const char *const levels[] = {
		[0xa] = "a", [0xb] = "b", [0xc] = "rc", [0xf] = "",
	};
	unsigned level = hex >> 4 & 0xf;
	const char *word = level <= 0xf && levels[level] ? levels[level] : "?";
	int n = snprintf(text, size, "%u.%u.%u", hex >> 24, hex >> 16 & 0xff,
			 hex >> 8 & 0xff);

	if (level != 0xf && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, "%s%u", word, hex & 0xf);
}

int pa_report_init(struct pa_report *report,
		   const struct pa_question *question)
{
	memset(report, 0, sizeof *report);
	report->question = *question;
	return pa_names_init(&report->names);
}

void pa_report_free(struct pa_report *report)
{
	pa_names_free(&report->names);
	pa_map_free(&report->by_key);
	free(report->rows);
	memset(report, 0, sizeof *report);
}

/* ---- one image ---- */

/* When the image was taken; a memory has only the last sample's time. */
uint64_t pa_image_now(const struct pa_directory *d)
{
	return d->snapshot_monotonic_ns ? d->snapshot_monotonic_ns :
		d->heartbeat_monotonic_ns;
}

/* The oldest of several; what is not known of one is not known of all. */
static void add_requested(struct pa_report *report,
			  const struct pa_directory *d)
{
	uint64_t now = pa_image_now(d), then = d->requested_monotonic_ns;
	uint64_t age = !then ? UINT64_MAX : now > then ? now - then : 0;

	report->requested_bytes += d->requested_bytes;
	report->requested_calls += d->requested_calls;
	if (age > report->requested_age_ns)
		report->requested_age_ns = age;
	if (d->uncounted_max > UINT64_MAX - report->uncounted_max)
		report->uncounted_max = UINT64_MAX;
	else
		report->uncounted_max += d->uncounted_max;
}

static void add_metadata(struct pa_report *report,
			 const struct pa_directory *d,
			 enum pa_source_kind source)
{
	bool first = !report->n_sources++;
	char python[sizeof report->python];
	uint64_t now = pa_image_now(d);
	uint64_t uptime = now > d->attached_monotonic_ns ?
		now - d->attached_monotonic_ns : 0;

	pa_python_text(d->python_version, python, sizeof python);
	report->source = first || report->source == source ?
		source : PA_SOURCE_MIXED;
	report->pid = first || report->pid == d->pid ? d->pid : 0;
	if (first)
		memcpy(report->python, python, sizeof python);
	else if (strcmp(report->python, python))
		report->python[0] = '\0';
	report->state = d->state;
	now = d->snapshot_realtime_ns ? d->snapshot_realtime_ns :
		d->heartbeat_realtime_ns;
	if (now > report->time_ns)
		report->time_ns = now;
	if (first || d->attached_realtime_ns < report->attached_ns)
		report->attached_ns = d->attached_realtime_ns;
	if (uptime > report->uptime_ns)
		report->uptime_ns = uptime;
	report->rate = first || report->rate == d->rate ? d->rate : 0;
	report->rate_effective = first ||
		report->rate_effective == d->rate_effective ?
		d->rate_effective : 0;
	if (d->rate_effective > report->rate_max)
		report->rate_max = d->rate_effective;
	report->rss += d->rss;
	report->rss_at_attach += d->rss_at_attach;
	report->evicted += d->sites_evicted;
	report->stacks_full += d->stacks_full;
	report->dropped += d->dropped;
	report->stacks_off |= d->flags & PA_FLAG_STACKS_OFF;
}

static void add_estimated(struct pa_report *report,
			  const struct pa_directory *d)
{
	struct pa_sum sum = {
		.samples = d->samples_taken,
		.bytes = d->estimated_bytes,
		.bytes_variance = d->estimated_bytes_variance,
		.bytes_weight_max = d->estimated_bytes_weight_max,
		.objects = d->estimated_objects,
		.objects_variance = d->estimated_objects_variance,
		.objects_weight_max = d->estimated_objects_weight_max,
	};
	struct pa_tally tally = pa_tally_of(&sum);

	pa_tally_add(&report->estimated, &tally);
}

int pa_report_add(struct pa_report *report, const struct pa_image *image,
		  enum pa_source_kind source)
{
	struct pa_sites sites;
	int err = pa_sites_init(&sites, report, image);

	if (!err) {
		add_metadata(report, &image->directory, source);
		add_requested(report, &image->directory);
		add_estimated(report, &image->directory);
		report->torn += image->torn;
		report->damaged += image->damaged;
		report->repaired += image->repaired;
		report->lost += image->lost;
		err = pa_rows_add_live(report, image, &sites);
	}
	if (!err && report->question.of == PA_OF_ALLOCATED)
		err = pa_rows_add_allocated(report, image, &sites);
	pa_sites_free(&sites);
	return err;
}

/* ---- the end ---- */

static int compare_doubles(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

/* Largest first; what is equal keeps one order whatever the hash did. */
static int compare_rows(const void *left, const void *right, void *context)
{
	const struct pa_report *report = context;
	const struct pa_row *a = left, *b = right;
	const struct pa_name *names = report->names.names;
	int c = 0;

	switch (report->question.sort) {
	case PA_SORT_BYTES:
		break;
	case PA_SORT_OBJECTS:
		c = compare_doubles(a->sum.objects, b->sum.objects);
		break;
	case PA_SORT_SAMPLES:
		c = compare_doubles((double)a->sum.samples,
				    (double)b->sum.samples);
		break;
	case PA_SORT_AGE:
		c = compare_doubles((double)a->age_ns, (double)b->age_ns);
		break;
	}
	if (!c)
		c = compare_doubles(a->sum.bytes, b->sum.bytes);
	if (!c)
		c = strcmp(names[a->file].bytes, names[b->file].bytes);
	if (!c)
		c = (a->line > b->line) - (a->line < b->line);
	if (!c)
		c = strcmp(names[a->function].bytes, names[b->function].bytes);
	if (!c)
		c = (a->number > b->number) - (a->number < b->number);
	if (!c)
		c = (a->step > b->step) - (a->step < b->step);
	return c;
}

static void finish_row(const struct pa_report *report, struct pa_row *row)
{
	row->sum = pa_tally_sum(&row->tally);
	row->share = report->total_sum.bytes > 0 ?
		row->sum.bytes / report->total_sum.bytes : 0;
	row->age_ns = pa_tally_age_ns(&row->tally);
}

static void show_row(const struct pa_report *report, struct pa_row *row)
{
	row->bytes = pa_estimate_bytes(&row->sum, report->rate_max);
	row->objects = pa_estimate_objects(&row->sum, report->rate_max);
}

/* Sorted rows: which are shown, and what the others add up to. */
static void cut_rows(struct pa_report *report)
{
	const struct pa_question *q = &report->question;
	struct pa_tally rest = { 0 };
	uint32_t shown = 0;

	for (uint32_t i = 0; i < report->n_rows; i++) {
		struct pa_row row = report->rows[i];

		if (row.sum.bytes >= (double)q->min_size &&
		    (!q->limit || shown < q->limit)) {
			show_row(report, &row);
			report->rows[i] = report->rows[shown];
			report->rows[shown++] = row;
		} else {
			pa_tally_add(&rest, &row.tally);
		}
	}
	report->n_shown = shown;
	report->rest = pa_tally_sum(&rest);
}

void pa_report_finish(struct pa_report *report)
{
	struct pa_tally total = { 0 };
	double unexplained;

	for (uint32_t i = 0; i < report->n_rows; i++)
		pa_tally_add(&total, &report->rows[i].tally);
	report->total_sum = pa_tally_sum(&total);
	report->estimated_sum = pa_tally_sum(&report->estimated);
	report->all_live_bytes = pa_fixed_bytes(report->all_live);
	report->total_bytes = pa_estimate_bytes(&report->total_sum,
						report->rate_max);
	report->total_objects = pa_estimate_objects(&report->total_sum,
						    report->rate_max);
	report->estimated_bytes = pa_estimate_bytes(&report->estimated_sum,
						    report->rate_max);
	report->estimated_calls = pa_estimate_objects(&report->estimated_sum,
						      report->rate_max);
	unexplained = (double)report->rss - report->all_live_bytes;
	report->unexplained = unexplained > 0 ? unexplained : 0;
	for (uint32_t i = 0; i < report->n_rows; i++)
		finish_row(report, &report->rows[i]);
	if (report->n_rows)
		qsort_r(report->rows, report->n_rows, sizeof *report->rows,
			compare_rows, report);
	cut_rows(report);
}
