/* SPDX-License-Identifier: MIT
 *
 * The threads of a target: in which order to try them, and one attempt on
 * one thread: stop it, look, commit or let it go.
 *
 * An attempt runs in a tracer thread of ours that ends with it: whatever may
 * happen, the kernel lets go all that this thread still traced.  Only SEIZE,
 * INTERRUPT, GETREGS, CONT, SETREGS, DETACH and, between a SETREGS that makes
 * up for it and DETACH, the signal mask are used.
 */
#ifndef PA_INJECTOR_THREADS_H
#define PA_INJECTOR_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "injector/arch.h"
#include "injector/memory.h"
#include "injector/safepoint.h"
#include "injector/seccomp.h"

#define PA_CANDIDATES_MAX 512

#define PA_RANK_EXACT 1u	/* so far nothing shows after a stop */

struct pa_candidate {
	pid_t tid;
	unsigned rank;		/* lower is better */
	uint32_t order;		/* random among equals */
};

/*
 * List the threads of /proc/PID = dir, best first; a process with more than
 * `max` is listed in part.  Returns how many; 0 if the process is gone.
 */
size_t pa_threads_list(int dir, struct pa_candidate *list, size_t max);

enum pa_attempt_outcome {
	PA_ATTEMPT_COMMITTED = 0,	/* the thread runs the stub */
	PA_ATTEMPT_UNSAFE,		/* no safe point; it was let go */
	PA_ATTEMPT_GONE,		/* the thread has ended */
	PA_ATTEMPT_NO_STOP,		/* it did not stop in time */
	PA_ATTEMPT_STOPPED,		/* job control has stopped it */
	PA_ATTEMPT_DENIED,		/* ptrace refused: see error */
	PA_ATTEMPT_FORBIDDEN,		/* a seccomp filter: see what */
	PA_ATTEMPT_JUDGED,		/* only_filters: see filters, others */
	PA_ATTEMPT_FAILED,		/* something else: see error, what */
};

struct pa_attempt {
	/* given */
	pid_t tid;
	int dir;			/* /proc/PID */
	struct pa_memory *memory;
	struct pa_safepoint *safe;
	uint64_t cave;			/* where the stub goes */
	const struct pa_block *block;	/* without resume_* */
	bool judge_filters;		/* those of seccomp */
	bool only_filters;		/* look at them, and let go */
	/* found */
	enum pa_attempt_outcome outcome;
	const char *reason;		/* for UNSAFE and NO_STOP */
	int error;			/* errno */
	const char *what;		/* the step that failed */
	bool stopped;			/* the thread was stopped */
	uint64_t stopped_ns;		/* upper bound of how long */
	int status;			/* its status file, -1: not open */
	bool filtered;			/* a seccomp filter is over it, perhaps */
	/* if judged */
	enum pa_seccomp filters;
	struct pa_seccomp_others others;
	/* if committed: what pa_threads_resume() hands back */
	bool waits;			/* the stub will wait for it */
	struct pa_regs regs;
	uint64_t at;			/* address of the block */
};

/* Make one attempt; bounded by 0.1 s, or 2 s where the thread has to wait for
 * a CPU.  The caller has blocked signals. */
void pa_threads_attempt(struct pa_attempt *attempt);

/*
 * The stub of a committed attempt has ended, or is about to: where the thread
 * was in a system call, stop it once more, in the stub, and let the kernel go
 * on with that call as if nothing had been.  Bounded by 0.2 s; whatever fails
 * here, the stub waits no longer than for 60 ms, and does without.
 */
void pa_threads_resume(struct pa_attempt *attempt);

#endif /* PA_INJECTOR_THREADS_H */
