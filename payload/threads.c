/* SPDX-License-Identifier: MIT
 *
 * Thread records and exact accounting.  See threads.h.
 *
 * Why the totals are exact.  A record holds `draw`, the countdown's value
 * when it was last set; what its thread charged since is draw - left, with
 * `left` in the thread's TLS.  Only the thread itself lowers `left`, by a
 * load and a store that are two steps; all else happens under the store
 * lock, in which the thread cannot be on its fast path if it is the caller.
 *
 * Forcing (a new rate) exchanges `left` for PA_FORCED and keeps the old
 * value in `saved`.  The thread may be between its load of v and its store
 * of v - k.  Then the exchange returns the same v (nobody else writes), and
 * either the store has not come yet: left is PA_FORCED and saved is v, the
 * k bytes are a call in flight; or it has: left is v - k, which is right,
 * and saved is stale.  As a countdown is never negative, PA_FORCED cannot be
 * a value of it, so "saved if left is PA_FORCED, else left" is the true
 * countdown in every interleaving, for the thread as for a reader.  The
 * price of an overwritten mark is only that the thread was not forced:
 * pa_threads_force_again_locked finds it (its record's epoch is old and left
 * is not PA_FORCED) and forces it again.
 *
 * A forced thread draws anew before its allocation is tested; what was left
 * of the old countdown is thrown away.  That is unbiased because the force
 * does not depend on the countdown.  A thread that comes by itself, its
 * countdown used up, is sampled at the rate of its draw whatever the epoch.
 *
 * A signal handler that allocates between load and store of its own thread
 * loses its charge: it is in no total.  Python's own handlers do not.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "common/error.h"
#include "payload/hooks.h"
#include "payload/sampler.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

struct pa_thread {
	struct pa_tls *tls;	/* of a live thread, else NULL */
	struct pa_thread *next_free;
	int64_t draw;
	int64_t saved;		/* what PA_FORCED replaced */
	uint64_t charged;	/* bytes + 1 a call, up to the last draw */
	uint64_t calls_base;	/* tls->calls when the totals began */
	uint64_t rate;		/* of the draw */
	uint64_t epoch;		/* of the draw */
	struct pa_random random;
	uint32_t tid;
	uint32_t reserved;
};

#define RECORDS_MAX 16384u	/* untouched ones cost no memory */

__thread struct pa_tls pa_tls
	__attribute__((tls_model("initial-exec"), aligned(32)));

static struct {
	struct pa_thread *records;
	unsigned used;		/* records ever used: the rest is untouched */
	struct pa_thread *free;
	pthread_key_t key;
	bool have_key;
	uint64_t epoch;		/* of the rate in force */
	uint16_t attach;	/* number of this attach, for loose threads */
	uint64_t seed, streams;
	struct pa_random random;	/* of threads without a record */
	/* one countdown for all threads that are ending */
	int64_t shared_left;
	uint64_t shared_rate;
	bool shared_drawn;
	/* of threads that have ended, or account here at once */
	uint64_t charged, calls;
	uint64_t outstanding;	/* draws of loose threads */
} pool;

static int64_t true_left(const struct pa_thread *record)
{
	int64_t left = __atomic_load_n(&record->tls->left, __ATOMIC_RELAXED);

	return left == PA_FORCED ? record->saved : left;
}

static void draw_locked(struct pa_thread *record)
{
	record->rate = pa_store_rate_locked();
	record->epoch = pool.epoch;
	record->draw = pa_sampler_draw(&record->random, record->rate);
}

/* ---- registering and its end ---- */

/* NULL also if it was given up: a signal handler may have forked while this
 * thread was here, and this is the child. */
static struct pa_thread *own_record_locked(void)
{
	struct pa_thread *record = pa_tls.record;

	return record && record < pool.records + pool.used
		&& record->tls == &pa_tls ? record : NULL;
}

static void release_locked(struct pa_thread *record)
{
	record->tls = NULL;
	record->next_free = pool.free;
	pool.free = record;
}

/* The pthread key's destructor: from here on the thread is charged call by
 * call, and nobody reads its TLS. */
static void thread_ends(void *value)
{
	struct pa_thread *record;

	(void)value;
	/* in a copy of the process that no handler ran in the lock may be held
	 * for ever */
	if (!pa_hooks_same_process()) {
		pa_tls.ending = 1;
		return;
	}
	pa_tls.busy++;
	pa_store_lock();
	record = own_record_locked();
	if (record) {
		pool.charged += record->charged
			+ (uint64_t)(record->draw - true_left(record));
		pool.calls += pa_tls.calls - record->calls_base;
		release_locked(record);
	}
	pa_tls.record = NULL;
	pa_tls.left = 0;
	pa_tls.ending = 1;
	pa_store_unlock();
	pa_tls.busy--;
}

int pa_threads_init(void)
{
	size_t bytes = RECORDS_MAX * sizeof(struct pa_thread);
	void *memory;

	if (pool.records)
		return 0;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE
		      | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return PA_E_NO_MEMORY_LEFT;
	pool.have_key = pthread_key_create(&pool.key, thread_ends) == 0;
	pool.records = memory;
	return 0;
}

void pa_threads_enter(void)
{
	struct pa_tls *tls = &pa_tls;

	if (PA_LIKELY(tls->record || tls->ending || tls->loose))
		return;
	if (!pool.have_key || pthread_setspecific(pool.key, tls) != 0)
		tls->loose = 1;
}

static struct pa_thread *register_locked(struct pa_tls *tls)
{
	struct pa_thread *record = pool.free;

	if (record)
		pool.free = record->next_free;
	else if (pool.used < RECORDS_MAX)
		record = &pool.records[pool.used++];
	else
		return NULL;
	*record = (struct pa_thread){ .calls_base = tls->calls };
	record->tid = pa_gettid();
	pa_random_init(&record->random,
		       pool.seed + ++pool.streams * 0xd1342543de82ef95ull);
	draw_locked(record);
	tls->left = record->draw;
	tls->record = record;
	record->tls = tls;
	return record;
}

/* ---- charging ---- */

/* A thread after its key's destructor: every call comes here, and all such
 * threads share one countdown. */
static bool charge_ending_locked(uint64_t size, uint64_t *rate)
{
	if (!pool.shared_drawn) {
		pool.shared_rate = pa_store_rate_locked();
		pool.shared_left = pa_sampler_draw(&pool.random,
						   pool.shared_rate);
		pool.shared_drawn = true;
	}
	pool.charged += size + 1;
	pool.calls++;
	if (pool.shared_left > (int64_t)size) {
		pool.shared_left -= (int64_t)size + 1;
		return false;
	}
	*rate = pool.shared_rate;
	pool.shared_drawn = false;
	return true;
}

/* A thread that nobody would tell us the end of (no key, or no record):
 * its TLS is its own, so it adds to the totals at its slow entries only. */
static bool charge_loose_locked(struct pa_tls *tls, uint64_t size,
				uint64_t *rate)
{
	bool fresh = tls->loose_attach != pool.attach;
	bool sampled = !fresh && tls->left <= (int64_t)size;

	tls->loose = 1;
	if (!fresh) {
		pool.outstanding -= (uint64_t)tls->loose_draw;
		pool.charged += (uint64_t)(tls->loose_draw - tls->left);
		pool.calls += tls->calls;
	}
	pool.charged += size + 1;
	pool.calls++;
	tls->calls = 0;
	*rate = tls->loose_rate;
	tls->loose_attach = pool.attach;
	tls->loose_rate = pa_store_rate_locked();
	tls->loose_draw = pa_sampler_draw(&pool.random, tls->loose_rate);
	if (fresh && tls->loose_draw <= (int64_t)size) {
		/* the first draw hit this very allocation */
		*rate = tls->loose_rate;
		tls->loose_draw = pa_sampler_draw(&pool.random, *rate);
		sampled = true;
	} else if (fresh) {
		tls->loose_draw -= (int64_t)size + 1;
	}
	tls->left = tls->loose_draw;
	pool.outstanding += (uint64_t)tls->loose_draw;
	return sampled;
}

bool pa_threads_charge_locked(uint64_t size, uint64_t *rate)
{
	struct pa_tls *tls = &pa_tls;
	struct pa_thread *record = own_record_locked();
	int64_t left;

	if (tls->ending)
		return charge_ending_locked(size, rate);
	if (!record && !tls->loose)
		record = register_locked(tls);
	if (!record)
		return charge_loose_locked(tls, size, rate);
	left = true_left(record);
	if (tls->left == PA_FORCED) {
		record->charged += (uint64_t)(record->draw - left);
		draw_locked(record);
		left = record->draw;
	}
	tls->calls++;
	if (left > (int64_t)size) {
		tls->left = left - (int64_t)size - 1;
		return false;
	}
	record->charged += (uint64_t)(record->draw - left) + size + 1;
	*rate = record->rate;
	draw_locked(record);
	tls->left = record->draw;
	return true;
}

uint32_t pa_threads_luck_locked(void)
{
	struct pa_thread *record = own_record_locked();

	return (uint32_t)(pa_random_next(record ? &record->random
					 : &pool.random) >> 32);
}

uint32_t pa_threads_tid_locked(void)
{
	const struct pa_thread *record = own_record_locked();

	return record ? record->tid : pa_gettid();
}

/* ---- all threads ---- */

static void force(struct pa_thread *record)
{
	int64_t old = __atomic_exchange_n(&record->tls->left, PA_FORCED,
					  __ATOMIC_SEQ_CST);

	if (old != PA_FORCED)
		record->saved = old;
}

void pa_threads_force_locked(void)
{
	pool.epoch++;
	pool.shared_drawn = false;
	pa_threads_force_again_locked();
}

unsigned pa_threads_force_again_locked(void)
{
	unsigned forced = 0;

	for (unsigned i = 0; i < pool.used; i++) {
		struct pa_thread *r = &pool.records[i];

		if (!r->tls || r->epoch == pool.epoch
		    || __atomic_load_n(&r->tls->left, __ATOMIC_RELAXED)
		       == PA_FORCED)
			continue;
		force(r);
		forced++;
	}
	return forced;
}

void pa_threads_begin_locked(uint64_t seed)
{
	pool.seed = seed;
	pool.streams = 0;
	pool.charged = pool.calls = pool.outstanding = 0;
	pool.attach++;
	pa_random_init(&pool.random, seed);
	pa_threads_force_locked();
	for (unsigned i = 0; i < pool.used; i++) {
		struct pa_thread *r = &pool.records[i];

		if (!r->tls)
			continue;
		r->charged = 0;
		r->draw = true_left(r);
		r->calls_base = r->tls->calls;
		pa_random_init(&r->random, seed + ++pool.streams
			       * 0xd1342543de82ef95ull);
	}
}

/*
 * The same instant of both counters of a running thread: `left` changes
 * before `calls`, so equal calls around it mean that at most the allocation
 * in flight is in one and not in the other.
 */
static void add_live(const struct pa_thread *record, uint64_t *charged,
		     uint64_t *calls)
{
	const uint64_t *counter = &record->tls->calls;
	uint64_t before, after;
	int64_t left;
	int tries = 0;

	after = __atomic_load_n(counter, __ATOMIC_ACQUIRE);
	do {
		before = after;
		left = true_left(record);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = __atomic_load_n(counter, __ATOMIC_ACQUIRE);
	} while (before != after && ++tries < 1000);
	*charged += record->charged + (uint64_t)(record->draw - left);
	*calls += before - record->calls_base;
}

void pa_threads_totals_locked(struct pa_totals *totals)
{
	uint64_t charged = pool.charged, calls = pool.calls;

	for (unsigned i = 0; i < pool.used; i++)
		if (pool.records[i].tls)
			add_live(&pool.records[i], &charged, &calls);
	totals->bytes = charged - calls;
	totals->calls = calls;
	totals->uncounted_max = pool.outstanding;
}

void pa_threads_forget_locked(void)
{
	pool.free = NULL;
	pool.used = 0;
	pa_tls.record = NULL;
	pa_tls.left = 0;
}
