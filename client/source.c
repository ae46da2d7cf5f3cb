/* SPDX-License-Identifier: MIT
 *
 * Sources of images; see source.h.  A file is read, never mapped: somebody
 * may cut it meanwhile.
 */
#include "client/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int decode(const void *bytes, size_t length, struct pa_image *image,
		  struct pa_diag *diag)
{
	struct pa_bytes_reader reader;

	pa_reader_bytes(&reader, bytes, length);
	return pa_image_read(&reader.reader, image, diag);
}

int pa_source_snapshot(struct pa_wire *wire, char **bytes, size_t *length,
		       struct pa_diag *diag)
{
	struct pa_image image;
	int err = pa_wire_request(wire, "SNAPSHOT", PA_WIRE_IMAGE_MAX, bytes,
				  length, diag);

	if (err)
		return err;
	err = decode(*bytes, *length, &image, diag);
	if (err)
		free(*bytes);
	else
		pa_image_free(&image);
	return err;
}

int pa_source_live(struct pa_wire *wire, struct pa_image *image,
		   struct pa_diag *diag)
{
	size_t length;
	char *bytes;
	int err = pa_wire_request(wire, "SNAPSHOT", PA_WIRE_IMAGE_MAX, &bytes,
				  &length, diag);

	if (err)
		return err;
	err = decode(bytes, length, image, diag);
	free(bytes);
	return err;
}

/* ---- files ---- */

/* How long a pipe may be without a writer. */
#define WRITER_MS 1000

struct input {
	const char *path;
	int fd;
	uint64_t deadline_ns;
	char *bytes;
	size_t length, room;
	struct pa_diag *diag;
};

static int read_failed(const struct input *in, int error)
{
	return pa_fail(in->diag, PA_E_READ, "%s cannot be read: %s", in->path,
		       strerror(error));
}

/* Data or an end within a time, at most until the deadline? */
static int poll_input(const struct input *in, uint64_t most_ms)
{
	struct pollfd fd = { .fd = in->fd, .events = POLLIN };
	uint64_t now = pa_now_ns(), left = 0;

	if (now < in->deadline_ns)
		left = (in->deadline_ns - now) / 1000000 + 1;
	return poll(&fd, 1, (int)(left < most_ms ? left : most_ms));
}

static int wait_for_more(const struct input *in)
{
	int n = poll_input(in, 1000000);

	if (n > 0 || (n < 0 && errno == EINTR))
		return 0;
	return pa_fail(in->diag, PA_E_TIMEOUT, "%s gave no data in time",
		       in->path);
}

/* More bytes until `limit` are there or the input ends. */
static int read_until(struct input *in, size_t limit)
{
	while (in->length < limit) {
		ssize_t n;
		int err;

		if (in->length == in->room) {
			size_t room = in->room ? in->room * 2 : 65536;
			char *more;

			room = room < limit ? room : limit;
			more = realloc(in->bytes, room);
			if (!more)
				return read_failed(in, ENOMEM);
			in->bytes = more;
			in->room = room;
		}
		n = read(in->fd, in->bytes + in->length,
			 in->room - in->length);
		if (n == 0)
			break;
		if (n > 0) {
			in->length += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return read_failed(in, errno);
		err = wait_for_more(in);
		if (err)
			return err;
	}
	return 0;
}

const char *pa_compressed_by(const void *bytes, size_t length)
{
	static const struct { const char *magic, *program; } kinds[] = {
		{ "\x28\xb5\x2f\xfd", "zstd" },
		{ "\xfd" "7zXZ", "xz" },
		{ "\x04\x22\x4d\x18", "lz4" },
		{ "\x1f\x8b", "gzip" },
		{ "BZh", "bzip2" },
	};

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		size_t n = strlen(kinds[i].magic);

		if (length >= n && !memcmp(bytes, kinds[i].magic, n))
			return kinds[i].program;
	}
	return NULL;
}

/* A core as systemd and others keep it: true if there is a word for that. */
static bool is_compressed(const struct input *in)
{
	const char *program = pa_compressed_by(in->bytes, in->length);

	if (!program)
		return false;
	pa_fail(in->diag, PA_E_NO_IMAGE, "%s is compressed by %s", in->path,
		program);
	if (in->diag)
		snprintf(in->diag->hint, sizeof in->diag->hint,
			 "give what `%s -dc` makes of it: SOURCE is - for a pipe",
			 program);
	return true;
}

/* The first 16 bytes decide what it is. */
static int check_kind(const struct input *in)
{
	size_t n = in->length < 16 ? in->length : 16;

	if (pa_image_has_magic(in->bytes, in->length))
		return 0;
	if (!n)
		return pa_fail(in->diag, PA_E_TRUNCATED, "%s is empty, or "
			       "nobody writes to it", in->path);
	if (n < 16 && !memcmp(in->bytes, PA_IMAGE_MAGIC, n))
		return pa_fail(in->diag, PA_E_TRUNCATED, "%s is cut short "
			       "after %zu bytes", in->path, n);
	if (is_compressed(in))
		return PA_E_NO_IMAGE;
	return pa_fail(in->diag, PA_E_NO_IMAGE, "%s is not an image",
		       in->path);
}

static int open_input(struct input *in)
{
	struct stat st;

	/* O_NONBLOCK: a pipe without a writer must not hold us. */
	in->fd = strcmp(in->path, "-") ?
		open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) :
		fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (in->fd < 0)
		return read_failed(in, errno);
	if (fstat(in->fd, &st))
		return read_failed(in, errno);
	if (S_ISDIR(st.st_mode))
		return read_failed(in, EISDIR);
	/* Without a writer yet a read would say that it ends here. */
	if (S_ISFIFO(st.st_mode))
		poll_input(in, WRITER_MS);
	return 0;
}

static void name_file(struct pa_diag *diag, const char *path)
{
	char text[sizeof diag->text];

	if (!diag)
		return;
	memcpy(text, diag->text, sizeof text);
	snprintf(diag->text, sizeof diag->text, "%.200s: %.300s", path, text);
}

static int read_input(struct input *in, const struct pa_core_question *wait,
		      struct pa_image *image, struct pa_core_facts *facts)
{
	int err = read_until(in, PA_IMAGE_PAGE);

	if (!err && pa_core_has_magic(in->bytes, in->length))
		return pa_core_image(in->fd, in->bytes, in->length, wait,
				     image, facts, in->diag);
	if (!err)
		err = check_kind(in);
	if (!err)
		err = read_until(in, PA_WIRE_IMAGE_MAX);
	return err ? err : decode(in->bytes, in->length, image, in->diag);
}

int pa_source_file(const char *path, const struct pa_core_question *wait,
		   uint64_t deadline_ns, struct pa_image *image,
		   struct pa_core_facts *facts, struct pa_diag *diag)
{
	struct input in = {
		.path = path, .deadline_ns = deadline_ns, .diag = diag,
	};
	int err;

	memset(facts, 0, sizeof *facts);
	err = open_input(&in);
	if (!err) {
		err = read_input(&in, wait, image, facts);
		if (err && diag && !strstr(diag->text, path))
			name_file(diag, path);
	}
	if (in.fd >= 0)
		close(in.fd);
	free(in.bytes);
	return err;
}
