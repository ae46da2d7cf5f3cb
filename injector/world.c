/* SPDX-License-Identifier: MIT
 *
 * Stopping all threads (see world.h).
 */
#include "injector/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <time.h>
#include <unistd.h>

#include "injector/arch.h"
#include "injector/report.h"
#include "injector/restart.h"

#define THREADS_MAX 4096
#define STOP_NS_MAX 100000000ull
#define STACK (256u << 10)

struct one {
	pid_t tid;
	bool stopped;
	bool plain;	/* by us; else by job control, or gone */
	bool free;	/* again */
};

struct world {
	int dir;
	const struct pa_memory *memory;
	int (*work)(void *context);
	void *context;
	uint64_t *stopped_ns;
	struct one *list;
	size_t count;
	int result;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool is_known(const struct world *w, pid_t tid)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->list[i].tid == tid)
			return true;
	return false;
}

/* Ask each thread that is not known yet to stop; how many, or -1. */
static int seize_new(struct world *w)
{
	int fd = openat(w->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int n = 0;

	while (tasks && n >= 0 && (entry = readdir(tasks))) {
		pid_t tid = (pid_t)atoi(entry->d_name);

		if (tid <= 0 || is_known(w, tid))
			continue;
		if (w->count == THREADS_MAX ||
		    ptrace(PTRACE_SEIZE, tid, NULL, NULL)) {
			/* it may just have ended; a living one is refused */
			n = w->count < THREADS_MAX &&
			    kill(tid, 0) ? n : -1;
			continue;
		}
		w->list[w->count].tid = tid;
		w->list[w->count++].stopped =
			ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0;
		n++;
	}
	if (tasks)
		closedir(tasks);
	else if (fd >= 0)
		close(fd);
	return tasks ? n : -1;
}

/* Look whether a thread has stopped; signals are passed on. */
static void look_at(struct one *one)
{
	int signal = 0;
	enum pa_report_kind report = pa_report(one->tid, &signal);

	if (report == PA_REPORT_SIGNAL)
		ptrace(PTRACE_CONT, one->tid, NULL, (void *)(long)signal);
	else if (report != PA_REPORT_NONE)
		one->stopped = true;	/* or it has ended */
	one->plain = report == PA_REPORT_STOP;
}

/* Is it hopeless to wait on for those that have not stopped yet? */
static bool is_over(const struct world *w, uint64_t begun_ns)
{
	uint64_t now = now_ns();

	if (now <= begun_ns + STOP_NS_MAX)
		return false;
	for (size_t i = 0; i < w->count; i++)
		if (!w->list[i].stopped &&
		    !pa_report_is_due(w->dir, w->list[i].tid))
			return true;
	return now > begun_ns + PA_REPORT_STARVED_NS;
}

static bool wait_all(struct world *w, uint64_t begun_ns)
{
	const struct timespec pause = { 0, 20000 };

	for (;;) {
		size_t left = 0;

		for (size_t i = 0; i < w->count; i++) {
			if (!w->list[i].stopped)
				look_at(&w->list[i]);
			left += !w->list[i].stopped;
		}
		if (!left)
			return true;
		if (is_over(w, begun_ns))
			return false;
		nanosleep(&pause, NULL);
	}
}

/* Threads that are started meanwhile are seen in the next turn. */
static bool stop_all(struct world *w)
{
	uint64_t begun = now_ns();

	for (;;) {
		int n = seize_new(w);

		if (n <= 0)
			return n == 0 && w->count;
		if (!wait_all(w, begun))
			return false;
	}
}

static void let_go(const struct world *w, struct one *one)
{
	struct pa_regs regs;

	if (one->plain && !pa_arch_get_regs(one->tid, &regs) &&
	    pa_restart_let_go(pa_restart_decide(w->memory, w->dir, one->tid,
						&regs, false), &regs))
		pa_arch_set_regs(one->tid, &regs);
	ptrace(PTRACE_DETACH, one->tid, NULL, NULL);
	one->free = true;
}

/* Those that were asked to stop and lack a CPU are waited for: their calls
 * would end with EINTR.  All others are let go by the end of this thread. */
static void let_all_go(struct world *w)
{
	const struct timespec pause = { 0, 20000 };
	uint64_t limit = now_ns() + PA_REPORT_STARVED_NS;

	for (;;) {
		size_t due = 0;

		for (size_t i = 0; i < w->count; i++) {
			struct one *one = &w->list[i];

			if (!one->stopped)
				look_at(one);
			if (one->stopped && !one->free)
				let_go(w, one);
			due += !one->free &&
			       pa_report_is_due(w->dir, one->tid);
		}
		if (!due || now_ns() > limit)
			return;
		nanosleep(&pause, NULL);
	}
}

static void *tracer(void *argument)
{
	struct sched_param first = { .sched_priority = 1 };
	struct world *w = argument;
	uint64_t before = now_ns();

	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	if (stop_all(w))
		w->result = w->work(w->context);
	let_all_go(w);
	before = now_ns() - before;
	if (before > *w->stopped_ns)
		*w->stopped_ns = before;
	return NULL;
}

int pa_world_stop(int dir, const struct pa_memory *memory,
		  int (*work)(void *context), void *context,
		  uint64_t *stopped_ns)
{
	struct world w = {
		.dir = dir, .memory = memory, .work = work,
		.context = context, .stopped_ns = stopped_ns, .result = -1,
	};
	pthread_attr_t attr;
	pthread_t thread;

	w.list = calloc(THREADS_MAX, sizeof *w.list);
	if (!w.list)
		return -1;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	if (!pthread_create(&thread, &attr, tracer, &w))
		pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	free(w.list);
	return w.result;
}
