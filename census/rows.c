/* SPDX-License-Identifier: MIT
 *
 * The rows of a census: types, and blocks that are no instance of one; see
 * survey.h.
 */
#include "census/survey.h"

#include <stdlib.h>

#include "common/error.h"

static const struct pa_types *the_types;	/* for the comparison below */

static int compare(const struct pa_type *a, const struct pa_type *b)
{
	const char *names = the_types->names;
	int order = strcmp(names + a->module, names + b->module);

	return order ? order : strcmp(names + a->name, names + b->name);
}

/* Their order is kept: blocks know their types by it. */
static int by_name(const void *left, const void *right)
{
	return compare(&the_types->type[*(const uint32_t *)left],
		       &the_types->type[*(const uint32_t *)right]);
}

static void add_special(struct pa_census *census, enum pa_census_special which,
			const char *name, const struct pa_special *special)
{
	if (special->blocks)
		census->rows[census->n_rows++] = (struct pa_census_row){
			.special = which, .module = "", .name = name,
			.objects = special->blocks, .bytes = special->bytes,
		};
}

static int add_types(struct pa_survey *s)
{
	struct pa_census *census = s->census;
	uint32_t *order = calloc(s->types.count, sizeof *order);
	const char *names = s->types.names;
	const struct pa_type *last = NULL;

	if (!order)
		return PA_E_FAILED;
	for (uint32_t i = 1; i < s->types.count; i++)
		order[i] = i;
	the_types = &s->types;
	qsort(order + 1, s->types.count - 1, sizeof *order, by_name);
	for (uint32_t i = 1; i < s->types.count; i++) {
		const struct pa_type *type = &s->types.type[order[i]];
		struct pa_census_row *row = &census->rows[census->n_rows];

		if (!type->objects && !type->buffers)
			continue;
		if (last && !compare(last, type)) {
			row--;
			row->objects += type->objects;
			row->bytes += type->bytes;
			row->buffers += type->buffers;
			continue;
		}
		*row = (struct pa_census_row){
			.module = names + type->module,
			.name = names + type->name,
			.objects = type->objects, .bytes = type->bytes,
			.buffers = type->buffers,
		};
		census->n_rows++;
		last = type;
	}
	free(order);
	return 0;
}

void pa_survey_count_buffers(struct pa_survey *s)
{
	for (uint32_t i = 0; i < s->buffers.count; i++) {
		const struct pa_buffer *buffer = &s->buffers.buffer[i];
		uint64_t size = pa_buffer_size(buffer);
		uint32_t owner = pa_buffer_owner(buffer);
		struct pa_special *special = buffer->what & PA_BUFFER_SHARED ?
			&s->shared : &s->native;

		if (owner && !(buffer->what & PA_BUFFER_SHARED)) {
			s->types.type[owner].buffers += size;
			continue;
		}
		special->blocks++;
		special->bytes += size;
	}
	pa_buffers_deinit(&s->buffers);
}

int pa_survey_make_rows(struct pa_survey *s)
{
	struct pa_census *census = s->census;

	census->types = s->types.count - 1;
	census->rows = calloc(s->types.count + 3ull, sizeof *census->rows);
	if (!census->rows || add_types(s))
		return PA_E_FAILED;
	add_special(census, PA_CENSUS_NATIVE, "<native>", &s->native);
	add_special(census, PA_CENSUS_SHARED, "<shared>", &s->shared);
	add_special(census, PA_CENSUS_KEPT, "<kept for reuse>", &s->kept);
	census->names = s->types.names;
	s->types.names = NULL;
	return 0;
}
