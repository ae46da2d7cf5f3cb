/* SPDX-License-Identifier: MIT
 *
 * Under which name one object has another: attributes in a dict, in values
 * of its own or in named fields, and str keys of a dict.
 */
#ifndef PA_CENSUS_ATTRIBUTES_H
#define PA_CENSUS_ATTRIBUTES_H

#include "census/references.h"
#include "census/texts.h"

struct pa_attribute {
	uint32_t node;		/* that it is the value */
	uint32_t name;		/* in texts */
};

struct pa_attributes {
	struct pa_references *references;
	struct pa_texts *texts;
	struct pa_attribute *attribute;	/* by node */
	uint32_t n, room;
	uint32_t dict;		/* node of the dict that is a part of it */
	bool keys;		/* they are keys of a dict */

	/* fields of each type, once it was asked for */
	struct pa_field *field;
	uint32_t n_fields, room_fields;
	uint32_t *first_field;	/* by type; index + 1, with a last one */
	uint64_t budget;	/* reads that are left */
};

/* 0, or -1 without memory. */
int pa_attributes_init(struct pa_attributes *a,
		       struct pa_references *references,
		       struct pa_texts *texts);
void pa_attributes_deinit(struct pa_attributes *a);

/* Find those of a node; none of what has none.  keys: of a dict too, up to
 * so many. */
void pa_attributes_read(struct pa_attributes *a, uint32_t node,
			uint64_t keys);
/* The name of the attribute that is a node, or 0. */
uint32_t pa_attributes_name(const struct pa_attributes *a, uint32_t node);

#endif /* PA_CENSUS_ATTRIBUTES_H */
