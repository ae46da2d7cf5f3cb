/* SPDX-License-Identifier: MIT
 *
 * Attach the payload to a running CPython: preflight, safe point, commit,
 * wait for the payload's answer.  Linux, x86-64 (one file per CPU).
 *
 * The injector may be killed at any instant and the target carries on.
 * Nothing here prints or exits.
 */
#ifndef PA_INJECTOR_INJECTOR_H
#define PA_INJECTOR_INJECTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/image.h"

/* What went wrong, in one line that names the object.  Filled where it
 * happens, printed once by the client. */
struct pa_diag {
	char text[512];		/* without program name, hint and newline */
	char hint[256];		/* empty: the hint of errors.def */
};

/* Record text (printf) and return `error`, so that callers can write
 * `return pa_fail(diag, PA_E_X, "...")`.  diag may be NULL. */
int pa_fail(struct pa_diag *diag, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What preflight learns without touching the target. */
struct pa_target {
	pid_t pid;		/* as seen by us */
	pid_t inner_pid;	/* as the target sees itself */
	uid_t uid;		/* its user, for us */
	uint64_t start_time;	/* /proc/PID/stat field 22 */
	uint32_t python_version;	/* PY_VERSION_HEX, 0 = not known exactly */
	int python_minor;
	bool shared_libpython;
	bool free_threaded;
	char python_text[32];	/* "3.13.0" */
	uint64_t directory;	/* address of a payload's directory, or 0 */
	struct pa_directory loaded;	/* its contents, valid if directory */
};

/*
 * Look at a process: everything that can be refused is refused here.
 * `room`: check limits for memory_max bytes more (0: skip).  0 or -PA_E_.
 */
int pa_target_inspect(pid_t pid, uint64_t room, struct pa_target *target,
		      struct pa_diag *diag);

/*
 * For a reader that stays outside: a process that we may read, also one that
 * is stopped, traced, frozen, filtered or about to end.  Reads nothing of its
 * memory, so that it knows neither Python's version nor a payload.
 */
int pa_target_look(pid_t pid, struct pa_target *target, struct pa_diag *diag);

/* Read n bytes at an address of the process; 0 or -PA_E_. */
int pa_target_read(pid_t pid, uint64_t address, void *buffer, size_t n);

/* Find a payload's directory (low slots, then maps); *address 0 if none. */
int pa_target_find_directory(pid_t pid, uint64_t *address,
			     struct pa_directory *directory,
			     struct pa_diag *diag);

/* How to get in. */
enum pa_method {
	PA_METHOD_AUTO = 0,	/* ptrace, else what the interpreter offers */
	PA_METHOD_PTRACE,
	PA_METHOD_REMOTE,	/* remote debugging, Python 3.14 and later */
};

struct pa_attach_options {
	const char *payload;	/* path of the payload file to copy */
	uint64_t rate;
	uint64_t memory_max;
	unsigned frames_max;
	uint64_t timeout_ns;	/* of the whole attach */
	uint64_t seed;		/* 0 = random */
	enum pa_method method;
	bool assume_seccomp_ok;	/* do not judge its filters */
	/* called with one line per step, or NULL */
	void (*step)(void *context, const char *line);
	void *context;
};

struct pa_attach_result {
	uint64_t stopped_ns;	/* longest time a thread was stopped */
	uint64_t total_ns;
	unsigned stops;
	const char *method;	/* "ptrace" or "remote-exec" */
	char reason[128];	/* last reason against a safe point, or empty */
	uint64_t ticket;	/* names this attempt; 0: it never began */
	struct pa_directory directory;	/* as it is once hooks are on */
};

/*
 * Attach: load the payload (or start the one that is loaded already but
 * detached) and wait until its hooks are in place.  The caller has found out
 * that it is not attached.  0 or -PA_E_.
 */
int pa_attach(const struct pa_target *target,
	      const struct pa_attach_options *options,
	      struct pa_attach_result *result, struct pa_diag *diag);

#endif /* PA_INJECTOR_INJECTOR_H */
