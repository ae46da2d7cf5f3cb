/* SPDX-License-Identifier: MIT
 *
 * A core file as the memory of the process that died: 64-bit little-endian
 * ELF, whole or cut, from a file or from a pipe.
 *
 * What is not there is never taken for zero.  Knows nothing of the image but
 * where to keep bytes that a pipe brings only once.  No output.  Not for
 * several threads.
 */
#ifndef PA_CLIENT_CORE_FILE_H
#define PA_CLIENT_CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "injector/injector.h"

/* Why bytes are missing. */
enum pa_core_why {
	PA_CORE_THERE, PA_CORE_UNMAPPED, PA_CORE_NOT_DUMPED, PA_CORE_CUT,
};

struct pa_core_segment {
	uint64_t address, size;
	uint64_t present;	/* leading bytes that were dumped */
	uint64_t offset;	/* in the file */
	bool writable;
};

/* Bytes kept from a pipe. */
struct pa_core_piece {
	uint64_t address, length;
	unsigned char *bytes;
};

#define PA_CORE_PIECES 16

struct pa_core {
	int fd;			/* the caller's */
	bool stream;		/* cannot be read twice */
	uint64_t silence_ns;	/* a pipe may be silent so long */
	uint64_t size;		/* of the file; a stream: read so far */
	unsigned char *head;	/* a pipe: up to the end of the notes */
	size_t head_length, head_room;
	unsigned char *notes;	/* of all segments, one behind the other */
	size_t notes_length;

	struct pa_core_segment *segments;	/* by address */
	size_t n_segments;
	uint64_t first_memory;	/* where in the file that begins */
	bool truncated;
	bool payload_named;	/* among the mapped files */
	pid_t pid;		/* 0 = not known */
	int signal;

	struct pa_core_piece piece[PA_CORE_PIECES];
	unsigned n_pieces;
	struct pa_diag *diag;
};

/*
 * Read the headers.  `start` are bytes that were read from fd already; a
 * regular file is read by position and may be anywhere.  silence_ns bounds
 * every wait for a pipe.  0, PA_E_NO_IMAGE, PA_E_TRUNCATED, PA_E_DAMAGED,
 * PA_E_READ or PA_E_TIMEOUT.  Close in any case.
 */
int pa_core_open(struct pa_core *core, int fd, const void *start,
		 size_t length, uint64_t silence_ns, struct pa_diag *diag);
void pa_core_close(struct pa_core *core);

/* A note: its type and n bytes, which are hostile. */
typedef void pa_core_note(void *context, uint32_t type,
			  const unsigned char *body, size_t n);
void pa_core_notes(const struct pa_core *core, pa_core_note *use,
		   void *context);

/* n bytes at an address, all of them or none; why they are missing. */
enum pa_core_why pa_core_read(const struct pa_core *core, uint64_t address,
			      void *buffer, size_t n);

/* n bytes at an address with zeros where there are none; how many those
 * are. */
uint64_t pa_core_salvage(const struct pa_core *core, uint64_t address,
			 void *buffer, size_t n);

/*
 * n bytes at an address as memory that may be written to, or NULL where that
 * is not worth it or not to be had; to be unmapped.  Where the file is cut
 * meanwhile, SIGBUS comes.
 */
void *pa_core_view(const struct pa_core *core, uint64_t address, size_t n);

/* Bytes of a segment that the file really has. */
uint64_t pa_core_present(const struct pa_core *core,
			 const struct pa_core_segment *segment);

/* Have n bytes at a file offset gone by, so that a stream cannot give them? */
bool pa_core_gone_by(const struct pa_core *core, uint64_t offset, uint64_t n);

/*
 * Pass over a stream up to a file offset; n bytes from there are stored into
 * buffer, NULL throws them away.  0, PA_E_TRUNCATED at its end, PA_E_READ,
 * PA_E_TIMEOUT.
 */
int pa_core_stream(struct pa_core *core, uint64_t offset, void *buffer,
		   uint64_t n);

#endif /* PA_CLIENT_CORE_FILE_H */
