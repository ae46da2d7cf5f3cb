/* SPDX-License-Identifier: MIT
 *
 * Fault points of a test build (see fault.h); empty in any other.
 */
#include "injector/fault.h"

#ifdef PA_FAULT
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

void pa_fault_point(enum pa_fault point)
{
	const char *wanted = getenv("PA_FAULT");

	if (wanted && atoi(wanted) == (int)point)
		kill(getpid(), SIGKILL);
}

int pa_fault_thread(void)
{
	const char *wanted = getenv("PA_FAULT_THREAD");

	return wanted ? atoi(wanted) : 0;
}
#else
/* ISO C wants something in a file */
extern int pa_fault_is_off;
int pa_fault_is_off = 1;
#endif
