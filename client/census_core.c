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

#define PAGE PA_CENSUS_PAGE
#define USER_END ((uint64_t)1 << 47)
#define NOTE_FILE 0x46494c45u
#define NOTES_MAX 65536u
#define STACK_POINTER (112 + 19 * 8)	/* in NT_PRSTATUS */
#define STACKS_MAX 4096

struct opening {
	struct pa_census_input *input;
	struct pa_diag *diag;
	uint64_t stacks[STACKS_MAX];
	size_t n_stacks;
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

static int read_note(struct opening *o, uint32_t type, const uint8_t *body,
		     size_t size)
{
	if (type == NOTE_FILE)
		return read_files(o->input, body, size);
	if (type == NT_PRSTATUS && size >= STACK_POINTER + 8 &&
	    o->n_stacks < STACKS_MAX)
		memcpy(&o->stacks[o->n_stacks++], body + STACK_POINTER, 8);
	return 0;
}

static int read_notes(struct opening *o, const Elf64_Phdr *p)
{
	const struct pa_core *core = &o->input->core;
	uint64_t at = p->p_offset, end = core->head_length;

	if (p->p_filesz < end - (at < end ? at : end))
		end = at + p->p_filesz;
	for (unsigned i = 0; i < NOTES_MAX && at < end &&
	     end - at >= sizeof(Elf64_Nhdr); i++) {
		Elf64_Nhdr note;
		uint64_t body;

		memcpy(&note, core->head + at, sizeof note);
		body = at + sizeof note + ((note.n_namesz + 3ull) & ~3ull);
		if (body > end || note.n_descsz > end - body)
			return 0;
		if (read_note(o, note.n_type, core->head + body,
			      note.n_descsz))
			return -1;
		at = body + ((note.n_descsz + 3ull) & ~3ull);
	}
	return 0;
}

static int read_all_notes(struct opening *o)
{
	const struct pa_core *core = &o->input->core;
	Elf64_Ehdr e;

	memcpy(&e, core->head, sizeof e);
	for (size_t i = 0; i < 65536; i++) {
		uint64_t at = e.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr p;

		if (at > core->head_length ||
		    core->head_length - at < sizeof p || i >= e.e_phnum)
			return 0;
		memcpy(&p, core->head + at, sizeof p);
		if (p.p_type == PT_NOTE && p.p_offset < core->head_length &&
		    read_notes(o, &p))
			return -1;
	}
	return 0;
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
	struct pa_census_input *input = context;
	size_t done = 0;

	if (pa_core_read(&input->core, address, buffer, n) == PA_CORE_THERE)
		return n;
	while (done < n) {
		size_t k = PAGE - (address + done) % PAGE, got;

		k = k < n - done ? k : n - done;
		got = read_page(input, address + done, (char *)buffer + done,
				k);
		done += got;
		if (got < k)
			break;
	}
	return done;
}

/* ---- segments ---- */

/* Bytes of the file that are no holes, as runs of the memory. */
static int add_runs(struct pa_census_input *input,
		    const struct pa_core_segment *s, uint64_t present)
{
	uint64_t at = 0;

	present &= ~(uint64_t)(PAGE - 1);
	while (at < present) {
		off_t data = lseek(input->core_fd, (off_t)(s->offset + at),
				   SEEK_DATA), hole;
		uint64_t from, to;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0 || (uint64_t)data < s->offset + at)
			return pa_census_add_run(input, s->address + at,
						 s->address + present);
		from = ((uint64_t)data - s->offset) & ~(uint64_t)(PAGE - 1);
		hole = lseek(input->core_fd, data, SEEK_HOLE);
		to = hole < 0 ? present : ((uint64_t)hole - s->offset +
					   PAGE - 1) & ~(uint64_t)(PAGE - 1);
		from = from < at ? at : from;
		if (from >= present)
			return 0;
		to = to > present || to <= from ? present : to;
		if (pa_census_add_run(input, s->address + from,
				      s->address + to))
			return -1;
		at = to;
	}
	return 0;
}

static uint64_t bytes_of_runs(const struct pa_census_input *input)
{
	const struct pa_census_run *last = input->runs + input->n_runs;

	return input->n_runs ?
		last[-1].before + (last[-1].end - last[-1].start) : 0;
}

static int add_segment(struct opening *o, const struct pa_core_segment *s)
{
	struct pa_census_input *input = o->input;
	struct pa_census_range *range = &input->ranges[input->source.n_ranges];
	uint64_t present = pa_core_present(&input->core, s), before = 0;
	const struct pa_census_map *map = pa_census_find_map(input, s->address);
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
	if (range->kind != PA_RANGE_ANON)
		return 0;
	before = bytes_of_runs(input);
	if (add_runs(input, s, present))
		return -1;
	range->resident = bytes_of_runs(input) - before;
	return 0;
}

/* ---- open ---- */

static int open_file(struct pa_census_input *input, const char *path,
		     struct pa_diag *diag)
{
	struct stat st;

	input->core_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
			      O_NOCTTY);
	if (input->core_fd < 0 || fstat(input->core_fd, &st))
		return pa_fail(diag, PA_E_READ, "%s cannot be read: %s", path,
			       strerror(errno));
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
	if (!input->ranges || read_all_notes(o))
		return pa_fail(o->diag, PA_E_FAILED, "no memory");
	for (size_t i = 0; i < input->core.n_segments; i++)
		if (add_segment(o, &input->core.segments[i]))
			return pa_fail(o->diag, PA_E_FAILED, "no memory");
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
