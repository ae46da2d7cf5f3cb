/* SPDX-License-Identifier: MIT
 *
 * `snapshot`: keep the image as a file.
 */
#include <stdlib.h>
#include <string.h>

#include "client/command.h"
#include "client/human.h"
#include "client/source.h"

static int answer(struct pa_command *command, size_t length)
{
	const struct pa_args *args = &command->args;
	json_t *object;

	if (args->format != PA_FORMAT_JSON) {
		pa_command_say(command, "Wrote %s (%s) of process %d. Next: "
			       "pyattach-sample report %s%s", args->output,
			       pa_human_bytes((double)length).s,
			       (int)args->pid, pa_is_number(args->output) ?
			       "./" : "", args->output);
		return pa_command_flush(command);
	}
	object = pa_json_object("snapshot");
	json_object_set_new(object, "pid",
			    pa_json_count((uint64_t)args->pid));
	json_object_set_new(object, "file", pa_json_text(args->output));
	json_object_set_new(object, "bytes", pa_json_count(length));
	return pa_command_answer(command, object);
}

int pa_cmd_snapshot(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	bool to_stdout = args->output && !strcmp(args->output, "-");
	struct pa_status status;
	struct pa_output output;
	struct pa_wire wire;
	char *bytes = NULL;
	size_t length = 0;
	int err;

	if (!args->output)
		return pa_fail(&command->diag, PA_E_USAGE, "-o FILE is "
			       "missing: where to keep the image");
	if (to_stdout && args->format == PA_FORMAT_JSON)
		return pa_fail(&command->diag, PA_E_USAGE, "-o - and --format "
			       "json both want the standard output");
	err = pa_command_connect(command, &wire, &status);
	if (err)
		return err;
	/* Before the transfer: a name that will not do costs nothing. */
	err = pa_output_open(&output, args->output, args->force,
			     &command->diag);
	if (!err) {
		err = pa_source_snapshot(&wire, &bytes, &length,
					 &command->diag);
		if (!err) {
			fwrite(bytes, 1, length, output.file);
			pa_output_check(&output);
			free(bytes);
		}
		err = pa_output_close(&output, err, &command->diag);
	}
	pa_wire_close(&wire);
	return err || to_stdout ? err : answer(command, length);
}
