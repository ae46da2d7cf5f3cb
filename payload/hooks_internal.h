/* SPDX-License-Identifier: MIT
 *
 * What the three files of the hooks share.  Nobody else includes it.
 */
#ifndef PA_PAYLOAD_HOOKS_INTERNAL_H
#define PA_PAYLOAD_HOOKS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload/python.h"

/* The four functions of a domain, in the order of struct pa_allocator. */
enum pa_hook_function {
	PA_HOOK_MALLOC, PA_HOOK_CALLOC, PA_HOOK_REALLOC, PA_HOOK_FREE,
	PA_HOOK_FUNCTIONS
};

/*
 * One domain.  `saved` is published before the hooks go in and points to a
 * struct that never changes afterwards.
 */
struct pa_hook {
	const struct pa_allocator *saved;
	/* requests of 1 .. tail_limit bytes never reach another domain */
	size_t tail_limit;
	/* larger ones reach RAW in the same call, with the same size: it
	 * charges them */
	bool hands_on;
	/* our free is in the chain, so a sample may stay in its pool */
	bool free_hooked;
} __attribute__((aligned(64)));

extern struct pa_hook pa_hooks[3];

/* Samples are taken; changes under the store lock only. */
extern int pa_hooks_active;

/* The hooks of each domain. */
extern void *const pa_hot_functions[3][PA_HOOK_FUNCTIONS];

/* What pymalloc serves from its pools, and hands on to RAW above. */
#define PA_POOL_MAX 512u

/* A call as it came in. */
struct pa_request {
	int domain;
	enum pa_hook_function function;
	size_t count;		/* calloc's */
	size_t size;		/* calloc's: of one element */
	size_t total;		/* bytes */
	int label;		/* the domain that it came in by */
};

/* The slow paths; each ends in the real call.  A hook's own thread and
 * context, errno kept. */
void *pa_slow_allocate(const struct pa_request *request);
void *pa_slow_realloc(int domain, void *pointer, size_t size);
/* A realloc is done and gave `block`: charge it; the block to return. */
void *pa_slow_realloc_done(int domain, void *block, size_t size);
/* Free a block that may be a sample. */
void pa_slow_free(int domain, void *pointer);

#endif /* PA_PAYLOAD_HOOKS_INTERNAL_H */
