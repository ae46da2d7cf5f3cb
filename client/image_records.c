/* SPDX-License-Identifier: MIT
 *
 * Records of an image: what they must be, and what is done about those that
 * are not.  It must not read anything: that is image_read.c's.
 */
#include "client/image_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SIZE_MAX_SANE ((uint64_t)1 << 62)

bool pa_image_sane(double value)
{
	return isfinite(value) && value >= 0;
}

const char *pa_image_string(const struct pa_image *image, uint32_t offset,
			    uint32_t *length)
{
	uint32_t n;

	*length = 0;
	if (!offset || image->n_strings < 4 || offset > image->n_strings - 4)
		return "";
	memcpy(&n, image->strings + offset, sizeof n);
	if (n > image->n_strings - 4 - offset)
		return "";
	*length = n;
	return image->strings + offset + 4;
}

static bool string_valid(const struct pa_image *image, uint32_t offset)
{
	uint32_t n;

	if (!offset)
		return true;	/* the empty one, whatever lies there */
	if (image->n_strings < 4 || offset > image->n_strings - 4)
		return false;
	memcpy(&n, image->strings + offset, sizeof n);
	return n <= image->n_strings - 4 - offset;
}

static bool site_valid(const struct pa_image *image, const struct pa_site *s)
{
	return s->node < image->n_nodes && s->domain < PA_DOMAIN_COUNT &&
		pa_image_sane(s->allocated_bytes) &&
		pa_image_sane(s->allocated_bytes_variance) &&
		pa_image_sane(s->allocated_bytes_weight_max) &&
		pa_image_sane(s->allocated_objects) &&
		pa_image_sane(s->allocated_objects_variance) &&
		pa_image_sane(s->allocated_objects_weight_max) &&
		pa_image_sane(s->peak_bytes);
}

int pa_image_check_tables(const struct pa_image *image, struct pa_diag *diag)
{
	for (uint64_t i = 0; i < image->n_frames; i++)
		if (!string_valid(image, image->frames[i].file) ||
		    !string_valid(image, image->frames[i].function))
			return pa_fail(diag, PA_E_DAMAGED, "the image is "
				"damaged: frame %" PRIu64 " has no name", i);
	for (uint64_t i = 1; i < image->n_nodes; i++)
		if (image->nodes[i].parent >= i ||
		    image->nodes[i].frame >= image->n_frames)
			return pa_fail(diag, PA_E_DAMAGED, "the image is "
				"damaged: node %" PRIu64 " leads nowhere", i);
	for (uint64_t i = 0; i < image->n_sites; i++)
		if (!site_valid(image, &image->sites[i]))
			return pa_fail(diag, PA_E_DAMAGED, "the image is "
				"damaged: site %" PRIu64 " is wrong", i);
	return 0;
}

uint64_t pa_image_repair_tables(struct pa_image *image)
{
	uint64_t repaired = 0;

	for (uint64_t i = 0; i < image->n_frames; i++) {
		struct pa_frame *f = &image->frames[i];
		bool file = string_valid(image, f->file);
		bool function = string_valid(image, f->function);

		f->file = file ? f->file : 0;
		f->function = function ? f->function : 0;
		repaired += !file || !function;
	}
	for (uint64_t i = 1; i < image->n_nodes; i++) {
		struct pa_node *n = &image->nodes[i];

		if (n->parent < i && n->frame < image->n_frames)
			continue;
		*n = (struct pa_node){ 0, 0 };
		repaired++;
	}
	for (uint64_t i = 0; i < image->n_sites; i++)
		if (!site_valid(image, &image->sites[i])) {
			image->sites[i] = (struct pa_site){ 0 };
			repaired++;
		}
	return repaired;
}

static bool live_valid(const struct pa_image *image,
		       const struct pa_live *live)
{
	return live->site < image->n_sites &&
		live->domain < PA_DOMAIN_COUNT && live->rate >= 1 &&
		live->rate <= PA_IMAGE_RATE_MAX && live->size < SIZE_MAX_SANE &&
		string_valid(image, live->type);
}

/* Is this record to be kept?  Counts it where it is not. */
static bool keeps(struct pa_image *image, const struct pa_live *live,
		  bool check_right)
{
	if (!live->seq || !live->address)
		return false;
	if (live->seq & 1)
		image->torn++;
	else if (check_right && live_valid(image, live))
		return true;
	else
		image->damaged++;
	return false;
}

void pa_image_filter_live(struct pa_image *image, bool hashed)
{
	uint16_t checks[PA_CHECKS];
	uint64_t kept = 0;

	for (uint64_t i = 0; i < image->n_live; i++) {
		struct pa_live *live = &image->live[i];
		uint64_t in = i % PA_CHECKS, left = image->n_live - i;

		if (!in)
			pa_image_checks(live, left < PA_CHECKS ? left :
					PA_CHECKS, checks);
		if (!keeps(image, live, !hashed || checks[in] == live->check))
			continue;
		if (kept != i)
			image->live[kept] = *live;
		kept++;
	}
	image->n_live = kept;
}
