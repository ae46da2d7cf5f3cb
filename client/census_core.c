/* SPDX-License-Identifier: MIT
 *
 * A core file as the source of a census; see census_input.h.  What the core
 * leaves out - constants of programs and libraries - is read from the files
 * that it names, if they are the same still.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/census_input.h"
#include "client/source.h"

#define PAGE PA_CENSUS_PAGE
#define USER_END ((uint64_t)1 << 47)
#define NOTE_FILE 0x46494c45u
#define STACK_POINTER (112 + 19 * 8)	/* in NT_PRSTATUS */
#define STACKS_MAX 4096

struct opening {
	struct pa_census_input *input;
	struct pa_diag *diag;
	uint64_t stacks[STACKS_MAX];
	size_t n_stacks;
	bool no_memory;
};

/* ---- notes ---- */

/* count, page size, count times (start, end, offset in pages), names */
static int read_files(struct pa_census_input *input, const uint8_t *note,
		      size_t size)
{
	uint64_t n, page, row[3];
	const char *name;

	if (size < 16 || input->maps)
		return 0;
	memcpy(&n, note, 8);
	memcpy(&page, note + 8, 8);
	if (n > (size - 16) / 24)
		return 0;
	input->maps = calloc(n + 1, sizeof *input->maps);
	if (!input->maps)
		return -1;
	name = (const char *)note + 16 + n * 24;
	for (uint64_t i = 0; i < n; i++) {
		struct pa_census_map *map = &input->maps[input->n_maps];
		size_t left = size - (size_t)(name - (const char *)note);
		size_t length = strnlen(name, left);

		memcpy(row, note + 16 + i * 24, sizeof row);
		if (length == left)
			return 0;
		if (row[0] < row[1] && row[1] <= USER_END &&
		    (!input->n_maps || map[-1].end <= row[0])) {
			*map = (struct pa_census_map){
				.start = row[0], .end = row[1], .fd = -1,
				.offset = row[2] * page, .inode = 1,
				.readable = true, .path = strdup(name),
			};
			if (!map->path)
				return -1;
			pa_census_note_file(input, name);
			input->n_maps++;
		}
		name += length + 1;
	}
	return 0;
}

static void read_note(void *context, uint32_t type, const unsigned char *body,
		      size_t size)
{
	struct opening *o = context;

	if (type == NOTE_FILE)
		o->no_memory |= read_files(o->input, body, size) != 0;
	if (type == NT_PRSTATUS && size >= STACK_POINTER + 8 &&
	    o->n_stacks < STACKS_MAX)
		memcpy(&o->stacks[o->n_stacks++], body + STACK_POINTER, 8);
}

/* ---- reading ---- */

static int open_regular(const char *path)
{
	int fd = -1, place = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	char name[64];

	/* opening something else could do something */
	if (place >= 0 && !fstat(place, &st) && S_ISREG(st.st_mode)) {
		snprintf(name, sizeof name, "/proc/self/fd/%d", place);
		fd = open(name, O_RDONLY | O_CLOEXEC);
	}
	if (place >= 0)
		close(place);
	return fd;
}

/* Is the file's first page the one that was mapped first? */
static bool is_same_file(struct pa_census_input *input,
			 const struct pa_census_map *map, int fd)
{
	char theirs[PAGE], ours[PAGE];

	for (size_t i = 0; i < input->n_maps; i++) {
		const struct pa_census_map *first = &input->maps[i];

		if (first->offset || strcmp(first->path, map->path) ||
		    pa_core_read(&input->core, first->start, theirs, PAGE) !=
		    PA_CORE_THERE)
			continue;
		return pread(fd, ours, PAGE, 0) == PAGE &&
			!memcmp(ours, theirs, PAGE);
	}
	return false;
}

static int open_map(struct pa_census_input *input, struct pa_census_map *map)
{
	if (map->tried)
		return map->fd;
	map->tried = true;
	map->fd = open_regular(map->path);
	if (map->fd >= 0 && !is_same_file(input, map, map->fd)) {
		close(map->fd);
		map->fd = -1;
	}
	return map->fd;
}

static size_t read_page(struct pa_census_input *input, uint64_t address,
			void *buffer, size_t n)
{
	struct pa_census_map *map;
	ssize_t got;
	int fd;

	if (pa_core_read(&input->core, address, buffer, n) == PA_CORE_THERE)
		return n;
	map = pa_census_find_map(input, address);
	fd = map ? open_map(input, map) : -1;
	if (fd < 0)
		return 0;
	got = pread(fd, buffer, n,
		    (off_t)(map->offset + (address - map->start)));
	return got > 0 ? (size_t)got : 0;
}

static size_t read_any(void *context, uint64_t address, void *buffer,
		       size_t n)
{
	const struct pa_census_input *input = context;

	if (pa_core_read(&input->core, address, buffer, n) == PA_CORE_THERE)
		return n;
	return pa_census_read_pages(context, address, buffer, n, read_page);
}

/* ---- segments ---- */

/* Which bytes of a segment were in memory, as runs or only counted. */
struct adding {
	struct pa_census_input *input;
	const struct pa_core_segment *segment;
	bool runs;
	bool zeros;		/* count as not in memory */
	uint64_t bytes;
};

static int add(struct adding *a, uint64_t from, uint64_t to)
{
	const struct pa_core_segment *s = a->segment;

	a->bytes += to - from;
	return !a->runs ? 0 : pa_census_add_run(a->input, s->address + from,
						s->address + to);
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static int add_touched(struct adding *a, uint64_t from, uint64_t to)
{
	uint8_t pages[16 * PAGE];

	while (from < to && a->zeros) {
		size_t n = to - from < sizeof pages ? (size_t)(to - from) :
			sizeof pages;
		ssize_t got = pread(a->input->core_fd, pages, n,
				    (off_t)(a->segment->offset + from));

		if (got < (ssize_t)n)
			return add(a, from, to);
		for (size_t at = 0; at < n; at += PAGE)
			if (!is_zero(pages + at) &&
			    add(a, from + at, from + at + PAGE))
				return -1;
		from += n;
	}
	return from < to ? add(a, from, to) : 0;
}

/* Bytes of the file that are no holes. */
static int add_segment_bytes(struct adding *a, uint64_t present)
{
	const uint64_t offset = a->segment->offset;
	int fd = a->input->core_fd;
	uint64_t at = 0;

	present &= ~(uint64_t)(PAGE - 1);
	while (at < present) {
		off_t data = lseek(fd, (off_t)(offset + at), SEEK_DATA), hole;
		uint64_t from, to;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0 || (uint64_t)data < offset + at)
			return add_touched(a, at, present);
		from = ((uint64_t)data - offset) & ~(uint64_t)(PAGE - 1);
		hole = lseek(fd, data, SEEK_HOLE);
		to = hole < 0 ? present : ((uint64_t)hole - offset +
					   PAGE - 1) & ~(uint64_t)(PAGE - 1);
		from = from < at ? at : from;
		if (from >= present)
			return 0;
		to = to > present || to <= from ? present : to;
		if (add_touched(a, from, to))
			return -1;
		at = to;
	}
	return 0;
}

static int add_segment(struct opening *o, const struct pa_core_segment *s)
{
	struct pa_census_input *input = o->input;
	struct pa_census_range *range = &input->ranges[input->source.n_ranges];
	uint64_t present = pa_core_present(&input->core, s);
	const struct pa_census_map *map = pa_census_find_map(input, s->address);
	struct adding adding = { .input = input, .segment = s };
	bool file = map != NULL;

	if (s->address % PAGE || s->address >= USER_END ||
	    s->size > USER_END - s->address ||
	    (input->source.n_ranges && range[-1].end > s->address))
		return 0;
	*range = (struct pa_census_range){
		.start = s->address, .end = s->address + s->size,
		.kind = file ? PA_RANGE_FILE : PA_RANGE_ANON,
		.resident = present,
		/* what nobody wrote to is seldom dumped */
		.writable = file && present, .name = file ? map->path : NULL,
	};
	for (size_t i = 0; i < o->n_stacks; i++)
		if (!file && o->stacks[i] >= range->start &&
		    o->stacks[i] < range->end)
			range->kind = PA_RANGE_STACK;
	input->source.n_ranges++;
	if (file)
		return 0;
	adding.runs = range->kind == PA_RANGE_ANON;
	/* The kernel leaves holes, and writes at the edges of pages; gdb
	 * writes zeros for all that stacks and arenas reserve. */
	adding.zeros = s->offset % PAGE && !(adding.runs && s->writable);
	if (add_segment_bytes(&adding, present))
		return -1;
	range->resident = adding.bytes;
	return 0;
}

/* ---- open ---- */

static bool is_core(int fd)
{
	Elf64_Ehdr e;

	/* what is of 32 bits is refused by name later */
	return pread(fd, &e, sizeof e, 0) == sizeof e &&
		!memcmp(e.e_ident, ELFMAG, SELFMAG) && e.e_type == ET_CORE;
}

static int refuse_file(const struct pa_census_input *input, const char *path,
		       struct pa_diag *diag)
{
	char head[16];
	ssize_t n = pread(input->core_fd, head, sizeof head, 0);
	const char *program = pa_compressed_by(head, n > 0 ? (size_t)n : 0);

	if (program)
		pa_fail(diag, PA_E_NO_IMAGE, "%s is compressed by %s", path,
			program);
	else
		pa_fail(diag, PA_E_NO_IMAGE, "%s is no core file", path);
	if (!diag)
		return PA_E_NO_IMAGE;
	if (program)
		snprintf(diag->hint, sizeof diag->hint, "write what `%s -dc` "
			 "makes of it to a file first", program);
	else
		snprintf(diag->hint, sizeof diag->hint,
			 "give a PID, or a core file of the process");
	return PA_E_NO_IMAGE;
}

static int open_file(struct pa_census_input *input, const char *path,
		     struct pa_diag *diag)
{
	struct stat st;

	input->core_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
			      O_NOCTTY);
	if (input->core_fd < 0 || fstat(input->core_fd, &st))
		return pa_fail(diag, PA_E_READ, "%s cannot be read: %s", path,
			       strerror(errno));
	if (S_ISREG(st.st_mode) && !is_core(input->core_fd)) {
		return refuse_file(input, path, diag);
	}
	if (S_ISREG(st.st_mode))
		return pa_core_open(&input->core, input->core_fd, NULL, 0, 0,
				    diag);
	pa_fail(diag, PA_E_READ, "%s is no regular file, and a census reads a "
		"core more than once", path);
	if (diag)
		snprintf(diag->hint, sizeof diag->hint,
			 "write the core to a file first");
	return PA_E_READ;
}

static int read_segments(struct opening *o)
{
	struct pa_census_input *input = o->input;

	input->ranges = calloc(input->core.n_segments + 1,
			       sizeof *input->ranges);
	if (input->ranges)
		pa_core_notes(&input->core, read_note, o);
	if (!input->ranges || o->no_memory)
		return pa_fail(o->diag, PA_E_FAILED, "no memory");
	for (size_t i = 0; i < input->core.n_segments; i++)
		if (add_segment(o, &input->core.segments[i]))
			return pa_fail(o->diag, PA_E_FAILED, "no memory");
	pa_census_join_ranges(input);
	return 0;
}

int pa_census_open_core(struct pa_census_input *input, const char *path,
			struct pa_diag *diag)
{
	struct opening *o = calloc(1, sizeof *o);
	int err;

	memset(input, 0, sizeof *input);
	input->dir = input->mem = input->pagemap = input->core_fd = -1;
	if (!o)
		return pa_fail(diag, PA_E_FAILED, "no memory");
	o->input = input;
	o->diag = diag;
	err = open_file(input, path, diag);
	if (!err)
		err = read_segments(o);
	input->pid = input->core.pid;
	input->source.ranges = input->ranges;
	input->source.runs = input->runs;
	input->source.n_runs = input->n_runs;
	input->source.context = input;
	input->source.read = read_any;
	if (!err)
		err = pa_census_find_python(input, path, "", diag);
	free(o);
	return err;
}
