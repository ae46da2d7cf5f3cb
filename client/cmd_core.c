/* SPDX-License-Identifier: MIT
 *
 * `core`: the report of a process that died, or with -o its image.
 */
#include <string.h>

#include "client/command.h"
#include "client/human.h"
#include "client/image_write.h"
#include "client/source.h"

static int answer(struct pa_command *command, const struct pa_image *image,
		  const struct pa_core_facts *facts)
{
	const struct pa_args *args = &command->args;
	json_t *object;

	if (args->format != PA_FORMAT_JSON) {
		pa_command_say(command, "Wrote %s: %llu live samples of "
			       "process %u. Next: pyattach-sample report %s%s",
			       args->output, (unsigned long long)image->n_live,
			       image->directory.pid,
			       pa_is_number(args->output) ? "./" : "",
			       args->output);
		return pa_command_flush(command);
	}
	object = pa_json_object("core");
	json_object_set_new(object, "pid",
			    pa_json_known(image->directory.pid));
	json_object_set_new(object, "file", pa_json_text(args->output));
	json_object_set_new(object, "samples", pa_json_count(image->n_live));
	json_object_set_new(object, "signal",
			    pa_json_known((uint64_t)facts->signal));
	json_object_set_new(object, "note", pa_json_text(facts->note));
	return pa_command_answer(command, object);
}

static int write_image(struct pa_command *command,
		       const struct pa_image *image)
{
	const struct pa_args *args = &command->args;
	struct pa_output output;
	int err = pa_output_open(&output, args->output, args->force,
				 &command->diag);

	if (err)
		return err;
	err = pa_image_write(output.file, image);
	pa_output_check(&output);
	if (err)
		pa_fail(&command->diag, err, "no memory");
	return pa_output_close(&output, err, &command->diag);
}

static int extract(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	const struct pa_core_question question = {
		.address = args->address, .full = args->full,
		.silence_ns = args->timeout_ns,
	};
	struct pa_core_facts facts;
	struct pa_image image;
	int err;

	if (!strcmp(args->output, "-") && args->format == PA_FORMAT_JSON)
		return pa_fail(&command->diag, PA_E_USAGE, "-o - and --format "
			       "json both want the standard output");
	err = pa_source_file(args->words[0], &question, command->deadline_ns,
			     &image, &facts, &command->diag);
	if (err)
		return err;
	if (facts.note[0])
		pa_command_hint(command, "note: %s", facts.note);
	err = write_image(command, &image);
	if (!err && strcmp(args->output, "-"))
		err = answer(command, &image, &facts);
	pa_image_free(&image);
	return err;
}

int pa_cmd_core(struct pa_command *command)
{
	struct pa_args *args = &command->args;

	if (!args->n_words)
		return pa_fail(&command->diag, PA_E_USAGE, "a core FILE is "
			       "missing; - is the standard input");
	if (args->output)
		return extract(command);
	return pa_report_files(command);
}
