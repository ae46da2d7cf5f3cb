/* SPDX-License-Identifier: MIT
 *
 * The functions of CPython that python_*.c call, found by name.  One list:
 * C(member, result, parameters, name, older name).  A member is NULL where
 * the version lacks both names; pa_python_init has checked those that every
 * version must have.  None of the marked ones may be called in a hook.
 */
#ifndef PA_PAYLOAD_PYTHON_CALLS_H
#define PA_PAYLOAD_PYTHON_CALLS_H

#include <stddef.h>

#define PA_PYTHON_CALLS(C)						\
	/* in a hook too: plain reads of the runtime or of TLS */	\
	C(thread_unchecked, void *, (void),				\
	  "PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet")	\
	C(thread_of_gilstate, void *, (void),				\
	  "PyGILState_GetThisThreadState", "")				\
	C(eval_frame, void *, (void), "PyEval_GetFrame", "")		\
	C(frame_line, int, (void *frame), "PyFrame_GetLineNumber", "")	\
	/* no GIL needed, not in a hook */				\
	C(get_version, const char *, (void), "Py_GetVersion", "")	\
	C(interpreter_main, void *, (void), "PyInterpreterState_Main", "") \
	C(thread_first, void *, (void *interpreter),			\
	  "PyInterpreterState_ThreadHead", "")				\
	C(thread_next, void *, (void *thread), "PyThreadState_Next", "") \
	C(thread_new, void *, (void *interpreter), "PyThreadState_New", "") \
	C(gil_ensure, int, (void), "PyGILState_Ensure", "")		\
	C(gil_release, void, (int state), "PyGILState_Release", "")	\
	/* with the GIL, and without it */				\
	C(thread_save, void *, (void), "PyEval_SaveThread", "")		\
	C(thread_restore, void, (void *thread), "PyEval_RestoreThread", "") \
	/* the self-test, with the GIL */				\
	C(thread_frame, void *, (void *thread), "PyThreadState_GetFrame", "") \
	C(frame_code, void *, (void *frame), "PyFrame_GetCode", "")	\
	C(frame_back, void *, (void *frame), "PyFrame_GetBack", "")	\
	C(code_empty, void *, (const char *file, const char *name, int line), \
	  "PyCode_NewEmpty", "")					\
	C(code_line, int, (void *code, int place), "PyCode_Addr2Line", "") \
	C(attribute, void *, (void *object, const char *name),		\
	  "PyObject_GetAttrString", "")					\
	C(text, void *, (const char *utf8), "PyUnicode_FromString", "")	\
	C(encoded, void *, (void *text, const char *encoding,		\
			    const char *errors),			\
	  "PyUnicode_AsEncodedString", "")				\
	C(bytes_data, char *, (void *bytes), "PyBytes_AsString", "")	\
	C(bytes_size, ptrdiff_t, (void *bytes), "PyBytes_Size", "")	\
	C(as_long, long, (void *number), "PyLong_AsLong", "")		\
	C(keep, void, (void *object), "Py_IncRef", "")			\
	C(forget, void, (void *object), "Py_DecRef", "")		\
	C(error_clear, void, (void), "PyErr_Clear", "")			\
	C(gc_disable, int, (void), "PyGC_Disable", "")			\
	C(gc_enable, int, (void), "PyGC_Enable", "")

struct pa_python_calls {
#define PA_CALL_MEMBER(member, result, parameters, name, older) \
	result (*member) parameters;
	PA_PYTHON_CALLS(PA_CALL_MEMBER)
#undef PA_CALL_MEMBER
	const char *runtime;	/* &_PyRuntime */
	const char *code_type;	/* &PyCode_Type */
	const char *frame_type;	/* &PyFrame_Type */
	const char *none;	/* Py_None */
};

extern struct pa_python_calls pa_python_calls;

#endif /* PA_PAYLOAD_PYTHON_CALLS_H */
