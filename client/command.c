/* SPDX-License-Identifier: MIT
 *
 * Small things that several verbs need; see command.h.
 */
#include "client/command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/discover.h"
#include "client/escape.h"

int pa_command_connect(struct pa_command *command, struct pa_wire *wire,
		       struct pa_status *status)
{
	int err = pa_discover(command->args.pid, command->deadline_ns,
			      command->interrupted, wire, status,
			      &command->diag);

	if (!err)
		pa_command_step(command, "connected to %s", wire->socket);
	return err;
}

int pa_command_flush(struct pa_command *command)
{
	struct pa_output output = { .file = stdout };

	return pa_output_close(&output, 0, &command->diag);
}

static bool wants_color(const struct pa_args *args, bool terminal)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (args->color != PA_COLOR_AUTO)
		return args->color == PA_COLOR_ALWAYS;
	return terminal && !(no_color && *no_color) &&
		!(term && !strcmp(term, "dumb"));
}

int pa_command_open(struct pa_command *command, struct pa_output *output,
		    struct pa_view *view)
{
	const struct pa_args *args = &command->args;
	int err = pa_output_open(output, args->output, args->force,
				 &command->diag);

	if (err)
		return err;
	view->file = output->file;
	view->width = pa_output_width(output);
	view->pretty = pa_output_is_terminal(output);
	view->color = wants_color(args, view->pretty);
	return 0;
}

int pa_command_close(struct pa_command *command, struct pa_output *output,
		     int err)
{
	if (err)
		pa_fail(&command->diag, err, "no memory");
	return pa_output_close(output, err, &command->diag);
}

int pa_command_answer(struct pa_command *command, json_t *object)
{
	struct pa_output output = { .file = stdout };
	int err = pa_json_write(stdout, object,
				pa_output_is_terminal(&output));

	if (err)
		return pa_fail(&command->diag, err, "no memory");
	return pa_command_flush(command);
}

/* Each line is escaped on its own; the newline is ours. */
static void print_escaped(FILE *file, const char *prefix, const char *format,
			  va_list list)
{
	char *text = NULL, *safe = NULL;

	if (vasprintf(&text, format, list) >= 0)
		safe = pa_escape_terminal(text, strlen(text));
	if (safe)
		fprintf(file, "%s%s\n", prefix, safe);
	if (text)
		free(text);
	free(safe);
}

void pa_command_say(struct pa_command *command, const char *format, ...)
{
	va_list list;

	if (command->args.quiet)
		return;
	va_start(list, format);
	print_escaped(stdout, "", format, list);
	va_end(list);
}

void pa_command_step(struct pa_command *command, const char *format, ...)
{
	va_list list;

	if (!command->args.verbose || command->args.quiet)
		return;
	va_start(list, format);
	print_escaped(stderr, "pyattach-sample: ", format, list);
	va_end(list);
}

void pa_command_hint(struct pa_command *command, const char *format, ...)
{
	va_list list;

	if (command->args.quiet || command->args.format != PA_FORMAT_TABLE)
		return;
	va_start(list, format);
	print_escaped(stderr, "pyattach-sample: ", format, list);
	va_end(list);
}

void pa_command_name(pid_t pid, const char *python, char *text, size_t size)
{
	char title[200];

	pa_process_title(pid, title, sizeof title);
	if (title[0])
		snprintf(text, size, "%s (pid %d, Python %s)", title, (int)pid,
			 python);
	else
		snprintf(text, size, "process %d (Python %s)", (int)pid,
			 python);
}
