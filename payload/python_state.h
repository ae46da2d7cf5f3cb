/* SPDX-License-Identifier: MIT
 *
 * What the parts of python_*.c share besides layout, calls and walk.
 */
#ifndef PA_PAYLOAD_PYTHON_STATE_H
#define PA_PAYLOAD_PYTHON_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Read our own memory where an address may have become invalid: by
 * process_vm_readv, or through a pipe where that is forbidden.  False: not
 * readable.  Keeps errno.  Any thread, hooks too.
 */
bool pa_safe_read(const void *address, void *out, size_t size);

/* Set by the self-test where the version lacks the API for it: the first
 * capture with the GIL compares with PyEval_GetFrame.  Store lock. */
extern bool pa_python_compare_first;

/* ---- python_gil.c: looking at the GIL, by pa_safe_read ---- */

/* What is seen of it at one moment. */
struct pa_gil_look {
	int locked;		/* 1 also where nothing can be seen */
	const char *holder;
	unsigned long switches;
	const char *frame, *code;
	uint64_t place;
	uint64_t content;	/* hash of the frame: locals change in loops */
	bool in_loop;	/* at a backward jump: it moves, even if onto itself */
};

/* The GIL of the main interpreter, or NULL. */
const char *pa_gil_find(void);
struct pa_gil_look pa_gil_look_at(const char *gil);
/* Some looks in a row, each against the one before.  True: it moves, or is
 * free; *before is the last look. */
bool pa_gil_moves(const char *gil, struct pa_gil_look *before);

/* ---- python_thread.c: our thread's state in the interpreter ---- */

/* PyGILState_Ensure, but never half done when a fork copies the process.
 * Own thread.  0, PA_E_GIL_TIMEOUT (forks without end), or
 * PA_E_NO_MEMORY_LEFT. */
int pa_own_state_make(uint64_t deadline_ns);
/* With the GIL: give it back, and the state. */
void pa_own_state_end(void);
/* In a fork child. */
void pa_own_state_in_child(void);

/* ---- python_compare.c: for the self-test, with the GIL ---- */

/* Before the first comparison of a self-test. */
void pa_compare_begin(void);

/* A line as the API tells it: -1 where it is not known. */
uint32_t pa_known_line(int line);

/* Names and line table of a code object: what differs, or NULL. */
const char *pa_compare_code(void *code);

/* The same of a code object of our own, where there is no frame. */
const char *pa_compare_probe(void);

/* Strings of all widths: the names compared may all be ASCII. */
bool pa_compare_texts(void);

#endif /* PA_PAYLOAD_PYTHON_STATE_H */
