/* SPDX-License-Identifier: MIT
 *
 * Permission to trace (see permission.h).  Opening /proc/PID/mem asks the
 * kernel the very question that PTRACE_SEIZE will ask, Yama included.
 */
#include "injector/permission.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAP_SYS_PTRACE_BIT (1ull << 19)

static void hint(struct pa_diag *diag, const char *text)
{
	if (diag) {
		strncpy(diag->hint, text, sizeof diag->hint - 1);
		diag->hint[sizeof diag->hint - 1] = 0;
	}
}

static bool same_user(const struct pa_permission_facts *f)
{
	for (int i = 0; i < 3; i++)
		if (f->uid[i] != f->our_uid || f->gid[i] != f->our_gid)
			return false;
	return true;
}

static int explain_yama(const struct pa_permission_facts *f,
			struct pa_diag *diag)
{
	static const char *const scope[] = {
		"only a descendant of the tracer may be traced",
		"only an administrator may trace",
		"nobody may trace",
	};
	int level = f->yama > 3 ? 3 : f->yama;
	int error = pa_fail(diag, PA_E_NOT_PERMITTED,
			    "not permitted to trace process %d: Yama's ptrace_scope is %d (%s)",
			    f->pid, f->yama, scope[level - 1]);

	hint(diag, level == 3 ?
	     "this setting holds until the next boot" :
	     level == 2 ? "run as root" :
	     "run as root, or: sysctl kernel.yama.ptrace_scope=0");
	return error;
}

int pa_permission_explain(const struct pa_permission_facts *f,
			  struct pa_diag *diag)
{
	bool capable = f->our_capabilities & CAP_SYS_PTRACE_BIT;
	int error;

	if (f->yama >= 3)
		return explain_yama(f, diag);
	if (!f->same_user_namespace && (!capable || f->contained)) {
		error = pa_fail(diag, PA_E_NOT_PERMITTED,
				"not permitted to trace process %d: it lives in another user namespace",
				f->pid);
		hint(diag, "run inside its container, or as root outside");
		return error;
	}
	if (!f->our_uid && !capable) {
		error = pa_fail(diag, PA_E_NOT_PERMITTED,
				"not permitted to trace process %d: root lacks CAP_SYS_PTRACE here",
				f->pid);
		hint(diag, "give the container CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)");
		return error;
	}
	if (!capable && !same_user(f)) {
		error = pa_fail(diag, PA_E_NOT_PERMITTED,
				"not permitted to trace process %d: it belongs to user %u, and you are user %u",
				f->pid, (unsigned)f->uid[1],
				(unsigned)f->our_uid);
		hint(diag, "run as root or as that user");
		return error;
	}
	if (!capable && f->not_dumpable) {
		error = pa_fail(diag, PA_E_NOT_PERMITTED,
				"not permitted to trace process %d: it has made itself non-dumpable",
				f->pid);
		hint(diag, "run as root");
		return error;
	}
	if (f->yama > 0 && f->may_read)
		return explain_yama(f, diag);
	error = pa_fail(diag, PA_E_NOT_PERMITTED,
			"not permitted to trace process %d: a security module or more capabilities of it forbid that",
			f->pid);
	hint(diag, "run as root; look at the audit log of SELinux or AppArmor");
	return error;
}

static int read_yama(void)
{
	char text[32];
	uint64_t value;

	if (pa_proc_read(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", text,
			 sizeof text) < 0 ||
	    pa_proc_parse_number(text, &value) || value > 3)
		return -1;
	return (int)value;
}

/* Only the first user namespace knows every user. */
static bool is_contained(void)
{
	unsigned long inside, outside, count;
	char map[256];

	return pa_proc_read(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) > 0
	       && sscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3
	       && (inside || outside || count < UINT32_MAX);
}

static bool same_namespace(int dir, bool contained)
{
	struct stat ours, theirs;

	if (stat("/proc/self/ns/user", &ours) ||
	    fstatat(dir, "ns/user", &theirs, 0))
		/* not to be seen: no reason by itself, except for who has
		 * every right inside of its own */
		return !contained;
	return ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* One that is about to end has no memory any more, and its files are root's:
 * it looks as if it had made itself non-dumpable. */
static bool has_ended(int dir)
{
	struct pa_proc_status now;

	return pa_proc_read_status(dir, "status", &now) ?
	       errno == ENOENT || errno == ESRCH : !now.has_memory;
}

int pa_permission_check(int dir, pid_t pid, const struct pa_proc_status *status,
			struct pa_diag *diag)
{
	struct pa_permission_facts facts = { .pid = pid };
	struct pa_proc_status own;
	struct stat st;
	int fd = openat(dir, "mem", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ESRCH || has_ended(dir))
		return pa_fail(diag, PA_E_EXITED,
			       "process %d ended before it was looked into",
			       pid);
	facts.our_uid = geteuid();
	facts.our_gid = getegid();
	if (!pa_proc_read_status(AT_FDCWD, "/proc/self/status", &own))
		facts.our_capabilities = own.capabilities;
	memcpy(facts.uid, status->uid, sizeof facts.uid);
	memcpy(facts.gid, status->gid, sizeof facts.gid);
	facts.yama = read_yama();
	fd = openat(dir, "maps", O_RDONLY | O_CLOEXEC);
	facts.may_read = fd >= 0;
	if (fd >= 0)
		close(fd);
	/* the files of a process that is not dumpable belong to root */
	facts.not_dumpable = !fstatat(dir, "mem", &st, 0) &&
			     st.st_uid != status->uid[1];
	facts.contained = is_contained();
	facts.same_user_namespace = same_namespace(dir, facts.contained);
	return pa_permission_explain(&facts, diag);
}
