/* SPDX-License-Identifier: MIT
 *
 * The interpreter's own way in: remote debugging of Python 3.14 and later.
 *
 * A request to run a script is written into each thread state, and the first
 * thread that comes back to Python code runs it: it loads the payload and
 * calls pa_start.  For where no safe point was found.
 */
#ifndef PA_INJECTOR_REMOTE_H
#define PA_INJECTOR_REMOTE_H

#include <stdbool.h>

#include "injector/session.h"

/* Does the interpreter of the session take such requests?  check() gives
 * PA_E_NO_REMOTE and says why not. */
bool pa_remote_is_possible(struct pa_session *session);
int pa_remote_check(struct pa_session *session);

/*
 * Make the request and wait until the payload shows the session's ticket.
 * session->place has a directory with the payload, or the payload is loaded
 * already.  Whatever fails is taken back: nothing of it is run later.
 */
int pa_remote_load(struct pa_session *session);

#endif /* PA_INJECTOR_REMOTE_H */
