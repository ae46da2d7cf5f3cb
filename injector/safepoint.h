/* SPDX-License-Identifier: MIT
 *
 * The safe-point test: may a stopped thread call dlopen here?
 *
 * It may where no lock of libc or of the loader can be held by the thread
 * itself: its whole stack unwinds; no frame is in the loader, in an
 * allocator, in fork or exit, in a signal handler or below a callback of
 * libc; the innermost libc frames are a plain system call's wrapper; the
 * link map is not changing.  Refusing is always right: the caller tries
 * again later.
 */
#ifndef PA_INJECTOR_SAFEPOINT_H
#define PA_INJECTOR_SAFEPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "injector/arch.h"
#include "injector/memory.h"
#include "injector/modules.h"
#include "injector/unwind.h"

#define PA_SAFEPOINT_NAMES 512
#define PA_SAFEPOINT_WINDOW (64u << 10)

struct pa_safepoint {
	struct pa_memory *memory;
	struct pa_modules *modules;
	struct pa_unwinder unwinder;
	uint64_t allow[PA_SAFEPOINT_NAMES];
	uint64_t deny[PA_SAFEPOINT_NAMES];
	size_t allow_count, deny_count;
	uint64_t link_map_state;	/* address of _r_debug.r_state */
	int64_t sequence_offset;	/* of struct rseq from the thread pointer */
	bool has_sequence;
	bool exe_is_python;	/* the executable is CPython itself */
	/* the part of the stack that was read last */
	uint64_t window_start, window_size;
	uint8_t window[PA_SAFEPOINT_WINDOW];
	/* what the last check found */
	const char *reason;	/* against a safe point; a static string */
	bool stale;		/* maps seem to have changed since */
	bool lost;		/* the stack could not be followed */
	struct pa_module *caller;	/* innermost code outside of libc */
	unsigned frames;
};

/* Prepare everything before any thread is stopped.  The structs stay the
 * caller's and must outlive it. */
void pa_safepoint_init(struct pa_safepoint *safe, struct pa_memory *memory,
		       struct pa_modules *modules);

/* Walk the stack of a thread that seems to wait at pc and sp, so that what
 * its check will need of code and tables has been read. */
void pa_safepoint_rehearse(struct pa_safepoint *safe, uint64_t pc, uint64_t sp);

/* Check a stopped thread.  below: bytes that will be needed below its sp. */
bool pa_safepoint_check(struct pa_safepoint *safe, const struct pa_regs *regs,
			unsigned below);

#endif /* PA_INJECTOR_SAFEPOINT_H */
