/* SPDX-License-Identifier: MIT
 *
 * To be preloaded: whoever gets a lock by flock makes a child just then, by
 * the bare system call, so that no handler knows of it.  It keeps copies of
 * all descriptors and lives as long as its parent.
 */
#define _GNU_SOURCE
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void live_beside(long parent)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	while (syscall(SYS_getppid) == parent)
		syscall(SYS_nanosleep, &pause, NULL);
	syscall(SYS_exit_group, 0);
}

int flock(int fd, int operation)
{
	long parent = syscall(SYS_getpid);
	int result = (int)syscall(SYS_flock, fd, operation);

	/* no signal tells of its end: a wait() of the target finds nothing */
	if (result == 0 && (operation & LOCK_EX)
	    && syscall(SYS_clone, 0, 0, 0, 0, 0) == 0)
		live_beside(parent);
	return result;
}
