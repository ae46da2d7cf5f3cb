/* SPDX-License-Identifier: MIT
 *
 * Restart of interrupted system calls (see restart.h).  The codes are those of
 * the kernel's include/linux/errno.h; user space never sees them.
 */
#include "injector/restart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "injector/proc.h"

#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

/* Signals that do nothing.  To a process with a traced thread the kernel keeps
 * them nevertheless: the end of a child must not look like a reason. */
static uint64_t without_effect(const struct pa_proc_status *status)
{
	static const int by_default[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH };
	uint64_t set = 0;

	for (size_t i = 0; i < sizeof by_default / sizeof *by_default; i++)
		set |= 1ull << (by_default[i] - 1);
	return status->signals_ignored | (set & ~status->signals_caught);
}

/* Is there a signal that the thread is about to take?  Then EINTR is right. */
static bool signal_is_pending(int dir, pid_t tid)
{
	struct pa_proc_status status;
	char name[48];

	snprintf(name, sizeof name, "task/%d/status", (int)tid);
	if (pa_proc_read_status(dir, name, &status))
		return false;
	return (status.signals_pending | status.signals_shared) &
	       ~status.signals_blocked & ~without_effect(&status);
}

static bool is_infinite(const struct pa_call *call, const struct pa_regs *regs)
{
	return call->timeout >= 0 &&
	       (int)pa_arch_call_argument(regs, call->timeout) < 0;
}

static enum pa_restart decide_eintr(int dir, pid_t tid,
				    const struct pa_regs *regs, bool python)
{
	struct pa_call call = pa_arch_call(pa_arch_call_number(regs));

	if (call.kind != PA_CALL_NEVER && call.kind != PA_CALL_STREAM)
		return PA_RESTART_NONE;
	if (signal_is_pending(dir, tid))
		return PA_RESTART_NONE;
	if (python && call.recomputed && !is_infinite(&call, regs))
		return PA_RESTART_RECOMPUTED;
	return PA_RESTART_EINTR;
}

enum pa_restart pa_restart_decide(const struct pa_memory *memory, int dir,
				  pid_t tid, const struct pa_regs *regs,
				  bool python)
{
	uint8_t bytes[PA_ARCH_CALL_BYTES];

	if (pa_arch_call_number(regs) < 0)
		return PA_RESTART_NONE;
	if (pa_memory_read(memory, pa_arch_pc(regs) - sizeof bytes, bytes,
			   sizeof bytes) || !pa_arch_is_call(bytes))
		return PA_RESTART_NONE;
	switch (-pa_arch_call_result(regs)) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		return PA_RESTART_REISSUE;
	case ERESTART_RESTARTBLOCK:
		return PA_RESTART_BLOCK;
	case EINTR:
		return decide_eintr(dir, tid, regs, python);
	default:
		return PA_RESTART_NONE;
	}
}

void pa_restart_apply(enum pa_restart restart, struct pa_regs *regs)
{
	if (restart == PA_RESTART_REISSUE || restart == PA_RESTART_EINTR)
		pa_arch_reissue(regs);
	else if (restart == PA_RESTART_BLOCK)
		pa_arch_restart_block(regs);
	else
		pa_arch_no_restart(regs);
}

bool pa_restart_let_go(enum pa_restart restart, struct pa_regs *regs)
{
	if (restart != PA_RESTART_EINTR)
		return false;
	pa_arch_interrupted(regs);
	return true;
}

bool pa_restart_is_due(enum pa_restart restart)
{
	return restart == PA_RESTART_REISSUE || restart == PA_RESTART_BLOCK ||
	       restart == PA_RESTART_EINTR;
}

bool pa_restart_ends_always(enum pa_restart restart,
			    const struct pa_regs *regs)
{
	return restart == PA_RESTART_BLOCK || restart == PA_RESTART_EINTR ||
	       pa_arch_call_result(regs) == -ERESTARTNOHAND;
}

bool pa_restart_ends(enum pa_restart restart, const struct pa_regs *regs)
{
	return pa_restart_ends_always(restart, regs) ||
	       (restart == PA_RESTART_REISSUE &&
		pa_arch_call_result(regs) == -ERESTARTSYS);
}
