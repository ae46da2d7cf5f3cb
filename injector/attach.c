/* SPDX-License-Identifier: MIT
 *
 * pa_attach: prepare everything, commit, wait for the answer, clean up.
 *
 * There is one commit point.  Before it nothing that a thread of the target
 * can see has changed; after it the target finishes by itself, whether we
 * live or not.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "injector/directory.h"
#include "injector/proc.h"
#include "injector/python.h"
#include "injector/remote.h"
#include "injector/session.h"

#define INNER_DLOPEN 0x80000000u	/* __RTLD_DLOPEN of glibc before 2.34 */
#define PAGE 4096ull
#define GAP_MIN (64ull << 20)
#define ANSWER_MARGIN_NS 300000000ull
#define LEAVING_MAX_NS 2000000000ull	/* a payload's last answer: 1 s */
#define LEAVING_POLL_NS 1000000ull

uint64_t pa_session_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void pa_session_step(const struct pa_session *session, const char *format, ...)
{
	char line[256];
	va_list args;

	if (!session->options->step)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	session->options->step(session->options->context, line);
}

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

bool pa_session_is_interrupted(const struct pa_session *session)
{
	sigset_t pending, set;

	end_signals(&set);
	if (sigpending(&pending))
		return false;
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&set, i) == 1 && sigismember(&pending, i) == 1 &&
		    sigismember(&session->old_mask, i) != 1)
			return true;
	return false;
}

int pa_session_check_interrupted(const struct pa_session *session)
{
	return !pa_session_is_interrupted(session) ? 0 :
		pa_fail(session->diag, PA_E_FAILED,
			"interrupted before process %d was touched",
			session->target->pid);
}

void pa_session_sleep(const struct pa_session *session, uint64_t ns)
{
	uint64_t until = pa_session_now() + ns;

	if (until > session->deadline_ns)
		until = session->deadline_ns;
	/* slices, so that a request to end is seen soon */
	for (;;) {
		uint64_t now = pa_session_now();
		struct timespec t = { 0, 20000000 };

		if (now >= until || pa_session_is_interrupted(session))
			return;
		if (until - now < (uint64_t)t.tv_nsec)
			t.tv_nsec = (long)(until - now);
		nanosleep(&t, NULL);
	}
}

int pa_session_check_alive(const struct pa_session *session)
{
	struct pa_proc_stat stat;
	int error = pa_proc_read_stat(session->dir, "stat", &stat);

	if (error || stat.state == 'Z' || stat.state == 'X' ||
	    stat.flags & PA_PF_EXITING ||
	    stat.start_time != session->target->start_time)
		return pa_fail(session->diag, PA_E_EXITED,
			       "process %d ended meanwhile",
			       session->target->pid);
	if (session->mem >= 0 && pa_memory_is_gone(session->mem))
		return pa_fail(session->diag, PA_E_EXITED,
			       "process %d executed another program meanwhile",
			       session->target->pid);
	return 0;
}

/* Signals that would end us at a bad moment wait until we are done. */
static void block_signals(struct pa_session *s)
{
	sigset_t set;

	end_signals(&set);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, &s->old_mask);
}

static void unblock_signals(struct pa_session *s)
{
	struct timespec none = { 0, 0 };
	sigset_t set;

	/* reports of our tracer threads: nobody else is to see them */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (sigtimedwait(&set, NULL, &none) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
}

static int open_process(struct pa_session *s)
{
	struct pa_proc_stat stat;
	pid_t pid = s->target->pid;

	s->dir = pa_proc_open(pid);
	if (s->dir < 0)
		return pa_fail(s->diag, PA_E_EXITED,
			       "process %d ended meanwhile", pid);
	if (pa_proc_read_stat(s->dir, "stat", &stat))
		return pa_session_check_alive(s);
	if (stat.start_time != s->target->start_time)
		return pa_fail(s->diag, PA_E_PID_REUSED,
			       "process %d is another one than before", pid);
	s->mem = openat(s->dir, "mem", O_RDWR | O_CLOEXEC);
	if (s->mem < 0 && errno == ESRCH)
		return pa_fail(s->diag, PA_E_EXITED,
			       "process %d ended meanwhile", pid);
	if (s->mem < 0)
		return pa_fail(s->diag, PA_E_NOT_PERMITTED,
			       "cannot open the memory of process %d: %s", pid,
			       strerror(errno));
	if (pa_memory_init(&s->memory, pid, s->mem))
		return pa_fail(s->diag, PA_E_FAILED, "out of memory");
	return 0;
}

/* The first free space for the stub in a cave; 0 if there is none. */
static uint64_t look_in_cave(struct pa_session *s, const struct pa_module *m,
			     const uint8_t *stub, size_t size)
{
	uint8_t bytes[4096];
	size_t at = 0;

	if (m->cave_size < size || m->cave_size > sizeof bytes ||
	    pa_memory_read(&s->memory, m->cave, bytes, m->cave_size))
		return 0;
	while (at + size <= m->cave_size) {
		uint64_t length;

		if (memcmp(bytes + at, PA_STUB_MARK, 8) ||
		    !memcmp(bytes + at, stub, size))
			return m->cave + at;
		/* another build's stub, which may be running: keep it */
		memcpy(&length, bytes + at + 8, sizeof length);
		if (length < 16 || length > m->cave_size)
			return 0;
		at = (at + length + 15) & ~15ull;
	}
	return 0;
}

/* Modules that are never unloaded come first. */
int pa_session_find_cave(struct pa_session *s)
{
	struct pa_modules *m = &s->modules;
	struct pa_module *first[] = { m->libc, m->loader, m->exe };
	size_t size;
	const uint8_t *stub = pa_arch_stub(&size);

	s->cave = 0;
	for (size_t i = 0; i < 3 && !s->cave; i++)
		if (first[i])
			s->cave = look_in_cave(s, first[i], stub, size);
	for (size_t i = 0; i < m->count && !s->cave; i++)
		s->cave = look_in_cave(s, &m->module[i], stub, size);
	if (!s->cave)
		return pa_fail(s->diag, PA_E_NO_PLACE,
			       "process %d has no room for %zu bytes of code",
			       s->target->pid, size);
	return 0;
}

static uint64_t libc_symbol(struct pa_session *s, const char *name)
{
	struct pa_module *from[] = {
		s->modules.libc, s->modules.libdl, s->modules.libpthread,
	};

	for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
		uint64_t at = from[i] ? pa_module_symbol(from[i], &s->memory,
							 name) : 0;

		if (at)
			return at;
	}
	return 0;
}

/* dlopen and dlsym: of libc, of libdl, or libc's inner ones. */
int pa_session_find_loader(struct pa_session *s)
{
	struct pa_block *b = &s->block;

	b->dlopen = libc_symbol(s, "dlopen");
	b->dlsym = libc_symbol(s, "dlsym");
	b->dlerror = libc_symbol(s, "dlerror");
	b->dlopen_flags = RTLD_NOW;
	if (!b->dlopen || !b->dlsym) {
		b->dlopen = libc_symbol(s, "__libc_dlopen_mode");
		b->dlsym = libc_symbol(s, "__libc_dlsym");
		b->dlerror = 0;
		b->dlopen_flags = RTLD_NOW | INNER_DLOPEN;
	}
	b->errno_location = libc_symbol(s, "__errno_location");
	if (!b->dlopen || !b->dlsym || !b->errno_location)
		return pa_fail(s->diag, PA_E_LIBC_OLD,
			       "the C library of process %d has no dlopen",
			       s->target->pid);
	return 0;
}

int pa_session_load(struct pa_session *s)
{
	struct pa_modules fresh;
	int error;

	pa_memory_forget(&s->memory);
	error = pa_modules_init(&fresh, &s->memory, s->dir);
	if (error || !fresh.exe || !fresh.libc || !fresh.loader) {
		pa_modules_deinit(&fresh);
		/* it had all that when it was inspected */
		return pa_fail(s->diag, PA_E_EXITED,
			       "process %d executed another program meanwhile",
			       s->target->pid);
	}
	pa_modules_deinit(&s->modules);
	s->modules = fresh;
	pa_safepoint_init(s->safe, &s->memory, &s->modules);
	error = pa_session_find_loader(s);
	return error ? error : pa_session_find_cave(s);
}

/* An address in the largest gap of the address space. */
int pa_session_choose_scratch(struct pa_session *s)
{
	const struct pa_maps *maps = &s->modules.maps;
	uint64_t best = 0, start = 0, random;

	for (size_t i = 0; i + 1 < maps->count; i++) {
		uint64_t low = maps->map[i].end, high = maps->map[i + 1].start;

		/* below are heap and low slots, above is the kernel */
		if (low < 1ull << 40)
			low = 1ull << 40;
		if (high >= 1ull << 47 || high <= low ||
		    high - low < GAP_MIN || high - low < best)
			continue;
		best = high - low;
		start = low;
	}
	if (!best)
		return pa_fail(s->diag, PA_E_NO_MEMORY_LEFT,
			       "the address space of process %d is full",
			       s->target->pid);
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = pa_session_now();
	start += best / 4;
	s->block.scratch = (start + random % (best / 2)) & ~(PAGE - 1);
	s->block.scratch_size = PA_SCRATCH_SIZE;
	return 0;
}

static void fill_options(struct pa_session *s)
{
	struct pa_options *o = &s->block.options;
	uint64_t margin = s->options->timeout_ns / 5;

	o->size = sizeof *o;
	while (!o->ticket)
		if (getrandom(&o->ticket, sizeof o->ticket, 0) < 0)
			o->ticket = pa_session_now();
	o->rate = s->options->rate;
	o->memory_max = s->options->memory_max;
	o->frames_max = s->options->frames_max;
	o->seed = s->options->seed;
	/* a bit before we stop waiting, so that the answer reaches us */
	o->deadline_ns = s->deadline_ns -
		(margin < ANSWER_MARGIN_NS ? margin : ANSWER_MARGIN_NS);
	o->scratch = s->block.scratch;
	o->scratch_size = s->block.scratch_size;
}

static int fill_block(struct pa_session *s)
{
	struct pa_block *b = &s->block;
	int error = pa_session_choose_scratch(s);

	if (error)
		return error;
	if (pa_arch_vector_mask(&b->vector_mask))
		return pa_fail(s->diag, PA_E_TRACE_FAILED,
			       "this CPU's vector state does not fit");
	b->version = PA_START_VERSION;
	b->close_fd = UINT64_MAX;
	memcpy(b->symbol, PA_START_SYMBOL, sizeof PA_START_SYMBOL);
	fill_options(s);
	return 0;
}

static bool is_over(const struct pa_directory *d)
{
	return d->state == PA_STATE_DETACHED || d->state == PA_STATE_FAILED;
}

/* Where its numbers are not ours it counts as alive: we wait a bit longer. */
static bool thread_lives(const struct pa_session *s, uint32_t inner_tid)
{
	char name[32];

	snprintf(name, sizeof name, "task/%u", (unsigned)inner_tid);
	return inner_tid && (s->target->pid != s->target->inner_pid ||
			     !faccessat(s->dir, name, F_OK, 0));
}

/* What was detached starts again only once its thread has sent the last
 * answer and left, which it says here. */
static int wait_until_left(struct pa_session *s, struct pa_directory *d)
{
	uint64_t end = pa_session_now() + LEAVING_MAX_NS;
	int error;

	if (end > s->deadline_ns)
		end = s->deadline_ns;
	while (is_over(d) && thread_lives(s, d->server_tid) &&
	       pa_session_now() < end) {
		pa_session_sleep(s, LEAVING_POLL_NS);
		error = pa_session_check_interrupted(s);
		if (error)
			return error;
		if (!pa_directory_read(&s->memory, s->target->directory, d))
			return pa_session_check_alive(s);
	}
	return 0;
}

/* Is there a payload of our version that can be started again? */
static int look_for_loaded(struct pa_session *s)
{
	struct pa_directory now = s->target->loaded, *d = &now;
	int error;

	s->block.mode = PA_STUB_START;
	if (!s->target->directory)
		return 0;
	error = wait_until_left(s, d);
	if (error)
		return error;
	if (d->state == PA_STATE_STARTING ||
	    (d->state != s->target->loaded.state && !is_over(d)))
		return pa_fail(s->diag, PA_E_LOADING,
			       "another attach to process %d is under way",
			       s->target->pid);
	if (d->state == PA_STATE_ATTACHED)
		return pa_fail(s->diag, PA_E_OTHER_VERSION,
			       "process %d has a payload of version %.15s",
			       s->target->pid, d->payload_version);
	if (d->major == PA_IMAGE_MAJOR && d->entry &&
	    !strncmp(d->payload_version, PACKAGE_VERSION,
		     sizeof d->payload_version)) {
		s->block.mode = PA_STUB_ENTRY;
		s->block.entry = d->entry;
	}
	return 0;
}

/* Is it still the interpreter that was inspected? */
static int check_python(struct pa_session *s)
{
	struct pa_python python;

	if (!s->target->python_version)
		return 0;
	pa_python_find(&s->modules, &s->memory, &python);
	if (python.module && python.hex == s->target->python_version)
		return 0;
	return pa_fail(s->diag, PA_E_EXITED,
		       "process %d executed another program meanwhile",
		       s->target->pid);
}

static int prepare(struct pa_session *s)
{
	int error = open_process(s);

	if (!error)
		error = look_for_loaded(s);
	if (!error)
		error = pa_session_load(s);
	if (!error)
		error = check_python(s);
	if (!error)
		error = fill_block(s);
	return error;
}

static int place_payload(struct pa_session *s)
{
	int error;

	if (s->block.mode == PA_STUB_ENTRY)
		return 0;
	error = pa_place_open(&s->place, s->options->payload, s->diag);
	if (error)
		return error;
	error = pa_place_copy(&s->place, s->dir, s->target, s->diag);
	if (!error) {
		memcpy(s->block.path, s->place.path, sizeof s->place.path);
		/* as the stub's copy of the block has it */
		s->block.options.file = s->block.scratch + PA_SCRATCH_BLOCK +
			offsetof(struct pa_block, path);
		s->block.options.file_device = s->place.device;
		s->block.options.file_inode = s->place.inode;
		pa_session_step(s, "payload copied to %s", s->place.path);
		return 0;
	}
	if (error != PA_E_NO_PLACE)
		return error;
	/* only a thread at a safe point could make one */
	if (s->options->method == PA_METHOD_REMOTE)
		return error;
	pa_session_step(s, "no directory for the payload: using a memfd");
	return pa_session_place_in_memfd(s);
}

/* Until when to look for a safe point: if there is another way, half of the
 * time that is left, or until stacks make no sense. */
static uint64_t search_deadline(struct pa_session *s)
{
	uint64_t end = s->block.options.deadline_ns, now = pa_session_now();

	if (s->options->method != PA_METHOD_AUTO || now >= end || s->confined ||
	    (s->block.mode == PA_STUB_START && s->place.directory < 0) ||
	    !pa_remote_is_possible(s))
		return end;
	return now + (end - now) / 2;
}

static int commit_and_wait(struct pa_session *s)
{
	uint64_t deadline = search_deadline(s);
	int error = pa_session_commit(s, deadline);

	if (error == PA_E_NO_SAFE_POINT &&
	    deadline < s->block.options.deadline_ns) {
		pa_session_step(s, "no safe point: asking the interpreter");
		error = pa_remote_load(s);
		if (error != PA_E_NO_SAFE_POINT)
			return error;
		return pa_fail(s->diag, error,
			       "no safe point in process %d (%u stops, last: %s), and no thread of it came back to Python code",
			       s->target->pid, s->result->stops,
			       s->result->reason);
	}
	if (error)
		return error;
	pa_session_step(s, "committed after %.1f ms and %u stops",
			(pa_session_now() - s->started_ns) / 1e6,
			s->result->stops);
	return pa_session_wait_answer(s);
}

static int run(struct pa_session *s)
{
	int error = prepare(s);

	s->result->method = "ptrace";
	if (!error && s->options->method == PA_METHOD_REMOTE)
		error = pa_remote_check(s);
	if (!error)
		error = pa_session_judge_filters(s);
	if (!error && s->confined && s->options->method == PA_METHOD_REMOTE)
		error = pa_fail(s->diag, PA_E_SECCOMP,
				"a seccomp filter over thread %d of process %d does not allow %s, and any thread may be the one that loads the payload",
				(int)s->confined, s->target->pid,
				s->confined_call);
	if (!error)
		error = place_payload(s);
	if (error)
		return error;
	pa_session_step(s, "prepared after %.1f ms",
			(pa_session_now() - s->started_ns) / 1e6);
	if (s->options->method == PA_METHOD_REMOTE)
		return pa_remote_load(s);
	return commit_and_wait(s);
}

static void clean_up(struct pa_session *s)
{
	pa_place_close(&s->place);
	pa_modules_deinit(&s->modules);
	pa_memory_deinit(&s->memory);
	if (s->mem >= 0)
		close(s->mem);
	if (s->dir >= 0)
		close(s->dir);
	free(s->safe);
}

int pa_attach(const struct pa_target *target,
	      const struct pa_attach_options *options,
	      struct pa_attach_result *result, struct pa_diag *diag)
{
	struct pa_session s = {
		.target = target,
		.options = options,
		.result = result,
		.diag = diag,
		.dir = -1,
		.mem = -1,
		.place = { .source = -1, .directory = -1, .file = -1 },
	};
	int error;

	memset(result, 0, sizeof *result);
	s.started_ns = pa_session_now();
	s.deadline_ns = s.started_ns + options->timeout_ns;
	s.safe = calloc(1, sizeof *s.safe);
	if (!s.safe)
		return pa_fail(diag, PA_E_FAILED, "out of memory");
	block_signals(&s);
	error = run(&s);
	/* whatever failed, it failed because of that */
	if (error && error != PA_E_PID_REUSED && s.dir >= 0 &&
	    pa_session_check_alive(&s))
		error = PA_E_EXITED;
	clean_up(&s);
	unblock_signals(&s);
	result->total_ns = pa_session_now() - s.started_ns;
	return error;
}
