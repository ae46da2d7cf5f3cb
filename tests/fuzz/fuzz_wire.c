/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the answer of a payload: STATUS, SNAPSHOT and RATE end with
 * a body or an error, in time.  The peer is this very process, so that the
 * check of credentials passes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/status_text.h"
#include "client/wire_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct pa_wire *wire, const char *request, size_t max)
{
	struct pa_status status;
	struct pa_diag diag = { "", "" };
	size_t length = 0;
	char *body = NULL;

	if (pa_wire_request(wire, request, max, &body, &length, &diag))
		return;
	pa_status_parse(body, length, &status, &diag);
	free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_wire wire = {
		.fd = -1, .deadline_ns = pa_now_ns() + 200000000,
	};
	int ends[2];

	if (size > 65536 || pa_process_look(getpid(), &wire.process) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends))
		return 0;
	/* All of it fits into the socket's buffer; then the peer is gone. */
	if (size && write(ends[1], data, size) < 0)
		size = 0;
	shutdown(ends[1], SHUT_WR);
	if (!pa_wire_use(&wire, ends[0], "fuzz", NULL)) {
		ask(&wire, "STATUS", PA_WIRE_ANSWER_MAX);
		ask(&wire, "SNAPSHOT", PA_WIRE_IMAGE_MAX);
	}
	pa_wire_close(&wire);
	close(ends[1]);
	return 0;
}
