/* SPDX-License-Identifier: MIT
 *
 * Where a census reads: a running process, or a core file, as one struct.
 *
 * A process is not changed, and stopped only by pa_census_pause: only pages
 * that are in memory are read, what was never touched or lies in swap stays
 * so, and what lies in a mapped file is read from the file.  No output.
 */
#ifndef PA_CLIENT_CENSUS_INPUT_H
#define PA_CLIENT_CENSUS_INPUT_H

#include <stdio.h>
#include <sys/types.h>

#include "census/source.h"
#include "client/core_file.h"
#include "injector/injector.h"

/* One line of the maps; a file is opened when it is first needed. */
struct pa_census_map {
	uint64_t start, end, offset;
	uint64_t device, inode;
	bool is_private, writable, readable;
	bool tried;		/* to open it */
	int fd;			/* -1 = none */
	char *path;		/* "" = of no file; never NULL */
	uint64_t resident, swapped;
};

struct pa_census_input {
	struct pa_census_source source;
	pid_t pid;		/* 0 = not known */
	char python[32];
	uint64_t time_ns;	/* CLOCK_REALTIME, 0 = not known */
	char allocator[64];	/* one that replaces glibc's, or "" */

	/* the rest is the reader's own */
	int dir, mem, pagemap;
	struct pa_target target;
	struct pa_census_map *maps;
	size_t n_maps;
	size_t last;		/* map of the last read */
	struct pa_census_range *ranges;
	struct pa_census_run *runs;
	size_t n_runs, room_runs;
	struct pa_core core;
	int core_fd;
	uint64_t paused_ns;	/* how long it was stopped, 0 = not at all */
	uint8_t *copy;		/* of all runs, made while it was stopped */
	size_t copy_room;
	size_t (*copied_read)(void *context, uint64_t address, void *buffer,
			      size_t n);
};

/* Each: 0 or PA_E_*; close in any case. */
int pa_census_open_process(struct pa_census_input *input, pid_t pid,
			   struct pa_diag *diag);
int pa_census_open_core(struct pa_census_input *input, const char *path,
			struct pa_diag *diag);
void pa_census_close(struct pa_census_input *input);

/*
 * Stop a process that is open, copy all that is in memory, let it go: what is
 * read from now on is of one moment.  It is not stopped for longer than
 * limit_ns, and not at all if that will not do.  0, PA_E_TIMEOUT and what
 * pa_pause_begin gives.
 */
int pa_census_pause(struct pa_census_input *input, uint64_t limit_ns,
		    struct pa_diag *diag);

/* After a census: is the process still the one that was read, with the same
 * memory?  0 or PA_E_EXITED. */
int pa_census_check(const struct pa_census_input *input,
		    struct pa_diag *diag);

/* ---- for the two readers ---- */

/* The map that holds an address, or NULL. */
struct pa_census_map *pa_census_find_map(struct pa_census_input *input,
					 uint64_t address);
/* Which Python is it, by the files that are mapped; `program`: a further one
 * that may be it, `who` for messages.  0 or PA_E_*. */
int pa_census_find_python(struct pa_census_input *input, const char *who,
			  const char *program, struct pa_diag *diag);
/* Drop maps, ranges and runs. */
void pa_census_forget(struct pa_census_input *input);
/* The maps and pages of a process once more.  0 or PA_E_*. */
int pa_census_read_again(struct pa_census_input *input, struct pa_diag *diag);
/* The first run that ends behind an address; n_runs if none does. */
size_t pa_census_run_at(const struct pa_census_input *input,
			uint64_t address);
/* Bytes that all runs have. */
uint64_t pa_census_bytes_of_runs(const struct pa_census_input *input);
/* Up to n bytes of one page; how many could be read. */
typedef size_t pa_census_page_reader(struct pa_census_input *input,
				     uint64_t address, void *buffer, size_t n);
/* Page by page, up to the first byte that could not be read. */
size_t pa_census_read_pages(struct pa_census_input *input, uint64_t address,
			    void *buffer, size_t n,
			    pa_census_page_reader *read);
/* Append a run, joining neighbours.  0 or -1 without memory. */
int pa_census_add_run(struct pa_census_input *input, uint64_t start,
		      uint64_t end);
/* Make one range of anonymous ones that touch: madvise and mprotect cut what
 * an allocator sees as one piece.  Last of all, maps no longer match then. */
void pa_census_join_ranges(struct pa_census_input *input);
/* Tell an allocator by the file that is mapped. */
void pa_census_note_file(struct pa_census_input *input, const char *path);

#endif /* PA_CLIENT_CENSUS_INPUT_H */
