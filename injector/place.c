/* SPDX-License-Identifier: MIT
 *
 * Placing the payload (see place.h).  The directories belong to the target's
 * world, and perhaps to an enemy: every step is through descriptors, and what
 * was made is checked by fstat before it is used.
 */
#include "injector/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "injector/elf_file.h"
#include "injector/proc.h"

#define PAYLOAD_MAX (64 << 20)
#define SPARE_BYTES (1u << 20)
#define SWEEP_MAX 10000		/* names looked at in one directory */
#define MAKE_TURNS 5
#define NAME_DIGITS 32u
#define NAME_END ".so"
#define OVERFLOW_UID 65534u	/* of the kernel, unless set otherwise */

static const char *const candidates[] = {
	"tmp", "var/tmp", "dev/shm", "run",
};

int pa_place_open(struct pa_place *place, const char *payload,
		  struct pa_diag *diag)
{
	struct stat st;
	const char *why;

	memset(place, 0, sizeof *place);
	place->directory = place->file = -1;
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

/* Is an id the one by which the kernel shows us users that our namespace does
 * not know? */
static bool is_unknown_user(uid_t uid)
{
	char map[PA_PROC_TEXT];
	unsigned long inner, outer, count;
	const char *line = map;

	if (uid != OVERFLOW_UID ||
	    pa_proc_read(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) <= 0)
		return false;
	for (; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%lu %lu %lu", &inner, &outer, &count) == 3 &&
		    uid >= inner && uid - inner < count)
			return false;
	}
	return true;
}

/* Root in the target's user namespace, as we see it. */
static uid_t inner_root(int dir)
{
	char map[PA_PROC_TEXT];
	unsigned long inner, outer;

	if (pa_proc_read(dir, "uid_map", map, sizeof map) > 0 &&
	    sscanf(map, "%lu %lu", &inner, &outer) == 2 && !inner)
		return (uid_t)outer;
	return 0;
}

/*
 * Could somebody else put another file under our name?  The owner of a
 * directory can, and without the sticky bit all who may write there.
 */
bool pa_place_is_trusted(const struct stat *st, uid_t user, uid_t root,
			 bool unknown)
{
	if (st->st_uid && st->st_uid != user && st->st_uid != root && !unknown)
		return false;
	return !(st->st_mode & 022) || st->st_mode & S_ISVTX;
}

/* Why a directory will not do, or NULL. */
static const char *directory_unfit(int directory, off_t size, uid_t user,
				   uid_t root)
{
	struct statvfs v;
	struct stat st;

	if (fstatvfs(directory, &v) || fstat(directory, &st))
		return strerror(errno);
	if (!pa_place_is_trusted(&st, user, root, is_unknown_user(st.st_uid)))
		return "others could replace a file there";
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
	uint8_t random[NAME_DIGITS / 2];
	size_t n;

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return -1;
	n = snprintf(name, size, PA_PAYLOAD_COPY);
	for (size_t i = 0; i < sizeof random; i++)
		n += snprintf(name + n, size - n, "%02x", random[i]);
	snprintf(name + n, size - n, NAME_END);
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

/*
 * A new file with a name of its own; a descriptor or -1 with errno.  It is
 * locked as long as we live; who swept it away in the moment before has the
 * lock, or has unlinked it.
 */
static int make_file(int directory, char *name, size_t size, int flags,
		     mode_t mode)
{
	for (int turn = 0; turn < MAKE_TURNS; turn++) {
		struct stat st;
		int fd;

		if (make_name(name, size))
			break;
		fd = openat(directory, name, flags | O_CREAT | O_EXCL |
			    O_NOFOLLOW | O_CLOEXEC, mode);
		if (fd < 0) {
			name[0] = 0;
			return -1;
		}
		/* a file system without locks is none to be swept either */
		if ((!flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) &&
		    !fstat(fd, &st) && st.st_nlink)
			return fd;
		unlinkat(directory, name, 0);
		close(fd);
	}
	name[0] = 0;
	errno = EAGAIN;
	return -1;
}

/* Make the file in place->directory; NULL, or why not. */
static const char *make_copy(struct pa_place *place, uid_t uid, gid_t gid)
{
	struct stat st;

	place->file = make_file(place->directory, place->name,
				sizeof place->name, O_WRONLY, 0500);
	if (place->file < 0 || !finish_copy(place, place->file, uid, gid))
		return strerror(errno);
	if (!is_ours(place->file, place->size, uid) ||
	    fstat(place->file, &st))
		return "the copy is not what was written";
	place->device = st.st_dev;
	place->inode = st.st_ino;
	return NULL;
}

/* ---- what others have left ---- */

static bool is_our_name(const char *name)
{
	const char *digits = name + strlen(PA_PAYLOAD_COPY);

	return !strncmp(name, PA_PAYLOAD_COPY, strlen(PA_PAYLOAD_COPY)) &&
	       strspn(digits, "0123456789abcdef") == NAME_DIGITS &&
	       !strcmp(digits + NAME_DIGITS, NAME_END);
}

static bool is_left(const struct stat *st, uid_t user, uid_t other)
{
	return S_ISREG(st->st_mode) && st->st_nlink == 1 &&
	       (st->st_uid == user || st->st_uid == other);
}

static void sweep_one(int directory, const char *name, uid_t user, uid_t other)
{
	struct stat st, now;
	int fd;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !is_left(&st, user, other))
		return;
	fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
				     O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &st) &&
	    is_left(&st, user, other) &&
	    !fstatat(directory, name, &now, AT_SYMLINK_NOFOLLOW) &&
	    now.st_dev == st.st_dev && now.st_ino == st.st_ino)
		unlinkat(directory, name, 0);
	close(fd);
}

void pa_place_sweep(int directory, uid_t user, uid_t other)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	for (int i = 0; list && i < SWEEP_MAX && (entry = readdir(list)); i++)
		if (is_our_name(entry->d_name))
			sweep_one(directory, entry->d_name, user, other);
	if (list)
		closedir(list);
	else if (fd >= 0)
		close(fd);
}

/* ---- which directory ---- */

/* Whose file it is to be, and where. */
struct owner {
	uid_t uid, inner_root;
	gid_t gid;
	bool copy;	/* of the payload; else a place is enough */
};

static const char *try_directory(struct pa_place *place, int root,
				 const char *path, const struct owner *owner)
{
	const char *why;

	place->directory = open_below(root, path);
	if (place->directory < 0)
		return strerror(errno);
	why = directory_unfit(place->directory, place->size, owner->uid,
			      owner->inner_root);
	if (!why)
		pa_place_sweep(place->directory, owner->uid, geteuid());
	if (!why && owner->copy)
		why = make_copy(place, owner->uid, owner->gid);
	if (why) {
		pa_place_remove(place);
		return why;
	}
	snprintf(place->base, sizeof place->base, "/%s", path);
	snprintf(place->path, sizeof place->path, "/%s/%s", path, place->name);
	return NULL;
}

/* The first directory that will do. */
static int find_place(struct pa_place *place, int dir,
		      const struct pa_target *target, bool copy,
		      struct pa_diag *diag)
{
	char text[256] = "";
	size_t n = 0;
	struct stat st;
	const struct owner owner = {
		.uid = target->uid, .inner_root = inner_root(dir),
		/* the group that the target's own files get */
		.gid = fstat(dir, &st) ? getegid() : st.st_gid,
		.copy = copy,
	};
	int root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return pa_fail(diag, PA_E_NO_PLACE,
			       "cannot open the root directory of process %d: %s",
			       target->pid, strerror(errno));
	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
		const char *why = try_directory(place, root, candidates[i],
						&owner);

		if (!why) {
			close(root);
			return 0;
		}
		n += (size_t)snprintf(text + n, sizeof text - n, "%s/%s: %s",
				      n ? ", " : "", candidates[i], why);
		if (n >= sizeof text)
			n = sizeof text - 1;
	}
	close(root);
	return pa_fail(diag, PA_E_NO_PLACE,
		       "process %d has no directory to load the payload from (%s)",
		       target->pid, text);
}

int pa_place_copy(struct pa_place *place, int dir,
		  const struct pa_target *target, struct pa_diag *diag)
{
	return find_place(place, dir, target, true, diag);
}

int pa_place_script(struct pa_place *place, int dir,
		    const struct pa_target *target, char *path, size_t size,
		    struct pa_diag *diag)
{
	struct stat st;
	gid_t gid = fstat(dir, &st) ? getegid() : st.st_gid;
	int error = place->directory < 0 ?
		find_place(place, dir, target, false, diag) : 0, fd;

	if (error)
		return error;
	fd = make_file(place->directory, place->script, sizeof place->script,
		       O_RDWR, 0600);
	if (fd >= 0 && (target->uid == geteuid() ||
			!fchown(fd, target->uid, gid)) &&
	    is_ours(fd, 0, target->uid)) {
		snprintf(path, size, "%s/%s", place->base, place->script);
		return fd;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	return pa_fail(diag, PA_E_NO_PLACE,
		       "cannot make a file for process %d in its %s: %s",
		       target->pid, place->base, strerror(error));
}

void pa_place_remove(struct pa_place *place)
{
	if (place->directory < 0)
		return;
	if (place->name[0])
		unlinkat(place->directory, place->name, 0);
	if (place->script[0])
		unlinkat(place->directory, place->script, 0);
	place->name[0] = place->script[0] = 0;
	if (place->file >= 0)
		close(place->file);
	close(place->directory);
	place->directory = place->file = -1;
}

void pa_place_close(struct pa_place *place)
{
	pa_place_remove(place);
	if (place->source >= 0)
		close(place->source);
	place->source = -1;
}
