/* SPDX-License-Identifier: MIT
 *
 * What both readers of a census need; see census_input.h.
 */
#include "client/census_input.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RUNS_MAX ((size_t)1 << 26)

struct pa_census_map *pa_census_find_map(struct pa_census_input *input,
					 uint64_t address)
{
	size_t low = 0, high = input->n_maps;
	struct pa_census_map *map;

	if (input->last < input->n_maps) {
		map = &input->maps[input->last];
		if (address >= map->start && address < map->end)
			return map;
	}
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (input->maps[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == input->n_maps || address < input->maps[low].start)
		return NULL;
	input->last = low;
	return &input->maps[low];
}

size_t pa_census_run_at(const struct pa_census_input *input, uint64_t address)
{
	size_t low = 0, high = input->n_runs;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (input->runs[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t pa_census_bytes_of_runs(const struct pa_census_input *input)
{
	const struct pa_census_run *last = input->runs + input->n_runs;

	return input->n_runs ?
		last[-1].before + (last[-1].end - last[-1].start) : 0;
}

size_t pa_census_read_pages(struct pa_census_input *input, uint64_t address,
			    void *buffer, size_t n, pa_census_page_reader *read)
{
	size_t done = 0, got = 0, k = 0;

	while (done < n && got == k) {
		k = PA_CENSUS_PAGE - (address + done) % PA_CENSUS_PAGE;
		k = k < n - done ? k : n - done;
		got = read(input, address + done, (char *)buffer + done, k);
		done += got;
	}
	return done;
}

int pa_census_add_run(struct pa_census_input *input, uint64_t start,
		      uint64_t end)
{
	struct pa_census_run *last = input->n_runs ?
		&input->runs[input->n_runs - 1] : NULL;

	if (last && last->end == start) {
		last->end = end;
		return 0;
	}
	if (!input->runs || input->n_runs == input->room_runs) {
		size_t room = input->room_runs * 2 + 1024;
		struct pa_census_run *more = room > RUNS_MAX ? NULL :
			reallocarray(input->runs, room, sizeof *more);

		if (!more)
			return -1;
		input->runs = more;
		input->room_runs = room;
		last = input->n_runs ? &more[input->n_runs - 1] : NULL;
	}
	input->runs[input->n_runs++] = (struct pa_census_run){
		.start = start, .end = end,
		.before = last ? last->before + (last->end - last->start) : 0,
	};
	return 0;
}

static bool is_one_memory(const struct pa_census_range *a,
			  const struct pa_census_range *b)
{
	return a->end == b->start && a->kind == b->kind &&
		a->writable == b->writable &&
		(a->kind == PA_RANGE_ANON || a->kind == PA_RANGE_HEAP);
}

/* In a core: the zeros behind the data of the program, which is the lowest
 * file.  Where addresses are not random the heap follows, and a core does not
 * tell its name. */
static bool are_zeros(const struct pa_census_input *input, size_t i)
{
	const struct pa_census_range *first = input->ranges, *range = &first[i];

	return !input->source.live && i && range[-1].end == range->start &&
		range[-1].name && first->name &&
		!strcmp(range[-1].name, first->name);
}

void pa_census_join_ranges(struct pa_census_input *input)
{
	struct pa_census_range *range = input->ranges;
	size_t n = 0;

	for (size_t i = 0; i < input->source.n_ranges; i++) {
		if (n && is_one_memory(&range[n - 1], &range[i]) &&
		    !are_zeros(input, n - 1)) {
			range[n - 1].end = range[i].end;
			range[n - 1].resident += range[i].resident;
			range[n - 1].swapped += range[i].swapped;
			continue;
		}
		range[n++] = range[i];
	}
	input->source.n_ranges = n;
}

void pa_census_note_file(struct pa_census_input *input, const char *path)
{
	static const char *const known[] = {
		"jemalloc", "tcmalloc", "mimalloc", "libsnmalloc",
	};
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strstr(base, known[i]))
			snprintf(input->allocator, sizeof input->allocator,
				 "%s", known[i]);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void pa_census_forget(struct pa_census_input *input)
{
	for (size_t i = 0; i < input->n_maps; i++) {
		if (input->maps[i].tried)
			close_fd(&input->maps[i].fd);
		free(input->maps[i].path);
	}
	free(input->maps);
	free(input->ranges);
	free(input->runs);
	input->maps = NULL;
	input->ranges = NULL;
	input->runs = NULL;
	input->n_maps = input->n_runs = input->room_runs = 0;
}

void pa_census_close(struct pa_census_input *input)
{
	pa_census_forget(input);
	if (input->copy)
		munmap(input->copy, input->copy_room);
	input->copy = NULL;
	close_fd(&input->dir);
	close_fd(&input->mem);
	close_fd(&input->pagemap);
	pa_core_close(&input->core);
	close_fd(&input->core_fd);
}
