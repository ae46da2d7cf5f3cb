/* SPDX-License-Identifier: MIT
 *
 * Finding a payload's directory in a process: the low slots, then every small
 * map behind a guard.  Whatever has the magic is checked by its own address
 * and its CRC before it is believed.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "injector/injector.h"
#include "injector/memory.h"
#include "injector/proc.h"

static bool has_magic(const struct pa_directory *d)
{
	return !memcmp(d->magic, PA_IMAGE_MAGIC, sizeof d->magic);
}

static bool is_sound(const struct pa_directory *d, uint64_t address)
{
	uint32_t crc;

	if (!has_magic(d) || d->endian != PA_IMAGE_ENDIAN ||
	    d->self != address)
		return false;
	if (d->major != PA_IMAGE_MAJOR)
		return true;	/* the caller refuses it by name */
	crc = (uint32_t)crc32(0, (const Bytef *)d,
			      offsetof(struct pa_directory, identity_crc));
	return crc == d->identity_crc;
}

/* Read a directory; while the payload writes the identity part its CRC does
 * not hold, so a sound magic is given a few more looks. */
static bool read_directory(const struct pa_memory *memory, uint64_t address,
			   struct pa_directory *d)
{
	for (int look = 0; look < 5; look++) {
		if (pa_memory_read(memory, address, d, sizeof *d) ||
		    !has_magic(d))
			return false;
		if (is_sound(d, address))
			return true;
		usleep(200);
	}
	return false;
}

/* Which of two directories counts: the one that is in use, then the newer. */
static unsigned rank(const struct pa_directory *d)
{
	switch (d->state) {
	case PA_STATE_ATTACHED:
		return 5;
	case PA_STATE_STARTING:
		return 4;
	case PA_STATE_FAILED:
	case PA_STATE_DETACHED:
		return 3;
	case PA_STATE_FORKED:
		return 2;
	default:
		return 1;
	}
}

static void keep_better(uint64_t address, const struct pa_directory *d,
			uint64_t *best, struct pa_directory *best_directory)
{
	if (*best && (rank(d) < rank(best_directory) ||
		      (rank(d) == rank(best_directory) &&
		       d->attached_monotonic_ns <=
		       best_directory->attached_monotonic_ns)))
		return;
	*best = address;
	*best_directory = *d;
}

static void look_in_slots(const struct pa_memory *memory, uint64_t *address,
			  struct pa_directory *directory)
{
	for (unsigned i = 0; i < PA_SLOT_COUNT; i++) {
		uint64_t slot = PA_SLOT_FIRST + i * PA_SLOT_STEP;
		struct pa_directory d;

		if (read_directory(memory, slot, &d))
			keep_better(slot, &d, address, directory);
	}
}

static void look_in_maps(const struct pa_memory *memory,
			 const struct pa_maps *maps, uint64_t *address,
			 struct pa_directory *directory)
{
	for (size_t i = 1; i < maps->count; i++) {
		const struct pa_map *map = &maps->map[i], *guard = map - 1;
		struct pa_directory d;

		if (guard->end != map->start || guard->perms[0] != '-' ||
		    map->perms[0] != 'r' || map->inode ||
		    map->end - map->start < PA_IMAGE_PAGE)
			continue;
		if (read_directory(memory, map->start, &d))
			keep_better(map->start, &d, address, directory);
	}
}

int pa_target_find_directory(pid_t pid, uint64_t *address,
			     struct pa_directory *directory,
			     struct pa_diag *diag)
{
	struct pa_memory memory = { .pid = pid, .fd = -1 };
	struct pa_maps maps;
	int dir, error;

	*address = 0;
	look_in_slots(&memory, address, directory);
	if (*address)
		return 0;
	dir = pa_proc_open(pid);
	if (dir < 0)
		return pa_fail(diag, PA_E_NO_PROCESS, "no process %d", pid);
	error = pa_proc_read_maps(dir, &maps);
	close(dir);
	if (error == -ESRCH || error == -ENOENT)
		return pa_fail(diag, PA_E_EXITED, "process %d ended", pid);
	if (error)
		return pa_fail(diag, PA_E_NOT_PERMITTED,
			       "cannot read the maps of process %d: %s", pid,
			       strerror(-error));
	look_in_maps(&memory, &maps, address, directory);
	pa_proc_free_maps(&maps);
	return 0;
}

int pa_target_read(pid_t pid, uint64_t address, void *buffer, size_t n)
{
	struct pa_memory memory = { .pid = pid, .fd = -1 };

	if (!pa_memory_read(&memory, address, buffer, n))
		return 0;
	return errno == ESRCH ? PA_E_EXITED :
	       errno == EPERM ? PA_E_NOT_PERMITTED : PA_E_READ;
}
