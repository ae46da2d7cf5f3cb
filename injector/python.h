/* SPDX-License-Identifier: MIT
 *
 * Is there a CPython among a process's modules, which, and in which state?
 *
 * Everything is read from the process's memory: exported symbols, the text
 * that Py_GetVersion made, the head of _PyRuntime.  What a version decides is
 * in python.c and nowhere else in the injector.
 */
#ifndef PA_INJECTOR_PYTHON_H
#define PA_INJECTOR_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

#include "injector/memory.h"
#include "injector/modules.h"

#define PA_PYTHON_MINOR_MIN 8
#define PA_PYTHON_MINOR_MAX 15

enum pa_python_state {
	PA_PYTHON_UNKNOWN = 0,
	PA_PYTHON_STARTING,
	PA_PYTHON_RUNNING,
	PA_PYTHON_FINALISING,
};

struct pa_python {
	struct pa_module *module;	/* libpython or the executable; NULL: no
					 * CPython */
	bool shared;			/* it is a libpython */
	bool other;			/* another implementation: see name */
	char name[32];			/* of that */
	int major, minor;		/* 0 = not known */
	uint32_t hex;			/* PY_VERSION_HEX, 0 = not known */
	char text[32];			/* "3.13.0", or "3.13" */
	bool free_threaded;
	enum pa_python_state state;
};

/* Where requests of remote debugging (3.14+) are written: offsets within a
 * thread state, or as said. */
#define PA_REMOTE_PATH_MAX 512
struct pa_python_remote {
	uint64_t interpreter;		/* address of the main one */
	uint64_t threads;		/* in it: the first thread state */
	uint64_t next, breaker, support;
	uint64_t pending, path;		/* within what `support` begins */
	uint64_t path_size;		/* bytes, with the NUL */
	uint64_t breaker_bit;
};

/* NULL and *remote, or why such requests are not possible. */
const char *pa_python_find_remote(const struct pa_python *python,
				  struct pa_memory *memory,
				  struct pa_python_remote *remote);

/* Never fails: what cannot be told stays 0. */
void pa_python_find(const struct pa_modules *modules, struct pa_memory *memory,
		    struct pa_python *python);

/* The version in text such as "3.13.0rc1+ (main, ..." as PY_VERSION_HEX;
 * 0 if it is none.  For find() and its tests. */
uint32_t pa_python_parse_version(const char *text);

#endif /* PA_INJECTOR_PYTHON_H */
