/* SPDX-License-Identifier: MIT
 *
 * The store's lock: a futex mutex whose word names its holder.  It must not
 * allocate, must leave errno alone, and must be one store to free in a fork
 * child.  There its holder no longer exists; or it is the very thread that
 * forked, in a signal handler, and gives back later what it has no more.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "payload/store_internal.h"

/* 0 is free; else the holder above these two bits. */
enum { FREE = 0, CONTENDED = 1, HELD = 2 };
#define SPINS 200

static uint32_t lock_word;

/* No two threads have their errno in one page. */
static uint32_t held_by_me(void)
{
	return (uint32_t)((uintptr_t)&errno >> 12 << 2) | HELD;
}

static bool swap(uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&lock_word, &from, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void lock_slowly(uint32_t mine)
{
	int saved = errno;

	for (;;) {
		uint32_t word = __atomic_load_n(&lock_word, __ATOMIC_RELAXED);

		if (word == FREE) {
			/* others may wait still */
			if (swap(FREE, mine | CONTENDED))
				break;
		} else if (word & CONTENDED || swap(word, word | CONTENDED)) {
			syscall(SYS_futex, &lock_word, FUTEX_WAIT_PRIVATE,
				word | CONTENDED, NULL, NULL, 0);
		}
	}
	errno = saved;
}

void pa_store_lock(void)
{
	uint32_t mine = held_by_me();

	for (int i = 0; i < SPINS; i++)
		if (__atomic_load_n(&lock_word, __ATOMIC_RELAXED) == FREE
		    && swap(FREE, mine))
			return;
	lock_slowly(mine);
}

void pa_store_unlock(void)
{
	uint32_t mine = held_by_me(), word;

	do {
		word = __atomic_load_n(&lock_word, __ATOMIC_RELAXED);
		if ((word & ~(uint32_t)CONTENDED) != mine)
			return;
	} while (!swap(word, FREE));
	if (word & CONTENDED) {
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
