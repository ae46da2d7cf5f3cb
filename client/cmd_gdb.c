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
#include "client/process.h"

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

/* gdb itself would ask for another one. */
static int check_operand(const char *word, pid_t *pid, struct pa_diag *diag)
{
	struct pa_process process;
	int err;

	if (!*pid == !word)
		return pa_fail(diag, PA_E_USAGE, "one CORE or a PID is "
			       "needed");
	if (word && pa_is_number(word)) {
		err = pa_parse_pid(word, pid, diag);
		if (err)
			return err;
	}
	if (*pid && pa_process_look(*pid, &process))
		return pa_fail(diag, PA_E_NO_PROCESS, "no process %d",
			       (int)*pid);
	if (!*pid && access(word, R_OK))
		return pa_fail(diag, PA_E_READ, "%s cannot be read: %s", word,
			       strerror(errno));
	return 0;
}

int pa_cmd_gdb(struct pa_command *command)
{
	const struct pa_args *args = &command->args;
	const char *script = find_script();
	const char *word = args->n_words ? args->words[0] : NULL;
	pid_t pid = args->pid;
	char number[16];
	int err = check_operand(word, &pid, &command->diag);
	const char *const words[] = {
		"gdb", "-q", "-iex", QUIET, "-x", script,
		pid ? "-p" : "-core", pid ? number : word, NULL,
	};

	if (err)
		return err;
	snprintf(number, sizeof number, "%d", (int)pid);
	if (access(script, R_OK))
		return pa_fail(&command->diag, PA_E_READ, "%s cannot be read: "
			       "%s", script, strerror(errno));
	pa_command_step(command, "starting gdb with %s", script);
	execvp(words[0], (char *const *)words);
	pa_fail(&command->diag, PA_E_FAILED, "gdb cannot be started: %s",
		strerror(errno));
	snprintf(command->diag.hint, sizeof command->diag.hint,
		 "install gdb, or use pyattach-sample core, which needs none");
	return PA_E_FAILED;
}
