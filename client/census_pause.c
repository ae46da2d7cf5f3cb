/* SPDX-License-Identifier: MIT
 *
 * Stopping a process for a moment; see census_pause.h.
 *
 * The holder must not reap a stop (WNOWAIT): a signal whose stop was reaped
 * would be lost if the holder died.  It sets no option of ptrace.
 */
#include "client/census_pause.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/process.h"
#include "injector/proc.h"

#define THREADS_MAX 65536u
#define ROUNDS_MAX 64		/* threads that start meanwhile */
#define MARGIN 16		/* of the limit, for the end itself */

struct pa_pause_page {
	uint64_t begin_ns, end_ns;	/* CLOCK_MONOTONIC, 0 = not yet */
	int error;			/* PA_E_*, 0 = all stopped */
	int reason;			/* errno */
	pid_t waiting;			/* thread that is waited for */
};

struct held {
	pid_t tid;
	int signal;		/* to be passed on */
	bool stopped, gone;
};

struct holder {
	struct pa_pause_page *page;
	pid_t pid;
	int tasks;		/* /proc/PID/task */
	struct held *held;
	size_t n_held, room;
};

/* ---- in the child ---- */

/* The kernel kills the holder when the time is over, even if it is stopped
 * or frozen itself. */
static bool set_end(uint64_t limit_ns)
{
	struct sigevent event;
	struct itimerspec spec;
	int id = 0;

	memset(&event, 0, sizeof event);
	memset(&spec, 0, sizeof spec);
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGKILL;
	limit_ns -= limit_ns / MARGIN;
	spec.it_value.tv_sec = (time_t)(limit_ns / 1000000000);
	spec.it_value.tv_nsec = (long)(limit_ns % 1000000000);
	return !syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) &&
		!syscall(SYS_timer_settime, id, 0, &spec, NULL);
}

static struct held *find(const struct holder *h, pid_t tid)
{
	for (size_t i = 0; i < h->n_held; i++)
		if (h->held[i].tid == tid)
			return &h->held[i];
	return NULL;
}

static int fail(struct holder *h, int error, int reason)
{
	h->page->error = error;
	h->page->reason = reason;
	return error;
}

static int seize(struct holder *h, pid_t tid)
{
	if (h->n_held == h->room) {
		struct held *more;

		h->room = h->room * 2 + 64;
		more = h->room > THREADS_MAX * 2 ? NULL :
			reallocarray(h->held, h->room, sizeof *more);
		if (!more)
			return fail(h, PA_E_FAILED, ENOMEM);
		h->held = more;
	}
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL)) {
		char name[64];
		struct pa_proc_stat stat;

		snprintf(name, sizeof name, "%d/stat", (int)tid);
		/* ended, or about to */
		if (errno == ESRCH || pa_proc_read_stat(h->tasks, name, &stat) ||
		    stat.state == 'Z' || stat.state == 'X')
			return 0;
		return fail(h, PA_E_NOT_PERMITTED, errno);
	}
	h->held[h->n_held++] = (struct held){ .tid = tid };
	return 0;
}

/* Trace all threads that are not traced yet; *found: was there one? */
static int seize_all(struct holder *h, bool *found)
{
	int fd = openat(h->tasks, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int err = directory ? 0 : fail(h, PA_E_EXITED, errno);
	size_t before = h->n_held;

	while (!err && (entry = readdir(directory))) {
		pid_t tid = atoi(entry->d_name);

		if (tid > 0 && !find(h, tid))
			err = seize(h, tid);
	}
	if (directory)
		closedir(directory);
	*found = h->n_held > before;
	return err;
}

/* Until it stops or ends.  The end of our time bounds the wait. */
static void wait_for(struct holder *h, struct held *held)
{
	siginfo_t info;

	h->page->waiting = held->tid;
	memset(&info, 0, sizeof info);
	if (waitid(P_PID, (id_t)held->tid, &info,
		   WSTOPPED | WEXITED | WNOWAIT | __WALL) ||
	    info.si_code != CLD_TRAPPED) {
		held->gone = true;
		return;
	}
	held->stopped = true;
	/* an event has its number in the second byte; else it is a signal */
	if (!(info.si_status >> 8))
		held->signal = info.si_status;
}

static int stop_all(struct holder *h)
{
	bool found = true;

	for (int round = 0; found; round++) {
		size_t before = h->n_held;
		int err = round < ROUNDS_MAX ? seize_all(h, &found) :
			fail(h, PA_E_UNINTERRUPTIBLE, EAGAIN);

		if (err)
			return err;
		if (!h->page->begin_ns)
			h->page->begin_ns = pa_now_ns();
		for (size_t i = before; i < h->n_held; i++)
			ptrace(PTRACE_INTERRUPT, h->held[i].tid, NULL, NULL);
		for (size_t i = before; i < h->n_held; i++)
			wait_for(h, &h->held[i]);
	}
	h->page->waiting = 0;
	return h->n_held ? 0 : fail(h, PA_E_EXITED, ESRCH);
}

static void let_go(struct holder *h)
{
	for (size_t i = 0; i < h->n_held; i++)
		if (h->held[i].stopped)
			ptrace(PTRACE_DETACH, h->held[i].tid, NULL,
			       (void *)(intptr_t)h->held[i].signal);
	h->page->end_ns = pa_now_ns();
}

static void hold(struct pa_pause_page *page, pid_t pid, pid_t parent,
		 uint64_t limit_ns, int ready, int release)
{
	struct holder h = { .page = page, .pid = pid };
	char name[64], byte = 0;

	/* What stops or interrupts the command must not stop the holder. */
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "pyattach-pause");
	if (getppid() != parent)
		_exit(1);
	setpriority(PRIO_PROCESS, 0, -20);
	snprintf(name, sizeof name, "/proc/%d/task", (int)pid);
	h.tasks = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h.tasks < 0)
		fail(&h, PA_E_EXITED, errno);
	else if (!set_end(limit_ns))
		fail(&h, PA_E_FAILED, errno);
	else
		stop_all(&h);
	if (write(ready, &byte, 1) == 1 && !page->error)
		while (read(release, &byte, 1) < 0 && errno == EINTR)
			;
	let_go(&h);
	_exit(0);
}

/* ---- in the command ---- */

static void clean_up(struct pa_pause *pause)
{
	if (pause->release >= 0)
		close(pause->release);
	pause->release = -1;
	if (pause->holder > 0)
		while (waitpid(pause->holder, NULL, 0) < 0 && errno == EINTR)
			;
	pause->holder = 0;
	if (pause->page)
		munmap(pause->page, sizeof *pause->page);
	pause->page = NULL;
}

static int tell(const struct pa_pause *pause, struct pa_diag *diag)
{
	const struct pa_pause_page *page = pause->page;
	int pid = (int)pause->pid;
	struct pa_proc_status status;
	char name[64];

	switch (page->error) {
	case 0:
		pa_fail(diag, PA_E_UNINTERRUPTIBLE, "thread %d of process %d "
			"did not stop within --max-pause", (int)page->waiting,
			pid);
		return PA_E_UNINTERRUPTIBLE;
	case PA_E_NOT_PERMITTED:
		snprintf(name, sizeof name, "/proc/%d/status", pid);
		if (!pa_proc_read_status(AT_FDCWD, name, &status) &&
		    status.tracer)
			return pa_fail(diag, PA_E_TRACED, "process %d is "
				       "traced by process %d, and cannot be "
				       "paused", pid, (int)status.tracer);
		break;
	case PA_E_EXITED:
		return pa_fail(diag, PA_E_EXITED, "process %d ended", pid);
	default:
		break;
	}
	return pa_fail(diag, page->error, "cannot pause process %d: %s", pid,
		       strerror(page->reason));
}

static int start(struct pa_pause *pause, struct pa_diag *diag)
{
	int ready[2] = { -1, -1 }, release[2] = { -1, -1 };
	pid_t parent = getpid();
	char byte;
	ssize_t n;

	if (pipe2(ready, O_CLOEXEC) || pipe2(release, O_CLOEXEC))
		pause->holder = -1;
	else
		pause->holder = fork();
	if (!pause->holder) {
		close(release[1]);
		hold(pause->page, pause->pid, parent, pause->limit_ns,
		     ready[1], release[0]);
	}
	if (ready[1] >= 0)
		close(ready[1]);
	if (release[0] >= 0)
		close(release[0]);
	pause->release = release[1];
	if (pause->holder < 0) {
		if (ready[0] >= 0)
			close(ready[0]);
		return pa_fail(diag, PA_E_FAILED, "cannot start a process: %s",
			       strerror(errno));
	}
	do
		n = read(ready[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	close(ready[0]);
	return n == 1 && !pause->page->error ? 0 : tell(pause, diag);
}

int pa_pause_begin(struct pa_pause *pause, pid_t pid, uint64_t limit_ns,
		   struct pa_diag *diag)
{
	int err;

	memset(pause, 0, sizeof *pause);
	pause->pid = pid;
	pause->release = -1;
	pause->limit_ns = limit_ns;
	pause->page = mmap(NULL, sizeof *pause->page, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pause->page == MAP_FAILED) {
		pause->page = NULL;
		return pa_fail(diag, PA_E_FAILED, "no memory");
	}
	err = start(pause, diag);
	if (err)
		clean_up(pause);
	return err;
}

bool pa_pause_is_over(const struct pa_pause *pause)
{
	uint64_t limit = pause->limit_ns - pause->limit_ns / MARGIN;

	return pa_now_ns() - pause->page->begin_ns >= limit;
}

int pa_pause_end(struct pa_pause *pause, uint64_t *stopped_ns,
		 struct pa_diag *diag)
{
	struct pa_pause_page page;
	double limit = (double)pause->limit_ns / 1e6;
	struct pa_pause_page *shared = pause->page;

	pause->page = NULL;
	clean_up(pause);
	page = *shared;
	munmap(shared, sizeof *shared);
	*stopped_ns = page.end_ns - page.begin_ns;
	if (page.end_ns)
		return 0;
	pa_fail(diag, PA_E_TIMEOUT, "process %d was let go after %.0f ms, "
		"before all of it was copied", (int)pause->pid, limit);
	if (diag)
		snprintf(diag->hint, sizeof diag->hint, "give a longer "
			 "--max-pause, or leave out --pause");
	return PA_E_TIMEOUT;
}
