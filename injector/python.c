/* SPDX-License-Identifier: MIT
 *
 * Recognising CPython (see python.h).
 */
#include "injector/python.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_MAX (16u << 20)

/* Where the head of _PyRuntime holds its flags, by minor version.  From 3.13
 * on the target publishes it (_Py_DebugOffsets). */
static const struct {
	int first, last;
	unsigned initialized, finalizing;
} runtime_rows[] = {
	{ 8, 10, 12, 16 },
	{ 11, 12, 16, 24 },
};

/* The start of _Py_DebugOffsets, the same since 3.13. */
struct debug_offsets {
	char cookie[8];
	uint64_t version, free_threaded;
	uint64_t runtime_size, finalizing;
};

#define DEBUG_COOKIE "xdebugpy"
/* `int initialized` and 4 bytes of padding lie before `finalizing` */
#define INITIALIZED_BEFORE 8

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool find_other(const struct pa_modules *modules,
		       struct pa_python *python)
{
	static const struct {
		const char *prefix, *name;
	} known[] = {
		{ "libpypy", "PyPy" },
		{ "pypy", "PyPy" },
		{ "libpythonvm", "GraalPy" },
		{ "graalpy", "GraalPy" },
		{ "micropython", "MicroPython" },
	};

	for (size_t i = 0; i < modules->count; i++) {
		const char *base = base_name(modules->module[i].path);

		for (size_t k = 0; k < sizeof known / sizeof *known; k++)
			if (!strncmp(base, known[k].prefix,
				     strlen(known[k].prefix))) {
				snprintf(python->name, sizeof python->name,
					 "%s", known[k].name);
				return true;
			}
	}
	return false;
}

static bool is_python(struct pa_module *m, struct pa_memory *memory)
{
	return pa_module_defines(m, memory, "Py_IsInitialized") &&
	       pa_module_symbol(m, memory, "Py_IsInitialized");
}

static struct pa_module *find_module(const struct pa_modules *modules,
				     struct pa_memory *memory)
{
	if (modules->exe && is_python(modules->exe, memory))
		return modules->exe;
	for (int named = 1; named >= 0; named--)
		for (size_t i = 0; i < modules->count; i++) {
			struct pa_module *m = &modules->module[i];
			bool lib = !strncmp(m->soname, "libpython", 9);

			if (lib == named && is_python(m, memory))
				return m;
		}
	return NULL;
}

/* "a1", "b2", "rc3" or nothing: the low byte of PY_VERSION_HEX. */
static uint32_t parse_release(const char **p)
{
	static const struct {
		const char *word;
		uint32_t level;
	} levels[] = { { "a", 0xa }, { "b", 0xb }, { "rc", 0xc } };

	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		size_t n = strlen(levels[i].word);

		if (strncmp(*p, levels[i].word, n) ||
		    !isdigit((unsigned char)(*p)[n]))
			continue;
		*p += n;
		return levels[i].level << 4 |
		       (strtoul(*p, (char **)p, 10) & 0xf);
	}
	return 0xf0;
}

uint32_t pa_python_parse_version(const char *text)
{
	unsigned long part[3];
	const char *p = text;
	uint32_t release;

	for (int i = 0; i < 3; i++) {
		char *end;

		if (!isdigit((unsigned char)*p))
			return 0;
		part[i] = strtoul(p, &end, 10);
		if (part[i] > 255 || (i < 2 && *end != '.'))
			return 0;
		p = i < 2 ? end + 1 : end;
	}
	release = parse_release(&p);
	if (*p == '+')
		p++;
	if (p[0] != ' ' || p[1] != '(')
		return 0;
	return (uint32_t)(part[0] << 24 | part[1] << 16 | part[2] << 8) |
	       release;
}

/* The text that Py_GetVersion made lies somewhere in the module's data. */
static uint32_t search_version(const struct pa_module *m,
			       struct pa_memory *memory, char *text,
			       size_t size)
{
	size_t n = m->data_end - m->data_start, length;
	uint32_t version = 0;
	char *data;

	if (m->data_end <= m->data_start || n > DATA_MAX)
		return 0;
	data = malloc(n + 1);
	if (!data)
		return 0;
	n = pa_memory_read_some(memory, m->data_start, data, n);
	data[n] = 0;
	for (size_t i = 1; i + 8 < n && !version; i++) {
		if (data[i + 1] != '.' || data[i - 1] ||
		    (data[i] != '2' && data[i] != '3'))
			continue;
		version = pa_python_parse_version(data + i);
		length = strcspn(data + i, " ");
		if (version && length < size) {
			memcpy(text, data + i, length);
			text[length] = 0;
		}
	}
	free(data);
	return version;
}

static void print_version(uint32_t hex, char *text, size_t size)
{
	static const char *const level[] = { "a", "b", "rc" };
	unsigned kind = hex >> 4 & 0xf;
	int n = snprintf(text, size, "%u.%u.%u", hex >> 24, hex >> 16 & 0xff,
			 hex >> 8 & 0xff);

	if (kind >= 0xa && kind <= 0xc)
		snprintf(text + n, size - n, "%s%u", level[kind - 0xa],
			 hex & 0xf);
}

static void find_version(struct pa_python *python, struct pa_memory *memory)
{
	struct pa_module *m = python->module;
	uint64_t at = pa_module_symbol(m, memory, "Py_Version");
	uint64_t value = 0;

	if (at && !pa_memory_read(memory, at, &value, sizeof value)) {
		python->hex = (uint32_t)value;
		print_version(python->hex, python->text, sizeof python->text);
	} else {
		python->hex = search_version(m, memory, python->text,
					     sizeof python->text);
	}
	if (python->hex) {
		python->major = (int)(python->hex >> 24);
		python->minor = (int)(python->hex >> 16 & 0xff);
		return;
	}
	/* not initialised yet, perhaps: the name says the minor version */
	if (sscanf(m->soname, "libpython%d.%d", &python->major,
		   &python->minor) == 2 ||
	    sscanf(base_name(m->path), "python%d.%d", &python->major,
		   &python->minor) == 2)
		snprintf(python->text, sizeof python->text, "%d.%d",
			 python->major, python->minor);
}

/* Offsets of the flags in _PyRuntime; false if they are not known. */
static bool find_offsets(struct pa_python *python, struct pa_memory *memory,
			 uint64_t runtime, uint64_t *initialized,
			 uint64_t *finalizing)
{
	struct debug_offsets d = { 0 };

	for (size_t i = 0; i < sizeof runtime_rows / sizeof *runtime_rows; i++)
		if (python->minor >= runtime_rows[i].first &&
		    python->minor <= runtime_rows[i].last) {
			*initialized = runtime_rows[i].initialized;
			*finalizing = runtime_rows[i].finalizing;
			return true;
		}
	if (pa_memory_read(memory, runtime, &d, sizeof d) ||
	    memcmp(d.cookie, DEBUG_COOKIE, sizeof d.cookie) ||
	    d.finalizing < INITIALIZED_BEFORE ||
	    d.finalizing > d.runtime_size)
		return false;
	python->free_threaded = d.free_threaded != 0;
	*finalizing = d.finalizing;
	*initialized = d.finalizing - INITIALIZED_BEFORE;
	return true;
}

static void find_state(struct pa_python *python, struct pa_memory *memory)
{
	uint64_t runtime = pa_module_symbol(python->module, memory,
					    "_PyRuntime");
	uint64_t initialized, finalizing, thread;
	uint32_t flag;

	if (!runtime || !find_offsets(python, memory, runtime, &initialized,
				      &finalizing) ||
	    pa_memory_read(memory, runtime + initialized, &flag, 4) ||
	    pa_memory_read(memory, runtime + finalizing, &thread, 8))
		return;
	if (thread)
		python->state = PA_PYTHON_FINALISING;
	else
		python->state = flag ? PA_PYTHON_RUNNING : PA_PYTHON_STARTING;
}

void pa_python_find(const struct pa_modules *modules, struct pa_memory *memory,
		    struct pa_python *python)
{
	memset(python, 0, sizeof *python);
	python->other = find_other(modules, python);
	if (python->other)
		return;
	python->module = find_module(modules, memory);
	if (!python->module)
		return;
	python->shared = python->module != modules->exe;
	find_version(python, memory);
	if (python->major == 3 && python->minor >= PA_PYTHON_MINOR_MIN)
		find_state(python, memory);
}

/* Where _Py_DebugOffsets has the offsets that remote debugging needs; those
 * of the runtime, the interpreter and the thread state stay the same. */
static const struct {
	int minor;
	unsigned size, support;
} remote_rows[] = {
	{ 14, 760, 712 },
	{ 15, 888, 840 },
};

#define OFFSETS_MAX 1024
#define AT_INTERPRETERS 40
#define AT_NEXT_INTERPRETER 64
#define INTERPRETERS_MAX 1024
#define AT_THREADS 72
#define AT_NEXT 192
#define PLEASE_STOP 32u		/* _PY_EVAL_PLEASE_STOP_BIT */
#define SANE_OFFSET (1u << 20)

static uint64_t word_at(const uint8_t *bytes, size_t at)
{
	uint64_t word;

	memcpy(&word, bytes + at, sizeof word);
	return word;
}

/* The six words of debugger_support, in its order; false: not sane. */
static bool read_support(const uint8_t *bytes, size_t at,
			 struct pa_python_remote *r, uint64_t *enabled)
{
	r->breaker = word_at(bytes, at);
	r->support = word_at(bytes, at + 8);
	*enabled = word_at(bytes, at + 16);
	r->pending = word_at(bytes, at + 24);
	r->path = word_at(bytes, at + 32);
	r->path_size = word_at(bytes, at + 40);
	return r->breaker < SANE_OFFSET && r->support < SANE_OFFSET &&
	       *enabled < SANE_OFFSET && r->pending < SANE_OFFSET &&
	       r->path < SANE_OFFSET && r->path_size <= PA_REMOTE_PATH_MAX &&
	       r->path_size >= 64;
}

/* The main interpreter was the first: it is the last of the list. */
static bool find_main(struct pa_memory *memory, uint64_t head, uint64_t next,
		      uint64_t *interpreter)
{
	uint64_t at = 0, found = 0;

	if (next > SANE_OFFSET || pa_memory_read(memory, head, &at, sizeof at))
		return false;
	for (unsigned i = 0; at && i < INTERPRETERS_MAX; i++) {
		found = at;
		if (pa_memory_read(memory, found + next, &at, sizeof at))
			return false;
	}
	*interpreter = found;
	return found != 0 && !at;
}

static const char *read_remote(uint64_t runtime, size_t size, size_t support,
			       struct pa_memory *memory,
			       struct pa_python_remote *r)
{
	static const char unknown[] =
		"its interpreter does not say where it takes remote debugging";
	uint8_t bytes[OFFSETS_MAX];
	uint64_t enabled;
	int32_t flag;

	if (size > sizeof bytes ||
	    pa_memory_read(memory, runtime, bytes, size) ||
	    memcmp(bytes, DEBUG_COOKIE, 8) ||
	    !read_support(bytes, support, r, &enabled) ||
	    !find_main(memory, runtime + word_at(bytes, AT_INTERPRETERS),
		       word_at(bytes, AT_NEXT_INTERPRETER), &r->interpreter))
		return unknown;
	r->threads = word_at(bytes, AT_THREADS);
	r->next = word_at(bytes, AT_NEXT);
	r->breaker_bit = PLEASE_STOP;
	if (r->threads > SANE_OFFSET || r->next > SANE_OFFSET ||
	    pa_memory_read(memory, r->interpreter + enabled, &flag,
			   sizeof flag))
		return unknown;
	return flag == 1 ? NULL :
		"its interpreter was started with remote debugging disabled (PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug)";
}

const char *pa_python_find_remote(const struct pa_python *python,
				  struct pa_memory *memory,
				  struct pa_python_remote *remote)
{
	uint64_t runtime = python->module ?
		pa_module_symbol(python->module, memory, "_PyRuntime") : 0;

	memset(remote, 0, sizeof *remote);
	for (size_t i = 0; i < sizeof remote_rows / sizeof *remote_rows; i++)
		if (runtime && remote_rows[i].minor == python->minor)
			return read_remote(runtime, remote_rows[i].size,
					   remote_rows[i].support, memory,
					   remote);
	return "remote debugging came with Python 3.14";
}
