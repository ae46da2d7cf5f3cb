/* SPDX-License-Identifier: MIT
 *
 * The trace table out of a core file: find the directory, decode the image
 * through image_read.h, or say why there is none and what to do.
 *
 * Opens no file but the core that is handed in; runs nothing of the process
 * that died.  No output.
 */
#ifndef PA_CLIENT_CORE_READ_H
#define PA_CLIENT_CORE_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "client/image_read.h"

struct pa_core_question {
	uint64_t address;	/* of the directory; 0 searches */
	bool full;		/* look at every page if need be */
	uint64_t silence_ns;	/* how long a pipe may be silent */
};

/* What is to be said beside the numbers. */
struct pa_core_facts {
	uint64_t address;	/* of the directory */
	char how[32];		/* found by: "low slot", ... */
	char note[256];		/* "copied by fork: ...", or "" */
	pid_t pid;		/* what the core says, 0 = nothing */
	int signal;
};

/*
 * Read the image from a core.  `start`: bytes that were read from fd already.
 * A pipe is read until the table is complete, no further.  On success the
 * image is to be freed; its directory's snapshot times are those of the last
 * sample, since a core has none.  PA_E_NO_TABLE where the process has no
 * table, PA_E_DAMAGED, PA_E_TRUNCATED, PA_E_FUTURE_IMAGE, PA_E_NO_IMAGE
 * (no core), PA_E_READ, PA_E_TIMEOUT; diag->hint says what to do.
 */
int pa_core_image(int fd, const void *start, size_t length,
		  const struct pa_core_question *question,
		  struct pa_image *image, struct pa_core_facts *facts,
		  struct pa_diag *diag);

/* Does a file begin like this?  (Any ELF file; pa_core_image is exact.) */
bool pa_core_has_magic(const void *bytes, size_t length);

#endif /* PA_CLIENT_CORE_READ_H */
