/* SPDX-License-Identifier: MIT
 *
 * Reading a census that was kept, and comparing two; see census_file.h.
 */
#include "client/census_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/census_view.h"
#include "common/error.h"

#define FILE_MAX ((off_t)256 << 20)

bool pa_kept_is_json(const char *bytes, size_t n)
{
	size_t i = 0;

	while (i < n && strchr(" \t\r\n", bytes[i]) && bytes[i])
		i++;
	return i < n && bytes[i] == '{';
}

void pa_kept_free(struct pa_kept *kept)
{
	free(kept->census.rows);
	json_decref(kept->json);
	memset(kept, 0, sizeof *kept);
}

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* ---- decode ---- */

static int by_names(const void *left, const void *right)
{
	const struct pa_census_row *a = left, *b = right;
	int order = strcmp(a->module, b->module);

	return order ? order : strcmp(a->name, b->name);
}

static bool decode_row(struct pa_census_row *row, const json_t *object)
{
	uint64_t all = number(object, "bytes_with_buffers");

	*row = (struct pa_census_row){
		.module = text(object, "module"), .name = text(object, "type"),
		.objects = number(object, "objects"),
		.bytes = number(object, "bytes"),
	};
	row->buffers = all > row->bytes ? all - row->bytes : 0;
	/* rows that are no type have no module and stand in brackets */
	if (!row->module[0] && row->name[0] == '<')
		row->special = PA_CENSUS_NATIVE;
	return row->name[0];
}

static int decode_rows(struct pa_census *census, const json_t *rows)
{
	size_t n = json_array_size(rows);

	census->rows = calloc(n + 1, sizeof *census->rows);
	if (!census->rows)
		return PA_E_FAILED;
	for (size_t i = 0; i < n; i++)
		if (!decode_row(&census->rows[census->n_rows++],
				json_array_get(rows, i)))
			return PA_E_DAMAGED;
	qsort(census->rows, n, sizeof *census->rows, by_names);
	/* names that were cut may be equal: one row */
	census->n_rows = 0;
	for (size_t i = 0; i < n; i++) {
		struct pa_census_row *last = &census->rows[census->n_rows];

		if (!census->n_rows || by_names(last - 1, &census->rows[i])) {
			*last = census->rows[i];
			census->n_rows++;
			continue;
		}
		last[-1].objects += census->rows[i].objects;
		last[-1].bytes += census->rows[i].bytes;
		last[-1].buffers += census->rows[i].buffers;
	}
	return 0;
}

static void decode_memory(struct pa_census *census, const json_t *memory)
{
	for (size_t i = 0; i < json_array_size(memory); i++) {
		const json_t *part = json_array_get(memory, i);

		for (int k = 0; k < PA_MEMORY_KINDS; k++)
			if (!strcmp(text(part, "kind"),
				    pa_census_memory_words[k]))
				census->memory[k] = number(part, "bytes");
	}
}

static int check_schema(const json_t *json, const char *name,
			struct pa_diag *diag)
{
	static const char kind[] = "pyattach-sample/census/";
	const char *schema = text(json, "schema");

	if (strncmp(schema, kind, sizeof kind - 1))
		return pa_fail(diag, PA_E_NO_IMAGE, "%s is JSON, but no "
			       "census", name);
	if (strcmp(schema + sizeof kind - 1, "1"))
		return pa_fail(diag, PA_E_FUTURE_IMAGE, "%s has the schema "
			       "%.60s", name, schema);
	return 0;
}

int pa_kept_decode(struct pa_kept *kept, json_t *json, const char *name,
		   struct pa_diag *diag)
{
	int err;

	memset(kept, 0, sizeof *kept);
	kept->json = json;
	if (!json)
		return pa_fail(diag, PA_E_FAILED, "no memory");
	err = check_schema(json, name, diag);
	if (err)
		return err;
	kept->title = text(json, "title");
	kept->python = text(json, "python");
	kept->pid = number(json, "pid");
	kept->start_time = number(json, "start_time");
	kept->time_ns = number(json, "time_ns");
	kept->left_out = number(json, "left_out");
	kept->live = !strcmp(text(json, "source"), "live");
	kept->census.rss = number(json, "rss");
	decode_memory(&kept->census, json_object_get(json, "memory"));
	err = decode_rows(&kept->census, json_object_get(json, "rows"));
	if (err)
		return pa_fail(diag, err, err == PA_E_FAILED ? "no memory" :
			       "%s has a row without a type", name);
	return 0;
}

int pa_kept_open(struct pa_kept *kept, const char *path, struct pa_diag *diag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	json_error_t error;
	struct stat st;
	json_t *json;

	memset(kept, 0, sizeof *kept);
	if (fd < 0 || fstat(fd, &st)) {
		pa_fail(diag, PA_E_READ, "%s cannot be read: %s", path,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return PA_E_READ;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		close(fd);
		return pa_fail(diag, PA_E_NO_IMAGE, "%s is no file that "
			       "`census -o` made", path);
	}
	json = json_loadfd(fd, 0, &error);
	close(fd);
	if (!json)
		return pa_fail(diag, PA_E_DAMAGED, "%s is damaged: line %d: "
			       "%s", path, error.line, error.text);
	return pa_kept_decode(kept, json, path, diag);
}

/* ---- compare ---- */

static enum pa_census_sort sort_by;	/* for the comparison below */

static const struct pa_census_row *either(const struct pa_census_change *c)
{
	return c->new ? c->new : c->old;
}

static int by_growth(const void *left, const void *right)
{
	const struct pa_census_change *a = left, *b = right;
	int64_t x = a->bytes, y = b->bytes;

	if (sort_by == PA_CENSUS_BY_OWN) {
		x = a->own;
		y = b->own;
	} else if (sort_by == PA_CENSUS_BY_OBJECTS) {
		x = a->objects;
		y = b->objects;
	}
	if (sort_by == PA_CENSUS_BY_NAME || x == y)
		return by_names(either(a), either(b));
	return x < y ? 1 : -1;
}

static struct pa_census_change change_of(const struct pa_census_row *old,
					 const struct pa_census_row *new)
{
	static const struct pa_census_row none;
	const struct pa_census_row *a = old ? old : &none;
	const struct pa_census_row *b = new ? new : &none;

	return (struct pa_census_change){
		.old = old, .new = new,
		.bytes = (int64_t)(b->bytes + b->buffers) -
			(int64_t)(a->bytes + a->buffers),
		.own = (int64_t)b->bytes - (int64_t)a->bytes,
		.objects = (int64_t)b->objects - (int64_t)a->objects,
	};
}

/* Both lists are sorted by name: go through them side by side. */
static void merge(struct pa_census_diff *diff, const struct pa_question *q)
{
	const struct pa_census *a = &diff->old->census, *b = &diff->new->census;
	size_t i = 0, k = 0;

	while (i < a->n_rows || k < b->n_rows) {
		int order = i == a->n_rows ? 1 : k == b->n_rows ? -1 :
			by_names(&a->rows[i], &b->rows[k]);
		struct pa_census_change change = change_of(
			order <= 0 ? &a->rows[i] : NULL,
			order >= 0 ? &b->rows[k] : NULL);

		i += order <= 0;
		k += order >= 0;
		if ((change.bytes || change.own || change.objects) &&
		    pa_census_is_wanted(either(&change), q))
			diff->changes[diff->n_changes++] = change;
	}
}

int pa_census_compare(struct pa_census_diff *diff, const struct pa_kept *old,
		      const struct pa_kept *new, const struct pa_args *args)
{
	memset(diff, 0, sizeof *diff);
	diff->old = old;
	diff->new = new;
	diff->matched = old->pid && old->pid == new->pid &&
		old->start_time && old->start_time == new->start_time;
	diff->changes = calloc(old->census.n_rows + new->census.n_rows + 1,
			       sizeof *diff->changes);
	if (!diff->changes)
		return PA_E_FAILED;
	merge(diff, &args->question);
	sort_by = args->census_sort;
	qsort(diff->changes, diff->n_changes, sizeof *diff->changes,
	      by_growth);
	diff->n_shown = diff->n_changes;
	if (args->question.limit && args->question.limit < diff->n_changes)
		diff->n_shown = args->question.limit;
	for (size_t i = diff->n_shown; i < diff->n_changes; i++) {
		int64_t bytes = diff->changes[i].bytes;

		*(bytes > 0 ? &diff->rest_grown : &diff->rest_shrunk) += bytes;
	}
	return 0;
}
