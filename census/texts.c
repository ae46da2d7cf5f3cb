/* SPDX-License-Identifier: MIT
 *
 * Names, each kept once; see texts.h.
 */
#include "census/texts.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 1024u
#define SIZE_MOST (1u << 30)

int pa_texts_init(struct pa_texts *texts)
{
	memset(texts, 0, sizeof *texts);
	texts->size = 1;
	texts->room = 4096;
	texts->n_slots = SLOTS;
	texts->bytes = calloc(texts->room, 1);
	texts->slots = calloc(texts->n_slots, sizeof *texts->slots);
	return texts->bytes && texts->slots ? 0 : -1;
}

void pa_texts_deinit(struct pa_texts *texts)
{
	free(texts->bytes);
	free(texts->slots);
	memset(texts, 0, sizeof *texts);
}

static uint32_t hash(const char *text, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static bool grow(struct pa_texts *texts, size_t n)
{
	if (texts->room - texts->size < n + 1) {
		uint32_t room = texts->room * 2 + (uint32_t)n;
		char *more = room > SIZE_MOST ? NULL :
			realloc(texts->bytes, room);

		if (!more)
			return false;
		texts->bytes = more;
		texts->room = room;
	}
	if (texts->count * 2 >= texts->n_slots) {
		uint32_t mask = texts->n_slots * 4 - 1;
		uint32_t *slots = calloc(mask + 1ull, sizeof *slots);

		if (!slots)
			return false;
		for (uint32_t i = 0; i < texts->n_slots; i++) {
			const char *text = texts->bytes + texts->slots[i];
			uint32_t h = hash(text, strlen(text)) & mask;

			while (texts->slots[i] && slots[h])
				h = (h + 1) & mask;
			if (texts->slots[i])
				slots[h] = texts->slots[i];
		}
		free(texts->slots);
		texts->slots = slots;
		texts->n_slots = mask + 1;
	}
	return true;
}

uint32_t pa_texts_add(struct pa_texts *texts, const char *text, size_t n)
{
	uint32_t h, at;

	n = strnlen(text, n);
	if (!n)
		return 0;
	if (n > 4096 || !grow(texts, n)) {
		texts->no_memory = true;
		return 0;
	}
	for (h = hash(text, n) & (texts->n_slots - 1); texts->slots[h];
	     h = (h + 1) & (texts->n_slots - 1)) {
		at = texts->slots[h];
		if (!strncmp(texts->bytes + at, text, n) &&
		    !texts->bytes[at + n])
			return at;
	}
	at = texts->size;
	memcpy(texts->bytes + at, text, n);
	texts->bytes[at + n] = '\0';
	texts->size += (uint32_t)n + 1;
	texts->slots[h] = at;
	texts->count++;
	return at;
}
