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

#include "injector/directory.h"
#include "injector/proc.h"

#define LOOK_US 200u		/* between two looks */
#define SHORT_US 1000u		/* for who looks again and again by himself */
/* In one search, whatever lies there: who writes may lack a CPU just then. */
#define PATIENCE_US 100000u

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

/* While the payload writes the identity part its CRC does not hold: a magic is
 * given some more looks, as long as `patience` (us) lasts. */
static bool read_patiently(const struct pa_memory *memory, uint64_t address,
			   useconds_t *patience, struct pa_directory *d)
{
	for (;;) {
		if (pa_memory_read(memory, address, d, sizeof *d) ||
		    !has_magic(d))
			return false;
		if (is_sound(d, address))
			return true;
		if (*patience < LOOK_US)
			return false;
		usleep(LOOK_US);
		*patience -= LOOK_US;
	}
}

bool pa_directory_read(const struct pa_memory *memory, uint64_t address,
		       struct pa_directory *d)
{
	useconds_t patience = SHORT_US;

	return read_patiently(memory, address, &patience, d);
}

/* What a search looks for, and the best so far. */
struct search {
	const struct pa_memory *memory;
	uint64_t ticket;	/* only this one; 0: the one that counts */
	uint32_t pid;		/* what the process calls itself; 0: not known */
	useconds_t patience;	/* what is left of it */
	uint64_t address;	/* 0 = none yet */
	struct pa_directory directory;
};

#define IN_USE 4u		/* this rank and those above it */

/* Which of two directories counts: the one that is in use, then the newer. */
static unsigned rank(const struct search *s, const struct pa_directory *d)
{
	/* a raw clone took it along, whatever is done with it in the parent */
	if (s->pid && d->pid != s->pid)
		return 0;
	switch (d->state) {
	case PA_STATE_ATTACHED:
		return IN_USE + 1;
	case PA_STATE_STARTING:
		return IN_USE;
	case PA_STATE_FAILED:
	case PA_STATE_DETACHED:
		return 3;
	case PA_STATE_FORKED:
		return 2;
	default:
		return 1;
	}
}

static bool is_better(const struct search *s, const struct pa_directory *d)
{
	if (s->ticket)
		return d->start_ticket == s->ticket;
	if (!s->address || rank(s, d) != rank(s, &s->directory))
		return !s->address || rank(s, d) > rank(s, &s->directory);
	return d->attached_monotonic_ns > s->directory.attached_monotonic_ns;
}

static void look_at(struct search *s, uint64_t address)
{
	struct pa_directory d;

	if (!read_patiently(s->memory, address, &s->patience, &d) ||
	    !is_better(s, &d))
		return;
	s->address = address;
	s->directory = d;
}

static void look_in_slots(struct search *s)
{
	for (unsigned i = 0; i < PA_SLOT_COUNT; i++)
		look_at(s, PA_SLOT_FIRST + i * PA_SLOT_STEP);
}

static void look_in_maps(struct search *s, const struct pa_maps *maps)
{
	for (size_t i = 1; i < maps->count; i++) {
		const struct pa_map *map = &maps->map[i], *guard = map - 1;

		if (guard->end == map->start && guard->perms[0] == '-' &&
		    map->perms[0] == 'r' && !map->inode &&
		    map->end - map->start >= PA_IMAGE_PAGE)
			look_at(s, map->start);
	}
}

bool pa_directory_find_ticket(const struct pa_memory *memory, int dir,
			      uint64_t ticket, bool maps, uint64_t *address)
{
	struct search s = {
		.memory = memory, .ticket = ticket, .patience = SHORT_US,
	};
	struct pa_maps all;

	look_in_slots(&s);
	if (!s.address && maps && !pa_proc_read_maps(dir, &all)) {
		look_in_maps(&s, &all);
		pa_proc_free_maps(&all);
	}
	*address = s.address;
	return s.address != 0;
}

/* What is over in a low slot may hide one in use elsewhere: of a payload for
 * which no slot was free. */
static int look_everywhere(struct search *s, int dir)
{
	struct pa_proc_status status;
	struct pa_maps maps;
	int error;

	if (!pa_proc_read_status(dir, "status", &status))
		s->pid = (uint32_t)status.inner_pid;
	look_in_slots(s);
	if (s->address && rank(s, &s->directory) >= IN_USE)
		return 0;
	error = pa_proc_read_maps(dir, &maps);
	if (error)
		return s->address ? 0 : error;
	look_in_maps(s, &maps);
	pa_proc_free_maps(&maps);
	return 0;
}

int pa_target_find_directory(pid_t pid, uint64_t *address,
			     struct pa_directory *directory,
			     struct pa_diag *diag)
{
	struct pa_memory memory = { .pid = pid, .fd = -1 };
	struct search s = { .memory = &memory, .patience = PATIENCE_US };
	int dir = pa_proc_open(pid), error;

	*address = 0;
	if (dir < 0)
		return pa_fail(diag, PA_E_NO_PROCESS, "no process %d", pid);
	error = look_everywhere(&s, dir);
	close(dir);
	if (error == -ESRCH || error == -ENOENT)
		return pa_fail(diag, PA_E_EXITED, "process %d ended while it was looked at", pid);
	if (error)
		return pa_fail(diag, PA_E_NOT_PERMITTED,
			       "cannot read the maps of process %d: %s", pid,
			       strerror(-error));
	*address = s.address;
	*directory = s.directory;
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
