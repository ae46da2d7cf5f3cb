/* SPDX-License-Identifier: MIT
 *
 * Threads that wait in a system call until a signal's handler ends it, and
 * one thread for each that sends the signals: only while the other is seen to
 * wait, and never a second one before the first was answered.  So each must
 * end exactly one call.  Made from C, without the GIL.
 *
 * But for one moment, which is the kernel's: a call that a stop has ended is
 * issued again from user space, and a signal that comes just before that runs
 * its handler there.  SIGSTOP and SIGCONT do the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define KINDS 16
#define LOST_NS 10000000000ll	/* a busy machine has threads wait */

struct pa_wakeups {
	uint64_t sent, handled, ended, lost, wrong, restarted, between;
	int32_t tid, last_errno;
};

extern struct pa_wakeups pa_wakeups[KINDS];
struct pa_wakeups pa_wakeups[KINDS];
const char *pa_wakeups_name(int i);
int pa_wakeups_prepare(void);
void pa_wakeups_wait(int i, volatile int *stop);
void pa_wakeups_send(int i, unsigned seed, volatile int *stop);

static int silent[2], epoll_none;
static sem_t never;
static int word;
static const struct timespec minute = { 60, 0 };

static int w_pause(void)
{
	long r = syscall(SYS_pause);

	return (int)r;
}

static int w_sigsuspend(void)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	r = sigsuspend(&set);
	return r;
}

static int w_select(void)
{
	/* not the C library's, which asks for pselect6 or not */
	long r = syscall(SYS_select, 0, NULL, NULL, NULL, NULL);

	return (int)r;
}

static int w_poll(void)
{
	int r = poll(NULL, 0, -1);

	return r;
}

static int w_poll_timed(void)
{
	int r = poll(NULL, 0, 60000);

	return r;
}

static int w_sem(void)
{
	struct timespec t;
	int r;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 60;
	r = sem_timedwait(&never, &t);
	return r;
}

static int w_futex(void)
{
	long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL,
			 0);

	return (int)r;
}

static int w_futex_timed(void)
{
	long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &minute,
			 NULL, 0);

	return (int)r;
}

static int w_nanosleep(void)
{
	long r = syscall(SYS_nanosleep, &minute, NULL);

	return (int)r;
}

static int w_epoll(void)
{
	struct epoll_event e;
	long r = syscall(SYS_epoll_wait, epoll_none, &e, 1, -1);

	return (int)r;
}

static int w_read(void)
{
	char c;
	ssize_t n = read(silent[0], &c, 1);

	return (int)n;
}

static const struct {
	const char *name;
	int (*call)(void);
	long number;
	const void *first;	/* argument: the payload makes such calls too */
	int restart;	/* its signal's handler has SA_RESTART */
} kinds[] = {
	{ "pause", w_pause, SYS_pause, NULL, 0 },
	{ "sigsuspend", w_sigsuspend, SYS_rt_sigsuspend, NULL, 0 },
	{ "select", w_select, SYS_select, NULL, 0 },
	{ "poll", w_poll, SYS_poll, NULL, 0 },
	{ "poll_timed", w_poll_timed, SYS_poll, NULL, 0 },
	{ "sem_timedwait", w_sem, SYS_futex, &never, 0 },
	{ "futex", w_futex, SYS_futex, &word, 0 },
	{ "futex_timed", w_futex_timed, SYS_futex, &word, 0 },
	{ "nanosleep", w_nanosleep, SYS_nanosleep, &minute, 0 },
	{ "epoll_wait", w_epoll, SYS_epoll_wait, NULL, 0 },
	{ "read", w_read, SYS_read, NULL, 0 },
	{ "read_restarted", w_read, SYS_read, NULL, 1 },
};

#define COUNT ((int)(sizeof kinds / sizeof *kinds))
_Static_assert(sizeof kinds / sizeof *kinds <= KINDS, "results");

const char *pa_wakeups_name(int i)
{
	return i < COUNT ? kinds[i].name : NULL;
}

/* Was the thread about to issue its call again? */
static int is_between(int i, const greg_t *regs)
{
	const unsigned char *code = (const unsigned char *)regs[REG_RIP];

	return !kinds[i].restart &&
	       (regs[REG_RAX] == kinds[i].number ||
		regs[REG_RAX] == SYS_restart_syscall) &&
	       code[0] == 0x0f && code[1] == 0x05;
}

static void count(int number, siginfo_t *info, void *context)
{
	int tid = (int)syscall(SYS_gettid), error = errno;
	const ucontext_t *interrupted = context;

	(void)number;
	(void)info;
	for (int i = 0; i < COUNT; i++) {
		if (pa_wakeups[i].tid != tid)
			continue;
		pa_wakeups[i].between += is_between(
			i, interrupted->uc_mcontext.gregs);
		__atomic_add_fetch(&pa_wakeups[i].handled, 1,
				   __ATOMIC_SEQ_CST);
	}
	errno = error;
}

int pa_wakeups_prepare(void)
{
	struct sigaction act;

	memset(&act, 0, sizeof act);
	act.sa_sigaction = count;
	act.sa_flags = SA_SIGINFO;
	if (pipe(silent) || sem_init(&never, 0, 0) ||
	    sigaction(SIGUSR1, &act, NULL))
		return -1;
	act.sa_flags = SA_SIGINFO | SA_RESTART;
	epoll_none = epoll_create1(0);
	return sigaction(SIGUSR2, &act, NULL);
}

void pa_wakeups_wait(int i, volatile int *stop)
{
	struct pa_wakeups *w = &pa_wakeups[i];

	__atomic_store_n(&w->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (!*stop) {
		errno = 0;
		if (kinds[i].call() != -1 || errno != EINTR) {
			w->last_errno = errno;
			w->wrong++;
		}
		__atomic_add_fetch(&w->ended, 1, __ATOMIC_SEQ_CST);
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void rest(long ns)
{
	struct timespec t = { 0, ns };

	nanosleep(&t, NULL);
}

static char *decimal(char *at, unsigned n)
{
	if (n >= 10)
		at = decimal(at, n / 10);
	*at = (char)('0' + n % 10);
	return at + 1;
}

/* Is the thread seen to wait in its call, or in one that goes on with it? */
static int is_waiting(int i)
{
	char path[64] = "/proc/self/task/", text[40] = "";
	char *rest = text;
	long number;
	int fd;

	strcpy(decimal(path + strlen(path), (unsigned)pa_wakeups[i].tid),
	       "/syscall");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof text - 1) <= 0)
		text[0] = 0;
	close(fd);
	if (text[0] < '0' || text[0] > '9')
		return 0;
	number = strtol(text, &rest, 10);
	if (number != kinds[i].number && number != SYS_restart_syscall)
		return 0;
	return !kinds[i].first ||
	       strtoul(rest, NULL, 16) == (unsigned long)kinds[i].first;
}

/* True if the counter has reached a value in time. */
static int reaches(const uint64_t *counter, uint64_t value, volatile int *stop)
{
	int64_t limit = now() + LOST_NS;

	while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < value) {
		if (now() > limit || *stop)
			return 0;
		rest(20000);
	}
	return 1;
}

/* One signal; what it must do is done or counted as lost. */
static void send_one(int i, volatile int *stop)
{
	struct pa_wakeups *w = &pa_wakeups[i];
	uint64_t handled = w->handled + 1, ended = w->ended + 1;
	uint64_t between = w->between;
	int number = kinds[i].restart ? SIGUSR2 : SIGUSR1;

	w->sent++;
	syscall(SYS_tgkill, getpid(), w->tid, number);
	if (!reaches(&w->handled, handled, stop) && !*stop)
		w->wrong++;
	if (kinds[i].restart) {
		rest(2000000);
		w->restarted += __atomic_load_n(&w->ended, __ATOMIC_SEQ_CST)
			< ended;
		return;
	}
	while (w->between == between && !reaches(&w->ended, ended, stop) &&
	       !*stop) {
		w->lost++;
		syscall(SYS_tgkill, getpid(), w->tid, number);
	}
}

void pa_wakeups_send(int i, unsigned seed, volatile int *stop)
{
	while (!*stop) {
		if (!pa_wakeups[i].tid || !is_waiting(i)) {
			rest(50000);
			continue;
		}
		seed = seed * 1664525u + 1013904223u;
		rest(seed >> 8 & 0x1fffff);	/* up to 2 ms: any moment */
		send_one(i, stop);
	}
	syscall(SYS_tgkill, getpid(), pa_wakeups[i].tid, SIGUSR1);
}
