/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a core file, read by position and as a pipe: refused by name,
 * or an image whose every index is in range and which can be written again.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/core_read.h"
#include "client/image_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is written must be read again, and nothing be lost by it. */
static void write_and_read(const struct pa_image *image)
{
	struct pa_bytes_reader reader;
	struct pa_image again;
	struct pa_diag diag = { "", "" };
	size_t length = 0;
	char *bytes = NULL;
	FILE *file = open_memstream(&bytes, &length);

	if (!file)
		return;
	if (pa_image_write(file, image) == 0 && fclose(file) == 0) {
		pa_reader_bytes(&reader, bytes, length);
		if (pa_image_read(&reader.reader, &again, &diag) ||
		    again.n_live != image->n_live) {
			fprintf(stderr, "not read again: %s\n", diag.text);
			abort();
		}
		pa_image_free(&again);
	}
	free(bytes);
}

static void read_core(int fd, const void *start, size_t length, bool full)
{
	const struct pa_core_question question = {
		.full = full, .silence_ns = 1000000,
	};
	struct pa_core_facts facts;
	struct pa_image image;
	struct pa_diag diag = { "", "" };

	if (pa_core_image(fd, start, length, &question, &image, &facts,
			  &diag) == 0) {
		write_and_read(&image);
		pa_image_free(&image);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("core", MFD_CLOEXEC), ends[2];

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size)
		read_core(fd, data, size < 4096 ? size : 4096, size & 1);
	close(fd);
	/* what a pipe holds at once is enough of a stream here */
	if (size > 60000 || pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return 0;
	if (write(ends[1], data, size) == (ssize_t)size) {
		close(ends[1]);
		read_core(ends[0], NULL, 0, false);
	} else {
		close(ends[1]);
	}
	close(ends[0]);
	return 0;
}
