/* SPDX-License-Identifier: MIT
 *
 * Remote debugging (see remote.h).  Thread states are only written to while
 * all threads are stopped: one that is in the list then cannot be freed, and
 * no bit that another thread sets is lost.
 */
#include "injector/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "injector/diag.h"
#include "injector/directory.h"
#include "injector/python.h"
#include "injector/world.h"

#define STATES_MAX 4096
#define POLL_NS 2000000ull
#define MAPS_EVERY 8
#define ASK_TURNS 8
#define ASK_PAUSE_NS 10000000ull	/* doubled each time */

/* What a visit to all thread states is to do. */
struct visit {
	struct pa_session *session;
	struct pa_python_remote remote;
	char path[PA_REMOTE_PATH_MAX];	/* of the script, for the target */
	bool withdraw;
	unsigned written;
};

static bool read_word(struct visit *v, uint64_t at, uint64_t *value)
{
	return !pa_memory_read(&v->session->memory, at, value, sizeof *value);
}

static bool put(struct visit *v, uint64_t at, const void *bytes, size_t n)
{
	return !pa_memory_write(&v->session->memory, at, bytes, n);
}

/* What makes it a request is written last, as the interpreter may be resumed
 * by our end: the bit alone does nothing, but a request without it would
 * never be served, and be in the way of all that come after it. */
static void request(struct visit *v, uint64_t state)
{
	const struct pa_python_remote *r = &v->remote;
	const int32_t yes = 1;
	uint64_t breaker;

	if (put(v, state + r->support + r->path, v->path,
		strlen(v->path) + 1) &&
	    read_word(v, state + r->breaker, &breaker)) {
		breaker |= r->breaker_bit;
		v->written += put(v, state + r->breaker, &breaker,
				  sizeof breaker) &&
			      put(v, state + r->support + r->pending, &yes,
				  sizeof yes);
	}
}

static void visit_state(struct visit *v, uint64_t state)
{
	const struct pa_python_remote *r = &v->remote;
	char path[PA_REMOTE_PATH_MAX];
	int32_t pending;
	const int32_t no = 0;

	if (pa_memory_read(&v->session->memory, state + r->support + r->pending,
			   &pending, sizeof pending))
		return;
	if (!v->withdraw && !pending) {
		request(v, state);
		return;
	}
	/* somebody else's request stays */
	if (v->withdraw && pending &&
	    !pa_memory_read(&v->session->memory, state + r->support + r->path,
			    path, strlen(v->path) + 1) &&
	    !memcmp(path, v->path, strlen(v->path) + 1))
		v->written += put(v, state + r->support + r->pending, &no,
				  sizeof no);
}

/* All thread states of the main interpreter. */
static int visit_all(void *context)
{
	struct visit *v = context;
	uint64_t state = 0;

	if (!read_word(v, v->remote.interpreter + v->remote.threads, &state))
		return -1;
	for (unsigned i = 0; state && i < STATES_MAX; i++) {
		visit_state(v, state);
		if (!read_word(v, state + v->remote.next, &state))
			return -1;
	}
	return 0;
}

static bool find(struct pa_session *s, struct pa_python_remote *remote,
		 const char **why)
{
	struct pa_python python;

	pa_python_find(&s->modules, &s->memory, &python);
	*why = pa_python_find_remote(&python, &s->memory, remote);
	return !*why;
}

int pa_remote_check(struct pa_session *session)
{
	struct pa_python_remote remote;
	const char *why;

	if (find(session, &remote, &why))
		return 0;
	return pa_fail(session->diag, PA_E_NO_REMOTE, "process %d: %s",
		       session->target->pid, why);
}

bool pa_remote_is_possible(struct pa_session *session)
{
	struct pa_python_remote remote;
	const char *why;

	return find(session, &remote, &why);
}

/* Who removes the file runs it; what goes wrong is written into it. */
static const char script_head[] =
	"#pyattach-sample\n"
	"def pyattach(path, library, start, options):\n"
	"    import os\n"
	"    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)\n"
	"    try:\n"
	"        os.unlink(path)\n"
	"    except PermissionError:\n"
	"        pass\n"
	"    try:\n"
	"        import ctypes\n"
	"        kind = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_uint32, ctypes.c_char_p)\n"
	"        if library:\n"
	"            start = ('" PA_START_SYMBOL "', ctypes.PyDLL(library))\n"
	"            try:\n"
	"                os.unlink(library)\n"
	"            except OSError:\n"
	"                pass\n"
	"        code = kind(start)(%u, bytes.fromhex(options))\n"
	"        error = '' if code > 0 else '=%%d' %% code\n"
	"    except Exception as e:\n"
	"        error = '!%%s: %%s' %% (type(e).__name__, e)\n"
	"    os.pwrite(file, (error + '\\n').encode('utf-8', 'replace'), 0)\n"
	"    os.close(file)\n"
	"try:\n"
	"    pyattach('%s', '%s', %llu, '";

static const char script_tail[] =
	"')\n"
	"except OSError:\n"
	"    pass\n";

static size_t make_script(const struct pa_session *s, const char *path,
			  char *text, size_t size)
{
	const struct pa_block *b = &s->block;
	const uint8_t *bytes = (const uint8_t *)&b->options;
	bool entry = b->mode == PA_STUB_ENTRY;
	size_t n = (size_t)snprintf(text, size, script_head,
				    (unsigned)PA_START_VERSION, path,
				    entry ? "" : b->path,
				    entry ? (unsigned long long)b->entry : 0);

	for (size_t i = 0; i < sizeof b->options && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%02x", bytes[i]);
	if (n < size)
		n += (size_t)snprintf(text + n, size - n, "%s", script_tail);
	return n;
}

static int place_script(struct visit *v, int *fd)
{
	struct pa_session *s = v->session;
	char text[4096];
	size_t n;

	*fd = pa_place_script(&s->place, s->dir, s->target, v->path,
			      sizeof v->path, s->diag);
	if (*fd < 0)
		return *fd;
	n = make_script(s, v->path, text, sizeof text);
	if (n < sizeof text && strlen(v->path) < v->remote.path_size &&
	    write(*fd, text, n) == (ssize_t)n)
		return 0;
	close(*fd);
	return pa_fail(s->diag, PA_E_NO_PLACE,
		       "cannot write a script for process %d",
		       s->target->pid);
}

/* What the script wrote over its first byte, if it came so far. */
static int script_error(struct visit *v, int fd)
{
	struct pa_session *s = v->session;
	char text[300];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	if (text[0] == '=') {
		const struct pa_error_info *info =
			pa_error_info(atoi(text + 1));

		return pa_fail(s->diag, info->error, "process %d: %s",
			       s->target->pid, info->sentence);
	}
	if (text[0] == '!') {
		char out[400];

		return pa_fail(s->diag, PA_E_LOADER,
			       "the interpreter of process %d could not load the payload: %s",
			       s->target->pid,
			       pa_escape(text + 1, out, sizeof out));
	}
	return 0;
}

/* Until the ticket shows, the script tells an error, or time is up. */
static int await(struct visit *v, int fd, uint64_t *address)
{
	struct pa_session *s = v->session;

	for (unsigned turn = 0;; turn++) {
		int error;

		if (pa_directory_find_ticket(&s->memory, s->dir,
					     s->block.options.ticket,
					     turn % MAPS_EVERY == 0, address))
			return 0;
		error = script_error(v, fd);
		if (!error)
			error = pa_session_check_alive(s);
		if (!error)
			error = pa_session_check_interrupted(s);
		if (error)
			return error;
		if (pa_session_now() >= s->block.options.deadline_ns)
			return pa_fail(s->diag, PA_E_NO_SAFE_POINT,
				       "no thread of process %d came back to Python code in time",
				       s->target->pid);
		pa_session_sleep(s, POLL_NS);
	}
}

/* A thread in vfork stops later, one that is about to end never does: both
 * are gone soon. */
static int ask(struct visit *v)
{
	struct pa_session *s = v->session;

	v->written = 0;
	for (int turn = 0; turn < ASK_TURNS; turn++) {
		int error;

		if (!pa_world_stop(s->dir, &s->memory, visit_all, v,
				   &s->result->stopped_ns) || v->written) {
			s->result->ticket = s->block.options.ticket;
			return 0;
		}
		error = pa_session_check_alive(s);
		if (error)
			return error;
		if (pa_session_is_interrupted(s))
			break;
		pa_session_sleep(s, ASK_PAUSE_NS << turn);
	}
	return pa_fail(s->diag, PA_E_TRACE_FAILED,
		       "not all threads of process %d could be stopped at once",
		       s->target->pid);
}

/* As patiently, and also when the deadline has passed or a signal came. */
static void take_back(struct visit *v)
{
	struct pa_session *s = v->session;

	v->withdraw = true;
	for (int turn = 0; turn < ASK_TURNS && v->written; turn++) {
		const uint64_t ns = ASK_PAUSE_NS << turn;
		const struct timespec pause = {
			(time_t)(ns / 1000000000), (long)(ns % 1000000000),
		};

		if (!pa_world_stop(s->dir, &s->memory, visit_all, v,
				   &s->result->stopped_ns) ||
		    pa_session_check_alive(s))
			break;
		nanosleep(&pause, NULL);
	}
}

int pa_remote_load(struct pa_session *session)
{
	struct visit v = { .session = session };
	const char *why;
	uint64_t address = 0;
	int fd, error;

	/* there is no stub, so no memory of it */
	session->block.options.scratch = session->block.options.scratch_size = 0;
	session->block.options.file = 0;
	if (!find(session, &v.remote, &why))
		return pa_fail(session->diag, PA_E_NO_REMOTE,
			       "process %d: %s", session->target->pid, why);
	error = place_script(&v, &fd);
	if (error)
		return error;
	session->result->method = "remote-exec";
	error = ask(&v);
	if (!error)
		error = await(&v, fd, &address);
	take_back(&v);
	close(fd);
	return error ? error : pa_session_wait_payload(session, address);
}
