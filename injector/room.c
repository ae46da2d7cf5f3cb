/* SPDX-License-Identifier: MIT
 *
 * Limits of a process and of its cgroups (see room.h).  A limit that cannot be
 * read is no reason to refuse: then the attach itself will tell.
 */
#include "injector/room.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A cgroup of the process as a path that we can open, and where its
 * hierarchy begins. */
struct group {
	char path[PATH_MAX];
	size_t top;		/* length of the mount point's path */
};

static bool find_group(int dir, const char *controller, struct group *group)
{
	char text[PA_PROC_TEXT], path[1024], root[1024], mount[1024];
	const char *below = path;
	char *mounts;
	int error;

	if (pa_proc_read(dir, "cgroup", text, sizeof text) < 0 ||
	    pa_proc_parse_cgroup(text, controller, path, sizeof path))
		return false;
	mounts = pa_proc_read_all(AT_FDCWD, "/proc/self/mountinfo");
	if (!mounts)
		return false;
	error = pa_proc_parse_cgroup_mount(mounts, controller, mount, root,
					   sizeof mount);
	free(mounts);
	if (error || strstr(path, ".."))	/* outside of our namespace */
		return false;
	if (strcmp(root, "/")) {
		size_t n = strlen(root);

		if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
			return false;
		below = path + n;
	}
	group->top = strlen(mount);
	snprintf(group->path, sizeof group->path, "%s%s", mount,
		 strcmp(below, "/") ? below : "");
	return true;
}

/* The next group outwards; false at the top of the hierarchy. */
static bool go_up(struct group *group)
{
	char *slash = strrchr(group->path, '/');

	if (!slash || (size_t)(slash - group->path) < group->top)
		return false;
	*slash = 0;
	return true;
}

static bool group_text(const struct group *group, const char *file, char *text,
		       size_t size)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof path, "%s/%s", group->path, file);
	return pa_proc_read(AT_FDCWD, path, text, size) >= 0;
}

static bool group_number(const struct group *group, const char *file,
			 uint64_t *out)
{
	char text[64];

	return group_text(group, file, text, sizeof text) &&
	       !pa_proc_parse_number(text, out);
}

/* Names of the files in the two versions of cgroups. */
struct files {
	const char *controller, *limit, *usage, *cache[2];
};

static uint64_t reclaimable(const struct group *group, const struct files *f)
{
	char text[PA_PROC_TEXT];
	uint64_t sum = 0, value;

	if (!group_text(group, "memory.stat", text, sizeof text))
		return 0;
	for (int i = 0; i < 2; i++)
		if (!pa_proc_parse_keyed(text, f->cache[i], &value))
			sum += value;
	return sum;
}

static int check_memory_group(int dir, const struct pa_target *target,
			      uint64_t need, const struct files *f,
			      struct pa_diag *diag)
{
	struct group group;

	if (!find_group(dir, f->controller, &group))
		return 0;
	do {
		uint64_t limit, usage, cache;

		if (!group_number(&group, f->limit, &limit) ||
		    !group_number(&group, f->usage, &usage) ||
		    limit >= INT64_MAX)
			continue;
		cache = reclaimable(&group, f);
		usage = usage > cache ? usage - cache : 0;
		if (usage + need <= limit)
			continue;
		return pa_fail(diag, PA_E_NO_MEMORY_LEFT,
			       "process %d may use only %llu KiB more memory (%s of its cgroup), but the payload needs up to %llu KiB",
			       target->pid, (unsigned long long)
			       (limit > usage ? limit - usage : 0) >> 10,
			       f->limit, (unsigned long long)need >> 10);
	} while (go_up(&group));
	return 0;
}

/*
 * What a limit on mapped memory must still allow.  The tables of an attach
 * before stay mapped, and are used again unless larger ones are asked for.
 */
static uint64_t address_space(const struct pa_target *target, uint64_t room)
{
	const struct pa_directory *d = &target->loaded;

	if (target->directory && d->major == PA_IMAGE_MAJOR && d->entry &&
	    d->state != PA_STATE_ATTACHED && d->state != PA_STATE_STARTING &&
	    !strncmp(d->payload_version, PACKAGE_VERSION,
		     sizeof d->payload_version))
		return (room > d->memory_max ? room : 0) + PA_ROOM_AGAIN;
	return room + PA_ROOM_EXTRA;
}

static int check_memory(int dir, const struct pa_target *target,
			const struct pa_proc_status *status,
			const char *limits, uint64_t room,
			struct pa_diag *diag)
{
	const uint64_t need = address_space(target, room);
	static const struct files files[] = {
		{ "", "memory.max", "memory.current",
		  { "inactive_file", "active_file" } },
		{ "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
		  { "total_inactive_file", "total_active_file" } },
	};
	const struct {
		const char *line, *name;
		uint64_t used;
	} own[] = {
		{ "Max address space", "RLIMIT_AS", status->vm_size },
		{ "Max data size", "RLIMIT_DATA", status->vm_data },
	};

	for (int i = 0; i < 2; i++) {
		uint64_t limit = pa_proc_parse_limit(limits, own[i].line);

		if (limit == UINT64_MAX || own[i].used + need <= limit)
			continue;
		return pa_fail(diag, PA_E_NO_MEMORY_LEFT,
			       "process %d may map only %llu KiB more (%s), but the payload needs up to %llu KiB",
			       target->pid, (unsigned long long)
			       (limit > own[i].used ? limit - own[i].used : 0)
			       >> 10, own[i].name,
			       (unsigned long long)need >> 10);
	}
	for (int i = 0; i < 2; i++) {
		/* what is mapped and empty counts for nothing here */
		int error = check_memory_group(dir, target,
					       room + PA_ROOM_EXTRA, &files[i],
					       diag);

		if (error)
			return error;
	}
	return 0;
}

static int check_pids_group(int dir, const struct pa_target *target,
			    const char *controller, struct pa_diag *diag)
{
	struct group group;
	uint64_t limit, usage;

	if (!find_group(dir, controller, &group))
		return 0;
	do {
		if (group_number(&group, "pids.max", &limit) &&
		    group_number(&group, "pids.current", &usage) &&
		    usage >= limit)
			return pa_fail(diag, PA_E_NO_THREAD_LEFT,
				       "process %d may not start a thread: pids.max of its cgroup (%llu) is reached",
				       target->pid, (unsigned long long)limit);
	} while (go_up(&group));
	return 0;
}

/* All threads on the machine: "0.1 0.2 0.3 running/all last". */
static uint64_t count_all_threads(void)
{
	char text[128];
	const char *slash;

	if (pa_proc_read(AT_FDCWD, "/proc/loadavg", text, sizeof text) < 0)
		return 0;
	slash = strchr(text, '/');
	return slash ? strtoull(slash + 1, NULL, 10) : 0;
}

/* Threads of one user's processes. */
static uint64_t count_user_threads(uid_t uid)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint64_t sum = 0;

	while (proc && (entry = readdir(proc))) {
		struct pa_proc_status status;
		char name[280];

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(name, sizeof name, "%s/status", entry->d_name);
		if (!pa_proc_read_status(dirfd(proc), name, &status) &&
		    status.uid[0] == uid)
			sum += status.threads;
	}
	if (proc)
		closedir(proc);
	return sum;
}

static int check_threads(int dir, const struct pa_target *target,
			 const struct pa_proc_status *status,
			 const char *limits, struct pa_diag *diag)
{
	uint64_t limit = pa_proc_parse_limit(limits, "Max processes");
	int error = check_pids_group(dir, target, "", diag);

	if (!error)
		error = check_pids_group(dir, target, "pids", diag);
	/* the limit does not bind root or CAP_SYS_RESOURCE (24) and
	 * CAP_SYS_ADMIN (21) */
	if (error || limit == UINT64_MAX || !status->uid[0] ||
	    status->capabilities & (1ull << 24 | 1ull << 21) ||
	    count_all_threads() < limit ||
	    count_user_threads(status->uid[0]) < limit)
		return error;
	return pa_fail(diag, PA_E_NO_THREAD_LEFT,
		       "process %d may not start a thread: RLIMIT_NPROC (%llu) of its user is reached",
		       target->pid, (unsigned long long)limit);
}

static uint64_t count_descriptors(int dir)
{
	struct stat st;
	struct dirent *entry;
	uint64_t n = 0;
	DIR *fds;
	int fd;

	/* since Linux 6.2 the size is their number */
	if (!fstatat(dir, "fd", &st, 0) && st.st_size > 0)
		return (uint64_t)st.st_size;
	fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds = fd < 0 ? NULL : fdopendir(fd);
	while (fds && (entry = readdir(fds)))
		n += entry->d_name[0] != '.';
	if (fds)
		closedir(fds);
	else if (fd >= 0)
		close(fd);
	return n;
}

static int check_descriptors(int dir, const struct pa_target *target,
			     const char *limits, struct pa_diag *diag)
{
	uint64_t limit = pa_proc_parse_limit(limits, "Max open files");
	uint64_t used = count_descriptors(dir);

	if (limit == UINT64_MAX || used + PA_ROOM_DESCRIPTORS <= limit)
		return 0;
	return pa_fail(diag, PA_E_NO_FD_LEFT,
		       "process %d has %llu of %llu descriptors open (RLIMIT_NOFILE), and the payload needs %d",
		       target->pid, (unsigned long long)used,
		       (unsigned long long)limit, PA_ROOM_DESCRIPTORS);
}

static int check_mappings(const struct pa_target *target, size_t mappings,
			  struct pa_diag *diag)
{
	char text[64];
	uint64_t limit;

	if (pa_proc_read(AT_FDCWD, "/proc/sys/vm/max_map_count", text,
			 sizeof text) < 0 ||
	    pa_proc_parse_number(text, &limit) ||
	    mappings + PA_ROOM_MAPPINGS <= limit)
		return 0;
	return pa_fail(diag, PA_E_NO_MAPPING_LEFT,
		       "process %d has %zu of %llu memory mappings (vm.max_map_count), and the payload needs %d",
		       target->pid, mappings, (unsigned long long)limit,
		       PA_ROOM_MAPPINGS);
}

int pa_room_check(int dir, const struct pa_target *target,
		  const struct pa_proc_status *status, uint64_t room,
		  size_t mappings, struct pa_diag *diag)
{
	char limits[PA_PROC_TEXT];
	int error;

	if (pa_proc_read(dir, "limits", limits, sizeof limits) < 0)
		limits[0] = 0;
	error = check_memory(dir, target, status, limits, room, diag);
	if (!error)
		error = check_threads(dir, target, status, limits, diag);
	if (!error)
		error = check_descriptors(dir, target, limits, diag);
	if (!error)
		error = check_mappings(target, mappings, diag);
	return error;
}

int pa_room_check_frozen(int dir, pid_t pid, struct pa_diag *diag)
{
	struct group group;
	char text[256];
	uint64_t frozen = 0;
	bool found = false;

	if (find_group(dir, "", &group) &&
	    group_text(&group, "cgroup.events", text, sizeof text) &&
	    !pa_proc_parse_keyed(text, "frozen", &frozen))
		found = frozen != 0;
	if (!found && find_group(dir, "freezer", &group) &&
	    group_text(&group, "freezer.state", text, sizeof text))
		found = !strncmp(text, "FR", 2);	/* FROZEN, FREEZING */
	if (!found)
		return 0;
	return pa_fail(diag, PA_E_FROZEN,
		       "process %d is in a frozen cgroup (%s)", pid,
		       group.path);
}
