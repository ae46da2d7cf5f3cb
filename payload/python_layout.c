/* SPDX-License-Identifier: MIT
 *
 * The layouts of CPython 3.8 to 3.15: rows compiled from the headers for 3.8
 * to 3.12, the target's own description (_Py_DebugOffsets, at the start of
 * _PyRuntime) from 3.13 on.  The only file that tests a Python version; it
 * must refuse what it does not know.  How to add a version is told in
 * doc/HOWTO-new-python.md.
 */
#include "payload/python_layout.h"

#include <stddef.h>

#include "common/error.h"

struct pa_layout pa_layout;

#define MINOR(version) ((version) >> 16 & 0xff)
#define LEVEL(version) ((version) >> 4 & 0xf)
#define LEVEL_CANDIDATE 0xc	/* before it, structures may still change */

/* What one line says of all versions up to 3.12. */
#define OLD_OBJECTS							\
	.object_type = 8, .object_references = 0,			\
	.bytes_size = 16, .bytes_data = 32,				\
	.str_length = 16, .str_state = 32, .str_kind_shift = 2,		\
	.str_compact_bit = 0x20, .str_ascii_bit = 0x40,			\
	.gil_holder = 8, .gil_locked = 16, .gil_switches = 24,		\
	.frame_tlbc = PA_NONE, .code_tlbc = PA_NONE

/* Frames are objects, one GIL of the runtime: 3.8 to 3.10. */
#define OBJECT_FRAMES							\
	OLD_OBJECTS, .str_ascii = 48, .str_compact = 72,		\
	.runtime_head = 32, .interp_gil = PA_NONE,			\
	.thread_frame = 24, .thread_cframe = PA_NONE,			\
	.cframe_frame = PA_NONE, .thread_id = 176,			\
	.frame_previous = 24, .frame_code = 32, .frame_owner = PA_NONE,	\
	.code_file = 104, .code_name = 112, .code_first_line = 40,	\
	.code_lines = 120, .code_bytes = 48, .code_code = PA_NONE,	\
	.code_traceable = PA_NONE, .loop_opcode = { 113 }

static const struct pa_layout rows[] = {
	[8] = {
		OBJECT_FRAMES, .runtime_gil = 1152, .runtime_current = 1368,
		.place = PA_PLACE_BYTES, .frame_place = 104,
		.line_format = PA_LINES_LNOTAB,
	},
	[9] = {
		OBJECT_FRAMES, .runtime_gil = 352, .runtime_current = 568,
		.place = PA_PLACE_BYTES, .frame_place = 104,
		.line_format = PA_LINES_LNOTAB, .frames_have_api = true,
	},
	[10] = {
		OBJECT_FRAMES, .runtime_gil = 352, .runtime_current = 568,
		.place = PA_PLACE_UNITS, .frame_place = 96,
		.line_format = PA_LINES_RANGES, .frames_have_api = true,
	},
	[11] = {
		OLD_OBJECTS, .str_ascii = 48, .str_compact = 72,
		.runtime_head = 40, .runtime_gil = 360, .runtime_current = 576,
		.interp_gil = PA_NONE, .thread_frame = PA_NONE,
		.thread_cframe = 56, .cframe_frame = 8, .thread_id = 152,
		.frame_previous = 48, .frame_code = 32, .frame_owner = 69,
		.place = PA_PLACE_POINTER, .frame_place = 56,
		.owner_generator = 1, .owner_native = 255,
		.code_file = 112, .code_name = 128, .code_first_line = 72,
		.code_lines = 136, .code_bytes = PA_NONE, .code_code = 184,
		.code_traceable = 168, .line_format = PA_LINES_LOCATIONS,
		.loop_opcode = { 140, 134, 38 }, .frames_have_api = true,
		.qualified = true,
	},
	[12] = {
		OLD_OBJECTS, .str_ascii = 40, .str_compact = 56,
		.runtime_head = 40, .runtime_gil = PA_NONE,
		.runtime_current = PA_NONE, .interp_gil = 384,
		.thread_frame = PA_NONE, .own_thread_state = true,
		.thread_cframe = 56, .cframe_frame = 0, .thread_id = 136,
		.frame_previous = 8, .frame_code = 0, .frame_owner = 70,
		.place = PA_PLACE_POINTER, .frame_place = 56,
		.owner_generator = 1, .owner_native = 3,
		.code_file = 112, .code_name = 128, .code_first_line = 68,
		.code_lines = 136, .code_bytes = PA_NONE, .code_code = 192,
		.code_traceable = 176, .line_format = PA_LINES_LOCATIONS,
		.loop_opcode = { 140, 134, 246 }, .frames_have_api = true,
		.qualified = true, .fork_counts_threads = true,
	},
};
#define FIRST_MINOR 8
#define FIRST_DESCRIBED 13
#define LAST_MINOR 15

/* ---- 3.13 and later: the target describes itself ---- */

#define COOKIE "xdebugpy"
#define AT_VERSION 8
#define AT_FREE_THREADED 16
#define OFFSET_MAX (1u << 20)	/* a larger one is no offset */

/* Where a field's offset stands in _Py_DebugOffsets, a column a version;
 * 0: not described there. */
struct described {
	uint16_t member;
	uint16_t at[LAST_MINOR - FIRST_DESCRIBED + 1];
};

#define D(name, a, b, c) { offsetof(struct pa_layout, name), { a, b, c } }
static const struct described described[] = {
	/*		   3.13 3.14 3.15 */
	D(runtime_head,	     40,  40,  40),
	D(interp_gil,	    112, 120, 120),
	D(gil_holder,	    144, 152, 152),
	D(gil_locked,	    136, 144, 144),
	D(thread_frame,	    184, 208, 208),
	D(thread_id,	    192, 216, 240),
	D(frame_previous,   232, 256, 320),
	D(frame_code,	    240, 264, 328),
	D(frame_place,	    248, 272, 336),
	D(frame_owner,	    264, 288, 352),
	D(frame_tlbc,	      0, 304, 368),
	D(code_file,	    280, 320, 384),
	D(code_name,	    296, 336, 400),
	D(code_lines,	    304, 344, 408),
	D(code_first_line,  312, 352, 416),
	D(code_code,	    344, 384, 448),
	D(code_tlbc,	      0, 392, 456),
	D(object_type,	    360, 408, 472),
	D(bytes_size,	    520, 600, 696),
	D(bytes_data,	    528, 608, 704),
	D(str_state,	    544, 624, 720),
	D(str_length,	    552, 632, 728),
	D(str_ascii,	    560, 640, 736),
};

/* The GIL's own offset in the interpreter: its fields are told from there. */
static const uint16_t at_gil[] = { 120, 128, 128 };
static const uint16_t at_object_size[] = { 352, 400, 464 };

static const uint8_t loop_opcodes[][8] = {
	{ 77, 78, 70, 249 },
	{ 75, 76, 175, 176, 253, 255 },
	{ 74, 75, 181, 182, 252, 254 },
};

static uint64_t word(const char *runtime, uint32_t at)
{
	uint64_t value;

	memcpy(&value, runtime + at, sizeof(value));
	return value;
}

/* What _Py_DebugOffsets does not tell. */
static void add_undescribed(struct pa_layout *l, unsigned column)
{
	/* two 32-bit fields and a pointer lie between; the free-threaded
	 * builds of 3.14 and later have one pointer more */
	uint32_t back = 16;

	if (l->free_threaded && column > 0)
		back = 24;
	l->code_traceable = l->code_code - back;
	l->str_compact = l->str_ascii + 16;	/* UTF-8: length, pointer */
	l->gil_switches = l->gil_locked + 8;
	l->object_references = l->free_threaded ? PA_NONE : 0;
	l->own_thread_state = l->frames_have_api = l->qualified = true;
	l->fork_counts_threads = l->fork_locks_threads = true;
	l->place = PA_PLACE_POINTER;
	l->line_format = PA_LINES_LOCATIONS;
	l->owner_generator = 1;
	l->owner_native = 3;
	l->code_tag = column > 0 ? 3 : 0;
	l->str_kind_shift = 2;
	l->str_compact_bit = 0x20;
	l->str_ascii_bit = 0x40;
	if (l->free_threaded && column > 0) {
		/* a byte of its own says whether a string is interned */
		l->str_kind_shift = 8;
		l->str_compact_bit = 0x800;
		l->str_ascii_bit = 0x1000;
	}
	if (!l->free_threaded || column == 0)
		l->frame_tlbc = l->code_tlbc = PA_NONE;
	memcpy(l->loop_opcode, loop_opcodes[column], sizeof(l->loop_opcode));
}

static bool plausible(const struct pa_layout *l)
{
	bool copies_known = !l->free_threaded || l->code_tlbc != 0;

	return l->str_ascii >= 40 && l->str_ascii <= 64 &&
	       l->bytes_data == l->bytes_size + 16 &&
	       l->code_name == l->code_file + 16 &&
	       l->code_lines == l->code_file + 24 &&
	       l->code_code > l->code_lines + 32 &&
	       l->frame_owner > l->frame_place && copies_known &&
	       l->gil_locked == l->gil_holder + 8;
}

static int described_layout(uint32_t version, const char *runtime)
{
	unsigned column = MINOR(version) - FIRST_DESCRIBED;
	struct pa_layout l;

	memset(&l, 0xff, sizeof(l));
	if (!runtime || memcmp(runtime, COOKIE, sizeof(COOKIE) - 1) != 0 ||
	    (uint32_t)word(runtime, AT_VERSION) != version)
		return PA_E_NEW_PYTHON;
	l.version = version;
	l.free_threaded = word(runtime, AT_FREE_THREADED) != 0;
	for (unsigned i = 0; i < sizeof(described) / sizeof(*described); i++) {
		uint16_t at = described[i].at[column];
		uint64_t offset = at ? word(runtime, at) : 0;
		uint32_t value = (uint32_t)offset;

		if (offset > OFFSET_MAX)
			return PA_E_NEW_PYTHON;
		memcpy((char *)&l + described[i].member, &value, sizeof(value));
	}
	l.gil_holder -= (uint32_t)word(runtime, at_gil[column]);
	l.gil_locked -= (uint32_t)word(runtime, at_gil[column]);
	add_undescribed(&l, column);
	if (!plausible(&l) ||
	    word(runtime, at_object_size[column]) != l.object_type + 8)
		return l.free_threaded ? PA_E_FREE_THREADED :
					 PA_E_NEW_PYTHON;
	pa_layout = l;
	return 0;
}

int pa_layout_pick(uint32_t version, const void *runtime)
{
	unsigned minor = MINOR(version);

	if (version >> 24 < 3 || (version >> 24 == 3 && minor < FIRST_MINOR))
		return PA_E_OLD_PYTHON;
	if (version >> 24 > 3 || minor > LAST_MINOR ||
	    LEVEL(version) < LEVEL_CANDIDATE)
		return PA_E_NEW_PYTHON;
	if (minor >= FIRST_DESCRIBED)
		return described_layout(version, runtime);
	pa_layout = rows[minor];
	pa_layout.version = version;
	return 0;
}
