/* SPDX-License-Identifier: MIT
 *
 * What the sites of one image are in the numbers of a report: names, stacks,
 * keys of rows, and whether a filter lets them pass.  It must not add up
 * anything: that is model_rows.c's.
 */
#include "client/model_parts.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

void pa_sites_free(struct pa_sites *sites)
{
	free(sites->keys);
	free(sites->wanted);
}

/* Numbers that were looked up already, plus 1. */
struct known {
	uint32_t *names;	/* by a quarter of the offset */
	uint32_t *calls;	/* by frame */
	uint32_t *steps;	/* by node; NULL where stacks are not wanted */
};

/* The number of a name of the image.  Frames share their strings. */
static uint32_t name_number(struct pa_report *report,
			    const struct pa_image *image, uint32_t offset,
			    struct known *known)
{
	uint32_t n, number;
	const char *bytes;

	if (!(offset % 4) && known->names[offset / 4])
		return known->names[offset / 4] - 1;
	bytes = pa_image_string(image, offset, &n);
	number = pa_names_add(&report->names, bytes, n);
	if (!(offset % 4) && number != UINT32_MAX)
		known->names[offset / 4] = number + 1;
	return number;
}

static uint32_t call_number(struct pa_report *report,
			    const struct pa_image *image, uint32_t index,
			    struct known *known)
{
	const struct pa_frame *frame = &image->frames[index];
	uint32_t number = UINT32_MAX;
	struct pa_call call;

	if (known->calls[index])
		return known->calls[index] - 1;
	call = (struct pa_call){
		name_number(report, image, frame->file, known),
		name_number(report, image, frame->function, known),
		frame->line, frame->first_line,
	};
	if (call.file != UINT32_MAX && call.function != UINT32_MAX)
		number = pa_names_add_call(&report->names, call);
	if (number != UINT32_MAX)
		known->calls[index] = number + 1;
	return number;
}

/* Every stack of the image: a parent comes before what it called. */
static int add_steps(struct pa_report *report, const struct pa_image *image,
		     struct known *known)
{
	known->steps[0] = 1;
	for (uint64_t i = 1; i < image->n_nodes; i++) {
		const struct pa_node *node = &image->nodes[i];
		uint32_t call = call_number(report, image, node->frame, known);
		uint32_t step = UINT32_MAX;

		if (call != UINT32_MAX)
			step = pa_names_add_step(&report->names,
				known->steps[node->parent] - 1, call);
		if (step == UINT32_MAX)
			return PA_E_FAILED;
		known->steps[i] = step + 1;
	}
	return 0;
}

/* A pattern without a slash also matches the last part of a path. */
static bool matches(const char *pattern, const struct pa_name *name)
{
	const char *last;

	if (!name->length)
		return false;
	if (!fnmatch(pattern, name->bytes, 0))
		return true;
	last = strrchr(name->bytes, '/');
	return last && !strchr(pattern, '/') && !fnmatch(pattern, last + 1, 0);
}

static bool any_matches(const char *const *patterns, size_t n,
			const struct pa_name *file,
			const struct pa_name *function)
{
	for (size_t i = 0; i < n; i++)
		if (matches(patterns[i], file) ||
		    matches(patterns[i], function))
			return true;
	return false;
}

static bool site_wanted(const struct pa_report *report,
			const struct pa_call *call, uint32_t special)
{
	const struct pa_question *q = &report->question;
	const struct pa_name *file = &report->names.names[call->file];
	const struct pa_name *function = &report->names.names[call->function];
	struct pa_name name = { pa_special_name(special), 1 };

	if (name.bytes)
		file = function = &name;
	if (q->n_include && !any_matches(q->include, q->n_include, file,
					 function))
		return false;
	return !any_matches(q->exclude, q->n_exclude, file, function);
}

/* Which fixed site this one counts as, 0 for a real one. */
static uint32_t special_of(const struct pa_image *image, uint32_t site)
{
	if (site == PA_SITE_NONE)
		return PA_SITE_NO_PYTHON;
	if (site < PA_SITE_FIRST)
		return site;
	return image->sites[site].node ? 0 : PA_SITE_NO_PYTHON;
}

/* The part of a row's key that its site decides. */
static void fill_key(const struct pa_report *report, struct pa_key *key,
		     const struct pa_call *call, uint32_t step)
{
	switch (report->question.group_by) {
	case PA_BY_LINE:
		key->line = call->line;
		key->function = call->function;
		key->file = call->file;
		break;
	case PA_BY_FUNCTION:
		key->function = call->function;
		key->first_line = call->first_line;
		key->file = call->file;
		break;
	case PA_BY_FILE:
		key->file = call->file;
		break;
	case PA_BY_TRACEBACK:
		key->step = step;
		break;
	case PA_BY_THREAD:
	case PA_BY_DOMAIN:
		break;
	}
}

static void add_key(struct pa_report *report, const struct pa_image *image,
		    uint32_t site, uint32_t special, const struct pa_call *call,
		    uint32_t step, struct pa_key *key)
{
	switch (report->question.group_by) {
	case PA_BY_THREAD:
		break;
	case PA_BY_DOMAIN:
		/* The fixed sites mix domains; a live sample knows its own. */
		key->number = image->sites[site].domain;
		if (site < PA_SITE_FIRST &&
		    report->question.of == PA_OF_ALLOCATED)
			key->special = special;
		break;
	default:
		key->special = special;
		if (!special)
			fill_key(report, key, call, step);
	}
}

static int add_sites(struct pa_report *report, const struct pa_image *image,
		     struct known *known, struct pa_sites *sites)
{
	for (uint32_t i = 0; i < image->n_sites; i++) {
		uint32_t special = special_of(image, i);
		uint32_t node = image->sites[i].node, call = 0;

		if (!special)
			call = call_number(report, image,
					   image->nodes[node].frame, known);
		if (call == UINT32_MAX)
			return PA_E_FAILED;
		sites->wanted[i] = site_wanted(
			report, &report->names.calls[call], special);
		add_key(report, image, i, special, &report->names.calls[call],
			known->steps ? known->steps[node] - 1 : 0,
			&sites->keys[i]);
	}
	return 0;
}

int pa_sites_init(struct pa_sites *sites, struct pa_report *report,
		  const struct pa_image *image)
{
	bool stacks = report->question.group_by == PA_BY_TRACEBACK;
	struct known known = {
		.names = calloc(image->n_strings / 4 + 1,
				sizeof *known.names),
		.calls = calloc(image->n_frames, sizeof *known.calls),
		.steps = stacks ? calloc(image->n_nodes, sizeof *known.steps) :
			NULL,
	};
	int err = PA_E_FAILED;

	memset(sites, 0, sizeof *sites);
	sites->keys = calloc(image->n_sites, sizeof *sites->keys);
	sites->wanted = calloc(image->n_sites, sizeof *sites->wanted);
	if (sites->keys && sites->wanted && known.names &&
	    known.calls && (known.steps || !stacks))
		err = stacks ? add_steps(report, image, &known) : 0;
	if (!err)
		err = add_sites(report, image, &known, sites);
	free(known.names);
	free(known.calls);
	free(known.steps);
	return err;
}
