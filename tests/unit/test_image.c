/* SPDX-License-Identifier: MIT
 *
 * The decoder and the report over images made here: what is right comes out
 * right, and each kind of wrong gets its own error.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "client/image_read.h"
#include "client/model.h"
#include "tests/unit/unit.h"

#define RATE 4096u

/* A snapshot with room for everything the tests need. */
struct made {
	struct pa_directory directory;
	char rest[PA_IMAGE_PAGE - sizeof(struct pa_directory)];
	struct pa_site sites[6];
	char strings[64];
	struct pa_frame frames[3];
	struct pa_node nodes[4];
	struct pa_live live[4];
};

static uint32_t put_string(struct made *m, uint32_t at, const char *text)
{
	uint32_t n = (uint32_t)strlen(text);

	memcpy(m->strings + at, &n, sizeof n);
	memcpy(m->strings + at + 4, text, n);
	return (at + 4 + n + 3) & ~3u;
}

static void put_region(struct made *m, unsigned i, uint32_t kind,
		       const void *where, uint32_t size, uint64_t count)
{
	m->directory.set[0].region[i] = (struct pa_region){
		.kind = kind, .elem_size = size, .capacity = count,
		.address = 0x7f0000000000 + i,
		.file_offset = (uint64_t)((const char *)where - (char *)m),
	};
	m->directory.count[0][i] = count;
	m->directory.set[0].n_regions = i + 1;
}

static uint16_t hash(const struct pa_live *live)
{
	const unsigned char *bytes = (const unsigned char *)live;
	uint32_t h = 0x811c9dc5u;

	for (size_t i = offsetof(struct pa_live, address); i < sizeof *live;
	     i++)
		h = (h ^ bytes[i]) * 0x01000193u;
	return (uint16_t)h;
}

/* Checksums over whatever is there now. */
static void seal(struct made *m)
{
	struct pa_directory *d = &m->directory;
	struct pa_set *set = &d->set[0];

	for (size_t i = 0; i < 4; i++)
		m->live[i].check = hash(&m->live[i]);
	for (unsigned i = 0; i < set->n_regions; i++)
		d->region_crc[i] = (uint32_t)crc32(0, (Bytef *)m +
			set->region[i].file_offset,
			(uInt)(d->count[0][i] * set->region[i].elem_size));
	set->crc = (uint32_t)crc32(crc32(0, (Bytef *)set,
					 offsetof(struct pa_set, crc)),
				   (Bytef *)set->region, sizeof set->region);
	d->identity_crc = (uint32_t)crc32(0, (Bytef *)d,
		offsetof(struct pa_directory, identity_crc));
	d->snapshot_crc = (uint32_t)crc32(0, (Bytef *)d,
		offsetof(struct pa_directory, snapshot_crc));
	d->tail_crc = (uint32_t)crc32(0,
		(Bytef *)&d->requested_monotonic_ns, 8);
}

static void fill_directory(struct pa_directory *d)
{
	memcpy(d->magic, PA_IMAGE_MAGIC, 16);
	d->major = PA_IMAGE_MAJOR;
	d->header_size = sizeof *d;
	d->endian = PA_IMAGE_ENDIAN;
	d->pid = 4711;
	d->python_version = 0x030e00c2;
	d->flags = PA_FLAG_SNAPSHOT;
	d->state = PA_STATE_ATTACHED;
	d->rate = d->rate_effective = RATE;
	d->attached_monotonic_ns = 1000;
	d->snapshot_monotonic_ns = 11000;
	d->rss = 1 << 20;
	d->set[0].generation = 1;
}

static struct made *make(void)
{
	struct made *m = calloc(1, sizeof *m);
	uint32_t file = 4, function = put_string(m, file, "a.py");
	uint32_t other = put_string(m, function, "f");

	assert_true(put_string(m, other, "g") <= sizeof m->strings);
	fill_directory(&m->directory);
	m->frames[1] = (struct pa_frame){ file, function, 10, 9 };
	m->frames[2] = (struct pa_frame){ file, other, 20, 19 };
	m->nodes[1] = (struct pa_node){ 0, 1 };
	m->nodes[2] = (struct pa_node){ 1, 2 };
	m->nodes[3] = (struct pa_node){ 1, 1 };
	m->sites[4] = (struct pa_site){ .node = 2, .domain = PA_DOMAIN_OBJ,
		.allocated_samples = 3, .allocated_bytes = 9000,
		.allocated_bytes_variance = 1e6,
		.allocated_bytes_weight_max = 500,
		.allocated_objects = 5, .allocated_objects_variance = 2,
		.allocated_objects_weight_max = 1 };
	m->sites[5] = m->sites[4];
	m->sites[5].node = 3;
	for (uint32_t i = 1; i < 4; i++)
		m->live[i] = (struct pa_live){ .seq = 2, .address = 64 * i,
			.size = 1000, .rate = RATE, .id = i, .thread = i,
			.site = i == 3 ? 5 : 4, .domain = PA_DOMAIN_OBJ,
			.birth_ns = 1000 * i };
	put_region(m, 0, PA_KIND_SITES, m->sites, sizeof *m->sites, 6);
	put_region(m, 1, PA_KIND_STRINGS, m->strings, 1, sizeof m->strings);
	put_region(m, 2, PA_KIND_FRAMES, m->frames, sizeof *m->frames, 3);
	put_region(m, 3, PA_KIND_NODES, m->nodes, sizeof *m->nodes, 4);
	put_region(m, 4, PA_KIND_LIVE, m->live, sizeof *m->live, 4);
	seal(m);
	return m;
}

static int decode(const void *bytes, size_t length, struct pa_image *image)
{
	struct pa_bytes_reader reader;
	struct pa_diag diag = { "", "" };
	int err;

	pa_reader_bytes(&reader, bytes, length);
	err = pa_image_read(&reader.reader, image, &diag);
	assert_true(!err || diag.text[0]);
	return err;
}

/* Decode, expect this error, and free. */
static void expect(struct made *m, int wanted)
{
	struct pa_image image;
	int err = decode(m, sizeof *m, &image);

	if (!err)
		pa_image_free(&image);
	free(m);
	assert_int_equal(err, wanted);
}

static void test_right(void **state)
{
	struct made *m = make();
	struct pa_image image;
	uint32_t n;

	(void)state;
	assert_int_equal(decode(m, sizeof *m, &image), 0);
	free(m);		/* the image does not need it any more */
	assert_int_equal(image.n_live, 3);
	assert_int_equal(image.live[2].site, 5);
	assert_int_equal(image.n_sites, 6);
	assert_int_equal(image.torn + image.damaged, 0);
	assert_memory_equal(pa_image_string(&image, image.frames[1].file, &n),
			    "a.py", 4);
	assert_int_equal(n, 4);
	assert_string_equal(pa_image_string(&image, 0xffffffff, &n), "");
	assert_int_equal(n, 0);
	pa_image_free(&image);
}

static void test_every_cut_is_seen(void **state)
{
	struct made *m = make();
	struct pa_image image;

	(void)state;
	for (size_t n = 0; n < sizeof *m; n++)
		assert_int_equal(decode(m, n, &image), PA_E_TRUNCATED);
	free(m);
}

static void test_every_flip_is_seen(void **state)
{
	struct made *m = make();
	struct pa_image image;

	(void)state;
	for (size_t at = 0; at < sizeof *m; at++) {
		int err;

		((unsigned char *)m)[at] ^= 1u << (at & 7);
		err = decode(m, sizeof *m, &image);
		if (err != PA_E_DAMAGED && err != PA_E_NO_IMAGE &&
		    err != PA_E_FUTURE_IMAGE)
			fail_msg("byte %zu: %d", at, err);
		((unsigned char *)m)[at] ^= 1u << (at & 7);
	}
	expect(m, 0);
}

static void test_versions(void **state)
{
	struct made *m = make();

	(void)state;
	m->directory.major = PA_IMAGE_MAJOR + 1;
	expect(m, PA_E_FUTURE_IMAGE);	/* also without a checksum we know */
	m = make();
	m->directory.minor = 99;
	seal(m);
	expect(m, 0);
	m = make();
	m->directory.magic[3] = 'X';
	expect(m, PA_E_NO_IMAGE);
	m = make();
	m->directory.endian = 0x04030201;
	seal(m);
	expect(m, PA_E_DAMAGED);
}

/* A later minor version: longer records, a region of an unknown kind. */
static void test_longer_records(void **state)
{
	struct made *m = make();
	char wide[4][sizeof(struct pa_node) + 8];
	char *bytes = calloc(1, sizeof *m + sizeof wide);
	struct made *n = (struct made *)(void *)bytes;
	struct pa_image image;

	(void)state;
	memset(wide, 0x55, sizeof wide);
	for (int i = 0; i < 4; i++)
		memcpy(wide[i], &m->nodes[i], sizeof m->nodes[i]);
	memcpy(bytes, m, sizeof *m);
	memcpy(bytes + sizeof *m, wide, sizeof wide);
	put_region(n, 3, PA_KIND_NODES, bytes + sizeof *m, sizeof wide[0], 4);
	put_region(n, 4, PA_KIND_LIVE, n->live, sizeof *n->live, 4);
	put_region(n, 5, 77, n->strings, 1, 8);
	seal(n);
	assert_int_equal(decode(bytes, sizeof *m + sizeof wide, &image), 0);
	assert_memory_equal(image.nodes, m->nodes, sizeof m->nodes);
	pa_image_free(&image);
	free(bytes);
	free(m);
}

/* A hostile file with good checksums. */
static void test_indexes(void **state)
{
	struct made *m;

	(void)state;
#define BAD(change) do {			\
		m = make();			\
		change;				\
		seal(m);			\
		expect(m, PA_E_DAMAGED);	\
	} while (0)
	BAD(m->live[2].site = 6);
	BAD(m->live[2].domain = 3);
	BAD(m->live[2].rate = 0);
	BAD(m->live[2].rate = 1ull << 41);
	BAD(m->live[2].size = 1ull << 63);
	BAD(m->live[2].type = 61);
	BAD(m->sites[4].node = 4);
	BAD(m->sites[4].allocated_bytes = 0.0 / 0.0);
	BAD(m->sites[4].allocated_bytes_variance = -1);
	BAD(m->nodes[2].parent = 2);
	BAD(m->nodes[2].parent = 3);
	BAD(m->nodes[2].frame = 3);
	BAD(m->frames[2].file = 62);
	BAD(m->frames[2].function = 0xfffffffc);
	BAD(memset(m->strings + 4, 0xff, 4));
	BAD(m->directory.rate = 0);
	BAD(m->directory.estimated_bytes = 1.0 / 0.0);
	BAD(m->directory.state = 99);
	BAD(m->directory.header_size = 4097);
	BAD(m->directory.set[0].n_regions = 4);
	BAD(m->directory.set[0].region[3].kind = PA_KIND_LIVE);
	BAD(m->directory.set[0].region[3].elem_size = 4);
	BAD(m->directory.count[0][3] = 0);
	BAD(m->directory.set[0].region[3].file_offset = 0);
	BAD(m->rest[100] = 1);
#undef BAD
	m = make();
	m->directory.set[0].region[4].file_offset = 1ull << 62;
	m->directory.set[0].crc = 0;	/* the set, not the region */
	m->directory.snapshot_crc = (uint32_t)crc32(0, (Bytef *)m,
		offsetof(struct pa_directory, snapshot_crc));
	expect(m, PA_E_DAMAGED);
}

/* A memory with holes: records that were being written are left out. */
static int read_memory(const struct pa_reader *reader, uint64_t at,
		       void *buffer, size_t n)
{
	const struct pa_bytes_reader *r = (const struct pa_bytes_reader *)reader;

	if (at < 0x1000 || at - 0x1000 > r->length ||
	    n > r->length - (at - 0x1000))
		return PA_E_READ;
	memcpy(buffer, r->bytes + (at - 0x1000), n);
	return 0;
}

static void test_memory(void **state)
{
	struct made *m = make();
	struct pa_bytes_reader reader = {
		.reader = { .read = read_memory, .directory = 0x1000 },
		.bytes = (unsigned char *)m, .length = sizeof *m,
	};
	struct pa_diag diag = { "", "" };
	struct pa_image image;

	(void)state;
	for (int i = 0; i < 5; i++)
		m->directory.set[0].region[i].address = 0x1000 +
			m->directory.set[0].region[i].file_offset;
	seal(m);
	m->live[1].seq = 3;
	m->live[2].size++;
	assert_int_equal(pa_image_read(&reader.reader, &image, &diag), 0);
	assert_int_equal(image.n_live, 1);
	assert_int_equal(image.torn, 1);
	assert_int_equal(image.damaged, 1);
	pa_image_free(&image);
	m->directory.set[0].region[1].address = 0x10;
	m->directory.set[0].crc = 0;
	seal(m);
	assert_int_equal(pa_image_read(&reader.reader, &image, &diag),
			 PA_E_READ);
	free(m);
}

/* ---- the report ---- */

static void report_on(struct pa_report *report, enum pa_group_by by,
		      enum pa_of of, int times)
{
	const struct pa_question question = { .group_by = by, .of = of };
	struct made *m = make();
	struct pa_image image;

	assert_int_equal(pa_report_init(report, &question), 0);
	for (int i = 0; i < times; i++) {
		assert_int_equal(decode(m, sizeof *m, &image), 0);
		assert_int_equal(pa_report_add(report, &image,
					       PA_SOURCE_IMAGE), 0);
		pa_image_free(&image);
	}
	pa_report_finish(report);
	free(m);
}

static void test_grouping(void **state)
{
	static const uint32_t rows[] = {
		[PA_BY_LINE] = 2, [PA_BY_FUNCTION] = 2, [PA_BY_FILE] = 1,
		[PA_BY_TRACEBACK] = 2, [PA_BY_THREAD] = 3, [PA_BY_DOMAIN] = 1,
	};
	struct pa_report report;

	(void)state;
	for (int by = PA_BY_LINE; by <= PA_BY_DOMAIN; by++) {
		double share = 0;

		report_on(&report, (enum pa_group_by)by, PA_OF_LIVE, 2);
		assert_int_equal(report.n_rows, rows[by]);
		assert_int_equal(report.total_sum.samples, 6);
		for (uint32_t i = 0; i < report.n_rows; i++)
			share += report.rows[i].share;
		assert_true(share > 0.999999 && share < 1.000001);
		pa_report_free(&report);
	}
	report_on(&report, PA_BY_LINE, PA_OF_LIVE, 1);
	assert_string_equal(report.names.names[report.rows[0].function].bytes,
			    "g");
	assert_int_equal(report.rows[0].line, 20);
	assert_int_equal(report.rows[0].sum.samples, 2);
	assert_int_equal(report.rows[0].oldest_ns, 10000);
	assert_string_equal(report.python, "3.14.0rc2");
	pa_report_free(&report);
	report_on(&report, PA_BY_LINE, PA_OF_ALLOCATED, 1);
	assert_int_equal(report.n_rows, 2);
	assert_true(report.total_sum.bytes == 18000);
	pa_report_free(&report);
}

static void test_limit_and_rest(void **state)
{
	const struct pa_question question = {
		.group_by = PA_BY_LINE, .limit = 1,
	};
	struct made *m = make();
	struct pa_report report;
	struct pa_image image;

	(void)state;
	assert_int_equal(pa_report_init(&report, &question), 0);
	assert_int_equal(decode(m, sizeof *m, &image), 0);
	assert_int_equal(pa_report_add(&report, &image, PA_SOURCE_LIVE), 0);
	pa_image_free(&image);
	pa_report_finish(&report);
	assert_int_equal(report.n_shown, 1);
	assert_int_equal(report.n_rows, 2);
	assert_int_equal(report.rest.samples, 1);
	pa_report_free(&report);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),
		cmocka_unit_test(test_every_cut_is_seen),
		cmocka_unit_test(test_every_flip_is_seen),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_longer_records),
		cmocka_unit_test(test_indexes),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_grouping),
		cmocka_unit_test(test_limit_and_rest),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
