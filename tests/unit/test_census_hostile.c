/* SPDX-License-Identifier: MIT
 *
 * The census over memory that was made to harm it, one sort at a time: it
 * ends, its table adds up, what makes no sense is counted or passed over, and
 * what lies beside it is counted as ever.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/census_fixture.h"

#define START ((uint64_t)0x7f0000000000)
#define SIZE ((size_t)1 << 20)
#define MINOR 12
#define POOL 16384u
#define HEADER 48u
#define BLOCK 64u
#define BLOCKS ((POOL - HEADER) / BLOCK)
#define FREED 10u		/* blocks of a pool that are free */

/* Where what lies; pools begin behind it. */
#define TYPE (START + 0x1000)
#define THING (START + 0x2000)
#define NAME (START + 0x3000)
#define POOLS (START + 0x8000)
#define READY (1u << 12)
#define IS_LIST (1u << 25)
#define IS_DICT (1u << 29)
#define IS_TYPE (1u << 31)

static uint8_t *memory;
static bool is_live, is_heap;

static void put(uint64_t at, uint64_t value)
{
	memcpy(memory + (at - START), &value, sizeof value);
}

static void put_half(uint64_t at, uint32_t value)
{
	memcpy(memory + (at - START), &value, sizeof value);
}

static void put_type(uint64_t at, uint64_t of, uint32_t flags, uint64_t base)
{
	put(at, 1);
	put(at + 8, of);
	put(at + 24, NAME);
	put(at + 32, 48);
	put(at + 168, flags | READY);
	put(at + 256, base);
}

static uint64_t block_of(unsigned pool, unsigned i)
{
	return POOLS + pool * POOL + HEADER + i * BLOCK;
}

/* A pool full of instances of THING, but for the first FREED blocks. */
static void put_pool(unsigned pool)
{
	uint64_t at = POOLS + pool * POOL;

	put(at, BLOCKS - FREED);
	put(at + 8, block_of(pool, 0));
	put_half(at + 32, 0);
	put_half(at + 36, BLOCK / 16 - 1);
	put_half(at + 40, HEADER + BLOCKS * BLOCK);
	put_half(at + 44, POOL - BLOCK);
	for (unsigned i = 0; i < BLOCKS; i++) {
		put(block_of(pool, i), i < FREED - 1 ? block_of(pool, i + 1) :
		    i >= FREED);
		put(block_of(pool, i) + 8, THING);
	}
}

static int reset(void **state)
{
	(void)state;
	memset(memory, 0, SIZE);
	memcpy(memory + (NAME - START), "app.Thing", 10);
	put_type(TYPE, TYPE, IS_TYPE, 0);
	put_type(THING, TYPE, 0, 0);
	put_pool(0);
	put_pool(1);
	is_live = is_heap = false;
	return 0;
}

static struct pa_census count(void)
{
	struct piece piece = {
		.bytes = memory, .start = START, .size = SIZE,
		.kind = is_heap ? PA_RANGE_HEAP : PA_RANGE_ANON,
	};
	struct pa_census census = census_of(&piece, (struct pa_census_source){
		.python_minor = MINOR, .live = is_live, .read = read_piece,
		.context = &piece,
	});
	uint64_t sum = 0;

	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		sum += census.memory[i];
	assert_int_equal(sum, SIZE);
	return census;
}

/* The row of a type of that module; fails where there is none. */
static const struct pa_census_row *row_of(const struct pa_census *census,
					  const char *module)
{
	for (size_t i = 0; i < census->n_rows; i++)
		if (!census->rows[i].special &&
		    !strcmp(census->rows[i].module, module))
			return &census->rows[i];
	fail_msg("no row of %s", module);
	return NULL;
}

static void expect(unsigned pools, unsigned changing, unsigned damaged)
{
	struct pa_census census = count();

	assert_int_equal(census.pools, pools);
	assert_int_equal(census.pools_changing, changing);
	assert_int_equal(census.damaged, damaged);
	if (pools)
		assert_int_equal(row_of(&census, "app")->objects,
				 pools * (BLOCKS - FREED));
	pa_census_free(&census);
}

static void test_good(void **state)
{
	(void)state;
	expect(2, 0, 0);
}

/* Lists of free blocks that run in a ring, meet themselves, lead between two
 * blocks, out of the pool, behind the last block, into another pool. */
static void test_free_lists(void **state)
{
	const uint64_t ends[] = {
		block_of(1, 0), block_of(1, FREED - 1), block_of(1, 3),
		block_of(1, 20) + 8, POOLS + POOL, block_of(1, BLOCKS),
		block_of(0, 0), 1, UINT64_MAX, START + SIZE,
	};

	for (size_t i = 0; i < 2 * sizeof ends / sizeof ends[0]; i++) {
		reset(state);
		is_live = i % 2;	/* then it is read again, thrice */
		put(block_of(1, FREED - 1), ends[i / 2]);
		expect(1, 1, 0);
	}
}

/* More in use than there can be: no pool at all. */
static void test_counts(void **state)
{
	(void)state;
	put(POOLS + POOL, 0xffffffff);
	expect(1, 0, 0);
	put(POOLS + POOL, BLOCKS - FREED);
	put_half(POOLS + POOL + 40, 0xffffffff);
	expect(1, 0, 0);
	put_half(POOLS + POOL + 40, HEADER + BLOCKS * BLOCK);
	put_half(POOLS + POOL + 44, 0xfffffff0);
	expect(1, 0, 0);
}

/* Heads of pools within a pool are what is in its blocks. */
static void test_overlapping_pools(void **state)
{
	struct pa_census census;

	(void)state;
	for (uint64_t in = 4096; in < POOL; in += 4096) {
		uint64_t at = POOLS + POOL + in;

		put(at, 1);
		put(at + 8, 0);
		put_half(at + 36, 0);
		put_half(at + 40, HEADER + 16);
		put_half(at + 44, 4096 - 16);
	}
	census = count();
	assert_int_equal(census.pools, 2);
	/* some blocks are no instances any more */
	assert_in_range(row_of(&census, "app")->objects,
			2 * (BLOCKS - FREED) - 6, 2 * (BLOCKS - FREED));
	pa_census_free(&census);
}

/* Types that are their own bases, each other's types, of no type. */
static void test_types_in_a_ring(void **state)
{
	struct pa_census census;

	(void)state;
	put_type(THING, TYPE, 0, THING);
	expect(2, 0, 0);
	put_type(THING, THING, IS_TYPE, THING);
	expect(2, 0, 0);
	/* two metatypes of each other lead to none that is its own */
	put_type(TYPE, THING, IS_TYPE, THING);
	put_type(THING, TYPE, IS_TYPE, TYPE);
	census = count();
	assert_int_equal(census.objects, 0);
	pa_census_free(&census);
	put(THING + 8, START + SIZE - 8);
	census = count();
	assert_int_equal(census.objects, 0);
	pa_census_free(&census);
}

/* Is there a row of all these instances?  No text is endless. */
static bool is_named(const struct pa_census *census)
{
	bool found = false;

	for (size_t i = 0; i < census->n_rows; i++) {
		const struct pa_census_row *row = &census->rows[i];

		assert_true(strlen(row->name) < 4096);
		assert_true(strlen(row->module) < 4096);
		found |= !row->special && row->objects == 2 * (BLOCKS - FREED);
	}
	return found;
}

/* A name that never ends, one at the very end, one that leads nowhere. */
static void test_names(void **state)
{
	const uint64_t names[] = {
		START + SIZE / 2, START + SIZE - 8, START + SIZE, UINT64_MAX,
	};

	(void)state;
	memset(memory + SIZE / 2, 'A', SIZE / 2);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct pa_census census;

		put(THING + 24, names[i]);
		census = count();
		assert_true(is_named(&census));
		pa_census_free(&census);
	}
}

/* Lists and dicts that claim more than there is: their buffers are blocks
 * that are there. */
static void test_huge_containers(void **state)
{
	static const uint32_t kinds[] = { IS_LIST, IS_DICT };
	static const uint64_t sizes[] = { 1ull << 32, INT64_MAX, UINT64_MAX };

	for (size_t i = 0; i < 6; i++) {
		struct pa_census census;

		reset(state);
		put_type(THING, TYPE, kinds[i % 2], 0);
		for (unsigned k = FREED; k < BLOCKS; k++) {
			uint64_t at = block_of(0, k);

			put(at + 16, sizes[i / 2]);
			put(at + 24, k % 2 ? block_of(1, k) : START + SIZE);
			put(at + 32, k % 3 ? at : sizes[i / 2]);
			put(at + 40, sizes[i / 2]);
		}
		census = count();
		assert_int_equal(census.pools, 2);
		for (size_t r = 0; r < census.n_rows; r++)
			assert_true(census.rows[r].bytes +
				    census.rows[r].buffers <= SIZE);
		pa_census_free(&census);
	}
}

/* Chunks of no size, of more than the heap, of a negative one. */
static void test_chunks(void **state)
{
	static const uint64_t sizes[] = {
		1, 8 | 1, SIZE * 2 | 1, UINT64_MAX, (uint64_t)-64 | 1,
	};

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct pa_census census;

		is_heap = true;
		memset(memory, 0, SIZE);
		for (uint64_t at = 0; at < SIZE; at += 256)
			put(START + at + 8, 256 | 1);
		put(START + 256 * 100 + 8, sizes[i]);
		census = count();
		assert_int_equal(census.damaged, 1);
		assert_in_range(census.memory[PA_MEMORY_LARGE_LIVE],
				SIZE - 2048, SIZE - 256);
		pa_census_free(&census);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good, reset),
		cmocka_unit_test_setup(test_free_lists, reset),
		cmocka_unit_test_setup(test_counts, reset),
		cmocka_unit_test_setup(test_overlapping_pools, reset),
		cmocka_unit_test_setup(test_types_in_a_ring, reset),
		cmocka_unit_test_setup(test_names, reset),
		cmocka_unit_test_setup(test_huge_containers, reset),
		cmocka_unit_test_setup(test_chunks, reset),
	};
	int failed;

	memory = malloc(SIZE);
	if (!memory)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(memory);
	return failed;
}
