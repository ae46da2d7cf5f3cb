/* SPDX-License-Identifier: MIT
 *
 * The census; see census.h.  First pass: blocks, objects, where the memory
 * goes.  Second pass: who owns the buffers that no known layout tells, and
 * the graph of references where that was asked for.  Then the rows.
 */
#include "census/census.h"

#include <malloc.h>
#include <stdlib.h>

#include "census/survey.h"
#include "common/error.h"

/* How far each pass goes, of the whole. */
#define PART_FIRST 0.5
#define PART_SECOND 1.0
#define PART_DRAWN 0.6		/* holders are found behind it */
#define OWN_MAPPING (1 << 20)

/* ---- passes ---- */

static void see_pool(void *context, const struct pa_pool *pool)
{
	struct pa_survey *s = context;

	if (s->ask)
		pa_nodes_add_pool(&s->references.nodes, pool);
	pa_dull_begin(&s->dull, pool);
	pa_survey_pool(s, pool);
}

static void see_chunk(void *context, uint64_t address, uint64_t size,
		      bool live)
{
	pa_survey_chunk(context, address, size, live);
}

static void see_gap(void *context, uint64_t start, uint64_t end)
{
	struct pa_survey *s = context;

	if (s->ask)
		pa_roots_gap(&s->roots, start, end);
}

static uint64_t skip(void *context, uint64_t address)
{
	struct pa_survey *s = context;

	return pa_dull_at(&s->dull, &s->types, address);
}

static int first_pass(struct pa_survey *s)
{
	struct pa_walk walk = {
		.window = &s->window, .context = s, .block = pa_survey_count,
		.pool = see_pool, .chunk = see_chunk, .part_to = s->ask ?
			PART_DRAWN / 2 : PART_FIRST,
	};

	pa_walk_all(&walk);
	pa_dull_end(&s->dull);
	s->census->pools_changing = walk.changing;
	s->census->damaged = walk.damaged;
	if (walk.stopped)
		return PA_E_TIMEOUT;
	pa_survey_add_up(s);
	if (pa_buffers_close(&s->buffers) || s->claims.no_memory)
		return PA_E_FAILED;
	pa_claims_settle(&s->claims, &s->types, &s->buffers);
	return 0;
}

static int second_pass(struct pa_survey *s)
{
	struct pa_walk walk = {
		.window = &s->window, .context = s,
		.block = s->ask ? pa_survey_draw : pa_survey_scan,
		.gap = see_gap, .skip = skip,
		.part_from = s->ask ? PART_DRAWN / 2 : PART_FIRST,
		.part_to = s->ask ? PART_DRAWN : PART_SECOND,
	};

	s->window.loaded = 0;
	s->window.start = s->window.end = 0;
	if (s->ask && pa_nodes_close(&s->references.nodes))
		return PA_E_FAILED;
	s->owners = (struct pa_owners){
		.window = &s->window, .types = &s->types,
		.buffers = &s->buffers,
	};
	pa_walk_all(&walk);
	if (walk.stopped)
		return PA_E_TIMEOUT;
	pa_owners_finish(&s->owners);
	pa_buffers_spread(&s->buffers);
	return s->ask && pa_references_close(&s->references) ?
		PA_E_FAILED : 0;
}

/* ---- all ---- */

static int start(struct pa_survey *s)
{
	if (pa_window_init(&s->window, s->source) ||
	    pa_types_init(&s->types, &s->window, s->source->python_minor))
		return PA_E_FAILED;
	return s->ask && (pa_references_init(&s->references, &s->window,
					     &s->types) ||
			  pa_roots_init(&s->roots, &s->references)) ?
		PA_E_FAILED : 0;
}

/* Classes without instances have names as well. */
static void find_classes(struct pa_survey *s)
{
	const struct pa_nodes *nodes = &s->references.nodes;

	for (uint32_t i = 0; s->ask && i < nodes->count; i++) {
		uint64_t size;

		if (nodes->node[i] & PA_NODE_TYPED && s->types.type[
		    nodes->node[i] & PA_NODE_TYPE].shape == PA_SHAPE_TYPE)
			pa_types_at(&s->types, pa_nodes_address(nodes, i,
				    &size) + pa_object_offset(&s->types,
				    nodes->node[i]));
	}
}

static int look(struct pa_survey *s, struct pa_holders *holders)
{
	int err = first_pass(s);

	if (!err)
		err = second_pass(s);
	if (err)
		return err;
	find_classes(s);
	pa_types_name(&s->types);
	pa_survey_count_buffers(s);
	if (s->ask)
		err = pa_holders_answer(&s->references, &s->roots, s->ask,
					holders);
	return err ? err : pa_survey_make_rows(s);
}

int pa_census_run_asked(const struct pa_census_source *source,
			const struct pa_holders_ask *ask,
			struct pa_census *census, struct pa_holders *holders)
{
	struct pa_survey s = { .source = source, .census = census, .ask = ask };
	int err;

	/* large tables go back to the kernel and leave no holes */
	mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
	memset(census, 0, sizeof *census);
	if (holders)
		memset(holders, 0, sizeof *holders);
	if (!holders)
		s.ask = NULL;
	err = start(&s);
	if (!err)
		err = look(&s, holders);
	if (!err && s.types.no_memory)
		census->damaged++;
	if (s.ask) {
		pa_roots_deinit(&s.roots);
		pa_references_deinit(&s.references);
	}
	pa_dull_deinit(&s.dull);
	pa_claims_deinit(&s.claims);
	pa_buffers_deinit(&s.buffers);
	pa_types_deinit(&s.types);
	pa_window_deinit(&s.window);
	if (err)
		pa_census_free(census);
	if (err && holders)
		pa_holders_free(holders);
	return err;
}

int pa_census_run(const struct pa_census_source *source,
		  struct pa_census *census)
{
	return pa_census_run_asked(source, NULL, census, NULL);
}

void pa_census_free(struct pa_census *census)
{
	free(census->rows);
	free(census->names);
	memset(census, 0, sizeof *census);
}
