/* SPDX-License-Identifier: MIT
 *
 * What a stopped thread's system call needs to go on as if nothing had been.
 *
 * The kernel ends a blocking call with one of its restart codes, or, for some
 * calls, with EINTR, when a stop interrupts it.  Where the thread is only let
 * go, the kernel handles its own codes; where the thread has run the stub, it
 * does so too once it was handed back the registers of the stop; where we are
 * not there to do that, the stub returns to registers that have the outcome.
 */
#ifndef PA_INJECTOR_RESTART_H
#define PA_INJECTOR_RESTART_H

#include <stdbool.h>

#include "injector/arch.h"
#include "injector/memory.h"

enum pa_restart {
	PA_RESTART_NONE = 0,	/* user code, or a call that had finished */
	PA_RESTART_REISSUE,	/* restart code: issue the call again */
	PA_RESTART_BLOCK,	/* restart_syscall: the kernel kept the time */
	PA_RESTART_EINTR,	/* our stop made it EINTR: issue it again */
	PA_RESTART_RECOMPUTED,	/* the same, but CPython makes it good */
};

/*
 * Decide.  status_dir: /proc/PID, to ask for pending signals, which are what
 * EINTR is for.  python: CPython itself is the caller.
 */
enum pa_restart pa_restart_decide(const struct pa_memory *memory, int dir,
				  pid_t tid, const struct pa_regs *regs,
				  bool python);

/* Write it into the registers that the stub will return to. */
void pa_restart_apply(enum pa_restart restart, struct pa_regs *regs);

/*
 * Write it into the registers with which the thread is let go: the kernel
 * then either issues the call again or ends it with EINTR for a handler.
 * False: they are good as they are.
 */
bool pa_restart_let_go(enum pa_restart restart, struct pa_regs *regs);

/* May a signal's handler have to end a call that is to be issued again? */
bool pa_restart_is_due(enum pa_restart restart);
/* Would any handler end it, also one with SA_RESTART? */
bool pa_restart_ends_always(enum pa_restart restart,
			    const struct pa_regs *regs);
/* Would one without SA_RESTART? */
bool pa_restart_ends(enum pa_restart restart, const struct pa_regs *regs);

#endif /* PA_INJECTOR_RESTART_H */
