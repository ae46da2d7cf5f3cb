/* SPDX-License-Identifier: MIT
 *
 * What a census takes from /proc, of a process whose pages lie in swap, in
 * files or nowhere: a directory with files made here stands for /proc/PID,
 * the memory is our own.  Machines without swap can test nothing of it else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "census/census.h"
#include "client/census_input.h"
#include "injector/proc.h"
#include "tests/unit/unit.h"

#define PAGE 4096u
#define THERE ((uint64_t)1 << 63)
#define SWAPPED ((uint64_t)1 << 62)

static char directory[] = "/tmp/pa-census-XXXXXX";
static uint8_t *memory;		/* 6 pages: two there, two in swap, none, one */
static uint8_t *written;	/* a file's: one page in swap, one not read */
static uint8_t *constant;	/* a file's: one page not read */
static unsigned long inode;

int __wrap_pa_proc_open(pid_t pid);
int __wrap_pa_proc_open(pid_t pid)
{
	(void)pid;
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void path_of(char *path, const char *name)
{
	snprintf(path, 128, "%s/%s", directory, name);
}

static void borrow(const char *name)
{
	char path[128], own[128];

	path_of(path, name);
	snprintf(own, sizeof own, "/proc/self/%s", name);
	assert_int_equal(symlink(own, path), 0);
}

static void put_pages(int fd, const uint8_t *at, const uint64_t *entries,
		      size_t n)
{
	assert_int_equal(pwrite(fd, entries, n * 8, (off_t)
		((uintptr_t)at / PAGE * 8)), n * 8);
}

static void make_pagemap(void)
{
	static const uint64_t pages[6] = { THERE, THERE, SWAPPED, SWAPPED, 0,
		THERE };
	static const uint64_t file[2] = { SWAPPED, 0 };
	char path[128];
	int fd;

	path_of(path, "pagemap");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	put_pages(fd, memory, pages, 6);
	put_pages(fd, written, file, 2);
	put_pages(fd, constant, file + 1, 1);
	close(fd);
}

static void put_map(FILE *out, const uint8_t *at, unsigned pages,
		    const char *perms, unsigned long node, const char *name,
		    unsigned resident, unsigned swapped)
{
	unsigned long start = (unsigned long)at;

	fprintf(out, "%lx-%lx %s 00000000 00:01 %lu                  %s\n"
		"Size:    9999 kB\nRss:    %u kB\nSwap:   %u kB\nVmFlags: rd\n",
		start, start + pages * PAGE, perms, node, name, resident * 4,
		swapped * 4);
}

/* In any order: the reader is told them as they are. */
static void make_smaps(void)
{
	char path[128], file[128];
	FILE *out;

	path_of(path, "smaps");
	path_of(file, "file");
	out = fopen(path, "w");
	assert_non_null(out);
	put_map(out, (const uint8_t *)(uintptr_t)0x10000, 1, "r--p", 1,
		"/usr/lib/libpython3.11.so.1.0", 0, 0);
	put_map(out, memory, 6, "rw-p", 0, "", 3, 2);
	/* its numbers are not those of the map in front */
	fputs("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0"
	      "    [vsyscall]\nRss:  0 kB\nSwap:  0 kB\n", out);
	put_map(out, written, 2, "rw-p", inode, file, 0, 1);
	put_map(out, constant, 1, "r--p", inode, file, 0, 0);
	fclose(out);
}

static int make_all(void **state)
{
	static const char *const own[] = { "stat", "status", "mem", "maps",
		"ns", "exe", "cmdline", "auxv", "fd", "root" };
	uint8_t bytes[2 * PAGE];
	char path[128];
	struct stat st;
	int fd;

	(void)state;
	/* one mapping: the order of addresses is ours */
	memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || !mkdtemp(directory))
		return -1;
	memset(memory, 'm', 16 * PAGE);
	written = memory + 8 * PAGE;
	constant = memory + 12 * PAGE;
	memset(bytes, 'f', sizeof bytes);
	path_of(path, "file");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, sizeof bytes) != sizeof bytes ||
	    fstat(fd, &st))
		return -1;
	close(fd);
	inode = (unsigned long)st.st_ino;
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		borrow(own[i]);
	make_smaps();
	make_pagemap();
	return 0;
}

static int remove_all(void **state)
{
	static const char *const names[] = { "stat", "status", "mem", "maps",
		"ns", "exe", "cmdline", "auxv", "fd", "root", "file", "smaps",
		"pagemap" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		path_of(path, names[i]);
		unlink(path);
	}
	return rmdir(directory);
}

static void open_it(struct pa_census_input *input)
{
	struct pa_diag diag = { 0 };

	if (pa_census_open_process(input, getpid(), &diag))
		fail_msg("%s", diag.text);
}

static size_t read_at(struct pa_census_input *input, const uint8_t *at,
		      char *text, size_t n)
{
	memset(text, 0, n);
	return input->source.read(input->source.context, (uintptr_t)at, text,
				  n);
}

static void only_what_is_there(void **state)
{
	struct pa_census_input input;
	uint64_t at = (uintptr_t)memory;

	(void)state;
	open_it(&input);
	assert_int_equal(input.source.n_runs, 2);
	assert_int_equal(input.source.runs[0].start, at);
	assert_int_equal(input.source.runs[0].end, at + 2 * PAGE);
	assert_int_equal(input.source.runs[1].start, at + 5 * PAGE);
	assert_int_equal(input.source.runs[1].before, 2 * PAGE);
	pa_census_close(&input);
}

static void nothing_is_brought_in(void **state)
{
	struct pa_census_input input;
	char text[8];

	(void)state;
	open_it(&input);
	assert_int_equal(read_at(&input, memory, text, 8), 8);
	assert_memory_equal(text, "mmmmmmmm", 8);
	/* in swap, untouched, and from one that is there into swap */
	assert_int_equal(read_at(&input, memory + 2 * PAGE, text, 8), 0);
	assert_int_equal(read_at(&input, memory + 4 * PAGE, text, 8), 0);
	assert_int_equal(read_at(&input, memory + 2 * PAGE - 4, text, 8), 4);
	assert_memory_equal(text, "mmmm\0\0\0\0", 8);
	/* a file's constants are read from it, what was written is not */
	assert_int_equal(read_at(&input, constant, text, 8), 8);
	assert_memory_equal(text, "ffffffff", 8);
	assert_int_equal(read_at(&input, written, text, 8), 0);
	assert_int_equal(read_at(&input, written + PAGE, text, 8), 0);
	pa_census_close(&input);
}

static void swap_is_told_apart(void **state)
{
	struct pa_census_input input;
	struct pa_census census;
	uint64_t sum = 0;

	(void)state;
	open_it(&input);
	assert_int_equal(pa_census_run(&input.source, &census), 0);
	for (int i = 0; i < PA_MEMORY_KINDS; i++)
		sum += census.memory[i];
	assert_int_equal(census.rss, 3 * PAGE);
	assert_int_equal(sum, 3 * PAGE);
	assert_int_equal(census.memory[PA_MEMORY_ANONYMOUS], 3 * PAGE);
	assert_int_equal(census.swapped, 3 * PAGE);
	pa_census_free(&census);
	pa_census_close(&input);
}

/* The kernel has no pages to tell of a program that has been replaced. */
static void another_program_is_told(void **state)
{
	struct pa_diag diag = { 0 };
	struct pa_census_input input;
	char path[128];

	(void)state;
	open_it(&input);
	assert_int_equal(pa_census_check(&input, &diag), 0);
	path_of(path, "pagemap");
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(pa_census_check(&input, &diag), PA_E_EXITED);
	pa_census_close(&input);
	make_pagemap();
}

/* A file, the memory behind it, and more that madvise has cut off. */
static size_t joined(bool live, const char *file)
{
	struct pa_census_range ranges[] = {
		{ .start = 1, .end = 2, .kind = PA_RANGE_FILE, .name = "a" },
		{ .start = 4, .end = 5, .kind = PA_RANGE_FILE, .name = file },
		{ .start = 5, .end = 6, .kind = PA_RANGE_ANON },
		{ .start = 6, .end = 9, .kind = PA_RANGE_ANON },
	};
	struct pa_census_input input = { .ranges = ranges };

	input.source.live = live;
	input.source.n_ranges = 4;
	pa_census_join_ranges(&input);
	return input.source.n_ranges;
}

static void cut_memory_is_joined(void **state)
{
	(void)state;
	assert_int_equal(joined(true, "a"), 3);
	assert_int_equal(joined(true, "b"), 3);
	assert_int_equal(joined(false, "b"), 3);
	/* the heap may follow the zeros of the program */
	assert_int_equal(joined(false, "a"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_there),
		cmocka_unit_test(nothing_is_brought_in),
		cmocka_unit_test(swap_is_told_apart),
		cmocka_unit_test(another_program_is_told),
		cmocka_unit_test(cut_memory_is_joined),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
