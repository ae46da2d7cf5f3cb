/* SPDX-License-Identifier: MIT
 *
 * Talking to a payload; see wire_client.h.  Where its socket is, discover.c
 * finds out.
 */
#include "client/wire_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 512u
#define SLICE_MS 50	/* a signal just before a wait ends it by then */

void pa_wire_close(struct pa_wire *wire)
{
	if (wire->fd >= 0)
		close(wire->fd);
	wire->fd = -1;
}

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = pa_now_ns(), ms;

	if (now >= deadline_ns)
		return 0;
	ms = (deadline_ns - now + 999999) / 1000000;
	return ms > 1000000 ? 1000000 : (int)ms;
}

int pa_wire_dial(const void *address, unsigned length, uint64_t deadline_ns)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	if (fd < 0)
		return -errno;
	while (connect(fd, address, length)) {
		const struct timespec pause = { 0, 5000000 };
		int error = errno;

		/* A full backlog gives EAGAIN and nothing to poll for. */
		if (error == EAGAIN && left_ms(deadline_ns)) {
			nanosleep(&pause, NULL);
			continue;
		}
		if (error == EINTR)
			continue;
		close(fd);
		return error == EAGAIN ? -ETIMEDOUT : -error;
	}
	return fd;
}

int pa_wire_use(struct pa_wire *wire, int fd, const char *name,
		struct pa_diag *diag)
{
	struct ucred peer;
	socklen_t length = sizeof peer;

	if (!pa_process_is_same(&wire->process)) {
		close(fd);
		return pa_fail(diag, PA_E_EXITED, "process %d ended while it "
			       "was asked", (int)wire->process.pid);
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) ||
	    peer.pid != wire->process.pid ||
	    (peer.uid != wire->process.uid && peer.uid != 0)) {
		close(fd);
		return pa_fail(diag, PA_E_PEER, "the socket %s does not "
			       "belong to process %d", name,
			       (int)wire->process.pid);
	}
	wire->fd = fd;
	snprintf(wire->socket, sizeof wire->socket, "%s", name);
	return 0;
}

bool pa_wire_is_interrupted(const struct pa_wire *wire, struct pa_diag *diag)
{
	if (!wire->interrupted || !*wire->interrupted)
		return false;
	pa_fail(diag, PA_E_FAILED, "interrupted while process %d was asked",
		(int)wire->process.pid);
	return true;
}

/* ---- bytes ---- */

static int timed_out(const struct pa_wire *wire, struct pa_diag *diag)
{
	return pa_fail(diag, PA_E_TIMEOUT, "the payload in process %d did not "
		       "answer in time", (int)wire->process.pid);
}

/* What serves several lets all of them go when one detaches it; another
 * attach may have begun since. */
static int broken(struct pa_wire *wire, struct pa_diag *diag)
{
	int pid = (int)wire->process.pid;
	struct pa_directory directory;
	uint64_t at = 0;
	bool read;

	if (!pa_process_is_same(&wire->process))
		return pa_fail(diag, PA_E_EXITED, "process %d ended while it "
			       "was asked", pid);
	read = !pa_target_find_directory(pid, &at, &directory, NULL);
	if (read && !at && wire->has_directory)
		return pa_fail(diag, PA_E_NOT_ATTACHED, "process %d began "
			       "another program while it was asked", pid);
	if (at && directory.state == PA_STATE_FAILED && !wire->attached_ns)
		return pa_fail(diag, PA_E_NOT_ATTACHED, "nothing is attached "
			       "to process %d: the attach that was under way "
			       "failed", pid);
	if (at && !(directory.state == PA_STATE_STARTING && !wire->attached_ns)
	    && (directory.state != PA_STATE_ATTACHED ||
		(wire->attached_ns &&
		 wire->attached_ns != directory.attached_realtime_ns)))
		return pa_fail(diag, PA_E_NOT_ATTACHED, "process %d was "
			       "detached while it was asked", pid);
	wire->hung_up = at != 0;
	return pa_fail(diag, PA_E_PROTOCOL, "the payload in process %d closed "
		       "the connection in the middle of an answer", pid);
}

static int wait_for(struct pa_wire *wire, short events, struct pa_diag *diag)
{
	struct pollfd fd = { .fd = wire->fd, .events = events };
	int n, ms;

	do {
		ms = left_ms(wire->deadline_ns);
		if (wire->interrupted && ms > SLICE_MS)
			ms = SLICE_MS;
		n = poll(&fd, 1, ms);
		if (n <= 0 && pa_wire_is_interrupted(wire, diag))
			return PA_E_FAILED;
	} while ((n < 0 && errno == EINTR) ||
		 (!n && left_ms(wire->deadline_ns)));
	return n > 0 ? 0 : timed_out(wire, diag);
}

static int send_all(struct pa_wire *wire, const char *text, size_t length,
		    struct pa_diag *diag)
{
	while (length) {
		ssize_t n = send(wire->fd, text, length, MSG_NOSIGNAL);
		int err;

		if (n > 0) {
			text += n;
			length -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* An ERR line may wait though the peer has hung up. */
		if (n < 0 && errno != EAGAIN)
			return 0;
		err = wait_for(wire, POLLOUT, diag);
		if (err)
			return err;
	}
	return 0;
}

/* 1 .. room bytes, or an error. */
static ssize_t receive(struct pa_wire *wire, char *buffer, size_t room,
		       struct pa_diag *diag)
{
	for (;;) {
		ssize_t n = recv(wire->fd, buffer, room, 0);
		int err;

		if (n > 0) {
			/* Also who sends without a pause has a deadline. */
			if (pa_now_ns() >= wire->deadline_ns)
				return timed_out(wire, diag);
			return n;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || errno != EAGAIN)
			return broken(wire, diag);
		err = wait_for(wire, POLLIN, diag);
		if (err)
			return err;
	}
}

/* ---- answers ---- */

/* The first line into head, without its newline; what came after it stays
 * behind in head and is *extra bytes long. */
static int read_head(struct pa_wire *wire, char *head, char **rest,
		     size_t *extra, struct pa_diag *diag)
{
	size_t have = 0;
	char *end = NULL;

	while (!end) {
		ssize_t n;

		if (have == HEAD_MAX)
			return pa_fail(diag, PA_E_PROTOCOL, "the payload in "
				       "process %d sent garbage",
				       (int)wire->process.pid);
		n = receive(wire, head + have, HEAD_MAX - have, diag);
		if (n < 0)
			return (int)n;
		end = memchr(head + have, '\n', (size_t)n);
		have += (size_t)n;
	}
	*end = '\0';
	*rest = end + 1;
	*extra = have - (size_t)(end + 1 - head);
	return 0;
}

/* "OK 123" */
static int parse_ok(const struct pa_wire *wire, const char *head, size_t max,
		    size_t *length, struct pa_diag *diag)
{
	const char *digits = head + 3;
	uint64_t n = 0;

	if (strncmp(head, "OK ", 3) || !*digits || strlen(digits) > 15 ||
	    digits[strspn(digits, "0123456789")])
		return pa_fail(diag, PA_E_PROTOCOL, "the payload in process "
			       "%d sent garbage", (int)wire->process.pid);
	n = strtoull(digits, NULL, 10);
	if (n > max)
		return pa_fail(diag, PA_E_PROTOCOL, "the payload in process "
			       "%d announced an answer of %s bytes",
			       (int)wire->process.pid, digits);
	*length = (size_t)n;
	return 0;
}

/* "ERR word text" */
static int parse_err(const char *head, struct pa_diag *diag)
{
	char word[64];
	const char *text = head + 4;
	size_t n = strcspn(text, " ");
	int error;

	snprintf(word, sizeof word, "%.*s", (int)(n < 63 ? n : 63), text);
	error = pa_error_from_word(word);
	text += n;
	text += *text == ' ';
	return pa_fail(diag, error, "the payload answered: %s",
		       *text ? text : pa_error_info(error)->sentence);
}

/* A length that is only claimed must cost no memory: grow with the data. */
static int read_body(struct pa_wire *wire, const char *first, size_t have,
		     size_t length, char **body, struct pa_diag *diag)
{
	size_t room = length < 65536 ? length : 65536;
	char *bytes;

	if (have > length)
		return pa_fail(diag, PA_E_PROTOCOL, "the payload in process "
			       "%d sent more than it announced",
			       (int)wire->process.pid);
	if (room < have)
		room = have;
	bytes = malloc(room + 1);
	if (bytes && have)
		memcpy(bytes, first, have);
	while (bytes && have < length) {
		ssize_t n;

		if (have == room) {
			char *more;

			room = room * 2 < length ? room * 2 : length;
			more = realloc(bytes, room + 1);
			if (!more)
				break;
			bytes = more;
		}
		n = receive(wire, bytes + have, room - have, diag);
		if (n < 0) {
			free(bytes);
			return (int)n;
		}
		have += (size_t)n;
	}
	if (!bytes || have < length) {
		free(bytes);
		return pa_fail(diag, PA_E_FAILED, "no memory");
	}
	bytes[length] = '\0';
	*body = bytes;
	return 0;
}

int pa_wire_request(struct pa_wire *wire, const char *request, size_t max,
		    char **body, size_t *length, struct pa_diag *diag)
{
	char line[PA_WIRE_REQUEST_MAX + 1], head[HEAD_MAX], *rest = head;
	int n = snprintf(line, sizeof line, "%s\n", request), err;
	size_t extra = 0;

	if (n < 0 || (size_t)n >= sizeof line)
		return PA_E_BAD_REQUEST;
	err = send_all(wire, line, (size_t)n, diag);
	if (!err)
		err = read_head(wire, head, &rest, &extra, diag);
	if (!err && !strncmp(head, "ERR ", 4))
		return parse_err(head, diag);
	if (!err)
		err = parse_ok(wire, head, max, length, diag);
	if (!err)
		err = read_body(wire, rest, extra, *length, body, diag);
	return err;
}
