/* SPDX-License-Identifier: MIT
 *
 * Which Python a census reads, told by the names of mapped files and by the
 * text that Py_GetVersion made.  Reads through the source only.
 */
#include <stdlib.h>
#include <string.h>

#include "client/census_input.h"
#include "injector/python.h"

#define PAGE PA_CENSUS_PAGE
#define DATA_MAX ((uint64_t)16 << 20)
#define BSS_MAX ((uint64_t)1 << 20)

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void search_version(struct pa_census_input *input, const char *data,
			   size_t n)
{
	/* "3.13.0 (main, ...", with a NUL in front */
	for (size_t i = 1; i + 64 < n; i++) {
		uint32_t hex = data[i + 1] == '.' && !data[i - 1] &&
			data[i] == '3' ? pa_python_parse_version(data + i) : 0;

		if (!hex)
			continue;
		snprintf(input->python, sizeof input->python, "%.*s",
			 (int)strcspn(data + i, " "), data + i);
		input->source.python_minor = (int)(hex >> 16 & 0xff);
		return;
	}
}

/* From 3.13 on _PyRuntime says it, behind a cookie and a version. */
static bool is_free_threaded(const char *data, size_t n)
{
	const char *cookie = memmem(data, n, "xdebugpy", 8);
	uint64_t flag = 0;

	if (cookie && n - (size_t)(cookie - data) >= 24)
		memcpy(&flag, cookie + 16, sizeof flag);
	return flag == 1;
}

/* What can be read of a map and of the zeros behind it. */
static char *copy_data(const struct pa_census_input *input,
		       const struct pa_census_map *map, size_t *n)
{
	const struct pa_census_source *source = &input->source;
	uint64_t size = map->end - map->start;
	char *data;

	*n = (size_t)((size < DATA_MAX ? size : DATA_MAX) + BSS_MAX);
	data = calloc(1, *n + 1);
	/* page by page: what is not in memory must stay so */
	for (size_t at = 0; data && at < *n; at += PAGE)
		source->read(source->context, map->start + at, data + at,
			     PAGE);
	return data;
}

static bool is_exact(const char *version)
{
	const char *dot = strchr(version, '.');

	return dot && strchr(dot + 1, '.');
}

static int look(struct pa_census_input *input,
		const struct pa_census_map *map, const char *who,
		struct pa_diag *diag)
{
	const char *base = base_name(map->path);
	int minor = 0, err = 0;
	char *data, t = 0;
	size_t n;

	if (sscanf(base, "libpython3.%d%c", &minor, &t) < 1)
		sscanf(base, "python3.%d%c", &minor, &t);
	if (!input->source.python_minor && minor) {
		input->source.python_minor = minor;
		snprintf(input->python, sizeof input->python, "3.%d", minor);
	}
	data = copy_data(input, map, &n);
	if (data && !is_exact(input->python))
		search_version(input, data, n);
	if (t == 't' || (data && is_free_threaded(data, n)))
		err = pa_fail(diag, PA_E_FREE_THREADED, "%s: Python %s is a "
			      "free-threaded build, whose allocator is not "
			      "read", who, input->python);
	free(data);
	return err;
}

static int refuse(const struct pa_census_map *map, const char *who,
		  struct pa_diag *diag)
{
	const char *base = base_name(map->path);

	if (!strncmp(base, "libpypy", 7) || !strncmp(base, "pypy", 4))
		return pa_fail(diag, PA_E_OTHER_PYTHON, "%s runs PyPy", who);
	if (strstr(base, "graalpy") || !strncmp(base, "libpythonvm", 11))
		return pa_fail(diag, PA_E_OTHER_PYTHON, "%s runs GraalPy",
			       who);
	if (!strncmp(base, "ld-musl", 7))
		return pa_fail(diag, PA_E_NOT_GLIBC, "%s uses musl instead "
			       "of glibc", who);
	return 0;
}

static int check(const struct pa_census_input *input, const char *who,
		 struct pa_diag *diag)
{
	int minor = input->source.python_minor;

	if (!minor)
		return pa_fail(diag, PA_E_NOT_PYTHON, "%s is not a CPython "
			       "process", who);
	if (minor < PA_PYTHON_MINOR_MIN)
		return pa_fail(diag, PA_E_OLD_PYTHON, "%s runs Python %s, and "
			       "3.%d is the oldest that is supported", who,
			       input->python, PA_PYTHON_MINOR_MIN);
	if (minor > PA_PYTHON_MINOR_MAX)
		return pa_fail(diag, PA_E_NEW_PYTHON, "%s runs Python %s, and "
			       "3.%d is the newest that is known", who,
			       input->python, PA_PYTHON_MINOR_MAX);
	return 0;
}

int pa_census_find_python(struct pa_census_input *input, const char *who,
			  const char *program, struct pa_diag *diag)
{
	bool library = false;

	for (size_t i = 0; i < input->n_maps; i++) {
		int err = refuse(&input->maps[i], who, diag);

		if (err)
			return err;
		library |= !strncmp(base_name(input->maps[i].path),
				    "libpython3.", 11);
	}
	for (size_t i = 0; i < input->n_maps; i++) {
		const struct pa_census_map *map = &input->maps[i];
		const char *base = base_name(map->path);
		bool named = !strncmp(base, "libpython3.", 11) ||
			(!library && !strncmp(base, "python", 6)) ||
			(!library && *program && !strcmp(map->path, program));
		int err = named ? look(input, map, who, diag) : 0;

		if (err)
			return err;
	}
	return check(input, who, diag);
}
