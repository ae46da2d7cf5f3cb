/* SPDX-License-Identifier: MIT
 *
 * Seccomp filters of the threads that do not run the stub.  Our hooks run in
 * each of them, so each is stopped once to read its filters, before anything
 * else is done to the target.
 *
 * A thread that would show the stop (see the ranks), and every one when many
 * were stopped, is taken to be as those with as many filters, where these
 * were all alike.  Threads that begin later have the filters of their makers.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/start.h"
#include "injector/proc.h"
#include "injector/session.h"

#define STOPS_MAX 24	/* of the 50 that an attach may use */
#define TURNS_MAX 10	/* for threads that do not stop */
#define TURN_NS 5000000ull
#define KINDS_MAX 16
#define THREADS_MAX 4096u

/* Threads with so many filters. */
struct kind {
	int count;
	bool mixed;	/* not all of them are alike */
	uint64_t hash;
};

struct survey {
	struct pa_session *session;
	struct kind kinds[KINDS_MAX];
	size_t kind_count;
	unsigned stops;
};

int pa_session_count_filters(const struct pa_session *session, pid_t tid)
{
	struct pa_proc_status status;
	char name[64];

	snprintf(name, sizeof name, "task/%d/status", (int)tid);
	if (pa_proc_read_status(session->dir, name, &status) ||
	    !status.seccomp)
		return 0;
	return status.seccomp == 1 ? INT_MAX : 1 + status.seccomp_filters;
}

static bool any_filter(const struct pa_session *session)
{
	int fd = openat(session->dir, "task", O_RDONLY | O_DIRECTORY |
						O_CLOEXEC);
	DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool any = false;

	while (tasks && !any && (entry = readdir(tasks))) {
		pid_t tid = (pid_t)atoi(entry->d_name);

		any = tid > 0 && pa_session_count_filters(session, tid);
	}
	if (tasks)
		closedir(tasks);
	else if (fd >= 0)
		close(fd);
	return any;
}

static struct kind *find_kind(struct survey *v, int count)
{
	for (size_t i = 0; i < v->kind_count; i++)
		if (v->kinds[i].count == count)
			return &v->kinds[i];
	return NULL;
}

static void note_kind(struct survey *v, int count, uint64_t hash)
{
	struct kind *kind = find_kind(v, count);

	if (kind)
		kind->mixed |= kind->hash != hash;
	else if (v->kind_count < KINDS_MAX)
		v->kinds[v->kind_count++] = (struct kind){
			.count = count, .hash = hash };
}

static int refuse(const struct survey *v, pid_t tid, const char *call)
{
	return pa_fail(v->session->diag, PA_E_SECCOMP,
		       "a seccomp filter over thread %d of process %d does not allow %s, which our hooks need in every thread",
		       (int)tid, v->session->target->pid, call);
}

static int refuse_unread(const struct survey *v, pid_t tid, const char *why)
{
	return pa_fail(v->session->diag, PA_E_SECCOMP,
		       "process %d has a seccomp filter that cannot be read over thread %d (%s), and a forbidden call might end it",
		       v->session->target->pid, (int)tid, why);
}

/* What the filters of a thread mean: 0 or an error. */
static int conclude(struct survey *v, const struct pa_attempt *a)
{
	struct pa_session *s = v->session;
	const struct pa_seccomp_others *others = &a->others;
	bool remote = s->options->method == PA_METHOD_REMOTE;

	if (a->filters == PA_SECCOMP_UNREADABLE)
		return refuse_unread(v, a->tid, "that takes CAP_SYS_ADMIN");
	if (a->filters == PA_SECCOMP_FORBIDS)
		return refuse(v, a->tid, others->hooks ? others->hooks :
			      others->fork_handlers);
	if (!s->confined && (others->start || (remote && others->script))) {
		s->confined = a->tid;
		s->confined_call = others->start ? others->start :
			others->script;
	}
	return 0;
}

/* Judge one thread: 0, 1 where it must be tried again, or an error. */
static int visit(struct survey *v, const struct pa_candidate *candidate)
{
	struct pa_session *s = v->session;
	struct pa_attempt a = {
		.tid = candidate->tid, .dir = s->dir, .memory = &s->memory,
		.safe = s->safe, .cave = s->cave, .block = &s->block,
		.only_filters = true,
	};
	int count = pa_session_count_filters(s, a.tid), going;
	const struct kind *kind = find_kind(v, count);
	bool sparing = candidate->rank > PA_RANK_EXACT ||
		       v->stops >= STOPS_MAX;

	if (!count || (kind && !kind->mixed && sparing))
		return 0;
	if (count == INT_MAX)
		return refuse(v, a.tid, "anything (strict mode)");
	if (v->stops >= STOPS_MAX)
		return refuse_unread(v, a.tid, "too many threads have different ones");
	going = pa_session_look(s, &a);
	v->stops += a.stopped;
	if (going <= 0)
		return going ? going : PA_E_FAILED;
	if (a.outcome != PA_ATTEMPT_JUDGED)
		return a.outcome == PA_ATTEMPT_GONE ? 0 : 1;
	note_kind(v, count, a.others.hash);
	return conclude(v, &a);
}

/* 0 while there is time, and nobody asks us to end. */
static int may_go_on(const struct survey *v, pid_t tid)
{
	const struct pa_session *s = v->session;
	int error = pa_session_check_interrupted(s);

	if (error)
		return error;
	return pa_session_now() < s->block.options.deadline_ns ? 0 :
		refuse_unread(v, tid, "there was no time to stop it");
}

/* Again and again those that did not stop. */
static int visit_all(struct survey *v, struct pa_candidate *list, size_t n)
{
	for (int turn = 0; n; turn++) {
		size_t left = 0;

		if (turn == TURNS_MAX)
			return refuse_unread(v, list[0].tid, "it does not stop");
		if (turn)
			pa_session_sleep(v->session, TURN_NS);
		for (size_t i = 0; i < n; i++) {
			int again = may_go_on(v, list[i].tid);

			if (!again)
				again = visit(v, &list[i]);
			if (again < 0)
				return again;
			if (again)
				list[left++] = list[i];
		}
		n = left;
	}
	return 0;
}

int pa_session_judge_filters(struct pa_session *session)
{
	struct survey v = { .session = session };
	struct pa_candidate *list;
	size_t n;
	int error;

	if (session->options->assume_seccomp_ok || !any_filter(session))
		return 0;
	list = calloc(THREADS_MAX, sizeof *list);
	if (!list)
		return pa_fail(session->diag, PA_E_FAILED, "out of memory");
	n = pa_threads_list(session->dir, list, THREADS_MAX);
	error = visit_all(&v, list, n);
	free(list);
	if (!error && session->confined) {
		session->block.options.flags |= PA_START_FEW_MAKERS;
		pa_session_step(session, "thread %d may not call %s: it does not start ours",
				(int)session->confined,
				session->confined_call);
	}
	return error;
}
