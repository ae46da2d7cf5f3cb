/* SPDX-License-Identifier: MIT
 *
 * See life.h.  pthread_create may allocate by malloc: it is called by
 * pa_start, by a pending call or the handler after a fork, and at the end of
 * a slow path, never with our lock held.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "common/error.h"
#include "payload/entry.h"
#include "payload/life.h"
#include "payload/process.h"
#include "payload/python.h"
#include "payload/server.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

#define STACK_SIZE (256u << 10)
#define LEAVE_MAX_NS 1000000000ull	/* a fork waits no longer */
#define DEAF_MAX_NS 200000000ull	/* nor so long where it cannot be woken */
#define RELEASE_MAX_NS 1000000000ull
#define STACK_WAIT_NS 50000000ull
#define LATE_NS 50000000ull	/* a pending call has had its chance */

int pa_life_stage;
int pa_life_leave;
int pa_life_thread;
static uint8_t few_makers;	/* the mark of who may make it; 0: all may */
static uint64_t away_since;	/* or since the fork was over */
static uint32_t last_tid;	/* of the thread that left last, and when */
static uint64_t left_at;

void pa_life_makers(bool few)
{
	static uint8_t turn;

	turn += turn < UINT8_MAX ? 1 : 2;	/* never 0 */
	pa_tls.maker = turn;
	few_makers = few ? turn : 0;
}

bool pa_life_claim(void)
{
	int idle = PA_STAGE_IDLE;

	return __atomic_compare_exchange_n(&pa_life_stage, &idle,
					   PA_STAGE_STARTING, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Not the synchronous ones; sigfillset leaves out 32 and 33, by which the C
 * library reaches every thread (setuid would hang for ever). */
static void signals_to_block(sigset_t *set)
{
	static const int synchronous[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,
	};

	sigfillset(set);
	for (unsigned i = 0; i < sizeof synchronous / sizeof(int); i++)
		sigdelset(set, synchronous[i]);
}

/*
 * Wait until the kernel has released the tid of the thread that left last: a
 * fork counts it until then, and the C library uses its stack and its malloc
 * arena again only
 * then.  Bounded from the moment it left, as the number may be used anew.
 */
static void wait_released(uint64_t limit_ns)
{
	uint32_t tid = __atomic_load_n(&last_tid, __ATOMIC_ACQUIRE);

	while (tid && pa_clock_ns(CLOCK_MONOTONIC) < left_at + limit_ns
	       && pa_tid_alive(pa_getpid(), tid))
		/* not sched_yield: on its CPU the exit would have to wait */
		pa_sleep_ns(10000);
}

int pa_life_spawn(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t blocked, old;
	int before, error;

	wait_released(STACK_WAIT_NS);
	before = __atomic_exchange_n(&pa_life_thread, PA_THREAD_PRESENT,
				     __ATOMIC_ACQ_REL);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	signals_to_block(&blocked);
	pthread_sigmask(SIG_BLOCK, &blocked, &old);
	error = pthread_create(&thread, &attributes, pa_entry_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (!error)
		return 0;
	away_since = pa_clock_ns(CLOCK_MONOTONIC);
	__atomic_store_n(&pa_life_thread, before, __ATOMIC_RELEASE);
	return PA_E_NO_THREAD_LEFT;
}

/* Of our own thread, or of pa_start where none could be started. */
static void thread_is(enum pa_thread_state state)
{
	left_at = pa_clock_ns(CLOCK_MONOTONIC);
	__atomic_store_n(&last_tid, pa_tls.ours ? pa_gettid() : 0,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&pa_store_directory()->server_tid, 0,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&pa_life_thread, (int)state, __ATOMIC_RELEASE);
	pa_futex_wake(&pa_life_thread);
}

void pa_life_left(void)
{
	away_since = pa_clock_ns(CLOCK_MONOTONIC);
	thread_is(PA_THREAD_AWAY);
}

void pa_life_ended(void)
{
	thread_is(PA_THREAD_NONE);
	/* last: from here on another one may start, and say that it is there */
	__atomic_store_n(&pa_life_stage, PA_STAGE_IDLE, __ATOMIC_RELEASE);
}

/* ---- around a fork ---- */

static bool present(void)
{
	return __atomic_load_n(&pa_life_thread, __ATOMIC_ACQUIRE)
		== PA_THREAD_PRESENT;
}

static bool starts(void)
{
	return __atomic_load_n(&pa_life_stage, __ATOMIC_ACQUIRE)
		== PA_STAGE_STARTING;
}

/*
 * While it starts, no hook can bring it back, and a pending call is run by
 * the main thread alone, which may sleep for hours.  Where threads are not
 * counted, or there is more than one anyway, nobody minds it.
 */
static bool may_stay(void)
{
	return starts() && !(pa_python_fork_counts_threads()
			     && pa_process_alone());
}

/* Tell it to leave; false where it cannot be woken.  One that starts looks by
 * itself, as soon as it has a processor. */
static bool ask_to_leave(void)
{
	__atomic_store_n(&pa_life_leave, 1, __ATOMIC_SEQ_CST);
	return pa_server_wake() || starts();
}

static void see_it_gone(uint64_t end)
{
	void *lent = NULL;

	while (present() && pa_clock_ns(CLOCK_MONOTONIC) < end) {
		/* another thread's fork, just over, may have called it back */
		if (!__atomic_load_n(&pa_life_leave, __ATOMIC_SEQ_CST))
			ask_to_leave();
		if (!lent)
			lent = pa_python_gil_lend();
		pa_futex_wait(&pa_life_thread, PA_THREAD_PRESENT, 1000000);
	}
	pa_python_gil_return(lent);
}

void pa_life_send_away(void)
{
	uint64_t limit;

	if (present()) {
		if (may_stay())
			return;
		limit = ask_to_leave() ? LEAVE_MAX_NS : DEAF_MAX_NS;
		see_it_gone(pa_clock_ns(CLOCK_MONOTONIC) + limit);
	}
	wait_released(RELEASE_MAX_NS);
}

static int come_back(void *unused)
{
	int away = PA_THREAD_AWAY, error = 0;

	(void)unused;
	if (few_makers && pa_tls.maker != few_makers)
		return 0;	/* another one's slow path will do it */
	if (__atomic_compare_exchange_n(&pa_life_thread, &away,
					PA_THREAD_PRESENT, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		error = pa_life_spawn();
	if (error && starts()) {
		/* without hooks nobody would try once more */
		pa_entry_start_failed(error);
	} else if (error) {
		away_since = pa_clock_ns(CLOCK_MONOTONIC);
		__atomic_store_n(&pa_life_thread, PA_THREAD_AWAY,
				 __ATOMIC_RELEASE);
	}
	return 0;
}

/* The pending call after a fork: again later, while that is not over. */
static int come_back_after_fork(void *unused)
{
	uint64_t now = pa_clock_ns(CLOCK_MONOTONIC);

	if (pa_python_amid_fork() && now < away_since + LATE_NS
	    && pa_python_api.add_pending_call(come_back_after_fork,
					      unused) == 0)
		return 0;
	return come_back(unused);
}

/* A fork of the interpreter's own is followed by bytecode; one in C that let
 * the GIL go is counted by nobody, and may be followed by none for hours. */
static bool queue_come_back(void)
{
	if (!pa_python_api.add_pending_call || !pa_python_has_gil())
		return false;
	pa_python_note_fork();
	away_since = pa_clock_ns(CLOCK_MONOTONIC);
	return pa_python_api.add_pending_call(come_back_after_fork, NULL) == 0;
}

void pa_life_call_back(void)
{
	__atomic_store_n(&pa_life_leave, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&pa_life_thread, __ATOMIC_ACQUIRE)
	    != PA_THREAD_AWAY)
		return;
	/* The threads are counted after this.  Where they are not, or there
	 * are more anyway, or /proc is not to be read, by which they would be,
	 * the queue is left alone: at the end of the process 3.8 complains of
	 * it, and the main thread, which alone runs it, may sleep for hours. */
	if (!pa_python_fork_counts_threads() || pa_process_threads() != 1
	    || !queue_come_back())
		come_back(NULL);
}

void pa_life_bring_back(void)
{
	if (pa_clock_ns(CLOCK_MONOTONIC) - away_since < LATE_NS)
		return;
	pa_tls.busy = 1;
	come_back(NULL);
	pa_tls.busy = 0;
}

void pa_life_reset(void)
{
	pa_life_stage = PA_STAGE_IDLE;
	pa_life_thread = PA_THREAD_NONE;
	pa_life_leave = 0;
	last_tid = 0;
	pa_python_gil_in_child();
	pa_python_forks_left(pa_tls.forks);
}
