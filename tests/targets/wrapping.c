/* SPDX-License-Identifier: MIT
 *
 * For wrapping.py and bench/hooks: allocators that pass everything through and
 * keep what they wrap where no reader finds it, for their ctx is NULL.
 */
#include <stddef.h>

struct allocator {
	void *ctx;
	void *(*malloc)(void *, size_t);
	void *(*calloc)(void *, size_t, size_t);
	void *(*realloc)(void *, void *, size_t);
	void (*free)(void *, void *);
};

static struct allocator below[3];

#define WRAPPER(d)							\
static void *malloc_##d(void *ctx, size_t n)				\
{									\
	(void)ctx;							\
	return below[d].malloc(below[d].ctx, n);			\
}									\
static void *calloc_##d(void *ctx, size_t count, size_t n)		\
{									\
	(void)ctx;							\
	return below[d].calloc(below[d].ctx, count, n);			\
}									\
static void *realloc_##d(void *ctx, void *block, size_t n)		\
{									\
	(void)ctx;							\
	return below[d].realloc(below[d].ctx, block, n);		\
}									\
static void free_##d(void *ctx, void *block)				\
{									\
	(void)ctx;							\
	below[d].free(below[d].ctx, block);				\
}

WRAPPER(0)
WRAPPER(1)
WRAPPER(2)

#define WRAPPED(d) { NULL, malloc_##d, calloc_##d, realloc_##d, free_##d }

int wrap(void (*get)(int, struct allocator *),
	 void (*set)(int, struct allocator *))
{
	struct allocator wrappers[3] = { WRAPPED(0), WRAPPED(1), WRAPPED(2) };

	for (int d = 0; d < 3; d++) {
		get(d, &below[d]);
		set(d, &wrappers[d]);
	}
	return 0;
}

int unwrap(void (*set)(int, struct allocator *))
{
	for (int d = 0; d < 3; d++)
		set(d, &below[d]);
	return 0;
}
