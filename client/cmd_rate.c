/* SPDX-License-Identifier: MIT
 *
 * `rate`: change the rate while it runs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/command.h"
#include "client/human.h"

static int answer(struct pa_command *command, uint64_t rate, uint64_t previous)
{
	json_t *object;

	if (command->args.format != PA_FORMAT_JSON) {
		pa_command_say(command, "Process %d: one sample per %s, was "
			       "one per %s", (int)command->args.pid,
			       pa_human_bytes((double)rate).s,
			       pa_human_bytes((double)previous).s);
		return pa_command_flush(command);
	}
	object = pa_json_object("rate");
	json_object_set_new(object, "pid",
			    pa_json_count((uint64_t)command->args.pid));
	json_object_set_new(object, "rate", pa_json_count(rate));
	json_object_set_new(object, "previous", pa_json_count(previous));
	return pa_command_answer(command, object);
}

int pa_rate_wire(struct pa_wire *wire, uint64_t rate, uint64_t *previous,
		 struct pa_diag *diag)
{
	char request[64], *body;
	size_t length;
	int err;

	snprintf(request, sizeof request, "RATE %" PRIu64, rate);
	err = pa_wire_request(wire, request, PA_WIRE_ANSWER_MAX, &body,
			      &length, diag);
	if (err)
		return err;
	*previous = strtoull(body, NULL, 10);
	free(body);
	if (*previous < 1 || *previous > PA_RATE_MAX)
		return pa_fail(diag, PA_E_PROTOCOL, "the payload in process "
			       "%d answered no rate", (int)wire->process.pid);
	return 0;
}

int pa_cmd_rate(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	uint64_t rate = 0, previous = 0;
	struct pa_status status;
	struct pa_wire wire;
	int err;

	if (!args->n_words)
		return pa_fail(&command->diag, PA_E_USAGE, "a SIZE is missing:"
			       " the new rate");
	err = pa_parse_rate(args->words[0], &rate, &command->diag);
	if (!err)
		err = pa_command_connect(command, &wire, &status);
	if (err)
		return err;
	err = pa_rate_wire(&wire, rate, &previous, &command->diag);
	pa_wire_close(&wire);
	return err ? err : answer(command, rate, previous);
}
