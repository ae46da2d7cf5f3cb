/* SPDX-License-Identifier: MIT
 *
 * The image: the one description of the trace table, for the target's memory,
 * the bytes of a snapshot, a snapshot file and a core reader.
 *
 * An image is a 4 KiB directory page and up to PA_IMAGE_REGIONS regions.  In
 * memory the directory stands alone between guard pages, at a low fixed slot
 * where one is free, and a region is found at its `address`.  In a snapshot
 * the directory comes first and a region is found at `file_offset` from its
 * start.  Everything is little-endian, naturally aligned and without holes.
 * Bytes of a snapshot that no checksum covers (behind the directory in its
 * page, between two regions) are zero.
 *
 * Each record is a field list F(type, name, unit).  The struct, the table of
 * offsets for readers in other languages and tests/abi.expected are made from
 * it.  A reader must skip region kinds that it does not know and must accept
 * an elem_size larger than its own (a later minor version appends fields).
 *
 * No functions, no I/O: usable from payload, tool and tests alike.
 */
#ifndef PA_COMMON_IMAGE_H
#define PA_COMMON_IMAGE_H

#include <stdint.h>

#define PA_IMAGE_MAGIC "\x89PYATTD\r\n\x1a\n\0\0\0\0"	/* 16 bytes with the NUL that ends it */
#define PA_IMAGE_MAJOR 1	/* readers refuse another */
#define PA_IMAGE_MINOR 1	/* readers ignore */
#define PA_IMAGE_ENDIAN 0x01020304u
#define PA_IMAGE_PAGE 4096u
#define PA_IMAGE_HEADER_MIN 1360u	/* header_size of version 1.0 */
#define PA_IMAGE_REGIONS 8u

/* The low slots: below PIE and mmap areas, above any brk heap. */
#define PA_SLOT_FIRST 0x2000000000ull
#define PA_SLOT_STEP  0x100000000ull
#define PA_SLOT_COUNT 16u

/* The ELF note in page 0 of the payload: its descriptor is the offset, from
 * the descriptor itself, of an int64_t anchor that holds the directory. */
#define PA_NOTE_OWNER "PYATTACH"
#define PA_NOTE_ANCHOR 1u

/* How files of the payload are called: the copy that a target loads begins so,
 * a memfd in its place is called so, what is installed begins so.  A core that
 * lists one of them and has no table was cut, or not dumped whole. */
#define PA_PAYLOAD_COPY ".pyattach-"
#define PA_PAYLOAD_MEMFD "pyattach"
#define PA_PAYLOAD_INSTALLED "pyattach-payload"

/* State of the image; only ATTACHED tables change. */
enum pa_image_state {
	PA_STATE_EMPTY = 0,
	PA_STATE_STARTING = 1,	/* pa_start ran, hooks are not in place yet */
	PA_STATE_ATTACHED = 2,
	PA_STATE_DETACHED = 3,	/* the directory stays, with final counters */
	PA_STATE_FORKED = 4,	/* a copy made by fork: the parent's data */
	PA_STATE_FAILED = 5,	/* the last start failed; see start_status */
};

enum pa_image_hooks {
	PA_HOOKS_OFF = 0,
	PA_HOOKS_ON = 1,
	PA_HOOKS_PASS_THROUGH = 2,	/* somebody hooked above us: idle */
	PA_HOOKS_BYPASSED = 3,	/* somebody removed us from the chain */
};

enum pa_image_flags {
	PA_FLAG_FREE_THREADED = 1u << 0,
	PA_FLAG_FREE_HOOKED = 1u << 1,	/* free of MEM and OBJ is hooked too */
	PA_FLAG_LOW_SLOT = 1u << 2,
	PA_FLAG_STACKS_VERIFIED = 1u << 3,
	PA_FLAG_STACKS_OFF = 1u << 4,	/* the self-test failed: no stacks */
	PA_FLAG_FOLLOW_FORK = 1u << 5,
	PA_FLAG_SNAPSHOT = 1u << 6,	/* file_offset and CRCs are valid */
	PA_FLAG_SHARED_LIBPYTHON = 1u << 7,
};

/* Region kinds, in the order in which a snapshot holds them: truncation then
 * loses the least valuable part.  Element 0 of each is reserved. */
enum pa_image_kind {
	PA_KIND_NONE = 0,
	PA_KIND_SITES = 1,
	PA_KIND_STRINGS = 2,	/* elem_size 1; count = bytes */
	PA_KIND_FRAMES = 3,
	PA_KIND_NODES = 4,
	PA_KIND_LIVE = 5,
};

/* The allocator domains, numbered as CPython's PyMemAllocatorDomain. */
enum pa_domain { PA_DOMAIN_RAW = 0, PA_DOMAIN_MEM = 1, PA_DOMAIN_OBJ = 2 };
#define PA_DOMAIN_COUNT 3

/*
 * One live sample.  A slot is free when `seq` is 0 or `address` is 0.  `seq`
 * is odd while the record is being written.  `check` is the low half of the
 * 32-bit FNV-1a hash of all bytes from `address` on, so that zeroed or rotten
 * pages show.  The table is dense: slots below the region's count were in use
 * at some time, and a record never moves to another slot.  The weight is not stored: P = 1 - exp(-(size + 1) / rate), except
 * that rate 1 has P = 1; bytes weigh size / P, objects 1 / P.
 */
#define PA_LIVE_FIELDS(F)				\
	F(uint32_t, seq,	"sequence")		\
	F(uint16_t, check,	"hash")			\
	F(uint8_t,  domain,	"pa_domain")		\
	F(uint8_t,  flags,	"bits")			\
	F(uint64_t, address,	"address")		\
	F(uint64_t, size,	"bytes requested")	\
	F(uint64_t, rate,	"bytes")		\
	F(uint64_t, id,		"number, from 1, never reused")	\
	F(uint64_t, birth_ns,	"ns, CLOCK_MONOTONIC")	\
	F(uint32_t, site,	"index of a site")	\
	F(uint32_t, thread,	"tid")			\
	F(uint32_t, luck,	"uniform 32 bits, for repeatable thinning")	\
	F(uint32_t, type,	"string offset, 0 = not known")

/*
 * One site: a stack in one domain.  `allocated_*` are sums over all samples
 * ever taken, `live_*` over those not freed yet; the variances are the
 * Horvitz-Thompson ones, sum of w^2 (1 - P) and (1 - P) / P^2.  `weight_max`
 * is the largest w (1 - P) (bytes) and (1 - P) / P (objects) seen.  An element
 * without allocated and live samples is free or new: readers skip it.
 */
#define PA_SITE_FIELDS(F)				\
	F(uint32_t, seq,	"sequence")		\
	F(uint32_t, node,	"index of a node")	\
	F(uint32_t, domain,	"pa_domain")		\
	F(uint32_t, flags,	"bits")			\
	F(uint64_t, allocated_samples,	"samples")	\
	F(double,   allocated_bytes,	"bytes")	\
	F(double,   allocated_bytes_variance,	"bytes^2")	\
	F(double,   allocated_bytes_weight_max,	"bytes")	\
	F(double,   allocated_objects,	"objects")	\
	F(double,   allocated_objects_variance,	"objects^2")	\
	F(double,   allocated_objects_weight_max,	"objects")	\
	F(uint64_t, live_samples,	"samples")	\
	F(double,   live_bytes,		"bytes")	\
	F(double,   live_objects,	"objects")	\
	F(double,   peak_bytes,		"bytes")	\
	F(uint64_t, last_ns,		"ns, CLOCK_MONOTONIC")

/* Sites with a fixed index.  A site whose node is 0 has no stack. */
enum pa_site_index {
	PA_SITE_NONE = 0,
	PA_SITE_EVICTED = 1,	/* totals of sites that made room */
	PA_SITE_FULL = 2,	/* stacks that did not fit */
	PA_SITE_NO_PYTHON = 3,	/* no Python frame, or stacks are off */
	PA_SITE_FIRST = 4,
};

/* A node of the stack tree: a frame below its caller.  parent < own index. */
#define PA_NODE_FIELDS(F)				\
	F(uint32_t, parent,	"index of a node, 0 = outermost")	\
	F(uint32_t, frame,	"index of a frame")

#define PA_FRAME_FIELDS(F)				\
	F(uint32_t, file,	"string offset")	\
	F(uint32_t, function,	"string offset")	\
	F(uint32_t, line,	"line, 0 = not known")	\
	F(uint32_t, first_line,	"line of the def")

/* Strings: a uint32_t length, the bytes (UTF-8; lone surrogates as three
 * bytes each, as CPython's "surrogatepass"), padding to 4.  Offset 0 holds
 * the empty string. */

#define PA_REGION_FIELDS(F)				\
	F(uint32_t, kind,	"pa_image_kind")	\
	F(uint32_t, elem_size,	"bytes")		\
	F(uint64_t, address,	"address")		\
	F(uint64_t, file_offset, "bytes from the directory, in a snapshot")	\
	F(uint64_t, capacity,	"elements")

/* One of two descriptor sets; the valid one with the higher generation holds.
 * The CRC covers generation, n_regions and region[]. */
#define PA_SET_FIELDS(F)				\
	F(uint64_t, generation,	"number")		\
	F(uint32_t, n_regions,	"count")		\
	F(uint32_t, crc,	"CRC-32")

/*
 * The directory's scalar fields.  The identity part, up to identity_crc, is
 * covered by it and written once per start, fork and detach.
 */
#define PA_DIRECTORY_IDENTITY(F)			\
	F(uint16_t, major,	"version")		\
	F(uint16_t, minor,	"version")		\
	F(uint32_t, header_size, "bytes")		\
	F(uint64_t, self,	"address")		\
	F(uint32_t, endian,	"mark")			\
	F(uint32_t, page_size,	"bytes")		\
	F(uint32_t, pid,	"pid, innermost")	\
	F(uint32_t, parent_pid,	"pid that was forked, or 0")	\
	F(uint64_t, start_time,	"clock ticks, /proc/PID/stat field 22")	\
	F(uint64_t, attach_generation, "attaches in this process, from 1")	\
	F(uint32_t, python_version, "PY_VERSION_HEX")	\
	F(uint32_t, flags,	"pa_image_flags")	\
	F(uint32_t, coredump_filter, "bits")		\
	F(uint32_t, frames_max,	"frames per stack")	\
	F(uint64_t, memory_max,	"bytes")		\
	F(uint64_t, entry,	"address of pa_start")	\
	F(uint64_t, attached_realtime_ns, "ns")		\
	F(uint64_t, attached_monotonic_ns, "ns")	\
	F(uint64_t, rss_at_attach, "bytes")		\
	F(uint32_t, state,	"pa_image_state")	\
	F(uint32_t, identity_crc, "CRC-32 of all bytes before this field")

/* Counters: written without a lock being needed by readers; not in a CRC.
 * uncounted_max is 2^64 - 1, not known, in an image made from a core. */
#define PA_DIRECTORY_COUNTERS(F)			\
	F(uint64_t, detached_realtime_ns, "ns, 0 = attached")	\
	F(uint64_t, heartbeat_realtime_ns, "ns, of the last sample")	\
	F(uint64_t, heartbeat_monotonic_ns, "ns")	\
	F(uint64_t, rate,	"bytes, as asked for")	\
	F(uint64_t, rate_effective, "bytes, after thinning")	\
	F(uint64_t, samples_live, "samples")		\
	F(uint64_t, samples_taken, "samples")		\
	F(uint64_t, samples_thinned, "samples removed to make room")	\
	F(uint64_t, samples_freed, "samples")		\
	F(uint64_t, dropped,	"samples lost for any other reason")	\
	F(uint64_t, sites_evicted, "sites")		\
	F(uint64_t, stacks_full, "samples under <stacks full>")	\
	F(uint64_t, rebuilds,	"A/B flips")		\
	F(uint64_t, requested_bytes, "bytes, exact")	\
	F(uint64_t, requested_calls, "calls, exact")	\
	F(uint64_t, uncounted_max, "bytes not yet added, at most")	\
	F(double,   estimated_bytes, "bytes")		\
	F(double,   estimated_bytes_variance, "bytes^2")	\
	F(double,   estimated_bytes_weight_max, "bytes")	\
	F(double,   estimated_objects, "calls")		\
	F(double,   estimated_objects_variance, "calls^2")	\
	F(double,   estimated_objects_weight_max, "calls")	\
	F(uint64_t, memory_used, "bytes of ours")	\
	F(uint64_t, snapshot_realtime_ns, "ns, in a snapshot")	\
	F(uint64_t, snapshot_monotonic_ns, "ns, in a snapshot")	\
	F(uint64_t, rss,	"bytes, in a snapshot")	\
	F(uint64_t, gil_wait_ns, "ns until the GIL was had")	\
	F(uint64_t, start_ticket, "option `ticket` of the last pa_start")	\
	F(uint32_t, start_status, "0 pending, 1 done, else a pa_error's status")	\
	F(uint32_t, server_tid,	"tid, 0 = no thread of ours")	\
	F(uint32_t, hooks,	"pa_image_hooks")	\
	F(uint32_t, active_set,	"0 or 1, a hint")	\
	F(uint32_t, clients,	"now connected")	\
	F(uint32_t, refused_clients, "count")

#define PA_MEMBER(type, name, unit) type name;
struct pa_live { PA_LIVE_FIELDS(PA_MEMBER) };
struct pa_site { PA_SITE_FIELDS(PA_MEMBER) };
struct pa_node { PA_NODE_FIELDS(PA_MEMBER) };
struct pa_frame { PA_FRAME_FIELDS(PA_MEMBER) };
struct pa_region { PA_REGION_FIELDS(PA_MEMBER) };
struct pa_set {
	PA_SET_FIELDS(PA_MEMBER)
	struct pa_region region[PA_IMAGE_REGIONS];
};
struct pa_directory {
	uint8_t magic[16];
	PA_DIRECTORY_IDENTITY(PA_MEMBER)
	PA_DIRECTORY_COUNTERS(PA_MEMBER)
	char payload_version[16];	/* NUL-terminated */
	uint8_t boot_id[16];
	char socket[112];	/* as in sun_path; an abstract name begins with '@' */
	char start_text[128];	/* why the last start failed */
	struct pa_set set[2];
	/* elements in use of set[i].region[j]; stored with release order */
	uint64_t count[2][PA_IMAGE_REGIONS];
	/* in a snapshot: CRC-32 of region j, and of the directory before it */
	uint32_t region_crc[PA_IMAGE_REGIONS];
	uint32_t snapshot_crc;	/* CRC-32 of all bytes before this field */
	uint32_t reserved;
	/* Since 1.1; zeros, not known, in an older image. */
	uint64_t requested_monotonic_ns;	/* when requested_* were right */
	/* in a snapshot: CRC-32 of requested_monotonic_ns */
	uint32_t tail_crc;
	uint32_t tail_reserved;
};
#undef PA_MEMBER

_Static_assert(sizeof(struct pa_live) == 64, "record without holes");
_Static_assert(sizeof(struct pa_site) == 112, "record without holes");
_Static_assert(sizeof(struct pa_region) == 32, "record without holes");
_Static_assert(sizeof(struct pa_directory) <= PA_IMAGE_PAGE, "one page");

#endif /* PA_COMMON_IMAGE_H */
