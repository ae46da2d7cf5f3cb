/* SPDX-License-Identifier: MIT
 *
 * The writer of snapshots; see image_write.h.  It must write nothing that
 * image_read.c would refuse.
 */
#include "client/image_write.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ALIGN 8u

struct part {
	uint32_t kind, elem_size;
	const void *bytes;
	uint64_t count;
};

static uint32_t checksum(uint32_t crc, const void *bytes, size_t n)
{
	return (uint32_t)crc32_z(crc, bytes, n);
}

static uint64_t aligned(uint64_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static void describe(struct pa_directory *d, const struct part *parts,
		     unsigned n)
{
	struct pa_set *set = &d->set[0];
	uint64_t offset = PA_IMAGE_PAGE;

	memset(d->set, 0, sizeof d->set);
	memset(d->count, 0, sizeof d->count);
	memset(d->region_crc, 0, sizeof d->region_crc);
	for (unsigned i = 0; i < n; i++) {
		const struct part *p = &parts[i];
		uint64_t bytes = p->count * p->elem_size;

		set->region[i] = (struct pa_region){
			.kind = p->kind, .elem_size = p->elem_size,
			.file_offset = offset, .capacity = p->count,
		};
		d->count[0][i] = p->count;
		d->region_crc[i] = checksum(0, p->bytes, bytes);
		offset += aligned(bytes);
	}
	set->generation = 1;
	set->n_regions = n;
	set->crc = checksum(checksum(0, set, offsetof(struct pa_set, crc)),
			    set->region, sizeof set->region);
}

static void seal(struct pa_directory *d)
{
	d->minor = PA_IMAGE_MINOR;
	d->header_size = sizeof *d;
	d->flags |= PA_FLAG_SNAPSHOT;
	d->active_set = 0;
	d->reserved = d->tail_reserved = 0;
	d->tail_crc = checksum(0, &d->requested_monotonic_ns,
			       sizeof d->requested_monotonic_ns);
	d->identity_crc = checksum(0, d, offsetof(struct pa_directory,
						  identity_crc));
	d->snapshot_crc = checksum(0, d, offsetof(struct pa_directory,
						  snapshot_crc));
}

/* The samples after the reserved element, with their checks made anew: a
 * later version's record may have been longer. */
static struct pa_live *with_reserved(const struct pa_image *image)
{
	struct pa_live *live = calloc(image->n_live + 1, sizeof *live);

	if (!live)
		return NULL;
	for (uint64_t i = 0; i < image->n_live; i++) {
		live[i + 1] = image->live[i];
		live[i + 1].check = pa_image_check(&live[i + 1]);
	}
	return live;
}

int pa_image_write(FILE *file, const struct pa_image *image)
{
	static const unsigned char zeros[ALIGN];
	unsigned char page[PA_IMAGE_PAGE] = { 0 };
	struct pa_directory d = image->directory;
	struct pa_live *live = with_reserved(image);
	const struct part parts[] = {
		{ PA_KIND_SITES, sizeof(struct pa_site), image->sites,
		  image->n_sites },
		{ PA_KIND_STRINGS, 1, image->strings, image->n_strings },
		{ PA_KIND_FRAMES, sizeof(struct pa_frame), image->frames,
		  image->n_frames },
		{ PA_KIND_NODES, sizeof(struct pa_node), image->nodes,
		  image->n_nodes },
		{ PA_KIND_LIVE, sizeof(struct pa_live), live,
		  image->n_live + 1 },
	};
	const unsigned n = sizeof parts / sizeof parts[0];

	if (!live)
		return PA_E_FAILED;
	describe(&d, parts, n);
	seal(&d);
	memcpy(page, &d, sizeof d);
	fwrite(page, 1, sizeof page, file);
	for (unsigned i = 0; i < n; i++) {
		uint64_t bytes = parts[i].count * parts[i].elem_size;

		fwrite(parts[i].bytes, 1, bytes, file);
		fwrite(zeros, 1, aligned(bytes) - bytes, file);
	}
	free(live);
	return 0;
}
