/* SPDX-License-Identifier: MIT
 *
 * What live samples add to the rows of a report.  There can be millions, so
 * what is touched for each of them is kept small and fetched in time.  It must
 * not know how a site became a key: that is model_sites.c's.
 */
#include "client/model_parts.h"

#include <stdlib.h>
#include <string.h>

#define LINE 64u		/* bytes of a cache line */

/* ---- what one sample weighs ---- */

/* Sizes repeat, and to weigh is slow: each is weighed once, as long as there
 * are not more of them than this. */
#define WEIGHTS 16384u
#define PLACES (2 * WEIGHTS)
#define PROBES 16u		/* sizes may have been chosen to collide */

struct weight {
	uint64_t size, rate;
	pa_fixed bytes, bytes_variance, objects, objects_variance;
	double bytes_weight_max, objects_weight_max;
};

struct weights {
	uint16_t *places;	/* by hash: number of a weight + 1, or 0 */
	struct weight *all;
	uint32_t n;
};

static inline uint32_t place_of(const struct pa_live *live)
{
	uint64_t hash = (live->size ^ live->rate << 20) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(hash >> 32) & (PLACES - 1);
}

static struct weight weight_of(const struct pa_live *live)
{
	struct pa_sum sum = { 0 };
	struct pa_tally tally;

	pa_sum_add_sample(&sum, live->size, live->rate);
	tally = pa_tally_of(&sum);
	return (struct weight){
		.size = live->size, .rate = live->rate,
		.bytes = tally.bytes,
		.bytes_variance = tally.bytes_variance,
		.objects = tally.objects,
		.objects_variance = tally.objects_variance,
		.bytes_weight_max = tally.bytes_weight_max,
		.objects_weight_max = tally.objects_weight_max,
	};
}

/* A weight that is met for the first time, or was forgotten. */
static const struct weight *new_weight(struct weights *weights,
				       const struct pa_live *live,
				       uint32_t place)
{
	struct weight *w;

	if (weights->n == WEIGHTS) {
		memset(weights->places, 0, PLACES * sizeof *weights->places);
		weights->n = 0;
		place = place_of(live);
	}
	w = &weights->all[weights->n++];
	weights->places[place] = (uint16_t)weights->n;
	*w = weight_of(live);
	return w;
}

static inline const struct weight *weigh(struct weights *weights,
					 const struct pa_live *live)
{
	uint32_t first = place_of(live), place = first;

	for (unsigned i = 0; i < PROBES && weights->places[place]; i++) {
		const struct weight *w =
			&weights->all[weights->places[place] - 1];

		if (w->size == live->size && w->rate == live->rate)
			return w;
		place = (first + i + 1) % PLACES;
	}
	return new_weight(weights, live, place);
}

/* ---- sums ---- */

/* The samples of one site, or of one row where a site has many. */
struct part {
	struct pa_tally tally;
	uint64_t oldest_ns;
} __attribute__((aligned(LINE)));

static inline double larger(double a, double b)
{
	return a > b ? a : b;
}

static inline void add_sample(struct part *part, const struct weight *w,
			      uint64_t age)
{
	struct pa_tally *t = &part->tally;

	t->samples++;
	t->bytes = pa_fixed_add(t->bytes, w->bytes);
	t->bytes_variance = pa_fixed_add(t->bytes_variance,
					 w->bytes_variance);
	t->objects = pa_fixed_add(t->objects, w->objects);
	t->objects_variance = pa_fixed_add(t->objects_variance,
					   w->objects_variance);
	t->age = pa_fixed_add(t->age, pa_fixed_age(w->bytes, age));
	t->bytes_weight_max = larger(w->bytes_weight_max, t->bytes_weight_max);
	t->objects_weight_max = larger(w->objects_weight_max,
				       t->objects_weight_max);
	part->oldest_ns = age > part->oldest_ns ? age : part->oldest_ns;
}

static int add_part(struct pa_report *report, const struct pa_key *key,
		    const struct part *part)
{
	struct pa_row *row = pa_rows_find(report, key);

	if (!row)
		return PA_E_FAILED;
	pa_tally_add(&row->tally, &part->tally);
	if (part->oldest_ns > row->oldest_ns)
		row->oldest_ns = part->oldest_ns;
	return 0;
}

/* ---- all samples ---- */

struct adder {
	struct pa_report *report;
	const struct pa_image *image;
	const struct pa_sites *sites;
	struct weights weights;
	struct part *parts;		/* by site */
	bool by_sample;		/* a site has several rows */
};

/* A sample whose site does not say all of its row's key. */
static int add_alone(const struct adder *a, const struct pa_live *live,
		     const struct weight *w, uint64_t age)
{
	struct pa_key key = a->sites->keys[live->site];
	struct part part = { .oldest_ns = 0 };

	key.number = a->report->question.group_by == PA_BY_THREAD ?
		live->thread : live->domain;
	add_sample(&part, w, age);
	return add_part(a->report, &key, &part);
}

/* Weights and sums lie anywhere: have those of a later sample fetched. */
#define AHEAD 8u

static inline void fetch(const struct adder *a, const struct pa_live *live)
{
	uint32_t number = a->weights.places[place_of(live)];
	const char *w = (const char *)&a->weights.all[number - !!number];
	const char *part = (const char *)&a->parts[live->site];

	__builtin_prefetch(w);
	__builtin_prefetch(w + LINE);
	__builtin_prefetch(part, 1);
	__builtin_prefetch(part + LINE, 1);
}

static bool age_wanted(const struct pa_question *q, uint64_t age_ns)
{
	return age_ns >= q->min_age_ns &&
		(!q->max_age_ns || age_ns <= q->max_age_ns);
}

static int add_samples(struct adder *a)
{
	const struct pa_question *q = &a->report->question;
	uint64_t now = pa_image_now(&a->image->directory);
	uint64_t n = a->image->n_live, rate_max = 0;
	pa_fixed all = 0;
	int err = 0;

	for (uint64_t i = 0; !err && i < n; i++) {
		const struct pa_live *live = &a->image->live[i];
		uint64_t age = now > live->birth_ns ? now - live->birth_ns : 0;
		const struct weight *w = weigh(&a->weights, live);

		if (n - i > AHEAD)
			fetch(a, live + AHEAD);
		all = pa_fixed_add(all, w->bytes);
		rate_max = live->rate > rate_max ? live->rate : rate_max;
		if (q->of != PA_OF_LIVE || !a->sites->wanted[live->site] ||
		    !age_wanted(q, age))
			continue;
		if (a->by_sample)
			err = add_alone(a, live, w, age);
		else
			add_sample(&a->parts[live->site], w, age);
	}
	a->report->all_live = pa_fixed_add(a->report->all_live, all);
	if (rate_max > a->report->rate_max)
		a->report->rate_max = rate_max;
	return err;
}

/* Memory that begins a line; only what is touched costs something. */
static void *aligned(void *memory)
{
	uintptr_t at = (uintptr_t)memory;

	return memory ? (char *)memory + (LINE - at % LINE) % LINE : NULL;
}

int pa_rows_add_live(struct pa_report *report, const struct pa_image *image,
		     const struct pa_sites *sites)
{
	enum pa_group_by by = report->question.group_by;
	void *places = calloc(PLACES, sizeof(uint16_t));
	void *weights = calloc(WEIGHTS + 1, sizeof(struct weight));
	void *parts = calloc(image->n_sites + 1, sizeof(struct part));
	struct adder a = {
		.report = report, .image = image, .sites = sites,
		.weights = { .places = places, .all = aligned(weights) },
		.parts = aligned(parts),
		.by_sample = by == PA_BY_THREAD || by == PA_BY_DOMAIN,
	};
	int err = places && weights && parts ? add_samples(&a) : PA_E_FAILED;

	for (uint64_t i = 0; !err && i < image->n_sites; i++)
		if (a.parts[i].tally.samples)
			err = add_part(report, &sites->keys[i], &a.parts[i]);
	free(places);
	free(weights);
	free(parts);
	return err;
}
