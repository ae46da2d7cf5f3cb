/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target over the files named, where libFuzzer is not linked.
 * Each file is also cut short, and damaged in a repeatable way, so that the
 * committed corpus reaches more than it says.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *slurp(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long length;

	if (!file)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0) {
		rewind(file);
		*size = (size_t)length;
		data = malloc(*size + 1);
		if (data && fread(data, 1, *size, file) != *size) {
			free(data);
			data = NULL;
		}
	}
	fclose(file);
	return data;
}

static void around(uint8_t *data, size_t size)
{
	uint32_t seed = (uint32_t)size;

	LLVMFuzzerTestOneInput(data, size);
	for (int i = 0; size && i < 400; i++) {
		size_t at;
		uint8_t bit;

		seed = seed * 1664525u + 1013904223u;
		at = (seed >> 4) % (i & 1 ? size : (size < 4096 ? size : 4096));
		bit = (uint8_t)(1u << (seed >> 29));
		data[at] ^= bit;
		LLVMFuzzerTestOneInput(data, size);
		data[at] ^= bit;
		LLVMFuzzerTestOneInput(data, at);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size = 0;
		uint8_t *data = slurp(argv[i], &size);

		if (!data) {
			fprintf(stderr, "%s: cannot be read\n", argv[i]);
			return 1;
		}
		around(data, size);
		free(data);
	}
	return 0;
}
