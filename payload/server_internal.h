/* SPDX-License-Identifier: MIT
 *
 * What the files of the server share: server.c (loop), server_socket.c (the
 * listening socket), server_client.c (bytes), server_request.c (meaning).
 * All of it runs in the server thread only.
 */
#ifndef PA_PAYLOAD_SERVER_INTERNAL_H
#define PA_PAYLOAD_SERVER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"
#include "payload/owned.h"
#include "payload/text.h"

#define PA_CLIENT_TEXT 6144	/* the longest answer but a snapshot */

struct pa_client {
	struct pa_owned socket;
	uint64_t deadline_ns;	/* without progress until then: let go */
	uint64_t answer_end_ns;	/* an answer may take so long in all */
	char input[PA_WIRE_REQUEST_MAX];
	unsigned input_length;
	bool ended;		/* it sends no more */
	bool closing;		/* close when all is sent */
	bool shut;		/* our half is closed already */
	bool more;		/* there is work that poll does not know of */
	bool detach;		/* its answer is the last act */
	/* the answer: text, then the image */
	char text[PA_CLIENT_TEXT];
	size_t text_length, text_sent;
	const char *image;	/* held until sent */
	size_t image_length, image_sent;
};

/* ---- server_socket.c ---- */

extern struct pa_owned pa_listener;

int pa_socket_open(struct pa_text *why);
/* Its file was removed, or something else lies in its place. */
bool pa_socket_lost(void);
void pa_socket_unlink(void);
/* Forget the name without touching the file (fork child). */
void pa_socket_forget(void);

/* ---- server_client.c ---- */

/* A connection was accepted; false: refused and closed. */
bool pa_client_open(struct pa_client *client, int fd);
void pa_client_close(struct pa_client *client);
bool pa_client_wants_to_send(const struct pa_client *client);
/* Move bytes as poll's revents allow; closes it at its end. */
void pa_client_step(struct pa_client *client, short revents);
/* Tell a client that there is no room, and close. */
void pa_client_turn_away(int fd);

/* ---- server_request.c ---- */

/* Put the answer to one line (no newline in it) into the client. */
void pa_request_answer(struct pa_client *client, const char *line,
		       size_t length);
void pa_request_fail(struct pa_client *client, int error,
		     const char *text, size_t length);

/* ---- server.c ---- */

/* Bring the exact totals and the state of the hooks into the directory. */
void pa_server_refresh(void);
/* Put the allocators back and stop; the directory keeps the last counters. */
void pa_server_detach(void);

#endif /* PA_PAYLOAD_SERVER_INTERNAL_H */
