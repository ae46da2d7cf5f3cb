/* SPDX-License-Identifier: MIT
 *
 * Find the socket of the payload in a process; see discover.h.
 *
 * The target's user may be hostile: no link is followed out of a directory,
 * a directory must be the target's own, and nothing is sent before the peer
 * is known (wire_client.c).
 */
#include "client/discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "injector/enter.h"

#define ABSTRACT_MAX 64	/* candidates tried for one process */
#define TRACED_NS 1000000000ull	/* longer is no attach of ours */
#define MEND_NS 7000000000ull	/* a payload looks after its socket every 5 s */
#define TURNS 5		/* against who hangs up on everybody */

/* ---- one address ---- */

/* The target's root directory, or ours where it cannot be opened. */
static int open_root(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* A directory as the target sees it: absolute links stay inside its root. */
static int open_inside(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);

	if (fd < 0 && errno == ENOSYS) {
		while (*path == '/')
			path++;
		fd = openat(root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW |
			    O_CLOEXEC);
	}
	return fd;
}

/* A connection that a child in the target's namespaces makes. */
struct dial {
	int directory;		/* where the name is, or -1 */
	struct sockaddr_un address;
	socklen_t length;
	uint64_t deadline_ns;
};

static int dial_inside(void *context)
{
	const struct dial *dial = context;

	if (dial->directory >= 0 && fchdir(dial->directory))
		return -errno;
	return pa_wire_dial(&dial->address, dial->length, dial->deadline_ns);
}

/* The payload is to see a user that it knows. */
static int dial_as_user(pid_t pid, int directory, const char *name,
			uint64_t deadline_ns)
{
	struct dial dial = {
		.directory = directory,
		.address = { .sun_family = AF_UNIX },
		.length = sizeof dial.address, .deadline_ns = deadline_ns,
	};

	if (strlen(name) >= sizeof dial.address.sun_path)
		return -ENAMETOOLONG;
	strcpy(dial.address.sun_path, name);
	return pa_enter_call(pid, false, deadline_ns, dial_inside, &dial);
}

static bool look_at_file(int directory, const char *name,
			 struct pa_wire_file *file)
{
	struct stat st;

	memset(file, 0, sizeof *file);
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISSOCK(st.st_mode))
		return false;
	file->device = st.st_dev;
	file->inode = st.st_ino;
	file->changed = st.st_ctim;
	return true;
}

/* Connect to DIRECTORY/NAME; >= 0 or negative errno.  `own`: the directory
 * must belong to that user and be closed to others. */
static int dial_in(pid_t pid, int directory, const char *name,
		   const uid_t *own, uint64_t deadline_ns)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;

	if (own && (fstat(directory, &st) || st.st_uid != *own ||
		    st.st_mode & 077))
		return -EPERM;
	if (pa_enter_is_needed(pid, false))
		return dial_as_user(pid, directory, name, deadline_ns);
	/* Short enough whatever the path, and the directory that was checked
	 * is the one that is used. */
	if ((size_t)snprintf(address.sun_path, sizeof address.sun_path,
			     "/proc/self/fd/%d/%s", directory, name) >=
	    sizeof address.sun_path)
		return -ENAMETOOLONG;
	return pa_wire_dial(&address, sizeof address, deadline_ns);
}

/* The directory of a path of the target, and the name in there. */
static int open_directory_of(pid_t pid, const char *path, const char **name)
{
	char directory[112];
	const char *slash = strrchr(path, '/');
	int root, dir;

	if (!slash || (size_t)(slash - path) >= sizeof directory)
		return -ENOENT;
	snprintf(directory, sizeof directory, "%.*s", (int)(slash - path),
		 path);
	*name = slash + 1;
	root = open_root(pid);
	if (root < 0)
		return -errno;
	dir = open_inside(root, directory);
	if (dir < 0)
		dir = -errno;
	close(root);
	return dir;
}

static int dial_path(pid_t pid, const char *path, const uid_t *own,
		     uint64_t deadline_ns, struct pa_wire_file *file)
{
	const char *name;
	int dir = open_directory_of(pid, path, &name), fd;

	if (dir < 0)
		return dir;
	fd = dial_in(pid, dir, name, own, deadline_ns);
	look_at_file(dir, name, file);
	close(dir);
	return fd;
}

/* Could only root, or we, have put something in there? */
static bool is_private(int directory)
{
	struct stat st;

	return !fstat(directory, &st) && !(st.st_mode & 077) &&
	       (!st.st_uid || st.st_uid == geteuid());
}

void pa_discover_remove(const struct pa_wire *wire)
{
	const struct pa_wire_file *was = &wire->file;
	struct pa_wire_file now;
	const char *name;
	int dir;

	if (wire->socket[0] != '/' || !was->inode)
		return;
	dir = open_directory_of(wire->process.pid, wire->socket, &name);
	if (dir < 0)
		return;
	if (is_private(dir) && look_at_file(dir, name, &now) &&
	    now.device == was->device && now.inode == was->inode &&
	    now.changed.tv_sec == was->changed.tv_sec &&
	    now.changed.tv_nsec == was->changed.tv_nsec)
		unlinkat(dir, name, 0);
	close(dir);
}

static int dial_abstract(pid_t pid, const char *name, uint64_t deadline_ns)
{
	struct dial dial = {
		.directory = -1, .address = { .sun_family = AF_UNIX },
		.deadline_ns = deadline_ns,
	};
	size_t length = strlen(name + 1);

	if (length + 1 > sizeof dial.address.sun_path)
		return -ENAMETOOLONG;
	memcpy(dial.address.sun_path + 1, name + 1, length);
	dial.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				  length);
	if (pa_enter_is_needed(pid, true))
		return pa_enter_call(pid, true, deadline_ns, dial_inside,
				     &dial);
	return dial_inside(&dial);
}

/* What was learned while trying addresses. */
struct search {
	struct pa_wire *wire;
	struct pa_diag *diag;
	int err;		/* the most telling error so far */
	bool unreachable;	/* attached or about to be, but without a
				 * socket that was found */
};

/* True once connected. */
static bool try_address(struct search *s, const char *name, const uid_t *own)
{
	struct pa_wire *wire = s->wire;
	int fd = name[0] == '@' ?
		dial_abstract(wire->process.pid, name, wire->deadline_ns) :
		dial_path(wire->process.pid, name, own, wire->deadline_ns,
			  &wire->file);

	if (fd >= 0) {
		s->err = pa_wire_use(wire, fd, name, s->diag);
		return !s->err;
	}
	if (fd == -EACCES)
		s->err = pa_fail(s->diag, PA_E_NOT_PERMITTED,
				 "not permitted to use the socket of process "
				 "%d", (int)wire->process.pid);
	else if (fd == -ETIMEDOUT)
		s->err = pa_fail(s->diag, PA_E_TIMEOUT, "the payload in "
				 "process %d takes no connection",
				 (int)wire->process.pid);
	return false;
}

/* ---- the places ---- */

static bool try_fixed(struct search *s)
{
	const struct pa_process *p = &s->wire->process;
	unsigned uid = pa_enter_inner_uid(p->pid, p->uid);
	char name[112];

	snprintf(name, sizeof name, "/run/user/%u/pyattach-sample/%d.sock",
		 uid, (int)p->inner_pid);
	if (try_address(s, name, &p->uid))
		return true;
	snprintf(name, sizeof name, "/tmp/pyattach-sample-%u/%d.sock",
		 uid, (int)p->inner_pid);
	return try_address(s, name, &p->uid);
}

/* Call each() with every socket name that could be ours until it is true. */
static bool each_socket(const char *table,
			bool (*each)(void *context, const char *name),
			void *context)
{
	FILE *file = fopen(table, "re");
	char line[512];
	bool done = false;

	while (file && !done && fgets(line, sizeof line, file)) {
		char *name = strpbrk(line, "@/");

		line[strcspn(line, "\n")] = '\0';
		if (name && strstr(name, "pyattach-sample"))
			done = each(context, name);
	}
	if (file)
		fclose(file);
	return done;
}

struct abstract_search {
	struct search *search;
	char prefix[64];	/* such names carry the pid */
	unsigned tried;
};

static bool try_abstract(void *context, const char *name)
{
	struct abstract_search *a = context;
	struct search *s = a->search;
	int fd;

	if (strncmp(name, a->prefix, strlen(a->prefix)) ||
	    a->tried++ >= ABSTRACT_MAX)
		return false;
	fd = dial_abstract(s->wire->process.pid, name, s->wire->deadline_ns);
	/* One of another process (in another pid namespace) is no error. */
	return fd >= 0 && !pa_wire_use(s->wire, fd, name, NULL);
}

static int not_attached(const struct search *s, const char *why)
{
	int pid = (int)s->wire->process.pid;

	pa_fail(s->diag, PA_E_NOT_ATTACHED,
		"nothing is attached to process %d%s", pid, why);
	if (s->diag)
		snprintf(s->diag->hint, sizeof s->diag->hint,
			 "attach first: pyattach-sample %d", pid);
	return PA_E_NOT_ATTACHED;
}

#define FORKED ", which was forked from an attached one"

static const char *state_reason(const struct pa_directory *d)
{
	switch (d->state) {
	case PA_STATE_DETACHED:
		return " any more";
	case PA_STATE_FORKED:
		return FORKED;
	}
	return "";
}

static int connect_anywhere(struct search *s)
{
	struct abstract_search abstract = { .search = s };
	const struct pa_process *p = &s->wire->process;
	struct pa_directory directory = { 0 };
	char table[48];
	uint64_t at = 0;

	if (!pa_target_find_directory(p->pid, &at, &directory, NULL) && at &&
	    directory.pid != (uint32_t)p->inner_pid)
		/* just forked: the page and what it names are the parent's */
		return s->err = not_attached(s, FORKED);
	s->wire->has_directory = at != 0;
	if (at && directory.state == PA_STATE_ATTACHED && directory.socket[0]) {
		directory.socket[sizeof directory.socket - 1] = '\0';
		if (try_address(s, directory.socket, NULL))
			return 0;
	}
	if (try_fixed(s))
		return 0;
	snprintf(abstract.prefix, sizeof abstract.prefix,
		 "@pyattach-sample-%d-", (int)p->inner_pid);
	/* those of its network namespace */
	snprintf(table, sizeof table, "/proc/%d/net/unix", (int)p->pid);
	if (each_socket(table, try_abstract, &abstract))
		return 0;
	if (s->err)
		return s->err;
	s->unreachable = at && (directory.state == PA_STATE_ATTACHED ||
				directory.state == PA_STATE_STARTING);
	if (s->unreachable)
		return pa_fail(s->diag, PA_E_TIMEOUT, "the payload in process "
			       "%d has no socket that can be reached",
			       (int)p->pid);
	return not_attached(s, at ? state_reason(&directory) : "");
}

/* ---- one process ---- */

/* Another tool's attach stops a thread for some milliseconds only: look
 * again before it is taken for a debugger. */
static int look_past_attach(pid_t pid, uint64_t deadline_ns,
			    struct pa_process *process)
{
	const struct timespec pause = { 0, 1000000 };
	uint64_t end = pa_now_ns() + TRACED_NS;

	if (end > deadline_ns)
		end = deadline_ns;
	for (;;) {
		int err = pa_process_look(pid, process);

		if (err || process->state != 't' || pa_now_ns() >= end)
			return err;
		nanosleep(&pause, NULL);
	}
}

static int check_state(const struct pa_process *p, struct pa_diag *diag)
{
	switch (p->state) {
	case 'Z': case 'X':
		return pa_fail(diag, PA_E_ZOMBIE, "process %d has ended and "
			       "waits to be reaped", (int)p->pid);
	case 'T':
		return pa_fail(diag, PA_E_STOPPED, "process %d is stopped, so "
			       "that nothing in it can answer", (int)p->pid);
	case 't':
		return pa_fail(diag, PA_E_TRACED, "process %d is held by a "
			       "tracer, so that nothing in it can answer",
			       (int)p->pid);
	}
	return 0;
}

/* Where nothing is attached: could it ever be?  Passing states (stopped,
 * a limit) are no reason. */
static int explain(pid_t pid, struct pa_diag *diag)
{
	struct pa_target target;
	struct pa_diag why = { "", "" };
	int err = pa_target_inspect(pid, 0, &target, &why);

	if ((err <= PA_E_NO_PROCESS && err >= PA_E_KERNEL_THREAD) ||
	    (err <= PA_E_NOT_64_BIT && err >= PA_E_STATIC)) {
		if (diag)
			*diag = why;
		return err;
	}
	return PA_E_NOT_ATTACHED;
}

static int ask_status(struct pa_wire *wire, struct pa_status *status,
		      struct pa_diag *diag)
{
	size_t length;
	char *body;
	int err = pa_wire_request(wire, "STATUS", PA_WIRE_ANSWER_MAX, &body,
				  &length, diag);

	if (err)
		return err;
	err = pa_status_parse(body, length, status, diag);
	free(body);
	/* Field 22 of stat counts from boot: the same in every namespace
	 * but that of time, where nothing can be compared. */
	if (!err && status->start_time &&
	    status->start_time != wire->process.start_time &&
	    status->pid == (uint64_t)wire->process.pid)
		err = pa_fail(diag, PA_E_PEER, "what answers for process %d "
			      "began at another time",
			      (int)wire->process.pid);
	return err;
}

static int connect_once(pid_t pid, struct search *s)
{
	struct pa_wire *wire = s->wire;
	int err;

	s->unreachable = false;
	if (look_past_attach(pid, wire->deadline_ns, &wire->process))
		return pa_fail(s->diag, PA_E_NO_PROCESS, "there is no process "
			       "%d", (int)pid);
	err = check_state(&wire->process, s->diag);
	return err ? err : connect_anywhere(s);
}

/* A payload that starts makes its socket next; one whose descriptor was closed
 * or whose file was removed makes it anew. */
static int connect_in_time(pid_t pid, struct search *s)
{
	const struct timespec pause = { 0, 20000000 };
	uint64_t end = pa_now_ns() + MEND_NS;
	int err;

	if (end > s->wire->deadline_ns)
		end = s->wire->deadline_ns;
	while ((err = connect_once(pid, s)) && s->unreachable &&
	       pa_now_ns() < end) {
		nanosleep(&pause, NULL);
		if (pa_wire_is_interrupted(s->wire, s->diag))
			return PA_E_FAILED;
	}
	return err;
}

static int discover_once(pid_t pid, uint64_t deadline_ns,
			 const volatile sig_atomic_t *interrupted,
			 struct pa_wire *wire, struct pa_status *status,
			 struct pa_diag *diag)
{
	struct search search = { .wire = wire, .diag = diag };
	int err;

	memset(wire, 0, sizeof *wire);
	wire->fd = -1;
	wire->deadline_ns = deadline_ns;
	wire->interrupted = interrupted;
	err = connect_in_time(pid, &search);
	if (err == PA_E_NOT_ATTACHED)
		err = explain(pid, diag);
	if (!err)
		err = ask_status(wire, status, diag);
	if (err)
		pa_wire_close(wire);
	else
		wire->attached_ns = status->attached_realtime_ns;
	return err;
}

/* Of several attaches at one time all but one hang up; so does one that ends
 * while the next begins, and a socket that is made anew. */
int pa_discover(pid_t pid, uint64_t deadline_ns,
		const volatile sig_atomic_t *interrupted, struct pa_wire *wire,
		struct pa_status *status, struct pa_diag *diag)
{
	int err = discover_once(pid, deadline_ns, interrupted, wire, status,
				diag);

	for (unsigned i = 1; err && wire->hung_up && i < TURNS; i++)
		err = discover_once(pid, deadline_ns, interrupted, wire,
				    status, diag);
	return err;
}

/* ---- all processes ---- */

struct pids {
	pid_t *list;
	size_t n, room;
};

static void add_pid(struct pids *pids, pid_t pid)
{
	for (size_t i = 0; i < pids->n; i++)
		if (pids->list[i] == pid)
			return;
	if (pids->n == pids->room) {
		size_t room = pids->room ? pids->room * 2 : 16;
		pid_t *list = reallocarray(pids->list, room, sizeof *list);

		if (!list)
			return;
		pids->list = list;
		pids->room = room;
	}
	pids->list[pids->n++] = pid;
}

/* ".../pyattach-sample/123.sock", ".../pyattach-sample-0/123.sock" */
static bool add_from_name(void *context, const char *name)
{
	const char *slash = strrchr(name, '/');
	char *end;
	long pid;

	if (name[0] != '/' || !slash)
		return false;
	pid = strtol(slash + 1, &end, 10);
	if (pid > 0 && pid < INT32_MAX && !strcmp(end, ".sock"))
		add_pid(context, (pid_t)pid);
	return false;
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void pa_discover_all(void (*found)(void *context, pid_t pid), void *context)
{
	struct pids pids = { 0 };
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	each_socket("/proc/net/unix", add_from_name, &pids);
	/* Other network namespaces and abstract names: by our thread. */
	while (proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && pa_process_has_thread(pid, 0))
			add_pid(&pids, pid);
	}
	if (proc)
		closedir(proc);
	if (pids.n)
		qsort(pids.list, pids.n, sizeof *pids.list, compare_pids);
	for (size_t i = 0; i < pids.n; i++)
		found(context, pids.list[i]);
	free(pids.list);
}
