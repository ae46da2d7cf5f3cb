/* SPDX-License-Identifier: MIT
 *
 * The tree of holders as collapsed stacks and as a flame graph: one HTML file
 * that needs nothing else.
 *
 * Names come from the target.  In collapsed stacks `;` and white space at the
 * wrong place would be structure; in HTML everything would.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/census_path.h"
#include "client/escape.h"
#include "client/human.h"
#include "common/error.h"

#define DEPTH_MAX 64
#define ROW_HEIGHT 18
#define NARROWEST 0.0003	/* of the whole */

/* ---- collapsed ---- */

static void put_frame(FILE *file, const struct pa_holders *holders,
		      uint32_t index)
{
	char *label = pa_holder_label(holders, index);
	char *safe = label ? pa_escape_terminal(label, strlen(label)) : NULL;

	for (const char *c = safe; c && *c; c++)
		if (*c == ';')
			fputs("\\x3b", file);
		else
			fputc(*c, file);
	free(label);
	free(safe);
}

static void put_stack(FILE *file, const struct pa_holders *holders,
		      uint32_t index)
{
	uint32_t chain[DEPTH_MAX];
	int n = 0;

	while (index && index < holders->n_holders && n < DEPTH_MAX) {
		chain[n++] = index;
		index = holders->holder[index].parent;
	}
	for (int i = n - 1; i >= 0; i--) {
		put_frame(file, holders, chain[i]);
		if (i)
			fputc(';', file);
	}
}

int pa_census_view_collapsed(const struct pa_view *view,
			     const struct pa_census_answer *answer)
{
	const struct pa_holders *holders = answer->holders;
	struct pa_holder_tree tree;

	if (pa_holder_tree_init(&tree, holders, 0))
		return PA_E_FAILED;
	for (uint32_t i = pa_holder_tree_next(&tree, 0); i != PA_NO_HOLDER;
	     i = pa_holder_tree_next(&tree, i)) {
		uint64_t self = pa_holder_tree_self(&tree, i);

		if (!self)
			continue;
		put_stack(view->file, holders, i);
		fprintf(view->file, " %" PRIu64 "\n", self);
	}
	pa_holder_tree_free(&tree);
	return 0;
}

/* ---- flame graph ---- */

static void put_html(FILE *file, const char *text)
{
	char *safe = pa_escape_terminal(text, strlen(text));

	for (const char *c = safe; c && *c; c++)
		switch (*c) {
		case '&': fputs("&amp;", file); break;
		case '<': fputs("&lt;", file); break;
		case '>': fputs("&gt;", file); break;
		case '"': fputs("&quot;", file); break;
		case '\'': fputs("&#39;", file); break;
		default: fputc(*c, file);
		}
	free(safe);
}

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
	"'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
	"<style>body{font:13px sans-serif;margin:12px}"
	"#g{position:relative;width:100%}"
	"#g div{position:absolute;height:17px;overflow:hidden;"
	"white-space:nowrap;border-radius:2px;padding:0 2px;cursor:pointer;"
	"box-sizing:border-box;font-size:12px}</style>\n<title>";

/* A click shows what is below one holder in full width. */
static const char script[] =
	"<script>\nvar all=document.querySelectorAll('#g div');\n"
	"function show(l,w){all.forEach(function(e){"
	"var a=+e.dataset.l,b=+e.dataset.w,"
	"from=Math.max(0,(a-l)/w),to=Math.min(1,(a+b-l)/w);"
	"e.style.display=to-from>0.0003?'':'none';"
	"e.style.left=from*100+'%';e.style.width=(to-from)*100+'%';});}\n"
	"all.forEach(function(e){e.onclick=function(){"
	"show(+e.dataset.l,+e.dataset.w);};});\n"
	"</script></body></html>\n";

/* A colour of its own for each kind of holder. */
static unsigned hue(const struct pa_holder *h)
{
	unsigned n = (unsigned)h->kind * 47;

	for (const char *c = h->type; *c; c++)
		n = n * 31 + (unsigned char)*c;
	return n % 60;
}

static void put_box(const struct pa_view *view,
		    const struct pa_holder_tree *tree, uint32_t index,
		    double left, double width)
{
	const struct pa_holder *h = &tree->holders->holder[index];
	char *label = pa_holder_label(tree->holders, index);
	FILE *file = view->file;

	fprintf(file, "<div data-l=\"%.6f\" data-w=\"%.6f\" style=\"left:"
		"%.4f%%;width:%.4f%%;top:%upx;background:hsl(%u,80%%,70%%)\" "
		"title=\"", left, width, left * 100, width * 100,
		h->depth * ROW_HEIGHT, hue(h));
	put_html(file, label ? label : "");
	fprintf(file, ": %s, %s objects\">",
		pa_human_bytes((double)h->retained).s,
		pa_human_count((double)h->retained_objects).s);
	put_html(file, label ? label : "");
	fputs("</div>\n", file);
	free(label);
}

/* Children stand side by side below their parent, the largest first. */
static void put_boxes(const struct pa_view *view,
		      const struct pa_holder_tree *tree, double *lefts)
{
	const struct pa_holders *holders = tree->holders;
	double all = (double)holders->holder[0].retained;

	if (all <= 0)
		return;
	put_box(view, tree, 0, 0, 1);
	for (uint32_t i = pa_holder_tree_next(tree, 0); i != PA_NO_HOLDER;
	     i = pa_holder_tree_next(tree, i)) {
		double width = (double)holders->holder[i].retained / all;
		uint32_t parent = holders->holder[i].parent;
		double left = lefts[parent];

		lefts[parent] += width;
		lefts[i] = left;
		if (width > NARROWEST)
			put_box(view, tree, i, left, width);
	}
}

int pa_census_view_flamegraph(const struct pa_view *view,
			      const struct pa_census_answer *answer)
{
	const struct pa_holders *holders = answer->holders;
	double *lefts = calloc(holders->n_holders + 1ull, sizeof *lefts);
	char *name = pa_census_name(answer->title, (int)answer->input->pid,
				    answer->input->python);
	struct pa_holder_tree tree;
	uint32_t depth = 0;

	if (!lefts || !name || pa_holder_tree_init(&tree, holders, 0)) {
		free(lefts);
		free(name);
		return PA_E_FAILED;
	}
	for (uint32_t i = 0; i < holders->n_holders; i++)
		if (holders->holder[i].depth > depth)
			depth = holders->holder[i].depth;
	fputs(head, view->file);
	put_html(view->file, name);
	fputs("</title></head><body><p>", view->file);
	put_html(view->file, name);
	fprintf(view->file, ": who holds its memory. A box is as wide as what "
		"would be free without it; click one to see more of it."
		"</p>\n<div id=\"g\" style=\"height:%upx\">\n",
		(depth + 1) * ROW_HEIGHT);
	if (holders->n_holders)
		put_boxes(view, &tree, lefts);
	fputs("</div>\n", view->file);
	fputs(script, view->file);
	pa_holder_tree_free(&tree);
	free(lefts);
	free(name);
	return 0;
}
