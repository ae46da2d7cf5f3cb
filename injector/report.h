/* SPDX-License-Identifier: MIT
 *
 * Why a traced thread has stopped.
 */
#ifndef PA_INJECTOR_REPORT_H
#define PA_INJECTOR_REPORT_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * What the kernel tells of a thread that the caller traces.  The report is
 * left where it is: the kernel would forget the signal of a thread whose
 * tracer takes the report and then dies.
 */
enum pa_report_kind {
	PA_REPORT_NONE = 0,	/* it runs */
	PA_REPORT_STOP,		/* the stop that was asked for */
	PA_REPORT_GROUP_STOP,	/* job control has stopped it */
	PA_REPORT_SIGNAL,	/* *signal is to be passed on to it */
	PA_REPORT_GONE,		/* it has ended, or is not traced by us */
};
enum pa_report_kind pa_report(pid_t tid, int *signal);

/*
 * Has a thread of /proc/PID = dir that was asked to stop left its call, and
 * only waits for a CPU, or has just stopped?  To give up then would let the
 * call end with EINTR; wait no longer than PA_REPORT_STARVED_NS, though.
 */
#define PA_REPORT_STARVED_NS 2000000000ull
bool pa_report_is_due(int dir, pid_t tid);

#endif /* PA_INJECTOR_REPORT_H */
