/* SPDX-License-Identifier: MIT
 *
 * Everything that knows CPython: API looked up by name, structure offsets of
 * each version, the frame walk by borrowed reads, the self-test, the state of
 * the GIL.  The only files with a Python version in them are python_*.c.
 *
 * No function here may be called before pa_python_init succeeded.
 */
#ifndef PA_PAYLOAD_PYTHON_H
#define PA_PAYLOAD_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PyMemAllocatorEx, the same in every version. */
struct pa_allocator {
	void *ctx;
	void *(*malloc)(void *ctx, size_t size);
	void *(*calloc)(void *ctx, size_t count, size_t size);
	void *(*realloc)(void *ctx, void *pointer, size_t size);
	void (*free)(void *ctx, void *pointer);
};

/* API that the payload calls, by dlsym(RTLD_DEFAULT) or, where libpython was
 * loaded RTLD_LOCAL, from its handle.  NULL where a version lacks it. */
struct pa_python_api {
	void (*get_allocator)(int domain, struct pa_allocator *allocator);
	void (*set_allocator)(int domain, struct pa_allocator *allocator);
	const char *(*allocator_name)(void);	/* _PyMem_GetCurrentAllocatorName */
	int (*add_pending_call)(int (*function)(void *), void *argument);
	int (*is_initialized)(void);
	int (*is_finalizing)(void);
};
extern struct pa_python_api pa_python_api;

/* Resolve the API, read version and build, pick the layout.  No GIL, no
 * Python code.  Any thread.  PA_E_NOT_PYTHON, _OLD_PYTHON, _NEW_PYTHON,
 * _FREE_THREADED, _NOT_READY, _FINALISING. */
int pa_python_init(void);

uint32_t pa_python_version(void);	/* PY_VERSION_HEX */
bool pa_python_free_threaded(void);
/* libpython or the executable that the API is in: its address in memory. */
const void *pa_python_base(void);

/*
 * Take the GIL, with a bound: waits only while it is seen to be free or to
 * move (its holder or the holder's instruction changes), polling by
 * process_vm_readv of ourselves, so that no thread of ours is ever stuck in
 * PyGILState_Ensure behind a C call.  The only thread of a process is asked
 * by a pending call to step aside.  deadline_ns: CLOCK_MONOTONIC.
 * *cancel turning non-zero ends the wait.  0, PA_E_GIL_TIMEOUT,
 * PA_E_FINALISING, PA_E_NO_MEMORY_LEFT.  Own thread of the payload only.
 */
int pa_python_gil_take(uint64_t deadline_ns, const int *cancel);
void pa_python_gil_release(void);

/*
 * In a fork handler, with *cancel of pa_python_gil_take set: if our thread
 * waits for the GIL and the caller holds it, let our thread have it, so that
 * it can leave.  What pa_python_gil_return needs to take the GIL again, or
 * NULL: nothing was lent.  The caller waits for our thread in between.
 */
void *pa_python_gil_lend(void);
void pa_python_gil_return(void *lent);
/* Does the caller hold the GIL?  False where that is not known yet. */
bool pa_python_has_gil(void);
/*
 * Around what the child of a fork must not find half made: our thread on the
 * interpreter's list of threads, whose lock the child could not get, or a
 * descriptor that nobody in it knows of.  Own thread, or pa_start; not nested.
 * False, and nothing is shut: the time was over before the forks were.
 */
bool pa_python_fork_shut(uint64_t deadline_ns);
void pa_python_fork_open(void);
/*
 * The other side, of the thread that forks: nothing of that is begun between
 * these two calls.  Waits for our thread, usually microseconds, a second at
 * most; may give the GIL up meanwhile.  No lock of ours held.
 */
void pa_python_fork_begins(void);
void pa_python_fork_ended(void);
/* Does a fork warn where there is more than one thread?  (True also where the
 * version is not known yet.) */
bool pa_python_fork_counts_threads(void);
/*
 * With the GIL: the calling thread forks.  And, in a pending call: is it in
 * that call still, in a callback of the program that comes after the fork?
 */
void pa_python_note_fork(void);
bool pa_python_amid_fork(void);
/* In a fork child: nobody waits, nobody else forks.  The one thread may be amid
 * so many forks still, if a handler of theirs made this one. */
void pa_python_gil_in_child(void);
void pa_python_forks_left(int forks);

/*
 * Compare our walk of the other threads' frames with the public API.  Needs
 * the GIL; the cyclic collector is off meanwhile; bounded in threads and
 * frames.  True: stacks may be believed.  On 3.8, which has less API, the
 * first sample is compared once more (pa_python_capture_locked).
 * text: why not, for the status.
 */
bool pa_python_self_test(char *text, size_t text_size);

/*
 * The Python stack of the calling thread, as a node of the store; 0 where
 * there is none (no Python frame, stacks off, or no room: *full tells).
 * Borrowed reads only: no API that allocates, no reference counts.  Own
 * thread, in an allocator hook of `domain` (RAW: the GIL may not be held),
 * store lock held.  frames_max: innermost frames kept; deeper stacks end in
 * a node "<truncated>".
 */
uint32_t pa_python_capture_locked(int domain, unsigned frames_max, bool *full);

/* Switch capture off for good (self-test failed). */
void pa_python_stacks_off(void);
bool pa_python_stacks_on(void);

/* In a fork child or at a new attach: forget the code cache. */
void pa_python_forget_locked(void);

#endif /* PA_PAYLOAD_PYTHON_H */
