/* SPDX-License-Identifier: MIT
 *
 * Names and stacks, each stored once; see names.h.  It must not interpret a
 * name: bytes are bytes here.
 */
#include "client/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "common/error.h"

/* ---- map ---- */

/* Differs from run to run: a hostile file must not be able to choose names
 * that all collide. */
static uint64_t hash_seed(void)
{
	static uint64_t seed;
	const void *random;

	if (!seed) {
		random = (const void *)getauxval(AT_RANDOM);
		if (random)
			memcpy(&seed, random, sizeof seed);
		seed |= 1;
	}
	return seed;
}

uint64_t pa_map_hash(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t h = (a ^ hash_seed()) * 0x9e3779b97f4a7c15ull;

	h = (h ^ (h >> 29) ^ b) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (h >> 32) ^ c) * 0x94d049bb133111ebull;
	return h ^ (h >> 31);
}

uint32_t pa_map_find(const struct pa_map *map, uint64_t hash,
		     int (*equal)(void *context, uint32_t index),
		     void *context)
{
	uint32_t mask = map->capacity - 1;

	if (!map->capacity)
		return UINT32_MAX;
	for (uint32_t i = (uint32_t)hash & mask; map->slots[i];
	     i = (i + 1) & mask)
		if (equal(context, map->slots[i] - 1))
			return map->slots[i] - 1;
	return UINT32_MAX;
}

static void map_put(struct pa_map *map, uint64_t hash, uint32_t index)
{
	uint32_t mask = map->capacity - 1, i = (uint32_t)hash & mask;

	while (map->slots[i])
		i = (i + 1) & mask;
	map->slots[i] = index + 1;
}

int pa_map_insert(struct pa_map *map, uint64_t hash, uint32_t count,
		  uint64_t (*hash_of)(void *context, uint32_t index),
		  void *context)
{
	if ((uint64_t)count * 4 >= (uint64_t)map->capacity * 3) {
		struct pa_map more = { .capacity = map->capacity ?
				       map->capacity * 2 : 64 };

		if (!more.capacity)
			return PA_E_FAILED;
		more.slots = calloc(more.capacity, sizeof *more.slots);
		if (!more.slots)
			return PA_E_FAILED;
		for (uint32_t i = 0; i < map->capacity; i++)
			if (map->slots[i])
				map_put(&more, hash_of(context,
						       map->slots[i] - 1),
					map->slots[i] - 1);
		free(map->slots);
		*map = more;
	}
	map_put(map, hash, count - 1);
	return 0;
}

void pa_map_free(struct pa_map *map)
{
	free(map->slots);
	memset(map, 0, sizeof *map);
}

void *pa_grow(void *array, uint32_t count, uint32_t *room, size_t size)
{
	uint32_t more;

	if (count < *room)
		return array;
	more = *room ? *room * 2 : 64;
	if (more <= *room)
		return NULL;
	array = reallocarray(array, more, size);
	if (array)
		*room = more;
	return array;
}

/* ---- names ---- */

struct lookup {
	struct pa_names *names;
	struct pa_name name;
	struct pa_call call;
	struct pa_step step;
};

static uint64_t hash_bytes(const char *bytes, uint32_t length)
{
	uint64_t h = 0xcbf29ce484222325ull ^ hash_seed();

	for (uint32_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3ull;
	return pa_map_hash(h, length, 0);
}

static uint64_t name_hash(void *context, uint32_t i)
{
	const struct pa_names *names = ((struct lookup *)context)->names;

	return hash_bytes(names->names[i].bytes, names->names[i].length);
}

static int name_equal(void *context, uint32_t i)
{
	const struct lookup *l = context;
	const struct pa_name *name = &l->names->names[i];

	return name->length == l->name.length &&
		!memcmp(name->bytes, l->name.bytes, name->length);
}

static char *copy_bytes(const char *bytes, uint32_t length)
{
	char *copy = malloc((size_t)length + 1);

	if (!copy)
		return NULL;
	if (length)
		memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

uint32_t pa_names_add(struct pa_names *names, const char *bytes,
		      uint32_t length)
{
	struct lookup l = { .names = names, .name = { bytes, length } };
	uint64_t hash = hash_bytes(bytes, length);
	uint32_t found = pa_map_find(&names->by_name, hash, name_equal, &l);
	struct pa_name *array;
	char *copy;

	if (found != UINT32_MAX)
		return found;
	array = pa_grow(names->names, names->n_names, &names->room_names,
			sizeof *array);
	if (!array)
		return UINT32_MAX;
	names->names = array;
	copy = copy_bytes(bytes, length);
	if (!copy)
		return UINT32_MAX;
	array[names->n_names++] = (struct pa_name){ copy, length };
	if (pa_map_insert(&names->by_name, hash, names->n_names, name_hash,
			  &l))
		return UINT32_MAX;
	return names->n_names - 1;
}

/* ---- calls ---- */

static uint64_t hash_call(const struct pa_call *c)
{
	return pa_map_hash((uint64_t)c->file << 32 | c->function, c->line,
			   c->first_line);
}

static uint64_t call_hash(void *context, uint32_t i)
{
	return hash_call(&((struct lookup *)context)->names->calls[i]);
}

static int call_equal(void *context, uint32_t i)
{
	const struct lookup *l = context;

	return !memcmp(&l->names->calls[i], &l->call, sizeof l->call);
}

uint32_t pa_names_add_call(struct pa_names *names, struct pa_call call)
{
	struct lookup l = { .names = names, .call = call };
	uint64_t hash = hash_call(&call);
	uint32_t found = pa_map_find(&names->by_call, hash, call_equal, &l);
	struct pa_call *array;

	if (found != UINT32_MAX)
		return found;
	array = pa_grow(names->calls, names->n_calls, &names->room_calls,
			sizeof *array);
	if (!array)
		return UINT32_MAX;
	names->calls = array;
	array[names->n_calls++] = call;
	if (pa_map_insert(&names->by_call, hash, names->n_calls, call_hash,
			  &l))
		return UINT32_MAX;
	return names->n_calls - 1;
}

/* ---- steps ---- */

static uint64_t step_hash(void *context, uint32_t i)
{
	const struct pa_names *names = ((struct lookup *)context)->names;

	return pa_map_hash(names->steps[i].parent, names->steps[i].call, 1);
}

static int step_equal(void *context, uint32_t i)
{
	const struct lookup *l = context;

	return !memcmp(&l->names->steps[i], &l->step, sizeof l->step);
}

uint32_t pa_names_add_step(struct pa_names *names, uint32_t parent,
			   uint32_t call)
{
	struct lookup l = { .names = names, .step = { parent, call } };
	uint64_t hash = pa_map_hash(parent, call, 1);
	uint32_t found = pa_map_find(&names->by_step, hash, step_equal, &l);
	struct pa_step *array;

	if (found != UINT32_MAX)
		return found;
	array = pa_grow(names->steps, names->n_steps, &names->room_steps,
			sizeof *array);
	if (!array)
		return UINT32_MAX;
	names->steps = array;
	array[names->n_steps++] = (struct pa_step){ parent, call };
	if (pa_map_insert(&names->by_step, hash, names->n_steps, step_hash,
			  &l))
		return UINT32_MAX;
	return names->n_steps - 1;
}

int pa_names_init(struct pa_names *names)
{
	memset(names, 0, sizeof *names);
	/* UINT32_MAX as a parent: no lookup ever finds the reserved step. */
	if (pa_names_add(names, "", 0) ||
	    pa_names_add_call(names, (struct pa_call){ 0, 0, 0, 0 }) ||
	    pa_names_add_step(names, UINT32_MAX, UINT32_MAX)) {
		pa_names_free(names);
		return PA_E_FAILED;
	}
	return 0;
}

void pa_names_free(struct pa_names *names)
{
	for (uint32_t i = 0; i < names->n_names; i++)
		free((char *)names->names[i].bytes);
	free(names->names);
	free(names->calls);
	free(names->steps);
	pa_map_free(&names->by_name);
	pa_map_free(&names->by_call);
	pa_map_free(&names->by_step);
	memset(names, 0, sizeof *names);
}
