/* SPDX-License-Identifier: MIT
 *
 * A census of one moment: stop the process, copy what it holds, let it go,
 * count the copy; see census_input.h.
 *
 * Nothing is done while it is stopped that could be done before or after.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/census_input.h"
#include "client/census_pause.h"
#include "client/process.h"

#define PIECE ((size_t)4 << 20)	/* between two looks at the clock */
#define SLOWEST 1.5		/* bytes a nanosecond, of copying */
#define START_NS 1000000.0	/* of stopping, with few threads */
#define SLACK ((uint64_t)8 << 20)

/* Of what was copied from the copy; the rest, constants of files, as ever. */
static size_t read_copy(void *context, uint64_t address, void *buffer,
			size_t n)
{
	struct pa_census_input *input = context;
	size_t i = pa_census_run_at(input, address), done = 0;

	if (i == input->n_runs || address < input->runs[i].start)
		return input->copied_read(context, address, buffer, n);
	/* neighbouring runs are one, so that none goes on behind it */
	done = input->runs[i].end - address < n ?
		(size_t)(input->runs[i].end - address) : n;
	memcpy(buffer, input->copy + input->runs[i].before +
	       (address - input->runs[i].start), done);
	return done;
}

/* What could not be read becomes zeros: it went away meanwhile. */
static bool copy_runs(struct pa_census_input *input,
		      const struct pa_pause *pause)
{
	for (size_t i = 0; i < input->n_runs; i++) {
		const struct pa_census_run *run = &input->runs[i];

		for (uint64_t at = run->start; at < run->end; ) {
			uint64_t n = run->end - at < PIECE ? run->end - at :
				PIECE;

			if (pa_pause_is_over(pause))
				return false;
			input->source.read(input->source.context, at,
					   input->copy + run->before +
					   (at - run->start), (size_t)n);
			at += n;
		}
	}
	return true;
}

static int make_room(struct pa_census_input *input, struct pa_diag *diag)
{
	uint64_t size = pa_census_bytes_of_runs(input);

	/* faults while it is stopped would be on its time */
	input->copy_room = (size_t)(size + size / 16 + SLACK);
	input->copy = mmap(NULL, input->copy_room, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (input->copy == MAP_FAILED) {
		input->copy = NULL;
		return pa_fail(diag, PA_E_FAILED, "no memory for a copy of "
			       "%llu MiB", (unsigned long long)size >> 20);
	}
	/* the holder is a fork of ours and needs none of it */
	madvise(input->copy, input->copy_room, MADV_DONTFORK);
	return 0;
}

static int check_estimate(const struct pa_census_input *input,
			  uint64_t limit_ns, uint64_t ranges_ns,
			  struct pa_diag *diag)
{
	double size = (double)pa_census_bytes_of_runs(input);
	double estimate = START_NS + (double)ranges_ns + size / SLOWEST;

	if (estimate <= (double)limit_ns)
		return 0;
	pa_fail(diag, PA_E_TIMEOUT, "copying %.0f MiB of process %d would "
		"stop it for about %.0f ms, more than --max-pause %.0fms "
		"allows", size / (1 << 20), (int)input->pid, estimate / 1e6,
		(double)limit_ns / 1e6);
	if (diag)
		snprintf(diag->hint, sizeof diag->hint, "give a longer "
			 "--max-pause, or leave out --pause");
	return PA_E_TIMEOUT;
}

static int copy_stopped(struct pa_census_input *input, uint64_t limit_ns,
			struct pa_diag *diag)
{
	struct pa_pause pause;
	int err = pa_pause_begin(&pause, input->pid, limit_ns, diag), late;
	bool whole = false, fits = false;

	if (err)
		return err;
	err = pa_census_read_again(input, diag);
	if (!err) {
		fits = pa_census_bytes_of_runs(input) <= input->copy_room;
		whole = fits && copy_runs(input, &pause);
	}
	late = pa_pause_end(&pause, &input->paused_ns, diag);
	if (err || late)
		return err ? err : late;
	if (!fits)
		return pa_fail(diag, PA_E_FAILED, "process %d grew faster than "
			       "it could be copied", (int)input->pid);
	return whole ? 0 : pa_fail(diag, PA_E_TIMEOUT, "process %d could not "
				   "be copied within --max-pause",
				   (int)input->pid);
}

int pa_census_pause(struct pa_census_input *input, uint64_t limit_ns,
		    struct pa_diag *diag)
{
	uint64_t begin = pa_now_ns();
	int err = pa_census_read_again(input, diag);

	if (!err)
		err = check_estimate(input, limit_ns, pa_now_ns() - begin,
				     diag);
	if (!err)
		err = make_room(input, diag);
	if (!err)
		err = copy_stopped(input, limit_ns, diag);
	if (err)
		return err;
	input->copied_read = input->source.read;
	input->source.read = read_copy;
	return 0;
}
