/* SPDX-License-Identifier: MIT
 *
 * The directory page: mapped once in a process's life, at a low slot where
 * one is free, between guards.  It is never unmapped and never moves.
 */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "common/error.h"
#include "payload/process.h"
#include "payload/store_internal.h"
#include "payload/sys.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE ((size_t)PA_IMAGE_PAGE)
/* Where no slot is free: what a reader probes in steps of. */
#define PROBE_STEP (2u << 20)

void pa_store_seal_identity(void)
{
	struct pa_directory *d = pa_store.directory;

	d->identity_crc = pa_crc32(0, d, offsetof(struct pa_directory,
						  identity_crc));
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
	d->pid = pa_getpid();
	d->start_time = pa_process_start_time();
	d->coredump_filter = pa_process_coredump_filter();
	pa_process_boot_id(d->boot_id);
	memcpy(d->magic, PA_IMAGE_MAGIC, sizeof(d->magic));
	pa_store.directory = d;
	pa_store_seal_identity();	/* makes it valid: last */
	return 0;
}

enum pa_rival pa_store_judge_rival(const struct pa_directory *d, uint64_t at)
{
	const struct pa_directory *own = pa_store.directory;

	if (memcmp(d->magic, PA_IMAGE_MAGIC, sizeof(d->magic)) != 0
	    || d->self != at || at == own->self || d->pid != own->pid)
		return PA_RIVAL_NONE;
	if (d->state == PA_STATE_ATTACHED)
		return PA_RIVAL_AHEAD;
	if (d->state != PA_STATE_STARTING)
		return PA_RIVAL_NONE;
	return at < own->self ? PA_RIVAL_AHEAD : PA_RIVAL_UNDECIDED;
}

enum pa_rival pa_store_find_rival(void)
{
	const size_t identity = offsetof(struct pa_directory, identity_crc);
	struct pa_directory copy, *own = pa_store.directory;
	enum pa_rival found = PA_RIVAL_NONE;

	/* our own state is out before we look at that of others: of two
	 * copies that start at once, one at least sees the other */
	__atomic_exchange_n(&own->state, own->state, __ATOMIC_SEQ_CST);
	for (unsigned k = 0; k < PA_SLOT_COUNT; k++) {
		uint64_t at = PA_SLOT_FIRST + k * PA_SLOT_STEP;
		struct iovec local = { &copy, identity };
		struct iovec remote = { (void *)at, identity };
		enum pa_rival rival;

		if (at == own->self
		    || process_vm_readv((int)pa_getpid(), &local, 1, &remote,
					1, 0) != (ssize_t)identity)
			continue;
		rival = pa_store_judge_rival(&copy, at);
		if (rival > found)
			found = rival;
	}
	return found;
}

struct pa_directory *pa_store_directory(void)
{
	return pa_store.directory;
}
