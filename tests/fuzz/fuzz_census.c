/* SPDX-License-Identifier: MIT
 *
 * The whole census over memory that holds anything: no crash, no read beyond
 * it, an end, and a sum that is the memory's size.
 *
 * The input is some pages at an address of its own, half of them with a
 * header of a pool or a chunk pressed onto them, so that chance gets
 * further; as a process and as a core.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "census/census.h"
#include "census/holders.h"

#define BASE ((uint64_t)0x7f0000000000)
#define SIZE_MAX_OF_INPUT ((size_t)1 << 20)

struct memory {
	const uint8_t *bytes;
	size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_memory(void *context, uint64_t address, void *buffer,
			  size_t n)
{
	const struct memory *memory = context;
	uint64_t left;

	if (address < BASE || address - BASE >= memory->size)
		return 0;
	left = memory->size - (address - BASE);
	n = n < left ? n : (size_t)left;
	memcpy(buffer, memory->bytes + (address - BASE), n);
	return n;
}

static void press_pool(uint8_t *page, unsigned class, unsigned bytes)
{
	uint32_t size = (class + 1) * 16, carved = (bytes - 48) / size;
	uint32_t head[4] = { 0, class, 48 + carved * size, bytes - size };
	uint64_t none = 0;

	memcpy(page + 8, &none, sizeof none);
	memcpy(page, &carved, sizeof carved);
	memcpy(page + 32, head, sizeof head);
}

/* A header that is right, before what the input says. */
static void press(uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + 16384 <= size; at += 4096) {
		uint8_t kind = bytes[at + 64];
		uint64_t chunk[2] = { 0, 8192 | 2 };

		if (kind % 4 == 1)
			press_pool(bytes + at, kind / 4 % 32, 4096);
		else if (kind % 4 == 2 && at % 16384 == 0)
			press_pool(bytes + at, kind / 4 % 32, 16384);
		else if (kind % 8 == 3)
			memcpy(bytes + at, chunk, sizeof chunk);
	}
}

/* The tree hangs together, every text is one. */
static void check_holders(const struct pa_holders *holders)
{
	uint64_t length = 0;

	for (uint32_t i = 0; i < holders->n_holders; i++) {
		const struct pa_holder *h = &holders->holder[i];

		if (i ? h->parent >= i : h->parent != PA_NO_HOLDER)
			abort();
		if (i && (h->retained > holders->holder[h->parent].retained ||
			  h->depth != holders->holder[h->parent].depth + 1))
			abort();
		if (h->own > h->retained || h->kind >= PA_HOLDER_KINDS)
			abort();
		length += strlen(h->name) + strlen(h->module) +
			strlen(h->type);
	}
	for (uint32_t i = 0; i < holders->n_paths; i++)
		for (uint32_t k = 0; k < holders->path[i].n_steps; k++)
			length += strlen(holders->path[i].step[k].name) +
				strlen(holders->path[i].step[k].type);
	if (length > (uint64_t)1 << 32)
		abort();
}

static void take(struct memory *memory, int minor, bool live, bool heap)
{
	const struct pa_holders_ask ask = {
		.tree = true, .least = 0.001, .path_to = "Plain",
	};
	struct pa_holders holders;
	struct pa_census_range range = {
		.start = BASE, .end = BASE + memory->size,
		.kind = heap ? PA_RANGE_HEAP : PA_RANGE_ANON,
		.resident = memory->size,
	};
	struct pa_census_run run = { .start = BASE,
		.end = BASE + memory->size };
	struct pa_census_source source = {
		.python_minor = minor, .live = live, .ranges = &range,
		.n_ranges = 1, .runs = &run, .n_runs = 1, .context = memory,
		.read = read_memory,
	};
	struct pa_census census;
	uint64_t sum = 0;

	if (pa_census_run_asked(&source, &ask, &census, &holders))
		abort();
	check_holders(&holders);
	pa_holders_free(&holders);
	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		sum += census.memory[i];
	if (sum != memory->size || census.rss != memory->size)
		abort();
	for (size_t i = 0; i < census.n_rows; i++)
		if (strlen(census.rows[i].module) > 4096 ||
		    strlen(census.rows[i].name) > 4096)
			abort();
	pa_census_free(&census);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory memory;
	uint8_t how, *bytes;

	if (size < 2 || size > SIZE_MAX_OF_INPUT)
		return 0;
	how = data[0];
	memory.size = (size + 4095) / 4096 * 4096;
	bytes = calloc(1, memory.size);
	if (!bytes)
		return 0;
	memcpy(bytes, data, size);
	if (how & 1)
		press(bytes, memory.size);
	memory.bytes = bytes;
	take(&memory, 8 + how / 2 % 8, how & 32, how & 64);
	free(bytes);
	return 0;
}
