/* SPDX-License-Identifier: MIT
 *
 * The gate between a fork and what it must not copy half made: the state that
 * our thread has in the interpreter while it holds the GIL, and descriptors
 * that the child would not know of (entry.c).
 *
 * PyGILState_Ensure makes one without the GIL, under the lock of the list of
 * thread states.  Up to 3.12 a fork takes no note of that lock: up to 3.11
 * its child waits for it for ever, in 3.12 it finds the list as it was.  So
 * ours is made before PyGILState_Ensure, and a fork waits meanwhile, some
 * microseconds; longer only where the making itself waits for the GIL, as
 * tracemalloc's hooks do: there the fork lends it.
 */
#include "payload/python.h"

#include "common/error.h"
#include "payload/python_calls.h"
#include "payload/python_layout.h"
#include "payload/python_state.h"
#include "payload/sys.h"

#define LOOK_NS 1000000l
#define FORK_WAIT_MAX 1000000000ull	/* ns: a fork waits no longer */

/* Each side announces itself, then looks at the other's: one of two that meet
 * sees the other at least. */
static int making;	/* 1: our thread makes or frees something; a futex */
static int forking;	/* threads between the handlers of a fork; a futex */

static bool made;	/* own thread only */
static int ensured;

static uint64_t now(void)
{
	return pa_clock_ns(CLOCK_MONOTONIC);
}

/* ---- our thread ---- */

static void set_making(int value)
{
	__atomic_store_n(&making, value, __ATOMIC_SEQ_CST);
	if (!value)
		pa_futex_wake(&making);
}

bool pa_python_fork_shut(uint64_t deadline_ns)
{
	int forks;

	for (;;) {
		set_making(1);
		forks = __atomic_load_n(&forking, __ATOMIC_SEQ_CST);
		if (!forks)
			return true;
		set_making(0);
		if (now() >= deadline_ns)
			return false;
		pa_futex_wait(&forking, forks, LOOK_NS);
	}
}

void pa_python_fork_open(void)
{
	set_making(0);
}

int pa_own_state_make(uint64_t deadline_ns)
{
	made = false;
	if (!pa_layout.fork_locks_threads) {
		if (!pa_python_fork_shut(deadline_ns))
			return PA_E_GIL_TIMEOUT;
		made = pa_python_calls.thread_new(
			pa_python_calls.interpreter_main()) != NULL;
		pa_python_fork_open();
		if (!made)
			return PA_E_NO_MEMORY_LEFT;
	}
	ensured = pa_python_calls.gil_ensure();
	return 0;
}

void pa_own_state_end(void)
{
	/* what was made by itself counts as one use more: the first call keeps
	 * the GIL; the last one frees the state without it, under a lock where
	 * tracemalloc traces */
	if (made) {
		set_making(1);
		pa_python_calls.gil_release(0);
	}
	pa_python_calls.gil_release(ensured);
	if (made)
		set_making(0);
}

/* ---- the thread that forks ---- */

void pa_python_fork_begins(void)
{
	uint64_t end = now() + FORK_WAIT_MAX;
	void *lent = NULL;

	__atomic_fetch_add(&forking, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&making, __ATOMIC_SEQ_CST) && now() < end) {
		pa_futex_wait(&making, 1, LOOK_NS);
		if (!lent && __atomic_load_n(&making, __ATOMIC_SEQ_CST))
			lent = pa_python_gil_lend();
	}
	pa_python_gil_return(lent);
}

void pa_python_fork_ended(void)
{
	__atomic_fetch_sub(&forking, 1, __ATOMIC_SEQ_CST);
	pa_futex_wake(&forking);
}

void pa_python_forks_left(int forks)
{
	forking = forks;
}

void pa_own_state_in_child(void)
{
	making = 0;
	forking = 0;
}
