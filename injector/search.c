/* SPDX-License-Identifier: MIT
 *
 * The search for a safe point: which thread to stop next, how long to wait in
 * between, when to give up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "injector/diag.h"
#include "injector/fault.h"
#include "injector/proc.h"
#include "injector/session.h"

#define STOPS_MAX 50
#define PAUSE_FIRST_NS 300000ull
#define PAUSE_MAX_NS 250000000ull
#define DENIALS_MAX 3	/* refusals in a row, no tracer to be seen */
#define DENIED_NS 4000000ull	/* our other tools hold a thread for less */
#define STUCK_MAX 20	/* threads that do not stop, before we believe it */
#define LOST_MAX 16	/* stacks that we cannot follow, in a row, where there
			 * is another way: greenlets are made of such */

struct search {
	struct pa_session *session;
	uint64_t deadline_ns, pause_ns;
	/* threads tried since all were tried last */
	pid_t tried[PA_CANDIDATES_MAX];
	size_t tried_count;
	unsigned stops, stuck, denials, lost;
	bool other_way;	/* than a safe point */
	int filters;	/* threads with as many are not tried; 0: none yet */
	char reason[128];
};

static bool was_tried(const struct search *s, pid_t tid)
{
	for (size_t i = 0; i < s->tried_count; i++)
		if (s->tried[i] == tid)
			return true;
	return false;
}

static bool may_try(const struct search *s, pid_t tid)
{
	return !was_tried(s, tid) &&
	       (!s->filters || pa_session_count_filters(s->session, tid) < s->filters);
}

/* The best thread that was not tried in this turn; 0 if there is none. */
static pid_t choose(struct search *s)
{
	static struct pa_candidate list[PA_CANDIDATES_MAX];
	size_t n = pa_threads_list(s->session->dir, list, PA_CANDIDATES_MAX);

	if (pa_fault_thread())
		return pa_fault_thread();
	for (size_t i = 0; i < n; i++)
		if (may_try(s, list[i].tid))
			return list[i].tid;
	s->tried_count = 0;	/* a new turn */
	return n && may_try(s, list[0].tid) ? list[0].tid : 0;
}

/* Is it a tracer thread of our own that has not quite ended? */
static bool is_our_tracer(pid_t tid)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/self/task/%d", (int)tid);
	return !access(name, F_OK);
}

/* ptrace was refused: why?  1: go on searching. */
static int denied(struct search *s, const struct pa_attempt *a)
{
	struct pa_session *session = s->session;
	char name[64], comm[64], shown[64];
	pid_t pid = session->target->pid, tracer;

	snprintf(name, sizeof name, "task/%d/status", (int)a->tid);
	tracer = pa_proc_tracer(session->dir, name, comm);
	if (!tracer && ++s->denials <= DENIALS_MAX) {
		/* A tracer that let go in between, unless it happens again. */
		if (pa_session_now() + DENIED_NS < s->deadline_ns)
			pa_session_sleep(session, DENIED_NS);
		return 1;
	}
	if (!tracer)
		return pa_fail(session->diag, PA_E_NOT_PERMITTED,
			       "not permitted to trace a thread of process %d", pid);
	if (is_our_tracer(tracer))
		return 1;
	return pa_fail(session->diag, PA_E_TRACED,
		       "process %d is traced by process %d (%s)", pid,
		       (int)tracer, pa_escape(comm, shown, sizeof shown));
}

/* A filter of this thread forbids something: is there one with fewer?  Only
 * a program that confines some of its threads has such.  1: go on. */
static int forbidden(struct search *s, const struct pa_attempt *a)
{
	struct pa_candidate list[PA_CANDIDATES_MAX];
	struct pa_session *session = s->session;
	pid_t pid = session->target->pid;
	size_t n = pa_threads_list(session->dir, list, PA_CANDIDATES_MAX);

	s->filters = pa_session_count_filters(session, a->tid);
	for (size_t i = 0; i < n && !pa_fault_thread(); i++)
		if (pa_session_count_filters(session, list[i].tid) <
		    s->filters)
			return 1;
	if (!a->what)
		return pa_fail(session->diag, PA_E_SECCOMP,
			       "process %d has a seccomp filter that cannot be read over thread %d (%s), and a forbidden call might end it",
			       pid, (int)a->tid, "that takes CAP_SYS_ADMIN");
	return pa_fail(session->diag, PA_E_SECCOMP,
		       "a seccomp filter of process %d does not allow %s",
		       pid, a->what);
}

/* What one attempt means; 1: go on searching. */
static int judge(struct search *s, const struct pa_attempt *a)
{
	struct pa_session *session = s->session;
	pid_t pid = session->target->pid;

	if (a->stopped) {
		s->stops++;
		if (a->stopped_ns > session->result->stopped_ns)
			session->result->stopped_ns = a->stopped_ns;
	}
	if (a->reason)
		snprintf(s->reason, sizeof s->reason, "%s", a->reason);
	s->lost = a->outcome == PA_ATTEMPT_UNSAFE && session->safe->lost ?
		s->lost + 1 : 0;
	if (a->outcome != PA_ATTEMPT_DENIED)
		s->denials = 0;
	switch (a->outcome) {
	case PA_ATTEMPT_COMMITTED:
		session->result->ticket = session->block.options.ticket;
		return 0;
	case PA_ATTEMPT_UNSAFE:
	case PA_ATTEMPT_GONE:
	case PA_ATTEMPT_JUDGED:
		return 1;
	case PA_ATTEMPT_NO_STOP:
		s->stuck++;
		return 1;
	case PA_ATTEMPT_STOPPED:
		return pa_fail(session->diag, PA_E_STOPPED,
			       "process %d is stopped (by job control)", pid);
	case PA_ATTEMPT_DENIED:
		return denied(s, a);
	case PA_ATTEMPT_FORBIDDEN:
		return forbidden(s, a);
	default:
		return pa_fail(session->diag, PA_E_TRACE_FAILED,
			       "%s failed for thread %d of process %d: %s",
			       a->what, (int)a->tid, pid, strerror(a->error));
	}
}

static int give_up(const struct search *s)
{
	struct pa_session *session = s->session;
	pid_t pid = session->target->pid;

	if (!s->stops && s->stuck)
		return pa_fail(session->diag, PA_E_UNINTERRUPTIBLE,
			       "no thread of process %d can be stopped: they are in uninterruptible sleep or vfork",
			       pid);
	return pa_fail(session->diag, PA_E_NO_SAFE_POINT,
		       "no safe point found in process %d (%u stops; the last time %s)",
		       pid, s->stops, *s->reason ? s->reason :
		       "no thread could be stopped");
}

/* Between two attempts: is there reason to end?  1: go on. */
static int pause_between(struct search *s, const struct pa_attempt *a)
{
	struct pa_session *session = s->session;
	uint64_t now = pa_session_now();
	int error = pa_session_check_alive(session);

	if (error)
		return error;
	if (now >= s->deadline_ns || s->stops >= STOPS_MAX ||
	    (!s->stops && s->stuck >= STUCK_MAX) ||
	    (s->other_way && s->lost >= LOST_MAX))
		return give_up(s);
	/* libraries were loaded since, or another program was executed */
	if (a->outcome == PA_ATTEMPT_UNSAFE && session->safe->stale) {
		error = pa_session_load(session);
		if (error)
			return error;
	}
	if (a->outcome == PA_ATTEMPT_GONE)
		return 1;
	pa_session_sleep(session, s->pause_ns);
	s->pause_ns += s->pause_ns / 4;
	if (s->pause_ns > PAUSE_MAX_NS)
		s->pause_ns = PAUSE_MAX_NS;
	error = pa_session_check_interrupted(session);
	return error ? error : 1;
}

static int search(struct search *s)
{
	struct pa_session *session = s->session;

	for (;;) {
		struct pa_attempt a = {
			.dir = session->dir,
			.memory = &session->memory,
			.safe = session->safe,
			.cave = session->cave,
			.block = &session->block,
			.judge_filters = !session->options->assume_seccomp_ok,
		};
		int going;

		a.tid = choose(s);
		if (a.tid) {
			if (s->tried_count == PA_CANDIDATES_MAX)
				s->tried_count = 0;
			s->tried[s->tried_count++] = a.tid;
			pa_threads_attempt(&a);
			going = judge(s, &a);
			session->attempt = a;
			if (going <= 0)
				return going;
			pa_session_step(session, "thread %d: %s", (int)a.tid,
					a.reason ? a.reason : "it ended");
		} else {
			a.outcome = PA_ATTEMPT_GONE;
		}
		going = pause_between(s, &a);
		if (going <= 0)
			return going;
	}
}

int pa_session_commit(struct pa_session *session, uint64_t deadline_ns)
{
	struct search s = {
		.session = session,
		.deadline_ns = deadline_ns,
		.pause_ns = PAUSE_FIRST_NS,
		.other_way = deadline_ns < session->block.options.deadline_ns,
	};
	int error = search(&s);

	session->result->stops += s.stops;
	if (*s.reason)
		memcpy(session->result->reason, s.reason, sizeof s.reason);
	return error;
}

int pa_session_look(struct pa_session *session, struct pa_attempt *attempt)
{
	struct search s = { .session = session };
	int going;

	pa_threads_attempt(attempt);
	going = judge(&s, attempt);
	session->result->stops += s.stops;
	return going;
}
