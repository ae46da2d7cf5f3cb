/* SPDX-License-Identifier: MIT
 *
 * One blocking system call a function, made from plain C (not from CPython,
 * which would recompute timeouts), checked for its exact result and time.
 * A thread of the target runs pa_calls_run(i) without the GIL.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 120
#define NS (MS * 1000000ll)
#define CALLS 40

struct pa_calls_result {
	uint64_t calls, wrong, interrupted, early;
	int64_t latest_ns;	/* beyond the timeout */
	/* of the last early one: how long it took, and how far the kernel's
	 * own clock was behind when it began */
	int64_t early_ns, behind_ns;
	int32_t tid, last_errno;
};

extern struct pa_calls_result pa_calls_results[CALLS];
struct pa_calls_result pa_calls_results[CALLS];
const char *pa_calls_name(int i);
int pa_calls_timed(int i);
int pa_calls_prepare(void);
void pa_calls_feed(volatile int *stop);
void pa_calls_run(int i, volatile int *stop);

/* what each waits on: nothing, or a byte that pa_calls_feed() sends */
static int pipe_read[2], pipe_poll[2], pair_recv[2], pair_poll[2];
static int silent[2], silent_pair[2], full_pair[2], listening;
static int listening_fed, listening_timed;
static struct sockaddr_in fed_address, full_address;
static int epoll_none, epoll_fed;
static int msg_queue, sems;
static sem_t never, fed_sem;
static int futex_never, futex_fed;
static aio_context_t aio;
static int ring = -1;

static int64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static struct timespec time_of(int64_t ns)
{
	return (struct timespec){ ns / 1000000000, ns % 1000000000 };
}

static struct timespec span(void)
{
	return time_of(NS);
}

/* Each gives 0 if the result is the right one. */
static int expect_error(long result, int error)
{
	return result == -1 && errno == error ? 0 : -1;
}

static int c_nanosleep(void)
{
	struct timespec t = span();

	return nanosleep(&t, NULL);
}

static int c_clock_relative(void)
{
	struct timespec t = span();
	int e = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);

	errno = e;
	return e;
}

static int c_clock_absolute(void)
{
	struct timespec t = time_of(now(CLOCK_MONOTONIC) + NS);
	int e = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);

	errno = e;
	return e;
}

static int c_poll(void)
{
	return poll(NULL, 0, MS);
}

static int c_ppoll(void)
{
	struct timespec t = span();
	int r = ppoll(NULL, 0, &t, NULL);

	return r;
}

static int c_select(void)
{
	struct timeval t = { 0, MS * 1000 };

	return select(0, NULL, NULL, NULL, &t);
}

static int c_pselect(void)
{
	struct timespec t = span();
	sigset_t set;

	sigemptyset(&set);
	return pselect(0, NULL, NULL, NULL, &t, &set);
}

static int c_epoll(void)
{
	struct epoll_event e;

	return epoll_wait(epoll_none, &e, 1, MS);
}

static int c_epoll_pwait(void)
{
	struct epoll_event e;
	sigset_t set;

	sigemptyset(&set);
	return epoll_pwait(epoll_none, &e, 1, MS, &set);
}

static int c_epoll_pwait2(void)
{
	struct epoll_event e;
	struct timespec t = span();
	long r = syscall(SYS_epoll_pwait2, epoll_none, &e, 1, &t, NULL, 0);

	return (int)r;
}

static int c_epoll_fed(void)
{
	struct epoll_event e;
	char c;

	if (epoll_wait(epoll_fed, &e, 1, -1) != 1)
		return -1;
	return read(pair_poll[0], &c, 1) == 1 ? 0 : -1;
}

static int c_read(void)
{
	char c;
	ssize_t n = read(pipe_read[0], &c, 1);

	return n == 1 ? 0 : -1;
}

static int c_poll_fed(void)
{
	struct pollfd p = { pipe_poll[0], POLLIN, 0 };
	char c;

	if (poll(&p, 1, -1) != 1)
		return -1;
	return read(pipe_poll[0], &c, 1) == 1 ? 0 : -1;
}

static int c_recv(void)
{
	char c;
	ssize_t n = recv(pair_recv[0], &c, 1, 0);

	return n == 1 ? 0 : -1;
}

static int c_accept(void)
{
	int fd = accept(listening_fed, NULL, NULL);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int c_recv_timed(void)
{
	char c;
	ssize_t n = recv(silent_pair[0], &c, 1, 0);

	return expect_error(n, EAGAIN);
}

static int c_recvmsg_timed(void)
{
	char c;
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t n = recvmsg(silent_pair[0], &m, 0);

	return expect_error(n, EAGAIN);
}

static int c_recvmmsg_timed(void)
{
	char c;
	struct iovec v = { &c, 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };
	int n = recvmmsg(silent_pair[0], &m, 1, 0, NULL);

	return expect_error(n, EAGAIN);
}

static int c_read_timed(void)
{
	char c;
	ssize_t n = read(silent_pair[0], &c, 1);

	return expect_error(n, EAGAIN);
}

static int c_accept_timed(void)
{
	int n = accept(listening_timed, NULL, NULL);

	return expect_error(n, EAGAIN);
}

static int c_send_timed(void)
{
	char block[4096] = "";
	ssize_t n = send(full_pair[0], block, sizeof block, MSG_NOSIGNAL);

	return expect_error(n, EAGAIN);
}

/* A listener whose queue is full does not answer. */
static int c_connect_timed(void)
{
	struct timeval t = { 0, MS * 1000 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
	r = connect(fd, (struct sockaddr *)&full_address, sizeof full_address);
	/* begun again after a stop, it ends with EALREADY: see the man page */
	r = expect_error(r, errno == EALREADY ? EALREADY : EINPROGRESS);
	close(fd);
	return r;
}

static int c_sem_wait(void)
{
	int r = sem_wait(&fed_sem);

	return r;
}

static int c_sem_timedwait(void)
{
	struct timespec t = time_of(now(CLOCK_REALTIME) + NS);
	int r = sem_timedwait(&never, &t);

	return expect_error(r, ETIMEDOUT);
}

static int c_futex_timed(void)
{
	struct timespec t = span();
	long r = syscall(SYS_futex, &futex_never, FUTEX_WAIT_PRIVATE, 0, &t,
			 NULL, 0);

	return expect_error(r, ETIMEDOUT);
}

static int c_futex(void)
{
	long r = syscall(SYS_futex, &futex_fed, FUTEX_WAIT_PRIVATE, 0, NULL,
			 NULL, 0);

	return r ? -1 : 0;
}

static int c_msgrcv(void)
{
	struct { long type; char text[8]; } m;
	ssize_t n = msgrcv(msg_queue, &m, sizeof m.text, 0, 0);

	return n == 1 ? 0 : -1;
}

static int c_semop(void)
{
	struct sembuf b = { 0, -1, 0 };
	int r = semop(sems, &b, 1);

	return r;
}

static int c_semtimedop(void)
{
	struct sembuf b = { 1, -1, 0 };
	struct timespec t = span();
	int r = semtimedop(sems, &b, 1, &t);

	return expect_error(r, EAGAIN);
}

static int c_sigtimedwait(void)
{
	struct timespec t = span();
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	r = sigtimedwait(&set, NULL, &t);
	return expect_error(r, EAGAIN);
}

static int c_wait4(void)
{
	int status;
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), r;

	if (!child) {
		struct timespec t = span();

		syscall(SYS_nanosleep, &t, NULL);
		syscall(SYS_exit_group, 7);
	}
	r = wait4(child, &status, 0, NULL);
	return r == child && WIFEXITED(status) && WEXITSTATUS(status) == 7
		? 0 : -1;
}

static int c_io_getevents(void)
{
	struct timespec t = span();
	struct io_event e;
	long r = syscall(SYS_io_getevents, aio, 1, 1, &e, &t);

	return (int)r;
}

/* Waits for a completion that never comes, with a timeout. */
static int c_io_uring(void)
{
	struct __kernel_timespec t = { 0, NS };
	struct io_uring_getevents_arg arg = { .ts = (uint64_t)(uintptr_t)&t };
	long r = syscall(SYS_io_uring_enter, ring, 0, 1,
			 IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
			 sizeof arg);

	return expect_error(r, ETIME);
}

static const struct {
	const char *name;
	int (*call)(void);
	bool timed;
} calls[] = {
	{ "nanosleep", c_nanosleep, true },
	{ "clock_nanosleep", c_clock_relative, true },
	{ "clock_nanosleep_abs", c_clock_absolute, true },
	{ "poll", c_poll, true },
	{ "poll_infinite", c_poll_fed, false },
	{ "ppoll", c_ppoll, true },
	{ "select", c_select, true },
	{ "pselect", c_pselect, true },
	{ "epoll_wait", c_epoll, true },
	{ "epoll_pwait", c_epoll_pwait, true },
	{ "epoll_pwait2", c_epoll_pwait2, true },
	{ "epoll_wait_infinite", c_epoll_fed, false },
	{ "read", c_read, false },
	{ "recv", c_recv, false },
	{ "accept", c_accept, false },
	{ "recv_timeout", c_recv_timed, true },
	{ "recvmsg_timeout", c_recvmsg_timed, true },
	{ "recvmmsg_timeout", c_recvmmsg_timed, true },
	{ "read_timeout", c_read_timed, true },
	{ "accept_timeout", c_accept_timed, true },
	{ "send_timeout", c_send_timed, true },
	{ "connect_timeout", c_connect_timed, true },
	{ "sem_wait", c_sem_wait, false },
	{ "sem_timedwait", c_sem_timedwait, true },
	{ "futex_timed", c_futex_timed, true },
	{ "futex", c_futex, false },
	{ "msgrcv", c_msgrcv, false },
	{ "semop", c_semop, false },
	{ "semtimedop", c_semtimedop, true },
	{ "sigtimedwait", c_sigtimedwait, true },
	{ "wait4", c_wait4, true },
	{ "io_getevents", c_io_getevents, true },
	{ "io_uring_enter", c_io_uring, true },
};

#define COUNT ((int)(sizeof calls / sizeof *calls))
_Static_assert(sizeof calls / sizeof *calls <= CALLS, "results");

const char *pa_calls_name(int i)
{
	return i < COUNT ? calls[i].name : NULL;
}

int pa_calls_timed(int i)
{
	return calls[i].timed;
}

static void set_time_limit(int fd)
{
	struct timeval t = { 0, MS * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

static int listen_at(struct sockaddr_in *address, int backlog)
{
	socklen_t n = sizeof *address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(address, 0, sizeof *address);
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)address, n) || listen(fd, backlog) ||
	    getsockname(fd, (struct sockaddr *)address, &n))
		return -1;
	return fd;
}

static void fill_queue(const struct sockaddr_in *address)
{
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC |
				SOCK_NONBLOCK, 0);

		connect(fd, (const struct sockaddr *)address, sizeof *address);
	}
}

static void fill_pair(int fd)
{
	char block[4096] = "";

	while (send(fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static int open_ring(void)
{
	struct io_uring_params p;

	memset(&p, 0, sizeof p);
	return (int)syscall(SYS_io_uring_setup, 4, &p);
}

int pa_calls_prepare(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct sockaddr_in unused;

	if (pipe(pipe_read) || pipe(pipe_poll) || pipe(silent) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair_recv) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair_poll) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, silent_pair) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, full_pair))
		return -1;
	set_time_limit(silent_pair[0]);
	set_time_limit(full_pair[0]);
	fill_pair(full_pair[0]);
	listening_fed = listen_at(&fed_address, 16);
	listening_timed = listen_at(&unused, 16);
	listening = listen_at(&full_address, 0);
	if (listening_fed < 0 || listening_timed < 0 || listening < 0)
		return -1;
	set_time_limit(listening_timed);
	fill_queue(&full_address);
	epoll_none = epoll_create1(0);
	epoll_fed = epoll_create1(0);
	epoll_ctl(epoll_fed, EPOLL_CTL_ADD, pair_poll[0], &e);
	sem_init(&never, 0, 0);
	sem_init(&fed_sem, 0, 0);
	msg_queue = msgget(IPC_PRIVATE, 0600);
	sems = semget(IPC_PRIVATE, 2, 0600);
	if (msg_queue < 0 || sems < 0 || syscall(SYS_io_setup, 4, &aio))
		return -1;
	ring = open_ring();
	return ring < 0 ? 1 : 0;	/* 1: no io_uring here */
}

void pa_calls_feed(volatile int *stop)
{
	struct { long type; char text[1]; } m = { 1, "x" };
	struct sembuf b = { 0, 1, 0 };
	struct timespec t = { 0, 90000000 };

	while (!*stop) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		nanosleep(&t, NULL);
		if (write(pipe_read[1], "x", 1) < 0 ||
		    write(pipe_poll[1], "x", 1) < 0 ||
		    write(pair_recv[1], "x", 1) < 0 ||
		    write(pair_poll[1], "x", 1) < 0)
			return;
		sem_post(&fed_sem);
		syscall(SYS_futex, &futex_fed, FUTEX_WAKE_PRIVATE, 1, NULL,
			NULL, 0);
		msgsnd(msg_queue, &m, 1, 0);
		semop(sems, &b, 1);
		connect(fd, (struct sockaddr *)&fed_address,
			sizeof fed_address);
		close(fd);
	}
	msgctl(msg_queue, IPC_RMID, NULL);
	semctl(sems, 0, IPC_RMID);
}

void pa_calls_run(int i, volatile int *stop)
{
	struct pa_calls_result *r = &pa_calls_results[i];

	r->tid = (int32_t)syscall(SYS_gettid);
	while (!*stop) {
		int64_t start = now(CLOCK_MONOTONIC), took;
		int64_t behind = start - now(CLOCK_MONOTONIC_COARSE);

		errno = 0;
		if (calls[i].call()) {
			r->last_errno = errno;
			r->wrong++;
			r->interrupted += errno == EINTR;
		}
		took = now(CLOCK_MONOTONIC) - start;
		/* the kernel counts the sockets' time from its last tick */
		if (calls[i].timed && took + behind < NS - 1000000) {
			r->early++;
			r->early_ns = took;
			r->behind_ns = behind;
		}
		if (calls[i].timed && took - NS > r->latest_ns)
			r->latest_ns = took - NS;
		r->calls++;
	}
}
