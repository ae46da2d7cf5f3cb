/* SPDX-License-Identifier: MIT
 *
 * What /proc tells about a process; see process.h.
 */
#include "client/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"

#define EXITING 4u	/* PF_EXITING of the kernel, in field 9 of stat */

uint64_t pa_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

ssize_t pa_read_small(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t have = 0;

	if (fd < 0)
		return -1;
	while (have < size - 1) {
		ssize_t n = read(fd, text + have, size - 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	text[have] = '\0';
	close(fd);
	return (ssize_t)have;
}

static ssize_t read_of(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return pa_read_small(path, text, size);
}

/* The last number of the line "Name:\t1 2 3". */
static uint64_t status_number(const char *status, const char *name, int which)
{
	const char *line = strstr(status, name);
	uint64_t value = 0;
	char *end;

	if (!line)
		return 0;
	line += strlen(name);
	for (int i = 0; which < 0 || i <= which; i++) {
		uint64_t next;

		while (*line == ' ' || *line == '\t')
			line++;
		next = strtoull(line, &end, 10);
		if (end == line)
			break;
		value = next;
		line = end;
	}
	return value;
}

int pa_process_look(pid_t pid, struct pa_process *process)
{
	char text[4096];
	const char *rest;
	unsigned flags;

	memset(process, 0, sizeof *process);
	process->pid = pid;
	if (read_of(pid, "stat", text, sizeof text) <= 0)
		return PA_E_NO_PROCESS;
	/* The name in brackets may hold anything, brackets too. */
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %u %*s %*s "
			    "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			    "%" SCNu64, &process->state, &flags,
			    &process->start_time) != 3)
		return PA_E_NO_PROCESS;
	/* Its descriptors close before its end shows otherwise. */
	if (flags & EXITING && process->state != 'Z')
		process->state = 'X';
	if (read_of(pid, "status", text, sizeof text) <= 0)
		return PA_E_NO_PROCESS;
	/* A thread's id is not a process: /proc/TID exists all the same. */
	if (status_number(text, "\nTgid:", 0) != (uint64_t)pid)
		return PA_E_NO_PROCESS;
	process->uid = (uid_t)status_number(text, "\nUid:", 1);
	process->inner_pid = (pid_t)status_number(text, "\nNSpid:", -1);
	if (!process->inner_pid)
		process->inner_pid = pid;
	return 0;
}

bool pa_process_is_same(const struct pa_process *process)
{
	struct pa_process now;

	return !pa_process_look(process->pid, &now) &&
		now.start_time == process->start_time && now.state != 'Z' &&
		now.state != 'X';
}

/* A thread as the innermost pid namespace numbers it. */
static bool is_numbered(pid_t pid, const char *tid, uint64_t inner_tid)
{
	char path[300], text[4096];
	uint64_t number;

	snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, tid);
	if (pa_read_small(path, text, sizeof text) <= 0)
		return false;	/* it ended just now */
	number = status_number(text, "\nNSpid:", -1);
	/* older kernels do not tell: it may be that one */
	return !number || number == inner_tid;
}

bool pa_process_has_thread(pid_t pid, uint64_t inner_tid)
{
	char path[300], name[32];
	struct dirent *entry;
	bool found = false;
	DIR *tasks;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return false;
	while (!found && (entry = readdir(tasks))) {
		snprintf(path, sizeof path, "/proc/%d/task/%s/comm", (int)pid,
			 entry->d_name);
		found = entry->d_name[0] != '.' &&
			pa_read_small(path, name, sizeof name) > 0 &&
			!strcmp(name, "pyattach\n") && (!inner_tid ||
			is_numbered(pid, entry->d_name, inner_tid));
	}
	closedir(tasks);
	return found;
}

void pa_process_command(pid_t pid, char *text, size_t size)
{
	ssize_t n = read_of(pid, "cmdline", text, size);

	if (n <= 0) {
		*text = '\0';
		return;
	}
	while (n > 0 && !text[n - 1])
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = ' ';
	text[n] = '\0';
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* The argument that names what python runs, or NULL. */
static const char *script_of(const char *text, const char *end)
{
	const char *arg = text;

	for (;;) {
		arg += strlen(arg) + 1;
		if (arg >= end || !strcmp(arg, "-c") || !strcmp(arg, "-"))
			return NULL;
		if (arg[0] != '-')
			return base_name(arg);
		if (!strcmp(arg, "-m"))
			return arg + 3 < end ? arg + 3 : NULL;
		if (!strcmp(arg, "-X") || !strcmp(arg, "-W"))
			arg += 3;
	}
}

void pa_process_title(pid_t pid, char *text, size_t size)
{
	char line[4097];
	ssize_t n = read_of(pid, "cmdline", line, sizeof line - 1);
	const char *script = NULL;

	*text = '\0';
	if (n <= 0)
		return;
	line[n] = line[n + 1] = '\0';
	if (strstr(base_name(line), "python"))
		script = script_of(line, line + n);
	snprintf(text, size, "%s", script ? script : base_name(line));
}
