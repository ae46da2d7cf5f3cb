/* SPDX-License-Identifier: MIT
 *
 * `census`: what a process held before anybody came, by type, read from
 * outside; of a core the same.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/census_view.h"
#include "client/command.h"
#include "client/process.h"

#define SHOW_AFTER_NS 1000000000ull

struct progress {
	struct pa_census_input *input;
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

static int run_census(struct pa_command *command,
		      struct pa_census_input *input, struct pa_census *census)
{
	struct progress progress = {
		.input = input, .command = command,
		.context = input->source.context, .read = input->source.read,
	};
	struct pa_census_source source = input->source;
	int err;

	source.context = &progress;
	source.read = pass_read;
	source.progress = show_progress;
	err = pa_census_run(&source, census);
	if (progress.shown)
		fputs("\r                              \r", stderr);
	if (err)
		return pa_fail(&command->diag, err, "no memory");
	err = pa_census_check(input, &command->diag);
	if (err)
		pa_census_free(census);
	return err;
}

static bool wants_color(const struct pa_args *args, bool terminal)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (args->color != PA_COLOR_AUTO)
		return args->color == PA_COLOR_ALWAYS;
	return terminal && !(no_color && *no_color) &&
		!(term && !strcmp(term, "dumb"));
}

static int show(struct pa_command *command, struct pa_census_answer *answer)
{
	static int (*const views[])(const struct pa_view *,
				    const struct pa_census_answer *) = {
		[PA_FORMAT_TABLE] = pa_census_view_table,
		[PA_FORMAT_JSON] = pa_census_view_json,
		[PA_FORMAT_CSV] = pa_census_view_csv,
	};
	const struct pa_args *args = &command->args;
	struct pa_output output;
	struct pa_view view;
	int err = pa_census_prepare(answer, args);

	if (err)
		return pa_fail(&command->diag, err, "no memory");
	err = pa_output_open(&output, args->output, args->force,
			     &command->diag);
	if (!err) {
		view.file = output.file;
		view.width = pa_output_width(&output);
		view.pretty = pa_output_is_terminal(&output);
		view.color = wants_color(args, view.pretty);
		err = views[args->format](&view, answer);
		if (err)
			pa_fail(&command->diag, err, "no memory");
		err = pa_output_close(&output, err, &command->diag);
	}
	free(answer->rows);
	return err;
}

static int take(struct pa_command *command, struct pa_census_input *input,
		const char *title)
{
	struct pa_census census;
	struct pa_census_answer answer = {
		.census = &census, .input = input, .title = title,
	};
	int err;

	pa_command_step(command, "%zu mappings, %zu runs of pages",
			input->source.n_ranges, input->source.n_runs);
	err = run_census(command, input, &census);
	if (err)
		return err;
	answer.took_ns = pa_now_ns() - command->begin_ns;
	err = show(command, &answer);
	pa_census_free(&census);
	return err;
}

int pa_cmd_census(struct pa_command *command)
{
	struct pa_args *args = &command->args;
	const char *word = args->n_words ? args->words[0] : NULL;
	struct pa_census_input input;
	char title[256];
	pid_t pid = args->pid;
	int err = 0;

	if (!pid == !word)
		return pa_fail(&command->diag, PA_E_USAGE, "census takes one "
			       "PID or core file");
	if (word && pa_is_number(word))
		err = pa_parse_pid(word, &pid, &command->diag);
	if (err)
		return err;
	if (pid) {
		pa_process_title(pid, title, sizeof title);
		err = pa_census_open_process(&input, pid, &command->diag);
	} else {
		snprintf(title, sizeof title, "%s", word);
		err = pa_census_open_core(&input, word, &command->diag);
	}
	if (!err)
		err = take(command, &input, title);
	pa_census_close(&input);
	return err;
}
