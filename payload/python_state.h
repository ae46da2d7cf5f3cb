/* SPDX-License-Identifier: MIT
 *
 * What the parts of python_*.c share besides layout, calls and walk.
 */
#ifndef PA_PAYLOAD_PYTHON_STATE_H
#define PA_PAYLOAD_PYTHON_STATE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Read our own memory where an address may have become invalid: by
 * process_vm_readv, or through a pipe where that is forbidden.  False: not
 * readable.  Keeps errno.  Any thread, hooks too.
 */
bool pa_safe_read(const void *address, void *out, size_t size);

/* Set by the self-test where the version lacks the API for it: the first
 * capture with the GIL compares with PyEval_GetFrame.  Store lock. */
extern bool pa_python_compare_first;

#endif /* PA_PAYLOAD_PYTHON_STATE_H */
