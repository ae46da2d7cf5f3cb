/* SPDX-License-Identifier: MIT
 *
 * The server: answers text requests (common/wire.h, doc/PROTOCOL.md) on the
 * Unix socket, in the payload's own thread.  It never takes the GIL and
 * never touches Python objects; no client can delay the target.
 */
#ifndef PA_PAYLOAD_SERVER_H
#define PA_PAYLOAD_SERVER_H

#include <stdbool.h>

#include "payload/text.h"

/* Make the wake-up descriptor and the listening socket; its name goes into
 * the directory.  What is open already stays.  0 or -PA_E_ with the reason. */
int pa_server_open(struct pa_text *why);
/* Close all, remove the socket file. */
void pa_server_close(void);

/* Serve until DETACH or until asked to leave; then tells pa_life. */
void pa_server_run(void);

/* Any thread: have the server look round.  False: it does so when its wait
 * ends, as the target has closed our descriptor. */
bool pa_server_wake(void);

/* In a fork child: close its copies, leave the file to the parent. */
void pa_server_in_child(void);

/* At exit: only remove the socket file. */
void pa_server_unlink(void);

#endif /* PA_PAYLOAD_SERVER_H */
