/* SPDX-License-Identifier: MIT
 *
 * Faults in the tool, for tests only: every call of these functions that
 * the tool makes arrives here by the linker's --wrap.  Between two of them
 * nothing changes that a target could see, so that dying before and after
 * each stands for dying at any instant.  Never installed.
 *
 * PA_FAULT=FUNCTION:N:before|after|stop|ERRNO[,and a second one]
 *                                          at the Nth call (0: every call)
 *                                          die, stop until SIGCONT comes, or
 *                                          fail with that number
 * PA_FAULT_COUNTS=FILE                     write how often each was called
 * PA_FAULT_THREAD=TID                      try no other thread
 * PA_FAULT_UNSAFE=N                        let the first N threads go
 * PA_FAULT_RANKS=1                         tell which is preferred to which
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "injector/safepoint.h"
#include "injector/threads.h"

static const char *const names[] = {
	"ptrace", "openat", "open", "pwrite", "write", "sendfile", "fchmod",
	"fchown", "unlinkat", "waitid", "syscall", "pthread_create",
	"getrandom", "fstat", "fstatvfs", "nanosleep", "process_vm_readv",
};

enum function {
	F_PTRACE, F_OPENAT, F_OPEN, F_PWRITE, F_WRITE, F_SENDFILE, F_FCHMOD,
	F_FCHOWN, F_UNLINKAT, F_WAITID, F_SYSCALL, F_PTHREAD_CREATE,
	F_GETRANDOM, F_FSTAT, F_FSTATVFS, F_NANOSLEEP, F_READV, F_COUNT,
};

static unsigned counts[F_COUNT];

static struct wish {
	int function, error;
	unsigned nth;
	char how;	/* 'b'efore, 'a'fter, 's'top, 'e'rror */
} wishes[2] = { { .function = -1 }, { .function = -1 } };

static void write_counts(void)
{
	const char *path = getenv("PA_FAULT_COUNTS");
	FILE *out = path ? fopen(path, "w") : NULL;

	for (int i = 0; out && i < F_COUNT; i++)
		fprintf(out, "%s %u\n", names[i], counts[i]);
	if (out)
		fclose(out);
}

static void read_wish(struct wish *wish, const char *text)
{
	char name[32], mode[16];

	if (sscanf(text, "%31[a-z_]:%u:%15[a-z0-9]", name, &wish->nth,
		   mode) != 3)
		return;
	for (int i = 0; i < F_COUNT; i++)
		if (!strcmp(name, names[i]))
			wish->function = i;
	wish->error = atoi(mode);
	wish->how = wish->error ? 'e' : mode[0];
}

__attribute__((constructor)) static void read_wishes(void)
{
	const char *text = getenv("PA_FAULT");

	atexit(write_counts);
	if (!text)
		return;
	read_wish(&wishes[0], text);
	text = strchr(text, ',');
	if (text)
		read_wish(&wishes[1], text + 1);
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* What is wished of this call once it begins; NULL: nothing more. */
static const struct wish *wish_of(enum function f)
{
	unsigned n = __atomic_add_fetch(&counts[f], 1, __ATOMIC_RELAXED);
	const struct wish *left = NULL;

	for (int i = 0; i < 2; i++) {
		const struct wish *w = &wishes[i];

		if ((int)f != w->function || (w->nth && n != w->nth))
			continue;
		if (w->how == 'b')
			die();
		if (w->how == 's')
			raise(SIGSTOP);
		else
			left = w;
	}
	if (left)
		errno = left->error;
	return left;
}

#define WRAP(id, type, name, parameters, arguments)			\
	type __real_##name parameters;					\
	type __wrap_##name parameters;					\
	type __wrap_##name parameters					\
	{								\
		const struct wish *w = wish_of(id);			\
		type result = w && w->how == 'e' ? (type)-1		\
			: __real_##name arguments;			\
									\
		if (w && w->how == 'a')					\
			die();						\
		return result;						\
	}

typedef void *(*routine)(void *);

/* the variadic ones: never more than these, and extra ones do no harm */
WRAP(F_PTRACE, long, ptrace, (int r, pid_t p, void *a, void *d), (r, p, a, d))
WRAP(F_OPENAT, int, openat, (int d, const char *n, int f, mode_t m),
     (d, n, f, m))
WRAP(F_OPEN, int, open, (const char *n, int f, mode_t m), (n, f, m))
WRAP(F_SYSCALL, long, syscall, (long n, long a, long b, long c, long d, long e),
     (n, a, b, c, d, e))
WRAP(F_PWRITE, ssize_t, pwrite, (int d, const void *b, size_t n, off_t o),
     (d, b, n, o))
WRAP(F_WRITE, ssize_t, write, (int d, const void *b, size_t n), (d, b, n))
WRAP(F_SENDFILE, ssize_t, sendfile, (int o, int i, off_t *a, size_t n),
     (o, i, a, n))
WRAP(F_FCHMOD, int, fchmod, (int d, mode_t m), (d, m))
WRAP(F_FCHOWN, int, fchown, (int d, uid_t u, gid_t g), (d, u, g))
WRAP(F_UNLINKAT, int, unlinkat, (int d, const char *n, int f), (d, n, f))
WRAP(F_WAITID, int, waitid, (idtype_t t, id_t p, siginfo_t *s, int o),
     (t, p, s, o))
WRAP(F_GETRANDOM, ssize_t, getrandom, (void *b, size_t n, unsigned f), (b, n, f))
WRAP(F_FSTAT, int, fstat, (int d, struct stat *s), (d, s))
WRAP(F_FSTATVFS, int, fstatvfs, (int d, struct statvfs *s), (d, s))
WRAP(F_NANOSLEEP, int, nanosleep,
     (const struct timespec *t, struct timespec *r), (t, r))
WRAP(F_READV, ssize_t, process_vm_readv,
     (pid_t p, const struct iovec *l, unsigned long n, const struct iovec *r,
      unsigned long m, unsigned long f), (p, l, n, r, m, f))

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, routine r,
			  void *x);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, routine r,
			  void *x);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, routine r,
			  void *x)
{
	const struct wish *w = wish_of(F_PTHREAD_CREATE);
	int result = w && w->how == 'e' ? w->error
		: __real_pthread_create(t, a, r, x);

	if (w && w->how == 'a')
		die();
	return result;
}

/* ---- which thread ---- */

size_t __real_pa_threads_list(int dir, struct pa_candidate *list, size_t max);
size_t __wrap_pa_threads_list(int dir, struct pa_candidate *list, size_t max);
size_t __wrap_pa_threads_list(int dir, struct pa_candidate *list, size_t max)
{
	const char *wanted = getenv("PA_FAULT_THREAD");
	size_t n = __real_pa_threads_list(dir, list, max);

	for (size_t i = 0; getenv("PA_FAULT_RANKS") && i < n; i++)
		fprintf(stderr, "rank %d %u\n", (int)list[i].tid,
			list[i].rank);
	if (!wanted)
		return n;
	for (size_t i = 0; i < n; i++)
		if (list[i].tid == atoi(wanted)) {
			list[0] = list[i];
			return 1;
		}
	return 0;
}

bool __real_pa_safepoint_check(struct pa_safepoint *safe,
			       const struct pa_regs *regs, unsigned below);
bool __wrap_pa_safepoint_check(struct pa_safepoint *safe,
			       const struct pa_regs *regs, unsigned below);
bool __wrap_pa_safepoint_check(struct pa_safepoint *safe,
			       const struct pa_regs *regs, unsigned below)
{
	const char *wanted = getenv("PA_FAULT_UNSAFE");
	static int refused;
	bool good = __real_pa_safepoint_check(safe, regs, below);

	if (!wanted || refused >= atoi(wanted))
		return good;
	refused++;
	safe->reason = "a test says so";
	return false;
}
