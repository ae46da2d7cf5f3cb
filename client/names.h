/* SPDX-License-Identifier: MIT
 *
 * Names and stacks of one or several images, each stored once: equal ones
 * get equal numbers, so that reports can merge sources and compare rows by
 * numbers.  Not thread-safe; no I/O.
 */
#ifndef PA_CLIENT_NAMES_H
#define PA_CLIENT_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* A hash table from three numbers to an index that the owner keeps. */
struct pa_map {
	uint32_t *slots;	/* index + 1, 0 = free */
	uint32_t capacity;	/* a power of two, or 0 */
};

struct pa_name {
	const char *bytes;	/* any bytes, also NUL; ended by one more NUL */
	uint32_t length;
};

struct pa_call {		/* a frame, by name numbers */
	uint32_t file, function, line, first_line;
};

struct pa_step {		/* a node of the stack tree */
	uint32_t parent;	/* 0 = outermost */
	uint32_t call;
};

/* Number 0 of each table is the empty one.  All zero is an empty set. */
struct pa_names {
	struct pa_name *names;
	struct pa_call *calls;
	struct pa_step *steps;
	uint32_t n_names, n_calls, n_steps;
	uint32_t room_names, room_calls, room_steps;
	struct pa_map by_name, by_call, by_step;
};

int pa_names_init(struct pa_names *names);	/* 0 or PA_E_FAILED */
void pa_names_free(struct pa_names *names);

/* Each: the number, or UINT32_MAX without memory. */
uint32_t pa_names_add(struct pa_names *names, const char *bytes,
		      uint32_t length);
uint32_t pa_names_add_call(struct pa_names *names, struct pa_call call);
uint32_t pa_names_add_step(struct pa_names *names, uint32_t parent,
			   uint32_t call);

/* ---- the map, for owners of other tables ---- */

uint64_t pa_map_hash(uint64_t a, uint64_t b, uint64_t c);

/*
 * Find the element for which equal(context, index) is not 0 among those of
 * the same hash; UINT32_MAX if there is none.
 */
uint32_t pa_map_find(const struct pa_map *map, uint64_t hash,
		     int (*equal)(void *context, uint32_t index),
		     void *context);
/* Enter index `count` - 1 as the newest of `count`; hash_of gives the hash
 * of an older one when the map has to grow.  0 or PA_E_FAILED. */
int pa_map_insert(struct pa_map *map, uint64_t hash, uint32_t count,
		  uint64_t (*hash_of)(void *context, uint32_t index),
		  void *context);
void pa_map_free(struct pa_map *map);

/* Make room for one more element; returns the array or NULL. */
void *pa_grow(void *array, uint32_t count, uint32_t *room, size_t size);

#endif /* PA_CLIENT_NAMES_H */
