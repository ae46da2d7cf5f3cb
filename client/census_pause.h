/* SPDX-License-Identifier: MIT
 *
 * All threads of a process stopped for a moment, whatever becomes of us.
 *
 * A child of ours holds them through ptrace.  The kernel ends that child
 * when the limit is over or when we die, however; threads that nobody traces
 * any more go on, and lose no signal.  So nothing has to be put back.
 */
#ifndef PA_CLIENT_CENSUS_PAUSE_H
#define PA_CLIENT_CENSUS_PAUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "injector/injector.h"

struct pa_pause_page;

struct pa_pause {
	pid_t pid, holder;
	int release;		/* closed: let go */
	uint64_t limit_ns;
	struct pa_pause_page *page;	/* shared with the holder */
};

/*
 * Stop them all.  0: they are stopped, for limit_ns at most from the first one
 * on.  Else nothing is stopped: PA_E_TRACED, PA_E_NOT_PERMITTED,
 * PA_E_UNINTERRUPTIBLE, PA_E_EXITED, PA_E_FAILED.
 */
int pa_pause_begin(struct pa_pause *pause, pid_t pid, uint64_t limit_ns,
		   struct pa_diag *diag);

/* Has the limit passed?  (Then they run already.) */
bool pa_pause_is_over(const struct pa_pause *pause);

/* Let go.  *stopped_ns: how long a thread was stopped at most.  PA_E_TIMEOUT
 * if the limit came first. */
int pa_pause_end(struct pa_pause *pause, uint64_t *stopped_ns,
		 struct pa_diag *diag);

#endif /* PA_CLIENT_CENSUS_PAUSE_H */
