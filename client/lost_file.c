/* SPDX-License-Identifier: MIT
 *
 * A mapped file that becomes shorter; see lost_file.h.  The message is made
 * beforehand: the handler may only write() and _exit().
 */
#include "client/lost_file.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/error.h"

#define MESSAGE "the file was cut short while it was read"
#define HINT "try again when it is complete"

static char text[256];
static size_t text_length;
static int exit_status;

static void say_and_end(int number)
{
	(void)number;
	if (write(STDERR_FILENO, text, text_length) < 0)
		_exit(exit_status);
	_exit(exit_status);
}

void pa_lost_file_watch(bool json)
{
	const struct pa_error_info *info = pa_error_info(PA_E_TRUNCATED);
	struct sigaction act = { .sa_handler = say_and_end };
	int n;

	if (json)
		n = snprintf(text, sizeof text, "{\"schema\":\"pyattach-sample"
			     "/error/1\",\"error\":\"%s\",\"status\":%d,"
			     "\"message\":\"" MESSAGE "\",\"hint\":\"" HINT
			     "\"}\n", info->word, info->status);
	else
		n = snprintf(text, sizeof text, "pyattach-sample: " MESSAGE
			     ": " HINT "\n");
	text_length = n > 0 ? (size_t)n : 0;
	exit_status = info->status;
	sigaction(SIGBUS, &act, NULL);
}
