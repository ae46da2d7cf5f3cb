/* SPDX-License-Identifier: MIT
 *
 * fork() of the target: our thread is away meanwhile, the parent goes on as
 * before, the child is a process that is not attached.
 */
#ifndef PA_PAYLOAD_FORK_H
#define PA_PAYLOAD_FORK_H

/* Register the handlers, once in a process's life.  0 or -PA_E_. */
int pa_fork_init(void);

#endif /* PA_PAYLOAD_FORK_H */
