/* SPDX-License-Identifier: MIT
 *
 * One client: bytes in, lines out to server_request.c, bytes back.  Never
 * blocks; bounded in input, in output and in time.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"
#include "payload/server_internal.h"
#include "payload/store.h"
#include "payload/sys.h"

#define SHOWN 32u		/* bytes of a line without end */
#define MS 1000000ull
#define ANSWER_MAX_MS 120000ull
#define TURNS 64

static uint64_t now_ns(void)
{
	return pa_clock_ns(CLOCK_MONOTONIC);
}

static void extend(struct pa_client *client)
{
	client->deadline_ns = now_ns() + PA_WIRE_TIMEOUT_MS * MS;
}

/* Only our user and root. */
static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0
		&& (peer.uid == geteuid() || peer.uid == 0);
}

static void refuse(int fd, int error)
{
	const struct pa_error_info *info = pa_error_info(error);
	char buffer[160];
	struct pa_text text;

	pa_text_init(&text, buffer, sizeof buffer);
	pa_text_string(&text, "ERR ");
	pa_text_string(&text, info->word);
	pa_text_string(&text, " ");
	pa_text_string(&text, info->sentence);
	pa_text_string(&text, "\n");
	send(fd, buffer, text.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	__atomic_fetch_add(&pa_store_directory()->refused_clients, 1,
			   __ATOMIC_RELAXED);
}

void pa_client_turn_away(int fd)
{
	refuse(fd, PA_E_BUSY);
}

bool pa_client_open(struct pa_client *client, int fd)
{
	if (!may_ask(fd)) {
		refuse(fd, PA_E_NOT_PERMITTED);
		return false;
	}
	memset(client, 0, offsetof(struct pa_client, text));
	client->text_length = client->text_sent = 0;
	client->image = NULL;
	client->image_length = client->image_sent = 0;
	extend(client);
	return pa_owned_take(&client->socket, fd);
}

static void drop_answer(struct pa_client *client)
{
	if (client->image)
		pa_store_snapshot_end();
	client->image = NULL;
	client->text_length = client->text_sent = 0;
	client->image_length = client->image_sent = 0;
}

void pa_client_close(struct pa_client *client)
{
	drop_answer(client);
	pa_owned_close(&client->socket);
}

bool pa_client_wants_to_send(const struct pa_client *client)
{
	return client->text_sent < client->text_length || client->image;
}

/* ---- out ---- */

/* 1 all is sent, 0 would block, -1 the peer is gone. */
static int push(struct pa_client *client, const char *bytes, size_t length,
		size_t *sent)
{
	while (*sent < length) {
		ssize_t n = send(client->socket.fd, bytes + *sent,
				 length - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		*sent += (size_t)n;
		extend(client);
	}
	return 1;
}

static int send_answer(struct pa_client *client)
{
	int done = push(client, client->text, client->text_length,
			&client->text_sent);

	if (done == 1 && client->image)
		done = push(client, client->image, client->image_length,
			    &client->image_sent);
	if (done == 1)
		drop_answer(client);
	return done;
}

/* ---- in ---- */

static void answer_line(struct pa_client *client, size_t length)
{
	size_t shown = length;

	if (shown && client->input[shown - 1] == '\r')
		shown--;
	client->answer_end_ns = now_ns() + ANSWER_MAX_MS * MS;
	pa_request_answer(client, client->input, shown);
	client->input_length -= (unsigned)length + 1;
	memmove(client->input, client->input + length + 1,
		client->input_length);
	extend(client);
}

/* A line longer than any request is refused before its end: that may never
 * come.  What follows cannot be told from the rest of it. */
static void refuse_line(struct pa_client *client)
{
	pa_request_fail(client, PA_E_BAD_REQUEST, client->input, SHOWN);
	client->closing = true;
}

/* Answer the lines that are there, one at a time. */
static void take_lines(struct pa_client *client)
{
	while (!client->closing && !client->detach
	       && !pa_client_wants_to_send(client)) {
		const char *end = memchr(client->input, '\n',
					 client->input_length);

		if (end) {
			answer_line(client, (size_t)(end - client->input));
			continue;
		}
		if (client->input_length == sizeof client->input)
			refuse_line(client);
		return;
	}
}

/* False: nothing more to be had now. */
static bool pull(struct pa_client *client)
{
	ssize_t n;

	do
		n = recv(client->socket.fd,
			 client->input + client->input_length,
			 sizeof client->input - client->input_length,
			 MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		client->input_length += (unsigned)n;
		return true;
	}
	if (n == 0 || errno != EAGAIN)
		client->ended = true;
	return false;
}

/* What still comes is thrown away, so that the last answer is not lost by a
 * reset of the connection. */
static void drain(struct pa_client *client)
{
	for (int i = 0; i < 64; i++) {
		client->input_length = 0;
		if (!pull(client))
			break;
	}
	client->input_length = 0;
}

static void finish(struct pa_client *client)
{
	if (!client->shut) {
		client->shut = true;
		shutdown(client->socket.fd, SHUT_WR);
		client->deadline_ns = now_ns() + 1000 * MS;
	}
	drain(client);
}

/* Answer and read until neither goes on.  False: the peer is gone. */
static bool work(struct pa_client *client, bool readable)
{
	client->more = false;
	for (int i = 0; i < TURNS; i++) {
		int sent = send_answer(client);

		if (sent < 0)
			return false;
		if (sent == 0)
			return true;
		take_lines(client);
		if (pa_client_wants_to_send(client))
			continue;
		if (client->closing || client->detach || client->ended
		    || !readable)
			return true;
		readable = pull(client);
	}
	client->more = true;	/* others wait: go on in the next round */
	return true;
}

static bool timed_out(const struct pa_client *client)
{
	uint64_t now = now_ns();

	return now >= client->deadline_ns
		|| (pa_client_wants_to_send(client)
		    && now >= client->answer_end_ns);
}

void pa_client_step(struct pa_client *client, short revents)
{
	if (!pa_owned_good(&client->socket)
	    || !work(client, revents & (POLLIN | POLLHUP))
	    || (revents & (POLLERR | POLLNVAL))) {
		pa_client_close(client);
		return;
	}
	if (pa_client_wants_to_send(client) || client->more) {
		if (timed_out(client))
			pa_client_close(client);
		return;
	}
	if (client->closing)
		finish(client);
	if (client->ended || timed_out(client))
		pa_client_close(client);
}
