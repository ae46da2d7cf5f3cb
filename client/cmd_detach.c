/* SPDX-License-Identifier: MIT
 *
 * `detach`: put everything back, and wait until our thread is gone.
 */
#include <stdlib.h>
#include <time.h>

#include "client/command.h"
#include "client/discover.h"
#include "client/human.h"

/* The thread ends just after it answered.  Another one may be there already:
 * of somebody who attached anew. */
static int wait_for_thread(const struct pa_wire *wire, uint64_t tid,
			   struct pa_diag *diag)
{
	const struct timespec pause = { 0, 1000000 };

	while (pa_process_is_same(&wire->process) &&
	       pa_process_has_thread(wire->process.pid, tid)) {
		if (pa_now_ns() >= wire->deadline_ns)
			return pa_fail(diag, PA_E_TIMEOUT, "process %d is "
				       "detached, but our thread in it did "
				       "not end in time",
				       (int)wire->process.pid);
		nanosleep(&pause, NULL);
	}
	return 0;
}

int pa_detach_wire(struct pa_wire *wire, struct pa_status *last,
		   struct pa_diag *diag)
{
	size_t length;
	char *body;
	int err = pa_wire_request(wire, "DETACH", PA_WIRE_ANSWER_MAX, &body,
				  &length, diag);

	if (err)
		return err;
	err = pa_status_parse(body, length, last, diag);
	free(body);
	pa_wire_close(wire);
	if (!err)
		err = wait_for_thread(wire, last->server_tid, diag);
	if (!err)
		pa_discover_remove(wire);
	return err;
}

int pa_cmd_detach(struct pa_command *command)
{
	struct pa_status status;
	struct pa_wire wire;
	const char *hooks;
	json_t *object;
	int err = pa_command_connect(command, &wire, &status);

	if (err)
		return err;
	err = pa_detach_wire(&wire, &status, &command->diag);
	pa_wire_close(&wire);
	if (err)
		return err;
	hooks = status.hooks == PA_HOOKS_PASS_THROUGH ? "pass-through" : "off";
	if (command->args.format != PA_FORMAT_JSON) {
		pa_command_say(command, "Detached from process %d after %s and "
			       "%s samples", (int)command->args.pid,
			       pa_human_time(status.uptime_ns).s,
			       pa_human_count((double)status.samples_taken).s);
		pa_command_say(command, "The allocators are %s",
			       status.hooks == PA_HOOKS_PASS_THROUGH ?
			       "passed through, since somebody hooked above us"
			       : "the original ones");
		return pa_command_flush(command);
	}
	object = pa_json_object("detach");
	json_object_set_new(object, "pid",
			    pa_json_count((uint64_t)command->args.pid));
	json_object_set_new(object, "hooks", json_string(hooks));
	json_object_set_new(object, "uptime_ns",
			    pa_json_count(status.uptime_ns));
	json_object_set_new(object, "samples_taken",
			    pa_json_count(status.samples_taken));
	return pa_command_answer(command, object);
}
