/* SPDX-License-Identifier: MIT
 *
 * All threads of a target stopped at once, for what cannot be written while
 * any of them runs.  The same rules as for one thread (threads.h): a tracer
 * thread of ours that ends with it, no EINTR, safe to die in at any instant.
 */
#ifndef PA_INJECTOR_WORLD_H
#define PA_INJECTOR_WORLD_H

#include <stdint.h>

#include "injector/memory.h"

/*
 * Stop all threads of /proc/PID = dir, call work() and let them go.  Gives
 * what work() gives, or -1 where they did not all stop within 0.1 s (2 s where
 * those that are left only wait for a CPU), or one could not be traced.
 * *stopped_ns is raised to how long that took.  The caller has blocked
 * SIGCHLD.
 */
int pa_world_stop(int dir, const struct pa_memory *memory,
		  int (*work)(void *context), void *context,
		  uint64_t *stopped_ns);

#endif /* PA_INJECTOR_WORLD_H */
