/* SPDX-License-Identifier: MIT
 *
 * What /proc tells everybody about a process: identity, state, command line.
 * Reads only, no ptrace; every text that comes from the process is hostile.
 */
#ifndef PA_CLIENT_PROCESS_H
#define PA_CLIENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pa_process {
	pid_t pid;
	pid_t inner_pid;	/* in its innermost pid namespace */
	uid_t uid;		/* effective */
	uint64_t start_time;	/* clock ticks, identifies the process */
	char state;		/* R S D T t Z X; X also on its way there */
};

/* 0, or PA_E_NO_PROCESS. */
int pa_process_look(pid_t pid, struct pa_process *process);

/* Is it still the process that was looked at? */
bool pa_process_is_same(const struct pa_process *process);

/* Does it have a thread of ours (one named `pyattach`)?  inner_tid: only the
 * one that it calls by that number itself; 0 = any. */
bool pa_process_has_thread(pid_t pid, uint64_t inner_tid);

/* The whole command line, joined by spaces; "" where it cannot be read. */
void pa_process_command(pid_t pid, char *text, size_t size);

/* What a person calls it: the script's base name, the module of -m, or the
 * program's name. */
void pa_process_title(pid_t pid, char *text, size_t size);

/* Read at most size - 1 bytes of a file; -1 or the number read. */
ssize_t pa_read_small(const char *path, char *text, size_t size);

uint64_t pa_now_ns(void);	/* CLOCK_MONOTONIC */

#endif /* PA_CLIENT_PROCESS_H */
