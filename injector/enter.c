/* SPDX-License-Identifier: MIT
 *
 * A child that enters namespaces (see enter.h).  In there it may meet a hostile
 * user of its own id: it is not dumpable, so that nobody traces it, and what
 * it hands out is judged by the caller.
 */
#include "injector/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "injector/proc.h"

/* What is to be entered: -1 where it is ours already. */
struct way {
	int user, net;
	uid_t uid;		/* as which, in there */
	gid_t gid;
	bool has_gid;
};

static bool is_other(int dir, const char *kind)
{
	struct stat ours, theirs;
	char name[32], own[48];

	snprintf(name, sizeof name, "ns/%s", kind);
	snprintf(own, sizeof own, "/proc/self/ns/%s", kind);
	return !stat(own, &ours) && !fstatat(dir, name, &theirs, 0) &&
	       (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
}

static bool inner_id(int dir, const char *map, unsigned long outer,
		     unsigned long *inner)
{
	char text[PA_PROC_TEXT];

	return pa_proc_read(dir, map, text, sizeof text) > 0 &&
	       !pa_proc_parse_id_map(text, outer, inner);
}

/* Is our user somebody in there? */
static bool knows_us(int dir)
{
	unsigned long inner;

	return !is_other(dir, "user") ||
	       inner_id(dir, "uid_map", geteuid(), &inner);
}

bool pa_enter_is_needed(pid_t pid, bool net)
{
	int dir = pa_proc_open(pid);
	bool needed;

	if (dir < 0)
		return false;
	needed = !knows_us(dir) || (net && is_other(dir, "net"));
	close(dir);
	return needed;
}

uid_t pa_enter_inner_uid(pid_t pid, uid_t uid)
{
	int dir = pa_proc_open(pid);
	unsigned long inner = uid;

	if (dir < 0)
		return uid;
	if (is_other(dir, "user") && !inner_id(dir, "uid_map", uid, &inner))
		inner = uid;
	close(dir);
	return (uid_t)inner;
}

static int open_user(int dir, struct way *way)
{
	struct pa_proc_status status;
	unsigned long uid = 0, gid = 0;

	if (pa_proc_read_status(dir, "status", &status))
		return -ESRCH;
	if (!inner_id(dir, "uid_map", status.uid[1], &uid))
		return -EOVERFLOW;
	way->uid = (uid_t)uid;
	way->has_gid = inner_id(dir, "gid_map", status.gid[1], &gid);
	way->gid = (gid_t)gid;
	way->user = openat(dir, "ns/user", O_RDONLY | O_CLOEXEC);
	return way->user < 0 ? -errno : 0;
}

static int open_way(int dir, bool net, struct way *way)
{
	if (net && is_other(dir, "net")) {
		way->net = openat(dir, "ns/net", O_RDONLY | O_CLOEXEC);
		if (way->net < 0)
			return -errno;
	}
	return knows_us(dir) ? 0 : open_user(dir, way);
}

static void close_way(const struct way *way)
{
	if (way->user >= 0)
		close(way->user);
	if (way->net >= 0)
		close(way->net);
}

static int become(const struct way *way)
{
	/* where groups may not be set they are not ours to drop */
	setgroups(0, NULL);
	if (way->has_gid && setresgid(way->gid, way->gid, way->gid))
		return -errno;
	return setresuid(way->uid, way->uid, way->uid) ? -errno : 0;
}

static int enter(const struct way *way)
{
	bool net = way->net >= 0;

	if (prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	/* it belongs to that user namespace, or to one further out */
	if (net && !setns(way->net, CLONE_NEWNET))
		net = false;
	if (way->user >= 0 && setns(way->user, CLONE_NEWUSER))
		return -errno;
	if (net && setns(way->net, CLONE_NEWNET))
		return -errno;
	return way->user >= 0 ? become(way) : 0;
}

/* One message: the number, and the descriptor if it is none of an error. */
static void hand_out(int socket, int fd)
{
	union {
		struct cmsghdr header;
		/* cppcheck-suppress unusedStructMember */
		char room[CMSG_SPACE(sizeof fd)];
	} control;
	struct iovec data = { &fd, sizeof fd };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };

	memset(&control, 0, sizeof control);
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	}
	sendmsg(socket, &message, MSG_NOSIGNAL);
}

static int receive(int socket)
{
	union {
		struct cmsghdr header;
		/* cppcheck-suppress unusedStructMember */
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	int number = -EPROTO, fd;
	struct iovec data = { &number, sizeof number };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control,
	};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	if (n != sizeof number)
		return -EPROTO;
	if (message.msg_controllen < CMSG_LEN(sizeof fd) ||
	    control.header.cmsg_type != SCM_RIGHTS)
		return number < 0 ? number : -EPROTO;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
	return fd;
}

static int left_ms(uint64_t deadline_ns)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	if (now >= deadline_ns)
		return 0;
	now = (deadline_ns - now) / 1000000 + 1;
	return now > 1000000 ? 1000000 : (int)now;
}

/* Wait for the child's word; it has no other use. */
static int await(pid_t child, int socket, uint64_t deadline_ns)
{
	struct pollfd wait = { .fd = socket, .events = POLLIN };
	int n, fd;

	do {
		n = poll(&wait, 1, left_ms(deadline_ns));
	} while (n < 0 && errno == EINTR);
	fd = n > 0 ? receive(socket) : -ETIMEDOUT;
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

static int run(const struct way *way, uint64_t deadline_ns,
	       int (*call)(void *context), void *context)
{
	int pair[2], fd;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	child = fork();
	if (!child) {
		fd = enter(way);
		hand_out(pair[1], fd ? fd : call(context));
		_exit(0);
	}
	close(pair[1]);
	fd = child < 0 ? -EAGAIN : await(child, pair[0], deadline_ns);
	close(pair[0]);
	return fd;
}

int pa_enter_call(pid_t pid, bool net, uint64_t deadline_ns,
		  int (*call)(void *context), void *context)
{
	struct way way = { .user = -1, .net = -1 };
	int dir = pa_proc_open(pid), fd;

	if (dir < 0)
		return -ESRCH;
	fd = open_way(dir, net, &way);
	close(dir);
	if (!fd)
		fd = run(&way, deadline_ns, call, context);
	close_way(&way);
	return fd;
}
