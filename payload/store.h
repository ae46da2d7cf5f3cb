/* SPDX-License-Identifier: MIT
 *
 * The image in memory: directory page, live table, sites, strings, frames,
 * nodes.  Bounded by memory_max; thins and rebuilds when full; hands out
 * consistent snapshots.
 *
 * One lock (pa_store_lock) guards everything but the bitmap test.  It is
 * never held while another allocator, Python, a blocking system call or
 * client I/O runs; the longest hold is one chunk of a snapshot, a thinning
 * step or a rebuild.  Functions named _locked need it.  No function here
 * allocates by malloc or touches Python.
 */
#ifndef PA_PAYLOAD_STORE_H
#define PA_PAYLOAD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/image.h"

/* ---- life ---- */

/* Map directory and guards (once in a process's life).  0 or -PA_E_. */
int pa_store_map_directory(void);

/* The directory; NULL before pa_store_map_directory. */
struct pa_directory *pa_store_directory(void);

/* With our directory STARTING: another copy of the payload in this process.
 * To an attached one, and to one at a lower slot that is starting, we leave
 * the process; one at a higher slot that is starting may have looked before
 * our directory said so, and only its end tells who goes on. */
enum pa_rival { PA_RIVAL_NONE, PA_RIVAL_UNDECIDED, PA_RIVAL_AHEAD };
enum pa_rival pa_store_find_rival(void);
/* The same of one directory, of which the identity part was copied. */
enum pa_rival pa_store_judge_rival(const struct pa_directory *copy,
				   uint64_t address);

/* Fresh, empty tables for an attach that may use memory_max bytes in all
 * (bitmap, tables, indexes, snapshot buffer and thread records included).
 * A second start re-uses the addresses of the first where they fit, so that
 * the number of mappings does not grow.  0 or -PA_E_. */
int pa_store_start(uint64_t memory_max);

/* After hooks are off: give the memory back (MADV_DONTNEED), empty the
 * bitmap, keep the directory.  Nothing is unmapped that a late hook may
 * still read. */
void pa_store_stop(void);

/* Stamp the identity part's CRC after a change of it. */
void pa_store_seal_identity(void);

/* ---- the lock ---- */

void pa_store_lock(void);
void pa_store_unlock(void);
/* In a fork child: whoever held the lock is gone, or is the caller, whose
 * pa_store_unlock does nothing then; make it free. */
void pa_store_lock_reset(void);

/* ---- live samples ---- */

/* 2^19 bits, one cache line per 8 KiB of address space; false positives are
 * possible, false negatives are not. */
extern uint64_t pa_store_bitmap[8192];

/* How an address leads to its bit; payload/jumps_<cpu>.c writes the same in
 * machine code. */
#define PA_HOT_REGION_SHIFT 13	/* the line is chosen by the 8 KiB region */
#define PA_HOT_MULTIPLIER 0x9e3779b97f4a7c15ull
#define PA_HOT_LINE_SHIFT 54	/* 1024 lines of 64 bytes */
#define PA_HOT_GRAIN_SHIFT 4	/* the bit by the 16 B grain */

static inline bool pa_store_maybe_hot(const void *pointer)
{
	uint64_t a = (uint64_t)pointer;
	uint64_t line = ((a >> PA_HOT_REGION_SHIFT) * PA_HOT_MULTIPLIER)
		>> PA_HOT_LINE_SHIFT;
	uint64_t bit = (a >> PA_HOT_GRAIN_SHIFT) & 511;

	return __atomic_load_n(&pa_store_bitmap[line * 8 + (bit >> 6)],
			       __ATOMIC_RELAXED) >> (bit & 63) & 1;
}

struct pa_sample {
	uint64_t address, size, rate;
	uint32_t domain, thread;
	uint32_t site;		/* from pa_store_site_locked */
	uint32_t luck;		/* uniform */
};

/* Enter a sample, count it at its site and in the directory, set its bit.
 * Thins first where the table is full.  False where thinning lost it (then
 * it is counted as thinned, and nothing is entered). */
bool pa_store_insert_locked(const struct pa_sample *sample);

/* Remove the sample at an address.  False if there is none.  *removed, if
 * not NULL, can be handed to pa_store_restore_locked. */
bool pa_store_remove_locked(uint64_t address, struct pa_live *removed);

/* Put a removed sample back unchanged (a realloc that failed). */
void pa_store_restore_locked(const struct pa_live *removed);

/* The rate after thinning: what new samples are to be drawn with. */
uint64_t pa_store_rate_locked(void);
/* A rate asked for by the user; resets the effective rate to it. */
void pa_store_set_rate_locked(uint64_t rate);

/* ---- strings, frames, nodes, sites ---- */

/* Each gives the index of an equal element, made if need be, or 0 where it
 * does not fit.  A full set asks for a rebuild (below). */
uint32_t pa_store_string_locked(const char *bytes, uint32_t length);
uint32_t pa_store_frame_locked(uint32_t file, uint32_t function,
			       uint32_t line, uint32_t first_line);
uint32_t pa_store_node_locked(uint32_t parent, uint32_t frame);
/* Never fails: PA_SITE_FULL where there is no room. */
uint32_t pa_store_site_locked(uint32_t node, uint32_t domain);

/*
 * Rebuild strings, frames, nodes and sites from what live samples and the
 * largest sites use, where they are 3/4 full and no snapshot copy is under
 * way.  Call at the start of a slow path, before interning.  True if indexes
 * changed: whoever cached one must forget it (compare the generation).
 */
bool pa_store_make_room_locked(void);
uint64_t pa_store_generation_locked(void);

/* Zeroed memory for the code cache of payload/python.h, inside the budget;
 * *bytes is its size.  Valid from start to stop. */
void *pa_store_code_cache(size_t *bytes);

/* ---- snapshots (server thread only) ---- */

/*
 * Copy the image into the snapshot buffer: directory, compact regions, file
 * offsets, CRCs.  Takes the lock in short turns.  *bytes is the length.  The
 * buffer stays valid until pa_store_snapshot_end (count of holders, so that
 * clients at the same time share one copy, no older than two seconds).
 * 0, PA_E_BUSY while an older one is held, or PA_E_DETACHED.
 */
int pa_store_snapshot_begin(const void **image, size_t *bytes);
void pa_store_snapshot_end(void);

/* CRC-32 as zlib's. */
uint32_t pa_crc32(uint32_t crc, const void *bytes, size_t length);

#endif /* PA_PAYLOAD_STORE_H */
