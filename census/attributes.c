/* SPDX-License-Identifier: MIT
 *
 * Names of attributes; see attributes.h.
 */
#include "census/attributes.h"

#include <stdlib.h>

#include "census/dicts.h"

#define FIELDS_MOST 256u	/* of one type */
#define BASES 64u
#define MEMBER 40u		/* size of a PyMemberDef */
#define IS_OBJECT 6		/* T_OBJECT, and T_OBJECT_EX of slots */
#define IS_OBJECT_EX 16
#define BUDGET ((uint64_t)8 << 20)
#define OFFSET_MOST ((uint64_t)1 << 20)
#define ATTRIBUTES_MOST (1u << 22)

struct pa_field {
	uint32_t offset;	/* in the object; 0 ends the type's */
	uint32_t name;
};

int pa_attributes_init(struct pa_attributes *a,
		       struct pa_references *references,
		       struct pa_texts *texts)
{
	memset(a, 0, sizeof *a);
	a->references = references;
	a->texts = texts;
	a->budget = BUDGET;
	a->first_field = calloc(references->types->count,
				sizeof *a->first_field);
	return a->first_field ? 0 : -1;
}

void pa_attributes_deinit(struct pa_attributes *a)
{
	free(a->attribute);
	free(a->field);
	free(a->first_field);
	memset(a, 0, sizeof *a);
}

/* ---- named fields ---- */

static bool add_field(struct pa_attributes *a, uint32_t offset, uint32_t name)
{
	if (a->n_fields == a->room_fields) {
		uint32_t room = a->room_fields * 2 + 1024;
		struct pa_field *more = reallocarray(a->field, room,
						     sizeof *more);

		if (!more)
			return false;
		a->field = more;
		a->room_fields = room;
	}
	a->field[a->n_fields++] = (struct pa_field){ offset, name };
	return true;
}

/* name, type (int), offset, flags, doc; up to one without a name */
static void read_members(struct pa_attributes *a, uint64_t at)
{
	struct pa_types *types = a->references->types;
	uint8_t member[MEMBER];
	char text[PA_NAME_MAX];

	for (unsigned i = 0; at && i < FIELDS_MOST; i++, at += MEMBER) {
		uint64_t offset;
		uint32_t kind, name;

		if (!pa_window_peek(types->window, at, member,
				    sizeof member) || !pa_word(member))
			return;
		kind = pa_half(member + 8);
		offset = pa_word(member + 16);
		if ((kind != IS_OBJECT && kind != IS_OBJECT_EX) ||
		    offset < PA_OB_BODY || offset > OFFSET_MOST)
			continue;
		name = pa_texts_add(a->texts, text, pa_read_text(
			types, pa_word(member), text));
		if (name && !add_field(a, (uint32_t)offset, name))
			return;
	}
}

/* The fields of a type and its bases. */
static const struct pa_field *fields_of(struct pa_attributes *a, uint32_t type)
{
	struct pa_types *types = a->references->types;
	uint32_t first = a->n_fields, base = type;

	if (a->first_field[type])
		return &a->field[a->first_field[type] - 1];
	for (unsigned i = 0; i < BASES && base && base < types->count; i++) {
		read_members(a, types->type[base].members);
		base = pa_types_at(types, types->type[base].base);
	}
	if (!add_field(a, 0, 0))
		return NULL;
	a->first_field[type] = first + 1;
	return &a->field[first];
}

/* ---- one object ---- */

static void add(struct pa_attributes *a, uint64_t value, uint32_t name)
{
	uint32_t node = pa_references_to(a->references, value);

	if (node == PA_NO_NODE || !name)
		return;
	if (a->n == a->room) {
		uint32_t room = a->room * 2 + 256;
		struct pa_attribute *more = room > ATTRIBUTES_MOST ? NULL :
			reallocarray(a->attribute, room, sizeof *more);

		if (!more)
			return;
		a->attribute = more;
		a->room = room;
	}
	a->attribute[a->n++] = (struct pa_attribute){ node, name };
}

static uint64_t word_at(struct pa_attributes *a, uint64_t address)
{
	uint8_t word[8];

	if (a->budget)
		a->budget--;
	return pa_window_peek(a->references->window, address, word,
			      sizeof word) ? pa_word(word) : 0;
}

static void add_entries(struct pa_attributes *a, struct pa_dict *dict)
{
	uint64_t key, value;
	char text[PA_NAME_MAX];

	while (a->budget && pa_dict_next(dict, &key, &value)) {
		a->budget--;
		/* most values are no blocks: ask them first */
		if (pa_references_to(a->references, value) != PA_NO_NODE)
			add(a, value, pa_texts_add(a->texts, text, pa_read_str(
				dict->types, key, text)));
	}
}

/* The dict of attributes itself belongs to its object. */
static void add_dict(struct pa_attributes *a, uint64_t address)
{
	struct pa_dict dict;

	if (!address)
		return;
	a->dict = pa_references_to(a->references, address);
	if (pa_dict_open(&dict, a->references->types, address)) {
		dict.most = ATTRIBUTES_MOST;
		add_entries(a, &dict);
	}
}

static void add_values(struct pa_attributes *a, const struct pa_type *type,
		       uint64_t values)
{
	struct pa_types *types = a->references->types;
	struct pa_dict dict;

	if (values && pa_dict_open_keys(&dict, types, word_at(
			a, type->address + types->layout->cached_keys),
			values))
		add_entries(a, &dict);
}

/* In front of the object, or values in it. */
static void add_managed(struct pa_attributes *a, const struct pa_type *type,
			uint64_t object)
{
	const struct pa_layout *layout = a->references->types->layout;
	uint64_t word = word_at(a, object - 24);

	if (layout->values_tagged && word & 1) {
		add_values(a, type, word + 1);
		return;
	}
	if (layout->values_back && !layout->values_tagged)
		add_values(a, type, word_at(a, object -
					    layout->values_back));
	if (word)
		add_dict(a, word);
	else if (layout->inline_values &&
		 type->flags & PA_TPFLAGS_INLINE_VALUES)
		add_values(a, type, object + type->basicsize);
}

static void add_instance(struct pa_attributes *a, uint32_t index,
			 uint64_t object)
{
	struct pa_types *types = a->references->types;
	const struct pa_field *field = fields_of(a, index);
	/* fields_of may have found more types */
	const struct pa_type *type = &types->type[index];
	int64_t at = type->dict_offset;

	for (; field && field->offset; field++)
		add(a, word_at(a, object + field->offset), field->name);
	if (type->flags & PA_TPFLAGS_MANAGED_DICT &&
	    types->layout->short_keys) {
		add_managed(a, type, object);
		return;
	}
	if (at < 0 && type->itemsize && type->itemsize < OFFSET_MOST) {
		uint64_t n = word_at(a, object + PA_OB_SIZE);

		/* behind the items of a tuple */
		if (n < OFFSET_MOST)
			at += (int64_t)((type->basicsize + n * type->itemsize +
					 7) & ~7ull);
	}
	if (at >= PA_OB_BODY && at % 8 == 0 && at < (int64_t)1 << 32)
		add_dict(a, word_at(a, object + (uint64_t)at));
}

static void add_keys(struct pa_attributes *a, uint64_t object, uint64_t most)
{
	struct pa_dict dict;

	if (word_at(a, object + PA_OB_SIZE) > most ||
	    !pa_dict_open(&dict, a->references->types, object))
		return;
	dict.most = ATTRIBUTES_MOST;
	a->keys = true;
	add_entries(a, &dict);
}

static int by_node(const void *left, const void *right)
{
	const struct pa_attribute *a = left, *b = right;

	return (a->node > b->node) - (a->node < b->node);
}

void pa_attributes_read(struct pa_attributes *a, uint32_t node,
			uint64_t keys)
{
	struct pa_references *r = a->references;
	uint32_t what = r->nodes.node[node], index = what & PA_NODE_TYPE;
	const struct pa_type *type = &r->types->type[index];
	uint64_t object, size;

	a->n = 0;
	a->dict = PA_NO_NODE;
	a->keys = false;
	if (!(what & PA_NODE_TYPED) || what & PA_NODE_LEAF || !a->budget)
		return;
	object = pa_nodes_address(&r->nodes, node, &size) +
		pa_object_offset(r->types, what);
	if (type->role == PA_ROLE_MODULE)
		add_dict(a, word_at(a, object + PA_MODULE_DICT));
	else if (type->shape == PA_SHAPE_TYPE)
		add_dict(a, word_at(a, object + PA_TP_DICT));
	else if (type->shape != PA_SHAPE_DICT || !keys || !type->exact)
		add_instance(a, index, object);
	if (type->shape == PA_SHAPE_DICT && keys)
		add_keys(a, object, keys);
	if (a->n > 1)
		qsort(a->attribute, a->n, sizeof *a->attribute, by_node);
}

uint32_t pa_attributes_name(const struct pa_attributes *a, uint32_t node)
{
	uint32_t low = 0, high = a->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (a->attribute[middle].node < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low < a->n && a->attribute[low].node == node ?
		a->attribute[low].name : 0;
}
