/* SPDX-License-Identifier: MIT
 *
 * Blocks by number and by address: random pools and chunks against a plain
 * list of all of them; hints; sizes that no block can have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "census/nodes.h"
#include "census/texts.h"
#include "tests/unit/unit.h"

#define BASE ((uint64_t)0x7f0000000000)
#define MOST 20000u
#define EXTENTS 120u
#define ASKED 20000u

struct plain {
	uint64_t address, size;
	bool live;
};

static struct plain plain[MOST];
static uint32_t n_plain;
static uint64_t state;

static uint64_t pick(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 16) % below;
}

static void note(uint64_t address, uint64_t size, bool live)
{
	assert_true(n_plain < MOST);
	plain[n_plain++] = (struct plain){ address, size, live };
}

static uint64_t add_pool(struct pa_nodes *nodes, uint64_t at)
{
	struct pa_pool pool = { .bytes = PA_POOL_MAX };

	pool.address = (at + PA_POOL_MAX - 1) & -(uint64_t)PA_POOL_MAX;
	pool.size = 16 * (1 + (uint32_t)pick(32));
	pool.carved = 1 + (uint32_t)pick((PA_POOL_MAX - PA_POOL_HEADER) /
					 pool.size);
	pool.live = 1;
	pa_nodes_add_pool(nodes, &pool);
	for (uint32_t i = 0; i < pool.carved; i++) {
		struct pa_block block = {
			.address = pool.address + PA_POOL_HEADER +
				i * pool.size,
			.size = pool.size, .charge = pool.size, .small = true,
		};
		bool live = pick(4);

		if (live)
			assert_int_equal(pa_nodes_add(nodes, &block,
						      PA_NODE_LIVE), n_plain);
		note(block.address, block.size, live);
	}
	return pool.address + PA_POOL_MAX;
}

static uint64_t add_chunk(struct pa_nodes *nodes, uint64_t at)
{
	struct pa_block block = { .address = at + 16 };

	block.charge = pick(5) ? 32 + 16 * pick(200) :
		(uint64_t)4096 * (1 + pick(3000));
	block.size = block.charge - 8;
	assert_int_equal(pa_nodes_add(nodes, &block, PA_NODE_LIVE), n_plain);
	note(block.address, block.charge, true);
	return at + block.charge;
}

/* The block around an address, or n_plain. */
static uint32_t look(uint64_t address)
{
	for (uint32_t i = 0; i < n_plain; i++)
		if (address >= plain[i].address &&
		    address - plain[i].address < plain[i].size)
			return plain[i].live ? i : n_plain;
	return n_plain;
}

static void ask(const struct pa_nodes *nodes, uint64_t address)
{
	uint32_t expected = look(address);
	uint64_t inside = 0;
	uint32_t got = pa_nodes_around(nodes, address, &inside);

	if (expected == n_plain) {
		assert_int_equal(got, PA_NO_NODE);
		return;
	}
	assert_int_equal(got, expected);
	assert_int_equal(inside, address - plain[expected].address);
}

static void test_random(void **unused)
{
	const char *seed = getenv("PA_SEED");
	struct pa_nodes nodes;
	uint64_t at = BASE;

	(void)unused;
	state = seed ? strtoull(seed, NULL, 10) :
		(uint64_t)time(NULL) * 2654435761u + 1;
	print_message("# PA_SEED=%llu\n", (unsigned long long)state);
	n_plain = 0;
	assert_int_equal(pa_nodes_init(&nodes), 0);
	while (nodes.n_extents < EXTENTS && n_plain + 1100 < MOST) {
		at = pick(2) ? add_pool(&nodes, at) : add_chunk(&nodes, at);
		if (!pick(8))
			at += 16 * pick((uint64_t)1 << (6 + pick(25)));
	}
	pa_nodes_close(&nodes);
	assert_false(nodes.full);
	assert_int_equal(nodes.count, n_plain);
	for (uint32_t i = 0; i < ASKED; i++) {
		uint32_t n = (uint32_t)pick(n_plain);

		ask(&nodes, plain[n].address + pick(plain[n].size));
		ask(&nodes, plain[n].address - pick(64));
		ask(&nodes, BASE + pick(at + 4096 - BASE));
	}
	for (uint32_t i = 0; i < n_plain; i++) {
		uint32_t n = i % 3 ? i : (uint32_t)pick(n_plain);
		uint64_t size;

		assert_int_equal(pa_nodes_address(&nodes, n, &size),
				 plain[n].address);
		assert_int_equal(size, plain[n].size);
	}
	pa_nodes_deinit(&nodes);
}

static void test_hints(void **unused)
{
	struct pa_nodes nodes;
	struct pa_block block = { .size = 504, .charge = 512 };
	const uint64_t where[] = { BASE + 16, BASE + 4112, BASE + 8208 };

	(void)unused;
	assert_int_equal(pa_nodes_init(&nodes), 0);
	for (int i = 0; i < 3; i++) {
		block.address = where[i];
		pa_nodes_add(&nodes, &block, i == 2 ? PA_NODE_LIVE |
			     PA_NODE_TYPED | 7 : PA_NODE_LIVE);
	}
	pa_nodes_hint(&nodes, where[0], PA_HINT_USED, 5);
	pa_nodes_hint(&nodes, where[1] + 32, PA_HINT_VALUES, 0);
	/* in the middle, of an object, of nothing, too large: all ignored */
	pa_nodes_hint(&nodes, where[0] + 8, PA_HINT_KEYS, 0);
	pa_nodes_hint(&nodes, where[2], PA_HINT_KEYS, 0);
	pa_nodes_hint(&nodes, BASE - 64, PA_HINT_KEYS, 0);
	pa_nodes_hint(&nodes, UINT64_MAX, PA_HINT_KEYS, 0);
	pa_nodes_hint(&nodes, where[1], PA_HINT_USED, UINT64_MAX);
	pa_nodes_close(&nodes);
	assert_int_equal(nodes.node[0] & PA_NODE_TYPE,
			 PA_HINT_USED << PA_HINT_SHIFT | 5);
	assert_int_equal(nodes.node[1] & PA_NODE_TYPE,
			 PA_HINT_VALUES << PA_HINT_SHIFT | 4);
	assert_int_equal(nodes.node[2] & PA_NODE_TYPE, 7);
	pa_nodes_deinit(&nodes);
}

static void test_hostile(void **unused)
{
	struct pa_nodes nodes;
	struct pa_block block = { .address = BASE };
	struct pa_pool pool = { .address = BASE, .size = 16, .live = 1 };
	uint64_t inside;

	(void)unused;
	assert_int_equal(pa_nodes_init(&nodes), 0);
	/* smaller than anything, larger than the address space */
	assert_int_equal(pa_nodes_add(&nodes, &block, PA_NODE_LIVE),
			 PA_NO_NODE);
	block.charge = UINT64_MAX;
	pa_nodes_add(&nodes, &block, PA_NODE_LIVE);
	/* in front of it: they come in order, or not at all */
	pool.carved = 4;
	pool.address = BASE - PA_POOL_MAX;
	pa_nodes_add_pool(&nodes, &pool);
	assert_true(nodes.full);
	/* a block of a pool that was not added */
	block = (struct pa_block){
		.address = BASE - 64, .charge = 16, .small = true,
	};
	assert_int_equal(pa_nodes_add(&nodes, &block, PA_NODE_LIVE),
			 PA_NO_NODE);
	pa_nodes_close(&nodes);
	assert_int_equal(pa_nodes_around(&nodes, BASE + 4096, &inside), 0);
	assert_int_equal(inside, 4096);
	assert_int_equal(pa_nodes_around(&nodes, 0, &inside), PA_NO_NODE);
	assert_int_equal(pa_nodes_around(&nodes, UINT64_MAX, &inside),
			 PA_NO_NODE);
	assert_int_equal(pa_nodes_around(&nodes, (uint64_t)1 << 47, &inside),
			 PA_NO_NODE);
	pa_nodes_deinit(&nodes);
}

static void test_texts(void **unused)
{
	struct pa_texts texts;
	uint32_t at[5000];
	char text[32];

	(void)unused;
	assert_int_equal(pa_texts_init(&texts), 0);
	assert_int_equal(pa_texts_add(&texts, "", 0), 0);
	assert_int_equal(pa_texts_add(&texts, "\0x", 2), 0);
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < 5000; i++) {
			int n = snprintf(text, sizeof text, "name %u", i);
			uint32_t got = pa_texts_add(&texts, text, (size_t)n);

			if (pass)
				assert_int_equal(got, at[i]);
			at[i] = got;
			assert_string_equal(texts.bytes + got, text);
		}
	/* the start of another one is a text of its own */
	assert_string_equal(texts.bytes + pa_texts_add(&texts, "name 12", 5),
			    "name ");
	assert_false(texts.no_memory);
	pa_texts_deinit(&texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
