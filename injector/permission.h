/* SPDX-License-Identifier: MIT
 *
 * May we trace a process, and if not: why?  Each reason has its sentence.
 */
#ifndef PA_INJECTOR_PERMISSION_H
#define PA_INJECTOR_PERMISSION_H

#include "injector/injector.h"
#include "injector/proc.h"

/* Ask the kernel, without touching the process.  A descriptor of /proc/PID/mem
 * (the caller's to close), or PA_E_NOT_PERMITTED or PA_E_EXITED. */
int pa_permission_check(int dir, pid_t pid, const struct pa_proc_status *status,
			struct pa_diag *diag);

/* What is known of us and of a process that we may not trace. */
struct pa_permission_facts {
	pid_t pid;
	uid_t our_uid;
	uint64_t our_capabilities;
	uid_t uid[4];
	gid_t our_gid, gid[4];
	int yama;		/* /proc/sys/kernel/yama/ptrace_scope, -1: none */
	bool may_read;		/* its maps can be read */
	bool not_dumpable;
	bool same_user_namespace;
	bool contained;		/* we are in a user namespace ourselves */
};

/* The sentence for these facts, into diag; returns PA_E_NOT_PERMITTED.  Pure:
 * tests call it with recorded facts. */
int pa_permission_explain(const struct pa_permission_facts *facts,
			  struct pa_diag *diag);

#endif /* PA_INJECTOR_PERMISSION_H */
