/* SPDX-License-Identifier: MIT
 *
 * jumps.h for x86-64: a page of `jmp *slot(%rip)`, each beside its slot,
 * filled while it is writable and only then made executable.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "payload/jumps.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE 4096ul
#define STEP 0x10000ul		/* distance of the places tried */
#define LOWEST 0x10000ul	/* mmap_min_addr of most systems */
#define WINDOWS_MAX 8

struct jump {
	uint8_t code[8];	/* jmp *2(%rip); two bytes of filling */
	uint64_t slot;
};

static void *const *functions;
static unsigned function_count;
static struct jump *pages[WINDOWS_MAX];

static bool same_window(const void *a, const void *b)
{
	return (uintptr_t)a >> 32 == (uintptr_t)b >> 32;
}

void pa_jumps_init(void *const *list, unsigned count)
{
	functions = list;
	function_count = count;
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

/*
 * A free page in the window.  Downwards first: above an executable lies its
 * brk heap, which must be free to grow.
 */
static void *map_near(const void *near)
{
	uintptr_t start = (uintptr_t)near & ~(STEP - 1);
	uintptr_t first = (uintptr_t)near >> 32 << 32;
	uintptr_t last = first + 0xfffff000ul, a;
	void *page;

	for (a = start; a > first && a > LOWEST; a -= STEP)
		if ((page = map_at(a - STEP)))
			return page;
	for (a = last & ~(STEP - 1); a > start; a -= STEP)
		if ((page = map_at(a)))
			return page;
	return NULL;
}

static struct jump *make_page(const void *near)
{
	static const uint8_t code[8] = { 0xff, 0x25, 2, 0, 0, 0, 0x66, 0x90 };
	struct jump *page = map_near(near);

	if (!page)
		return NULL;
	for (unsigned i = 0; i < function_count; i++) {
		memcpy(page[i].code, code, sizeof code);
		page[i].slot = (uint64_t)functions[i];
	}
	if (mprotect(page, PAGE, PROT_READ | PROT_EXEC) != 0) {
		munmap(page, PAGE);
		return NULL;
	}
	return page;
}

void *pa_jumps_entry(unsigned index, const void *near)
{
	if (same_window(functions[index], near))
		return functions[index];
	for (int i = 0; i < WINDOWS_MAX; i++) {
		if (!pages[i])
			pages[i] = make_page(near);
		if (!pages[i])
			return NULL;
		if (same_window(pages[i], near))
			return &pages[i][index];
	}
	return NULL;
}

bool pa_jumps_is(unsigned index, const void *address)
{
	if (address == functions[index])
		return true;
	for (int i = 0; i < WINDOWS_MAX && pages[i]; i++)
		if (address == &pages[i][index])
			return true;
	return false;
}
