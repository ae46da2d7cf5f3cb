/* SPDX-License-Identifier: MIT
 *
 * `report`: who holds the memory, or who allocated it, from one source or
 * several.
 */
#include <stdlib.h>
#include <string.h>

#include "client/command.h"
#include "client/discover.h"
#include "client/source.h"
#include "client/view.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static int add_image(struct pa_command *command, struct pa_report *report,
		     struct pa_image *image, enum pa_source_kind kind)
{
	int err = pa_report_add(report, image, kind);

	pa_image_free(image);
	return err ? pa_fail(&command->diag, err, "no memory") : 0;
}

static int add_wire(struct pa_command *command, struct pa_report *report,
		    struct pa_wire *wire)
{
	struct pa_image image;
	int err;

	pa_process_title(wire->process.pid, report->title,
			 sizeof report->title);
	err = pa_source_live(wire, &image, &command->diag);
	if (err)
		return err;
	pa_command_step(command, "took a snapshot of %llu live samples",
			(unsigned long long)image.n_live);
	/* Its own number, where the process is in a pid namespace. */
	image.directory.pid = (uint32_t)wire->process.pid;
	return add_image(command, report, &image, PA_SOURCE_LIVE);
}

static int add_pid(struct pa_command *command, struct pa_report *report,
		   pid_t pid)
{
	struct pa_status status;
	struct pa_wire wire;
	int err = pa_discover(pid, command->deadline_ns, NULL, &wire,
			      &status, &command->diag);

	if (!err)
		err = add_wire(command, report, &wire);
	pa_wire_close(&wire);
	return err;
}

/* What a core is silent about, said once beside the numbers. */
static void tell_facts(struct pa_command *command,
		       const struct pa_core_facts *facts)
{
	if (!facts->address)
		return;
	pa_command_step(command, "the table is at 0x%llx, found by %s; "
			"signal %d", (unsigned long long)facts->address,
			facts->how, facts->signal);
	if (facts->note[0])
		pa_command_hint(command, "note: %s", facts->note);
}

static int add_source(struct pa_command *command, struct pa_report *report,
		      const char *source)
{
	const struct pa_core_question question = {
		.address = command->args.address, .full = command->args.full,
		.silence_ns = command->args.timeout_ns,
	};
	struct pa_core_facts facts;
	struct pa_image image;
	pid_t pid;
	int err;

	if (pa_is_number(source)) {
		err = pa_parse_pid(source, &pid, &command->diag);
		return err ? err : add_pid(command, report, pid);
	}
	snprintf(report->title, sizeof report->title, "%s",
		 base_name(source));
	err = pa_source_file(source, &question, command->deadline_ns, &image,
			     &facts, &command->diag);
	if (err)
		return err;
	tell_facts(command, &facts);
	return add_image(command, report, &image, facts.address ?
			 PA_SOURCE_CORE : PA_SOURCE_IMAGE);
}

static int show(struct pa_command *command, struct pa_report *report)
{
	static int (*const views[])(const struct pa_view *,
				    const struct pa_report *) = {
		[PA_FORMAT_TABLE] = pa_view_table,
		[PA_FORMAT_JSON] = pa_view_json,
		[PA_FORMAT_CSV] = pa_view_csv,
	};
	struct pa_output output;
	struct pa_view view;
	int err;

	pa_report_finish(report);
	err = pa_command_open(command, &output, &view);
	return err ? err : pa_command_close(command, &output,
		views[command->args.format](&view, report));
}

int pa_report_wire(struct pa_command *command, struct pa_wire *wire)
{
	struct pa_report report;
	int err = pa_report_init(&report, &command->args.question);

	if (err)
		return pa_fail(&command->diag, err, "no memory");
	err = add_wire(command, &report, wire);
	if (!err)
		err = show(command, &report);
	pa_report_free(&report);
	return err;
}

int pa_report_files(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	struct pa_report report;
	int err = pa_report_init(&report, &args->question);

	if (err)
		return pa_fail(&command->diag, err, "no memory");
	if (args->pid)
		err = add_pid(command, &report, args->pid);
	for (size_t i = 0; !err && i < args->n_words; i++)
		err = add_source(command, &report, args->words[i]);
	if (!err)
		err = show(command, &report);
	pa_report_free(&report);
	return err;
}

int pa_cmd_report(struct pa_command *command)
{
	if (!command->args.pid && !command->args.n_words)
		return pa_fail(&command->diag, PA_E_USAGE, "a SOURCE is "
			       "missing: a PID, an image or a core file");
	return pa_report_files(command);
}
