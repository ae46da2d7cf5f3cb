/* SPDX-License-Identifier: MIT
 *
 * Taking the GIL with a bound, and out of the way of a fork.
 *
 * PyGILState_Ensure can be neither bounded nor cancelled.  So it is entered
 * only when the GIL is free or its holder is seen to run bytecode; a C call
 * that holds the GIL moves nothing, and is waited out from here.
 *
 * And while it waits there a fork by the holder counts our thread, of which
 * Python 3.12+ warns where it is the only other one.  So in a process of one
 * thread that runs bytecode it is not entered either: a pending call is
 * queued, by which that thread steps aside itself, at a place where it does
 * not fork.  What remains is a thread that slept, woke up at the very moment
 * when we entered, and forks before its eval loop looks up, and one that runs
 * without a pause in 3.12, where a call queued by another thread may stay
 * unseen: there the fork handler lends us the GIL (pa_python_gil_lend).
 */
#include "payload/python.h"

#include <pthread.h>

#include "common/error.h"
#include "payload/process.h"
#include "payload/python_calls.h"
#include "payload/python_layout.h"
#include "payload/python_state.h"
#include "payload/sys.h"

#define PAUSE_MIN 1000000l	/* ns between two looks */
#define PAUSE_MAX 10000000l
#define PATIENCE 5000000ull	/* ns: it moves, but runs no pending call */
#define ASIDE_MAX 100000000ull	/* ns: so long it stands aside */

static int entering;	/* our thread is about to wait for the GIL, or does */

/* The invitation to step aside; a futex. */
enum { NONE, WISHED, GRANTED };
static int invitation;
static int queued;	/* step_aside is in the interpreter's queue */

static uint64_t now(void)
{
	return pa_clock_ns(CLOCK_MONOTONIC);
}

/* ---- the thread that runs bytecode ---- */

/* A pending call; it may come late, when nobody wishes it any more. */
static int step_aside(void *unused)
{
	int wished = WISHED;
	uint64_t end = now() + ASIDE_MAX;
	void *state;

	(void)unused;
	__atomic_store_n(&queued, 0, __ATOMIC_RELEASE);
	if (!__atomic_compare_exchange_n(&invitation, &wished, GRANTED, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return 0;
	state = pa_python_calls.thread_save();
	pa_futex_wake(&invitation);
	while (__atomic_load_n(&invitation, __ATOMIC_ACQUIRE) == GRANTED
	       && now() < end)
		pa_futex_wait(&invitation, GRANTED, PAUSE_MAX);
	pa_python_calls.thread_restore(state);
	return 0;
}

/* ---- our thread ---- */

static void invite(void)
{
	int none = NONE;

	__atomic_compare_exchange_n(&invitation, &none, WISHED, false,
				    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&queued, 1, __ATOMIC_ACQ_REL))
		return;
	if (pa_python_api.add_pending_call(step_aside, NULL) != 0)
		__atomic_store_n(&queued, 0, __ATOMIC_RELEASE);
}

static bool granted(void)
{
	return __atomic_load_n(&invitation, __ATOMIC_ACQUIRE) == GRANTED;
}

static void take_back_invitation(void)
{
	__atomic_store_n(&invitation, NONE, __ATOMIC_RELEASE);
	pa_futex_wake(&invitation);
}

static bool cancelled(const int *cancel)
{
	return cancel && __atomic_load_n(cancel, __ATOMIC_SEQ_CST);
}

/* Is the time over, in one way or another? */
static int over(uint64_t deadline_ns, const int *cancel)
{
	if (!pa_python_api.is_initialized() || pa_python_api.is_finalizing())
		return PA_E_FINALISING;
	return now() >= deadline_ns || cancelled(cancel) ? PA_E_GIL_TIMEOUT
		: 0;
}

/* Ours beside one other, and a fork would count it? */
static bool only_other(void)
{
	bool shut, alone;

	if (!pa_layout.fork_counts_threads)
		return false;
	shut = pa_python_fork_shut(now() + PAUSE_MAX);
	alone = pa_process_alone();
	if (shut)
		pa_python_fork_open();
	return alone;
}

/* Wait until the GIL may be had at once, or nearly. */
static int watch(uint64_t deadline_ns, const int *cancel)
{
	const char *gil = pa_gil_find();
	struct pa_gil_look before = pa_gil_look_at(gil);
	uint64_t moved_at = 0;
	long pause = PAUSE_MIN;
	bool alone;
	int error;

	while (before.locked == 1) {
		error = over(deadline_ns, cancel);
		if (error)
			return error;
		alone = only_other();
		if (alone)
			invite();
		pa_futex_wait(&invitation, alone ? WISHED : NONE, pause);
		if (granted())
			return 0;
		if (pause < PAUSE_MAX)
			pause += pause / 2;
		if (!pa_gil_moves(gil, &before))
			continue;
		if (!moved_at)
			moved_at = now();
		if (!alone || now() - moved_at > PATIENCE)
			return 0;
	}
	return 0;
}

static int enter(uint64_t deadline_ns, const int *cancel)
{
	int error = over(deadline_ns, cancel);

	if (error)
		return error;
	error = pa_own_state_make(deadline_ns);
	if (error)
		return error;
	take_back_invitation();
	if (cancelled(cancel) && pa_layout.fork_locks_threads) {
		/* lent amid a fork, our thread state cannot be freed: it
		 * stays with the interpreter, empty */
		pa_python_calls.thread_save();
		return PA_E_GIL_TIMEOUT;
	}
	error = over(deadline_ns, cancel);
	if (error)
		pa_python_gil_release();
	return error;
}

int pa_python_gil_take(uint64_t deadline_ns, const int *cancel)
{
	int error = watch(deadline_ns, cancel);

	if (!error) {
		__atomic_store_n(&entering, 1, __ATOMIC_SEQ_CST);
		error = enter(deadline_ns, cancel);
		__atomic_store_n(&entering, 0, __ATOMIC_SEQ_CST);
	}
	take_back_invitation();
	return error;
}

void pa_python_gil_release(void)
{
	pa_own_state_end();
}

/* ---- the thread that forks ---- */

bool pa_python_has_gil(void)
{
	const char *current = pa_python_calls.thread_unchecked
		? pa_python_calls.thread_unchecked() : NULL;
	uint64_t owner;

	return current && pa_safe_read(current + pa_layout.thread_id, &owner,
				       sizeof(owner))
		&& owner == (uint64_t)pthread_self();
}

bool pa_python_fork_counts_threads(void)
{
	return !pa_layout.version || pa_layout.fork_counts_threads;
}

/* 3.13+ hold the lock of the list of threads over a fork: a third thread could
 * take the GIL, and wait for that lock with it. */
static bool may_lend(void)
{
	return !pa_layout.fork_locks_threads || pa_process_threads() == 2;
}

void *pa_python_gil_lend(void)
{
	return __atomic_load_n(&entering, __ATOMIC_SEQ_CST)
		&& pa_python_has_gil() && may_lend()
		? pa_python_calls.thread_save() : NULL;
}

void pa_python_gil_return(void *lent)
{
	if (lent)
		pa_python_calls.thread_restore(lent);
}

void pa_python_gil_in_child(void)
{
	entering = 0;
	invitation = NONE;
	queued = 0;
	pa_own_state_in_child();
}
