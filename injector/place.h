/* SPDX-License-Identifier: MIT
 *
 * A private copy of the payload in a place that the target can load from.
 *
 * The copy lies below the target's own root, under an unpredictable name, is
 * made exclusively, follows no link, belongs to the target's user and is
 * removed as soon as it is loaded.  The installed file is never mapped.
 * Where we are killed before, the payload removes it when it is loaded, or
 * else the next attach: what nobody holds a lock on is nobody's any more.
 */
#ifndef PA_INJECTOR_PLACE_H
#define PA_INJECTOR_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "injector/injector.h"

#define PA_PLACE_PATH 128	/* fits pa_block.path */

struct pa_place {
	int source;		/* the installed payload, open to be read */
	off_t size;		/* its size */
	int file;		/* the copy, locked while we live, or -1 */
	uint64_t device, inode;	/* of the copy */
	int directory;		/* where the copy lies, -1 = nowhere */
	char name[64];		/* its name there */
	char path[PA_PLACE_PATH];	/* as the target names it */
	char base[32];		/* the directory, as the target names it */
	char script[64];	/* name of a second file there, or empty */
};

/* Open and check the installed payload.  PA_E_PAYLOAD_MISSING.  In every case
 * pa_place_close() is to be called. */
int pa_place_open(struct pa_place *place, const char *payload,
		  struct pa_diag *diag);

/* Copy it to a directory of the target, whose /proc/PID is `dir`, and remove
 * what attaches that were killed have left there.  PA_E_NO_PLACE: none will
 * do. */
int pa_place_copy(struct pa_place *place, int dir,
		  const struct pa_target *target, struct pa_diag *diag);

/*
 * Make an empty file beside the copy, or where a copy could be, with its name
 * in path.  A descriptor to read and write, or PA_E_NO_PLACE.
 */
int pa_place_script(struct pa_place *place, int dir,
		    const struct pa_target *target, char *path, size_t size,
		    struct pa_diag *diag);

/* Is what lies in such a directory safe from all but root and the user?
 * root: the target's own; unknown: the owner is shown as nobody. */
bool pa_place_is_trusted(const struct stat *st, uid_t user, uid_t root,
			 bool unknown);

/* Copy it into a descriptor (a memfd of the target); 0 or -1 with errno. */
int pa_place_fill(const struct pa_place *place, int fd);

/* Remove what attaches that were killed have left in a directory: files of
 * these users under a name such as ours, on which nobody has a lock. */
void pa_place_sweep(int directory, uid_t user, uid_t other);

/* Remove the copy and the script, if there are such. */
void pa_place_remove(struct pa_place *place);

/* Remove and close all. */
void pa_place_close(struct pa_place *place);

#endif /* PA_INJECTOR_PLACE_H */
