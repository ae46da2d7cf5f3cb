/* SPDX-License-Identifier: MIT
 *
 * Installing and removing the hooks; see hooks.h.
 *
 * No stop-the-world and no lock protects a swap of allocators, so every
 * state in between must be right: ctx is kept, the entries lie in the window
 * of what they replace (jumps.h), the saved allocator is published first and
 * never rewritten.  Order in: RAW, MEM, OBJ, because samples of MEM and OBJ
 * may rely on RAW's free; out: OBJ, MEM, RAW.
 */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "common/error.h"
#include "payload/hooks.h"
#include "payload/hooks_internal.h"
#include "payload/jumps.h"
#include "payload/python.h"
#include "payload/python_state.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#define SAVED_MAX 16
#define CHAIN_MAX 8

struct pa_hook pa_hooks[PA_DOMAIN_COUNT];
int pa_hooks_active;

/* Every allocator that was ever below us: a late call may still read it. */
static struct pa_allocator saved[PA_DOMAIN_COUNT][SAVED_MAX];
static unsigned saved_count[PA_DOMAIN_COUNT];

/* Our hooks are somewhere in the chain of the domain. */
static bool in_chain[PA_DOMAIN_COUNT];
static uint32_t owner_pid;
/* when they were not to be seen in the chain for the first time */
static bool unseen;
static uint64_t calls_when_unseen;

/*
 * A word that the kernel wipes in every copy of the process.  Asking for the
 * pid instead would be a third of a sample's price; a child that shares our
 * memory (vfork) is the same process to us, as it should be.
 */
static uint32_t *mark;

static void make_mark(void)
{
	void *page;

	if (mark)
		return;
	page = mmap(NULL, PA_IMAGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE
		    | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	if (madvise(page, PA_IMAGE_PAGE, MADV_WIPEONFORK) != 0)
		munmap(page, PA_IMAGE_PAGE);	/* before Linux 4.14 */
	else
		mark = page;
}

bool pa_hooks_same_process(void)
{
	return mark ? *mark != 0 : pa_getpid() == owner_pid;
}

static bool is_ours(int domain, const struct pa_allocator *a)
{
	return (const void *)a->malloc
		== pa_hot_functions[domain][PA_HOOK_MALLOC]
		|| pa_jumps_is(domain, PA_HOOK_MALLOC,
			       (const void *)a->malloc);
}

static bool on_top(int domain)
{
	struct pa_allocator now;

	pa_python_api.get_allocator(domain, &now);
	return is_ours(domain, &now);
}

/* ---- where in the chain? ---- */

typedef bool found_function(int domain, const struct pa_allocator *a);

/*
 * Follow ctx: who wraps an allocator keeps it as a struct of its own and
 * makes ctx point there (tracemalloc, memray).
 */
static bool reached_by_ctx(int domain, found_function *found)
{
	struct pa_allocator a;

	pa_python_api.get_allocator(domain, &a);
	for (int i = 0; i < CHAIN_MAX; i++) {
		if (found(domain, &a))
			return true;
		if (!a.ctx || !pa_safe_read(a.ctx, &a, sizeof a))
			return false;
	}
	return false;
}

/*
 * Hooks of another copy of the payload, which is sampling?  Where no low slot
 * is free the copies do not see each other's directories before; the GIL
 * decides, under which a copy puts its hooks in and says so.
 */
static bool is_rival(int domain, const struct pa_allocator *a)
{
	struct pa_jumps_mark theirs;
	struct pa_directory d;

	(void)domain;
	return pa_safe_read(pa_jumps_mark_of((const void *)a->malloc),
			    &theirs, sizeof theirs)
		&& theirs.magic == PA_JUMPS_MAGIC
		&& pa_safe_read((const void *)theirs.directory, &d,
				offsetof(struct pa_directory, identity_crc))
		&& pa_store_judge_rival(&d, theirs.directory)
		   != PA_RIVAL_NONE;
}

/* ---- putting in ---- */

/* A slot with these contents that stays as it is for ever, or NULL. */
static const struct pa_allocator *keep(int domain,
				       const struct pa_allocator *allocator)
{
	unsigned n = saved_count[domain];

	for (unsigned i = 0; i < n; i++)
		if (memcmp(&saved[domain][i], allocator,
			   sizeof *allocator) == 0)
			return &saved[domain][i];
	if (n == SAVED_MAX)
		return NULL;
	saved[domain][n] = *allocator;
	saved_count[domain] = n + 1;
	return &saved[domain][n];
}

/* What to put in place of `below`; false where no entry could be made. */
static bool make_hooks(int domain, const struct pa_allocator *below,
		       bool hook_free, struct pa_allocator *hooks)
{
	struct pa_jumps_spec spec = {
		.domain = domain,
		.hooks = pa_hot_functions[domain],
		.saved = {
			(void *)below->malloc, (void *)below->calloc,
			(void *)below->realloc, (void *)below->free,
		},
		.ctx = below->ctx,
		.tail_limit = pa_hooks[domain].tail_limit,
		.nested_passes = domain == PA_DOMAIN_RAW,
		.via = pa_hooks[domain].hands_on ? (uint8_t)domain : 0,
	};
	void *entry[PA_JUMPS_FUNCTIONS];

	if (!pa_jumps_entries(&spec, entry))
		return false;
	*hooks = *below;
	hooks->malloc = (void *(*)(void *, size_t))entry[PA_HOOK_MALLOC];
	hooks->calloc = (void *(*)(void *, size_t, size_t))
		entry[PA_HOOK_CALLOC];
	hooks->realloc = (void *(*)(void *, void *, size_t))
		entry[PA_HOOK_REALLOC];
	if (hook_free)
		hooks->free = (void (*)(void *, void *))entry[PA_HOOK_FREE];
	return true;
}

static bool set_hooks(int domain, const struct pa_allocator *below,
		      bool hook_free)
{
	struct pa_allocator hooks;

	if (!make_hooks(domain, below, hook_free, &hooks))
		return false;
	pa_python_api.set_allocator(domain, &hooks);
	return true;
}

/* Do our hooks sit below somebody else's?  Asked by an allocation. */
static bool reached_by_call(int domain)
{
	struct pa_allocator top;
	void *block;

	pa_python_api.get_allocator(domain, &top);
	pa_tls.left = 0;	/* so that the hook takes its slow path */
	pa_tls.seen = 0;
	block = top.malloc(top.ctx, 16);
	if (block)
		top.free(top.ctx, block);
	return pa_tls.seen >> domain & 1;
}

/* How requests travel below us, by the name that the interpreter gives to
 * the allocators that are installed now. */
struct below {
	bool pymalloc;
	size_t tail_limit;
};

static struct below look_below(void)
{
	const char *name = pa_python_api.allocator_name
		? pa_python_api.allocator_name() : NULL;
	struct below b = { false, 0 };

	if (!name)
		return b;
	if (strcmp(name, "pymalloc") == 0 && !pa_python_free_threaded()) {
		b.pymalloc = true;
		b.tail_limit = PA_POOL_MAX;
	} else if (strcmp(name, "malloc") == 0
		   || strcmp(name, "mimalloc") == 0) {
		b.tail_limit = PA_CHARGE_MAX;
	}
	return b;
}

static int install_domain(int domain, const struct below *below,
			  bool hook_free)
{
	struct pa_hook *hook = &pa_hooks[domain];
	struct pa_allocator now;
	const struct pa_allocator *kept;

	pa_python_api.get_allocator(domain, &now);
	if (is_ours(domain, &now)) {
		/* left in place when somebody above us had gone */
		if (hook_free && !hook->free_hooked) {
			set_hooks(domain, hook->saved, true);
			hook->free_hooked = true;
		}
		return 0;
	}
	if (in_chain[domain] && reached_by_call(domain))
		return 0;
	kept = keep(domain, &now);
	if (!kept)
		return PA_E_HOOK_FAILED;
	hook->tail_limit = domain == PA_DOMAIN_RAW ? PA_CHARGE_MAX
		: below->tail_limit;
	hook->hands_on = domain != PA_DOMAIN_RAW && below->pymalloc;
	hook->free_hooked = domain == PA_DOMAIN_RAW || hook_free;
	__atomic_store_n(&hook->saved, kept, __ATOMIC_RELEASE);
	if (!set_hooks(domain, kept, hook->free_hooked))
		return PA_E_HOOK_FAILED;
	in_chain[domain] = true;
	return 0;
}

static void begin(uint64_t seed)
{
	make_mark();
	owner_pid = pa_getpid();
	if (mark)
		*mark = 1;
	pa_store_lock();
	pa_threads_begin_locked(seed);
	__atomic_store_n(&pa_hooks_active, 1, __ATOMIC_RELEASE);
	pa_store_unlock();
}

int pa_hooks_install(uint64_t seed, struct pa_text *why)
{
	struct below below = look_below();
	bool hook_free;
	int error = 0;

	if (reached_by_ctx(PA_DOMAIN_RAW, is_rival)) {
		pa_text_string(why, "its payload came first");
		return PA_E_LOADING;
	}
	pa_store_lock();
	hook_free = !below.pymalloc
		|| pa_store_rate_locked() < PA_HOOKS_POOL_RATE;
	pa_store_unlock();
	begin(seed);
	for (int d = 0; d < PA_DOMAIN_COUNT && !error; d++)
		error = install_domain(d, &below, hook_free);
	if (!error)
		return 0;
	pa_hooks_remove();
	pa_text_string(why, "no page near the interpreter, or too many "
		       "different allocators below us");
	return error;
}

void pa_hooks_confirm(void)
{
	struct pa_allocator now;

	for (int d = 0; d < PA_DOMAIN_COUNT; d++) {
		pa_python_api.get_allocator(d, &now);
		if (!memcmp(&now, pa_hooks[d].saved, sizeof now))
			set_hooks(d, pa_hooks[d].saved,
				  pa_hooks[d].free_hooked);
	}
}

/* ---- free, when the rate falls ---- */

void pa_hooks_hook_free(void)
{
	for (int d = PA_DOMAIN_MEM; d < PA_DOMAIN_COUNT; d++) {
		struct pa_hook *hook = &pa_hooks[d];

		/* with somebody above us it stays as it is, which is right
		 * too, only slower */
		if (hook->free_hooked || !on_top(d)
		    || !set_hooks(d, hook->saved, true))
			continue;
		__atomic_store_n(&hook->free_hooked, true, __ATOMIC_RELEASE);
	}
}

bool pa_hooks_free_hooked(void)
{
	return pa_hooks[PA_DOMAIN_MEM].free_hooked
		|| pa_hooks[PA_DOMAIN_OBJ].free_hooked;
}

/* ---- are we called at all? ---- */

static uint64_t calls_now(void)
{
	struct pa_totals totals;

	pa_store_lock();
	pa_threads_totals_locked(&totals);
	pa_store_unlock();
	return totals.calls;
}

/*
 * Not to be seen in the chain: below a wrapper of another kind, or dropped.
 * Calls that still arrive, since that was noticed or within a moment, tell.
 */
static enum pa_image_hooks state_by_calls(void)
{
	uint64_t now = calls_now();

	if (!unseen) {
		unseen = true;
		calls_when_unseen = now;
	}
	for (int i = 0; i < 3 && now == calls_when_unseen; i++) {
		pa_sleep_ns(1000000);
		now = calls_now();
	}
	if (now == calls_when_unseen)
		return PA_HOOKS_BYPASSED;
	calls_when_unseen = now;
	return PA_HOOKS_ON;
}

enum pa_image_hooks pa_hooks_state(void)
{
	bool reached = true;

	if (pa_python_api.is_finalizing && pa_python_api.is_finalizing())
		return PA_HOOKS_ON;	/* nobody may be asked any more */
	for (int d = 0; d < PA_DOMAIN_COUNT; d++)
		reached = reached && reached_by_ctx(d, is_ours);
	if (!reached)
		return state_by_calls();
	unseen = false;
	return PA_HOOKS_ON;
}

/* ---- taking out ---- */

/* Is the top one of those that were below us?  Then no hook of ours is. */
static bool known_below(int domain)
{
	struct pa_allocator top, a;

	pa_python_api.get_allocator(domain, &top);
	for (unsigned i = 0; i < saved_count[domain]; i++) {
		a = saved[domain][i];
		for (int k = 0; k < CHAIN_MAX; k++) {
			if (memcmp(&a, &top, sizeof a) == 0)
				return true;
			if (!a.ctx || !pa_safe_read(a.ctx, &a, sizeof a))
				break;
		}
	}
	return false;
}

enum pa_image_hooks pa_hooks_remove(void)
{
	enum pa_image_hooks state = PA_HOOKS_OFF;

	for (int d = PA_DOMAIN_COUNT - 1; d >= 0; d--) {
		if (!in_chain[d])
			continue;
		if (on_top(d)) {
			pa_python_api.set_allocator(d, (struct pa_allocator *)
						    pa_hooks[d].saved);
			in_chain[d] = false;
		} else if (reached_by_ctx(d, is_ours) || !known_below(d)) {
			/* or below a wrapper that cannot be read: the next
			 * install finds out by a call, for which this thread
			 * lacks the GIL */
			state = PA_HOOKS_PASS_THROUGH;
		}
	}
	pa_store_lock();
	__atomic_store_n(&pa_hooks_active, 0, __ATOMIC_RELEASE);
	pa_store_unlock();
	return state;
}
