/* SPDX-License-Identifier: MIT
 *
 * Doing one thing from within a process's namespaces.
 *
 * A payload answers to its own user and to root, as its user namespace knows
 * them, and an abstract socket can only be reached from its network
 * namespace.  Entering changes the caller for ever, so a child does it, which
 * hands out a descriptor and ends.
 */
#ifndef PA_INJECTOR_ENTER_H
#define PA_INJECTOR_ENTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Would the process take us for nobody, or (net) not find our sockets? */
bool pa_enter_is_needed(pid_t pid, bool net);

/*
 * Fork a child, enter the user namespace of the process where it does not
 * know our user, take on the process's user, enter its network namespace
 * (net) where it is another one, and call() there.  It must return a
 * descriptor, which is handed on, or a negative errno, and must not use what
 * a fork leaves behind in threads.  Gives that, or the negative errno of what
 * failed; -ETIMEDOUT after deadline_ns (CLOCK_MONOTONIC).
 */
int pa_enter_call(pid_t pid, bool net, uint64_t deadline_ns,
		  int (*call)(void *context), void *context);

/* The user of the process as it knows itself; `uid`: as we see it. */
uid_t pa_enter_inner_uid(pid_t pid, uid_t uid);

#endif /* PA_INJECTOR_ENTER_H */
