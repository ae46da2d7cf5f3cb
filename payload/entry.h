/* SPDX-License-Identifier: MIT
 *
 * Where the payload is entered: by the injector's stub (common/start.h), and
 * by the one thread of ours.
 */
#ifndef PA_PAYLOAD_ENTRY_H
#define PA_PAYLOAD_ENTRY_H

/* The thread's function: starts what is to be started, then serves. */
void *pa_entry_thread(void *unused);

/* It could not be started, or not anew: the start is over.  error: PA_E_*.
 * Any thread of the target, while there is none of ours. */
void pa_entry_start_failed(int error);

#endif /* PA_PAYLOAD_ENTRY_H */
