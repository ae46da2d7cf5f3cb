/* SPDX-License-Identifier: MIT
 *
 * The difference of two censuses, as a table and as diff/1; see
 * census_file.h.  No line of the table is wider than the view.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/census_file.h"
#include "client/census_view.h"
#include "client/human.h"
#include "common/error.h"

#define NUMBERS 4
#define NUMBER_WIDTH 12

static struct pa_text with_sign(int64_t n, struct pa_text (*human)(double))
{
	struct pa_text size = human(n < 0 ? -(double)n : (double)n), text;

	snprintf(text.s, sizeof text.s, "%s%.60s", n < 0 ? "-" : "+", size.s);
	return text;
}

/* The first two lines of the table. */
static void put_head(const struct pa_view *view,
		     const struct pa_census_diff *diff)
{
	const struct pa_kept *old = diff->old, *new = diff->new;
	int64_t grown = (int64_t)(new->census.rss - old->census.rss);
	char *name = pa_census_name(new->title, (int)new->pid, new->python);
	char text[900];
	int n;

	n = snprintf(text, sizeof text, "%.400s: %s was %s, is %s: %s",
		     name ? name : "", new->live ? "RSS" : "memory in the core",
		     pa_human_bytes((double)old->census.rss).s,
		     pa_human_bytes((double)new->census.rss).s,
		     with_sign(grown, pa_human_bytes).s);
	free(name);
	if (old->time_ns && new->time_ns > old->time_ns)
		snprintf(text + n, sizeof text - (size_t)n, " in %s.",
			 pa_human_time(new->time_ns - old->time_ns).s);
	else
		snprintf(text + n, sizeof text - (size_t)n, ".");
	pa_view_paragraph(view, text);
}

static bool is_new(const struct pa_census_diff *diff,
		   const struct pa_census_change *change)
{
	return !change->old && !diff->old->left_out;
}

static void put_changes(const struct pa_view *view,
			const struct pa_census_diff *diff)
{
	static const char *const heads[NUMBERS] = {
		"bytes", "objects", "bytes now", "objects now",
	};
	FILE *file = view->file;

	if (!diff->n_shown)
		return;
	fputs(view->color ? "\n\x1b[1m" : "\n", file);
	for (int i = 0; i < NUMBERS; i++)
		pa_census_put_right(file, heads[i], NUMBER_WIDTH);
	fputs(view->color ? "   type\x1b[0m\n" : "   type\n", file);
	for (size_t i = 0; i < diff->n_shown; i++) {
		const struct pa_census_change *c = &diff->changes[i];
		const struct pa_census_row *row = c->new ? c->new : c->old;
		double now = c->new ? (double)(row->bytes + row->buffers) : 0;

		pa_census_put_right(file, with_sign(c->bytes,
			pa_human_bytes).s, NUMBER_WIDTH);
		pa_census_put_right(file, with_sign(c->objects,
			pa_human_count).s, NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_bytes(now).s, NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_count(c->new ?
			(double)row->objects : 0).s, NUMBER_WIDTH);
		pa_census_put_name(view, row, NUMBERS * NUMBER_WIDTH,
				   is_new(diff, c) ? " (new)" : "");
	}
	if (diff->n_shown < diff->n_changes)
		fprintf(file, "%zu more row%s%s%s%s%s.\n",
			diff->n_changes - diff->n_shown,
			diff->n_changes - diff->n_shown == 1 ? "" : "s",
			diff->rest_grown || diff->rest_shrunk ? ": " : "",
			diff->rest_grown ? with_sign(diff->rest_grown,
						     pa_human_bytes).s : "",
			diff->rest_grown && diff->rest_shrunk ? " and " : "",
			diff->rest_shrunk ? with_sign(diff->rest_shrunk,
						      pa_human_bytes).s : "");
}

static void put_memory(const struct pa_view *view,
		       const struct pa_census_diff *diff)
{
	FILE *file = view->file;

	if (!memcmp(diff->old->census.memory, diff->new->census.memory,
		    sizeof diff->old->census.memory))
		return;
	fprintf(file, "\n%sWhere it went:%s\n", view->color ? "\x1b[1m" : "",
		view->color ? "\x1b[0m" : "");
	for (int i = 0; i < PA_MEMORY_KINDS; i++) {
		uint64_t old = diff->old->census.memory[i];
		uint64_t new = diff->new->census.memory[i];

		if (old == new)
			continue;
		pa_census_put_right(file, with_sign((int64_t)(new - old),
			pa_human_bytes).s, NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_bytes((double)new).s,
				    NUMBER_WIDTH);
		fprintf(file, "   %s\n", pa_census_memory_names[i]);
	}
}

/* ---- what it means ---- */

static int64_t grown(const struct pa_census_diff *diff, unsigned kinds)
{
	int64_t sum = 0;

	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		if (kinds >> i & 1)
			sum += (int64_t)(diff->new->census.memory[i] -
					 diff->old->census.memory[i]);
	return sum;
}

/* Growth of blocks that no object points at, where both kept that row. */
static int64_t native_growth(const struct pa_census_diff *diff)
{
	for (size_t i = 0; i < diff->n_changes; i++) {
		const struct pa_census_change *c = &diff->changes[i];
		const struct pa_census_row *row = c->new ? c->new : c->old;

		if (row->special && !strcmp(row->name, "<native>") &&
		    (c->old || !diff->old->left_out))
			return c->own;
	}
	return 0;
}

static void put_verdict(FILE *out, const struct pa_census_diff *diff)
{
	int64_t live = grown(diff, 1u << PA_MEMORY_SMALL_LIVE |
			     1u << PA_MEMORY_LARGE_LIVE);
	int64_t empty = grown(diff, 1u << PA_MEMORY_SMALL_FREE |
			      1u << PA_MEMORY_FREE_POOLS |
			      1u << PA_MEMORY_LARGE_FREE);
	int64_t all = (int64_t)(diff->new->census.rss -
				diff->old->census.rss);
	int64_t other = all - live - empty;

	if (all <= 0)
		fputs("It did not grow:", out);
	else if (live >= empty && live >= other &&
		 native_growth(diff) > live / 2)
		fputs("What grew is in use, but no object points at it (C "
		      "code does):", out);
	else if (live >= empty && live >= other)
		fputs("Objects are held that were not there before:", out);
	else if (empty >= other)
		fputs("What grew is free space between objects, not what is "
		      "held:", out);
	else
		fputs("What grew is not in Python's objects:", out);
	fprintf(out, " %s in use, %s free space, %s other memory.\n",
		with_sign(live, pa_human_bytes).s,
		with_sign(empty, pa_human_bytes).s,
		with_sign(other, pa_human_bytes).s);
}

static char *make_remarks(const struct pa_census_diff *diff)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	put_verdict(out, diff);
	if (!diff->matched)
		fputs("The two are not known to be of one process.\n", out);
	if (diff->old->left_out || diff->new->left_out)
		fprintf(out, "%" PRIu64 " rows of the older and %" PRIu64
			" of the newer were not kept (--limit, --include, "
			"--exclude): what is only in one may be in both.\n",
			diff->old->left_out, diff->new->left_out);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

int pa_census_diff_table(const struct pa_view *view,
			 const struct pa_census_diff *diff)
{
	char *text = make_remarks(diff);

	if (!text)
		return PA_E_FAILED;
	put_head(view, diff);
	put_changes(view, diff);
	put_memory(view, diff);
	fputc('\n', view->file);
	pa_census_put_sentences(view, text);
	free(text);
	return 0;
}

/* ---- JSON ---- */

/* What was counted has no interval, but diff/1 has one. */
static json_t *exact(int64_t n)
{
	struct pa_estimate estimate = {
		.estimate = (double)n, .low = (double)n, .high = (double)n,
	};

	return pa_json_estimate(&estimate);
}

static json_t *side(const struct pa_census_row *row)
{
	return row ? json_pack("{s:o, s:o, s:o}",
			       "objects", pa_json_count(row->objects),
			       "bytes", pa_json_count(row->bytes),
			       "bytes_with_buffers",
			       pa_json_count(row->bytes + row->buffers)) :
		json_null();
}

static json_t *change_object(const struct pa_census_diff *diff,
			     const struct pa_census_change *c)
{
	const struct pa_census_row *row = c->new ? c->new : c->old;

	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o}",
			 "type", pa_json_text(row->name),
			 "module", pa_json_text(row->module),
			 "bytes", exact(c->bytes),
			 "objects", exact(c->objects), "significant", 1,
			 "is_new", is_new(diff, c),
			 "old", side(c->old), "new", side(c->new));
}

static json_t *source_object(const struct pa_kept *kept)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}",
			 "pid", pa_json_known(kept->pid),
			 "python", pa_json_text(kept->python),
			 "time_ns", pa_json_known(kept->time_ns),
			 "rss", pa_json_count(kept->census.rss),
			 "left_out", pa_json_count(kept->left_out));
}

static json_t *memory_array(const struct pa_census_diff *diff)
{
	json_t *array = json_array();

	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		json_array_append_new(array, json_pack("{s:s, s:o, s:o}",
			"kind", pa_census_memory_words[i],
			"old", pa_json_count(diff->old->census.memory[i]),
			"new", pa_json_count(diff->new->census.memory[i])));
	return array;
}

int pa_census_diff_json(const struct pa_view *view,
			const struct pa_census_diff *diff)
{
	json_t *object = pa_json_object("diff"), *rows = json_array();
	char *text = make_remarks(diff);

	json_object_set_new(object, "kind", json_string("census"));
	json_object_set_new(object, "matched", json_boolean(diff->matched));
	json_object_set_new(object, "old", source_object(diff->old));
	json_object_set_new(object, "new", source_object(diff->new));
	json_object_set_new(object, "memory", memory_array(diff));
	for (size_t i = 0; i < diff->n_shown; i++)
		json_array_append_new(rows, change_object(diff,
							  &diff->changes[i]));
	json_object_set_new(object, "rows", rows);
	json_object_set_new(object, "remarks", pa_census_lines(text));
	free(text);
	return pa_json_write(view->file, object, view->pretty);
}
