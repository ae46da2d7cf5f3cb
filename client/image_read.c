/* SPDX-License-Identifier: MIT
 *
 * The decoder of the image; see image_read.h.  It must trust no number that
 * it reads: a file can be cut, rotten, or made to harm.
 */
#include "client/image_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define HUGE ((uintptr_t)2 << 20)

static int read_bytes(const struct pa_reader *reader, uint64_t at,
		      void *buffer, size_t n)
{
	const struct pa_bytes_reader *r =
		(const struct pa_bytes_reader *)reader;

	if (at > r->length || n > r->length - at)
		return PA_E_TRUNCATED;
	if (n)
		memcpy(buffer, r->bytes + at, n);
	return 0;
}

void pa_reader_bytes(struct pa_bytes_reader *reader, const void *bytes,
		     size_t length)
{
	*reader = (struct pa_bytes_reader){
		.reader = { .read = read_bytes, .snapshot = true },
		.bytes = bytes, .length = length,
	};
}

bool pa_image_has_magic(const void *bytes, size_t length)
{
	return length >= 16 && !memcmp(bytes, PA_IMAGE_MAGIC, 16);
}

static uint32_t checksum(uint32_t crc, const void *bytes, size_t n)
{
	return (uint32_t)crc32_z(crc, bytes, n);
}

/* ---- the directory ---- */

static void end_strings(struct pa_directory *d)
{
	d->payload_version[sizeof d->payload_version - 1] = '\0';
	d->socket[sizeof d->socket - 1] = '\0';
	d->start_text[sizeof d->start_text - 1] = '\0';
}

static int check_directory(const struct pa_reader *reader,
			   const struct pa_directory *d, struct pa_diag *diag)
{
	const unsigned char *bytes = (const unsigned char *)d;
	size_t n = reader->snapshot ?
		offsetof(struct pa_directory, snapshot_crc) :
		offsetof(struct pa_directory, identity_crc);
	uint32_t crc = reader->snapshot ? d->snapshot_crc : d->identity_crc;

	if (!pa_image_has_magic(bytes, sizeof *d))
		return pa_fail(diag, PA_E_NO_IMAGE, "no image begins here");
	if (d->endian == PA_IMAGE_ENDIAN && d->major > PA_IMAGE_MAJOR)
		return pa_fail(diag, PA_E_FUTURE_IMAGE, "the image has format "
			       "%u, this tool knows %u", d->major,
			       (unsigned)PA_IMAGE_MAJOR);
	if (checksum(0, bytes, n) != crc)
		return pa_fail(diag, PA_E_DAMAGED, "the image is damaged: the "
			       "checksum of its directory is wrong");
	if (d->endian != PA_IMAGE_ENDIAN || d->major != PA_IMAGE_MAJOR ||
	    d->header_size < PA_IMAGE_HEADER_MIN ||
	    d->header_size > PA_IMAGE_PAGE ||
	    d->state == PA_STATE_EMPTY || d->state > PA_STATE_FAILED)
		return pa_fail(diag, PA_E_DAMAGED, "the image is damaged: its "
			       "directory makes no sense");
	return 0;
}

static int check_counters(const struct pa_directory *d, struct pa_diag *diag)
{
	if (d->rate < 1 || d->rate > PA_IMAGE_RATE_MAX || d->rate_effective < 1 ||
	    d->rate_effective > PA_IMAGE_RATE_MAX || !pa_image_sane(d->estimated_bytes) ||
	    !pa_image_sane(d->estimated_bytes_variance) ||
	    !pa_image_sane(d->estimated_bytes_weight_max) ||
	    !pa_image_sane(d->estimated_objects) ||
	    !pa_image_sane(d->estimated_objects_variance) ||
	    !pa_image_sane(d->estimated_objects_weight_max))
		return pa_fail(diag, PA_E_DAMAGED, "the image is damaged: "
			       "impossible counters in its directory");
	return 0;
}

/* Bytes that no checksum covers: a snapshot has zeros there. */
static bool all_zero(const struct pa_reader *reader, uint64_t at, size_t n)
{
	unsigned char bytes[PA_IMAGE_PAGE];

	if (n > sizeof bytes || reader->read(reader, at, bytes, n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			return false;
	return true;
}

/* The fields that version 1.0 does not have. */
static bool tail_right(const struct pa_directory *d)
{
	return d->header_size < sizeof *d ||
		(!d->tail_reserved && d->tail_crc ==
		 checksum(0, &d->requested_monotonic_ns,
			  sizeof d->requested_monotonic_ns));
}

static int check_rest_of_page(const struct pa_reader *reader,
			      const struct pa_directory *d,
			      struct pa_diag *diag)
{
	char last;
	int err = reader->read(reader, reader->directory + PA_IMAGE_PAGE - 1,
			       &last, 1);

	if (err)
		return pa_fail(diag, err, "the image is cut short in its "
			       "first page");
	if (!tail_right(d))
		return pa_fail(diag, PA_E_DAMAGED, "the image is damaged: the "
			       "second checksum of its directory is wrong");
	if (d->reserved ||
	    !all_zero(reader, reader->directory + d->header_size,
		      PA_IMAGE_PAGE - d->header_size))
		return pa_fail(diag, PA_E_DAMAGED, "the image is damaged: its "
			       "first page is not empty behind the directory");
	return 0;
}

/* Counters are in no checksum: a wrong one must not cost the table. */
static uint64_t repair_counters(struct pa_directory *d)
{
	double *const figures[] = {
		&d->estimated_bytes, &d->estimated_bytes_variance,
		&d->estimated_bytes_weight_max, &d->estimated_objects,
		&d->estimated_objects_variance,
		&d->estimated_objects_weight_max,
	};
	uint64_t *const rates[] = { &d->rate, &d->rate_effective };
	uint64_t repaired = 0;

	for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
		if (!pa_image_sane(*figures[i])) {
			*figures[i] = 0;
			repaired++;
		}
	for (size_t i = 0; i < 2; i++)
		if (*rates[i] < 1 || *rates[i] > PA_IMAGE_RATE_MAX) {
			*rates[i] = 1;
			repaired++;
		}
	return repaired;
}

static int read_directory(const struct pa_reader *reader,
			  struct pa_directory *d, uint64_t *repaired,
			  struct pa_diag *diag)
{
	int err = reader->read(reader, reader->directory, d, sizeof *d);

	if (err == PA_E_TRUNCATED)
		return pa_fail(diag, err, "the image is cut short in its "
			       "first page");
	if (err)
		return pa_fail(diag, err, "the directory of the image cannot "
			       "be read");
	err = check_directory(reader, d, diag);
	if (!err && !reader->snapshot)
		*repaired += repair_counters(d);
	else if (!err)
		err = check_counters(d, diag);
	if (!err && reader->snapshot)
		err = check_rest_of_page(reader, d, diag);
	end_strings(d);
	if (d->header_size < sizeof *d)
		d->requested_monotonic_ns = 0;
	return err;
}

/* ---- regions ---- */

static bool set_valid(const struct pa_set *set)
{
	uint32_t crc = checksum(0, set, offsetof(struct pa_set, crc));

	crc = checksum(crc, set->region, sizeof set->region);
	return set->n_regions <= PA_IMAGE_REGIONS && set->crc == crc;
}

int pa_image_pick_set(const struct pa_directory *d)
{
	bool a = set_valid(&d->set[0]), b = set_valid(&d->set[1]);

	if (a && b)
		return d->set[1].generation > d->set[0].generation;
	return a ? 0 : b ? 1 : -1;
}

/* One kind of region: how large our record is, and what was read. */
struct want {
	uint32_t kind, elem_size;
	const char *name;
	void *bytes;
	uint64_t mapped;	/* bytes is unmapped, not freed */
	uint64_t count;
	uint32_t found_size;	/* elem_size of the image, 0 = not read */
};

static int region_failed(const struct want *want, int err,
			 struct pa_diag *diag)
{
	if (err == PA_E_TRUNCATED)
		return pa_fail(diag, err, "the image is cut short: its %s are "
			       "not whole", want->name);
	if (err == PA_E_DAMAGED)
		return pa_fail(diag, err, "the image is damaged: in its %s",
			       want->name);
	return pa_fail(diag, err, "the %s of the image cannot be read",
		       want->name);
}

/* Squeeze records of a later minor version into ours, in place. */
static void drop_unknown_fields(unsigned char *bytes, uint64_t count,
				size_t from, size_t to)
{
	for (uint64_t i = 1; from > to && i < count; i++)
		memmove(bytes + i * to, bytes + i * from, to);
}

/* Memory for a region.  A large one in huge pages where the kernel likes: to
 * fill 64 MiB page by page takes longer than to read them. */
static unsigned char *region_memory(size_t n)
{
	unsigned char *bytes = malloc(n);
	/* cppcheck-suppress uninitdata -- the address is read, not the data */
	uintptr_t begin = ((uintptr_t)bytes + HUGE - 1) / HUGE * HUGE;
	uintptr_t end = ((uintptr_t)bytes + n) / HUGE * HUGE;

	if (bytes && end > begin)
		(void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
	return bytes;
}

/* Only the live samples are so many that copying them costs something. */
static unsigned char *view_region(const struct pa_reader *reader, uint64_t at,
				  uint64_t n, struct want *want)
{
	unsigned char *bytes = NULL;

	if (reader->view && want->kind == PA_KIND_LIVE)
		bytes = reader->view(reader, at, n);
	want->mapped = bytes ? n : 0;
	return bytes;
}

static int copy_region(const struct pa_reader *reader,
		       const struct pa_region *region, uint32_t crc,
		       uint64_t at, struct want *want)
{
	uint64_t n = want->count * region->elem_size;
	unsigned char *bytes = region_memory(n + 1);
	int err;

	if (!bytes)
		return PA_E_READ;
	err = reader->read(reader, at, bytes, n);
	if (!err && reader->snapshot && checksum(0, bytes, n) != crc)
		err = PA_E_DAMAGED;
	if (err)
		free(bytes);
	else
		want->bytes = bytes;
	return err;
}

static int take_region(const struct pa_reader *reader,
		       const struct pa_region *region, uint32_t crc,
		       uint64_t count, struct want *want)
{
	uint64_t at = reader->snapshot ?
		reader->directory + region->file_offset : region->address;
	int err = 0;

	want->count = count;
	want->bytes = view_region(reader, at, count * region->elem_size, want);
	if (!want->bytes)
		err = copy_region(reader, region, crc, at, want);
	if (err)
		return err;
	drop_unknown_fields(want->bytes, count, region->elem_size,
			    want->elem_size);
	want->found_size = region->elem_size;
	return 0;
}

/* The few bytes that align a region after the one before it. */
static bool gap_is_empty(const struct pa_reader *reader,
			 const struct pa_directory *d, int set,
			 unsigned index)
{
	const struct pa_region *region = &d->set[set].region[index];
	uint64_t end = PA_IMAGE_PAGE;

	if (index)
		end = region[-1].file_offset + d->count[set][index - 1] *
			region[-1].elem_size;
	return end >= region->file_offset || region->file_offset - end > 7 ||
		all_zero(reader, reader->directory + end,
			 (size_t)(region->file_offset - end));
}

static int read_region(const struct pa_reader *reader,
		       const struct pa_directory *d, int set, unsigned index,
		       struct want *want, uint64_t *total)
{
	const struct pa_region *region = &d->set[set].region[index];
	/* what lies above the count was never used, and is in no core */
	uint64_t count = d->count[set][index];

	if (region->elem_size < want->elem_size ||
	    region->elem_size > PA_IMAGE_PAGE ||
	    (want->kind == PA_KIND_STRINGS && region->elem_size != 1) ||
	    count < 1 || count > PA_IMAGE_BYTES_MAX / region->elem_size ||
	    (!reader->snapshot && count > region->capacity) ||
	    (reader->snapshot && region->file_offset < PA_IMAGE_PAGE) ||
	    (reader->snapshot && region->file_offset > UINT64_MAX / 2) ||
	    want->found_size)
		return PA_E_DAMAGED;
	*total += count * region->elem_size;
	if (*total > PA_IMAGE_BYTES_MAX)
		return PA_E_DAMAGED;
	/* A size that the source does not have must cost no memory. */
	if (reader->snapshot) {
		char last;
		int err = reader->read(reader, reader->directory +
				       region->file_offset +
				       count * region->elem_size - 1,
				       &last, 1);
		if (err)
			return err;
		if (!gap_is_empty(reader, d, set, index))
			return PA_E_DAMAGED;
	}
	return take_region(reader, region, d->region_crc[index], count, want);
}

/* Of a memory, a region that cannot be used becomes an empty one. */
static int without_region(struct want *want)
{
	want->bytes = calloc(1, want->elem_size + 4);
	want->count = want->kind == PA_KIND_STRINGS ? 4 : 1;
	want->found_size = want->elem_size;
	return want->bytes ? 0 : PA_E_READ;
}

static int read_kind(const struct pa_reader *reader, struct pa_image *image,
		     int set, struct want *want, uint64_t *total,
		     struct pa_diag *diag)
{
	const struct pa_directory *d = &image->directory;
	int err = 0;

	for (unsigned i = 0; i < d->set[set].n_regions; i++) {
		if (d->set[set].region[i].kind != want->kind)
			continue;
		err = read_region(reader, d, set, i, want, total);
		if (err && (reader->snapshot || err != PA_E_DAMAGED))
			return region_failed(want, err, diag);
		image->repaired += err != 0;
	}
	if (want->found_size)
		return 0;
	image->repaired += !err;
	err = reader->snapshot ? PA_E_DAMAGED : without_region(want);
	return err ? region_failed(want, err, diag) : 0;
}

static int read_regions(const struct pa_reader *reader, struct pa_image *image,
			bool *hashed, struct pa_diag *diag)
{
	struct want wants[] = {
		{ PA_KIND_SITES, sizeof(struct pa_site), "sites" },
		{ PA_KIND_STRINGS, 1, "strings" },
		{ PA_KIND_FRAMES, sizeof(struct pa_frame), "frames" },
		{ PA_KIND_NODES, sizeof(struct pa_node), "nodes" },
		{ PA_KIND_LIVE, sizeof(struct pa_live), "live samples" },
	};
	const struct pa_directory *d = &image->directory;
	int set = pa_image_pick_set(d), err = 0;
	uint64_t total = 0;

	if (set < 0)
		return pa_fail(diag, PA_E_DAMAGED, "the image is damaged: no "
			       "valid description of its regions");
	for (size_t w = 0; !err && w < sizeof wants / sizeof wants[0]; w++)
		err = read_kind(reader, image, set, &wants[w], &total, diag);
	image->sites = wants[0].bytes;
	image->n_sites = wants[0].count;
	image->strings = wants[1].bytes;
	image->n_strings = wants[1].count;
	image->frames = wants[2].bytes;
	image->n_frames = wants[2].count;
	image->nodes = wants[3].bytes;
	image->n_nodes = wants[3].count;
	/* without the reserved element; damage may have left none */
	image->live_memory = wants[4].bytes;
	image->live_mapped = wants[4].mapped;
	image->live = image->live_memory ? image->live_memory + 1 : NULL;
	image->n_live = wants[4].count ? wants[4].count - 1 : 0;
	/* A longer record hashes fields that were dropped. */
	*hashed = wants[4].found_size == sizeof(struct pa_live);
	return err;
}

int pa_image_read(const struct pa_reader *reader, struct pa_image *image,
		  struct pa_diag *diag)
{
	bool hashed = true;
	int err;

	memset(image, 0, sizeof *image);
	err = read_directory(reader, &image->directory, &image->repaired,
			     diag);
	if (!err)
		err = read_regions(reader, image, &hashed, diag);
	if (!err && reader->snapshot)
		err = pa_image_check_tables(image, diag);
	else if (!err)
		image->repaired += pa_image_repair_tables(image);
	if (err) {
		pa_image_free(image);
		return err;
	}
	pa_image_filter_live(image, hashed);
	if (reader->snapshot && image->damaged) {
		pa_fail(diag, PA_E_DAMAGED, "the image is damaged: %" PRIu64
			" of its live samples are wrong", image->damaged);
		pa_image_free(image);
		return PA_E_DAMAGED;
	}
	return 0;
}

void pa_image_free(struct pa_image *image)
{
	if (image->live_mapped)
		munmap(image->live_memory, image->live_mapped);
	else
		free(image->live_memory);
	free(image->sites);
	free(image->frames);
	free(image->nodes);
	free(image->strings);
	memset(image, 0, sizeof *image);
}
