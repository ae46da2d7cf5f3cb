/* SPDX-License-Identifier: MIT
 *
 * Talking to a payload over its Unix socket (common/wire.h).
 *
 * Every wait is bounded by a deadline, every answer by a size; the peer is
 * checked before a byte is sent.  What it answers is hostile all the same.
 */
#ifndef PA_CLIENT_WIRE_CLIENT_H
#define PA_CLIENT_WIRE_CLIENT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "client/process.h"
#include "common/wire.h"
#include "injector/injector.h"

#define PA_WIRE_ANSWER_MAX ((size_t)64 << 10)
#define PA_WIRE_IMAGE_MAX (((size_t)1 << 30) + ((size_t)1 << 16))

struct pa_wire {
	int fd;			/* -1 = not connected */
	struct pa_process process;
	uint64_t deadline_ns;	/* CLOCK_MONOTONIC */
	/* not 0: a signal came, and waits end; NULL: none is caught */
	const volatile sig_atomic_t *interrupted;
	char socket[112];	/* as the target names it, '@' = abstract */
	struct pa_wire_file {	/* the socket's file; inode 0 = none */
		dev_t device;
		ino_t inode;
		struct timespec changed;
	} file;
	bool has_directory;	/* its directory page was seen */
	uint64_t attached_ns;	/* which attach answers, by its time; 0 = any */
	bool hung_up;		/* the peer did, though something is attached */
};

/*
 * Use a connected socket.  Checks that the peer is the process (pid; its
 * user or root).  Takes over fd, also on failure.  0 or PA_E_PEER.
 */
int pa_wire_use(struct pa_wire *wire, int fd, const char *name,
		struct pa_diag *diag);

/* An fd being connected without blocking for ever; >= 0 or negative errno. */
int pa_wire_dial(const void *address, unsigned length, uint64_t deadline_ns);

/*
 * Send one request line (without newline) and give the body of the answer,
 * malloc'd and ended by an extra NUL.  `max` bounds it.  0, the payload's
 * error, PA_E_TIMEOUT, PA_E_PROTOCOL, PA_E_NOT_ATTACHED or PA_E_EXITED.
 */
int pa_wire_request(struct pa_wire *wire, const char *request, size_t max,
		    char **body, size_t *length, struct pa_diag *diag);

/* True, with a text in diag, once a signal asks to end. */
bool pa_wire_is_interrupted(const struct pa_wire *wire, struct pa_diag *diag);

void pa_wire_close(struct pa_wire *wire);

#endif /* PA_CLIENT_WIRE_CLIENT_H */
