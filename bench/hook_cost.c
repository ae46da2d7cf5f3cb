/* SPDX-License-Identifier: MIT
 *
 * A library for bench/hooks: times malloc-and-free pairs through CPython's
 * allocator, and installs a pass-through hook to compare with.  Loaded by
 * ctypes into a Python that the benchmark started; not part of the product.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct allocator {
	void *ctx;
	void *(*malloc)(void *, size_t);
	void *(*calloc)(void *, size_t, size_t);
	void *(*realloc)(void *, void *, size_t);
	void (*free)(void *, void *);
};

int hook_cost_pass_through(int on);
double hook_cost_pair_ns(long n, size_t size);

static struct allocator saved[3];

#define PASS(domain)							\
	static void *malloc_##domain(void *ctx, size_t size)		\
	{								\
		(void)ctx;						\
		return saved[domain].malloc(saved[domain].ctx, size);	\
	}								\
	static void *calloc_##domain(void *ctx, size_t n, size_t size)	\
	{								\
		(void)ctx;						\
		return saved[domain].calloc(saved[domain].ctx, n, size); \
	}								\
	static void *realloc_##domain(void *ctx, void *p, size_t size)	\
	{								\
		(void)ctx;						\
		return saved[domain].realloc(saved[domain].ctx, p, size); \
	}								\
	static void free_##domain(void *ctx, void *p)			\
	{								\
		(void)ctx;						\
		saved[domain].free(saved[domain].ctx, p);		\
	}
PASS(0) PASS(1) PASS(2)

/* on: hook all four functions of all domains; off: put the old ones back.
 * With the GIL, in a process with one Python thread. */
int hook_cost_pass_through(int on)
{
	void (*get)(int, struct allocator *) =
		dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
	void (*set)(int, struct allocator *) =
		dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
	struct allocator pass[3] = {
		{ 0, malloc_0, calloc_0, realloc_0, free_0 },
		{ 0, malloc_1, calloc_1, realloc_1, free_1 },
		{ 0, malloc_2, calloc_2, realloc_2, free_2 },
	};

	if (!get || !set)
		return -1;
	for (int domain = 0; domain < 3; domain++) {
		if (!on) {
			set(domain, &saved[domain]);
			continue;
		}
		get(domain, &saved[domain]);
		pass[domain].ctx = saved[domain].ctx;
		set(domain, &pass[domain]);
	}
	return 0;
}

/* Nanoseconds of CPU time for one PyObject_Malloc(size) and PyObject_Free,
 * the mean over n pairs.  With the GIL. */
double hook_cost_pair_ns(long n, size_t size)
{
	void *(*allocate)(size_t) = dlsym(RTLD_DEFAULT, "PyObject_Malloc");
	void (*release)(void *) = dlsym(RTLD_DEFAULT, "PyObject_Free");
	struct timespec from, to;

	if (!allocate || !release || n <= 0)
		return -1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	for (long i = 0; i < n; i++)
		release(allocate(size));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 +
		(double)(to.tv_nsec - from.tv_nsec)) / (double)n;
}
