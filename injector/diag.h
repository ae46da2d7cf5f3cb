/* SPDX-License-Identifier: MIT
 *
 * Small helpers for messages; pa_fail() itself is in injector.h.
 */
#ifndef PA_INJECTOR_DIAG_H
#define PA_INJECTOR_DIAG_H

#include <stddef.h>

/*
 * Copy a name that came from the target so that it is safe in a message:
 * everything but printable ASCII becomes \xNN, a long name ends with "...".
 * Returns out.
 */
const char *pa_escape(const char *name, char *out, size_t size);

#endif /* PA_INJECTOR_DIAG_H */
