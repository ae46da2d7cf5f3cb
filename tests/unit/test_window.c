/* SPDX-License-Identifier: MIT
 *
 * How much of a heap a census reads, chunk sizes of all kinds: about once in
 * each of its passes.  What could not be read counts once.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/census_fixture.h"

#define START ((uint64_t)0x555500000000)
#define SIZE ((size_t)32 << 20)
#define PASSES 3	/* count, find owners, scan what nobody owns */

static uint8_t *heap;
static uint64_t given, broken;

static size_t read_heap(void *context, uint64_t address, void *buffer,
			size_t n)
{
	uint64_t at = address - START;

	if (broken && at <= broken && broken < at + n)
		n = broken - at;
	n = read_piece(context, address, buffer, n);
	given += n;
	return n;
}

/* Chunks of these sizes in turn, all in use, full of what is no address. */
static void fill(const uint32_t *sizes, size_t n)
{
	size_t at = 0;

	memset(heap, 1, SIZE);
	memset(heap, 0, 8);
	for (size_t i = 0; SIZE - at > 2 * (size_t)sizes[i % n]; i++) {
		uint64_t field = sizes[i % n] | 1;

		memcpy(heap + at + 8, &field, 8);
		at += sizes[i % n];
	}
	memcpy(heap + at + 8, &(uint64_t){ (SIZE - at) | 1 }, 8);
}

static struct pa_census count(void)
{
	struct piece piece = {
		.bytes = heap, .start = START, .size = SIZE,
		.kind = PA_RANGE_HEAP,
	};

	given = 0;
	return census_of(&piece, (struct pa_census_source){
		.python_minor = 11, .read = read_heap, .context = &piece,
	});
}

static void test_once_a_pass(void **state)
{
	static const uint32_t sizes[][3] = {
		{ 32, 32, 32 }, { 1008, 1008, 1008 }, { 528, 4096, 2080 },
		{ 9008, 9008, 9008 }, { 32, 16384, 70000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct pa_census census;

		fill(sizes[i], 3);
		census = count();
		assert_int_equal(census.damaged, 0);
		assert_true(census.memory[PA_MEMORY_LARGE_LIVE] >
			    SIZE - 3 * 70000);
		/* a tenth more, for what is looked at twice */
		assert_in_range(given, SIZE, SIZE * PASSES * 11 / 10);
		pa_census_free(&census);
	}
}

static void test_lost_once(void **state)
{
	static const uint32_t sizes[] = { 4096 };

	(void)state;
	fill(sizes, 1);
	/* where a window ends, and in the middle of one */
	for (broken = 2 << 20; broken < 4 << 20; broken += 13 * 4096) {
		struct pa_census census = count();

		assert_int_equal(census.memory[PA_MEMORY_NOT_READ], 4096);
		pa_census_free(&census);
	}
	broken = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once_a_pass),
		cmocka_unit_test(test_lost_once),
	};
	int failed;

	heap = malloc(SIZE);
	if (!heap)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(heap);
	return failed;
}
