/* SPDX-License-Identifier: MIT
 *
 * The memory of another process.
 *
 * Plain reads go straight to the target.  Cached reads are for what does not
 * change while a module stays loaded (ELF headers, symbol and unwind tables):
 * they come from areas that were kept before, else from a small page cache,
 * so that a stopped thread waits for as few system calls as possible.
 * Needs no stopped thread.  Not thread-safe.
 */
#ifndef PA_INJECTOR_MEMORY_H
#define PA_INJECTOR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PA_MEMORY_AREAS 16
#define PA_MEMORY_PAGES 1024

struct pa_memory_area {
	uint64_t start, size;
	uint8_t *bytes;
};

struct pa_memory {
	pid_t pid;
	int fd;			/* /proc/PID/mem, read-write, or -1 */
	unsigned area_count;
	struct pa_memory_area area[PA_MEMORY_AREAS];
	uint64_t page_tag[PA_MEMORY_PAGES];	/* address + 1, 0 = empty */
	uint8_t *pages;
};

/* fd is /proc/PID/mem or -1 and stays the caller's.  0 or -1 (no memory). */
int pa_memory_init(struct pa_memory *memory, pid_t pid, int fd);
void pa_memory_deinit(struct pa_memory *memory);

/* Read exactly n bytes; 0, or -1 with errno (ESRCH: the process is gone). */
int pa_memory_read(const struct pa_memory *memory, uint64_t address,
		   void *buffer, size_t n);
/* Read up to n bytes; how many were there, 0 if none. */
size_t pa_memory_read_some(const struct pa_memory *memory, uint64_t address,
			   void *buffer, size_t n);
int pa_memory_read_cached(struct pa_memory *memory, uint64_t address,
			  void *buffer, size_t n);

/* Write through /proc/PID/mem, also to read-only maps: copy on write. */
int pa_memory_write(const struct pa_memory *memory, uint64_t address,
		    const void *buffer, size_t n);

/* Has the memory that /proc/PID/mem was opened for ended?  A process that
 * executes another program gets a new one. */
bool pa_memory_is_gone(int fd);

/* Forget all that is cached. */
void pa_memory_forget(struct pa_memory *memory);

/* Keep a copy of an area for cached reads; failure only costs time. */
void pa_memory_keep(struct pa_memory *memory, uint64_t address, size_t n);

#endif /* PA_INJECTOR_MEMORY_H */
