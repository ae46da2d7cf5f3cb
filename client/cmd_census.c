/* SPDX-License-Identifier: MIT
 *
 * `census`: what a process held before anybody came, by type, read from
 * outside; of a core the same.
 */
#include <string.h>

#include "client/census_take.h"
#include "client/census_view.h"
#include "client/command.h"

static int show(struct pa_command *command, struct pa_census_answer *answer)
{
	static int (*const views[])(const struct pa_view *,
				    const struct pa_census_answer *) = {
		[PA_FORMAT_TABLE] = pa_census_view_table,
		[PA_FORMAT_JSON] = pa_census_view_json,
		[PA_FORMAT_CSV] = pa_census_view_csv,
		[PA_FORMAT_COLLAPSED] = pa_census_view_collapsed,
		[PA_FORMAT_FLAMEGRAPH] = pa_census_view_flamegraph,
	};
	const struct pa_args *args = &command->args;
	struct pa_output output;
	struct pa_view view;
	int err = pa_census_prepare(answer, args);

	if (err)
		return pa_fail(&command->diag, err, "no memory");
	err = pa_command_open(command, &output, &view);
	return err ? err : pa_command_close(command, &output,
		views[args->format](&view, answer));
}

/* A file is to be kept for `diff`: JSON, with all rows. */
static void keep_all(struct pa_args *args)
{
	if (!args->output || !strcmp(args->output, "-"))
		return;
	if (!args->format_given)
		args->format = PA_FORMAT_JSON;
	if (args->format == PA_FORMAT_JSON && !args->limit_given)
		args->question.limit = 0;
}

/* Formats of the tree of holders ask for it. */
static int check_format(struct pa_args *args, struct pa_diag *diag)
{
	bool tree = args->format == PA_FORMAT_COLLAPSED ||
		args->format == PA_FORMAT_FLAMEGRAPH;

	if ((tree && args->path_to) ||
	    (args->format == PA_FORMAT_CSV && (args->holders ||
					       args->path_to)))
		return pa_fail(diag, PA_E_USAGE, "this format has no place "
			       "for %s", args->path_to ? "--path-to" :
			       "--holders");
	args->holders |= tree;
	return 0;
}

int pa_cmd_census(struct pa_command *command)
{
	struct pa_args *args = &command->args;
	const char *word = args->n_words ? args->words[0] : NULL;
	struct pa_census_taken taken;
	pid_t pid = args->pid;
	int err = 0;

	if (!pid == !word)
		return pa_fail(&command->diag, PA_E_USAGE, "census takes one "
			       "PID or core file");
	if (word && pa_is_number(word))
		err = pa_parse_pid(word, &pid, &command->diag);
	if (err)
		return err;
	keep_all(args);
	err = check_format(args, &command->diag);
	if (err)
		return err;
	err = pa_census_take(command, pid, word, &taken);
	if (!err)
		err = show(command, &taken.answer);
	pa_census_taken_free(&taken);
	return err;
}
