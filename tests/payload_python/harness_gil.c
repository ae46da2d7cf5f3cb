/* SPDX-License-Identifier: MIT
 *
 * The part of the harness that takes the GIL in a thread of its own, as the
 * payload does: one taking at a time, or one after the other amid forks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "payload/process.h"
#include "payload/python.h"
#include "payload/sys.h"

/* called by ctypes only: no header */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define API __attribute__((visibility("default")))

static uint64_t now(void)
{
	return pa_clock_ns(CLOCK_MONOTONIC);
}

/* ---- the GIL, from a thread of our own ---- */

struct taking {
	unsigned delay_ms, timeout_ms;
	int cancel, result, done;
	uint64_t waited_ns, tested_ns;
	int self_test;
	char text[128];
};

static struct taking taking;
static pthread_t taker;

static void pause_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static void *take_gil(void *unused)
{
	uint64_t start;

	(void)unused;
	pause_ms(taking.delay_ms);
	start = now();
	taking.result = pa_python_gil_take(
		start + taking.timeout_ms * 1000000ull, &taking.cancel);
	taking.waited_ns = now() - start;
	if (taking.result == 0) {
		taking.self_test = pa_python_self_test(taking.text,
						       sizeof(taking.text));
		taking.tested_ns = now() - start - taking.waited_ns;
		pa_python_gil_release();
	}
	__atomic_store_n(&taking.done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Start a thread that after delay_ms takes the GIL within timeout_ms and runs
 * the self-test with it. */
API int pt_gil_start(unsigned timeout_ms, unsigned delay_ms)
{
	memset(&taking, 0, sizeof(taking));
	taking.timeout_ms = timeout_ms;
	taking.delay_ms = delay_ms;
	return pthread_create(&taker, NULL, take_gil, NULL);
}

API int pt_gil_done(void)
{
	return __atomic_load_n(&taking.done, __ATOMIC_ACQUIRE);
}

/* For ctypes.CDLL: wait for that, without the GIL. */
API int pt_gil_await(unsigned ms)
{
	uint64_t end = now() + ms * 1000000ull;

	while (!pt_gil_done() && now() < end)
		pause_ms(1);
	return pt_gil_done();
}

/* After pt_gil_done: 0 or an error; joins the thread. */
API int pt_gil_result(uint64_t *waited_ns, int *self_test, char *text)
{
	pthread_join(taker, NULL);
	*waited_ns = taking.waited_ns;
	*self_test = taking.self_test;
	memcpy(text, taking.text, sizeof(taking.text));
	return taking.result;
}

/* How long the self-test took. */
API uint64_t pt_tested_ns(void)
{
	return taking.tested_ns;
}

/* C calls that hold the GIL, for ctypes.PyDLL. */
API void pt_sleep(unsigned ms)
{
	pause_ms(ms);
}

API void pt_spin(unsigned ms)
{
	uint64_t end = now() + ms * 1000000ull;

	while (now() < end)
		;
}

/* ---- the GIL, lent as the handler of a fork does ---- */

static struct {
	pthread_t thread;
	int end;
} bystander;

static void *stand_by(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&bystander.end, __ATOMIC_ACQUIRE))
		pause_ms(1);
	return NULL;
}

/* A third thread, which pt_lend ends. */
API int pt_bystander_start(void)
{
	bystander.end = 0;
	return pthread_create(&bystander.thread, NULL, stand_by, NULL);
}

static void end_bystander(void)
{
	__atomic_store_n(&bystander.end, 1, __ATOMIC_RELEASE);
	pthread_join(bystander.thread, NULL);
	while (pa_process_threads() > 2)	/* joined a little early */
		;
}

/* No descriptor may be made: /proc cannot be read. */
static void *lend_blindly(void)
{
	struct rlimit limit, none;
	void *lent;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	lent = pa_python_gil_lend();
	setrlimit(RLIMIT_NOFILE, &limit);
	return lent;
}

/*
 * With the GIL: cancel the taking and lend it the GIL if it waits for that,
 * beside the third thread or without it.  0: it did not wait, or was not done
 * within 20 s; 1: lent without; 2: beside; 3: beside, where /proc could not be
 * read.
 */
API int pt_lend(void)
{
	uint64_t end = now() + 20000000000ull;
	int when = 3;
	void *lent;

	__atomic_store_n(&taking.cancel, 1, __ATOMIC_SEQ_CST);
	lent = lend_blindly();
	if (!lent) {
		when = 2;
		lent = pa_python_gil_lend();
	}
	if (!lent)
		when = 1;
	end_bystander();
	if (!lent)
		lent = pa_python_gil_lend();
	while (lent && !pt_gil_done() && now() < end)
		pause_ms(1);
	pa_python_gil_return(lent);
	return lent && pt_gil_done() ? when : 0;
}

/* ---- forks amid the taking ---- */

/* pthread_atfork is no dynamic symbol of the C library. */
int __register_atfork(void (*prepare)(void), void (*parent)(void),
		      void (*child)(void), void *dso);

static struct {
	pthread_t thread;
	int end;
	unsigned taken;
} churn;

static void *churn_gil(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&churn.end, __ATOMIC_ACQUIRE))
		if (!pa_python_gil_take(now() + 1000000000ull, NULL)) {
			pa_python_gil_release();
			__atomic_fetch_add(&churn.taken, 1,
					   __ATOMIC_RELAXED);
		}
	return NULL;
}

/* Take the GIL over and over in a thread of its own, with the handlers of
 * fork() that the payload has. */
API int pt_churn_start(void)
{
	static int registered;

	if (!registered++)
		__register_atfork(pa_python_fork_begins,
				  pa_python_fork_ended,
				  pa_python_gil_in_child, NULL);
	memset(&churn, 0, sizeof(churn));
	return pthread_create(&churn.thread, NULL, churn_gil, NULL);
}

/* How often it was taken so far. */
API unsigned pt_churn_taken(void)
{
	return __atomic_load_n(&churn.taken, __ATOMIC_RELAXED);
}

/* How often it was taken. */
API unsigned pt_churn_stop(void)
{
	__atomic_store_n(&churn.end, 1, __ATOMIC_RELEASE);
	pthread_join(churn.thread, NULL);
	return churn.taken;
}

/* Cancel the taking after ms, then hold on for ms more. */
API void pt_cancel_later(unsigned ms, unsigned more)
{
	pause_ms(ms);
	__atomic_store_n(&taking.cancel, 1, __ATOMIC_RELEASE);
	pause_ms(more);
}
