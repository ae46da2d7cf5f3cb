/* SPDX-License-Identifier: MIT
 *
 * For forking.py, and to be preloaded by it: forks and allocations of C code
 * that has let the GIL go, a start of the sampler that is held up or cannot be
 * begun anew, and a fork by a signal handler whose thread was about to tell the
 * kernel that pages are in use, as the sampler does in the middle of a sample.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* in every C library that a target may have */
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");

#define KEPT 64

/* ---- a child, and no return to Python ---- */

int fork_then_read(void)
{
	int status = -1, pid = fork();
	char byte;

	if (pid == 0)
		_exit(7);
	waitpid(pid, &status, 0);
	dprintf(1, "{\"answer\": %d}\n", status);
	return read(0, &byte, 1) == 1;
}

/* ---- a start that is held up ---- */

enum { PASS, HOLD, GO };
static int start_is_to;

void start_shall(int value)
{
	__atomic_store_n(&start_is_to, value, __ATOMIC_SEQ_CST);
}

static long call_of_main(void)
{
	char name[64], text[64] = "";
	int fd;

	snprintf(name, sizeof name, "/proc/self/task/%d/syscall", getpid());
	fd = open(name, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof text - 1) < 1)
		text[0] = 0;
	close(fd);
	return text[0] >= '0' && text[0] <= '9' ? atol(text) : -1;
}

/* The sampler's thread, which names itself first, goes on when the main one
 * forks and waits for it. */
int pthread_setname_np(pthread_t thread, const char *name)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int ours = strcmp(name, "pyattach") == 0;

	(void)thread;
	while (ours && __atomic_load_n(&start_is_to, __ATOMIC_SEQ_CST) == HOLD)
		nanosleep(&pause, NULL);
	while (ours && __atomic_load_n(&start_is_to, __ATOMIC_SEQ_CST) == GO
	       && call_of_main() != SYS_futex)
		nanosleep(&pause, NULL);
	return prctl(PR_SET_NAME, name);
}

/* ---- no thread ---- */

static int no_threads;	/* so many are refused */

void threads_shall_fail(int times)
{
	__atomic_store_n(&no_threads, times, __ATOMIC_SEQ_CST);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
		   void *(*run)(void *), void *argument)
{
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
		      void *) = dlsym(RTLD_NEXT, "pthread_create");

	if (__atomic_load_n(&no_threads, __ATOMIC_SEQ_CST) > 0) {
		__atomic_fetch_sub(&no_threads, 1, __ATOMIC_SEQ_CST);
		return EAGAIN;
	}
	return create(thread, attributes, run, argument);
}

/* ---- allocations without the GIL ---- */

static int stop;

void stop_churning(int value)
{
	__atomic_store_n(&stop, value, __ATOMIC_SEQ_CST);
}

void churn(void *(*allocate)(size_t), void (*release)(void *))
{
	void *kept[KEPT] = { NULL };

	for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); i++) {
		release(kept[i % KEPT]);
		kept[i % KEPT] = allocate(100 + i % 500);
	}
	for (unsigned i = 0; i < KEPT; i++)
		release(kept[i]);
}

/* ---- a signal amid a sample ---- */

static volatile sig_atomic_t armed, child = -1;

static void fork_here(int number)
{
	(void)number;
	child = fork();
}

void arm(void)
{
	struct sigaction action = { .sa_handler = fork_here };

	sigaction(SIGUSR2, &action, NULL);
	child = -1;
	armed = 1;
}

/* The pid of the child, 0 in the child, -1 before. */
int forked(void)
{
	return child;
}

int madvise(void *address, size_t bytes, int advice)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	if (armed && advice == MADV_DODUMP && strcmp(name, "pyattach") != 0) {
		armed = 0;
		raise(SIGUSR2);
	}
	return (int)syscall(SYS_madvise, address, bytes, advice);
}
