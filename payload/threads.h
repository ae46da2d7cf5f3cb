/* SPDX-License-Identifier: MIT
 *
 * Threads of the target as the sampler sees them: the countdown in TLS, the
 * record that belongs to it, exact totals over all of them.
 *
 * A thread is registered by its first slow entry and unregistered by a
 * pthread key's destructor; only between the two may its TLS be read by
 * others, under the store lock.  Functions named _locked need that lock.
 * Nothing here touches Python or holds the lock over a foreign call.
 */
#ifndef PA_PAYLOAD_THREADS_H
#define PA_PAYLOAD_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_LIKELY(x) __builtin_expect(!!(x), 1)
#define PA_UNLIKELY(x) __builtin_expect(!!(x), 0)

struct pa_thread;

/* No request above this is charged: none can succeed. */
#define PA_CHARGE_MAX ((size_t)1 << 62)

/*
 * A thread's own part, all zero in a new thread.  `left` is the countdown:
 * 0 or more, or PA_FORCED to bring the thread to the slow path at once.
 * The first 32 bytes are what the hooks touch, in one cache line.
 */
struct pa_tls {
	int64_t left;
	uint64_t calls;
	struct pa_thread *record;
	uint8_t busy;		/* in our slow path, or between the handlers of
				 * a fork: pass everything through */
	uint8_t nested;		/* below a MEM or OBJ call that was charged */
	uint8_t via;		/* the domain that hands this call on to RAW */
	uint8_t ending;		/* its key destructor ran */
	uint8_t ours;		/* the payload's own thread: never counted */
	uint8_t seen;		/* `ours`: domains whose hooks were entered */
	uint8_t loose;		/* lives without a record */
	uint8_t maker;		/* see pa_life_makers() */
	uint16_t loose_attach;
	uint8_t forks;		/* between the handlers of so many forks */
	/* of a thread without a record; loose_attach too */
	int64_t loose_draw;
	uint64_t loose_rate;
};
_Static_assert(sizeof(struct pa_tls) <= 64, "scarce: see the architecture");

#define PA_FORCED ((int64_t)-1)

extern __thread struct pa_tls pa_tls
	__attribute__((tls_model("initial-exec"), aligned(32)));

/* The whole of the fast path's arithmetic.  size < 2^63.  False: not
 * charged, go to the slow path. */
static inline bool pa_countdown(size_t size)
{
	int64_t left = pa_tls.left;

	if (PA_UNLIKELY(left <= (int64_t)size))
		return false;
	pa_tls.left = left - (int64_t)size - 1;
	/* after `left`, for pa_threads_totals_locked; a plain store on x86 */
	__atomic_store_n(&pa_tls.calls, pa_tls.calls + 1, __ATOMIC_RELEASE);
	return true;
}

/* Once in a process's life: memory for records, the key.  0 or -PA_E_. */
int pa_threads_init(void);

/* A new attach: totals at zero, every known thread starts anew. */
void pa_threads_begin_locked(uint64_t seed);

/* Before pa_threads_charge_locked, without the lock: see that the thread's
 * end will be told.  May allocate (pthread_setspecific). */
void pa_threads_enter(void);

/*
 * Charge size + 1 bytes at a slow entry of the calling thread.  True if the
 * allocation is to be sampled, with the rate of the draw that hit it.
 * size <= PA_CHARGE_MAX.
 */
bool pa_threads_charge_locked(uint64_t size, uint64_t *rate);

/* 32 uniform bits from the calling thread's generator; its tid. */
uint32_t pa_threads_luck_locked(void);
uint32_t pa_threads_tid_locked(void);

/* Bring every registered thread to the slow path at its next allocation,
 * to draw at the store's present rate. */
void pa_threads_force_locked(void);
/* Force again those whose own store overwrote it: how many these were. */
unsigned pa_threads_force_again_locked(void);

struct pa_totals {
	uint64_t bytes, calls;	/* exact, since pa_threads_begin_locked */
	uint64_t uncounted_max;	/* bytes of threads without a record */
};
void pa_threads_totals_locked(struct pa_totals *totals);

/* In a fork child: no thread but the caller is left.  The records are given up
 * as they are, somebody may have been changing them. */
void pa_threads_forget_locked(void);

#endif /* PA_PAYLOAD_THREADS_H */
