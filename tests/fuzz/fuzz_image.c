/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a snapshot: the decoder refuses them or gives an image whose
 * every index is in range, and the report made of it ends.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/image_read.h"
#include "client/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct pa_image *image)
{
	struct pa_question question;
	struct pa_report report;

	for (enum pa_group_by by = PA_BY_LINE; by <= PA_BY_DOMAIN; by++) {
		memset(&question, 0, sizeof question);
		question.group_by = by;
		question.of = by & 1 ? PA_OF_LIVE : PA_OF_ALLOCATED;
		if (pa_report_init(&report, &question) == 0 &&
		    pa_report_add(&report, image, PA_SOURCE_IMAGE) == 0)
			pa_report_finish(&report);
		pa_report_free(&report);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_bytes_reader reader;
	struct pa_image image;
	struct pa_diag diag;
	/* a copy of its own length, so that a sanitizer sees its end */
	uint8_t *bytes = malloc(size ? size : 1);

	if (!bytes)
		return 0;
	memcpy(bytes, data, size);
	memset(&diag, 0, sizeof diag);
	pa_reader_bytes(&reader, bytes, size);
	if (pa_image_read(&reader.reader, &image, &diag) == 0) {
		use(&image);
		pa_image_free(&image);
	}
	free(bytes);
	return 0;
}
