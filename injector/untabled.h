/* SPDX-License-Identifier: MIT
 *
 * Stepping over frames that no table covers: the trampolines of `-X perf`,
 * code made by a JIT, extensions without .eh_frame.
 *
 * Two ways, both only from a return address: run the end of the function if
 * it comes next, which is exact; else follow the frame pointer, where it is
 * one and where nothing between the two frames could be a frame of the C
 * library, the loader or an allocator.  The innermost frame is refused: in
 * the middle of a function neither holds.
 */
#ifndef PA_INJECTOR_UNTABLED_H
#define PA_INJECTOR_UNTABLED_H

#include <stdint.h>

#include "injector/safepoint.h"

/* NULL and the caller's registers, or the reason against the thread. */
const char *pa_untabled_step(struct pa_safepoint *safe, uint64_t *registers);

#endif /* PA_INJECTOR_UNTABLED_H */
