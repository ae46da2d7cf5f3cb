/* SPDX-License-Identifier: MIT
 *
 * Precedence for a thread of ours (see hurry.h).
 */
#include "injector/hurry.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS 100000ull	/* the shortest that the kernel takes */

/* Of the kernel; the C library had no name for it before 2.41. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* Who asks for short slices is given them soon (Linux 6.12); that takes no
 * privilege.  Older kernels keep their own idea of a slice. */
static void ask_for_short_slices(void)
{
	struct attributes a = {
		.size = sizeof a,
		.policy = SCHED_OTHER,
		.nice = getpriority(PRIO_PROCESS, 0),
		.runtime = SLICE_NS,
	};

	syscall(SYS_sched_setattr, 0, &a, 0, 0, 0);
}

void pa_hurry_begin(struct pa_hurry *before)
{
	const struct sched_param first = { .sched_priority = 1 };
	struct sched_param now = { 0 };

	before->policy = sched_getscheduler(0);
	if (before->policy < 0 || sched_getparam(0, &now))
		before->policy = -1;
	before->priority = now.sched_priority;
	/* who has a priority of its own keeps it */
	if (before->policy != SCHED_OTHER)
		before->policy = -1;
	else if (sched_setscheduler(0, SCHED_FIFO, &first))
		ask_for_short_slices();
}

void pa_hurry_end(const struct pa_hurry *before)
{
	const struct sched_param was = { .sched_priority = before->priority };

	if (before->policy >= 0)
		sched_setscheduler(0, before->policy, &was);
}
