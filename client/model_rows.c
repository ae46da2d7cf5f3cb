/* SPDX-License-Identifier: MIT
 *
 * The rows of a report, by their keys, and what sites add to them.  It must
 * not know how a site became a key: that is model_sites.c's.
 */
#include "client/model_parts.h"

#include <stdlib.h>
#include <string.h>

struct row_lookup {
	const struct pa_row *rows;
	const struct pa_key *key;
};

static struct pa_key key_of(const struct pa_row *r)
{
	return (struct pa_key){
		.special = r->special, .file = r->file,
		.function = r->function, .line = r->line,
		.first_line = r->first_line, .step = r->step,
		.number = r->number,
	};
}

static uint64_t hash_key(const struct pa_key *k)
{
	uint64_t names = (uint64_t)k->file << 32 | k->function;
	uint64_t lines = (uint64_t)k->line << 32 | k->first_line;

	return pa_map_hash(names, lines, (uint64_t)k->step << 32 |
			   (k->number ^ k->special << 28));
}

static uint64_t row_hash(void *context, uint32_t i)
{
	struct pa_key key = key_of(&((struct row_lookup *)context)->rows[i]);

	return hash_key(&key);
}

static int row_equal(void *context, uint32_t i)
{
	const struct row_lookup *l = context;
	struct pa_key key = key_of(&l->rows[i]);

	return !memcmp(&key, l->key, sizeof key);
}

static struct pa_row row_of(const struct pa_key *k)
{
	return (struct pa_row){
		.special = k->special, .file = k->file,
		.function = k->function, .line = k->line,
		.first_line = k->first_line, .step = k->step,
		.number = k->number,
	};
}

struct pa_row *pa_rows_find(struct pa_report *report, const struct pa_key *key)
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
	rows[report->n_rows++] = row_of(key);
	if (pa_map_insert(&report->by_key, hash, report->n_rows, row_hash,
			  &l))
		return NULL;
	return &rows[report->n_rows - 1];
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
		row = pa_rows_find(report, &sites->keys[i]);
		if (!row)
			return PA_E_FAILED;
		pa_tally_add(&row->tally, &tally);
	}
	return 0;
}
