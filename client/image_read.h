/* SPDX-License-Identifier: MIT
 *
 * The decoder of the image (common/image.h) in C: from a snapshot's bytes,
 * or from a memory in which the table lies.
 *
 * The input is hostile until proved otherwise: every size is bounded, every
 * index checked, and a decoded image needs no further check by its users.
 * No output, no sockets, no files: those who have bytes hand in a reader.
 */
#ifndef PA_CLIENT_IMAGE_READ_H
#define PA_CLIENT_IMAGE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/image.h"
#include "injector/injector.h"

/* Most bytes of all regions together: memory_max can be 1 GiB at most. */
#define PA_IMAGE_BYTES_MAX ((uint64_t)1 << 30)

/* Where the bytes come from. */
struct pa_reader {
	/* n bytes at `at`: 0, PA_E_TRUNCATED where the source ends before,
	 * PA_E_READ where it has a hole. */
	int (*read)(const struct pa_reader *reader, uint64_t at, void *buffer,
		    size_t n);
	/* The same bytes as memory that may be written to and is unmapped by
	 * munmap(result, n), or NULL: then they are read.  May be NULL. */
	void *(*view)(const struct pa_reader *reader, uint64_t at, size_t n);
	uint64_t directory;	/* where the directory stands */
	/* A snapshot: regions are found by file_offset, all must be whole.
	 * A memory: regions are found by address, records that were being
	 * written are left out, what makes no sense is cut; all is counted. */
	bool snapshot;
};

struct pa_bytes_reader {
	struct pa_reader reader;
	const unsigned char *bytes;
	size_t length;
};

/* A decoded image: every index of a record is in range of its table. */
struct pa_image {
	struct pa_directory directory;
	struct pa_live *live;		/* only valid ones, n_live */
	struct pa_live *live_memory;	/* what is freed for it, */
	uint64_t live_mapped;		/* or unmapped: so many bytes */
	struct pa_site *sites;
	struct pa_frame *frames;
	struct pa_node *nodes;
	char *strings;
	uint64_t n_live, n_sites, n_frames, n_nodes, n_strings;
	uint64_t torn;		/* live records left out: being written */
	uint64_t damaged;	/* live records left out: hash or index wrong */
	/* Of a memory: links and regions that made no sense and were cut, and
	 * bytes that a core does not hold (the core reader's). */
	uint64_t repaired, lost;
};

/* A reader over bytes that stay in place while it is used. */
void pa_reader_bytes(struct pa_bytes_reader *reader, const void *bytes,
		     size_t length);

/* Is this the beginning of an image?  Looks at 16 bytes at most. */
bool pa_image_has_magic(const void *bytes, size_t length);

/* 0 and an image to be freed, or PA_E_NO_IMAGE, PA_E_TRUNCATED,
 * PA_E_DAMAGED, PA_E_FUTURE_IMAGE, PA_E_READ.  diag->text says what. */
int pa_image_read(const struct pa_reader *reader, struct pa_image *image,
		  struct pa_diag *diag);

void pa_image_free(struct pa_image *image);

/* The valid set of regions of the higher generation, or -1. */
int pa_image_pick_set(const struct pa_directory *directory);

/* What `check` of a live record must be. */
uint16_t pa_image_check(const struct pa_live *live);

/* The bytes of a string of the image; any offset is safe ("" if bad). */
const char *pa_image_string(const struct pa_image *image, uint32_t offset,
			    uint32_t *length);

#endif /* PA_CLIENT_IMAGE_READ_H */
