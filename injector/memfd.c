/* SPDX-License-Identifier: MIT
 *
 * The payload by a memfd, where the target has no directory to load from: a
 * first stub makes it in the target, we fill it, and the stub that loads the
 * payload closes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "injector/proc.h"
#include "injector/session.h"

#define MEMFD_CLOEXEC 1u
#define MEMFD_EXEC 0x10u

/* Does the target see itself in /proc?  A memfd has no other name. */
static bool target_has_proc(struct pa_session *s)
{
	int root = openat(s->dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct pa_proc_stat stat;
	char name[48];
	bool has;

	if (root < 0)
		return false;
	snprintf(name, sizeof name, "proc/%d/stat", (int)s->target->inner_pid);
	has = !pa_proc_read_stat(root, name, &stat) &&
	      stat.start_time == s->target->start_time;
	close(root);
	return has;
}

int pa_session_place_in_memfd(struct pa_session *s)
{
	struct pa_block *b = &s->block;
	struct pa_scratch scratch;
	char name[48];
	int fd, error;

	if (!target_has_proc(s))
		return pa_fail(s->diag, PA_E_NO_PLACE,
			       "process %d has no directory to load from, and no /proc to name a memfd",
			       s->target->pid);
	b->mode = PA_STUB_MEMFD;
	b->memfd_flags = MEMFD_CLOEXEC | MEMFD_EXEC;
	for (int turn = 0; turn < 2; turn++) {
		snprintf(b->path, sizeof b->path, PA_PAYLOAD_MEMFD);
		error = pa_session_commit(s, b->options.deadline_ns);
		if (!error)
			error = pa_session_wait_stub(s, &scratch);
		if (error)
			return error;
		b->free_page = b->scratch;
		error = pa_session_choose_scratch(s);
		if (error)
			return error;
		b->options.scratch = b->scratch;
		if (scratch.result != -EINVAL)
			break;
		b->memfd_flags = MEMFD_CLOEXEC;	/* before Linux 6.3 */
	}
	if (scratch.result < 0)
		return pa_fail(s->diag, PA_E_NO_PLACE,
			       "process %d has no directory to load from, and memfd_create failed: %s",
			       s->target->pid, strerror((int)-scratch.result));
	b->mode = PA_STUB_START;
	b->close_fd = (uint64_t)scratch.result;
	snprintf(b->path, sizeof b->path, "/proc/%d/fd/%d",
		 (int)s->target->inner_pid, (int)scratch.result);
	snprintf(name, sizeof name, "fd/%d", (int)scratch.result);
	fd = openat(s->dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pa_place_fill(&s->place, fd)) {
		error = errno;
		if (fd >= 0)
			close(fd);
		return pa_fail(s->diag, PA_E_NO_PLACE,
			       "cannot fill the memfd of process %d: %s",
			       s->target->pid, strerror(error));
	}
	close(fd);
	return 0;
}
