/* SPDX-License-Identifier: MIT
 *
 * A program that is no Python at first, then loads libpython so that nobody
 * else sees its symbols (RTLD_LOCAL), starts it and ends it: what the Python
 * layer says at each step.  embed HARNESS.so LIBPYTHON.so; prints ok lines.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"

static void *harness, *python;
static int failures;

static void *need(void *handle, const char *name)
{
	void *address = dlsym(handle, name);

	if (!address) {
		printf("not ok embed: no %s\n", name);
		exit(1);
	}
	return address;
}

#define CALL(handle, type, name) ((type)need(handle, name))

static void expect(int got, int wanted, const char *what)
{
	printf("%sok embed: %s: %d\n", got == wanted ? "" : "not ", what, got);
	failures += got != wanted;
	fflush(stdout);
}

static int init(void)
{
	return CALL(harness, int (*)(void), "pt_init")();
}

/* Start a taking of the GIL and wait for its end. */
static int take(unsigned timeout_ms)
{
	uint64_t waited;
	int passed;
	char text[128];

	CALL(harness, int (*)(unsigned, unsigned), "pt_gil_start")(timeout_ms,
								   0);
	while (!CALL(harness, int (*)(void), "pt_gil_done")())
		usleep(1000);
	return CALL(harness, int (*)(uint64_t *, int *, char *),
		    "pt_gil_result")(&waited, &passed, text);
}

/* Runs while modules are torn down. */
static void at_teardown(void *unused)
{
	(void)unused;
	expect(init(), PA_E_FINALISING, "init while finalising");
	expect(take(500), PA_E_FINALISING, "GIL while finalising");
}

static void plant(void)
{
	void *capsule = CALL(python, void *(*)(void *, const char *,
					       void (*)(void *)),
			     "PyCapsule_New")(&failures, NULL, at_teardown);
	void *module = CALL(python, void *(*)(const char *),
			    "PyImport_AddModule")("__main__");

	CALL(python, int (*)(void *, const char *, void *),
	     "PyModule_AddObject")(module, "capsule", capsule);
}

int main(int argc, char **argv)
{
	Dl_info where;
	char text[128];

	if (argc != 3)
		return 2;
	harness = dlopen(argv[1], RTLD_NOW);
	if (!harness) {
		printf("not ok embed: %s\n", dlerror());
		return 1;
	}
	expect(init(), PA_E_NOT_PYTHON, "no Python");
	python = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
	if (!python) {
		printf("not ok embed: %s\n", dlerror());
		return 1;
	}
	expect(init(), PA_E_NOT_READY, "before Py_Initialize");
	CALL(python, void (*)(int), "Py_InitializeEx")(0);
	expect(init(), 0, "after Py_Initialize");
	dladdr(need(python, "Py_GetVersion"), &where);
	expect(CALL(harness, void *(*)(void), "pt_base")() == where.dli_fbase,
	       1, "the library is found");
	expect(CALL(harness, int (*)(char *, size_t),
		    "pt_self_test")(text, sizeof(text)), 1,
	       "self-test without any frame");
	expect(take(200), PA_E_GIL_TIMEOUT, "GIL held for ever by C");
	plant();
	CALL(python, int (*)(void), "Py_FinalizeEx")();
	expect(init(), PA_E_FINALISING, "after Py_FinalizeEx");
	return failures != 0;
}
