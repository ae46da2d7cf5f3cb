/* SPDX-License-Identifier: MIT
 *
 * Who holds it, as a table: the tree of holders, and the paths to a type.
 * No line is wider than the view.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/census_path.h"
#include "client/escape.h"
#include "client/human.h"
#include "common/error.h"

#define NUMBER_WIDTH 12
#define SHARE_WIDTH 8
#define INDENT_MOST 24u

static void put_title(const struct pa_view *view, const char *text)
{
	fprintf(view->file, "\n%s%s%s\n", view->color ? "\x1b[1m" : "", text,
		view->color ? "\x1b[0m" : "");
}

/* The first characters of what is too long: a tree is read from the left. */
static void put_cut(FILE *file, const char *text, size_t room)
{
	size_t width = pa_text_width(text);
	const char *at = text;
	size_t used = 0;

	if (width <= room) {
		fputs(text, file);
		return;
	}
	while (*at) {
		int32_t point;
		size_t n = pa_utf8_decode(at, strlen(at), &point);
		char one[8] = "";

		memcpy(one, at, n < sizeof one - 1 ? n : sizeof one - 1);
		if (used + pa_text_width(one) + 1 > room)
			break;
		used += pa_text_width(one);
		fputs(one, file);
		at += n;
	}
	fputs("…", file);
}

static void put_holder(const struct pa_view *view,
		       const struct pa_holders *holders, uint32_t index)
{
	const struct pa_holder *h = &holders->holder[index];
	uint64_t all = holders->holder[0].retained;
	unsigned indent = 2 * (h->depth ? h->depth - 1 : 0);
	size_t used = 2 * NUMBER_WIDTH + SHARE_WIDTH + 3;
	char *label = pa_holder_label(holders, index), *safe;
	FILE *file = view->file;

	indent = indent > INDENT_MOST ? INDENT_MOST : indent;
	safe = label ? pa_escape_terminal(label, strlen(label)) : NULL;
	pa_census_put_right(file, pa_human_bytes((double)h->retained).s,
			    NUMBER_WIDTH);
	pa_census_put_right(file, pa_human_share(all ? (double)h->retained /
			    (double)all : 0).s, SHARE_WIDTH);
	pa_census_put_right(file, pa_human_count((double)h->objects).s,
			    NUMBER_WIDTH);
	fprintf(file, "   %*s", (int)indent, "");
	used += indent;
	put_cut(file, safe ? safe : "", view->width > used + 8 ?
		view->width - used : 8);
	fputc('\n', file);
	free(label);
	free(safe);
}

static void put_special(FILE *file, const struct pa_holders *holders)
{
	if (holders->garbage_objects)
		fprintf(file, "%s in %s objects are garbage: cycles that the "
			"collector will free.\n",
			pa_human_bytes((double)holders->garbage_bytes).s,
			pa_human_count((double)holders->garbage_objects).s);
	if (holders->damaged)
		fputs("There were too many objects: some holders are "
		      "missing.\n", file);
}

int pa_holders_table(const struct pa_view *view,
		     const struct pa_census_answer *answer)
{
	const struct pa_holders *holders = answer->holders;
	struct pa_holder_tree tree;

	if (pa_holder_tree_init(&tree, holders, answer->limit))
		return PA_E_FAILED;
	put_title(view, "Who holds it: what would be free without each");
	pa_census_put_right(view->file, "retained", NUMBER_WIDTH);
	pa_census_put_right(view->file, "share", SHARE_WIDTH);
	pa_census_put_right(view->file, "objects", NUMBER_WIDTH);
	fputs("   holder\n", view->file);
	if (holders->n_holders)
		for (uint32_t i = pa_holder_tree_next(&tree, 0);
		     i != PA_NO_HOLDER; i = pa_holder_tree_next(&tree, i))
			put_holder(view, holders, i);
	if (tree.n_shown < holders->n_holders)
		fprintf(view->file, "%" PRIu32 " more: --limit 0 shows them.\n",
			holders->n_holders - tree.n_shown);
	put_special(view->file, holders);
	pa_holder_tree_free(&tree);
	return 0;
}

/* Paths are long: they go on in further lines. */
static int put_path(const struct pa_view *view, const struct pa_path *path)
{
	char *text = pa_path_text(path), *safe, line[2400];

	safe = text ? pa_escape_terminal(text, strlen(text)) : NULL;
	free(text);
	if (!safe)
		return PA_E_FAILED;
	snprintf(line, sizeof line, "%10s by %.2300s",
		 pa_human_count((double)path->instances).s, safe);
	free(safe);
	pa_view_paragraph(view, line);
	return 0;
}

int pa_paths_table(const struct pa_view *view,
		   const struct pa_census_answer *answer)
{
	const struct pa_holders *holders = answer->holders;
	char *safe = pa_escape_terminal(answer->path_to,
					strlen(answer->path_to));
	char title[400];
	int err = 0;

	snprintf(title, sizeof title, "Paths to %.200s: %s objects",
		 safe ? safe : "", pa_human_count((double)
						  holders->instances).s);
	free(safe);
	put_title(view, title);
	if (!holders->instances)
		pa_view_paragraph(view, "No object of such a type was found: "
				  "give the name of a type as the table of "
				  "types shows it.");
	for (uint32_t i = 0; i < holders->n_paths && !err; i++)
		err = put_path(view, &holders->path[i]);
	if (holders->no_path)
		fprintf(view->file, "%" PRIu64 " more paths.\n",
			holders->no_path);
	if (holders->unreached)
		fprintf(view->file, "%s are reached by no path: garbage, or "
			"held by C code only.\n",
			pa_human_count((double)holders->unreached).s);
	return err;
}
