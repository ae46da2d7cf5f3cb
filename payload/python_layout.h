/* SPDX-License-Identifier: MIT
 *
 * Where the fields of CPython's structures lie in the running version: one
 * struct, filled once by pa_layout_pick and read by all of python_*.c.
 * Offsets are bytes from the start of the structure named by the prefix;
 * PA_NONE where the version has no such field.
 *
 * python_layout.c is the only file that tests a Python version.
 */
#ifndef PA_PAYLOAD_PYTHON_LAYOUT_H
#define PA_PAYLOAD_PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PA_NONE UINT32_MAX

/* How a frame says at which instruction it is. */
enum pa_place {
	PA_PLACE_BYTES,		/* an int, bytes from the start of the code */
	PA_PLACE_UNITS,		/* an int, code units of two bytes */
	PA_PLACE_POINTER,	/* the address of the instruction */
};

/* The format of a code object's line table (python_lines.c). */
enum pa_line_format {
	PA_LINES_LNOTAB,	/* co_lnotab */
	PA_LINES_RANGES,	/* co_linetable of PEP 626 */
	PA_LINES_LOCATIONS,	/* co_linetable of PEP 657 */
};

/* The scalar offsets.  F(name) */
#define PA_LAYOUT_OFFSETS(F)						\
	F(runtime_head)		/* interpreters.head; main is next to it */ \
	F(runtime_gil)		/* the GIL, where the runtime owns it */ \
	F(runtime_current)	/* the thread state that holds the GIL */ \
	F(interp_gil)		/* pointer to the interpreter's GIL */	\
	F(gil_holder)		/* thread state that had it last */	\
	F(gil_locked)		/* int: 1 held, 0 free, -1 none yet */	\
	F(gil_switches)		/* unsigned long: changes of the holder */ \
	F(thread_frame)		/* the innermost frame, or ... */	\
	F(thread_cframe)	/* ... pointer to what holds it */	\
	F(cframe_frame)		/* the innermost frame therein */	\
	F(thread_id)		/* pthread_self() of the owner */	\
	F(frame_previous)						\
	F(frame_code)							\
	F(frame_place)							\
	F(frame_owner)		/* a byte */				\
	F(frame_tlbc)		/* int32: which copy of the bytecode */	\
	F(code_file)							\
	F(code_name)		/* co_qualname where there is one */	\
	F(code_first_line)						\
	F(code_lines)		/* the line table, a bytes object */	\
	F(code_bytes)		/* pointer to a bytes object, or ... */	\
	F(code_code)		/* ... the bytecode itself */		\
	F(code_traceable)	/* int: first instruction of a full frame */ \
	F(code_tlbc)		/* pointer to the copies of the bytecode */ \
	F(object_type)							\
	F(object_references)	/* low half of the count, GIL builds */	\
	F(bytes_size)							\
	F(bytes_data)							\
	F(str_length)							\
	F(str_state)							\
	F(str_ascii)		/* data of an ASCII string */		\
	F(str_compact)		/* data of another, or pointer to it */

struct pa_layout {
	uint32_t version;	/* PY_VERSION_HEX */
	bool free_threaded;
	/* the unchecked getter gives the caller's own thread state (TLS),
	 * not the one that holds the only GIL */
	bool own_thread_state;
	/* PyThreadState_GetFrame and its kin exist and may be compared with */
	bool frames_have_api;
	bool qualified;		/* code objects have co_qualname */
	bool fork_counts_threads;	/* and warns of more than one */
	/* a fork holds the lock of the list of thread states */
	bool fork_locks_threads;
	enum pa_place place;
	enum pa_line_format line_format;
	uint8_t code_tag;	/* bits of frame_code that are no address */
	uint8_t owner_generator;
	uint8_t owner_native;	/* this owner and above: no Python frame */
	uint8_t str_kind_shift;	/* of the state word; the kind has 3 bits */
	uint32_t str_compact_bit, str_ascii_bit;
	/* opcodes of backward jumps: the eval loop looks for requests there */
	uint8_t loop_opcode[8];	/* unused ones are 0 */
#define PA_OFFSET_MEMBER(name) uint32_t name;
	PA_LAYOUT_OFFSETS(PA_OFFSET_MEMBER)
#undef PA_OFFSET_MEMBER
};

extern struct pa_layout pa_layout;

/*
 * Fill pa_layout for a version (PY_VERSION_HEX) whose _PyRuntime is at
 * `runtime`.  No Python, no lock.  0, PA_E_OLD_PYTHON, _NEW_PYTHON,
 * _FREE_THREADED.
 */
int pa_layout_pick(uint32_t version, const void *runtime);

/* Borrowed reads of a field; the object must be alive.  (memcpy by its own
 * name would be a call: the payload is built freestanding.) */
static inline const char *pa_field_pointer(const char *object, uint32_t at)
{
	const char *value;

	__builtin_memcpy(&value, object + at, sizeof(value));
	return value;
}

static inline int32_t pa_field_int(const char *object, uint32_t at)
{
	int32_t value;

	__builtin_memcpy(&value, object + at, sizeof(value));
	return value;
}

static inline int64_t pa_field_long(const char *object, uint32_t at)
{
	int64_t value;

	__builtin_memcpy(&value, object + at, sizeof(value));
	return value;
}

#endif /* PA_PAYLOAD_PYTHON_LAYOUT_H */
