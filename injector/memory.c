/* SPDX-License-Identifier: MIT
 *
 * Reading and writing a target's memory (see memory.h).
 */
#include "injector/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define KEEP_MAX (16u << 20)

int pa_memory_init(struct pa_memory *memory, pid_t pid, int fd)
{
	memset(memory, 0, sizeof *memory);
	memory->pid = pid;
	memory->fd = fd;
	memory->pages = malloc((size_t)PA_MEMORY_PAGES * PAGE);
	return memory->pages ? 0 : -1;
}

bool pa_memory_is_gone(int fd)
{
	char byte;

	/* any address: one that is not mapped gives an error, not an end */
	return pread(fd, &byte, 1, PAGE) == 0;
}

void pa_memory_forget(struct pa_memory *memory)
{
	for (unsigned i = 0; i < memory->area_count; i++)
		free(memory->area[i].bytes);
	memory->area_count = 0;
	memset(memory->page_tag, 0, sizeof memory->page_tag);
}

void pa_memory_deinit(struct pa_memory *memory)
{
	pa_memory_forget(memory);
	free(memory->pages);
	memory->pages = NULL;
}

static ssize_t fetch(const struct pa_memory *memory, uint64_t address,
		     void *buffer, size_t n)
{
	struct iovec local = { buffer, n };
	struct iovec remote = { (void *)(uintptr_t)address, n };
	ssize_t got = process_vm_readv(memory->pid, &local, 1, &remote, 1, 0);

	/* a filter on our side, or a kernel without the call */
	if (got < 0 && (errno == ENOSYS || errno == EPERM) && memory->fd >= 0)
		got = pread(memory->fd, buffer, n, (off_t)address);
	return got;
}

size_t pa_memory_read_some(const struct pa_memory *memory, uint64_t address,
			   void *buffer, size_t n)
{
	ssize_t got = fetch(memory, address, buffer, n);

	return got > 0 ? (size_t)got : 0;
}

int pa_memory_read(const struct pa_memory *memory, uint64_t address,
		   void *buffer, size_t n)
{
	ssize_t got = fetch(memory, address, buffer, n);

	if (got == (ssize_t)n)
		return 0;
	if (got >= 0)
		errno = EFAULT;
	return -1;
}

int pa_memory_write(const struct pa_memory *memory, uint64_t address,
		    const void *buffer, size_t n)
{
	ssize_t put = pwrite(memory->fd, buffer, n, (off_t)address);

	if (put == (ssize_t)n)
		return 0;
	if (put >= 0)
		errno = EFAULT;
	return -1;
}

static const uint8_t *find_page(struct pa_memory *memory, uint64_t page)
{
	size_t i = (page / PAGE) % PA_MEMORY_PAGES;
	uint8_t *bytes = memory->pages + i * PAGE;

	if (memory->page_tag[i] == page + 1)
		return bytes;
	memory->page_tag[i] = 0;
	if (pa_memory_read(memory, page, bytes, PAGE))
		return NULL;
	memory->page_tag[i] = page + 1;
	return bytes;
}

int pa_memory_read_cached(struct pa_memory *memory, uint64_t address,
			  void *buffer, size_t n)
{
	uint8_t *to = buffer;

	if (address + n < address)
		return -1;
	for (unsigned i = 0; i < memory->area_count; i++) {
		const struct pa_memory_area *area = &memory->area[i];

		if (address < area->start ||
		    address + n > area->start + area->size)
			continue;
		memcpy(buffer, area->bytes + (address - area->start), n);
		return 0;
	}
	while (n) {
		size_t offset = address % PAGE;
		size_t k = PAGE - offset < n ? PAGE - offset : n;
		const uint8_t *page = find_page(memory, address - offset);

		if (!page)
			return -1;
		memcpy(to, page + offset, k);
		to += k;
		address += k;
		n -= k;
	}
	return 0;
}

void pa_memory_keep(struct pa_memory *memory, uint64_t address, size_t n)
{
	struct pa_memory_area *area;
	uint8_t *bytes;

	if (memory->area_count == PA_MEMORY_AREAS || !n || n > KEEP_MAX)
		return;
	bytes = malloc(n);
	if (!bytes)
		return;
	if (pa_memory_read(memory, address, bytes, n)) {
		free(bytes);
		return;
	}
	area = &memory->area[memory->area_count++];
	area->start = address;
	area->size = n;
	area->bytes = bytes;
}
