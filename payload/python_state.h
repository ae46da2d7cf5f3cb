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
