/* SPDX-License-Identifier: MIT
 *
 * The report as a table for people.  No line is wider than the view: columns
 * that do not fit are left out, paths are cut on the left, sentences wrapped.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/human.h"
#include "client/view.h"
#include "client/view_rows.h"
#include "common/error.h"

/* ---- sentences ---- */

/* A number and its unit are one word. */
static size_t word_length(const char *text)
{
	size_t n = strcspn(text, " ");

	if (n && isdigit((unsigned char)text[n - 1]) && text[n] &&
	    (isalpha((unsigned char)text[n + 1]) || text[n + 1] == '%'))
		n += 1 + strcspn(text + n + 1, " ");
	return n;
}

void pa_view_paragraph(const struct pa_view *view, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = word_length(text);
		char *word = strndup(text, n);
		size_t width = word ? pa_text_width(word) : 0;

		if (column && column + 1 + width > view->width) {
			fputc('\n', view->file);
			column = 0;
		} else if (column) {
			fputc(' ', view->file);
			column++;
		}
		while (word && width > view->width) {
			size_t fit = pa_view_fitting(word, view->width);

			if (!fit)
				break;
			fprintf(view->file, "%.*s\n", (int)fit, word);
			memmove(word, word + fit, strlen(word + fit) + 1);
			width = pa_text_width(word);
		}
		fputs(word ? word : "", view->file);
		column += width;
		free(word);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', view->file);
}

static void say(const struct pa_view *view, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct pa_view *view, const char *format, ...)
{
	char *text = NULL;
	va_list list;

	va_start(list, format);
	if (vasprintf(&text, format, list) < 0)
		text = NULL;
	va_end(list);
	if (text)
		pa_view_paragraph(view, text);
	free(text);
}

/* ---- the head ---- */

static void put_who(FILE *out, const struct pa_report *r)
{
	char *title = pa_escape_terminal(r->title, strlen(r->title));

	if (r->n_sources > 1)
		fprintf(out, "%u sources merged", r->n_sources);
	else if (title && *title)
		fprintf(out, "%s (pid %u, Python %s)", title, r->pid,
			r->python);
	else
		fprintf(out, "process %u (Python %s)", r->pid, r->python);
	free(title);
}

static void put_rate(FILE *out, const struct pa_report *r)
{
	if (!r->rate)
		fputs("at different rates", out);
	else if (r->rate == 1)
		fputs("every allocation sampled", out);
	else
		fprintf(out, "one sample per %s",
			pa_human_bytes((double)r->rate).s);
	if (r->rate && r->rate_effective && r->rate_effective != r->rate)
		fprintf(out, " asked for, thinned to one per %s to stay "
			"within the memory allowed",
			pa_human_bytes((double)r->rate_effective).s);
}

static void put_first_sentence(const struct pa_view *view,
			       const struct pa_report *r)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return;
	put_who(out, r);
	fprintf(out, ": %s ", pa_human_time(r->uptime_ns).s);
	if (r->source == PA_SOURCE_LIVE)
		fputs("since attach, ", out);
	else
		fprintf(out, "after the attach (%s), ",
			pa_human_date(r->time_ns).s);
	put_rate(out, r);
	if (!fclose(out))
		pa_view_paragraph(view, text);
	free(text);
}

static void put_rss(FILE *out, const struct pa_report *r)
{
	if (r->rss)
		fprintf(out, "RSS %s, was %s at attach. ",
			pa_human_bytes((double)r->rss).s,
			pa_human_bytes((double)r->rss_at_attach).s);
	else
		fprintf(out, "RSS was %s at attach. ",
			pa_human_bytes((double)r->rss_at_attach).s);
}

static bool is_filtered(const struct pa_question *q)
{
	return q->min_age_ns || q->max_age_ns || q->n_include || q->n_exclude;
}

static void put_second_sentence(const struct pa_view *view,
				const struct pa_report *r)
{
	const char *what = r->question.of == PA_OF_LIVE ?
		"Allocated since and still held" : "Allocated since";
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return;
	put_rss(out, r);
	fprintf(out, "%s%s: ", what, is_filtered(&r->question) ?
		", of what was asked for" : "");
	if (r->total_sum.samples)
		fprintf(out, "%s (%s, 95 %%), from %s sample%s.",
			pa_human_bytes(r->total_bytes.estimate).s,
			pa_human_range(r->total_bytes.low,
				       r->total_bytes.high).s,
			pa_human_count((double)r->total_sum.samples).s,
			r->total_sum.samples == 1 ? "" : "s");
	else
		fprintf(out, "no sample, so less than %s (95 %%).",
			pa_human_bytes(r->total_bytes.high).s);
	if (!fclose(out))
		pa_view_paragraph(view, text);
	free(text);
}

static void put_warnings(const struct pa_view *view,
			 const struct pa_report *r)
{
	if (r->stacks_off)
		say(view, "Stacks are off: the check at attach found that "
		    "they would be wrong in this build of Python.");
	if (r->damaged || r->torn)
		say(view, "%llu live samples were being written and %llu are "
		    "damaged: they are left out.",
		    (unsigned long long)r->torn,
		    (unsigned long long)r->damaged);
	if (r->repaired || r->lost)
		say(view, "The table is damaged: %llu of its links were cut, "
		    "%llu of its bytes are not there.",
		    (unsigned long long)r->repaired,
		    (unsigned long long)r->lost);
}

/* ---- the foot ---- */

/* The exact totals of a core, and when they were right: the payload brings
 * them into memory every few seconds. */
static void counted_text(const struct pa_report *r, char *text, size_t size)
{
	bool before = r->requested_age_ns > 0;

	if (r->requested_age_ns == UINT64_MAX)
		return;
	snprintf(text, size, "; exactly %s in %s calls %s%s the last sample",
		 pa_human_bytes((double)r->requested_bytes).s,
		 pa_human_count((double)r->requested_calls).s,
		 before ? pa_human_time(r->requested_age_ns).s : "",
		 before ? " before" : "after");
}

static void put_foot(const struct pa_view *view, const struct pa_report *r)
{
	static const char *const things[] = {
		"line", "function", "file", "stack", "thread", "domain",
	};
	uint32_t hidden = r->n_rows - r->n_shown;
	char more[192] = "", uncounted[256] = "";

	if (hidden)
		snprintf(more, sizeof more, "%u more %s%s hold%s %s. ", hidden,
			 things[r->question.group_by], hidden == 1 ? "" : "s",
			 hidden == 1 ? "s" : "",
			 pa_human_bytes(r->rest.bytes).s);
	if (r->n_shown)
		fputc('\n', view->file);
	if (r->uncounted_max == UINT64_MAX) {
		counted_text(r, uncounted, sizeof uncounted);
		say(view, "%sRequested since attach: about %s in %s calls, by "
		    "estimate%s.", more,
		    pa_human_bytes(r->estimated_bytes.estimate).s,
		    pa_human_count(r->estimated_calls.estimate).s, uncounted);
		return;
	}
	if (r->uncounted_max > r->requested_bytes / 100)
		snprintf(uncounted, sizeof uncounted, ", and at most %s that "
			 "running threads have not yet added",
			 pa_human_bytes((double)r->uncounted_max).s);
	say(view, "%sRequested since attach: exactly %s in %s calls "
	    "(estimate %s)%s.", more,
	    pa_human_bytes((double)r->requested_bytes).s,
	    pa_human_count((double)r->requested_calls).s,
	    pa_human_bytes(r->estimated_bytes.estimate).s, uncounted);
}

/* Less than a tenth of RSS is explained: what now? */
static void put_advice(const struct pa_view *view, const struct pa_report *r)
{
	if (!r->rss || r->all_live_bytes >= (double)r->rss / 10)
		return;
	say(view, "Less than a tenth of RSS is explained: the other %s was "
	    "there before the attach, or is native memory (C libraries, "
	    "code, stacks). Only what was allocated after the attach is in "
	    "the table.%s", pa_human_bytes(r->unexplained).s,
	    r->source != PA_SOURCE_LIVE || r->state != PA_STATE_ATTACHED ?
	    "" : " Where the process keeps growing, leave it attached and "
	    "report again later.");
	if (r->source == PA_SOURCE_LIVE && r->n_sources == 1)
		say(view, "What was there before: pyattach-sample census %u",
		    r->pid);
}

int pa_view_table(const struct pa_view *view, const struct pa_report *report)
{
	int err = 0;

	put_first_sentence(view, report);
	put_second_sentence(view, report);
	put_warnings(view, report);
	if (report->n_shown)
		err = pa_view_rows(view, report);
	put_foot(view, report);
	put_advice(view, report);
	return err;
}
