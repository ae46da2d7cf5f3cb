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
	free(sites->steps);
	free(sites->calls);
	free(sites->rows);
}

/* The number of a name of the image.  Frames share their strings, so each is
 * looked up once: `known` has number + 1 by a quarter of the offset. */
static uint32_t name_number(struct pa_report *report,
			    const struct pa_image *image, uint32_t offset,
			    uint32_t *known)
{
	uint32_t n, number;
	const char *bytes;

	if (!(offset % 4) && known[offset / 4])
		return known[offset / 4] - 1;
	bytes = pa_image_string(image, offset, &n);
	number = pa_names_add(&report->names, bytes, n);
	if (!(offset % 4) && number != UINT32_MAX)
		known[offset / 4] = number + 1;
	return number;
}

static int add_calls(struct pa_report *report, const struct pa_image *image,
		     uint32_t *calls)
{
	uint32_t *known = calloc(image->n_strings / 4 + 1, sizeof *known);
	int err = known ? 0 : PA_E_FAILED;

	for (uint64_t i = 0; !err && i < image->n_frames; i++) {
		const struct pa_frame *frame = &image->frames[i];
		struct pa_call call = {
			name_number(report, image, frame->file, known),
			name_number(report, image, frame->function, known),
			frame->line, frame->first_line,
		};

		calls[i] = UINT32_MAX;
		if (call.file != UINT32_MAX && call.function != UINT32_MAX)
			calls[i] = pa_names_add_call(&report->names, call);
		if (calls[i] == UINT32_MAX)
			err = PA_E_FAILED;
	}
	free(known);
	return err;
}

static int add_steps(struct pa_report *report, const struct pa_image *image,
		     const uint32_t *calls, uint32_t *steps)
{
	steps[0] = 0;
	for (uint64_t i = 1; i < image->n_nodes; i++) {
		const struct pa_node *node = &image->nodes[i];

		steps[i] = pa_names_add_step(&report->names,
					     steps[node->parent],
					     calls[node->frame]);
		if (steps[i] == UINT32_MAX)
			return PA_E_FAILED;
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
static void fill_key(const struct pa_report *report, struct pa_row *key,
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

static void add_sites(struct pa_report *report, const struct pa_image *image,
		      struct pa_sites *sites)
{
	for (uint64_t i = 0; i < image->n_sites; i++) {
		uint32_t special = special_of(image, (uint32_t)i);
		uint32_t step = sites->steps[image->sites[i].node];
		const struct pa_call *call = &report->names.calls[
			special ? 0 : report->names.steps[step].call];
		struct pa_row *key = &sites->keys[i];

		sites->wanted[i] = site_wanted(report, call, special);
		if (report->question.group_by == PA_BY_THREAD)
			continue;
		if (report->question.group_by == PA_BY_DOMAIN) {
			/* The fixed sites mix domains; a live sample
			 * knows its own. */
			key->number = image->sites[i].domain;
			if (i < PA_SITE_FIRST &&
			    report->question.of == PA_OF_ALLOCATED)
				key->special = special;
			continue;
		}
		key->special = special;
		if (!special)
			fill_key(report, key, call, step);
	}
}

int pa_sites_init(struct pa_sites *sites, struct pa_report *report,
		  const struct pa_image *image)
{
	int err = PA_E_FAILED;

	memset(sites, 0, sizeof *sites);
	sites->keys = calloc(image->n_sites, sizeof *sites->keys);
	sites->wanted = calloc(image->n_sites, sizeof *sites->wanted);
	sites->steps = calloc(image->n_nodes, sizeof *sites->steps);
	sites->calls = calloc(image->n_frames, sizeof *sites->calls);
	sites->rows = calloc(image->n_sites, sizeof *sites->rows);
	if (sites->keys && sites->wanted && sites->steps && sites->calls &&
	    sites->rows)
		err = add_calls(report, image, sites->calls);
	if (!err)
		err = add_steps(report, image, sites->calls, sites->steps);
	if (!err)
		add_sites(report, image, sites);
	return err;
}
