/* SPDX-License-Identifier: MIT
 *
 * What model.c, model_sites.c, model_rows.c and model_live.c share; nobody else includes it.
 */
#ifndef PA_CLIENT_MODEL_PARTS_H
#define PA_CLIENT_MODEL_PARTS_H

#include "client/model.h"

/* What a row stands for, as in struct pa_row. */
struct pa_key {
	uint32_t special, file, function, line, first_line, step, number;
};

/* What the sites of one image are in the report's numbers. */
struct pa_sites {
	struct pa_key *keys;	/* by site */
	bool *wanted;		/* by site: passes include and exclude */
};

/* 0 or PA_E_FAILED; free in any case. */
int pa_sites_init(struct pa_sites *sites, struct pa_report *report,
		  const struct pa_image *image);
void pa_sites_free(struct pa_sites *sites);

/* The row with a key, made if need be; NULL without memory.  Rows move when one
 * is made. */
struct pa_row *pa_rows_find(struct pa_report *report, const struct pa_key *key);

/* Add the samples of an image to their rows.  0 or PA_E_FAILED. */
int pa_rows_add_live(struct pa_report *report, const struct pa_image *image,
		     const struct pa_sites *sites);
int pa_rows_add_allocated(struct pa_report *report,
			  const struct pa_image *image,
			  const struct pa_sites *sites);

/* When the image was taken; a memory has only the last sample's time. */
uint64_t pa_image_now(const struct pa_directory *d);

#endif /* PA_CLIENT_MODEL_PARTS_H */
