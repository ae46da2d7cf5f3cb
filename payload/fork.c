/* SPDX-License-Identifier: MIT
 *
 * The three handlers of fork().  From the first to the second or third `busy`
 * is counted up: other handlers may allocate meanwhile, or fork themselves.
 *
 * The store lock is not held over them: another library's handler may give up
 * the GIL and wait, and whoever has it then may want the lock; or it is this
 * very thread that has it, and its signal handler forks.  So the child may
 * find the image, and all that the lock guards, as a thread that is gone left
 * it in the middle of a change.  Nothing there uses it before the next attach,
 * which makes all of it anew (pa_store_start, pa_threads_begin_locked).
 *
 * vfork, posix_spawn and exec do not come here and need nothing.  A raw
 * clone does not come here either: its child sees a foreign pid in the slow
 * paths and passes everything through.
 */
#include <string.h>

#include "common/error.h"
#include "payload/fork.h"
#include "payload/hooks.h"
#include "payload/life.h"
#include "payload/process.h"
#include "payload/python.h"
#include "payload/server.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

/* pthread_atfork is not in libc.so before 2.34; this always was. */
int __register_atfork(void (*prepare)(void), void (*parent)(void),
		      void (*child)(void), void *dso);

/* What came by a raw clone has a copy of all but of our thread. */
static bool our_thread_may_be_here(void)
{
	struct pa_directory *d = pa_store_directory();

	return d && d->pid == pa_getpid();
}

static void before_fork(void)
{
	if (our_thread_may_be_here())
		pa_life_send_away();
	pa_python_fork_begins();
	pa_tls.busy++;
	pa_tls.forks++;
}

static void after_fork_in_parent(void)
{
	pa_tls.forks--;
	pa_python_fork_ended();
	if (!pa_tls.forks)	/* else amid the handlers of another one */
		pa_life_call_back();
	pa_tls.busy--;
}

static void stamp_child(struct pa_directory *d)
{
	uint64_t start_time = pa_process_start_time();

	/* amid the handlers of another fork this comes twice; a number alone
	 * may be the parent's in its own namespace */
	if (start_time && d->start_time == start_time
	    && d->pid == pa_getpid())
		return;
	memset(d->socket, 0, sizeof d->socket);
	d->parent_pid = d->pid;
	d->pid = pa_getpid();
	d->start_time = start_time;
	if (d->state == PA_STATE_ATTACHED || d->state == PA_STATE_STARTING)
		d->state = PA_STATE_FORKED;
	d->hooks = PA_HOOKS_OFF;
	d->server_tid = 0;
	d->clients = 0;
	pa_store_seal_identity();
}

static void after_fork_in_child(void)
{
	pa_tls.forks--;
	/* first what others see: it still names the parent's socket */
	if (pa_store_directory())
		stamp_child(pa_store_directory());
	pa_store_lock_reset();
	pa_life_reset();
	pa_hooks_remove();
	pa_threads_forget_locked();
	pa_server_in_child();
	pa_tls.busy--;
}

int pa_fork_init(void)
{
	static bool registered;

	if (registered)
		return 0;
	if (__register_atfork(before_fork, after_fork_in_parent,
			      after_fork_in_child, NULL) != 0)
		return PA_E_NO_MEMORY_LEFT;
	registered = true;
	return 0;
}
