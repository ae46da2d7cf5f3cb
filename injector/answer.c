/* SPDX-License-Identifier: MIT
 *
 * After the commit: the stub's end, then the payload's answer in its
 * directory.  The target needs nothing of us any more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "injector/diag.h"
#include "injector/directory.h"
#include "injector/fault.h"
#include "injector/hurry.h"
#include "injector/session.h"

#define POLL_FIRST_NS 50000ull
#define POLL_MAX_NS 1000000ull
#define MAPS_EVERY 16	/* polls between two looks through all maps */
#define VAIN_MAX 3	/* of these, once the scratch is gone */

/* What is known of the answer so far. */
struct wait {
	struct pa_session *session;
	uint64_t pause_ns;
	unsigned polls;
	unsigned vain;		/* looks for the answer after that */
	bool seen;		/* the stub has begun */
};

static int too_late(const struct wait *w, const char *what)
{
	struct pa_session *s = w->session;

	return pa_fail(s->diag, PA_E_TIMEOUT, "process %d: %s",
		       s->target->pid, what);
}

/* Our payload answered, was detached, and the next attach began, all before we
 * looked: its ticket stands where ours did. */
static int overtaken(const struct wait *w)
{
	struct pa_session *s = w->session;

	return pa_fail(s->diag, PA_E_NOT_ATTACHED, "process %d was detached by somebody else just when it was attached, and another attach began",
		       s->target->pid);
}

/* One pause; 0, or why waiting is over. */
static int pause_once(struct wait *w, const char *what)
{
	struct pa_session *s = w->session;
	int error = pa_session_check_alive(s);

	if (error)
		return error;
	if (pa_session_now() >= s->deadline_ns)
		return too_late(w, what);
	pa_fault_point(PA_FAULT_WAITING);
	pa_session_sleep(s, w->pause_ns);
	if (pa_session_is_interrupted(s))
		return pa_fail(s->diag, PA_E_FAILED,
			       "interrupted while the payload started in process %d",
			       s->target->pid);
	w->polls++;
	w->pause_ns += w->pause_ns / 4;
	if (w->pause_ns > POLL_MAX_NS)
		w->pause_ns = POLL_MAX_NS;
	return 0;
}

/* Has a payload taken our ticket?  Then the scratch may be gone. */
static bool find_answer(struct pa_session *s, bool maps, uint64_t *address)
{
	uint64_t known = s->target->directory;
	struct pa_directory d;

	/* the one that is started again, wherever it lies */
	if (s->block.mode == PA_STUB_ENTRY &&
	    !pa_memory_read(&s->memory, known, &d, sizeof d) &&
	    d.start_ticket == s->block.options.ticket) {
		*address = known;
		return true;
	}
	return pa_directory_find_ticket(&s->memory, s->dir,
					s->block.options.ticket, maps,
					address);
}

/* *address: the directory, where the scratch has been unmapped already. */
static int wait_end(struct wait *w, struct pa_scratch *scratch,
		     uint64_t *address)
{
	struct pa_session *s = w->session;
	bool start = s->block.mode != PA_STUB_MEMFD;

	*address = 0;
	for (;;) {
		bool maps = w->polls % MAPS_EVERY == MAPS_EVERY - 1;
		int error;

		if (!pa_memory_read(&s->memory, s->block.scratch, scratch,
				    sizeof *scratch)) {
			w->seen = true;
			if (scratch->state == 2)
				return 0;
		} else if (start && find_answer(s, maps, address)) {
			return 0;
		} else if (start && w->seen && maps && ++w->vain >= VAIN_MAX) {
			/* unmapped only after the ticket was shown */
			return overtaken(w);
		}
		error = pause_once(w, w->seen ?
				   "its loader did not finish in time (another thread holds the loader's lock)" :
				   "the thread that was to load the payload did not run, or could not map 256 KiB");
		if (error)
			return error;
	}
}

/* The same, and the thread goes on. */
static int wait_stub(struct wait *w, struct pa_scratch *scratch,
		     uint64_t *address)
{
	struct pa_hurry before;
	int error;

	pa_hurry_begin(&before);	/* it waits for us */
	error = wait_end(w, scratch, address);
	if (!error)
		pa_threads_resume(&w->session->attempt);
	pa_hurry_end(&before);
	return error;
}

int pa_session_wait_stub(struct pa_session *session, struct pa_scratch *scratch)
{
	struct wait w = { .session = session, .pause_ns = POLL_FIRST_NS };
	uint64_t address;

	return wait_stub(&w, scratch, &address);
}

static int loader_error(struct pa_session *s, const struct pa_scratch *scratch)
{
	char raw[sizeof scratch->error + 1], text[400];

	memcpy(raw, scratch->error, sizeof scratch->error);
	raw[sizeof scratch->error] = 0;
	pa_escape(*raw ? raw : "no reason given", text, sizeof text);
	if (strstr(raw, "static TLS"))
		return pa_fail(s->diag, PA_E_NO_TLS,
			       "no thread-local storage is left in process %d: %s",
			       s->target->pid, text);
	return pa_fail(s->diag, PA_E_LOADER,
		       "the loader of process %d refused the payload: %s",
		       s->target->pid, text);
}

/* An error of pa_start itself, or of its thread, with the payload's text. */
static int payload_error(struct pa_session *s, int error, const char *text)
{
	const struct pa_error_info *info = pa_error_info(error);
	char raw[sizeof ((struct pa_directory *)0)->start_text + 1], out[400];

	snprintf(raw, sizeof raw, "%.*s", (int)sizeof raw - 1, text);
	if (!*raw)
		return pa_fail(s->diag, info->error, "process %d: %s",
			       s->target->pid, info->sentence);
	return pa_fail(s->diag, info->error, "process %d: %s: %s",
		       s->target->pid, info->sentence,
		       pa_escape(raw, out, sizeof out));
}

static int wait_payload(struct wait *w, uint64_t address)
{
	struct pa_session *s = w->session;
	struct pa_directory *d = &s->result->directory;

	w->pause_ns = POLL_FIRST_NS;
	for (;;) {
		struct pa_directory now;
		bool told = !pa_memory_read(&s->memory, address, &now,
					    sizeof now);
		int error;

		if (told && now.start_ticket != s->block.options.ticket)
			return overtaken(w);
		if (told && now.start_status) {
			if (now.start_status != 1)
				return payload_error(s, -(int)now.start_status,
						     now.start_text);
			if (pa_directory_read(&s->memory, address, d))
				return 0;
		}
		error = pause_once(w, "the payload did not answer in time");
		if (error)
			return error;
	}
}

int pa_session_wait_answer(struct pa_session *session)
{
	struct wait w = { .session = session, .pause_ns = POLL_FIRST_NS };
	struct pa_scratch scratch;
	struct pa_directory d;
	uint64_t address;
	int error = wait_stub(&w, &scratch, &address);

	if (error)
		return error;
	if (address)
		return wait_payload(&w, address);
	if (!scratch.handle)
		return loader_error(session, &scratch);
	if (!scratch.start)
		return pa_fail(session->diag, PA_E_PAYLOAD_MISSING,
			       "the payload that process %d loaded has no %s",
			       session->target->pid, PA_START_SYMBOL);
	if (scratch.result > 0)
		return wait_payload(&w, (uint64_t)scratch.result);
	/* its own words are in the directory, where there is one already */
	if (!find_answer(session, true, &address) ||
	    !pa_directory_read(&session->memory, address, &d))
		d.start_text[0] = 0;
	return payload_error(session, (int)scratch.result, d.start_text);
}

int pa_session_wait_payload(struct pa_session *session, uint64_t address)
{
	struct wait w = { .session = session };

	return wait_payload(&w, address);
}
