/* SPDX-License-Identifier: MIT
 *
 * Fault points: places at which a test build ends itself by SIGKILL, to show
 * that the target carries on from each of them.  Without -DPA_FAULT they are
 * nothing at all.
 */
#ifndef PA_INJECTOR_FAULT_H
#define PA_INJECTOR_FAULT_H

enum pa_fault {
	PA_FAULT_SEIZED = 1,
	PA_FAULT_INTERRUPTED,
	PA_FAULT_STOPPED,
	PA_FAULT_UNSAFE,	/* about to let it go */
	PA_FAULT_SAFE,
	PA_FAULT_BLOCK,		/* block written */
	PA_FAULT_STUB,		/* stub written */
	PA_FAULT_COMMITTED,	/* registers set */
	PA_FAULT_DETACHED,
	PA_FAULT_WAITING,
	PA_FAULT_LAST = PA_FAULT_WAITING,
};

#ifdef PA_FAULT
/* Ends the process if the variable PA_FAULT names this point. */
void pa_fault_point(enum pa_fault point);
/* The only thread to be tried, from the variable PA_FAULT_THREAD; 0 = any. */
int pa_fault_thread(void);
#else
static inline int pa_fault_thread(void)
{
	return 0;
}

static inline void pa_fault_point(enum pa_fault point)
{
	(void)point;
}
#endif

#endif /* PA_INJECTOR_FAULT_H */
