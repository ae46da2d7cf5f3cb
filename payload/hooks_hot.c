/* SPDX-License-Identifier: MIT
 *
 * What every allocation of the target passes through: count down, call the
 * saved function in tail position.  No call, lock, division or system call
 * may be added here; tests/ and bench/ hold the price.
 *
 * A request is charged once.  pymalloc hands more than 512 bytes on to RAW in
 * the same call: such a one only gets the mark `via`, and RAW's hook charges
 * it in the name of the other domain.  Where that is not known to happen (0
 * bytes, realloc, other allocators) it is charged here and is a real call,
 * with the mark `nested` that lets RAW's hooks pass it through.
 */
#include "common/image.h"
#include "payload/hooks_internal.h"
#include "payload/store.h"
#include "payload/threads.h"

#define HOT static inline __attribute__((always_inline))

/* 1 .. tail_limit: nothing below comes back to us. */
HOT bool stays_below(int domain, size_t size)
{
	return PA_LIKELY(size - 1 < pa_hooks[domain].tail_limit);
}

/* Below it lies RAW's hook, which is to charge it. */
HOT bool handed_on(int domain, size_t size)
{
	if (!pa_hooks[domain].hands_on || size - 1 >= PA_CHARGE_MAX)
		return false;
	pa_tls.via = (uint8_t)domain;
	return true;
}

/* Charged here, or by RAW below. */
HOT bool passes(int domain, size_t size)
{
	if (!stays_below(domain, size))
		return handed_on(domain, size);
	if (PA_UNLIKELY(!pa_countdown(size)))
		return false;
	if (domain == PA_DOMAIN_RAW)
		pa_tls.via = 0;
	return true;
}

/* RAW's slow path has to know where the call came from. */
HOT int label_of(int domain)
{
	int via = domain == PA_DOMAIN_RAW ? pa_tls.via : 0;

	if (via)
		pa_tls.via = 0;
	return via ? via : domain;
}

static __attribute__((noinline)) void *
allocate(int domain, enum pa_hook_function function, size_t count, size_t size,
	 size_t total)
{
	return pa_slow_allocate(&(struct pa_request){
		.domain = domain, .function = function, .count = count,
		.size = size, .total = total, .label = label_of(domain) });
}

HOT void *malloc_hot(int domain, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[domain].saved;

	if (PA_LIKELY(passes(domain, size)))
		return saved->malloc(saved->ctx, size);
	return allocate(domain, PA_HOOK_MALLOC, 1, size, size);
}

HOT void *calloc_hot(int domain, size_t count, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[domain].saved;
	size_t total;

	if (PA_UNLIKELY(__builtin_mul_overflow(count, size, &total)))
		return saved->calloc(saved->ctx, count, size);
	if (PA_LIKELY(passes(domain, total)))
		return saved->calloc(saved->ctx, count, size);
	return allocate(domain, PA_HOOK_CALLOC, count, size, total);
}

/*
 * Success counts as a new allocation of the full new size: charged after the
 * call, when the old record is gone.
 */
HOT void *realloc_hot(int domain, void *pointer, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[domain].saved;
	uint8_t nested = pa_tls.nested;
	void *block;

	if (!pointer) {
		if (PA_LIKELY(passes(domain, size)))
			return saved->realloc(saved->ctx, NULL, size);
		return allocate(domain, PA_HOOK_REALLOC, 1, size, size);
	}
	if (PA_UNLIKELY(pa_store_maybe_hot(pointer)))
		return pa_slow_realloc(domain, pointer, size);
	if (domain != PA_DOMAIN_RAW)
		pa_tls.nested = 1;
	block = saved->realloc(saved->ctx, pointer, size);
	pa_tls.nested = nested;
	if (PA_UNLIKELY(!block) || PA_LIKELY(pa_countdown(size)))
		return block;
	return pa_slow_realloc_done(domain, block, size);
}

HOT void free_hot(int domain, void *pointer)
{
	const struct pa_allocator *saved;

	if (PA_UNLIKELY(pa_store_maybe_hot(pointer))) {
		pa_slow_free(domain, pointer);
		return;
	}
	saved = pa_hooks[domain].saved;
	saved->free(saved->ctx, pointer);
}

/* ---- RAW: a nested call was charged by the outer domain ---- */

static void *raw_malloc(void *ctx, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[PA_DOMAIN_RAW].saved;

	(void)ctx;
	if (pa_tls.nested)
		return saved->malloc(saved->ctx, size);
	return malloc_hot(PA_DOMAIN_RAW, size);
}

static void *raw_calloc(void *ctx, size_t count, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[PA_DOMAIN_RAW].saved;

	(void)ctx;
	if (pa_tls.nested)
		return saved->calloc(saved->ctx, count, size);
	return calloc_hot(PA_DOMAIN_RAW, count, size);
}

static void *raw_realloc(void *ctx, void *pointer, size_t size)
{
	const struct pa_allocator *saved = pa_hooks[PA_DOMAIN_RAW].saved;

	(void)ctx;
	if (pa_tls.nested)
		return saved->realloc(saved->ctx, pointer, size);
	return realloc_hot(PA_DOMAIN_RAW, pointer, size);
}

static void raw_free(void *ctx, void *pointer)
{
	(void)ctx;
	free_hot(PA_DOMAIN_RAW, pointer);
}

/* ---- MEM and OBJ ---- */

#define DEFINE_HOOKS(name, domain)					\
static void *name##_malloc(void *ctx, size_t size)			\
{									\
	(void)ctx;							\
	return malloc_hot(domain, size);				\
}									\
static void *name##_calloc(void *ctx, size_t count, size_t size)	\
{									\
	(void)ctx;							\
	return calloc_hot(domain, count, size);				\
}									\
static void *name##_realloc(void *ctx, void *pointer, size_t size)	\
{									\
	(void)ctx;							\
	return realloc_hot(domain, pointer, size);			\
}									\
static void name##_free(void *ctx, void *pointer)			\
{									\
	(void)ctx;							\
	free_hot(domain, pointer);					\
}

DEFINE_HOOKS(mem, PA_DOMAIN_MEM)
DEFINE_HOOKS(obj, PA_DOMAIN_OBJ)

void *const pa_hot_functions[3][PA_HOOK_FUNCTIONS] = {
	{ (void *)raw_malloc, (void *)raw_calloc, (void *)raw_realloc,
	  (void *)raw_free },
	{ (void *)mem_malloc, (void *)mem_calloc, (void *)mem_realloc,
	  (void *)mem_free },
	{ (void *)obj_malloc, (void *)obj_calloc, (void *)obj_realloc,
	  (void *)obj_free },
};
