/* SPDX-License-Identifier: MIT
 *
 * Is payload/python_layout.c right for the CPython whose headers this is
 * compiled with?  Compares each offset that it picks with offsetof; prints
 * ok or not ok lines.  Nothing of Python runs.  With -DPy_GIL_DISABLED it
 * checks the free-threaded layout (3.13 and later).
 *
 *	gcc -w -I TOP -I INCLUDE/python3.N layout_check.c \
 *		TOP/payload/python_layout.c -o layout_check \
 *		-no-pie -Wl,--unresolved-symbols=ignore-all && ./layout_check
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include "frameobject.h"
#include "internal/pycore_pystate.h"
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#endif
#if PY_VERSION_HEX >= 0x030b0000
#include "internal/pycore_code.h"
#include "internal/pycore_frame.h"
#endif
#if PY_VERSION_HEX >= 0x030d0000
#include "internal/pycore_ceval.h"
#include "internal/pycore_runtime_init.h"
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include "internal/pycore_interpframe_structs.h"
#include "internal/pycore_debug_offsets.h"
#endif

#include "payload/python_layout.h"

static int failures;

static void expect(const char *name, uint32_t got, size_t wanted)
{
	int good = got == (uint32_t)wanted;

	if (!good)
		printf("not ok %s: %s is %zu, picked %d\n", PY_VERSION, name,
		       wanted, (int)got);
	failures += !good;
}

#define AT(field, type, member) \
	expect(#field, pa_layout.field, offsetof(type, member))
#define VALUE(field, value) expect(#field, pa_layout.field, value)

typedef struct pyruntimestate Runtime;
typedef struct _gil_runtime_state Gil;

/* The bits of a str's state word that a bit field occupies. */
#define BITS(member) __extension__ ({				\
	PyASCIIObject object;					\
	uint32_t word;						\
	memset(&object, 0, sizeof(object));			\
	object.state.member = -1;				\
	memcpy(&word, &object.state, sizeof(word));		\
	word; })

static void check_objects(void)
{
	AT(object_type, PyObject, ob_type);
	AT(bytes_size, PyVarObject, ob_size);
	AT(bytes_data, PyBytesObject, ob_sval);
	AT(str_length, PyASCIIObject, length);
	AT(str_state, PyASCIIObject, state);
	VALUE(str_ascii, sizeof(PyASCIIObject));
	VALUE(str_compact, sizeof(PyCompactUnicodeObject));
	AT(str_compact, PyUnicodeObject, data);
	VALUE(str_compact_bit, BITS(compact));
	VALUE(str_ascii_bit, BITS(ascii));
	VALUE(str_kind_shift, __builtin_ctz(BITS(kind)));
	AT(code_file, PyCodeObject, co_filename);
	AT(code_first_line, PyCodeObject, co_firstlineno);
#if PY_VERSION_HEX >= 0x030b0000
	AT(code_name, PyCodeObject, co_qualname);
	AT(code_code, PyCodeObject, co_code_adaptive);
	AT(code_traceable, PyCodeObject, _co_firsttraceable);
#else
	AT(code_name, PyCodeObject, co_name);
	AT(code_bytes, PyCodeObject, co_code);
#endif
#if PY_VERSION_HEX >= 0x030a0000
	AT(code_lines, PyCodeObject, co_linetable);
#else
	AT(code_lines, PyCodeObject, co_lnotab);
#endif
}

static void check_frames(void)
{
	AT(thread_id, PyThreadState, thread_id);
#if PY_VERSION_HEX < 0x030b0000
	AT(thread_frame, PyThreadState, frame);
	AT(frame_previous, PyFrameObject, f_back);
	AT(frame_code, PyFrameObject, f_code);
	AT(frame_place, PyFrameObject, f_lasti);
#elif PY_VERSION_HEX < 0x030d0000
	AT(thread_cframe, PyThreadState, cframe);
	AT(cframe_frame, _PyCFrame, current_frame);
	AT(frame_code, _PyInterpreterFrame, f_code);
	AT(frame_place, _PyInterpreterFrame, prev_instr);
#else
	AT(thread_frame, PyThreadState, current_frame);
	AT(frame_code, _PyInterpreterFrame, f_executable);
	AT(frame_place, _PyInterpreterFrame, instr_ptr);
#endif
#if PY_VERSION_HEX >= 0x030b0000
	AT(frame_previous, _PyInterpreterFrame, previous);
	AT(frame_owner, _PyInterpreterFrame, owner);
	VALUE(owner_generator, FRAME_OWNED_BY_GENERATOR);
#endif
#if PY_VERSION_HEX >= 0x030e0000
	VALUE(owner_native, FRAME_OWNED_BY_INTERPRETER);
#elif PY_VERSION_HEX >= 0x030c0000
	VALUE(owner_native, FRAME_OWNED_BY_CSTACK);
#endif
#if PY_VERSION_HEX >= 0x030e0000 && defined(Py_GIL_DISABLED)
	AT(frame_tlbc, _PyInterpreterFrame, tlbc_index);
	AT(code_tlbc, PyCodeObject, co_tlbc);
#endif
}

static void check_gil(void)
{
	AT(runtime_head, Runtime, interpreters.head);
	expect("main", pa_layout.runtime_head + 8,
	       offsetof(Runtime, interpreters.main));
	AT(gil_holder, Gil, last_holder);
	AT(gil_locked, Gil, locked);
	AT(gil_switches, Gil, switch_number);
#if PY_VERSION_HEX < 0x030c0000
	AT(runtime_gil, Runtime, ceval.gil);
	AT(runtime_current, Runtime, gilstate.tstate_current);
#else
	AT(interp_gil, PyInterpreterState, ceval.gil);
#endif
}

int main(void)
{
	const void *runtime = NULL;
	int error;
#if PY_VERSION_HEX >= 0x030d0000
#if PY_VERSION_HEX >= 0x030e0000
	static const _Py_DebugOffsets offsets =
		_Py_DebugOffsets_INIT(_Py_Debug_Cookie);
#else
	/* the initialiser stands in the one of the whole runtime */
	static const Runtime state = _PyRuntimeState_INIT(state,
							  _Py_Debug_Cookie);
#define offsets state.debug_offsets
#endif
	runtime = &offsets;
#endif
	error = pa_layout_pick(PY_VERSION_HEX, runtime);
	if (error) {
		printf("not ok %s: refused with %d\n", PY_VERSION, error);
		return 1;
	}
	check_objects();
	check_frames();
	check_gil();
	printf("%sok %s%s\n", failures ? "not " : "", PY_VERSION,
	       pa_layout.free_threaded ? " free-threaded" : "");
	return failures != 0;
}
