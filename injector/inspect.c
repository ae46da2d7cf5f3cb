/* SPDX-License-Identifier: MIT
 *
 * pa_target_inspect: everything that can be refused before anything is
 * touched, in the order in which the reasons explain each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "injector/arch.h"
#include "injector/diag.h"
#include "injector/elf_file.h"
#include "injector/enter.h"
#include "injector/injector.h"
#include "injector/modules.h"
#include "injector/permission.h"
#include "injector/proc.h"
#include "injector/python.h"
#include "injector/room.h"

#define ENTER_S 5		/* limit for entering a namespace */

/* What is gathered on the way. */
struct inspection {
	pid_t pid;
	bool outside;		/* only to be read */
	int dir;
	int mem;		/* /proc/PID/mem: opened as a question */
	struct pa_target *target;
	struct pa_diag *diag;
	struct pa_proc_stat stat;
	struct pa_proc_status status;
	struct pa_elf_facts exe;
	char exe_path[512];
	struct pa_memory memory;
	struct pa_modules modules;
	struct pa_python python;
};

static int gone(const struct inspection *in)
{
	return pa_fail(in->diag, PA_E_EXITED, "process %d ended or executed another program",
		       in->pid);
}

static int open_target(struct inspection *in)
{
	if (in->pid <= 0)
		return pa_fail(in->diag, PA_E_NO_PROCESS, "no process %d",
			       in->pid);
	in->dir = pa_proc_open(in->pid);
	if (in->dir >= 0)
		return 0;
	/* /proc mounted with hidepid does not show it */
	if (!kill(in->pid, 0) || errno == EPERM)
		return pa_fail(in->diag, PA_E_NOT_PERMITTED,
			       "not permitted to see process %d in /proc",
			       in->pid);
	return pa_fail(in->diag, PA_E_NO_PROCESS, "no process %d", in->pid);
}

static int check_traced(struct inspection *in)
{
	char comm[64], shown[64];
	pid_t tracer = pa_proc_tracer(in->dir, "status", comm);

	return !tracer ? 0 :
	       pa_fail(in->diag, PA_E_TRACED,
		       "process %d is traced already by process %d (%s)",
		       in->pid, (int)tracer,
		       pa_escape(comm, shown, sizeof shown));
}

static int check_state(struct inspection *in)
{
	char state = in->stat.state;

	if (in->status.tgid != in->pid)
		return pa_fail(in->diag, PA_E_NO_PROCESS,
			       "%d is a thread of process %d",
			       in->pid, (int)in->status.tgid);
	if (in->stat.flags & PA_PF_KTHREAD)
		return pa_fail(in->diag, PA_E_KERNEL_THREAD,
			       "process %d is a kernel thread", in->pid);
	if (state == 'X')
		return gone(in);
	if (state == 'Z')
		return pa_fail(in->diag, PA_E_ZOMBIE,
			       "process %d has ended and waits to be reaped (state Z)",
			       in->pid);
	if (in->outside)
		return 0;
	if (in->status.tracer || state == 't')
		return check_traced(in);
	if (state == 'T')
		return pa_fail(in->diag, PA_E_STOPPED,
			       "process %d is stopped by a signal (state T: SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU)",
			       in->pid);
	return 0;
}

static int read_state(struct inspection *in)
{
	struct pa_target *t = in->target;

	if (pa_proc_read_stat(in->dir, "stat", &in->stat) ||
	    pa_proc_read_status(in->dir, "status", &in->status))
		return gone(in);
	t->start_time = in->stat.start_time;
	t->inner_pid = in->status.inner_pid;
	t->uid = in->status.uid[3];
	return check_state(in);
}

static int check_emulated(struct inspection *in)
{
	const char *base = strrchr(in->exe_path, '/');
	char name[128];

	base = base ? base + 1 : in->exe_path;
	if (!strstr(in->exe_path, "/valgrind/") &&
	    strncmp(base, "qemu-", 5) && strncmp(base, "box64", 5))
		return 0;
	return pa_fail(in->diag, PA_E_EMULATED, "process %d runs under %s",
		       in->pid, pa_escape(base, name, sizeof name));
}

/* The executable's file: always the one that runs, also when deleted. */
static int check_executable(struct inspection *in)
{
	ssize_t n = readlinkat(in->dir, "exe", in->exe_path,
			       sizeof in->exe_path - 1);
	int fd, error;

	in->exe_path[n > 0 ? n : 0] = 0;
	error = check_emulated(in);
	if (error)
		return error;
	fd = openat(in->dir, "exe", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return 0;	/* memory will tell */
	pa_elf_look(fd, &in->exe);
	close(fd);
	if (in->exe.is_elf && !in->exe.is_64_bit)
		return pa_fail(in->diag, PA_E_NOT_64_BIT,
			       "process %d is a 32-bit process", in->pid);
	if (in->exe.is_elf && in->exe.machine != pa_arch.elf_machine)
		return pa_fail(in->diag, PA_E_OTHER_CPU,
			       "process %d is for another CPU than %s", in->pid,
			       pa_arch.name);
	return 0;
}

/* Has the loader not mapped libc yet? */
static bool is_being_loaded(const struct inspection *in)
{
	return !in->modules.libc && strstr(in->exe.interpreter, "ld-linux");
}

static int not_ready(struct inspection *in)
{
	return pa_fail(in->diag, PA_E_NOT_READY,
		       "the program of process %d is still being loaded",
		       in->pid);
}

static int not_python(struct inspection *in)
{
	const char *base = strrchr(in->exe_path, '/');
	char name[256];

	if (!in->modules.count)	/* its memory is gone already */
		return gone(in);
	if (base && !strncmp(base, "/python", 7) && is_being_loaded(in))
		return not_ready(in);
	return pa_fail(in->diag, PA_E_NOT_PYTHON,
		       "process %d (%s) is not a CPython process", in->pid,
		       pa_escape(*in->exe_path ? in->exe_path : in->stat.comm,
				 name, sizeof name));
}

static int check_version(struct inspection *in)
{
	const struct pa_python *p = &in->python;

	if (!p->major)
		return pa_fail(in->diag, PA_E_NEW_PYTHON,
			       "the Python version of process %d cannot be told",
			       in->pid);
	if (p->major < 3 || (p->major == 3 && p->minor < PA_PYTHON_MINOR_MIN))
		return pa_fail(in->diag, PA_E_OLD_PYTHON,
			       "process %d runs Python %s, and 3.%d is the oldest that is supported",
			       in->pid, p->text, PA_PYTHON_MINOR_MIN);
	if (p->major > 3 || p->minor > PA_PYTHON_MINOR_MAX)
		return pa_fail(in->diag, PA_E_NEW_PYTHON,
			       "process %d runs Python %s, and 3.%d is the newest that is known",
			       in->pid, p->text, PA_PYTHON_MINOR_MAX);
	return 0;
}

static int check_libc(struct inspection *in)
{
	bool musl = strstr(in->exe.interpreter, "ld-musl") != NULL;

	if (in->modules.libc && in->modules.loader && !musl)
		return 0;
	if (is_being_loaded(in))
		return not_ready(in);
	if (!musl && !in->modules.libc && in->exe.is_elf &&
	    !in->exe.interpreter[0])
		return pa_fail(in->diag, PA_E_STATIC,
			       "process %d is a static executable without a dynamic loader",
			       in->pid);
	return pa_fail(in->diag, PA_E_NOT_GLIBC,
		       "process %d uses %s instead of glibc", in->pid,
		       musl ? "musl" : "another C library");
}

static int check_python(struct inspection *in)
{
	struct pa_python *p = &in->python;
	int error;

	pa_python_find(&in->modules, &in->memory, p);
	if (p->other)
		return pa_fail(in->diag, PA_E_OTHER_PYTHON,
			       "process %d runs %s, not CPython", in->pid,
			       p->name);
	if (!p->module && !in->exe.python)
		return not_python(in);
	error = p->module ? check_version(in) : 0;
	return error ? error : check_libc(in);
}

static int open_nothing(void *context)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)context;
	return fd < 0 ? -errno : fd;
}

/* Could we talk to a payload in there?  Asked before there is one. */
static int check_namespace(struct inspection *in)
{
	struct timespec t;
	int fd, error;

	if (!pa_enter_is_needed(in->pid, false))
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	fd = pa_enter_call(in->pid, false, (uint64_t)(t.tv_sec + ENTER_S) *
			   1000000000, open_nothing, NULL);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	error = pa_fail(in->diag, PA_E_NOT_PERMITTED,
			"process %d is in a user namespace that does not know user %u and cannot be entered: %s",
			in->pid, (unsigned)geteuid(), strerror(-fd));
	if (in->diag)
		snprintf(in->diag->hint, sizeof in->diag->hint,
			 "run pyattach-sample inside that namespace");
	return error;
}

static int check_hindrances(struct inspection *in)
{
	if (in->python.state == PA_PYTHON_STARTING)
		return pa_fail(in->diag, PA_E_NOT_READY,
			       "the interpreter of process %d is not initialised yet",
			       in->pid);
	if (in->python.state == PA_PYTHON_FINALISING)
		return pa_fail(in->diag, PA_E_FINALISING,
			       "the interpreter of process %d is shutting down",
			       in->pid);
	if (in->status.shadow_stack)
		return pa_fail(in->diag, PA_E_SHADOW_STACK,
			       "process %d uses a shadow stack", in->pid);
	if (in->status.seccomp == 1)
		return pa_fail(in->diag, PA_E_SECCOMP,
			       "process %d is in seccomp's strict mode",
			       in->pid);
	return 0;
}

static void fill_target(struct inspection *in)
{
	struct pa_target *t = in->target;
	const struct pa_python *p = &in->python;

	t->python_version = p->hex;
	t->python_minor = p->minor;
	t->shared_libpython = p->shared;
	t->free_threaded = p->free_threaded;
	memcpy(t->python_text, p->text, sizeof t->python_text);
}

static int read_modules(struct inspection *in)
{
	if (pa_memory_init(&in->memory, in->pid, -1))
		return pa_fail(in->diag, PA_E_FAILED, "out of memory");
	if (!pa_modules_init(&in->modules, &in->memory, in->dir))
		return 0;
	if (errno == ESRCH || errno == ENOENT)
		return gone(in);
	return pa_fail(in->diag, PA_E_NOT_PERMITTED,
		       "cannot read the maps of process %d: %s", in->pid,
		       strerror(errno));
}

/* Where a payload runs already there is nothing left to refuse. */
static int check_room(struct inspection *in, uint64_t room)
{
	const struct pa_target *t = in->target;
	bool attached = t->directory && t->loaded.state == PA_STATE_ATTACHED;

	if (!room || attached)
		return 0;
	return pa_room_check(in->dir, t, &in->status, room,
			     in->modules.maps.count, in->diag);
}

static int check_permission(struct inspection *in)
{
	in->mem = pa_permission_check(in->dir, in->pid, &in->status, in->diag);
	return in->mem < 0 ? in->mem : 0;
}

/* The copies of the parent's payload and directory in the child of a raw clone
 * serve nobody and cannot be started: as if there were none. */
static int find_directory(struct inspection *in)
{
	struct pa_target *t = in->target;
	int error = pa_target_find_directory(in->pid, &t->directory,
					     &t->loaded, in->diag);

	if (!error && t->directory &&
	    t->loaded.pid != (uint32_t)t->inner_pid)
		t->directory = 0;
	return error;
}

static int inspect_program(struct inspection *in, uint64_t room)
{
	int error = check_executable(in);

	if (error || in->outside)
		return error;
	error = read_modules(in);
	if (!error)
		error = check_python(in);
	if (!error)
		error = check_hindrances(in);
	if (!error)
		error = check_namespace(in);
	if (error)
		return error;
	fill_target(in);
	error = find_directory(in);
	return error ? error : check_room(in, room);
}

/* Other threads keep the memory a little longer than the first one lives. */
static bool is_ending(const struct inspection *in)
{
	struct pa_proc_stat now;

	return pa_proc_read_stat(in->dir, "stat", &now) ||
	       now.flags & PA_PF_EXITING || now.state == 'Z';
}

static int inspect(struct inspection *in, uint64_t room)
{
	int error = open_target(in);

	if (!error)
		error = read_state(in);
	if (!error)
		error = check_permission(in);
	if (!error && !in->outside)
		error = pa_room_check_frozen(in->dir, in->pid, in->diag);
	if (error)
		return error;
	error = inspect_program(in, room);
	/* what was seen of a process that ends is no reason */
	if (error && (pa_memory_is_gone(in->mem) || is_ending(in)))
		return gone(in);
	return error;
}

static int look(pid_t pid, bool outside, uint64_t room,
		struct pa_target *target, struct pa_diag *diag)
{
	struct inspection *in = calloc(1, sizeof *in);
	int error;

	if (!in)
		return pa_fail(diag, PA_E_FAILED, "out of memory");
	memset(target, 0, sizeof *target);
	target->pid = pid;
	in->pid = pid;
	in->outside = outside;
	in->dir = in->mem = -1;
	in->target = target;
	in->diag = diag;
	error = inspect(in, room);
	pa_modules_deinit(&in->modules);
	pa_memory_deinit(&in->memory);
	if (in->mem >= 0)
		close(in->mem);
	if (in->dir >= 0)
		close(in->dir);
	free(in);
	return error;
}

int pa_target_inspect(pid_t pid, uint64_t room, struct pa_target *target,
		      struct pa_diag *diag)
{
	int error = look(pid, false, room, target, diag);

	/* an exec in the middle shows half of two programs */
	if (error == PA_E_NOT_PYTHON || error == PA_E_NOT_GLIBC ||
	    error == PA_E_STATIC)
		error = look(pid, false, room, target, diag);
	return error;
}

int pa_target_look(pid_t pid, struct pa_target *target, struct pa_diag *diag)
{
	return look(pid, true, 0, target, diag);
}
