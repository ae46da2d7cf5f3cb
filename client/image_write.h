/* SPDX-License-Identifier: MIT
 *
 * A decoded image as the bytes of a snapshot, which every verb reads again.
 */
#ifndef PA_CLIENT_IMAGE_WRITE_H
#define PA_CLIENT_IMAGE_WRITE_H

#include <stdio.h>

#include "client/image_read.h"

/* Write an image that was decoded; only what is sound is in it.  0 or
 * PA_E_FAILED without memory; errors of the file show when it is closed. */
int pa_image_write(FILE *file, const struct pa_image *image);

#endif /* PA_CLIENT_IMAGE_WRITE_H */
