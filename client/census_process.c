/* SPDX-License-Identifier: MIT
 *
 * A running process as the source of a census; see census_input.h.  Nothing
 * here may make a page of the process resident.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "client/census_input.h"
#include "injector/proc.h"

#define PAGE PA_CENSUS_PAGE
#define USER_END ((uint64_t)1 << 47)
#define SLAB 16384u		/* entries of pagemap a read */
#define THREADS_MAX 4096
#define PRESENT ((uint64_t)1 << 63)

/* ---- the maps, from smaps ---- */

/* Parse a line of maps into the next map: 1, 0 if it is none that can be
 * read, -1 without memory. */
static int add_map(struct pa_census_input *input, size_t *room,
		   const char *line)
{
	struct pa_census_map *map;
	unsigned long start, end, offset, inode;
	unsigned major, minor;
	char perms[5];
	int path = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, perms,
		   &offset, &major, &minor, &inode, &path) < 7 || !path ||
	    start >= end || end > USER_END)
		return 0;
	if (input->n_maps == *room) {
		struct pa_census_map *more;

		*room = *room * 2 + 256;
		more = reallocarray(input->maps, *room, sizeof *more);
		if (!more)
			return -1;
		input->maps = more;
	}
	map = &input->maps[input->n_maps];
	*map = (struct pa_census_map){
		.start = start, .end = end, .offset = offset,
		.device = makedev(major, minor), .inode = inode, .fd = -1,
		.readable = perms[0] == 'r', .writable = perms[1] == 'w',
		.is_private = perms[3] == 'p', .path = strdup(line + path),
	};
	if (!map->path)
		return -1;
	input->n_maps++;
	pa_census_note_file(input, map->path);
	return 1;
}

static bool is_map_line(const char *line)
{
	size_t n = strspn(line, "0123456789abcdef");

	return n && line[n] == '-';
}

/* Lines of smaps: one of maps, then keys with numbers. */
static int parse_smaps(struct pa_census_input *input, char *text)
{
	size_t room = 0;
	int added = 0;

	for (char *line = text, *next; line && *line; line = next) {
		unsigned long kb;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (is_map_line(line))
			added = add_map(input, &room, line);
		else if (added && sscanf(line, "Rss: %lu", &kb) == 1)
			input->maps[input->n_maps - 1].resident =
				(uint64_t)kb << 10;
		else if (added && sscanf(line, "Swap: %lu", &kb) == 1)
			input->maps[input->n_maps - 1].swapped =
				(uint64_t)kb << 10;
		if (added < 0)
			return -1;
	}
	return 0;
}

static enum pa_census_kind kind_of(const struct pa_census_map *map)
{
	if (!strcmp(map->path, "[heap]"))
		return PA_RANGE_HEAP;
	if (!strncmp(map->path, "[stack", 6))
		return PA_RANGE_STACK;
	if (!map->inode && map->is_private &&
	    (!map->path[0] || !strncmp(map->path, "[anon", 5)))
		return PA_RANGE_ANON;
	return PA_RANGE_FILE;
}

/* ---- stacks ---- */

/* The stack pointer of a thread that is in a system call, or 0. */
static uint64_t stack_pointer(int dir, const char *tid)
{
	char name[64], text[512], *at;
	unsigned long sp = 0;

	snprintf(name, sizeof name, "task/%.20s/syscall", tid);
	if (pa_proc_read(dir, name, text, sizeof text) <= 0)
		return 0;
	/* "... SP PC\n" */
	at = strrchr(text, ' ');
	if (!at)
		return 0;
	*at = '\0';
	at = strrchr(text, ' ');
	if (at)
		sp = strtoul(at + 1, NULL, 16);
	return sp;
}

static void mark_stack(struct pa_census_input *input, uint64_t sp)
{
	struct pa_census_map *map = sp ? pa_census_find_map(input, sp) : NULL;

	if (map && input->ranges[map - input->maps].kind == PA_RANGE_ANON)
		input->ranges[map - input->maps].kind = PA_RANGE_STACK;
}

static void mark_stacks(struct pa_census_input *input)
{
	int fd = openat(input->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tasks = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!tasks) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (int i = 0; i < THREADS_MAX && (entry = readdir(tasks)); i++)
		if (entry->d_name[0] != '.')
			mark_stack(input, stack_pointer(input->dir,
							entry->d_name));
	closedir(tasks);
}

/* ---- which pages are there ---- */

static bool page_is_there(const struct pa_census_input *input, uint64_t page)
{
	uint64_t entry = 0;

	return pread(input->pagemap, &entry, sizeof entry,
		     (off_t)(page / PAGE * sizeof entry)) == sizeof entry &&
		entry & PRESENT;
}

static int add_pages(struct pa_census_input *input, uint64_t at,
		     const uint64_t *entries, size_t n, uint64_t *there)
{
	for (size_t i = 0; i < n; ) {
		size_t k = i;

		while (k < n && entries[k] & PRESENT)
			k++;
		if (k > i && pa_census_add_run(input, at + i * PAGE,
					       at + k * PAGE))
			return -1;
		*there += (k - i) * PAGE;
		i = k > i ? k : i + 1;
	}
	return 0;
}

static int find_runs(struct pa_census_input *input,
		     const struct pa_census_map *map, uint64_t *entries)
{
	uint64_t there = 0;

	/* A reservation may be huge: all that is there has been seen. */
	for (uint64_t at = map->start; at < map->end &&
	     (there < map->resident || map->end - map->start < 1ull << 32); ) {
		size_t n = (map->end - at) / PAGE;
		ssize_t got;

		n = n < SLAB ? n : SLAB;
		got = pread(input->pagemap, entries, n * sizeof *entries,
			    (off_t)(at / PAGE * sizeof *entries));
		if (got < (ssize_t)sizeof *entries)
			return 0;
		n = (size_t)got / sizeof *entries;
		if (add_pages(input, at, entries, n, &there))
			return -1;
		at += n * PAGE;
	}
	return 0;
}

static int find_all_runs(struct pa_census_input *input)
{
	uint64_t *entries = malloc(SLAB * sizeof *entries);
	int err = entries ? 0 : -1;

	for (size_t i = 0; !err && i < input->n_maps; i++) {
		const struct pa_census_map *map = &input->maps[i];
		enum pa_census_kind kind = input->ranges[i].kind;

		if ((kind == PA_RANGE_ANON || kind == PA_RANGE_HEAP) &&
		    map->readable && map->writable && map->resident)
			err = find_runs(input, map, entries);
	}
	free(entries);
	return err;
}

/* ---- reading ---- */

static size_t read_memory(const struct pa_census_input *input,
			  uint64_t address, void *buffer, size_t n)
{
	struct iovec local = { buffer, n };
	struct iovec remote = { (void *)(uintptr_t)address, n };
	ssize_t got = process_vm_readv(input->pid, &local, 1, &remote, 1, 0);

	if (got < 0 && (errno == ENOSYS || errno == EPERM) && input->mem >= 0)
		got = pread(input->mem, buffer, n, (off_t)address);
	return got > 0 ? (size_t)got : 0;
}

/* The file behind a map, if it is still the same. */
static int open_map(const struct pa_census_input *input,
		    struct pa_census_map *map)
{
	char name[4200];
	struct stat st;

	if (map->tried)
		return map->fd;
	map->tried = true;
	snprintf(name, sizeof name, "map_files/%llx-%llx",
		 (unsigned long long)map->start, (unsigned long long)map->end);
	map->fd = openat(input->dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY |
			 O_NONBLOCK);
	if (map->fd >= 0)
		return map->fd;
	snprintf(name, sizeof name, "root%s", map->path);
	map->fd = openat(input->dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY |
			 O_NONBLOCK);
	if (map->fd >= 0 && (fstat(map->fd, &st) || !S_ISREG(st.st_mode) ||
			     st.st_ino != map->inode)) {
		close(map->fd);
		map->fd = -1;
	}
	return map->fd;
}

/* At most one page: from memory where it is there, else from its file. */
static size_t read_page(struct pa_census_input *input, uint64_t address,
			void *buffer, size_t n)
{
	struct pa_census_map *map = pa_census_find_map(input, address);
	ssize_t got;
	int fd;

	if (!map || !map->readable)
		return 0;
	if (page_is_there(input, address & ~(uint64_t)(PAGE - 1)))
		return read_memory(input, address, buffer, n);
	/* Written to and swapped out: the file would be wrong. */
	if (!map->inode || map->swapped || (fd = open_map(input, map)) < 0)
		return 0;
	got = pread(fd, buffer, n,
		    (off_t)(map->offset + (address - map->start)));
	return got > 0 ? (size_t)got : 0;
}

static size_t read_any(void *context, uint64_t address, void *buffer,
		       size_t n)
{
	/* whole runs are asked for only where all of it is there */
	return n > PAGE ? read_memory(context, address, buffer, n) :
		pa_census_read_pages(context, address, buffer, n, read_page);
}

/* ---- open ---- */

static int open_files(struct pa_census_input *input, struct pa_diag *diag)
{
	input->dir = pa_proc_open(input->pid);
	if (input->dir >= 0)
		input->pagemap = openat(input->dir, "pagemap",
					O_RDONLY | O_CLOEXEC);
	if (input->pagemap < 0)
		return pa_fail(diag, errno == ENOENT || errno == ESRCH ?
			       PA_E_EXITED : PA_E_NOT_PERMITTED,
			       "cannot tell which pages of process %d are in "
			       "memory: %s", (int)input->pid, strerror(errno));
	input->mem = openat(input->dir, "mem", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int read_ranges(struct pa_census_input *input, struct pa_diag *diag)
{
	char *text = pa_proc_read_all(input->dir, "smaps");
	int err;

	if (!text)
		return pa_fail(diag, errno == ENOENT || errno == ESRCH ?
			       PA_E_EXITED : PA_E_NOT_PERMITTED,
			       "cannot read the maps of process %d: %s",
			       (int)input->pid, strerror(errno));
	err = parse_smaps(input, text);
	free(text);
	input->ranges = calloc(input->n_maps + 1, sizeof *input->ranges);
	if (err || !input->ranges)
		return pa_fail(diag, PA_E_FAILED, "no memory");
	for (size_t i = 0; i < input->n_maps; i++) {
		const struct pa_census_map *map = &input->maps[i];

		input->ranges[i] = (struct pa_census_range){
			.start = map->start, .end = map->end,
			.kind = kind_of(map), .resident = map->resident,
			.swapped = map->swapped, .writable = map->writable,
			.name = map->inode ? map->path : NULL,
		};
	}
	mark_stacks(input);
	return find_all_runs(input) ?
		pa_fail(diag, PA_E_FAILED, "no memory") : 0;
}

static int find_python(struct pa_census_input *input, struct pa_diag *diag)
{
	char who[64], program[4096];
	ssize_t n = readlinkat(input->dir, "exe", program,
			       sizeof program - 1);

	program[n > 0 ? n : 0] = '\0';
	snprintf(who, sizeof who, "process %d", (int)input->pid);
	return pa_census_find_python(input, who, program, diag);
}

/* Ranges and runs for the first time or again. */
static int fill_source(struct pa_census_input *input, struct pa_diag *diag)
{
	struct timespec now;
	int err = read_ranges(input, diag);

	clock_gettime(CLOCK_REALTIME, &now);
	input->time_ns = (uint64_t)now.tv_sec * 1000000000 +
		(uint64_t)now.tv_nsec;
	input->source.ranges = input->ranges;
	input->source.n_ranges = err ? 0 : input->n_maps;
	pa_census_join_ranges(input);
	input->source.runs = input->runs;
	input->source.n_runs = input->n_runs;
	return err;
}

int pa_census_read_again(struct pa_census_input *input, struct pa_diag *diag)
{
	pa_census_forget(input);
	return fill_source(input, diag);
}

int pa_census_open_process(struct pa_census_input *input, pid_t pid,
			   struct pa_diag *diag)
{
	int err;

	memset(input, 0, sizeof *input);
	input->dir = input->mem = input->pagemap = input->core_fd = -1;
	input->pid = pid;
	err = pa_target_look(pid, &input->target, diag);
	if (err)
		return err;
	err = open_files(input, diag);
	input->source.live = true;
	input->source.context = input;
	input->source.read = read_any;
	if (!err)
		err = fill_source(input, diag);
	if (!err)
		err = find_python(input, diag);
	/* A process that ends has no maps, and looks like anything. */
	if (err && err != PA_E_FAILED && pa_census_check(input, diag))
		err = PA_E_EXITED;
	return err;
}

/* Is the memory whose pages we asked for gone, as it is after an exec? */
static bool is_another_program(const struct pa_census_input *input)
{
	uint64_t entry;

	return input->pagemap >= 0 &&
		pread(input->pagemap, &entry, sizeof entry, 0) == 0;
}

int pa_census_check(const struct pa_census_input *input, struct pa_diag *diag)
{
	struct pa_proc_stat stat;

	if (!input->source.live)
		return 0;
	/* it gives up its memory before it is a zombie */
	if (!pa_proc_read_stat(input->dir, "stat", &stat) &&
	    stat.start_time == input->target.start_time &&
	    !(stat.flags & PA_PF_EXITING) &&
	    stat.state != 'Z' && stat.state != 'X')
		return !is_another_program(input) ? 0 :
			pa_fail(diag, PA_E_EXITED, "process %d began another "
				"program while it was read", (int)input->pid);
	return pa_fail(diag, PA_E_EXITED, "process %d ended while it was read",
		       (int)input->pid);
}
