/* SPDX-License-Identifier: MIT
 *
 * `diff`: what grew between two censuses.  Each is a file that `census -o`
 * made, or a process or core that is read now.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/census_file.h"
#include "client/census_take.h"
#include "client/command.h"

static int take_now(struct pa_command *command, pid_t pid, const char *path,
		    struct pa_kept *kept)
{
	struct pa_args all = { .census_sort = PA_CENSUS_BY_NAME };
	struct pa_census_taken taken;
	int err = pa_census_take(command, pid, path, &taken);

	if (!err)
		err = pa_census_prepare(&taken.answer, &all);
	if (!err)
		err = pa_kept_decode(kept, pa_census_json(&taken.answer),
				     taken.title, &command->diag);
	pa_census_taken_free(&taken);
	return err;
}

/* The first bytes of a file, to tell what it is. */
static ssize_t peek(const char *path, char *bytes, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, size);

	if (fd >= 0)
		close(fd);
	return n;
}

static int open_source(struct pa_command *command, const char *word,
		       struct pa_kept *kept)
{
	char start[64] = "";
	pid_t pid = 0;
	ssize_t n;
	int err;

	memset(kept, 0, sizeof *kept);
	if (pa_is_number(word)) {
		err = pa_parse_pid(word, &pid, &command->diag);
		return err ? err : take_now(command, pid, NULL, kept);
	}
	n = peek(word, start, sizeof start);
	if (n < 0)
		return pa_fail(&command->diag, PA_E_READ,
			       "%s cannot be read: %s", word, strerror(errno));
	if (pa_kept_is_json(start, (size_t)n))
		return pa_kept_open(kept, word, &command->diag);
	if (n >= 4 && !memcmp(start, "\177ELF", 4))
		return take_now(command, 0, word, kept);
	pa_fail(&command->diag, PA_E_NO_IMAGE, "%s is neither a census nor a "
		"core file", word);
	snprintf(command->diag.hint, sizeof command->diag.hint,
		 "keep one with: pyattach-sample census PID -o FILE");
	return PA_E_NO_IMAGE;
}

static int show(struct pa_command *command, const struct pa_census_diff *diff)
{
	struct pa_output output;
	struct pa_view view;
	int err = pa_command_open(command, &output, &view);

	return err ? err : pa_command_close(command, &output,
		command->args.format == PA_FORMAT_JSON ?
		pa_census_diff_json(&view, diff) :
		pa_census_diff_table(&view, diff));
}

int pa_cmd_diff(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	struct pa_kept old = { .json = NULL }, new = { .json = NULL };
	struct pa_census_diff diff;
	int err;

	if (args->n_words != 2)
		return pa_fail(&command->diag, PA_E_USAGE, "diff takes two "
			       "sources, the older one first");
	err = open_source(command, args->words[0], &old);
	if (!err)
		err = open_source(command, args->words[1], &new);
	if (!err) {
		err = pa_census_compare(&diff, &old, &new, args);
		if (err)
			pa_fail(&command->diag, err, "no memory");
		else
			err = show(command, &diff);
		free(diff.changes);
	}
	pa_kept_free(&old);
	pa_kept_free(&new);
	return err;
}
