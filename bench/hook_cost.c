/* SPDX-License-Identifier: MIT
 *
 * A part of the library for bench/hooks: times malloc-and-free pairs through
 * CPython's allocator.  Loaded by ctypes into a Python that the benchmark
 * started; not part of the product.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <time.h>

double hook_cost_pair_ns(long n, size_t size);

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
