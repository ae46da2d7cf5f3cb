/* SPDX-License-Identifier: MIT
 *
 * Would a seccomp filter forbid what stub, loader and payload will do?  The
 * filters of a stopped thread are read and evaluated for each of their calls.
 * Nothing here touches the target; the thread stays as it is.
 */
#ifndef PA_INJECTOR_SECCOMP_H
#define PA_INJECTOR_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum pa_seccomp {
	PA_SECCOMP_GOOD = 0,
	PA_SECCOMP_FORBIDS,	/* a call, whose name is given */
	PA_SECCOMP_UNREADABLE,	/* the kernel does not show the filters */
};

/*
 * What a filter answers to a call: a SECCOMP_RET_ value with its data.  A
 * program that the kernel would not have taken answers KILL_PROCESS.
 */
uint32_t pa_seccomp_run(const struct sock_filter *code, size_t n,
			const struct seccomp_data *data);

/* The calls that we need, in order; false behind the last.  `tolerated`: an
 * error that does no harm, -1 any, 0 none.  memfd: the payload comes by one. */
struct pa_seccomp_call {
	const char *name;
	struct seccomp_data data;
	int tolerated;
};
bool pa_seccomp_call(size_t i, bool memfd, struct pa_seccomp_call *out);

/* All filters of a thread that is stopped by this very thread of ours.
 * *name: the call, or NULL. */
enum pa_seccomp pa_seccomp_check(pid_t tid, bool memfd, const char **name);

/*
 * The filters of a thread of the target that is not to run the stub: our
 * hooks run in it, and it may start our thread anew after a fork.  Each
 * member is the first call that is forbidden, or NULL.
 */
struct pa_seccomp_others {
	const char *hooks;	/* would harm the thread */
	const char *fork_handlers;	/* the same where `forks` */
	const char *start;	/* of what our own thread does */
	const char *script;	/* of remote debugging's script, besides */
	bool forks;		/* it may call fork() */
	uint64_t hash;		/* of all filters */
};
#define PA_SECCOMP_OTHERS \
	((struct pa_seccomp_others){ .forks = true, .hash = 0xcbf29ce484222325u })

/* Add what one filter answers; all filters of a stopped thread. */
void pa_seccomp_judge_hooks(const struct sock_filter *code, size_t n,
			    struct pa_seccomp_others *out);
enum pa_seccomp pa_seccomp_check_hooks(pid_t tid, struct pa_seccomp_others *out);

#endif /* PA_INJECTOR_SECCOMP_H */
