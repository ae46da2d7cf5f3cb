/* SPDX-License-Identifier: MIT
 *
 * Taking a census, with progress; see census_take.h.
 */
#include "client/census_take.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/process.h"

#define SHOW_AFTER_NS 1000000000ull

struct progress {
	const struct pa_command *command;
	void *context;
	size_t (*read)(void *context, uint64_t address, void *buffer,
		       size_t n);
	bool shown;
};

static size_t pass_read(void *context, uint64_t address, void *buffer,
			size_t n)
{
	const struct progress *p = context;

	return p->read(p->context, address, buffer, n);
}

/* Over a second, on a terminal: how far it is. */
static bool show_progress(void *context, double part)
{
	struct progress *p = context;
	const struct pa_args *args = &p->command->args;

	if (args->quiet || !isatty(2) ||
	    pa_now_ns() - p->command->begin_ns < SHOW_AFTER_NS)
		return true;
	p->shown = true;
	fprintf(stderr, "\rpyattach-sample: read %.0f %%", part * 100);
	return true;
}

static int run(struct pa_command *command, struct pa_census_taken *taken)
{
	const struct pa_census_input *input = &taken->input;
	struct progress progress = {
		.command = command,
		.context = input->source.context, .read = input->source.read,
	};
	struct pa_census_source source = input->source;
	const struct pa_args *args = &command->args;
	const struct pa_holders_ask ask = {
		.tree = args->holders, .least = 0.001,
		.path_to = args->path_to,
	};
	bool asked = args->holders || args->path_to;
	int err;

	source.context = &progress;
	source.read = pass_read;
	source.progress = show_progress;
	err = pa_census_run_asked(&source, asked ? &ask : NULL, &taken->census,
				  asked ? &taken->holders : NULL);
	if (progress.shown)
		fputs("\r                              \r", stderr);
	if (err)
		return pa_fail(&command->diag, err, "no memory");
	return pa_census_check(input, &command->diag);
}

static int open_input(struct pa_command *command, pid_t pid, const char *path,
		      struct pa_census_taken *taken)
{
	const struct pa_args *args = &command->args;
	int err;

	if (pid) {
		pa_process_title(pid, taken->title, sizeof taken->title);
		err = pa_census_open_process(&taken->input, pid,
					     &command->diag);
		return err || !args->pause ? err :
			pa_census_pause(&taken->input, args->max_pause_ns,
					&command->diag);
	}
	if (args->pause)
		return pa_fail(&command->diag, PA_E_USAGE, "--pause is for a "
			       "running process, and %s is a file", path);
	snprintf(taken->title, sizeof taken->title, "%s", path);
	return pa_census_open_core(&taken->input, path, &command->diag);
}

int pa_census_take(struct pa_command *command, pid_t pid, const char *path,
		   struct pa_census_taken *taken)
{
	const struct pa_args *args = &command->args;
	int err;

	memset(taken, 0, sizeof *taken);
	err = open_input(command, pid, path, taken);
	if (err)
		return err;
	pa_command_step(command, "%zu mappings, %zu runs of pages",
			taken->input.source.n_ranges,
			taken->input.source.n_runs);
	err = run(command, taken);
	taken->answer = (struct pa_census_answer){
		.census = &taken->census, .input = &taken->input,
		.title = taken->title,
		.holders = args->holders || args->path_to ?
			&taken->holders : NULL,
		.tree = args->holders, .path_to = args->path_to,
		.took_ns = pa_now_ns() - command->begin_ns,
	};
	return err;
}

void pa_census_taken_free(struct pa_census_taken *taken)
{
	free(taken->answer.rows);
	taken->answer.rows = NULL;
	pa_holders_free(&taken->holders);
	pa_census_free(&taken->census);
	pa_census_close(&taken->input);
}
