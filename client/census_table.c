/* SPDX-License-Identifier: MIT
 *
 * A census as a table for people: types, then where the memory goes, then
 * what that means.  No line is wider than the view.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/census_path.h"
#include "client/census_view.h"
#include "client/escape.h"
#include "client/human.h"
#include "common/error.h"

#define NUMBERS 4
#define NUMBER_WIDTH 12

const char *const pa_census_memory_names[PA_MEMORY_KINDS] = {
	[PA_MEMORY_SMALL_LIVE] = "small blocks in use",
	[PA_MEMORY_SMALL_FREE] = "free space inside pools",
	[PA_MEMORY_HEADERS] = "headers of pools",
	[PA_MEMORY_FREE_POOLS] = "empty pools",
	[PA_MEMORY_LARGE_LIVE] = "large blocks in use",
	[PA_MEMORY_LARGE_FREE] = "large blocks free",
	[PA_MEMORY_ANONYMOUS] = "other anonymous memory",
	[PA_MEMORY_STACKS] = "stacks",
	[PA_MEMORY_FILES] = "files: programs, libraries, shared memory",
	[PA_MEMORY_NOT_READ] = "not read",
};

void pa_census_put_sentences(const struct pa_view *view, char *text)
{
	char *next;

	for (char *line = text; line && *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		pa_view_paragraph(view, line);
	}
}

char *pa_census_name(const char *title, int pid, const char *python)
{
	char *safe = pa_escape_terminal(title, strlen(title)), *text = NULL;
	int n;

	if (safe && *safe)
		n = asprintf(&text, "%.300s (pid %d, Python %.40s)", safe, pid,
			     python);
	else
		n = asprintf(&text, "process %d (Python %.40s)", pid, python);
	free(safe);
	return n < 0 ? NULL : text;
}

/* Types that have objects: the search for holders knows more. */
static uint64_t count_types(const struct pa_census *census)
{
	uint64_t n = 0;

	for (size_t i = 0; i < census->n_rows; i++)
		n += !census->rows[i].special && census->rows[i].objects;
	return n;
}

static void put_head(const struct pa_view *view,
		     const struct pa_census_answer *a)
{
	const struct pa_census *c = a->census;
	const struct pa_census_input *input = a->input;
	char *name = pa_census_name(a->title, (int)input->pid, input->python);
	char text[900], stopped[96] = "";
	int n = snprintf(text, sizeof text, "%.400s", name ? name : "");

	free(name);
	if (input->paused_ns)
		snprintf(stopped, sizeof stopped, ", stopped for %s",
			 pa_human_short_time(input->paused_ns).s);
	else if (input->source.live)
		snprintf(stopped, sizeof stopped, ", nothing was stopped");
	snprintf(text + n, sizeof text - (size_t)n, ": %s %s, %s objects of "
		 "%" PRIu64 " types. Read from outside in %s%s.",
		 input->source.live ? "RSS" : "in memory",
		 pa_human_bytes((double)c->rss).s,
		 pa_human_count((double)c->objects).s, count_types(c),
		 pa_human_short_time(a->took_ns).s, stopped);
	pa_view_paragraph(view, text);
}

void pa_census_put_right(FILE *file, const char *text, size_t width)
{
	for (size_t used = pa_text_width(text); used < width; used++)
		fputc(' ', file);
	fputs(text, file);
}

/* The end of a name says more than its start. */
void pa_census_put_name(const struct pa_view *view,
			const struct pa_census_row *row, size_t used,
			const char *behind)
{
	bool plain = !row->module[0] || !strcmp(row->module, "builtins");
	size_t room = view->width > used + 13 ? view->width - used - 3 : 10;
	char full[600], *safe, *at;

	room -= room > 16 ? strlen(behind) : 0;
	snprintf(full, sizeof full, "%s%s%s", plain ? "" : row->module,
		 plain ? "" : ".", row->name);
	safe = pa_escape_terminal(full, strlen(full));
	at = safe;
	fputs("   ", view->file);
	if (safe && pa_text_width(safe) > room) {
		fputs("…", view->file);
		while (*at && pa_text_width(at) > room - 1) {
			int32_t point;

			at += pa_utf8_decode(at, strlen(at), &point);
		}
	}
	fprintf(view->file, "%s%s\n", at ? at : "", behind);
	free(safe);
}

static void put_rest(FILE *file, size_t rows, uint64_t bytes)
{
	if (rows)
		fprintf(file, "%zu more %s %s.\n", rows, rows == 1 ?
			"row holds" : "rows hold",
			pa_human_bytes((double)bytes).s);
}

static void put_types(const struct pa_view *view,
		      const struct pa_census_answer *a)
{
	static const char *const heads[NUMBERS] = {
		"bytes", "own", "objects", "share",
	};
	FILE *file = view->file;

	if (!a->n_shown) {
		fputs("\nNo type is left by --include and --exclude.\n", file);
		return;
	}
	fputs(view->color ? "\n\x1b[1m" : "\n", file);
	for (int i = 0; i < NUMBERS; i++)
		pa_census_put_right(file, heads[i], NUMBER_WIDTH);
	fputs(view->color ? "   type\x1b[0m\n" : "   type\n", file);
	for (size_t i = 0; i < a->n_shown; i++) {
		const struct pa_census_row *row = a->rows[i];
		double bytes = (double)(row->bytes + row->buffers);

		pa_census_put_right(file, pa_human_bytes(bytes).s, NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_bytes((double)row->bytes).s,
			  NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_count((double)row->objects).s,
			  NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_share(a->bytes ?
			  bytes / (double)a->bytes : 0).s, NUMBER_WIDTH);
		pa_census_put_name(view, row, NUMBERS * NUMBER_WIDTH, "");
	}
	put_rest(file, a->n_rows - a->n_shown, a->rest);
}

static void put_memory(const struct pa_view *view, const struct pa_census *c)
{
	FILE *file = view->file;

	fprintf(file, "\n%sWhere the memory goes:%s\n",
		view->color ? "\x1b[1m" : "", view->color ? "\x1b[0m" : "");
	for (int i = 0; i < PA_MEMORY_KINDS; i++) {
		if (!c->memory[i])
			continue;
		pa_census_put_right(file, pa_human_bytes((double)c->memory[i]).s,
			  NUMBER_WIDTH);
		pa_census_put_right(file, pa_human_share(c->rss ? (double)c->memory[i] /
			  (double)c->rss : 0).s, 8);
		fprintf(file, "   %s\n", pa_census_memory_names[i]);
	}
}

/* The size of block that keeps most free space, where that is much. */
static void put_classes(const struct pa_view *view, const struct pa_census *c)
{
	char text[320];
	int most = 0;

	for (int i = 1; i < PA_CENSUS_CLASSES; i++)
		if (c->classes[i].free > c->classes[most].free)
			most = i;
	if (c->memory[PA_MEMORY_SMALL_FREE] < c->rss / 10)
		return;
	snprintf(text, sizeof text, "Of the free space inside pools %s are "
		 "blocks of %d bytes, in %s pools that also hold %s live ones.",
		 pa_human_bytes((double)c->classes[most].free).s,
		 (most + 1) * 16,
		 pa_human_count((double)c->classes[most].pools).s,
		 pa_human_count((double)c->classes[most].live).s);
	pa_view_paragraph(view, text);
}

int pa_census_view_table(const struct pa_view *view,
			 const struct pa_census_answer *answer)
{
	char *text = pa_census_sentences(answer);
	int err = 0;

	if (!text)
		return PA_E_FAILED;
	put_head(view, answer);
	put_types(view, answer);
	put_memory(view, answer->census);
	if (answer->tree)
		err = pa_holders_table(view, answer);
	if (!err && answer->path_to)
		err = pa_paths_table(view, answer);
	fputc('\n', view->file);
	put_classes(view, answer->census);
	pa_census_put_sentences(view, text);
	free(text);
	return err;
}
