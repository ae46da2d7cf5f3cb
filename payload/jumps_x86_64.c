/* SPDX-License-Identifier: MIT
 *
 * jumps.h for x86-64.  A page is filled while it is writable and only then
 * made executable.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "payload/jumps.h"
#include "payload/store.h"
#include "payload/threads.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE 4096ul
#define STEP 0x10000ul		/* distance of the places tried */
#define STRIDE 0x1000000ul
#define NEAR 64
#define LOWEST 0x10000ul	/* mmap_min_addr of most systems */
#define PAGES_MAX 64
#define ENTRY_SIZE 256		/* the longest has 130 bytes or so */
#define MARK (PAGE - sizeof(struct pa_jumps_mark))
#define SLOTS (ENTRY_SIZE * PA_JUMPS_FUNCTIONS)	/* of addresses */

static struct {
	uint8_t *start;
	struct pa_jumps_spec spec;
} pages[PAGES_MAX];
static unsigned page_count;

/* ---- places ---- */

static bool same_window(const void *a, const void *b)
{
	return (uintptr_t)a >> 32 == (uintptr_t)b >> 32;
}

static void *map_at(uintptr_t address)
{
	void *page = mmap((void *)address, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			  -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	if (page != (void *)address) {
		/* a kernel that takes the flag for a hint */
		munmap(page, PAGE);
		return NULL;
	}
	return page;
}

/* The first free place from `from` down to `to`. */
static void *map_below(uintptr_t from, uintptr_t to, uintptr_t step)
{
	void *page;

	for (uintptr_t a = from; a >= to + step; a -= step)
		if ((page = map_at(a - step)))
			return page;
	return NULL;
}

/*
 * A free page in the window.  Downwards first: above an executable lies its
 * brk heap, which must be free to grow.  Near at first, then in strides over
 * what may be a row of libraries, at last everywhere: the GIL is held.
 */
static void *map_near(const void *near)
{
	uintptr_t start = (uintptr_t)near & ~(STEP - 1);
	uintptr_t first = (uintptr_t)near >> 32 << 32;
	uintptr_t top = first + 0xffff0000ul;
	uintptr_t low = first > LOWEST ? first : LOWEST;
	uintptr_t close = start - low > NEAR * STEP ? start - NEAR * STEP : low;
	void *page = map_below(start, close, STEP);

	if (!page)
		page = map_below(start, low, STRIDE);
	if (!page)
		page = map_below(top, start, STRIDE);
	if (!page)
		page = map_below(start, low, STEP);
	return page ? page : map_below(top, start, STEP);
}

/* ---- code ---- */

struct code {
	uint8_t *page;
	uint8_t *at;
};

#define EMIT(code, ...) do {						\
	static const uint8_t bytes_[] = { __VA_ARGS__ };		\
	memcpy((code)->at, bytes_, sizeof bytes_);			\
	(code)->at += sizeof bytes_;					\
} while (0)

static void emit_32(struct code *code, int64_t value)
{
	int32_t low = (int32_t)value;

	memcpy(code->at, &low, 4);
	code->at += 4;
}

/* A 32-bit distance to be filled in by here(). */
static uint8_t *later(struct code *code)
{
	emit_32(code, 0);
	return code->at;
}

static void here(struct code *code, uint8_t *after)
{
	int32_t distance = (int32_t)(code->at - after);

	memcpy(after - 4, &distance, 4);
}

/* jmp *slot(%rip), or jmp where the distance fits. */
static void emit_jump(struct code *code, void *target, unsigned slot)
{
	uint8_t *cell = code->page + SLOTS + slot * sizeof target;
	int64_t distance = (int64_t)target - (int64_t)(code->at + 5);

	if (distance == (int32_t)distance) {
		EMIT(code, 0xe9);
		emit_32(code, distance);
		return;
	}
	memcpy(cell, &target, sizeof target);
	EMIT(code, 0xff, 0x25);
	emit_32(code, cell - (code->at + 4));
}

/* movabs into rcx (0xb9) or rdi (0xbf). */
static void emit_load(struct code *code, uint8_t opcode, uint64_t value)
{
	EMIT(code, 0x48);
	*code->at++ = opcode;
	memcpy(code->at, &value, 8);
	code->at += 8;
}

/* Where a TLS variable of ours lies from %fs: the same in every thread. */
static int64_t tls_offset(const void *variable)
{
	const char *thread;

	__asm__("mov %%fs:0, %0" : "=r"(thread));
	return (const char *)variable - thread;
}

/* Above that no mark is set: it must fit into an immediate. */
#define VIA_MAX 0x7fffffff

/* The saved function, in tail position.  Its ctx is loaded anew, as the
 * hooks do. */
static void emit_saved(struct code *code, const struct pa_jumps_spec *spec,
		       unsigned function)
{
	emit_load(code, 0xbf, (uint64_t)spec->ctx);
	emit_jump(code, spec->saved[function], function);
}

static void emit_hook(struct code *code, const struct pa_jumps_spec *spec,
		      unsigned function)
{
	emit_jump(code, spec->hooks[function],
		  PA_JUMPS_FUNCTIONS + function);
}

/* A jump that is taken below a call that was charged. */
static uint8_t *emit_if_nested(struct code *code)
{
	EMIT(code, 0x64, 0x80, 0x3c, 0x25);		/* cmpb $0,%fs:nested */
	emit_32(code, tls_offset(&pa_tls.nested));
	EMIT(code, 0x00, 0x0f, 0x85);			/* jne */
	return later(code);
}

static void emit_via(struct code *code, uint8_t domain)
{
	EMIT(code, 0x64, 0xc6, 0x04, 0x25);		/* movb $,%fs:via */
	emit_32(code, tls_offset(&pa_tls.via));
	*code->at++ = domain;
}

/* calloc and realloc, where nested calls pass. */
static void emit_other(struct code *code, const struct pa_jumps_spec *spec,
		       unsigned function)
{
	uint8_t *nested;

	if (!spec->nested_passes) {
		emit_hook(code, spec, function);
		return;
	}
	nested = emit_if_nested(code);
	emit_hook(code, spec, function);
	here(code, nested);
	emit_saved(code, spec, function);
}

/*
 * malloc(ctx in rdi, size in rsi): pa_countdown() and a jump; or only the mark
 * by which RAW's entry, the next one, knows where it came from.
 */
static void emit_malloc(struct code *code, const struct pa_jumps_spec *spec)
{
	size_t limit = spec->tail_limit < 0x7fffffff ? spec->tail_limit
		: 0x7fffffff;
	uint8_t *large, *low, *huge, *nested = NULL;

	if (spec->nested_passes)
		nested = emit_if_nested(code);
	EMIT(code, 0x48, 0x8d, 0x46, 0xff);		/* lea -1(%rsi),%rax */
	EMIT(code, 0x48, 0x3d);				/* cmp $limit,%rax */
	emit_32(code, (int64_t)limit);
	EMIT(code, 0x0f, 0x83);				/* jae */
	large = later(code);
	EMIT(code, 0x64, 0x48, 0x8b, 0x04, 0x25);	/* mov %fs:left,%rax */
	emit_32(code, tls_offset(&pa_tls.left));
	EMIT(code, 0x48, 0x39, 0xf0);			/* cmp %rsi,%rax */
	EMIT(code, 0x0f, 0x8e);				/* jle */
	low = later(code);
	EMIT(code, 0x48, 0x29, 0xf0);			/* sub %rsi,%rax */
	EMIT(code, 0x48, 0xff, 0xc8);			/* dec %rax */
	EMIT(code, 0x64, 0x48, 0x89, 0x04, 0x25);	/* mov %rax,%fs:left */
	emit_32(code, tls_offset(&pa_tls.left));
	EMIT(code, 0x64, 0x48, 0xff, 0x04, 0x25);	/* incq %fs:calls */
	emit_32(code, tls_offset(&pa_tls.calls));
	if (nested) {
		emit_via(code, 0);
		here(code, nested);
	}
	emit_saved(code, spec, 0);
	here(code, large);
	if (spec->via) {
		EMIT(code, 0x48, 0x3d);			/* cmp $,%rax */
		emit_32(code, VIA_MAX);
		EMIT(code, 0x0f, 0x83);			/* jae */
		huge = later(code);
		emit_via(code, spec->via);
		emit_saved(code, spec, 0);
		here(code, huge);
	}
	here(code, low);
	emit_hook(code, spec, 0);
}

/* free(ctx in rdi, block in rsi): pa_store_maybe_hot() and a jump. */
static void emit_free(struct code *code, const struct pa_jumps_spec *spec)
{
	uint8_t *hot;

	EMIT(code, 0x48, 0x89, 0xf0);			/* mov %rsi,%rax */
	EMIT(code, 0x48, 0xc1, 0xe8, PA_HOT_REGION_SHIFT);	/* shr,%rax */
	emit_load(code, 0xb9, PA_HOT_MULTIPLIER);
	EMIT(code, 0x48, 0x0f, 0xaf, 0xc1);		/* imul %rcx,%rax */
	EMIT(code, 0x48, 0xc1, 0xe8, PA_HOT_LINE_SHIFT);	/* shr,%rax */
	EMIT(code, 0x48, 0xc1, 0xe0, 6);		/* shl,%rax */
	EMIT(code, 0x89, 0xf1);				/* mov %esi,%ecx */
	EMIT(code, 0xc1, 0xe9, PA_HOT_GRAIN_SHIFT + 6);	/* shr,%ecx */
	EMIT(code, 0x83, 0xe1, 7);			/* and $7,%ecx */
	EMIT(code, 0x48, 0x8d, 0x04, 0xc8);	/* lea (%rax,%rcx,8),%rax */
	emit_load(code, 0xb9, (uint64_t)pa_store_bitmap);
	EMIT(code, 0x48, 0x8b, 0x04, 0x08);	/* mov (%rax,%rcx),%rax */
	EMIT(code, 0x89, 0xf1);				/* mov %esi,%ecx */
	EMIT(code, 0xc1, 0xe9, PA_HOT_GRAIN_SHIFT);	/* shr,%ecx */
	EMIT(code, 0x48, 0xd3, 0xe8);			/* shr %cl,%rax */
	EMIT(code, 0xa8, 1);				/* test $1,%al */
	EMIT(code, 0x0f, 0x85);				/* jne */
	hot = later(code);
	emit_saved(code, spec, 3);
	here(code, hot);
	emit_hook(code, spec, 3);
}

static void put_mark(uint8_t *page)
{
	const struct pa_jumps_mark mark = {
		PA_JUMPS_MAGIC, (uint64_t)pa_store_directory(),
	};

	memcpy(page + MARK, &mark, sizeof mark);
}

static uint8_t *make_page(const struct pa_jumps_spec *spec, const void *near)
{
	struct code code;
	uint8_t *page = map_near(near);

	if (!page)
		return NULL;
	code = (struct code){ page, page };
	emit_malloc(&code, spec);
	for (unsigned i = 1; i < 3; i++) {
		code.at = page + i * ENTRY_SIZE;
		emit_other(&code, spec, i);
	}
	code.at = page + 3 * ENTRY_SIZE;
	emit_free(&code, spec);
	put_mark(page);
	if (mprotect(page, PAGE, PROT_READ | PROT_EXEC) != 0) {
		munmap(page, PAGE);
		return NULL;
	}
	return page;
}

static bool same_spec(const struct pa_jumps_spec *a,
		      const struct pa_jumps_spec *b)
{
	return a->domain == b->domain && a->hooks == b->hooks
		&& a->ctx == b->ctx && a->tail_limit == b->tail_limit
		&& a->nested_passes == b->nested_passes && a->via == b->via
		&& memcmp(a->saved, b->saved, sizeof a->saved) == 0;
}

/* ---- jumps.h ---- */

static uint8_t *page_for(const struct pa_jumps_spec *spec, const void *near)
{
	for (unsigned i = 0; i < page_count; i++)
		if (same_window(pages[i].start, near)
		    && same_spec(&pages[i].spec, spec))
			return pages[i].start;
	if (page_count == PAGES_MAX)
		return NULL;
	pages[page_count].start = make_page(spec, near);
	if (!pages[page_count].start)
		return NULL;
	pages[page_count].spec = *spec;
	return pages[page_count++].start;
}

bool pa_jumps_entries(const struct pa_jumps_spec *spec,
		      void *entries[PA_JUMPS_FUNCTIONS])
{
	for (int i = 0; i < PA_JUMPS_FUNCTIONS; i++) {
		uint8_t *page = page_for(spec, spec->saved[i]);

		if (page)
			entries[i] = page + i * ENTRY_SIZE;
		else if (same_window(spec->hooks[i], spec->saved[i]))
			entries[i] = spec->hooks[i];
		else
			return false;
	}
	return true;
}

const struct pa_jumps_mark *pa_jumps_mark_of(const void *address)
{
	return (const void *)(((uintptr_t)address & ~(PAGE - 1)) + MARK);
}

bool pa_jumps_is(int domain, int function, const void *address)
{
	for (unsigned i = 0; i < page_count; i++)
		if (pages[i].spec.domain == domain
		    && address == pages[i].start + function * ENTRY_SIZE)
			return true;
	return false;
}
