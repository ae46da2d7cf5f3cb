/* SPDX-License-Identifier: MIT
 *
 * The census; see census.h.  First pass: blocks, objects, where the memory
 * goes.  Second pass: who owns the buffers.  Then the rows.
 */
#include "census/census.h"

#include <stdlib.h>

#include "census/answer.h"
#include "census/owners.h"
#include "common/error.h"

#define WORTH_ASKING ((uint64_t)64 << 10)
#define ARENA_MAX ((uint64_t)1 << 20)

const char *const pa_census_memory_words[PA_MEMORY_KINDS] = {
	[PA_MEMORY_SMALL_LIVE] = "small live",
	[PA_MEMORY_SMALL_FREE] = "small free",
	[PA_MEMORY_HEADERS] = "pool headers",
	[PA_MEMORY_FREE_POOLS] = "free pools",
	[PA_MEMORY_LARGE_LIVE] = "large live",
	[PA_MEMORY_LARGE_FREE] = "large free",
	[PA_MEMORY_ANONYMOUS] = "other anonymous",
	[PA_MEMORY_STACKS] = "stacks",
	[PA_MEMORY_FILES] = "files",
	[PA_MEMORY_NOT_READ] = "not read",
};

/* Neighbouring pools with the same number of an arena. */
struct arena {
	uint64_t first, last, live;
	uint32_t number;
};

struct survey {
	const struct pa_census_source *source;
	struct pa_census *census;
	struct pa_window window;
	struct pa_types types;
	struct pa_buffers buffers;
	struct arena arena;
	struct pa_owners owners;
	/* pools that the second pass has no use for */
	uint64_t *dull, pool;
	size_t n_dull, room_dull;
	bool pool_is_dull;
	uint64_t kept, kept_bytes;
	uint64_t blocks[2], blocks_bytes[2];	/* native, shared */
	/* who holds it, where that was asked */
	const struct pa_holders_ask *ask;
	struct pa_references references;
	struct pa_roots roots;
};

/* What a block takes of the memory that is there. */
static uint64_t taken(const struct survey *s, uint64_t address, uint64_t size)
{
	return size < WORTH_ASKING ? size :
		pa_census_resident(s->source, address, address + size);
}

/* Nothing points at a buffer, or, where the graph is drawn, at anything. */
static bool is_dull(const struct survey *s, uint32_t index,
		    const struct pa_block *block, unsigned offset,
		    uint64_t references)
{
	const struct pa_type *type = &s->types.type[index];

	if (!index || !references)
		return index;
	return pa_is_leaf_object(type, block->head + offset,
				 block->head_size - offset) ||
		(!s->ask && type->exact && type->shape == PA_SHAPE_LEAF);
}

/* The pool that was counted is seen to its end. */
static void end_pool(struct survey *s)
{
	if (s->pool && s->pool_is_dull) {
		if (s->n_dull == s->room_dull) {
			size_t room = s->room_dull * 2 + 1024;
			uint64_t *more = reallocarray(s->dull, room,
						      sizeof *more);

			/* Then it is seen again. */
			if (!more)
				return;
			s->dull = more;
			s->room_dull = room;
		}
		s->dull[s->n_dull++] = s->pool;
	}
	s->pool = 0;
}

static void count_block(void *context, const struct pa_block *block)
{
	struct survey *s = context;
	uint64_t references = 0, bytes;
	unsigned offset = 0;
	uint32_t index = pa_types_object(&s->types, block->head,
					 block->head_size, block->size,
					 &offset, &references);
	bool debug = pa_is_debug_block(block->head, block->head_size);

	if (s->pool_is_dull)
		s->pool_is_dull = is_dull(s, index, block, offset, references);
	if (s->ask)
		pa_references_note(&s->references, block, index, offset,
				   references);
	/* a chunk's header is in front of it */
	bytes = taken(s, block->address - (block->small ? 0 : PA_CHUNK_HEAD),
		      block->charge);
	s->census->debug_blocks += debug;
	if (!index) {
		pa_buffers_add(&s->buffers, block->address + (debug ? 16 : 0),
			       bytes);
	} else if (!references) {
		s->kept++;
		s->kept_bytes += bytes;
	} else {
		s->types.type[index].objects++;
		s->types.type[index].bytes += bytes;
		s->census->objects++;
		s->census->small_chunks += !block->small &&
			block->size <= 512;
	}
}

static void count_arena(struct survey *s)
{
	const struct arena *arena = &s->arena;
	uint64_t there;

	if (!arena->last)
		return;
	there = pa_census_resident(s->source, arena->first, arena->last);
	s->census->arenas++;
	if (arena->live < there / 4) {
		s->census->arenas_sparse++;
		s->census->sparse_bytes += there;
	}
}

static void count_pool(void *context, const struct pa_pool *pool)
{
	struct survey *s = context;
	uint64_t *memory = s->census->memory;
	struct pa_census_class *class = &s->census->classes[pool->size / 16 - 1];
	uint64_t end = pool->address + pool->bytes;
	uint64_t there = pa_census_resident(s->source, pool->address, end);
	uint64_t live = (uint64_t)pool->live * pool->size;

	if (s->ask)
		pa_nodes_add_pool(&s->references.nodes, pool);
	end_pool(s);
	s->pool = pool->address + pool->bytes / PA_CENSUS_PAGE;
	s->pool_is_dull = true;
	s->census->pools++;
	if (!s->arena.last || s->arena.number != pool->arena ||
	    end - s->arena.first > ARENA_MAX) {
		count_arena(s);
		s->arena = (struct arena){
			.first = pool->address, .number = pool->arena,
		};
	}
	s->arena.last = end;
	s->arena.live += live;
	if (!pool->live) {
		memory[PA_MEMORY_FREE_POOLS] += there;
		return;
	}
	class->pools++;
	class->live += pool->live;
	there -= there < PA_POOL_HEADER ? there : PA_POOL_HEADER;
	live = live < there ? live : there;
	class->free += there - live;
	memory[PA_MEMORY_HEADERS] += PA_POOL_HEADER;
	memory[PA_MEMORY_SMALL_LIVE] += live;
	memory[PA_MEMORY_SMALL_FREE] += there - live;
}

static void count_chunk(void *context, uint64_t address, uint64_t size,
			bool live)
{
	struct survey *s = context;

	s->census->memory[live ? PA_MEMORY_LARGE_LIVE : PA_MEMORY_LARGE_FREE]
		+= size < PA_CENSUS_PAGE ? size :
		pa_census_resident(s->source, address, address + size);
}

/* ---- where the memory goes ---- */

static void add_up(struct survey *s)
{
	struct pa_census *census = s->census;
	uint64_t *memory = census->memory, rest = 0, known = 0;

	for (size_t i = 0; i < s->source->n_ranges; i++) {
		const struct pa_census_range *range = &s->source->ranges[i];

		census->rss += range->resident;
		census->swapped += range->swapped;
		if (range->kind == PA_RANGE_FILE)
			memory[PA_MEMORY_FILES] += range->resident;
		else if (range->kind == PA_RANGE_STACK)
			memory[PA_MEMORY_STACKS] += range->resident;
		else
			rest += range->resident;
	}
	memory[PA_MEMORY_NOT_READ] = s->window.lost;
	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		if (i != PA_MEMORY_FILES && i != PA_MEMORY_STACKS)
			known += memory[i];
	if (known < rest) {
		memory[PA_MEMORY_ANONYMOUS] = rest - known;
		return;
	}
	/* It shrank while it was read, or is damaged: the sum holds. */
	known -= rest;
	for (int i = 0; i < PA_MEMORY_KINDS && known; i++) {
		uint64_t less = memory[i] < known ? memory[i] : known;

		if (i == PA_MEMORY_FILES || i == PA_MEMORY_STACKS)
			continue;
		memory[i] -= less;
		known -= less;
	}
}

/* ---- rows ---- */

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
			const char *name, uint64_t objects, uint64_t bytes)
{
	if (objects)
		census->rows[census->n_rows++] = (struct pa_census_row){
			.special = which, .module = "", .name = name,
			.objects = objects, .bytes = bytes,
		};
}

static int add_types(struct survey *s)
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

static void count_buffers(struct survey *s)
{
	for (uint32_t i = 0; i < s->buffers.count; i++) {
		const struct pa_buffer *buffer = &s->buffers.buffer[i];

		if (buffer->owner && !buffer->shared) {
			s->types.type[buffer->owner].buffers += buffer->size;
			continue;
		}
		s->blocks[buffer->shared]++;
		s->blocks_bytes[buffer->shared] += buffer->size;
	}
}

static int make_rows(struct survey *s)
{
	struct pa_census *census = s->census;

	census->types = s->types.count - 1;
	census->rows = calloc(s->types.count + 3ull, sizeof *census->rows);
	if (!census->rows || add_types(s))
		return PA_E_FAILED;
	add_special(census, PA_CENSUS_NATIVE, "<native>", s->blocks[0],
		    s->blocks_bytes[0]);
	add_special(census, PA_CENSUS_SHARED, "<shared>", s->blocks[1],
		    s->blocks_bytes[1]);
	add_special(census, PA_CENSUS_KEPT, "<kept for reuse>", s->kept,
		    s->kept_bytes);
	census->names = s->types.names;
	s->types.names = NULL;
	return 0;
}

/* ---- passes ---- */

static int first_pass(struct survey *s)
{
	struct pa_walk walk = {
		.window = &s->window, .context = s, .block = count_block,
		.pool = count_pool, .chunk = count_chunk, .part_to = 0.5,
	};

	pa_walk_all(&walk);
	end_pool(s);
	count_arena(s);
	s->census->pools_changing = walk.changing;
	s->census->damaged = walk.damaged;
	if (walk.stopped)
		return PA_E_TIMEOUT;
	add_up(s);
	return pa_buffers_close(&s->buffers) ? PA_E_FAILED : 0;
}

/* For the graph first, which may move the window. */
static void draw_and_tell(void *context, const struct pa_block *block)
{
	struct survey *s = context;
	struct pa_block again = *block;

	pa_references_draw(&s->references, block);
	if (!block->small)
		again.head = pa_window_at(&s->window, block->address,
					  block->head_size);
	pa_owners_visit(&s->owners, &again);
}

static void tell_owners(void *context, const struct pa_block *block)
{
	struct survey *s = context;

	pa_owners_visit(&s->owners, block);
}

static void note_gap(void *context, uint64_t start, uint64_t end)
{
	struct survey *s = context;

	if (s->ask)
		pa_roots_gap(&s->roots, start, end);
}

static int second_pass(struct survey *s)
{
	struct pa_walk walk = {
		.window = &s->window, .context = s,
		.block = s->ask ? draw_and_tell : tell_owners,
		.gap = note_gap, .skip = s->dull, .n_skip = s->n_dull,
	 .part_from = 0.5, .part_to = 1,
	};

	s->window.loaded = 0;
	s->window.start = s->window.end = 0;
	if (s->ask)
		pa_nodes_close(&s->references.nodes);
	s->owners = (struct pa_owners){
		.window = &s->window, .types = &s->types,
		.buffers = &s->buffers,
	};
	pa_walk_all(&walk);
	pa_owners_finish(&s->owners);
	if (walk.stopped)
		return PA_E_TIMEOUT;
	pa_buffers_spread(&s->buffers);
	return s->ask && pa_references_close(&s->references) ?
		PA_E_FAILED : 0;
}

/* ---- all ---- */

static int start(struct survey *s)
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
static void find_classes(struct survey *s)
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

static int look(struct survey *s, struct pa_holders *holders)
{
	int err = first_pass(s);

	if (!err)
		err = second_pass(s);
	if (err)
		return err;
	find_classes(s);
	pa_types_name(&s->types);
	/* their room is needed now */
	count_buffers(s);
	pa_buffers_deinit(&s->buffers);
	if (!err && s->ask)
		err = pa_holders_answer(&s->references, &s->roots, s->ask,
					holders);
	return err ? err : make_rows(s);
}

int pa_census_run_asked(const struct pa_census_source *source,
			const struct pa_holders_ask *ask,
			struct pa_census *census, struct pa_holders *holders)
{
	struct survey s = { .source = source, .census = census, .ask = ask };
	int err;

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
	free(s.dull);
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
