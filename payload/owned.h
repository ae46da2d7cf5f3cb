/* SPDX-License-Identifier: MIT
 *
 * Descriptors that stay open in a process that is not ours: its code may
 * close any number and use it again, so a number is believed only while the
 * inode behind it is the one that we opened.
 */
#ifndef PA_PAYLOAD_OWNED_H
#define PA_PAYLOAD_OWNED_H

#include <stdbool.h>
#include <sys/types.h>

struct pa_owned {
	int fd;			/* -1: none */
	dev_t dev;
	ino_t ino;
};
#define PA_OWNED_NONE { -1, 0, 0 }

/* Take over a descriptor just opened, moved out of the low numbers, which
 * belong to the target.  False (fd is closed then) where that failed. */
bool pa_owned_take(struct pa_owned *owned, int fd);
/* Is it still ours? */
bool pa_owned_good(const struct pa_owned *owned);
/* Close it if it is still ours; forget it in any case. */
void pa_owned_close(struct pa_owned *owned);

#endif /* PA_PAYLOAD_OWNED_H */
