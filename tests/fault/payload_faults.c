/* SPDX-License-Identifier: MIT
 *
 * Faults in the payload, for tests only: linked into a payload of its own
 * (fault.so) whose calls of these functions arrive here by the linker's
 * --wrap.  The record below is found by its magic: the test writes it into
 * its copy of the file before the attach, and reads the counts out of the
 * target's memory.  Never installed.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/error.h"
#include "payload/jumps.h"

enum mode {
	OFF,
	FAIL,		/* the call fails with record.error */
	KILL_TOOL,	/* the tool dies just before the call */
};

/* Order and names are known to points.py as well. */
enum function {
	F_MMAP, F_MPROTECT, F_MADVISE, F_PTHREAD_CREATE, F_PTHREAD_KEY_CREATE,
	F_REGISTER_ATFORK, F_SOCKET, F_BIND, F_CHMOD, F_LISTEN, F_SOCKETPAIR,
	F_OPEN, F_READ, F_DLSYM, F_GIL_TAKE, F_JUMPS, F_SELF_TEST, F_COUNT,
};

struct record {
	char magic[16];
	uint32_t function, nth;	/* nth 0: every call */
	uint32_t mode, error;
	int32_t tool;
	uint32_t fired;
	uint32_t counts[32];
};

extern struct record pa_fault_record;
struct record pa_fault_record = { .magic = "pa-fault-record" };

/* True if this call is to fail. */
static bool point(enum function function)
{
	volatile struct record *r = &pa_fault_record;
	uint32_t n = __atomic_add_fetch(&pa_fault_record.counts[function], 1,
					__ATOMIC_RELAXED);

	if (r->mode == OFF || r->function != function ||
	    (r->nth && r->nth != n))
		return false;
	r->fired++;
	if (r->mode == KILL_TOOL) {
		syscall(SYS_kill, r->tool, SIGKILL);
		return false;
	}
	errno = (int)r->error;
	return true;
}

#define WRAP(id, type, name, failure, parameters, arguments)	\
	type __real_##name parameters;				\
	type __wrap_##name parameters;				\
	type __wrap_##name parameters				\
	{							\
		return point(id) ? (failure) : __real_##name arguments; \
	}

typedef void *(*routine)(void *);
typedef void (*action)(void);

WRAP(F_MMAP, void *, mmap, (void *)-1,
     (void *a, size_t n, int p, int f, int d, off_t o), (a, n, p, f, d, o))
WRAP(F_MPROTECT, int, mprotect, -1, (void *a, size_t n, int p), (a, n, p))
WRAP(F_MADVISE, int, madvise, -1, (void *a, size_t n, int h), (a, n, h))
WRAP(F_PTHREAD_CREATE, int, pthread_create, errno,
     (pthread_t *t, const pthread_attr_t *a, routine r, void *x), (t, a, r, x))
WRAP(F_PTHREAD_KEY_CREATE, int, pthread_key_create, errno,
     (pthread_key_t *k, void (*d)(void *)), (k, d))
WRAP(F_REGISTER_ATFORK, int, __register_atfork, errno,
     (action a, action b, action c, void *d), (a, b, c, d))
WRAP(F_SOCKET, int, socket, -1, (int d, int t, int p), (d, t, p))
WRAP(F_BIND, int, bind, -1,
     (int d, const struct sockaddr *a, socklen_t n), (d, a, n))
WRAP(F_CHMOD, int, chmod, -1, (const char *n, mode_t m), (n, m))
WRAP(F_LISTEN, int, listen, -1, (int d, int n), (d, n))
WRAP(F_SOCKETPAIR, int, socketpair, -1, (int d, int t, int p, int *e),
     (d, t, p, e))
WRAP(F_OPEN, int, open, -1, (const char *n, int f, mode_t m), (n, f, m))
WRAP(F_READ, ssize_t, read, -1, (int d, void *b, size_t n), (d, b, n))
WRAP(F_DLSYM, void *, dlsym, NULL, (void *h, const char *n), (h, n))
WRAP(F_GIL_TAKE, int, pa_python_gil_take, PA_E_GIL_TIMEOUT,
     (uint64_t d, const int *c), (d, c))
WRAP(F_JUMPS, bool, pa_jumps_entries, false,
     (const struct pa_jumps_spec *s, void **e), (s, e))
WRAP(F_SELF_TEST, bool, pa_python_self_test, false, (char *t, size_t n),
     (t, n))

_Static_assert(F_COUNT <= 32, "counts");
