/* SPDX-License-Identifier: MIT
 *
 * The report's rows and totals; see model.h.  It must not print, and must
 * not know in which order a view wants to show things.
 */
#include "client/model.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pa_group_by_words[] = {
	"line", "function", "file", "traceback", "thread", "domain", NULL,
};
const char *const pa_of_words[] = { "live", "allocated", NULL };
const char *const pa_sort_words[] = {
	"bytes", "objects", "samples", "age", NULL,
};
const char *const pa_source_words[] = { NULL, "live", "image", "core" };
const char *const pa_domain_words[] = { "raw", "mem", "obj" };

const char *pa_special_name(uint32_t site)
{
	switch (site) {
	case PA_SITE_EVICTED:
		return "<evicted>";
	case PA_SITE_FULL:
		return "<stacks full>";
	case PA_SITE_NO_PYTHON:
		return "<no Python frame>";
	}
	return NULL;
}

void pa_python_text(uint32_t hex, char *text, size_t size)
{
	static const char *const levels[] = {
		[0xa] = "a", [0xb] = "b", [0xc] = "rc", [0xf] = "",
	};
	unsigned level = hex >> 4 & 0xf;
	const char *word = level <= 0xf && levels[level] ? levels[level] : "?";
	int n = snprintf(text, size, "%u.%u.%u", hex >> 24, hex >> 16 & 0xff,
			 hex >> 8 & 0xff);

	if (level != 0xf && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, "%s%u", word, hex & 0xf);
}

int pa_report_init(struct pa_report *report,
		   const struct pa_question *question)
{
	memset(report, 0, sizeof *report);
	report->question = *question;
	return pa_names_init(&report->names);
}

void pa_report_free(struct pa_report *report)
{
	pa_names_free(&report->names);
	pa_map_free(&report->by_key);
	free(report->rows);
	memset(report, 0, sizeof *report);
}

/* ---- rows ---- */

struct row_lookup {
	const struct pa_row *rows;
	const struct pa_row *key;
};

static uint64_t hash_key(const struct pa_row *r)
{
	uint64_t names = (uint64_t)r->file << 32 | r->function;
	uint64_t lines = (uint64_t)r->line << 32 | r->first_line;

	return pa_map_hash(names, lines, (uint64_t)r->step << 32 |
			   (r->number ^ r->special << 28));
}

static uint64_t row_hash(void *context, uint32_t i)
{
	return hash_key(&((struct row_lookup *)context)->rows[i]);
}

static int row_equal(void *context, uint32_t i)
{
	const struct row_lookup *l = context;
	const struct pa_row *a = &l->rows[i], *b = l->key;

	return a->special == b->special && a->file == b->file &&
		a->function == b->function && a->line == b->line &&
		a->first_line == b->first_line && a->step == b->step &&
		a->number == b->number;
}

/* The row with the key of `key`, made if need be; NULL without memory. */
static struct pa_row *find_row(struct pa_report *report,
			       const struct pa_row *key)
{
	struct row_lookup l = { report->rows, key };
	uint64_t hash = hash_key(key);
	uint32_t i = pa_map_find(&report->by_key, hash, row_equal, &l);
	struct pa_row *rows;

	if (i != UINT32_MAX)
		return &report->rows[i];
	rows = pa_grow(report->rows, report->n_rows, &report->room_rows,
		       sizeof *rows);
	if (!rows)
		return NULL;
	report->rows = rows;
	l.rows = rows;
	rows[report->n_rows++] = *key;
	if (pa_map_insert(&report->by_key, hash, report->n_rows, row_hash,
			  &l))
		return NULL;
	return &rows[report->n_rows - 1];
}

/* ---- one image ---- */

/* What the sites of one image are in the report's numbers. */
struct sites {
	struct pa_row *keys;	/* by site */
	bool *wanted;		/* by site: passes include and exclude */
	uint32_t *steps;	/* by node */
	uint32_t *calls;	/* by frame */
	uint32_t *rows;		/* by site: number of its row + 1, or 0 */
};

static void sites_free(struct sites *sites)
{
	free(sites->keys);
	free(sites->wanted);
	free(sites->steps);
	free(sites->calls);
	free(sites->rows);
}

static int add_calls(struct pa_report *report, const struct pa_image *image,
		     uint32_t *calls)
{
	for (uint64_t i = 0; i < image->n_frames; i++) {
		const struct pa_frame *frame = &image->frames[i];
		struct pa_call call = { 0, 0, frame->line, frame->first_line };
		const char *bytes;
		uint32_t n;

		bytes = pa_image_string(image, frame->file, &n);
		call.file = pa_names_add(&report->names, bytes, n);
		bytes = pa_image_string(image, frame->function, &n);
		call.function = pa_names_add(&report->names, bytes, n);
		if (call.file == UINT32_MAX || call.function == UINT32_MAX)
			return PA_E_FAILED;
		calls[i] = pa_names_add_call(&report->names, call);
		if (calls[i] == UINT32_MAX)
			return PA_E_FAILED;
	}
	return 0;
}

static int add_steps(struct pa_report *report, const struct pa_image *image,
		     const uint32_t *calls, uint32_t *steps)
{
	steps[0] = 0;
	for (uint64_t i = 1; i < image->n_nodes; i++) {
		const struct pa_node *node = &image->nodes[i];

		steps[i] = pa_names_add_step(&report->names,
					     steps[node->parent],
					     calls[node->frame]);
		if (steps[i] == UINT32_MAX)
			return PA_E_FAILED;
	}
	return 0;
}

/* A pattern without a slash also matches the last part of a path. */
static bool matches(const char *pattern, const struct pa_name *name)
{
	const char *last;

	if (!name->length)
		return false;
	if (!fnmatch(pattern, name->bytes, 0))
		return true;
	last = strrchr(name->bytes, '/');
	return last && !strchr(pattern, '/') && !fnmatch(pattern, last + 1, 0);
}

static bool any_matches(const char *const *patterns, size_t n,
			const struct pa_name *file,
			const struct pa_name *function)
{
	for (size_t i = 0; i < n; i++)
		if (matches(patterns[i], file) ||
		    matches(patterns[i], function))
			return true;
	return false;
}

static bool site_wanted(const struct pa_report *report,
			const struct pa_call *call, uint32_t special)
{
	const struct pa_question *q = &report->question;
	const struct pa_name *file = &report->names.names[call->file];
	const struct pa_name *function = &report->names.names[call->function];
	struct pa_name name = { pa_special_name(special), 1 };

	if (name.bytes)
		file = function = &name;
	if (q->n_include && !any_matches(q->include, q->n_include, file,
					 function))
		return false;
	return !any_matches(q->exclude, q->n_exclude, file, function);
}

/* Which fixed site this one counts as, 0 for a real one. */
static uint32_t special_of(const struct pa_image *image, uint32_t site)
{
	if (site == PA_SITE_NONE)
		return PA_SITE_NO_PYTHON;
	if (site < PA_SITE_FIRST)
		return site;
	return image->sites[site].node ? 0 : PA_SITE_NO_PYTHON;
}

/* The part of a row's key that its site decides. */
static void fill_key(const struct pa_report *report, struct pa_row *key,
		     const struct pa_call *call, uint32_t step)
{
	switch (report->question.group_by) {
	case PA_BY_LINE:
		key->line = call->line;
		key->function = call->function;
		key->file = call->file;
		break;
	case PA_BY_FUNCTION:
		key->function = call->function;
		key->first_line = call->first_line;
		key->file = call->file;
		break;
	case PA_BY_FILE:
		key->file = call->file;
		break;
	case PA_BY_TRACEBACK:
		key->step = step;
		break;
	case PA_BY_THREAD:
	case PA_BY_DOMAIN:
		break;
	}
}

static void add_sites(struct pa_report *report, const struct pa_image *image,
		      struct sites *sites)
{
	for (uint64_t i = 0; i < image->n_sites; i++) {
		uint32_t special = special_of(image, (uint32_t)i);
		uint32_t step = sites->steps[image->sites[i].node];
		const struct pa_call *call = &report->names.calls[
			special ? 0 : report->names.steps[step].call];
		struct pa_row *key = &sites->keys[i];

		sites->wanted[i] = site_wanted(report, call, special);
		if (report->question.group_by == PA_BY_THREAD)
			continue;
		if (report->question.group_by == PA_BY_DOMAIN) {
			/* The fixed sites mix domains; a live sample
			 * knows its own. */
			key->number = image->sites[i].domain;
			if (i < PA_SITE_FIRST &&
			    report->question.of == PA_OF_ALLOCATED)
				key->special = special;
			continue;
		}
		key->special = special;
		if (!special)
			fill_key(report, key, call, step);
	}
}

static int sites_init(struct pa_report *report, const struct pa_image *image,
		      struct sites *sites)
{
	int err = PA_E_FAILED;

	memset(sites, 0, sizeof *sites);
	sites->keys = calloc(image->n_sites, sizeof *sites->keys);
	sites->wanted = calloc(image->n_sites, sizeof *sites->wanted);
	sites->steps = calloc(image->n_nodes, sizeof *sites->steps);
	sites->calls = calloc(image->n_frames, sizeof *sites->calls);
	sites->rows = calloc(image->n_sites, sizeof *sites->rows);
	if (sites->keys && sites->wanted && sites->steps && sites->calls &&
	    sites->rows)
		err = add_calls(report, image, sites->calls);
	if (!err)
		err = add_steps(report, image, sites->calls, sites->steps);
	if (!err)
		add_sites(report, image, sites);
	return err;
}

static bool age_wanted(const struct pa_question *q, uint64_t age_ns)
{
	return age_ns >= q->min_age_ns &&
		(!q->max_age_ns || age_ns <= q->max_age_ns);
}

/* When the image was taken; a memory has only the last sample's time. */
static uint64_t image_now(const struct pa_directory *d)
{
	return d->snapshot_monotonic_ns ? d->snapshot_monotonic_ns :
		d->heartbeat_monotonic_ns;
}

/* The row of a live sample; NULL without memory.  Where only the site
 * decides, its row is found once and remembered. */
static struct pa_row *live_row(struct pa_report *report,
			       const struct pa_live *live,
			       const struct sites *sites)
{
	enum pa_group_by by = report->question.group_by;
	bool alone = by != PA_BY_THREAD && by != PA_BY_DOMAIN;
	struct pa_row key = sites->keys[live->site], *row;

	if (alone && sites->rows[live->site])
		return &report->rows[sites->rows[live->site] - 1];
	if (by == PA_BY_THREAD)
		key.number = live->thread;
	else if (by == PA_BY_DOMAIN)
		key.number = live->domain;
	row = find_row(report, &key);
	if (row && alone)
		sites->rows[live->site] = (uint32_t)(row - report->rows) + 1;
	return row;
}

/* Weights of samples seen lately: sizes repeat, and exp() is slow. */
#define WEIGHTS 256u

struct weight {
	uint64_t size, rate;
	struct pa_sum sum;	/* of one sample; samples 0 = not in use */
};

static const struct pa_sum *weigh(struct weight *weights,
				  const struct pa_live *live)
{
	uint64_t hash = (live->size ^ live->rate) * 0x9e3779b97f4a7c15ull;
	struct weight *w = &weights[hash >> 32 & (WEIGHTS - 1)];

	if (w->sum.samples && w->size == live->size && w->rate == live->rate)
		return &w->sum;
	*w = (struct weight){ .size = live->size, .rate = live->rate };
	pa_sum_add_sample(&w->sum, live->size, live->rate);
	return &w->sum;
}

static int add_live(struct pa_report *report, const struct pa_image *image,
		    const struct sites *sites)
{
	const struct pa_question *q = &report->question;
	uint64_t now = image_now(&image->directory);
	struct weight weights[WEIGHTS] = { 0 };

	for (uint64_t i = 0; i < image->n_live; i++) {
		const struct pa_live *live = &image->live[i];
		uint64_t age = now > live->birth_ns ? now - live->birth_ns : 0;
		const struct pa_sum *one = weigh(weights, live);
		struct pa_row *row;

		report->all_live_bytes += one->bytes;
		if (live->rate > report->rate_max)
			report->rate_max = live->rate;
		if (q->of != PA_OF_LIVE || !sites->wanted[live->site] ||
		    !age_wanted(q, age))
			continue;
		row = live_row(report, live, sites);
		if (!row)
			return PA_E_FAILED;
		pa_sum_add(&row->sum, one);
		row->age_bytes += one->bytes * ((double)age / 1e9);
		if (age > row->oldest_ns)
			row->oldest_ns = age;
	}
	return 0;
}

static struct pa_sum allocated_sum(const struct pa_site *site)
{
	return (struct pa_sum){
		.samples = site->allocated_samples,
		.bytes = site->allocated_bytes,
		.bytes_variance = site->allocated_bytes_variance,
		.bytes_weight_max = site->allocated_bytes_weight_max,
		.objects = site->allocated_objects,
		.objects_variance = site->allocated_objects_variance,
		.objects_weight_max = site->allocated_objects_weight_max,
	};
}

static int add_allocated(struct pa_report *report,
			 const struct pa_image *image,
			 const struct sites *sites)
{
	for (uint64_t i = 1; i < image->n_sites; i++) {
		struct pa_sum sum = allocated_sum(&image->sites[i]);
		struct pa_row *row;

		if (!sum.samples || !sites->wanted[i])
			continue;
		row = find_row(report, &sites->keys[i]);
		if (!row)
			return PA_E_FAILED;
		pa_sum_add(&row->sum, &sum);
	}
	return 0;
}

static void add_metadata(struct pa_report *report,
			 const struct pa_directory *d,
			 enum pa_source_kind source)
{
	bool first = !report->n_sources++;
	char python[sizeof report->python];
	uint64_t now = image_now(d);
	uint64_t uptime = now > d->attached_monotonic_ns ?
		now - d->attached_monotonic_ns : 0;

	pa_python_text(d->python_version, python, sizeof python);
	report->source = first || report->source == source ?
		source : PA_SOURCE_MIXED;
	report->pid = first || report->pid == d->pid ? d->pid : 0;
	if (first)
		memcpy(report->python, python, sizeof python);
	else if (strcmp(report->python, python))
		report->python[0] = '\0';
	report->state = d->state;
	now = d->snapshot_realtime_ns ? d->snapshot_realtime_ns :
		d->heartbeat_realtime_ns;
	if (now > report->time_ns)
		report->time_ns = now;
	if (first || d->attached_realtime_ns < report->attached_ns)
		report->attached_ns = d->attached_realtime_ns;
	if (uptime > report->uptime_ns)
		report->uptime_ns = uptime;
	report->rate = first || report->rate == d->rate ? d->rate : 0;
	report->rate_effective = first ||
		report->rate_effective == d->rate_effective ?
		d->rate_effective : 0;
	if (d->rate_effective > report->rate_max)
		report->rate_max = d->rate_effective;
	report->requested_bytes += d->requested_bytes;
	report->requested_calls += d->requested_calls;
	if (d->uncounted_max > UINT64_MAX - report->uncounted_max)
		report->uncounted_max = UINT64_MAX;
	else
		report->uncounted_max += d->uncounted_max;
	report->rss += d->rss;
	report->rss_at_attach += d->rss_at_attach;
	report->evicted += d->sites_evicted;
	report->stacks_full += d->stacks_full;
	report->dropped += d->dropped;
	report->stacks_off |= d->flags & PA_FLAG_STACKS_OFF;
}

static void add_estimated(struct pa_report *report,
			  const struct pa_directory *d)
{
	struct pa_sum sum = {
		.samples = d->samples_taken,
		.bytes = d->estimated_bytes,
		.bytes_variance = d->estimated_bytes_variance,
		.bytes_weight_max = d->estimated_bytes_weight_max,
		.objects = d->estimated_objects,
		.objects_variance = d->estimated_objects_variance,
		.objects_weight_max = d->estimated_objects_weight_max,
	};

	pa_sum_add(&report->estimated_sum, &sum);
}

int pa_report_add(struct pa_report *report, const struct pa_image *image,
		  enum pa_source_kind source)
{
	struct sites sites;
	int err = sites_init(report, image, &sites);

	if (!err) {
		add_metadata(report, &image->directory, source);
		add_estimated(report, &image->directory);
		report->torn += image->torn;
		report->damaged += image->damaged;
		report->repaired += image->repaired;
		report->lost += image->lost;
		err = add_live(report, image, &sites);
	}
	if (!err && report->question.of == PA_OF_ALLOCATED)
		err = add_allocated(report, image, &sites);
	sites_free(&sites);
	return err;
}

/* ---- the end ---- */

static int compare_doubles(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

/* Largest first; what is equal keeps one order whatever the hash did. */
static int compare_rows(const void *left, const void *right, void *context)
{
	const struct pa_report *report = context;
	const struct pa_row *a = left, *b = right;
	const struct pa_name *names = report->names.names;
	int c = 0;

	switch (report->question.sort) {
	case PA_SORT_BYTES:
		break;
	case PA_SORT_OBJECTS:
		c = compare_doubles(a->sum.objects, b->sum.objects);
		break;
	case PA_SORT_SAMPLES:
		c = compare_doubles((double)a->sum.samples,
				    (double)b->sum.samples);
		break;
	case PA_SORT_AGE:
		c = compare_doubles((double)a->age_ns, (double)b->age_ns);
		break;
	}
	if (!c)
		c = compare_doubles(a->sum.bytes, b->sum.bytes);
	if (!c)
		c = strcmp(names[a->file].bytes, names[b->file].bytes);
	if (!c)
		c = (a->line > b->line) - (a->line < b->line);
	if (!c)
		c = strcmp(names[a->function].bytes, names[b->function].bytes);
	if (!c)
		c = (a->number > b->number) - (a->number < b->number);
	if (!c)
		c = (a->step > b->step) - (a->step < b->step);
	return c;
}

static void finish_row(const struct pa_report *report, struct pa_row *row)
{
	row->bytes = pa_estimate_bytes(&row->sum, report->rate_max);
	row->objects = pa_estimate_objects(&row->sum, report->rate_max);
	row->share = report->total_sum.bytes > 0 ?
		row->sum.bytes / report->total_sum.bytes : 0;
	row->age_ns = row->sum.bytes > 0 ?
		(uint64_t)(row->age_bytes / row->sum.bytes * 1e9) : 0;
}

/* Sorted rows: which are shown, and what the others add up to. */
static void cut_rows(struct pa_report *report)
{
	const struct pa_question *q = &report->question;
	uint32_t shown = 0;

	for (uint32_t i = 0; i < report->n_rows; i++) {
		struct pa_row row = report->rows[i];

		if (row.sum.bytes >= (double)q->min_size &&
		    (!q->limit || shown < q->limit)) {
			report->rows[i] = report->rows[shown];
			report->rows[shown++] = row;
		} else {
			pa_sum_add(&report->rest, &row.sum);
		}
	}
	report->n_shown = shown;
}

void pa_report_finish(struct pa_report *report)
{
	double unexplained;

	for (uint32_t i = 0; i < report->n_rows; i++)
		pa_sum_add(&report->total_sum, &report->rows[i].sum);
	report->total_bytes = pa_estimate_bytes(&report->total_sum,
						report->rate_max);
	report->total_objects = pa_estimate_objects(&report->total_sum,
						    report->rate_max);
	report->estimated_bytes = pa_estimate_bytes(&report->estimated_sum,
						    report->rate_max);
	report->estimated_calls = pa_estimate_objects(&report->estimated_sum,
						      report->rate_max);
	unexplained = (double)report->rss - report->all_live_bytes;
	report->unexplained = unexplained > 0 ? unexplained : 0;
	for (uint32_t i = 0; i < report->n_rows; i++)
		finish_row(report, &report->rows[i]);
	if (report->n_rows)
		qsort_r(report->rows, report->n_rows, sizeof *report->rows,
			compare_rows, report);
	cut_rows(report);
}
