/* SPDX-License-Identifier: MIT
 *
 * What /proc says about a process, in plain structs.
 *
 * The pa_proc_parse_* functions take text and touch nothing else, so that
 * recorded files test them; text comes NUL-terminated, numbers that are
 * absent become 0 or -1 as said.  The pa_proc_read* functions fetch the text
 * through a directory descriptor of /proc/PID, which stays bound to one
 * process: after its end every read fails, also when the pid is used again.
 * Nothing here blocks, prints or keeps state.
 */
#ifndef PA_INJECTOR_PROC_H
#define PA_INJECTOR_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PA_PROC_TEXT 8192	/* enough for stat, status, limits, syscall */

#define PA_PF_EXITING 0x00000004u
#define PA_PF_KTHREAD 0x00200000u

/* /proc/PID/stat */
struct pa_proc_stat {
	char state;		/* R S D Z T t X I ... */
	unsigned flags;		/* PA_PF_* of the kernel */
	uint64_t start_time;	/* clock ticks since boot, field 22 */
	char comm[64];		/* as the kernel gives it: hostile */
};

/* /proc/PID/status */
struct pa_proc_status {
	pid_t tgid, tracer;	/* tracer 0: none */
	pid_t inner_pid;	/* last number of NSpid, or Pid */
	uid_t uid[4];		/* real, effective, saved, file system */
	gid_t gid[4];
	unsigned threads;
	int seccomp;		/* 0 off, 1 strict, 2 filters */
	int seccomp_filters;	/* how many; 0 before Linux 5.9 */
	bool shadow_stack;
	bool has_memory;	/* a kernel thread has no VmSize */
	uint64_t vm_size, vm_data;	/* bytes */
	uint64_t signals_pending, signals_shared, signals_blocked;
	uint64_t signals_ignored, signals_caught;
	uint64_t capabilities;	/* effective */
};

/* /proc/PID/task/TID/syscall */
enum pa_proc_where {
	PA_PROC_UNKNOWN = 0,
	PA_PROC_RUNNING,
	PA_PROC_IN_CALL,
	PA_PROC_IN_KERNEL,	/* blocked, but in no system call */
};

struct pa_proc_syscall {
	enum pa_proc_where where;
	long number;
	uint64_t args[6];
	uint64_t sp, pc;	/* 0 while it runs */
};

/* One line of /proc/PID/maps; path points into the text that was parsed. */
struct pa_map {
	uint64_t start, end, offset, device, inode;
	char perms[5];
	const char *path;	/* "" for anonymous memory */
};

/* All of /proc/PID/maps; free with pa_proc_free_maps(). */
struct pa_maps {
	struct pa_map *map;
	size_t count;
	char *text;
};

/* 0, or -1 if the text is not what it should be. */
int pa_proc_parse_stat(const char *text, struct pa_proc_stat *out);
int pa_proc_parse_status(const char *text, struct pa_proc_status *out);
int pa_proc_parse_syscall(const char *text, struct pa_proc_syscall *out);

/* Soft limit `name` ("Max open files") of /proc/PID/limits; UINT64_MAX for
 * "unlimited" and for a name that is not there. */
uint64_t pa_proc_parse_limit(const char *text, const char *name);

/* A number alone in a file, or "max" (UINT64_MAX); -1 if neither. */
int pa_proc_parse_number(const char *text, uint64_t *out);

/* The number after `key` and white space at the start of a line; -1 if there
 * is none.  For memory.stat, cgroup.events and the like. */
int pa_proc_parse_keyed(const char *text, const char *key, uint64_t *out);

/* The path of a cgroup in /proc/PID/cgroup: `controller` of version 1, or ""
 * for version 2.  -1 if it is not listed or does not fit. */
int pa_proc_parse_cgroup(const char *text, const char *controller,
			 char *path, size_t size);

/* Where a cgroup hierarchy is mounted, from /proc/self/mountinfo; controller
 * as above.  `root` is the part of the hierarchy that is visible there. */
int pa_proc_parse_cgroup_mount(const char *text, const char *controller,
			       char *mount, char *root, size_t size);

/* What the id `outer` is called inside of a user namespace, from its uid_map
 * or gid_map as we read it; -1 if it is nobody there. */
int pa_proc_parse_id_map(const char *text, unsigned long outer,
			 unsigned long *inner);

/* Takes over text (malloc), also on failure. */
int pa_proc_parse_maps(char *text, struct pa_maps *out);
void pa_proc_free_maps(struct pa_maps *maps);

/* The map that holds an address, or NULL. */
const struct pa_map *pa_proc_find_map(const struct pa_maps *maps,
				      uint64_t address);

/* Open /proc/PID as a directory; the descriptor or -errno. */
int pa_proc_open(pid_t pid);

/* Read a file below `dir` (AT_FDCWD: any path) into text[size], always with
 * a NUL at its end; its length or -errno. */
ssize_t pa_proc_read(int dir, const char *name, char *text, size_t size);

/* The same for a file of any length (at most 64 MiB); NULL and errno. */
char *pa_proc_read_all(int dir, const char *name);

int pa_proc_read_stat(int dir, const char *name, struct pa_proc_stat *out);
int pa_proc_read_status(int dir, const char *name, struct pa_proc_status *out);
/* The same of a file that is open already: one call. */
int pa_proc_reread_status(int fd, struct pa_proc_status *out);
/* Who traces the task of that status file?  0: nobody, or not any more.  Its
 * name is hostile, and "?" where it is hidden (/proc mounted with hidepid). */
pid_t pa_proc_tracer(int dir, const char *name, char comm[64]);
int pa_proc_read_maps(int dir, struct pa_maps *out);

#endif /* PA_INJECTOR_PROC_H */
