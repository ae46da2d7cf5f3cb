/* SPDX-License-Identifier: MIT
 *
 * pa_start, the thread that it starts, and the marks by which a reader of
 * the process or its core finds the directory.
 *
 * After a failed or late answer nothing of ours acts: whatever was begun is
 * undone, then the answer is written, then the thread ends.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "common/error.h"
#include "common/start.h"
#include "payload/entry.h"
#include "payload/fork.h"
#include "payload/hooks.h"
#include "payload/life.h"
#include "payload/process.h"
#include "payload/python.h"
#include "payload/server.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/text.h"
#include "payload/threads.h"

#define EXPORT __attribute__((visibility("default")))
#define RATE_MAX (1ull << 40)
#define SCRATCH_WAIT_MS 500
#define RIVAL_PAUSE_NS 1000000
/* For the end of a fork that is under way: the stub's thread, and ours. */
#define FORK_WAIT_SHORT_NS 5000000ull
#define FORK_WAIT_NS 200000000ull

/* ---- how to find us ---- */

struct anchor {
	char magic[16];
	uint64_t directory;
};

extern EXPORT struct anchor pa_trace_anchor;
EXPORT struct anchor pa_trace_anchor = { "\x89PYATTA\r\n\x1a\n", 0 };
/* for the note: a symbol that no other library can take the place of */
extern struct anchor pa_anchor_here
	__attribute__((alias("pa_trace_anchor"), visibility("hidden")));

__asm__(
	".pushsection .note.pyattach,\"a\",@note\n"
	"	.balign 4\n"
	"	.long 2f - 1f, 4f - 3f, 1\n"	/* PA_NOTE_ANCHOR */
	"1:	.asciz \"PYATTACH\"\n"		/* PA_NOTE_OWNER */
	"2:	.balign 4\n"
	"3:	.quad pa_anchor_here - .\n"
	"4:	.balign 4\n"
	"	.popsection\n");

/* ---- pa_start ---- */

static struct pa_options options;

static bool options_good(const struct pa_options *o)
{
	return o->ticket && o->rate >= 1 && o->rate <= RATE_MAX
		&& o->memory_max >= 1u << 20 && o->memory_max <= 1u << 30
		&& o->frames_max >= 1 && o->frames_max <= 1024;
}

static void answer(int error, const char *text)
{
	struct pa_directory *d = pa_store_directory();
	struct pa_text out;

	pa_text_init(&out, d->start_text, sizeof d->start_text);
	pa_text_string(&out, text);
	__atomic_store_n(&d->start_status, error ? (uint32_t)-error : 1u,
			 __ATOMIC_RELEASE);
}

static void set_state(enum pa_image_state state)
{
	pa_store_directory()->state = state;
	pa_store_seal_identity();
}

static void announce(struct pa_directory *d)
{
	memset(d->start_text, 0, sizeof d->start_text);
	d->start_status = 0;
	d->entry = (uint64_t)pa_start;
	set_state(PA_STATE_STARTING);
	__atomic_store_n(&d->start_ticket, options.ticket, __ATOMIC_RELEASE);
}

/* Is that name needed no more?  Only ever the very file. */
static void remove_file(const struct pa_options *o)
{
	const char *name = (const char *)o->file;
	struct stat st;

	if (name && pa_lstat(name, &st) == 0 && S_ISREG(st.st_mode)
	    && st.st_dev == o->file_device && st.st_ino == o->file_inode)
		unlink(name);
}

static bool keep_forks_out(uint64_t limit_ns)
{
	return pa_python_fork_shut(pa_clock_ns(CLOCK_MONOTONIC) + limit_ns);
}

static void let_forks_in(bool kept_out)
{
	if (kept_out)
		pa_python_fork_open();
}

/* What opens descriptors, out of the way of a fork: its child would keep those
 * that nobody knows of yet. */
static int map_directory(void)
{
	bool kept_out = keep_forks_out(FORK_WAIT_SHORT_NS);
	int error = pa_store_map_directory();

	let_forks_in(kept_out);
	return error;
}

void pa_entry_start_failed(int error)
{
	set_state(PA_STATE_FAILED);
	answer(error, "no thread could be started");
	pa_life_ended();
}

EXPORT int64_t pa_start(uint32_t version, const struct pa_options *given)
{
	struct pa_directory *d;
	struct pa_options copy = { 0 };
	int error;

	if (version != PA_START_VERSION)
		return PA_E_OTHER_VERSION;
	memcpy(&copy, given, given->size < sizeof copy ? given->size
	       : sizeof copy);
	remove_file(&copy);
	if (!options_good(&copy))
		return PA_E_SETUP_FAILED;
	if (!pa_life_claim())
		return PA_E_LOADING;
	error = pa_fork_init();
	if (!error)
		error = map_directory();
	if (!error)
		error = pa_threads_init();
	if (error) {
		/* no more than the claim: a fork may be under way */
		__atomic_store_n(&pa_life_stage, PA_STAGE_IDLE,
				 __ATOMIC_RELEASE);
		return error;
	}
	options = copy;
	pa_life_makers(copy.flags & PA_START_FEW_MAKERS);
	d = pa_store_directory();
	pa_trace_anchor.directory = (uint64_t)d;
	announce(d);
	error = pa_life_spawn();
	if (error) {
		pa_entry_start_failed(error);
		return error;
	}
	return (int64_t)(uint64_t)d;
}

/* ---- starting, in our own thread ---- */

static bool late(void)
{
	return pa_clock_ns(CLOCK_MONOTONIC) >= options.deadline_ns;
}

static bool asked_to_leave(void)
{
	return __atomic_load_n(&pa_life_leave, __ATOMIC_ACQUIRE) != 0;
}

/* What takes a while is asked first: in between a reader finds no directory,
 * as its sum does not hold. */
static void fill_identity(struct pa_directory *d)
{
	uint64_t start_time = pa_process_start_time();
	uint64_t rss = pa_process_rss();
	uint32_t coredump_filter = pa_process_coredump_filter();
	uint32_t flags = d->flags & PA_FLAG_LOW_SLOT;

	if (pa_python_free_threaded())
		flags |= PA_FLAG_FREE_THREADED;
	if (!pa_process_in_executable(pa_python_base()))
		flags |= PA_FLAG_SHARED_LIBPYTHON;
	if (options.flags & PA_START_FOLLOW_FORK)
		flags |= PA_FLAG_FOLLOW_FORK;
	memset(d->payload_version, 0, sizeof d->payload_version);
	strncpy(d->payload_version, PACKAGE_VERSION,
		sizeof d->payload_version - 1);
	pa_process_boot_id(d->boot_id);
	d->pid = pa_getpid();
	d->parent_pid = 0;
	d->start_time = start_time;
	d->python_version = pa_python_version();
	d->coredump_filter = coredump_filter;
	d->frames_max = options.frames_max;
	d->memory_max = options.memory_max;
	d->rss_at_attach = rss;
	d->attached_realtime_ns = pa_clock_ns(CLOCK_REALTIME);
	d->attached_monotonic_ns = pa_clock_ns(CLOCK_MONOTONIC);
	d->detached_realtime_ns = 0;
	d->dropped = 0;
	d->clients = d->refused_clients = 0;
	d->flags = flags;
	pa_store_seal_identity();
}

/*
 * 3.12+ guard the allocators by a lock, which the child of a fork takes in our
 * handler, before the interpreter has made its locks anew.  While our thread
 * serves no fork is under way; while it starts one may be.
 */
static int install_hooks(struct pa_text *why)
{
	bool kept_out = keep_forks_out(FORK_WAIT_SHORT_NS);
	int error = pa_hooks_install(options.seed ? options.seed
				     : pa_random_seed(), why);

	let_forks_in(kept_out);
	return error;
}

static void confirm_hooks(void)
{
	bool kept_out = keep_forks_out(FORK_WAIT_NS);

	pa_hooks_confirm();
	let_forks_in(kept_out);
}

static void remove_hooks(void)
{
	bool kept_out = keep_forks_out(FORK_WAIT_NS);

	pa_store_directory()->hooks = pa_hooks_remove();
	let_forks_in(kept_out);
}

/* With the GIL: compare stacks, put the hooks in. */
static int hook(struct pa_text *why)
{
	struct pa_directory *d = pa_store_directory();
	uint32_t flags = d->flags;
	char text[96] = "";
	int error;

	if (pa_python_self_test(text, sizeof text)) {
		flags |= PA_FLAG_STACKS_VERIFIED;
	} else {
		pa_python_stacks_off();
		flags |= PA_FLAG_STACKS_OFF;
	}
	if (late()) {
		pa_text_string(why, "the deadline passed before the hooks");
		return PA_E_TIMEOUT;
	}
	error = install_hooks(why);
	if (error)
		return error;
	if (pa_hooks_free_hooked())
		flags |= PA_FLAG_FREE_HOOKED;
	d->flags = flags;
	d->hooks = PA_HOOKS_ON;
	d->attach_generation++;
	set_state(PA_STATE_ATTACHED);
	return 0;
}

static int hook_with_gil(struct pa_text *why)
{
	struct pa_directory *d = pa_store_directory();
	uint64_t before = pa_clock_ns(CLOCK_MONOTONIC);
	int error = pa_python_gil_take(options.deadline_ns, &pa_life_leave);

	d->gil_wait_ns = pa_clock_ns(CLOCK_MONOTONIC) - before;
	if (error)
		return error;
	error = late() ? PA_E_GIL_TIMEOUT : hook(why);
	pa_python_gil_release();
	return error;
}

/* Of the copies of the payload that start at one time, one goes on. */
static int pass_rivals(struct pa_text *why)
{
	enum pa_rival rival;

	while ((rival = pa_store_find_rival()) == PA_RIVAL_UNDECIDED
	       && !late() && !asked_to_leave())
		pa_sleep_ns(RIVAL_PAUSE_NS);
	if (rival == PA_RIVAL_NONE)
		return 0;
	pa_text_string(why, rival == PA_RIVAL_AHEAD ? "its payload came first"
		       : "its payload is still starting");
	return PA_E_LOADING;
}

/* Before the hooks: nothing to undo in them if it fails. */
static int open_server(struct pa_text *why)
{
	bool kept_out = keep_forks_out(FORK_WAIT_NS);
	int error;

	fill_identity(pa_store_directory());
	error = pa_server_open(why);
	let_forks_in(kept_out);
	return error;
}

static int start(struct pa_text *why)
{
	int error;

	error = pass_rivals(why);
	if (error)
		return error;
	error = pa_python_init();
	if (error)
		return error;
	error = pa_store_start(options.memory_max);
	if (error)
		return error;
	error = open_server(why);
	if (error)
		return error;
	pa_store_lock();
	pa_store_set_rate_locked(options.rate);
	pa_python_forget_locked();
	pa_store_unlock();
	error = hook_with_gil(why);
	if (error)
		return error;
	confirm_hooks();
	if (late()) {
		pa_text_string(why, "the deadline passed");
		return PA_E_TIMEOUT;
	}
	return 0;
}

static void undo_start(void)
{
	if (pa_store_directory()->hooks == PA_HOOKS_ON)
		remove_hooks();
	pa_server_close();
	pa_store_stop();
}

/* The stub's mapping, once the stub has left it. */
static void free_scratch(void)
{
	uint32_t *word = (uint32_t *)options.scratch;

	if (!word)
		return;
	for (int i = 0; i < SCRATCH_WAIT_MS; i++) {
		if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 2) {
			munmap(word, options.scratch_size);
			break;
		}
		pa_sleep_ns(1000000);
	}
	options.scratch = 0;
}

/* True: attached, serve. */
static bool starting(void)
{
	char text[sizeof pa_store_directory()->start_text] = "";
	struct pa_text why;
	int error;

	pa_text_init(&why, text, sizeof text);
	error = late() ? PA_E_TIMEOUT : start(&why);
	if (!error) {
		__atomic_store_n(&pa_life_stage, PA_STAGE_ATTACHED,
				 __ATOMIC_RELEASE);
		answer(0, "");
		free_scratch();
		return true;
	}
	undo_start();
	if (asked_to_leave() && !late()) {
		/* a fork came between: begin again after it */
		pa_life_left();
		return false;
	}
	set_state(PA_STATE_FAILED);
	answer(error, text[0] ? text : pa_error_info(error)->sentence);
	free_scratch();
	pa_life_ended();
	return false;
}

void *pa_entry_thread(void *unused)
{
	struct pa_directory *d = pa_store_directory();

	pa_tls.ours = 1;
	pthread_setname_np(pthread_self(), "pyattach");
	__atomic_store_n(&d->server_tid, pa_gettid(), __ATOMIC_RELEASE);
	if (__atomic_load_n(&pa_life_stage, __ATOMIC_ACQUIRE)
	    == PA_STAGE_ATTACHED || starting())
		pa_server_run();
	return unused;
}

/* At a normal exit of the process: leave no socket file behind. */
__attribute__((destructor)) static void at_exit(void)
{
	if (pa_store_directory()
	    && pa_store_directory()->pid == pa_getpid())
		pa_server_unlink();
}
