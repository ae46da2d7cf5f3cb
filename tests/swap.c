/* SPDX-License-Identifier: MIT
 *
 * Puts the payload's hooks in and takes them out, over and over, while
 * threads without the GIL call the RAW allocator: a pointer that could tear
 * would be called sooner or later.
 *
 * Linked with the payload's own objects into a library that targets/swap.py
 * loads; never part of the product.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "payload/hooks.h"
#include "payload/python.h"
#include "payload/store.h"
#include "payload/text.h"
#include "payload/threads.h"

#define HAMMERS_MAX 8

void *PyMem_RawMalloc(size_t size);
void *PyMem_RawRealloc(void *block, size_t size);
void PyMem_RawFree(void *block);
int pa_test_swap(uint64_t times, unsigned hammers, uint64_t rate);

static int stop;

static void *hammer(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		void *block = PyMem_RawMalloc(100);

		block = PyMem_RawRealloc(block, 200);
		PyMem_RawFree(block);
	}
	return unused;
}

static int prepare(uint64_t rate)
{
	int error = pa_store_map_directory();

	if (!error)
		error = pa_threads_init();
	if (!error)
		error = pa_python_init();
	if (!error)
		error = pa_store_start((uint64_t)4 << 20);
	if (error)
		return error;
	pa_python_stacks_off();
	pa_store_lock();
	pa_store_set_rate_locked(rate);
	pa_store_unlock();
	return 0;
}

/* The hooks as a whole: every domain, in and out. */
static int swap_hooks(uint64_t times)
{
	char text[128];
	struct pa_text why;
	int error = 0;

	pa_text_init(&why, text, sizeof text);
	for (uint64_t i = 0; i < times && !error; i++) {
		error = pa_hooks_install(i + 1, &why);
		pa_hooks_remove();
	}
	return error;
}

/* The one moment that can tear, as often as can be: RAW's allocator and its
 * hooked form, in turn. */
static int swap_raw(uint64_t times)
{
	struct pa_allocator plain, hooked;
	char text[128];
	struct pa_text why;
	int error;

	pa_text_init(&why, text, sizeof text);
	pa_python_api.get_allocator(PA_DOMAIN_RAW, &plain);
	error = pa_hooks_install(1, &why);
	if (error)
		return error;
	pa_python_api.get_allocator(PA_DOMAIN_RAW, &hooked);
	for (uint64_t i = 0; i < times; i++) {
		pa_python_api.set_allocator(PA_DOMAIN_RAW, &plain);
		pa_python_api.set_allocator(PA_DOMAIN_RAW, &hooked);
	}
	pa_hooks_remove();
	return 0;
}

/* With the GIL.  0, or the payload's error. */
__attribute__((visibility("default")))
int pa_test_swap(uint64_t times, unsigned hammers, uint64_t rate)
{
	pthread_t threads[HAMMERS_MAX];
	int error = prepare(rate);

	if (error)
		return error;
	if (hammers > HAMMERS_MAX)
		hammers = HAMMERS_MAX;
	for (unsigned i = 0; i < hammers; i++)
		pthread_create(&threads[i], NULL, hammer, NULL);
	pa_tls.ours = 1;
	error = swap_raw(times);
	if (!error)
		error = swap_hooks(times / 16);
	pa_tls.ours = 0;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < hammers; i++)
		pthread_join(threads[i], NULL);
	return error;
}
