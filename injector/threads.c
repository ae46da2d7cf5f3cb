/* SPDX-License-Identifier: MIT
 *
 * Choosing, stopping and committing a thread (see threads.h).  Between the
 * stop and the detach nothing is done that could have been done before.
 */
#include "injector/threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "injector/fault.h"
#include "injector/hurry.h"
#include "injector/proc.h"
#include "injector/report.h"
#include "injector/restart.h"
#include "injector/seccomp.h"

#define STOP_NS_MAX 100000000ull
#define SPIN_NS 50000ull
#define RESUME_NS_MAX 200000000ull
/* Who is killed meanwhile costs the target this long a pause: threads that
 * wait for the same lock may have to wait for the one that was stopped.  Who
 * comes later than that leaves it to the stub. */
#define STUB_WAIT_NS 60000000ull
#define TRACER_STACK (256u << 10)

/* Ranks.  What may become late by our stop comes after what cannot. */
enum {
	RANK_WAITING = 0,	/* in a call that is restarted exactly */
	RANK_RUNNING = PA_RANK_EXACT,
	RANK_STREAM = 2,
	RANK_EINTR = 3,
	RANK_VFORK = 4,
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static unsigned rank_call(const struct pa_proc_syscall *s)
{
	struct pa_call call;

	if (s->where != PA_PROC_IN_CALL)
		return RANK_RUNNING;
	call = pa_arch_call(s->number);
	switch (call.kind) {
	case PA_CALL_WAIT:
		return RANK_WAITING;
	case PA_CALL_PAUSE:
		return RANK_EINTR;
	case PA_CALL_STREAM:
		return RANK_STREAM;
	case PA_CALL_NEVER:
		/* for ever, or recomputed by CPython: exact too */
		if (call.timeout >= 0 && (call.recomputed ||
					  (int)s->args[call.timeout] < 0))
			return RANK_RUNNING;
		return RANK_EINTR;
	case PA_CALL_VFORK:
		return RANK_VFORK;
	default:
		return RANK_RUNNING;
	}
}

static int read_call(int dir, pid_t tid, struct pa_proc_syscall *s)
{
	char name[48], text[256];

	snprintf(name, sizeof name, "task/%d/syscall", (int)tid);
	if (pa_proc_read(dir, name, text, sizeof text) < 0)
		return -1;
	return pa_proc_parse_syscall(text, s);
}

static unsigned rank_thread(int dir, pid_t tid)
{
	struct pa_proc_syscall s;

	return read_call(dir, tid, &s) ? RANK_RUNNING : rank_call(&s);
}

static int compare(const void *a, const void *b)
{
	const struct pa_candidate *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

size_t pa_threads_list(int dir, struct pa_candidate *list, size_t max)
{
	int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t n = 0;

	if (!tasks) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (n < max && (entry = readdir(tasks))) {
		pid_t tid = (pid_t)atoi(entry->d_name);

		if (tid <= 0)
			continue;
		list[n].tid = tid;
		list[n].rank = rank_thread(dir, tid);
		if (getrandom(&list[n].order, sizeof list[n].order,
			      GRND_NONBLOCK) < 0)
			list[n].order = (uint32_t)tid;
		n++;
	}
	closedir(tasks);
	qsort(list, n, sizeof *list, compare);
	return n;
}

static void set_outcome(struct pa_attempt *a, enum pa_attempt_outcome outcome,
			const char *text)
{
	a->outcome = outcome;
	a->error = errno;
	if (outcome == PA_ATTEMPT_FAILED || outcome == PA_ATTEMPT_DENIED)
		a->what = text;
	else
		a->reason = text;
}

/* ESRCH from ptrace: the thread was killed under our hands. */
static void failed_step(struct pa_attempt *a, const char *what)
{
	set_outcome(a, errno == ESRCH ? PA_ATTEMPT_GONE : PA_ATTEMPT_FAILED,
		    what);
}

/* Is the tid a thread of the process that dir stands for? */
static bool is_thread(const struct pa_attempt *a)
{
	char name[48];

	snprintf(name, sizeof name, "task/%d", (int)a->tid);
	return !faccessat(a->dir, name, F_OK, 0);
}

static bool is_dead(const struct pa_attempt *a)
{
	struct pa_proc_stat stat;
	char name[48];

	snprintf(name, sizeof name, "task/%d/stat", (int)a->tid);
	return pa_proc_read_stat(a->dir, name, &stat) || stat.state == 'Z' ||
	       stat.state == 'X';
}

static bool seize(struct pa_attempt *a)
{
	if (ptrace(PTRACE_SEIZE, a->tid, NULL, NULL)) {
		if (errno == ESRCH || is_dead(a)) {
			a->outcome = PA_ATTEMPT_GONE;
			return false;
		}
		errno = EPERM;
		set_outcome(a, PA_ATTEMPT_DENIED, "PTRACE_SEIZE");
		return false;
	}
	pa_fault_point(PA_FAULT_SEIZED);
	if (is_thread(a))
		return true;
	a->outcome = PA_ATTEMPT_GONE;	/* the tracer's end lets it go */
	return false;
}

/* Most threads stop at once: to sleep first would make it twice as long. */
static void wait_for_child(bool spin)
{
	struct timespec limit = { 0, spin ? 0 : 1000000 };
	sigset_t set;

	/* blocked by the caller; where it is ignored we only wake later */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigtimedwait(&set, NULL, &limit);
}

/* One report of the tracee: true if it is the stop that was asked for. */
static bool is_stop(struct pa_attempt *a, enum pa_report_kind report,
		    int signal, bool *over)
{
	*over = true;
	switch (report) {
	case PA_REPORT_STOP:
		return true;
	case PA_REPORT_GROUP_STOP:
		ptrace(PTRACE_DETACH, a->tid, NULL, NULL);
		a->outcome = PA_ATTEMPT_STOPPED;
		return false;
	case PA_REPORT_SIGNAL:
		/* on its way: pass it on and wait for our stop */
		*over = ptrace(PTRACE_CONT, a->tid, NULL,
			       (void *)(long)signal) != 0;
		if (*over)
			failed_step(a, "PTRACE_CONT");
		return false;
	default:
		a->outcome = PA_ATTEMPT_GONE;
		return false;
	}
}

static bool interrupt(struct pa_attempt *a)
{
	uint64_t begun = now_ns(), now;

	if (ptrace(PTRACE_INTERRUPT, a->tid, NULL, NULL)) {
		failed_step(a, "PTRACE_INTERRUPT");
		return false;
	}
	pa_fault_point(PA_FAULT_INTERRUPTED);
	for (;;) {
		int signal = 0;
		bool over;
		enum pa_report_kind report = pa_report(a->tid, &signal);

		if (report != PA_REPORT_NONE) {
			if (is_stop(a, report, signal, &over))
				return true;
			if (over)
				return false;
			continue;
		}
		now = now_ns();
		if (now > begun + STOP_NS_MAX &&
		    (now > begun + PA_REPORT_STARVED_NS ||
		     !pa_report_is_due(a->dir, a->tid)))
			break;
		wait_for_child(now < begun + SPIN_NS);
	}
	a->outcome = PA_ATTEMPT_NO_STOP;
	a->reason = "a thread does not stop (uninterruptible sleep or vfork)";
	return false;
}

/* Does CPython itself wait, which recomputes its timeouts after EINTR? */
static bool caller_is_python(const struct pa_safepoint *safe)
{
	const struct pa_module *m = safe->caller;
	const char *base;

	if (!m)
		return false;
	base = strrchr(m->path, '/');
	base = base ? base + 1 : m->path;
	return (m == safe->modules->exe && safe->exe_is_python) ||
	       !strncmp(m->soname, "libpython", 9) ||
	       !strncmp(base, "select.cpython", 14);
}

static void let_go(struct pa_attempt *a, enum pa_restart restart,
		   struct pa_regs *regs)
{
	if (pa_restart_let_go(restart, regs) &&
	    pa_arch_set_regs(a->tid, regs)) {
		failed_step(a, "PTRACE_SETREGS");
		return;
	}
	pa_fault_point(PA_FAULT_UNSAFE);
	ptrace(PTRACE_DETACH, a->tid, NULL, NULL);
	a->outcome = PA_ATTEMPT_UNSAFE;
	a->reason = a->safe->reason;
}

/* Write the stub unless the same bytes are there already.  Where another
 * build's are by now, a thread may be running them; half of ours may be on
 * its way. */
static int write_stub(struct pa_attempt *a)
{
	uint8_t there[1024];
	size_t size;
	const uint8_t *stub = pa_arch_stub(&size);

	for (int look = 0; look < 5 && size <= sizeof there; look++) {
		if (pa_memory_read(a->memory, a->cave, there, size))
			return -1;
		if (!memcmp(there, stub, size))
			return 0;
		if (memcmp(there, PA_STUB_MARK, strlen(PA_STUB_MARK)))
			return pa_memory_write(a->memory, a->cave, stub, size);
	}
	errno = EBUSY;
	return -1;
}

/* Where a system call has a signal mask of its own, Linux before 5.1 tells
 * that one and not the thread's. */
static bool masks_are_told(void)
{
	struct utsname name;
	unsigned major, minor;

	return !uname(&name) &&
	       sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 1));
}

/* Signals wait while the stub runs, but for those of a fault of its own
 * and those by which the C library makes all threads do something. */
static void fill_signals(struct pa_attempt *a, struct pa_block *block)
{
	static const int never[] = {
		SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, 32, 33,
	};

	block->signals_blocked = UINT64_MAX;
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		block->signals_blocked &= ~(1ull << (never[i] - 1));
	block->signals_known = masks_are_told() &&
		!ptrace(PTRACE_GETSIGMASK, a->tid,
			(void *)sizeof block->signals, &block->signals);
	block->signals_blocked |= block->signals;
}

/* Prepare the block, and the registers that begin and that end the stub. */
static void prepare(struct pa_attempt *a, enum pa_restart restart,
		    struct pa_regs *regs, struct pa_block *block)
{
	a->regs = *regs;
	a->waits = pa_restart_is_due(restart);
	if (a->waits) {
		pa_restart_let_go(restart, &a->regs);
		block->wait_ns = STUB_WAIT_NS;
		block->ends_always = pa_restart_ends_always(restart, &a->regs);
		/* to tell the two apart takes calls that a filter may forbid */
		if (block->ends_always ||
		    (!a->filtered && pa_restart_ends(restart, &a->regs)))
			block->after_call = pa_arch_pc(regs);
	}
	fill_signals(a, block);
	pa_restart_apply(restart, regs);
	a->at = pa_arch_prepare(regs, a->cave, block);
}

/* The stub blocks them as its first deed; here none comes before that. */
static void block_signals(struct pa_attempt *a, struct pa_block *block)
{
	if (block->signals_known)
		ptrace(PTRACE_SETSIGMASK, a->tid,
		       (void *)sizeof block->signals_blocked,
		       &block->signals_blocked);
}

/* Nothing of the thread itself has been changed yet. */
static void refuse_commit(struct pa_attempt *a, const char *what)
{
	set_outcome(a, PA_ATTEMPT_FAILED, what);
	if (a->waits)
		pa_arch_set_regs(a->tid, &a->regs);
	a->waits = false;
	ptrace(PTRACE_DETACH, a->tid, NULL, NULL);
}

static void commit(struct pa_attempt *a, enum pa_restart restart,
		   struct pa_regs *regs)
{
	struct pa_block block = *a->block;

	prepare(a, restart, regs, &block);
	pa_fault_point(PA_FAULT_SAFE);
	if (pa_memory_write(a->memory, a->at, &block, sizeof block)) {
		refuse_commit(a, "writing below the stack");
		return;
	}
	pa_fault_point(PA_FAULT_BLOCK);
	if (write_stub(a)) {
		refuse_commit(a, "writing the stub");
		return;
	}
	pa_fault_point(PA_FAULT_STUB);
	if (pa_arch_set_regs(a->tid, regs)) {	/* the commit */
		failed_step(a, "PTRACE_SETREGS");
		return;
	}
	pa_fault_point(PA_FAULT_COMMITTED);
	block_signals(a, &block);
	a->outcome = PA_ATTEMPT_COMMITTED;
	ptrace(PTRACE_DETACH, a->tid, NULL, NULL);
	pa_fault_point(PA_FAULT_DETACHED);
}

/* True if the thread's filters, which ours will inherit, forbid something;
 * what stays NULL where they cannot be read. */
static bool filters_forbid(struct pa_attempt *a)
{
	struct pa_proc_status status;

	a->filtered = true;
	if (!a->judge_filters)
		return false;
	/* each thread has its own, so the process's first one tells nothing */
	if (pa_proc_reread_status(a->status, &status))
		return true;
	a->filtered = status.seccomp != 0;
	if (status.seccomp == 1)
		a->what = "anything in one of its threads (strict mode)";
	return status.seccomp == 1 || (status.seccomp &&
	       pa_seccomp_check(a->tid, a->block->mode == PA_STUB_MEMFD,
				&a->what) != PA_SECCOMP_GOOD);
}

static void look_and_commit(struct pa_attempt *a)
{
	unsigned below = pa_arch.red_zone + sizeof(struct pa_block) +
			 pa_arch.stub_stack + 256;
	struct pa_regs regs;
	enum pa_restart restart;
	bool safe;

	pa_fault_point(PA_FAULT_STOPPED);
	if (pa_arch_get_regs(a->tid, &regs)) {
		failed_step(a, "PTRACE_GETREGS");
		ptrace(PTRACE_DETACH, a->tid, NULL, NULL);
		return;
	}
	safe = pa_safepoint_check(a->safe, &regs, below);
	restart = pa_restart_decide(a->memory, a->dir, a->tid, &regs,
				    caller_is_python(a->safe));
	if (a->only_filters) {
		a->filters = pa_seccomp_check_hooks(a->tid, &a->others);
		let_go(a, restart, &regs);
		if (a->outcome == PA_ATTEMPT_UNSAFE)
			a->outcome = PA_ATTEMPT_JUDGED;
		return;
	}
	if (!safe) {
		let_go(a, restart, &regs);
		return;
	}
	if (filters_forbid(a)) {
		let_go(a, restart, &regs);
		a->outcome = PA_ATTEMPT_FORBIDDEN;
		a->reason = "a seccomp filter over it forbids a call";
		return;
	}
	commit(a, restart, &regs);
}

/*
 * Does the thread wait in the stub for us?  Where we are late it has gone on,
 * and may by now wait in the same code for another tool, on another stack.
 * The block names the attempt; the thread does not change that part.
 */
static bool waits_for_us(struct pa_attempt *a, const struct pa_regs *now,
			 uint64_t *signals)
{
	struct pa_block block;

	if (pa_arch_stub_block(now) != a->at ||
	    pa_memory_read(a->memory, a->at, &block, sizeof block) ||
	    memcmp(&block, a->block, offsetof(struct pa_block, signals_blocked)))
		return false;
	*signals = block.signals;
	return true;
}

/* Hand back the registers and the mask: true if all is done. */
static bool resume(struct pa_attempt *a)
{
	struct pa_regs now;
	uint64_t signals;
	enum pa_stub_where where;

	if (pa_arch_get_regs(a->tid, &now))
		return true;
	where = pa_arch_stub_where(pa_arch_pc(&now), a->cave);
	/* nobody came in time: it may be in its call again, which our stop has
	 * ended once more */
	if (where == PA_STUB_OUTSIDE &&
	    pa_restart_let_go(pa_restart_decide(a->memory, a->dir, a->tid, &now,
						caller_is_python(a->safe)),
			      &now))
		pa_arch_set_regs(a->tid, &now);
	if (where == PA_STUB_WAITING && waits_for_us(a, &now, &signals) &&
	    /* the stub would do that too: to die here does no harm */
	    !ptrace(PTRACE_SETSIGMASK, a->tid, (void *)sizeof signals,
		    &signals))
		pa_arch_set_regs(a->tid, &a->regs);
	ptrace(PTRACE_DETACH, a->tid, NULL, NULL);
	return where != PA_STUB_INSIDE;
}

static void *resume_tracer(void *argument)
{
	struct pa_attempt *a = argument;
	const struct timespec pause = { 0, 20000 };
	uint64_t limit = now_ns() + RESUME_NS_MAX;
	struct pa_hurry before;

	pa_hurry_begin(&before);	/* the thread ends as it is */
	while (seize(a) && interrupt(a) && !resume(a) && now_ns() < limit)
		nanosleep(&pause, NULL);
	return NULL;
}

static void *tracer(void *argument)
{
	struct pa_attempt *a = argument;
	struct pa_hurry before;
	uint64_t begun;

	pa_hurry_begin(&before);	/* the thread ends as it is */
	if (!seize(a))
		return NULL;
	begun = now_ns();
	if (interrupt(a)) {
		look_and_commit(a);
		a->stopped = true;
		a->stopped_ns = now_ns() - begun;
	}
	return NULL;
}

/* Run it in a thread that ends with it; 0 or an errno. */
static int run_tracer(void *(*routine)(void *), struct pa_attempt *attempt)
{
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, TRACER_STACK);
	error = pthread_create(&thread, &attr, routine, attempt);
	pthread_attr_destroy(&attr);
	if (!error)
		pthread_join(thread, NULL);
	return error;
}

/* Walk the stack of a thread that waits, before it is stopped: what is read
 * on the way is at hand then. */
static void rehearse(struct pa_attempt *a)
{
	struct pa_proc_syscall s;

	if (!read_call(a->dir, a->tid, &s) && s.where == PA_PROC_IN_CALL)
		pa_safepoint_rehearse(a->safe, s.pc, s.sp);
}

void pa_threads_attempt(struct pa_attempt *attempt)
{
	char name[48];
	int error;

	attempt->outcome = PA_ATTEMPT_FAILED;
	attempt->reason = attempt->what = NULL;
	attempt->error = 0;
	attempt->stopped = false;
	attempt->stopped_ns = 0;
	attempt->waits = false;
	rehearse(attempt);
	snprintf(name, sizeof name, "task/%d/status", (int)attempt->tid);
	attempt->status = openat(attempt->dir, name, O_RDONLY | O_CLOEXEC);
	error = run_tracer(tracer, attempt);
	if (attempt->status >= 0)
		close(attempt->status);
	if (error) {
		attempt->error = error;
		attempt->what = "starting a thread of our own";
	}
}

void pa_threads_resume(struct pa_attempt *attempt)
{
	if (attempt->waits)
		run_tracer(resume_tracer, attempt);
	attempt->waits = false;
}
