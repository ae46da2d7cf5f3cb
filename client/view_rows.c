/* SPDX-License-Identifier: MIT
 *
 * The rows of the table for people: columns of figures, then who holds it and
 * where.  Nothing is wider than the view; names are escaped before they are
 * measured.
 */
#include "client/view_rows.h"

#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/human.h"
#include "common/error.h"

size_t pa_view_fitting(const char *text, size_t width)
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

/* The widest function and path of a row, and of its callers. */
static void widen(const char *what, const char *where, size_t width[2])
{
	if (what && where)
		width[0] = larger(width[0], pa_text_width(what));
	if (where)
		width[1] = larger(width[1], pa_text_width(where));
}

static void widen_by_callers(const struct pa_report *r,
			     const struct pa_row *row, size_t width[2])
{
	const struct pa_names *names = &r->names;
	uint32_t step = row->step ? names->steps[row->step].parent : 0;

	for (; step; step = names->steps[step].parent) {
		const struct pa_call *call =
			&names->calls[names->steps[step].call];
		char *what = name_text(r, call->function);
		char *where = place_text(r, call->file, call->line);

		widen(what, where, width);
		free(what);
		free(where);
	}
}

/* What the columns of figures leave: the function has what it needs, up to
 * FUNCTION columns, as long as a third is left for the path, whose end says
 * most; more where the path needs less. */
#define FUNCTION 40u

static void share_room(struct table *t, const size_t width[2])
{
	size_t path;

	t->room = t->view->width > fixed_width(t) + 8 ?
		t->view->width - fixed_width(t) : 8;
	path = larger(t->room / 3, 8);
	path = width[1] < path ? width[1] : path;
	t->what = t->room > path + 2 ? t->room - path - 2 : t->room / 2;
	if (t->what > FUNCTION && t->room - 2 < width[1] + FUNCTION)
		t->what = FUNCTION;
	else if (t->what > FUNCTION)
		t->what = t->room - 2 - width[1];
	if (width[0] < t->what)
		t->what = width[0];
}

static void measure(struct table *t)
{
	static const int less_needed[] = { COL_OBJECTS, COL_SHARE, COL_RANGE };
	const struct pa_report *r = t->report;
	size_t width[2] = { 0, 0 };

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
		widen(cells->what, cells->where, width);
		if (r->question.group_by == PA_BY_TRACEBACK)
			widen_by_callers(r, &r->rows[i], width);
	}
	for (size_t i = 0; i < 3; i++)
		if (fixed_width(t) + 24 > t->view->width)
			t->width[less_needed[i]] = 0;
	share_room(t, width);
}

/* Exactly `width` columns, cut on the right. */
static void put_left(FILE *file, const char *text, size_t width, bool pad)
{
	size_t used = pa_text_width(text);

	if (used > width) {
		size_t n = pa_view_fitting(text, width - 1);
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

int pa_view_rows(const struct pa_view *view, const struct pa_report *r)
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
