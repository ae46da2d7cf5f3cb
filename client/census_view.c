/* SPDX-License-Identifier: MIT
 *
 * Order and filter of a census, JSON, CSV, and the sentences; see
 * census_view.h.
 */
#include "client/census_view.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/census_path.h"
#include "client/escape.h"
#include "client/human.h"
#include "client/json_out.h"
#include "common/error.h"

/* ---- filter and order ---- */

static bool matches(const char *const *patterns, size_t n, const char *full,
		    const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!fnmatch(patterns[i], full, 0) ||
		    !fnmatch(patterns[i], name, 0))
			return true;
	return false;
}

bool pa_census_is_wanted(const struct pa_census_row *row,
			 const struct pa_question *q)
{
	char full[600];

	if (row->special)
		return !q->n_include && !matches(q->exclude, q->n_exclude,
						 row->name, row->name);
	snprintf(full, sizeof full, "%s.%s", row->module, row->name);
	if (q->n_include && !matches(q->include, q->n_include, full, row->name))
		return false;
	return !matches(q->exclude, q->n_exclude, full, row->name);
}

static enum pa_census_sort sort_by;	/* for the comparison below */

static int by_names(const struct pa_census_row *a,
		    const struct pa_census_row *b)
{
	int order = strcmp(a->module, b->module);

	return order ? order : strcmp(a->name, b->name);
}

static int compare(const void *left, const void *right)
{
	const struct pa_census_row *a = *(const struct pa_census_row *const *)left;
	const struct pa_census_row *b = *(const struct pa_census_row *const *)right;
	uint64_t x = a->bytes + a->buffers, y = b->bytes + b->buffers;

	if (sort_by == PA_CENSUS_BY_OWN) {
		x = a->bytes;
		y = b->bytes;
	} else if (sort_by == PA_CENSUS_BY_OBJECTS) {
		x = a->objects;
		y = b->objects;
	}
	if (sort_by == PA_CENSUS_BY_NAME || x == y)
		return by_names(a, b);
	return x < y ? 1 : -1;
}

int pa_census_prepare(struct pa_census_answer *answer,
		      const struct pa_args *args)
{
	const struct pa_census *census = answer->census;
	const struct pa_question *q = &args->question;

	answer->rows = calloc(census->n_rows + 1, sizeof *answer->rows);
	if (!answer->rows)
		return PA_E_FAILED;
	for (size_t i = 0; i < census->n_rows; i++) {
		const struct pa_census_row *row = &census->rows[i];

		if (!pa_census_is_wanted(row, q))
			continue;
		answer->rows[answer->n_rows++] = row;
		answer->objects += row->objects;
		answer->bytes += row->bytes + row->buffers;
	}
	answer->limit = q->limit;
	sort_by = args->census_sort;
	qsort(answer->rows, answer->n_rows, sizeof *answer->rows, compare);
	answer->n_shown = answer->n_rows;
	if (q->limit && q->limit < answer->n_rows)
		answer->n_shown = q->limit;
	for (size_t i = answer->n_shown; i < answer->n_rows; i++)
		answer->rest += answer->rows[i]->bytes +
			answer->rows[i]->buffers;
	return 0;
}

/* ---- sentences ---- */

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

/* Bytes of blocks that no object points at. */
static uint64_t native_bytes(const struct pa_census *c)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < c->n_rows; i++)
		if (c->rows[i].special == PA_CENSUS_NATIVE)
			bytes += c->rows[i].bytes;
	return bytes;
}

struct verdict {
	const char *all;	/* what the shares are of */
	uint64_t rss, live, empty, other;
	struct pa_text live_text, live_share, empty_text, empty_share;
};

/* Most is in use. */
static void put_in_use(FILE *out, const struct verdict *v, uint64_t native)
{
	if (native > v->live / 2)
		fprintf(out, "Neither fragmentation nor Python's objects: %s "
			"(%s of %s) are in use, but %s of it are blocks that "
			"no object points at. C code holds them: look at the "
			"libraries; %s are free space that is kept.\n",
			v->live_text.s, v->live_share.s, v->all,
			pa_human_bytes((double)native).s, v->empty_text.s);
	else if (v->empty > v->live / 4)
		fprintf(out, "Fragmentation in part: %s (%s of %s) are in "
			"use, but %s (%s) are free space that Python and the "
			"C library keep. If RSS grows on, something holds on "
			"to objects.\n", v->live_text.s, v->live_share.s,
			v->all, v->empty_text.s, v->empty_share.s);
	else
		fprintf(out, "Not fragmentation: %s (%s of %s) are in use, "
			"and only %s are free space that is kept. If RSS "
			"grows, something holds on to objects.\n",
			v->live_text.s, v->live_share.s, v->all,
			v->empty_text.s);
}

static void put_other(FILE *out, const struct verdict *v, const uint64_t *m)
{
	static const char *const what[PA_MEMORY_KINDS] = {
		[PA_MEMORY_ANONYMOUS] = "anonymous memory outside of both "
			"allocators (mappings of libraries, frames)",
		[PA_MEMORY_STACKS] = "stacks of threads",
		[PA_MEMORY_FILES] = "programs, libraries, mapped files and "
			"shared memory",
	};
	int most = PA_MEMORY_FILES;

	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		if (what[i] && m[i] > m[most])
			most = i;
	fprintf(out, "Neither leak nor fragmentation of Python's objects: %s "
		"(%s of %s) are something else, %s of it %s; %s are in use, "
		"%s are free.\n", pa_human_bytes((double)v->other).s,
		pa_human_share(share(v->other, v->rss)).s, v->all,
		pa_human_bytes((double)m[most]).s, what[most],
		v->live_text.s, v->empty_text.s);
}

static void put_verdict(FILE *out, const struct pa_census_answer *a)
{
	const struct pa_census *c = a->census;
	const uint64_t *m = c->memory;
	struct verdict v = {
		.all = a->input->source.live ? "RSS" : "what is in the core",
		.rss = c->rss,
		.live = m[PA_MEMORY_SMALL_LIVE] + m[PA_MEMORY_LARGE_LIVE],
		.empty = m[PA_MEMORY_SMALL_FREE] + m[PA_MEMORY_FREE_POOLS] +
			m[PA_MEMORY_LARGE_FREE],
	};
	uint64_t known = v.live + v.empty;

	v.other = c->rss - (known < c->rss ? known : c->rss);
	v.live_text = pa_human_bytes((double)v.live);
	v.live_share = pa_human_share(share(v.live, c->rss));
	v.empty_text = pa_human_bytes((double)v.empty);
	v.empty_share = pa_human_share(share(v.empty, c->rss));
	if (v.live >= v.empty && v.live >= v.other)
		put_in_use(out, &v, native_bytes(c));
	else if (v.empty >= v.other)
		fprintf(out, "Fragmentation: %s (%s of %s) are free space "
			"that Python and the C library keep, more than the "
			"%s in use. Objects that were freed left it behind; "
			"new ones of the same sizes use it again.\n",
			v.empty_text.s, v.empty_share.s, v.all,
			v.live_text.s);
	else
		put_other(out, &v, m);
}

static void put_remarks(FILE *out, const struct pa_census_answer *a)
{
	const struct pa_census *c = a->census;

	if (c->pools_changing)
		fprintf(out, "%" PRIu64 " of %" PRIu64 " pools were changing "
			"while they were read and are not counted.\n",
			c->pools_changing, c->pools + c->pools_changing);
	if (c->arenas_sparse)
		fprintf(out, "%" PRIu64 " of %" PRIu64 " arenas are less than "
			"a quarter in use and hold %s.\n", c->arenas_sparse,
			c->arenas, pa_human_bytes((double)c->sparse_bytes).s);
	if (c->swapped)
		fprintf(out, "%s more are in swap and were left there: what "
			"lies in them is not counted.\n",
			pa_human_bytes((double)c->swapped).s);
	if (!c->pools && c->small_chunks)
		fputs("No pool of pymalloc was found (PYTHONMALLOC=malloc?): "
		      "only the C library's blocks were walked, and those "
		      "in its caches count as used.\n", out);
	if (c->debug_blocks > c->objects / 2)
		fputs("The debug allocator is on (PYTHONMALLOC=debug, or "
		      "-X dev): sizes include what it adds to each block.\n",
		      out);
	if (a->input->allocator[0])
		fprintf(out, "%s is loaded: blocks over 512 bytes that it "
			"handed out are not read, and are in \"other "
			"anonymous\".\n", a->input->allocator);
	if (c->damaged)
		fprintf(out, "%" PRIu64 " place%s made no sense and %s "
			"passed over.\n", c->damaged,
			c->damaged == 1 ? "" : "s",
			c->damaged == 1 ? "was" : "were");
}

char *pa_census_sentences(const struct pa_census_answer *answer)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	put_verdict(out, answer);
	put_remarks(out, answer);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- JSON ---- */

static json_t *row_object(const struct pa_census_answer *a,
			  const struct pa_census_row *row)
{
	uint64_t bytes = row->bytes + row->buffers;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}",
			 "type", pa_json_text(row->name),
			 "module", pa_json_text(row->module),
			 "objects", pa_json_count(row->objects),
			 "bytes", pa_json_count(row->bytes),
			 "bytes_with_buffers", pa_json_count(bytes),
			 "share", pa_json_real(share(bytes, a->bytes)));
}

static json_t *memory_array(const struct pa_census *c)
{
	json_t *array = json_array();

	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		json_array_append_new(array, json_pack("{s:s, s:o}",
			"kind", pa_census_memory_words[i],
			"bytes", pa_json_count(c->memory[i])));
	return array;
}

static json_t *class_array(const struct pa_census *c)
{
	json_t *array = json_array();

	for (int i = 0; i < PA_CENSUS_CLASSES; i++) {
		const struct pa_census_class *class = &c->classes[i];

		if (!class->pools)
			continue;
		json_array_append_new(array, json_pack("{s:i, s:o, s:o, s:o}",
			"block", (i + 1) * 16,
			"pools", pa_json_count(class->pools),
			"live", pa_json_count(class->live),
			"free_bytes", pa_json_count(class->free)));
	}
	return array;
}

static void put_facts(json_t *object, const struct pa_census_answer *a)
{
	const struct pa_census *c = a->census;
	const struct pa_census_input *input = a->input;

	json_object_set_new(object, "source", json_string(
		input->source.live ? "live" : "core"));
	json_object_set_new(object, "pid",
			    pa_json_known((uint64_t)input->pid));
	json_object_set_new(object, "start_time",
			    pa_json_known(input->target.start_time));
	json_object_set_new(object, "title", pa_json_text(a->title));
	json_object_set_new(object, "python", pa_json_text(input->python));
	json_object_set_new(object, "time_ns", pa_json_known(input->time_ns));
	json_object_set_new(object, "took_ns", pa_json_count(a->took_ns));
	json_object_set_new(object, "paused_ns",
			    pa_json_known(input->paused_ns));
	json_object_set_new(object, "rss", pa_json_count(c->rss));
	json_object_set_new(object, "swapped", pa_json_count(c->swapped));
	json_object_set_new(object, "pools", json_pack("{s:o, s:o}",
		"read", pa_json_count(c->pools),
		"changing", pa_json_count(c->pools_changing)));
	json_object_set_new(object, "arenas", json_pack("{s:o, s:o, s:o}",
		"read", pa_json_count(c->arenas),
		"sparse", pa_json_count(c->arenas_sparse),
		"sparse_bytes", pa_json_count(c->sparse_bytes)));
	json_object_set_new(object, "damaged", pa_json_count(c->damaged));
	json_object_set_new(object, "objects", pa_json_count(c->objects));
}

json_t *pa_census_lines(char *text)
{
	json_t *array = json_array();
	char *next;

	for (char *line = text; line && *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		json_array_append_new(array, pa_json_text(line));
	}
	return array;
}

static void put_holders(json_t *object, const struct pa_census_answer *a)
{
	const struct pa_holders *h = a->holders;

	if (a->tree) {
		json_object_set_new(object, "garbage", json_pack("{s:o, s:o}",
			"objects", pa_json_count(h->garbage_objects),
			"bytes", pa_json_count(h->garbage_bytes)));
		json_object_set_new(object, "native", json_pack("{s:o, s:o}",
			"objects", pa_json_count(h->native_objects),
			"bytes", pa_json_count(h->native_bytes)));
		json_object_set_new(object, "holders",
				    pa_holders_json(h, a->limit));
	}
	if (!a->path_to)
		return;
	json_object_set_new(object, "path_to", json_pack(
		"{s:o, s:o, s:o, s:o}",
		"type", pa_json_text(a->path_to),
		"instances", pa_json_count(h->instances),
		"unreached", pa_json_count(h->unreached),
		"more_paths", pa_json_count(h->no_path)));
	json_object_set_new(object, "paths", pa_paths_json(h));
}

json_t *pa_census_json(const struct pa_census_answer *a)
{
	json_t *object = pa_json_object("census"), *rows = json_array();
	char *text = pa_census_sentences(a);

	put_facts(object, a);
	json_object_set_new(object, "memory", memory_array(a->census));
	json_object_set_new(object, "size_classes", class_array(a->census));
	json_object_set_new(object, "remarks", pa_census_lines(text));
	free(text);
	for (size_t i = 0; i < a->n_shown; i++)
		json_array_append_new(rows, row_object(a, a->rows[i]));
	json_object_set_new(object, "rows", rows);
	json_object_set_new(object, "left_out", pa_json_count(
		a->census->n_rows - a->n_shown));
	if (a->holders)
		put_holders(object, a);
	return object;
}

int pa_census_view_json(const struct pa_view *view,
			const struct pa_census_answer *a)
{
	return pa_json_write(view->file, pa_census_json(a), view->pretty);
}

/* ---- CSV ---- */

int pa_census_view_csv(const struct pa_view *view,
		       const struct pa_census_answer *a)
{
	fputs("module,type,objects,bytes,bytes_with_buffers,share\r\n",
	      view->file);
	for (size_t i = 0; i < a->n_shown; i++) {
		const struct pa_census_row *row = a->rows[i];
		uint64_t bytes = row->bytes + row->buffers;

		pa_view_csv_field(view->file, row->module,
				  strlen(row->module));
		fputc(',', view->file);
		pa_view_csv_field(view->file, row->name, strlen(row->name));
		fprintf(view->file, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
			",%.6g\r\n", row->objects, row->bytes, bytes,
			share(bytes, a->bytes));
	}
	return 0;
}
