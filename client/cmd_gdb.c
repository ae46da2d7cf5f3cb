/* SPDX-License-Identifier: MIT
 *
 * `gdb`: start gdb on a core or a process with the commands of
 * pyattach-gdb(7) loaded.  Becomes gdb; nothing of ours stays.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/command.h"

/* Of a program in its build tree the script of the source tree, else the
 * installed one. */
static const char *find_script(void)
{
	char program[4096];
	ssize_t n = readlink("/proc/self/exe", program, sizeof program);

	if (n > 0 && (size_t)n > strlen(PA_GDB_BUILD) &&
	    !memcmp(program, PA_GDB_BUILD, strlen(PA_GDB_BUILD)))
		return PA_GDB_SOURCE;
	return PA_GDB_SCRIPT;
}

/* gdb would look for sources and symbols on the net, and ask first. */
#define QUIET "python exec(\"try: gdb.execute('set debuginfod enabled " \
	"off')\\nexcept gdb.error: pass\")"

int pa_cmd_gdb(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	const char *script = find_script();
	const char *what = args->n_words ? args->words[0] : NULL;
	const char *const words[] = {
		"gdb", "-q", "-iex", QUIET, "-x", script,
		what && pa_is_number(what) ? "-p" : "-core", what, NULL,
	};

	if (!what)
		return pa_fail(&command->diag, PA_E_USAGE, "a CORE or a PID "
			       "is missing");
	if (access(script, R_OK))
		return pa_fail(&command->diag, PA_E_READ, "%s cannot be read: "
			       "%s", script, strerror(errno));
	if (!pa_is_number(what) && access(what, R_OK))
		return pa_fail(&command->diag, PA_E_READ, "%s cannot be read: "
			       "%s", what, strerror(errno));
	pa_command_step(command, "starting gdb with %s", script);
	execvp(words[0], (char *const *)words);
	pa_fail(&command->diag, PA_E_FAILED, "gdb cannot be started: %s",
		strerror(errno));
	snprintf(command->diag.hint, sizeof command->diag.hint,
		 "install gdb, or use pyattach-sample core, which needs none");
	return PA_E_FAILED;
}
