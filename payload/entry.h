/* SPDX-License-Identifier: MIT
 *
 * Where the payload is entered: by the injector's stub (common/start.h), and
 * by the one thread of ours.
 */
#ifndef PA_PAYLOAD_ENTRY_H
#define PA_PAYLOAD_ENTRY_H

/* The thread's function: starts what is to be started, then serves. */
void *pa_entry_thread(void *unused);

#endif /* PA_PAYLOAD_ENTRY_H */
