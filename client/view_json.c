/* SPDX-License-Identifier: MIT
 *
 * The report as the object report/1 of cli.md.  Keys may be added, never
 * changed.
 */
#include "client/json_out.h"
#include "client/view.h"

/* Each frame has names; one may be the empty string. */
static json_t *name_json(const struct pa_report *report, uint32_t name)
{
	const struct pa_name *n = &report->names.names[name];

	return pa_json_bytes(n->bytes, n->length);
}

static json_t *call_json(const struct pa_report *report,
			 const struct pa_call *call)
{
	return json_pack("{s:o, s:o, s:o}",
			 "file", name_json(report, call->file),
			 "line", pa_json_known(call->line),
			 "function", name_json(report, call->function));
}

static json_t *stack_json(const struct pa_report *report,
			  const struct pa_row *row)
{
	const struct pa_names *names = &report->names;
	json_t *stack = json_array();

	if (row->special)
		json_array_append_new(stack, json_pack("{s:s, s:n, s:s}",
			"file", pa_special_name(row->special), "line",
			"function", pa_special_name(row->special)));
	for (uint32_t i = row->step; i; i = names->steps[i].parent)
		json_array_append_new(stack, call_json(report,
			&names->calls[names->steps[i].call]));
	return stack;
}

/* What the row stands for. */
static void add_key(json_t *object, const struct pa_report *report,
		    const struct pa_row *row)
{
	enum pa_group_by by = report->question.group_by;
	const char *special = pa_special_name(row->special);

	if (by == PA_BY_THREAD) {
		json_object_set_new(object, "thread",
				    pa_json_known(row->number));
		return;
	}
	if (by == PA_BY_DOMAIN) {
		json_object_set_new(object, "domain", json_string(special ?
			special : pa_domain_words[row->number]));
		return;
	}
	if (by == PA_BY_TRACEBACK) {
		json_object_set_new(object, "stack", stack_json(report, row));
		return;
	}
	json_object_set_new(object, "file", special ? json_string(special) :
			    name_json(report, row->file));
	if (by == PA_BY_LINE)
		json_object_set_new(object, "line", pa_json_known(row->line));
	if (by == PA_BY_FUNCTION)
		json_object_set_new(object, "first_line",
				    pa_json_known(row->first_line));
	if (by != PA_BY_FILE)
		json_object_set_new(object, "function", special ?
				    json_string(special) :
				    name_json(report, row->function));
}

static json_t *row_json(const struct pa_report *report,
			const struct pa_row *row)
{
	json_t *object = json_object();

	add_key(object, report, row);
	json_object_set_new(object, "bytes", pa_json_estimate(&row->bytes));
	json_object_set_new(object, "objects",
			    pa_json_estimate(&row->objects));
	json_object_set_new(object, "samples",
			    pa_json_count(row->sum.samples));
	json_object_set_new(object, "share", pa_json_real(row->share));
	if (report->question.of == PA_OF_LIVE) {
		json_object_set_new(object, "age_ns",
				    pa_json_count(row->age_ns));
		json_object_set_new(object, "oldest_ns",
				    pa_json_count(row->oldest_ns));
	}
	return object;
}

static void add_head(json_t *object, const struct pa_report *r)
{
	const struct { const char *key; json_t *value; } parts[] = {
		{ "source", r->source ? json_string(pa_source_words[r->source])
			: json_null() },
		{ "sources", pa_json_count(r->n_sources) },
		{ "pid", pa_json_known(r->pid) },
		{ "python", pa_json_text(r->python) },
		{ "title", pa_json_text(r->title) },
		{ "time_ns", pa_json_known(r->time_ns) },
		{ "attached_at_ns", pa_json_known(r->attached_ns) },
		{ "uptime_ns", pa_json_count(r->uptime_ns) },
		{ "rate", pa_json_known(r->rate) },
		{ "effective_rate", pa_json_known(r->rate_effective) },
		{ "group_by", json_string(
			pa_group_by_words[r->question.group_by]) },
		{ "of", json_string(pa_of_words[r->question.of]) },
		{ "sort", json_string(pa_sort_words[r->question.sort]) },
	};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		json_object_set_new(object, parts[i].key, parts[i].value);
}

/* Of a core, zero says that nobody ever asked. */
static json_t *requested_json(const struct pa_report *r, uint64_t value)
{
	return r->uncounted_max == UINT64_MAX ? pa_json_known(value) :
		pa_json_count(value);
}

static void add_totals(json_t *object, const struct pa_report *r)
{
	struct pa_estimate rest;

	json_object_set_new(object, "requested", json_pack(
		"{s:o, s:o, s:o, s:o}",
		"bytes", requested_json(r, r->requested_bytes),
		"calls", requested_json(r, r->requested_calls),
		"uncounted_max", r->uncounted_max == UINT64_MAX ?
		json_null() : pa_json_count(r->uncounted_max),
		"age_ns", r->requested_age_ns == UINT64_MAX ?
		json_null() : pa_json_count(r->requested_age_ns)));
	json_object_set_new(object, "estimated", json_pack(
		"{s:o, s:o}",
		"bytes", pa_json_estimate(&r->estimated_bytes),
		"calls", pa_json_estimate(&r->estimated_calls)));
	json_object_set_new(object, "process", json_pack(
		"{s:o, s:o, s:o}",
		"rss", pa_json_known(r->rss),
		"rss_at_attach", pa_json_known(r->rss_at_attach),
		"unexplained", r->rss ?
		pa_json_count((uint64_t)r->unexplained) : json_null()));
	json_object_set_new(object, "totals", json_pack(
		"{s:o, s:o, s:o}",
		"bytes", pa_json_estimate(&r->total_bytes),
		"objects", pa_json_estimate(&r->total_objects),
		"samples", pa_json_count(r->total_sum.samples)));
	rest = pa_estimate_bytes(&r->rest, r->rate_max);
	json_object_set_new(object, "rest", json_pack(
		"{s:o, s:o, s:o}",
		"rows", pa_json_count(r->n_rows - r->n_shown),
		"bytes", pa_json_estimate(&rest),
		"samples", pa_json_count(r->rest.samples)));
	json_object_set_new(object, "damage", json_pack(
		"{s:o, s:o, s:o, s:o, s:o}",
		"torn", pa_json_count(r->torn),
		"damaged", pa_json_count(r->damaged),
		"repaired", pa_json_count(r->repaired),
		"lost", pa_json_count(r->lost),
		"dropped", pa_json_count(r->dropped)));
}

int pa_view_json(const struct pa_view *view, const struct pa_report *report)
{
	json_t *object = pa_json_object("report");
	json_t *rows = json_array();

	for (uint32_t i = 0; i < report->n_shown; i++)
		json_array_append_new(rows,
				      row_json(report, &report->rows[i]));
	add_head(object, report);
	add_totals(object, report);
	json_object_set_new(object, "rows", rows);
	return pa_json_write(view->file, object, view->pretty);
}
