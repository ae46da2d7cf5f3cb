/* SPDX-License-Identifier: MIT
 *
 * The store's lock: a futex mutex in three states.  It must not allocate,
 * must leave errno alone, and must be one store to free in a fork child,
 * where its holder no longer exists.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "payload/store_internal.h"

enum { FREE = 0, HELD = 1, CONTENDED = 2 };
#define SPINS 200

static int lock_word;

static bool try_lock(void)
{
	int expected = FREE;

	return __atomic_compare_exchange_n(&lock_word, &expected, HELD, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void lock_slowly(void)
{
	int saved = errno;

	while (__atomic_exchange_n(&lock_word, CONTENDED, __ATOMIC_ACQUIRE)
	       != FREE)
		syscall(SYS_futex, &lock_word, FUTEX_WAIT_PRIVATE, CONTENDED,
			NULL, NULL, 0);
	errno = saved;
}

void pa_store_lock(void)
{
	for (int i = 0; i < SPINS; i++)
		if (__atomic_load_n(&lock_word, __ATOMIC_RELAXED) == FREE
		    && try_lock())
			return;
	lock_slowly();
}

void pa_store_unlock(void)
{
	if (__atomic_exchange_n(&lock_word, FREE, __ATOMIC_RELEASE)
	    == CONTENDED) {
		int saved = errno;

		syscall(SYS_futex, &lock_word, FUTEX_WAKE_PRIVATE, 1, NULL,
			NULL, 0);
		errno = saved;
	}
}

void pa_store_lock_reset(void)
{
	__atomic_store_n(&lock_word, FREE, __ATOMIC_RELEASE);
	pa_snapshot_reset();
}
