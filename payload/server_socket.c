/* SPDX-License-Identifier: MIT
 *
 * The listening socket: where it lies, who may own the place, what happens
 * to a stale one.  The target's umask and environment are not used.
 */
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/error.h"
#include "payload/server_internal.h"
#include "payload/store.h"
#include "payload/sys.h"

#define BACKLOG 128
#define LOCK_WAIT_MS 200		/* whoever has it needs far less, and a CPU */

struct pa_owned pa_listener = PA_OWNED_NONE;

/* The file that we made, to remove just that one. */
static struct {
	char path[sizeof ((struct pa_directory *)0)->socket];
	dev_t dev;
	ino_t ino;
} file;

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* ---- the directory that it lies in ---- */

static bool private_directory(const char *path)
{
	struct stat st;

	return pa_lstat(path, &st) == 0 && S_ISDIR(st.st_mode)
		&& st.st_uid == geteuid() && (st.st_mode & 07777) == 0700;
}

static bool make_private(const char *path)
{
	/* ours alone: the umask of the target may have taken bits away */
	if (mkdir(path, 0700) == 0)
		chmod(path, 0700);
	return private_directory(path);
}

static bool run_directory(struct pa_text *path)
{
	pa_text_string(path, "/run/user/");
	pa_text_number(path, geteuid());
	if (!private_directory(path->start))
		return false;
	pa_text_string(path, "/pyattach-sample");
	return make_private(path->start);
}

static bool tmp_directory(struct pa_text *path)
{
	pa_text_string(path, "/tmp/pyattach-sample-");
	pa_text_number(path, geteuid());
	return make_private(path->start);
}

/*
 * Between bind and listen a socket looks like that of a process that died, and
 * where no low slot is free several copies of the payload get so far at one
 * time.  False: somebody keeps the lock; none in *lock: there is none to be
 * had, which is no reason to stop.
 */
static bool lock_directory(const char *path, struct pa_owned *lock)
{
	if (!pa_owned_take(lock, open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW
				      | O_CLOEXEC)))
		return true;
	for (int i = 0; flock(lock->fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno != EWOULDBLOCK)
			break;
		if (i == LOCK_WAIT_MS) {
			pa_owned_close(lock);
			return false;
		}
		pa_sleep_ns(1000000);
	}
	return true;
}

/* Not by the close alone: a child that was made meanwhile and did not come by
 * our handlers has a copy of the descriptor, and would keep the lock. */
static void unlock_directory(struct pa_owned *lock)
{
	if (pa_owned_good(lock))
		flock(lock->fd, LOCK_UN);
	pa_owned_close(lock);
}

/* ---- binding ---- */

/* Nobody listens behind this file of ours: a process with our pid died.
 * Asked with the lock of its directory. */
static bool stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, error;

	if (pa_lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)
	    || st.st_uid != geteuid())
		return false;
	fd = new_socket();
	if (fd < 0)
		return false;
	error = connect(fd, (const struct sockaddr *)address, sizeof *address)
		? errno : 0;
	close(fd);
	return error == ECONNREFUSED;
}

static int listen_at(const struct sockaddr_un *address, socklen_t length)
{
	const struct sockaddr *a = (const struct sockaddr *)address;
	int fd = new_socket(), error;

	if (fd < 0)
		return -1;
	if ((bind(fd, a, length) == 0
	     || (errno == EADDRINUSE && address->sun_path[0]
		 && stale(address) && unlink(address->sun_path) == 0
		 && bind(fd, a, length) == 0))
	    && (!address->sun_path[0] || chmod(address->sun_path, 0600) == 0)
	    && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static void remember_file(const char *path)
{
	struct stat st;

	if (pa_lstat(path, &st) != 0)
		return;
	file.dev = st.st_dev;
	file.ino = st.st_ino;
	strcpy(file.path, path);
}

static int listen_in(bool (*directory)(struct pa_text *))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pa_owned lock = PA_OWNED_NONE;
	struct pa_text path;
	int fd, error;

	pa_text_init(&path, address.sun_path, sizeof address.sun_path);
	if (!directory(&path) || !lock_directory(path.start, &lock))
		return -1;
	pa_text_string(&path, "/");
	pa_text_number(&path, pa_getpid());
	pa_text_string(&path, ".sock");
	fd = listen_at(&address, sizeof address);
	error = errno;
	if (fd >= 0) {
		remember_file(address.sun_path);
		strcpy(pa_store_directory()->socket, address.sun_path);
	}
	unlock_directory(&lock);
	errno = error;
	return fd;
}

/* No directory is fit: a name that nobody can guess. */
static int listen_abstract(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char *shown = pa_store_directory()->socket;
	struct pa_text name;
	int fd;

	pa_text_init(&name, address.sun_path, sizeof address.sun_path);
	pa_text_string(&name, "@pyattach-sample-");
	pa_text_number(&name, pa_getpid());
	pa_text_string(&name, "-");
	for (int i = 0; i < 2; i++) {
		uint64_t bits = pa_random_seed();

		for (int shift = 60; shift >= 0; shift -= 4)
			pa_text_bytes(&name, &"0123456789abcdef"
				      [bits >> shift & 15], 1);
	}
	strcpy(shown, name.start);
	address.sun_path[0] = 0;
	fd = listen_at(&address, (socklen_t)(offsetof(struct sockaddr_un,
						      sun_path) + name.length));
	if (fd < 0)
		shown[0] = 0;
	return fd;
}

int pa_socket_open(struct pa_text *why)
{
	int fd;

	pa_socket_forget();
	memset(pa_store_directory()->socket, 0,
	       sizeof pa_store_directory()->socket);
	fd = listen_in(run_directory);
	if (fd < 0)
		fd = listen_in(tmp_directory);
	if (fd < 0)
		fd = listen_abstract();
	if (fd >= 0 && pa_owned_take(&pa_listener, fd))
		return 0;
	pa_text_string(why, "socket: ");
	pa_text_string(why, fd >= 0 || errno == EMFILE || errno == ENFILE
		       ? "no file descriptor is left"
		       : "no place to bind it");
	pa_socket_unlink();
	return fd >= 0 || errno == EMFILE || errno == ENFILE
		? PA_E_NO_FD_LEFT : PA_E_SOCKET_FAILED;
}

static bool is_file(const struct stat *st)
{
	return st->st_dev == file.dev && st->st_ino == file.ino;
}

static bool has_file(void)
{
	return __atomic_load_n(&file.path[0], __ATOMIC_SEQ_CST) != 0;
}

/* Forgotten before it is removed, which another thread does at the exit. */
bool pa_socket_lost(void)
{
	struct stat st;

	if (!has_file())
		return false;
	if (pa_lstat(file.path, &st) == 0)
		return !is_file(&st) && has_file();
	/* else it is out of reach, the privileges given up: stay there */
	return errno == ENOENT && has_file();
}

void pa_socket_unlink(void)
{
	char path[sizeof file.path];
	struct stat st;

	strcpy(path, file.path);
	pa_socket_forget();
	if (path[0] && pa_lstat(path, &st) == 0 && is_file(&st))
		unlink(path);
}

void pa_socket_forget(void)
{
	__atomic_store_n(&file.path[0], 0, __ATOMIC_SEQ_CST);
}
