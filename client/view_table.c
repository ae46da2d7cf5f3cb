/* SPDX-License-Identifier: MIT
 *
 * The report as a table for people.  No line is wider than the view: columns
 * that do not fit are left out, paths are cut on the left, sentences wrapped.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/human.h"
#include "client/view.h"
#include "common/error.h"

/* ---- sentences ---- */

/* Bytes of the longest start of text that fits into width columns. */
static size_t fitting(const char *text, size_t width)
{
	size_t length = strlen(text), at = 0;
	char one[8];

	while (at < length) {
		int32_t c;
		size_t step = pa_utf8_decode(text + at, length - at, &c), w;

		memcpy(one, text + at, step);
		one[step] = '\0';
		w = pa_text_width(one);
		if (w > width)
			break;
		width -= w;
		at += step;
	}
	return at;
}

/* Words of text, filled into lines of the view's width. */
static void put_paragraph(const struct pa_view *view, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");
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
			size_t fit = fitting(word, view->width);

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
		put_paragraph(view, text);
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
		put_paragraph(view, text);
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
		put_paragraph(view, text);
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

/* ---- the table ---- */

enum column { COL_BYTES, COL_RANGE, COL_SHARE, COL_OBJECTS, COL_AGE, COLUMNS };

struct cells {
	struct pa_text text[COLUMNS];
	char *what;		/* function, thread, ... */
	char *where;		/* path:line, or NULL */
};

struct table {
	const struct pa_view *view;
	const struct pa_report *report;
	struct cells *rows;
	size_t width[COLUMNS];	/* 0 = left out */
	size_t what, room;	/* of the column `where`: first half, all */
};

static char *name_text(const struct pa_report *r, uint32_t name)
{
	const struct pa_name *n = &r->names.names[name];

	return name ? pa_escape_terminal(n->bytes, n->length) : strdup("?");
}

/* "path:42" */
static char *place_text(const struct pa_report *r, uint32_t file,
			uint32_t line)
{
	char *path = name_text(r, file), *text = NULL;

	if (line && path && asprintf(&text, "%s:%u", path, line) >= 0) {
		free(path);
		return text;
	}
	return path;
}

static char *number_text(const char *format, uint32_t number)
{
	char text[32];

	snprintf(text, sizeof text, "%s%u", format, number);
	return strdup(text);
}

static void fill_names(const struct pa_report *r, const struct pa_row *row,
		       struct cells *cells)
{
	const struct pa_names *names = &r->names;
	const char *special = pa_special_name(row->special);
	const struct pa_call *call;

	if (special) {
		cells->what = strdup(special);
		return;
	}
	switch (r->question.group_by) {
	case PA_BY_LINE:
		cells->what = name_text(r, row->function);
		cells->where = place_text(r, row->file, row->line);
		break;
	case PA_BY_FUNCTION:
		cells->what = name_text(r, row->function);
		cells->where = place_text(r, row->file, row->first_line);
		break;
	case PA_BY_FILE:
		cells->where = place_text(r, row->file, 0);
		break;
	case PA_BY_TRACEBACK:
		call = &names->calls[names->steps[row->step].call];
		cells->what = name_text(r, call->function);
		cells->where = place_text(r, call->file, call->line);
		break;
	case PA_BY_THREAD:
		cells->what = number_text("thread ", row->number);
		break;
	case PA_BY_DOMAIN:
		cells->what = strdup(pa_domain_words[row->number]);
		break;
	}
}

static bool wants_age(const struct pa_question *q)
{
	return q->sort == PA_SORT_AGE || q->min_age_ns || q->max_age_ns;
}

static void fill_cells(const struct pa_report *r, const struct pa_row *row,
		       struct cells *cells)
{
	cells->text[COL_BYTES] = pa_human_bytes(row->bytes.estimate);
	cells->text[COL_RANGE] = pa_human_range(row->bytes.low,
						row->bytes.high);
	cells->text[COL_SHARE] = pa_human_share(row->share);
	cells->text[COL_OBJECTS] = pa_human_count(row->objects.estimate);
	if (wants_age(&r->question))
		cells->text[COL_AGE] = pa_human_time(row->age_ns);
	else
		cells->text[COL_AGE].s[0] = '\0';
	fill_names(r, row, cells);
}

static const char *head_of(const struct pa_report *r, int column)
{
	static const char *const heads[] = {
		[COL_RANGE] = "95 % interval", [COL_SHARE] = "share",
		[COL_OBJECTS] = "objects", [COL_AGE] = "mean age",
	};

	if (column == COL_BYTES)
		return r->question.of == PA_OF_LIVE ? "live" : "allocated";
	return heads[column];
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t fixed_width(const struct table *t)
{
	size_t width = 0;

	for (int c = 0; c < COLUMNS; c++)
		width += t->width[c] ? t->width[c] + 3 : 0;
	return width + 1;
}

static void measure(struct table *t)
{
	static const int less_needed[] = { COL_OBJECTS, COL_SHARE, COL_RANGE };
	const struct pa_report *r = t->report;
	size_t what = 0, where = 0;

	for (int c = 0; c < COLUMNS; c++)
		t->width[c] = pa_text_width(head_of(r, c));
	if (!wants_age(&r->question))
		t->width[COL_AGE] = 0;
	for (uint32_t i = 0; i < r->n_shown; i++) {
		struct cells *cells = &t->rows[i];

		for (int c = 0; c < COLUMNS; c++)
			if (t->width[c])
				t->width[c] = larger(t->width[c],
					pa_text_width(cells->text[c].s));
		if (cells->what && cells->where)
			what = larger(what, pa_text_width(cells->what));
		if (cells->where)
			where = larger(where, pa_text_width(cells->where));
	}
	for (size_t i = 0; i < 3; i++)
		if (fixed_width(t) + 24 > t->view->width)
			t->width[less_needed[i]] = 0;
	t->room = t->view->width > fixed_width(t) + 8 ?
		t->view->width - fixed_width(t) : 8;
	/* Half for the function, more where the path needs less. */
	t->what = t->room / 2;
	if (where + 2 < t->room - t->what)
		t->what = t->room - where - 2;
	if (what < t->what)
		t->what = what;
}

/* Exactly `width` columns, cut on the right. */
static void put_left(FILE *file, const char *text, size_t width, bool pad)
{
	size_t used = pa_text_width(text);

	if (used > width) {
		size_t n = fitting(text, width - 1);
		char *part = strndup(text, n);

		fprintf(file, "%s…", part ? part : "");
		used = part ? pa_text_width(part) + 1 : 1;
		free(part);
	} else {
		fputs(text, file);
	}
	for (; pad && used < width; used++)
		fputc(' ', file);
}

/* At most `width` columns, cut on the left: the end of a path says more. */
static void put_path(FILE *file, const char *text, size_t width)
{
	size_t used = pa_text_width(text), length = strlen(text);

	if (used > width) {
		fputs("…", file);
		while (length && used > width - 1) {
			int32_t c;
			size_t n = pa_utf8_decode(text, length, &c);
			char one[8] = "";

			memcpy(one, text, n);
			used -= pa_text_width(one);
			text += n;
			length -= n;
		}
	}
	fputs(text, file);
}

static void put_names(const struct table *t, const char *what,
		      const char *where)
{
	FILE *file = t->view->file;

	if (what && where && t->what) {
		put_left(file, what, t->what, true);
		fputs("  ", file);
		put_path(file, where, t->room - t->what - 2);
	} else if (where) {
		put_path(file, where, t->room);
	} else if (what) {
		put_left(file, what, t->room, false);
	}
	fputc('\n', file);
}

static void put_right(FILE *file, const char *text, size_t width)
{
	for (size_t used = pa_text_width(text); used < width; used++)
		fputc(' ', file);
	fputs(text, file);
}

static void put_head(const struct table *t)
{
	FILE *file = t->view->file;

	fputs(t->view->color ? "\x1b[1m " : " ", file);
	for (int c = 0; c < COLUMNS; c++) {
		if (!t->width[c])
			continue;
		put_right(file, head_of(t->report, c), t->width[c]);
		fputs("   ", file);
	}
	fputs(t->view->color ? "where\x1b[0m\n" : "where\n", file);
}

/* The callers of a traceback's first frame, below it. */
static void put_callers(const struct table *t, const struct pa_row *row)
{
	const struct pa_names *names = &t->report->names;
	uint32_t step = row->step ? names->steps[row->step].parent : 0;

	for (; step; step = names->steps[step].parent) {
		const struct pa_call *call =
			&names->calls[names->steps[step].call];
		char *what = name_text(t->report, call->function);
		char *where = place_text(t->report, call->file, call->line);

		fprintf(t->view->file, "%*s", (int)fixed_width(t), "");
		put_names(t, what, where);
		free(what);
		free(where);
	}
}

static void put_row(const struct table *t, uint32_t i)
{
	FILE *file = t->view->file;

	fputc(' ', file);
	for (int c = 0; c < COLUMNS; c++) {
		if (!t->width[c])
			continue;
		put_right(file, t->rows[i].text[c].s, t->width[c]);
		fputs("   ", file);
	}
	put_names(t, t->rows[i].what, t->rows[i].where);
	if (t->report->question.group_by == PA_BY_TRACEBACK)
		put_callers(t, &t->report->rows[i]);
}

static int put_table(const struct pa_view *view, const struct pa_report *r)
{
	struct table t = { .view = view, .report = r };

	t.rows = calloc(r->n_shown, sizeof *t.rows);
	if (!t.rows)
		return PA_E_FAILED;
	for (uint32_t i = 0; i < r->n_shown; i++)
		fill_cells(r, &r->rows[i], &t.rows[i]);
	measure(&t);
	fputc('\n', view->file);
	put_head(&t);
	for (uint32_t i = 0; i < r->n_shown; i++)
		put_row(&t, i);
	for (uint32_t i = 0; i < r->n_shown; i++) {
		free(t.rows[i].what);
		free(t.rows[i].where);
	}
	free(t.rows);
	return 0;
}

/* ---- the foot ---- */

static void put_foot(const struct pa_view *view, const struct pa_report *r)
{
	static const char *const things[] = {
		"line", "function", "file", "stack", "thread", "domain",
	};
	uint32_t hidden = r->n_rows - r->n_shown;
	char more[192] = "", uncounted[160] = "";

	if (hidden)
		snprintf(more, sizeof more, "%u more %s%s hold%s %s. ", hidden,
			 things[r->question.group_by], hidden == 1 ? "" : "s",
			 hidden == 1 ? "s" : "",
			 pa_human_bytes(r->rest.bytes).s);
	if (r->n_shown)
		fputc('\n', view->file);
	if (r->uncounted_max == UINT64_MAX) {
		say(view, "%sRequested since attach: about %s in %s calls, by "
		    "estimate.", more,
		    pa_human_bytes(r->estimated_bytes.estimate).s,
		    pa_human_count(r->estimated_calls.estimate).s);
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
		err = put_table(view, report);
	put_foot(view, report);
	put_advice(view, report);
	return err;
}
