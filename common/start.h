/* SPDX-License-Identifier: MIT
 *
 * The call that the injector's stub makes: pa_start of the payload.
 *
 * The injector fills struct pa_options into the target's memory, at an
 * address that stays readable until the directory shows start_status != 0.
 * pa_start maps the directory where there is none, copies the options,
 * starts the server thread and returns at once; it never takes the GIL and
 * never touches Python.  What follows shows in the directory: start_ticket
 * equals `ticket`, then start_status turns from 0 to 1 or to an error's
 * status with start_text.
 */
#ifndef PA_COMMON_START_H
#define PA_COMMON_START_H

#include <stdint.h>

#define PA_START_VERSION 1u
#define PA_START_SYMBOL "pa_start"

enum pa_start_flags {
	PA_START_FOLLOW_FORK = 1u << 0,
	/* Some threads have seccomp filters that our thread would inherit and
	 * not survive: only the one that calls pa_start may start it anew. */
	PA_START_FEW_MAKERS = 1u << 1,
};

struct pa_options {
	uint32_t size;		/* sizeof of the caller's struct */
	uint32_t flags;		/* pa_start_flags */
	uint64_t ticket;	/* random, not 0: names this attempt */
	uint64_t rate;		/* bytes, 1 .. 2^40 */
	uint64_t memory_max;	/* bytes of ours at most, 1 MiB .. 1 GiB */
	uint32_t frames_max;	/* 1 .. 1024 */
	uint32_t reserved;
	uint64_t seed;		/* of the sampler; 0 = from getrandom */
	/* CLOCK_MONOTONIC ns: where the hooks are not in place by then, the
	 * payload gives up and nothing of ours acts later. */
	uint64_t deadline_ns;
	/* The mapping that the stub ran on: once its first word is 2, the
	 * server thread unmaps it.  0 = none. */
	uint64_t scratch;
	uint64_t scratch_size;
	/* The file that the payload was loaded from: address of its name, its
	 * device and inode.  pa_start removes the name if it is that file
	 * still, since who made it may be dead by now.  0 = none. */
	uint64_t file;
	uint64_t file_device;
	uint64_t file_inode;
};

/*
 * Returns the directory's address (> 0), or -PA_E_ as a negative number.
 * Any thread at a safe point; no lock held; signals may be unblocked.
 */
int64_t pa_start(uint32_t version, const struct pa_options *options);

#endif /* PA_COMMON_START_H */
