/* SPDX-License-Identifier: MIT
 *
 * The directory page: mapped once in a process's life, at a low slot where
 * one is free, between guards; and the facts about the process that it
 * states.  It is never unmapped and never moves.
 */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "payload/store_internal.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE ((size_t)PA_IMAGE_PAGE)
/* Where no slot is free: what a reader probes in steps of. */
#define PROBE_STEP (2u << 20)

uint64_t pa_store_clock(int clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

size_t pa_store_read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	if (fd >= 0) {
		while (length < size - 1
		       && (n = read(fd, text + length, size - 1 - length)) > 0)
			length += (size_t)n;
		close(fd);
	}
	text[length] = 0;
	return length;
}

static uint64_t number(const char *s, unsigned base)
{
	uint64_t value = 0;

	for (;; s++) {
		unsigned digit = (unsigned)(*s >= 'a' ? *s - 'a' + 10
					    : *s - '0');

		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

/* Field 22; the name in parentheses may itself hold ") ". */
static uint64_t start_time(void)
{
	char text[1024], *p = NULL;
	size_t n = pa_store_read_file("/proc/self/stat", text, sizeof(text));

	for (size_t i = 0; i < n; i++)
		if (text[i] == ')')
			p = text + i;
	for (int field = 2; p && *p; p++)
		if (*p == ' ' && ++field == 22)
			return number(p + 1, 10);
	return 0;
}

static void read_boot_id(uint8_t id[16])
{
	char text[64];
	size_t n = pa_store_read_file("/proc/sys/kernel/random/boot_id", text,
				      sizeof(text));
	unsigned nibble = 0;

	memset(id, 0, 16);
	for (size_t i = 0; i < n && nibble < 32; i++) {
		char digit[2] = { text[i], 0 };

		if (text[i] == '-')
			continue;
		id[nibble / 2] = (uint8_t)(id[nibble / 2] << 4
					   | number(digit, 16));
		nibble++;
	}
}

void pa_store_stamp_process(void)
{
	struct pa_directory *d = pa_store.directory;
	char text[32];

	d->pid = (uint32_t)getpid();
	d->start_time = start_time();
	pa_store_read_file("/proc/self/coredump_filter", text, sizeof(text));
	d->coredump_filter = (uint32_t)number(text, 16);
	read_boot_id(d->boot_id);
	pa_store_seal_identity();
}

void pa_store_seal_identity(void)
{
	struct pa_directory *d = pa_store.directory;

	d->identity_crc = pa_crc32(0, d, offsetof(struct pa_directory,
						  identity_crc));
}

uint64_t pa_store_rss(void)
{
	char text[128], *p = text;

	pa_store_read_file("/proc/self/statm", text, sizeof(text));
	while (*p && *p != ' ')
		p++;
	return *p ? number(p + 1, 10) * (uint64_t)getpagesize() : 0;
}

static void *map_none(void *at, size_t bytes, int flags)
{
	void *p = mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS
		       | MAP_NORESERVE | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Three pages around a low slot; NULL if none is free. */
static char *map_slot(void)
{
	for (unsigned k = 0; k < PA_SLOT_COUNT; k++) {
		char *at = (char *)(PA_SLOT_FIRST + k * PA_SLOT_STEP) - PAGE;
		char *p = map_none(at, 3 * PAGE, MAP_FIXED_NOREPLACE);

		if (p == at)
			return p;
		if (p)		/* a kernel that does not know the flag */
			munmap(p, 3 * PAGE);
	}
	return NULL;
}

/* Three pages whose middle lies at a multiple of PROBE_STEP. */
static char *map_anywhere(void)
{
	size_t all = 2 * (size_t)PROBE_STEP, before;
	char *p = map_none(NULL, all, 0), *middle;

	if (!p)
		return NULL;
	middle = (char *)(((uintptr_t)p + PAGE + PROBE_STEP - 1)
			  & ~(uintptr_t)(PROBE_STEP - 1));
	before = (size_t)(middle - PAGE - p);
	if (before)
		munmap(p, before);
	munmap(middle + 2 * PAGE, all - before - 3 * PAGE);
	return middle - PAGE;
}

int pa_store_map_directory(void)
{
	struct pa_directory *d;
	bool low = true;
	char *p;

	if (pa_store.directory)
		return 0;
	p = map_slot();
	if (!p) {
		low = false;
		p = map_anywhere();
	}
	if (!p)
		return PA_E_NO_MEMORY_LEFT;
	if (mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE) != 0) {
		munmap(p, 3 * PAGE);
		return PA_E_NO_MEMORY_LEFT;
	}
	d = (struct pa_directory *)(void *)(p + PAGE);
	d->major = PA_IMAGE_MAJOR;
	d->minor = PA_IMAGE_MINOR;
	d->header_size = sizeof(*d);
	d->self = (uint64_t)(uintptr_t)d;
	d->endian = PA_IMAGE_ENDIAN;
	d->page_size = PA_IMAGE_PAGE;
	d->flags = low ? PA_FLAG_LOW_SLOT : 0;
	memcpy(d->magic, PA_IMAGE_MAGIC, sizeof(d->magic));
	pa_store.directory = d;
	pa_store_stamp_process();	/* the CRC makes it valid: last */
	return 0;
}

struct pa_directory *pa_store_directory(void)
{
	return pa_store.directory;
}
