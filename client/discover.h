/* SPDX-License-Identifier: MIT
 *
 * Find and open the socket of the payload in a process.
 */
#ifndef PA_CLIENT_DISCOVER_H
#define PA_CLIENT_DISCOVER_H

#include "client/status_text.h"
#include "client/wire_client.h"

/*
 * Connect to the payload of a process and ask for STATUS.  Tries the name in
 * the directory page where the process may be read, then the fixed places,
 * then abstract names.  0 and an open wire, or PA_E_NO_PROCESS,
 * PA_E_NOT_ATTACHED, PA_E_STOPPED, PA_E_TRACED, PA_E_PEER, PA_E_TIMEOUT, ...
 * A process that could never be attached gives the reason for that.
 * `interrupted` (may be NULL): a word that a signal sets; then PA_E_FAILED,
 * and later requests over the wire end so, too.
 */
int pa_discover(pid_t pid, uint64_t deadline_ns,
		const volatile sig_atomic_t *interrupted, struct pa_wire *wire,
		struct pa_status *status, struct pa_diag *diag);

/*
 * After a detach: remove the socket's file if it is still there, as it is
 * where the process has given up the user that made it.  Only the very file
 * that was connected to, in a private directory of root or of us.
 */
void pa_discover_remove(const struct pa_wire *wire);

/* Call found() for each pid that might have a payload, each once. */
void pa_discover_all(void (*found)(void *context, pid_t pid), void *context);

#endif /* PA_CLIENT_DISCOVER_H */
