/* SPDX-License-Identifier: MIT
 *
 * The rows of a report and what is added to them.  It must not know how a
 * site became a key: that is model_sites.c's.
 */
#include "client/model_parts.h"

#include <stdlib.h>

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

static bool age_wanted(const struct pa_question *q, uint64_t age_ns)
{
	return age_ns >= q->min_age_ns &&
		(!q->max_age_ns || age_ns <= q->max_age_ns);
}

static struct pa_row *find_live_row(struct pa_report *report,
				    const struct pa_live *live,
				    const struct pa_sites *sites)
{
	enum pa_group_by by = report->question.group_by;
	struct pa_row key = sites->keys[live->site], *row;

	if (by == PA_BY_THREAD)
		key.number = live->thread;
	else if (by == PA_BY_DOMAIN)
		key.number = live->domain;
	row = find_row(report, &key);
	if (row && by != PA_BY_THREAD && by != PA_BY_DOMAIN)
		sites->rows[live->site] = (uint32_t)(row - report->rows) + 1;
	return row;
}

/* The row of a live sample; NULL without memory.  Where only the site
 * decides, its row is found once and remembered. */
static inline struct pa_row *live_row(struct pa_report *report,
				      const struct pa_live *live,
				      const struct pa_sites *sites)
{
	uint32_t known = sites->rows[live->site];

	return known ? &report->rows[known - 1] :
		find_live_row(report, live, sites);
}

/* Weights of samples seen lately: sizes repeat, and to weigh is slow. */
#define WEIGHTS 16384u

struct weight {
	uint64_t size, rate;
	struct pa_tally tally;	/* of one sample; samples 0 = not in use */
};

static inline struct weight *weight_place(struct weight *weights,
					  const struct pa_live *live)
{
	uint64_t hash = (live->size ^ live->rate) * 0x9e3779b97f4a7c15ull;

	return &weights[hash >> 32 & (WEIGHTS - 1)];
}

static inline const struct pa_tally *weigh(struct weight *weights,
					   const struct pa_live *live)
{
	struct weight *w = weight_place(weights, live);
	struct pa_sum sum = { 0 };

	if (w->tally.samples && w->size == live->size &&
	    w->rate == live->rate)
		return &w->tally;
	pa_sum_add_sample(&sum, live->size, live->rate);
	*w = (struct weight){ .size = live->size, .rate = live->rate,
			      .tally = pa_tally_of(&sum) };
	return &w->tally;
}

/* Weights and rows lie anywhere: have those of a later sample fetched. */
#define AHEAD 8u

static inline void fetch(const struct pa_report *report,
			 struct weight *weights, const struct pa_live *live,
			 const struct pa_sites *sites)
{
	const char *weight = (const char *)weight_place(weights, live);
	uint32_t known = sites->rows[live->site];

	__builtin_prefetch(weight);
	__builtin_prefetch(weight + 64);
	if (known) {
		const char *row = (const char *)&report->rows[known - 1].tally;

		__builtin_prefetch(row, 1);
		__builtin_prefetch(row + 64, 1);
	}
}

int pa_rows_add_live(struct pa_report *report, const struct pa_image *image,
		     const struct pa_sites *sites)
{
	const struct pa_question *q = &report->question;
	uint64_t now = pa_image_now(&image->directory);
	struct weight *weights = calloc(WEIGHTS, sizeof *weights);

	if (!weights)
		return PA_E_FAILED;
	for (uint64_t i = 0; i < image->n_live; i++) {
		const struct pa_live *live = &image->live[i];
		uint64_t age = now > live->birth_ns ? now - live->birth_ns : 0;
		const struct pa_tally *one = weigh(weights, live);
		struct pa_row *row;

		if (image->n_live - i > AHEAD)
			fetch(report, weights, live + AHEAD, sites);
		report->all_live = pa_fixed_add(report->all_live, one->bytes);
		if (live->rate > report->rate_max)
			report->rate_max = live->rate;
		if (q->of != PA_OF_LIVE || !sites->wanted[live->site] ||
		    !age_wanted(q, age))
			continue;
		row = live_row(report, live, sites);
		if (!row) {
			free(weights);
			return PA_E_FAILED;
		}
		pa_tally_add(&row->tally, one);
		row->tally.age = pa_fixed_add(row->tally.age,
					      pa_fixed_age(one->bytes, age));
		if (age > row->oldest_ns)
			row->oldest_ns = age;
	}
	free(weights);
	return 0;
}

static struct pa_tally allocated_tally(const struct pa_site *site)
{
	const struct pa_sum sum = {
		.samples = site->allocated_samples,
		.bytes = site->allocated_bytes,
		.bytes_variance = site->allocated_bytes_variance,
		.bytes_weight_max = site->allocated_bytes_weight_max,
		.objects = site->allocated_objects,
		.objects_variance = site->allocated_objects_variance,
		.objects_weight_max = site->allocated_objects_weight_max,
	};

	return pa_tally_of(&sum);
}

int pa_rows_add_allocated(struct pa_report *report,
			  const struct pa_image *image,
			  const struct pa_sites *sites)
{
	for (uint64_t i = 1; i < image->n_sites; i++) {
		struct pa_tally tally = allocated_tally(&image->sites[i]);
		struct pa_row *row;

		if (!tally.samples || !sites->wanted[i])
			continue;
		row = find_row(report, &sites->keys[i]);
		if (!row)
			return PA_E_FAILED;
		pa_tally_add(&row->tally, &tally);
	}
	return 0;
}
