/* SPDX-License-Identifier: MIT
 *
 * Where CPython keeps what the census reads.  What is the same on 3.8 to
 * 3.15 is a constant; the rest is a row by minor version.
 */
#ifndef PA_CENSUS_LAYOUT_H
#define PA_CENSUS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PA_OB_TYPE = 8,
	PA_OB_SIZE = 16,
	PA_OB_BODY = 16,	/* first word behind the header */
	PA_GC_HEAD = 16,
	PA_PRE_HEAD = 16,	/* managed dict and weak references */

	PA_TP_NAME = 24, PA_TP_BASICSIZE = 32, PA_TP_ITEMSIZE = 40,
	PA_TP_FLAGS = 168, PA_TP_WEAK_LIST = 208, PA_TP_MEMBERS = 240,
	PA_TP_BASE = 256, PA_TP_DICT = 264, PA_TP_DICT_OFFSET = 288,
	PA_TP_READ = 296,	/* bytes that hold all of these */

	PA_LIST_ITEMS = 24,
	PA_DICT_KEYS = 32, PA_DICT_VALUES = 40,
	PA_SET_TABLE = 40,
	PA_DEQUE_LEFT = 24, PA_DEQUE_RIGHT = 32,
	PA_BYTEARRAY_BYTES = 32,
	PA_ARRAY_ITEMS = 24,
	PA_NDARRAY_DATA = 16,
	PA_DATA_MOST = 256,	/* of an object whose buffers are data */
	PA_DEQUE_LEFT_INDEX = 40, PA_DEQUE_RIGHT_INDEX = 48,
	PA_DEQUE_ITEMS = 64,	/* in a block, behind its first link */
	PA_DEQUE_NEXT = 520,	/* the last one, in a block */
	PA_WEAK_CALLBACK = 24, PA_WEAK_BODY = 56,
	PA_MODULE_DICT = 16, PA_FRAME_CODE = 32,

	PA_STR_LENGTH = 16, PA_STR_STATE = 32,
	PA_STR_ASCII = 0x60,	/* in the state: compact and ASCII */
};

#define PA_TPFLAGS_INLINE_VALUES (1ull << 2)	/* 3.13 */
#define PA_TPFLAGS_PRE_HEAD (3ull << 3)
#define PA_TPFLAGS_MANAGED_DICT (1ull << 4)
#define PA_TPFLAGS_HEAP (1ull << 9)
#define PA_TPFLAGS_READY (1ull << 12)
#define PA_TPFLAGS_GC (1ull << 14)
#define PA_TPFLAGS_INT (1ull << 24)
#define PA_TPFLAGS_LIST (1ull << 25)
#define PA_TPFLAGS_TUPLE (1ull << 26)
#define PA_TPFLAGS_BYTES (1ull << 27)
#define PA_TPFLAGS_STR (1ull << 28)
#define PA_TPFLAGS_DICT (1ull << 29)
#define PA_TPFLAGS_TYPE (1ull << 31)

struct pa_layout {
	int first, last;	/* minor versions */
	uint16_t qualname, cached_keys;	/* in a heap type */
	uint16_t ascii, compact;	/* where the characters of a str are */
	/* the pointer to instance values, back from the object; 0 = none */
	uint8_t values_back;
	bool values_tagged;	/* lowest bit set: values, else a dict */
	bool short_keys;	/* dict keys with sizes as powers of two */
	bool flags_in_refcount;	/* the upper 16 bits are flags */
	bool values_prefix;	/* a head in front of values, not behind */
	bool inline_values;	/* of instances, where their type says so */
	bool tagged_words;	/* frames keep flags in the lowest bits */
	bool kept_links;	/* what is kept for reuse is linked by its count */
	uint16_t co_name;	/* in a code object: qualified where it can be */
	/* its last fields: numbers, some not written, and what others keep;
	 * behind them is bytecode, whose caches own nothing; 0 = neither */
	uint8_t co_tail;
};

/* The row of a minor version; the newest for one that is not known. */
const struct pa_layout *pa_layout_of(int minor);

#endif /* PA_CENSUS_LAYOUT_H */
