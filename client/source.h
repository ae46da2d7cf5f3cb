/* SPDX-License-Identifier: MIT
 *
 * A SOURCE of the command line as an image: an attached process, or a file,
 * told apart by content.
 */
#ifndef PA_CLIENT_SOURCE_H
#define PA_CLIENT_SOURCE_H

#include "client/core_read.h"
#include "client/image_read.h"
#include "client/wire_client.h"

/* Ask the process that is connected for a snapshot.  *bytes is malloc'd and
 * was checked to be a whole, undamaged image. */
int pa_source_snapshot(struct pa_wire *wire, char **bytes, size_t *length,
		       struct pa_diag *diag);

/* The same, decoded. */
int pa_source_live(struct pa_wire *wire, struct pa_image *image,
		   struct pa_diag *diag);

/*
 * An image from a file, "-" being the standard input: a snapshot, or a core
 * with a table in it (then facts->address is not 0).  Reads no more than an
 * image can have and waits for no writer longer than until the deadline; of a
 * core, no longer than `wait` without a byte.  PA_E_READ, PA_E_NO_IMAGE,
 * PA_E_TRUNCATED, PA_E_DAMAGED, PA_E_FUTURE_IMAGE, PA_E_TIMEOUT, and what
 * pa_core_image gives.
 */
int pa_source_file(const char *path, const struct pa_core_question *wait,
		   uint64_t deadline_ns, struct pa_image *image,
		   struct pa_core_facts *facts, struct pa_diag *diag);

/* The program that packed a file that begins so, or NULL. */
const char *pa_compressed_by(const void *bytes, size_t length);

#endif /* PA_CLIENT_SOURCE_H */
