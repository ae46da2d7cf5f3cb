/* SPDX-License-Identifier: MIT
 *
 * What image_read.c, image_records.c and image_hash.c share; nobody else
 * includes it.
 */
#ifndef PA_CLIENT_IMAGE_PARTS_H
#define PA_CLIENT_IMAGE_PARTS_H

#include "client/image_read.h"

#define PA_IMAGE_RATE_MAX ((uint64_t)1 << 40)

/* So many checks are made at a time. */
#define PA_CHECKS 32u

/* What `check` of each of n <= PA_CHECKS records must be. */
void pa_image_checks(const struct pa_live *live, uint64_t n,
		     uint16_t checks[PA_CHECKS]);

/* A figure that can be added: finite, not negative. */
bool pa_image_sane(double value);

/* Tables that only grow: one bad index spoils what refers to it.  0 or
 * PA_E_DAMAGED. */
int pa_image_check_tables(const struct pa_image *image, struct pa_diag *diag);

/* The same of a memory: what leads nowhere leads to element 0.  How many. */
uint64_t pa_image_repair_tables(struct pa_image *image);

/* Keep the valid live records, in place; count the others. */
void pa_image_filter_live(struct pa_image *image, bool hashed);

#endif /* PA_CLIENT_IMAGE_PARTS_H */
