/* SPDX-License-Identifier: MIT
 *
 * Placing the payload (see place.h).  The directories belong to the target's
 * world, and perhaps to an enemy: every step is through descriptors, and what
 * was made is checked by fstat before it is used.
 */
#include "injector/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "injector/elf_file.h"

#define PAYLOAD_MAX (64 << 20)
#define SPARE_BYTES (1u << 20)

static const char *const candidates[] = {
	"tmp", "var/tmp", "dev/shm", "run",
};

int pa_place_open(struct pa_place *place, const char *payload,
		  struct pa_diag *diag)
{
	struct stat st;
	const char *why;

	memset(place, 0, sizeof *place);
	place->directory = -1;
	place->source = open(payload, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (place->source < 0)
		return pa_fail(diag, PA_E_PAYLOAD_MISSING,
			       "cannot open the payload %s: %s", payload,
			       strerror(errno));
	if (fstat(place->source, &st) || !S_ISREG(st.st_mode) || !st.st_size ||
	    st.st_size > PAYLOAD_MAX)
		return pa_fail(diag, PA_E_PAYLOAD_MISSING,
			       "the payload %s is not a file of a sane size",
			       payload);
	place->size = st.st_size;
	why = pa_elf_check_payload(place->source);
	if (why)
		return pa_fail(diag, PA_E_PAYLOAD_MISSING,
			       "the payload %s is damaged: %s", payload, why);
	return 0;
}

/* Component by component, for kernels before 5.6. */
static int open_by_steps(int root, const char *path)
{
	char part[64];
	int at = dup(root);

	while (at >= 0 && *path) {
		size_t n = strcspn(path, "/");
		int next;

		snprintf(part, sizeof part, "%.*s", (int)n, path);
		next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
					O_CLOEXEC);
		close(at);
		at = next;
		path += n + (path[n] == '/');
	}
	return at;
}

static int open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof how);

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		return open_by_steps(root, path);
	return (int)fd;
}

/* Why a directory will not do, or NULL. */
static const char *directory_unfit(int directory, off_t size)
{
	struct statvfs v;

	if (fstatvfs(directory, &v))
		return strerror(errno);
	if (v.f_flag & ST_RDONLY)
		return "read-only";
	if (v.f_flag & ST_NOEXEC)
		return "mounted noexec";
	/* a file system without blocks (ramfs) has no limit */
	if (v.f_blocks && (uint64_t)v.f_bavail * v.f_frsize <
			  (uint64_t)size + SPARE_BYTES)
		return "full";
	return NULL;
}

int pa_place_fill(const struct pa_place *place, int fd)
{
	off_t offset = 0;

	while (offset < place->size) {
		char block[65536];
		ssize_t n = sendfile(fd, place->source, &offset,
				     place->size - offset);

		if (n > 0)
			continue;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EINVAL && errno != ENOSYS)
			return -1;
		n = pread(place->source, block, sizeof block, offset);
		if (n <= 0 || write(fd, block, n) != n)
			return -1;
		offset += n;
	}
	return 0;
}

static int make_name(char *name, size_t size)
{
	uint8_t random[16];
	size_t n;

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return -1;
	n = snprintf(name, size, ".pyattach-");
	for (size_t i = 0; i < sizeof random; i++)
		n += snprintf(name + n, size - n, "%02x", random[i]);
	snprintf(name + n, size - n, ".so");
	return 0;
}

/* Is what we hold what we made, and all of it? */
static bool is_ours(int fd, off_t size, uid_t uid)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	       st.st_size == size && st.st_uid == uid;
}

/* Fill the new file and give it away; false and errno. */
static bool finish_copy(struct pa_place *place, int fd, uid_t uid, gid_t gid)
{
	if (pa_place_fill(place, fd) ||
	    fchmod(fd, 0500))	/* whatever the umask was */
		return false;
	if (uid == geteuid() && gid == getegid())
		return true;
	/* the group matters less than the owner */
	return !fchown(fd, uid, gid) || uid == geteuid();
}

/* Make the file in place->directory; NULL, or why not. */
static const char *make_copy(struct pa_place *place, uid_t uid, gid_t gid)
{
	const char *why = NULL;
	int fd;

	if (make_name(place->name, sizeof place->name))
		return "no random name";
	fd = openat(place->directory, place->name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0500);
	if (fd < 0) {
		place->name[0] = 0;
		return strerror(errno);
	}
	if (!finish_copy(place, fd, uid, gid))
		why = strerror(errno);
	else if (!is_ours(fd, place->size, uid))
		why = "the copy is not what was written";
	if (close(fd) && !why)
		why = strerror(errno);
	return why;
}

static const char *try_directory(struct pa_place *place, int root,
				 const char *path, uid_t uid, gid_t gid)
{
	const char *why;

	place->directory = open_below(root, path);
	if (place->directory < 0)
		return strerror(errno);
	why = directory_unfit(place->directory, place->size);
	if (!why)
		why = make_copy(place, uid, gid);
	if (why) {
		pa_place_remove(place);
		return why;
	}
	snprintf(place->path, sizeof place->path, "/%s/%s", path, place->name);
	return NULL;
}

int pa_place_copy(struct pa_place *place, int dir,
		  const struct pa_target *target, struct pa_diag *diag)
{
	char text[256] = "";
	size_t n = 0;
	struct stat st;
	/* the group that the target's own files get */
	gid_t gid = fstat(dir, &st) ? getegid() : st.st_gid;
	int root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return pa_fail(diag, PA_E_NO_PLACE,
			       "cannot open the root directory of process %d: %s",
			       target->pid, strerror(errno));
	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
		const char *why = try_directory(place, root, candidates[i],
						target->uid, gid);

		if (!why) {
			close(root);
			return 0;
		}
		n += snprintf(text + n, sizeof text - n, "%s/%s: %s",
			      n ? ", " : "", candidates[i], why);
		if (n >= sizeof text)
			n = sizeof text - 1;
	}
	close(root);
	return pa_fail(diag, PA_E_NO_PLACE,
		       "process %d has no directory to load the payload from (%s)",
		       target->pid, text);
}

void pa_place_remove(struct pa_place *place)
{
	if (place->directory < 0)
		return;
	if (place->name[0])
		unlinkat(place->directory, place->name, 0);
	place->name[0] = 0;
	close(place->directory);
	place->directory = -1;
}

void pa_place_close(struct pa_place *place)
{
	pa_place_remove(place);
	if (place->source >= 0)
		close(place->source);
	place->source = -1;
}
