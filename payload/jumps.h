/* SPDX-License-Identifier: MIT
 *
 * Ways into the hooks that a 4-byte-wise copy of a function pointer cannot
 * tear: addresses in the same 4 GiB window as the function replaced.
 *
 * A compiled copy of PyMemAllocatorEx may move 4 bytes at a time, and RAW is
 * called without the GIL meanwhile.  If old and new address have the same
 * upper half, every mixture of their halves is one of the two.  Pages made
 * here stay for the life of the process.  One file per CPU behind it.
 */
#ifndef PA_PAYLOAD_JUMPS_H
#define PA_PAYLOAD_JUMPS_H

#include <stdbool.h>

#define PA_JUMPS_MAX 16		/* functions that can be entered */

/* Which functions there are: once, before all else.  count <= PA_JUMPS_MAX. */
void pa_jumps_init(void *const *functions, unsigned count);

/*
 * An entry to function `index` in the window of `near`: the function itself
 * where it lies there, else a jump to it.  NULL where no page could be had.
 */
void *pa_jumps_entry(unsigned index, const void *near);

/* Is this an entry to the function, in any window? */
bool pa_jumps_is(unsigned index, const void *address);

#endif /* PA_PAYLOAD_JUMPS_H */
