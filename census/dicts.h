/* SPDX-License-Identifier: MIT
 *
 * Reading one str, or the entries of one dict, of any version.
 */
#ifndef PA_CENSUS_DICTS_H
#define PA_CENSUS_DICTS_H

#include "census/types.h"

#define PA_NAME_MAX 256u

/* A str as UTF-8 into text[PA_NAME_MAX], without a NUL: its length, 0 if it
 * is no str or empty.  Long ones are cut. */
size_t pa_read_str(struct pa_types *types, uint64_t address, char *text);

/* A C string, the same way. */
size_t pa_read_text(struct pa_types *types, uint64_t address, char *text);

/* Where the entries of a dict's keys are, from their 40 bytes of head on. */
struct pa_entries {
	uint64_t at, n;
	unsigned stride;
};

bool pa_entries_in(const struct pa_types *types, const uint8_t *keys,
		   struct pa_entries *entries);

/* Of a dict: 4096 entries are read, or what `most` is set to. */
struct pa_dict {
	struct pa_types *types;
	uint64_t entries, values;	/* values: 0 = in the entries */
	uint64_t n, next, most;
	unsigned stride;
};

/* false: no dict that makes sense. */
bool pa_dict_open(struct pa_dict *dict, struct pa_types *types,
		  uint64_t address);
/* Keys with values that lie elsewhere, or 0: then there are none. */
bool pa_dict_open_keys(struct pa_dict *dict, struct pa_types *types,
		       uint64_t keys, uint64_t values);
/* The next entry that has a value; false at the end. */
bool pa_dict_next(struct pa_dict *dict, uint64_t *key, uint64_t *value);
/* The value of a str key, or 0. */
uint64_t pa_dict_get(struct pa_types *types, uint64_t address,
		     const char *key);

#endif /* PA_CENSUS_DICTS_H */
