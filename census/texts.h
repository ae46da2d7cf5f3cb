/* SPDX-License-Identifier: MIT
 *
 * Names, each kept once, as offsets into one block of memory.
 */
#ifndef PA_CENSUS_TEXTS_H
#define PA_CENSUS_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pa_texts {
	char *bytes;		/* NUL-terminated; 0 is "" */
	uint32_t size, room;
	uint32_t *slots;	/* offsets by hash; 0 = empty */
	uint32_t n_slots, count;
	bool no_memory;		/* some became "" */
};

/* 0, or -1 without memory. */
int pa_texts_init(struct pa_texts *texts);
void pa_texts_deinit(struct pa_texts *texts);

/* The offset of n bytes, cut at a NUL. */
uint32_t pa_texts_add(struct pa_texts *texts, const char *text, size_t n);

#endif /* PA_CENSUS_TEXTS_H */
