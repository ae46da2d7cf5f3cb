/* SPDX-License-Identifier: MIT
 *
 * Type objects of the target: is this word the address of one, what is its
 * name, how do its instances lie in memory.
 *
 * Types are found when something points at them and kept for good; how many
 * is bounded.  Names are hostile bytes.
 */
#ifndef PA_CENSUS_TYPES_H
#define PA_CENSUS_TYPES_H

#include "census/layout.h"
#include "census/window.h"

#define PA_TYPES_RECENT 1024u

/* Instances whose buffers are known; everything else is scanned. */
enum pa_shape {
	PA_SHAPE_SCAN = 0,
	PA_SHAPE_LEAF,		/* points at no buffer */
	PA_SHAPE_LIST,
	PA_SHAPE_DICT,
	PA_SHAPE_SET,
	PA_SHAPE_DEQUE,
	PA_SHAPE_BYTEARRAY,
	PA_SHAPE_ARRAY,
	PA_SHAPE_NDARRAY,
	PA_SHAPE_DATA,		/* any block that it points at is data */
	PA_SHAPE_TYPE,
};

/* What the graph of references has to know of a type and its subclasses. */
enum pa_role {
	PA_ROLE_NONE = 0, PA_ROLE_WEAK, PA_ROLE_MODULE, PA_ROLE_FRAME,
	PA_ROLE_CODE,
};

struct pa_type {
	uint64_t address;
	uint64_t flags, basicsize, itemsize;
	uint64_t base, dict, name_at;
	uint64_t weak_list;	/* offset of a pointer; 0 = none */
	int64_t dict_offset;	/* of __dict__; 0 = none */
	uint64_t members;	/* named fields */
	enum pa_role role;
	enum pa_shape shape;
	bool exact;		/* no subclass of what the shape says */
	uint32_t module, name;	/* offsets in names */
	uint32_t scanned;	/* instances, until one owned a buffer */
	bool owns;
	/* what was counted */
	uint64_t objects, bytes, buffers;
};

struct pa_types {
	struct pa_window *window;
	const struct pa_layout *layout;
	struct pa_type *type;	/* 0 is none */
	uint32_t count, room;
	uint32_t *slots;	/* by address; 0 = empty */
	uint32_t n_slots;	/* a power of two */
	uint64_t *refused;	/* words that are no type */
	uint32_t *recent;	/* indexes by hash of the address */
	char *names;
	size_t names_size, names_room;
	bool no_memory;
};

int pa_types_init(struct pa_types *types, struct pa_window *window,
		  int minor);
void pa_types_deinit(struct pa_types *types);

/* The index of the type at an address, 0 if there is none. */
uint32_t pa_types_at(struct pa_types *types, uint64_t address);
/* The same of those that were found before; reads nothing. */
uint32_t pa_types_known(const struct pa_types *types, uint64_t address);

/*
 * The object that begins in a block: its type and, in *offset, how far behind
 * the block's start it lies (0, 16 or 32, and 16 more in a debug build).  0
 * if it holds none.  *references: its reference count, 0 = kept for reuse.
 */
uint32_t pa_types_object(struct pa_types *types, const uint8_t *head,
			 size_t head_size, uint64_t size, unsigned *offset,
			 uint64_t *references);

/* Did the debug allocator write this head?  Size, big-endian; a letter for the
 * domain; seven times 0xfd. */
static inline bool pa_is_debug_block(const uint8_t *head, size_t size)
{
	return size >= 16 && head[15] == 0xfd &&
		pa_word(head + 8) >> 8 == 0xfdfdfdfdfdfdfdull &&
		(head[8] == 'r' || head[8] == 'm' || head[8] == 'o');
}

/* Is an object of this type known to point at nothing?  `bytes` from the
 * object on. */
bool pa_is_leaf_object(const struct pa_type *type, const uint8_t *bytes,
		       size_t room);

/*
 * How far behind its block's start an object ends: behind it may lie what was
 * there before.  May lie behind the block's end as well.
 */
uint64_t pa_object_end(const struct pa_types *types,
		       const struct pa_type *type, const uint8_t *head,
		       size_t head_size, uint64_t size, unsigned offset);

/* shapes.c, for a type whose other fields are known */
void pa_type_find_shape(struct pa_types *types, struct pa_type *type);
void pa_type_find_role(struct pa_types *types, struct pa_type *type);

/* Find out module and qualified name of all types. */
void pa_types_name(struct pa_types *types);

#endif /* PA_CENSUS_TYPES_H */
