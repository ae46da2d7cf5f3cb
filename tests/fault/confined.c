/* SPDX-License-Identifier: MIT
 *
 * A thread under a seccomp filter that a thread of Python would not outlive:
 * it installs the filter and then only sleeps.  Loaded through ctypes.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void pa_confined(const void *program, volatile int *tid, volatile int *beats);

void pa_confined(const void *program, volatile int *tid, volatile int *beats)
{
	const struct timespec pause = { 0, 1000000 };
	int own = (int)syscall(SYS_gettid);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, 2, program, 0, 0))
		own = -1;
	*tid = own;
	for (;;) {
		nanosleep(&pause, NULL);
		++*beats;
	}
}
