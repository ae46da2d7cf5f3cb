/* SPDX-License-Identifier: MIT
 *
 * The slow paths of the hooks: account exactly, draw anew, take a sample.
 *
 * Rules: the store lock is never held while another allocator runs; nothing
 * here allocates by malloc; errno is as the real call left it.  The mark
 * `busy` is set while the lock is wanted or held: what enters a hook then (a
 * signal handler) goes straight to the real function and is counted as
 * dropped.
 */
#include <errno.h>
#include <string.h>

#include "payload/hooks.h"
#include "payload/hooks_internal.h"
#include "payload/life.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

static void count_dropped(void)
{
	__atomic_fetch_add(&pa_store_directory()->dropped, 1,
			   __ATOMIC_RELAXED);
}

/* May this entry take the lock? */
static bool usable(int domain)
{
	struct pa_tls *tls = &pa_tls;

	if (tls->ours) {
		tls->seen |= (uint8_t)(1u << domain);
		return false;
	}
	if (!__atomic_load_n(&pa_hooks_active, __ATOMIC_ACQUIRE))
		return false;
	if (tls->busy) {
		count_dropped();
		return false;
	}
	return pa_hooks_same_process();
}

/* Take the lock, if we are still sampling. */
static bool enter(void)
{
	pa_tls.busy = 1;
	pa_store_lock();
	if (pa_hooks_active)
		return true;
	pa_store_unlock();
	pa_tls.busy = 0;
	return false;
}

static void leave(void)
{
	pa_store_unlock();
	pa_tls.busy = 0;
}

/* ---- real calls ---- */

static void *call(const struct pa_allocator *saved,
		  const struct pa_request *r)
{
	switch (r->function) {
	case PA_HOOK_CALLOC:
		return saved->calloc(saved->ctx, r->count, r->size);
	case PA_HOOK_REALLOC:
		return saved->realloc(saved->ctx, NULL, r->size);
	default:
		return saved->malloc(saved->ctx, r->size);
	}
}

/* A charged call: RAW passes through what it hands on. */
static void *call_nested(const struct pa_request *r)
{
	uint8_t nested = pa_tls.nested;
	void *block;

	if (r->domain != PA_DOMAIN_RAW)
		pa_tls.nested = 1;
	block = call(pa_hooks[r->domain].saved, r);
	pa_tls.nested = nested;
	return block;
}

/*
 * Must a sampled block lie outside the pools?  Where free of the domain is
 * the interpreter's own, a block in a pool would vanish unseen; one that
 * the pools do not know is handed to RAW's free, which is ours.
 */
static bool outside_pools(int domain, size_t size)
{
	return domain != PA_DOMAIN_RAW && !pa_hooks[domain].free_hooked
		&& size - 1 < PA_POOL_MAX;
}

/*
 * Such a block: pymalloc is asked for more than its pools serve, so that it
 * counts the block (sys.getallocatedblocks) as it will count its free; what
 * is too much goes back.
 */
static void *call_outside_pools(int domain, bool zeroed, size_t size)
{
	const struct pa_allocator *raw = pa_hooks[PA_DOMAIN_RAW].saved;
	struct pa_request large = {
		.domain = domain,
		.function = zeroed ? PA_HOOK_CALLOC : PA_HOOK_MALLOC,
		.count = 1, .size = PA_POOL_MAX + 1, .total = PA_POOL_MAX + 1,
	};
	void *block = call_nested(&large), *cut;

	if (!block)
		return NULL;
	cut = raw->realloc(raw->ctx, block, size);
	return cut ? cut : block;
}

/* ---- taking a sample ---- */

static uint32_t site_locked(int domain)
{
	struct pa_directory *directory = pa_store_directory();
	bool full = false;
	uint32_t node;

	pa_store_make_room_locked();
	node = pa_python_capture_locked(domain, directory->frames_max, &full);
	if (node)
		return pa_store_site_locked(node, (uint32_t)domain);
	return full ? PA_SITE_FULL : PA_SITE_NO_PYTHON;
}

static void record(int domain, void *block, size_t size, uint64_t rate)
{
	struct pa_sample sample = {
		.address = (uint64_t)block, .size = size, .rate = rate,
		.domain = (uint32_t)domain,
	};

	if (!enter())
		return;
	/* its free passed us by: to 3.13 CPython swaps RAW for a moment in a
	 * fork child and at import */
	if (pa_store_maybe_hot(block))
		pa_store_remove_locked(sample.address, NULL);
	sample.site = site_locked(domain);
	sample.thread = pa_threads_tid_locked();
	sample.luck = pa_threads_luck_locked();
	pa_store_insert_locked(&sample);
	leave();
	pa_life_nudge();
}

/* Account for an entry; true if its allocation is to be sampled. */
static bool charge(size_t size, uint64_t *rate)
{
	bool sampled;

	pa_tls.busy = 1;
	pa_threads_enter();
	if (!enter())
		return false;
	sampled = pa_threads_charge_locked(size, rate);
	leave();
	return sampled;
}

static void *take_sample(const struct pa_request *r, uint64_t rate)
{
	void *block;

	if (outside_pools(r->domain, r->total))
		block = call_outside_pools(r->domain,
					   r->function == PA_HOOK_CALLOC,
					   r->total);
	else
		block = call_nested(r);
	if (block) {
		int saved = errno;

		record(r->label, block, r->total, rate);
		errno = saved;
	}
	return block;
}

void *pa_slow_allocate(const struct pa_request *r)
{
	uint64_t rate = 0;
	int saved = errno;
	bool sampled;

	if (r->total > PA_CHARGE_MAX)
		return call(pa_hooks[r->domain].saved, r);
	if (pa_countdown(r->total))
		return call_nested(r);
	if (!usable(r->domain))
		return call(pa_hooks[r->domain].saved, r);
	sampled = charge(r->total, &rate);
	errno = saved;
	return sampled ? take_sample(r, rate) : call_nested(r);
}

/* ---- realloc ---- */

/* Take the record of a block away; false if it has none. */
static bool detach_record(void *pointer, struct pa_live *live)
{
	bool had;

	if (!enter())
		return false;
	had = pa_store_remove_locked((uint64_t)pointer, live);
	leave();
	return had;
}

static void restore_record(const struct pa_live *live)
{
	if (!enter())
		return;
	pa_store_restore_locked(live);
	leave();
}

void *pa_slow_realloc(int domain, void *pointer, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[domain].saved;
	struct pa_live live;
	uint8_t nested = pa_tls.nested;
	int error = errno;
	bool had = false;
	void *block;

	if (usable(domain))
		had = detach_record(pointer, &live);
	errno = error;
	if (domain != PA_DOMAIN_RAW)
		pa_tls.nested = 1;
	block = saved->realloc(saved->ctx, pointer, size);
	pa_tls.nested = nested;
	if (!block) {
		/* size 0 and NULL: freed, by allocators other than CPython's */
		if (had && size) {
			error = errno;
			restore_record(&live);
			errno = error;
		}
		return NULL;
	}
	if (size <= PA_CHARGE_MAX && pa_countdown(size))
		return block;
	return pa_slow_realloc_done(domain, block, size);
}

/* Out of the pool, where its end would not be seen. */
static void *move_out(int domain, void *block, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[domain].saved;
	void *moved = call_outside_pools(domain, false, size);

	if (!moved)
		return NULL;
	memcpy(moved, block, size);
	saved->free(saved->ctx, block);
	return moved;
}

void *pa_slow_realloc_done(int domain, void *block, size_t size)
{
	uint64_t rate = 0;
	int saved = errno;
	void *moved;

	if (size > PA_CHARGE_MAX || !usable(domain))
		return block;
	if (!charge(size, &rate)) {
		errno = saved;
		return block;
	}
	if (outside_pools(domain, size)) {
		moved = move_out(domain, block, size);
		if (!moved) {
			count_dropped();
			errno = saved;
			return block;
		}
		block = moved;
	}
	record(domain, block, size, rate);
	errno = saved;
	return block;
}

/* ---- free ---- */

/* Before the real free: afterwards another thread may get the address. */
static void forget(void *pointer)
{
	int saved = errno;

	if (pa_tls.busy || !pa_hooks_same_process() || !enter())
		return;
	pa_store_remove_locked((uint64_t)pointer, NULL);
	leave();
	errno = saved;
}

void pa_slow_free(int domain, void *pointer)
{
	const struct pa_allocator *saved = pa_hooks[domain].saved;

	forget(pointer);
	saved->free(saved->ctx, pointer);
}
