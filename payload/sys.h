/* SPDX-License-Identifier: MIT
 *
 * System calls that the oldest C library we load under (2.17) has no
 * function for, or has under another name than today's headers: the names
 * that this file keeps out of the payload's symbol table are fstat, lstat,
 * gettid, getrandom and fcntl64.  Any thread; nothing here allocates.
 */
#ifndef PA_PAYLOAD_SYS_H
#define PA_PAYLOAD_SYS_H

#include <fcntl.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline uint32_t pa_gettid(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

/* The pid that the kernel knows: old C libraries cache getpid(). */
static inline uint32_t pa_getpid(void)
{
	return (uint32_t)syscall(SYS_getpid);
}

static inline uint64_t pa_clock_ns(clockid_t clock)
{
	struct timespec ts = { 0, 0 };

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static inline int pa_fstat(int fd, struct stat *st)
{
	return (int)syscall(SYS_fstat, fd, st);
}

static inline int pa_lstat(const char *path, struct stat *st)
{
	return (int)syscall(SYS_newfstatat, AT_FDCWD, path, st,
			    AT_SYMLINK_NOFOLLOW);
}

static inline int pa_fcntl(int fd, int command, long argument)
{
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

static inline void pa_sleep_ns(long ns)
{
	struct timespec ts = { ns / 1000000000, ns % 1000000000 };

	nanosleep(&ts, NULL);
}

static inline void pa_futex_wait(int *word, int value, long timeout_ns)
{
	struct timespec ts = { 0, timeout_ns };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &ts, NULL, 0);
}

static inline void pa_futex_wake(int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* Is the thread of this process still known to the kernel? */
static inline bool pa_tid_alive(uint32_t pid, uint32_t tid)
{
	return syscall(SYS_tgkill, pid, tid, 0) == 0;
}

/* 64 random bits; where the kernel gives none, a mix that differs between
 * processes and calls (it seeds a sampler, it guards nothing). */
static inline uint64_t pa_random_seed(void)
{
	uint64_t seed = 0;

	if (syscall(SYS_getrandom, &seed, sizeof seed, 1) == sizeof seed)
		return seed;
	return pa_clock_ns(CLOCK_REALTIME) * 0x9e3779b97f4a7c15ull
		^ pa_clock_ns(CLOCK_MONOTONIC) << 20
		^ (uint64_t)pa_getpid() << 40 ^ (uint64_t)&seed;
}

#endif /* PA_PAYLOAD_SYS_H */
