/* SPDX-License-Identifier: MIT
 *
 * Why a traced thread has stopped (see report.h).  Nothing here takes a report
 * from the kernel.
 */
#include "injector/report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "injector/proc.h"

enum pa_report_kind pa_report(pid_t tid, int *signal)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)tid, &info, __WALL | WSTOPPED | WEXITED |
		   WNOHANG | WNOWAIT))
		return errno == EINTR ? PA_REPORT_NONE : PA_REPORT_GONE;
	if (!info.si_pid)
		return PA_REPORT_NONE;
	if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
		return PA_REPORT_GONE;
	*signal = info.si_status & 0xff;
	if (info.si_status >> 8 != PTRACE_EVENT_STOP)
		return PA_REPORT_SIGNAL;
	return *signal == SIGTRAP ? PA_REPORT_STOP : PA_REPORT_GROUP_STOP;
}

bool pa_report_is_due(int dir, pid_t tid)
{
	struct pa_proc_stat stat;
	char name[48];

	snprintf(name, sizeof name, "task/%d/stat", (int)tid);
	return !pa_proc_read_stat(dir, name, &stat) &&
	       (stat.state == 'R' || stat.state == 't');
}
