/* SPDX-License-Identifier: MIT
 *
 * One census of one source of the command line: open, read, name.
 */
#ifndef PA_CLIENT_CENSUS_TAKE_H
#define PA_CLIENT_CENSUS_TAKE_H

#include "census/census.h"
#include "client/census_input.h"
#include "client/census_view.h"
#include "client/command.h"

struct pa_census_taken {
	struct pa_census_input input;
	struct pa_census census;
	struct pa_holders holders;
	struct pa_census_answer answer;	/* not yet filtered */
	char title[256];
};

/* Of a process, or with pid 0 of a core file.  0 or PA_E_*; free in any
 * case.  Shows progress. */
int pa_census_take(struct pa_command *command, pid_t pid, const char *path,
		   struct pa_census_taken *taken);
void pa_census_taken_free(struct pa_census_taken *taken);

#endif /* PA_CLIENT_CENSUS_TAKE_H */
