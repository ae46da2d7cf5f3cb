/* SPDX-License-Identifier: MIT
 *
 * See owned.h.
 */
#include "payload/owned.h"
#include "payload/sys.h"

#define LOWEST_WISHED 64
#define LOWEST 3		/* never a standard stream that was closed */

bool pa_owned_take(struct pa_owned *owned, int fd)
{
	struct stat st;
	int moved = pa_fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_WISHED);

	if (moved < 0 && fd >= LOWEST)
		moved = fd;	/* none is left: this one will do */
	else if (moved < 0)
		moved = pa_fcntl(fd, F_DUPFD_CLOEXEC, LOWEST);
	if (moved != fd)
		close(fd);
	if (moved < 0)
		return false;
	if (pa_fstat(moved, &st) != 0) {
		close(moved);
		return false;
	}
	*owned = (struct pa_owned){ moved, st.st_dev, st.st_ino };
	return true;
}

bool pa_owned_good(const struct pa_owned *owned)
{
	struct stat st;

	return owned->fd >= 0 && pa_fstat(owned->fd, &st) == 0
		&& st.st_dev == owned->dev && st.st_ino == owned->ino;
}

void pa_owned_close(struct pa_owned *owned)
{
	if (pa_owned_good(owned))
		close(owned->fd);
	owned->fd = -1;
}
