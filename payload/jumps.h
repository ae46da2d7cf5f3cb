/* SPDX-License-Identifier: MIT
 *
 * Ways into the hooks that a 4-byte-wise copy of a function pointer cannot
 * tear: addresses in the same 4 GiB window as the function replaced.
 *
 * A compiled copy of PyMemAllocatorEx may move 4 bytes at a time, and RAW is
 * called without the GIL meanwhile.  If old and new address have the same
 * upper half, every mixture of their halves is one of the two.
 *
 * Entries to malloc and free do the fast path of hooks_hot.c themselves, and
 * jump to the saved function, which is near, without an indirect jump.  The
 * others jump to the hook.  Pages made here are never written to
 * again and stay for the life of the process.  One file per CPU behind it.
 */
#ifndef PA_PAYLOAD_JUMPS_H
#define PA_PAYLOAD_JUMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_JUMPS_FUNCTIONS 4	/* of a domain, as in hooks_internal.h */

/* What the entries of one domain lead to. */
struct pa_jumps_spec {
	int domain;
	/* the hooks, in C */
	void *const *hooks;
	/* the saved functions, in the same order; malloc's is index 0 */
	void *saved[PA_JUMPS_FUNCTIONS];
	void *ctx;		/* of the saved allocator */
	size_t tail_limit;	/* malloc counts down up to that size */
	bool nested_passes;	/* a nested call goes to the saved function */
	uint8_t via;		/* larger ones go there with this mark; or 0 */
};

/*
 * Entries to the functions of a domain, each in the window of the saved
 * function that it replaces.  Equal specs give equal entries.  False where
 * no page could be had for one.
 */
bool pa_jumps_entries(const struct pa_jumps_spec *spec,
		      void *entries[PA_JUMPS_FUNCTIONS]);

/*
 * By what stands in the page of every entry, copies of the payload in one
 * process know the entries of each other.
 */
struct pa_jumps_mark {
	uint64_t magic;
	uint64_t directory;	/* of the copy that made the page */
};
#define PA_JUMPS_MAGIC 0x4a54544159508923ull

/* Where it stands if this is an entry; else whatever lies there, or nothing:
 * to be read with care. */
const struct pa_jumps_mark *pa_jumps_mark_of(const void *address);

/* Is this an entry to that function of the domain, made for any spec?  (The
 * hook itself is not: compare it too.) */
bool pa_jumps_is(int domain, int function, const void *address);

#endif /* PA_PAYLOAD_JUMPS_H */
