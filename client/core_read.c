/* SPDX-License-Identifier: MIT
 *
 * From a core to a decoded image; see core_read.h.  It must not decode
 * records itself: that is image_read.c's.
 */
#include "client/core_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/core_find.h"
#include "client/human.h"

/* Threads that may be writing a record when a process dies. */
#define IN_FLIGHT_MAX 8u

bool pa_core_has_magic(const void *bytes, size_t length)
{
	return length >= 4 && !memcmp(bytes, "\x7f" "ELF", 4);
}

/* ---- the image as image_read.c wants it ---- */

struct core_reader {
	struct pa_reader reader;
	const struct pa_core *core;
	const struct pa_directory *directory;
	uint64_t *lost;
};

static int read_core(const struct pa_reader *reader, uint64_t at, void *buffer,
		     size_t n)
{
	const struct core_reader *r = (const struct core_reader *)reader;

	if (at == reader->directory && n == sizeof *r->directory)
		memcpy(buffer, r->directory, n);
	else
		*r->lost += pa_core_salvage(r->core, at, buffer, n);
	return 0;
}

static void *view_core(const struct pa_reader *reader, uint64_t at, size_t n)
{
	return pa_core_view(((const struct core_reader *)reader)->core, at, n);
}

/* What the directory counts and the table does not have. */
static void compare(struct pa_image *image)
{
	uint64_t have = image->n_live + image->torn + image->damaged;
	uint64_t stated = image->directory.samples_live;

	if (stated > have + IN_FLIGHT_MAX)
		image->damaged += stated - have;
}

/* A core has no time: the last sample's will do.  The exact totals are
 * some seconds old (doc/IMAGE.md); how much came since nobody knows. */
static void set_times(struct pa_directory *d)
{
	d->uncounted_max = UINT64_MAX;
	d->snapshot_realtime_ns = d->heartbeat_realtime_ns ?
		d->heartbeat_realtime_ns : d->attached_realtime_ns;
	d->snapshot_monotonic_ns = d->heartbeat_monotonic_ns ?
		d->heartbeat_monotonic_ns : d->attached_monotonic_ns;
	d->rss = 0;
}

/* ---- states ---- */

static int refuse_state(const struct pa_directory *d, struct pa_diag *diag)
{
	switch (d->state) {
	case PA_STATE_DETACHED:
		return pa_fail(diag, PA_E_NO_TABLE, "no samples: detached at "
			       "%s, attached from %s, %" PRIu64 " samples were "
			       "taken", pa_human_date(
			       d->detached_realtime_ns).s, pa_human_date(
			       d->attached_realtime_ns).s, d->samples_taken);
	case PA_STATE_FAILED:
		return pa_fail(diag, PA_E_NO_TABLE, "no samples: the last "
			       "attach failed: %.*s",
			       (int)sizeof d->start_text, d->start_text);
	default:
		return pa_fail(diag, PA_E_NO_TABLE, "no samples: the attach "
			       "had not finished");
	}
}

static void note_state(const struct pa_directory *d,
		       struct pa_core_facts *facts)
{
	if (d->state == PA_STATE_FORKED)
		snprintf(facts->note, sizeof facts->note, "copied by fork: "
			 "this is the table of the parent, process %u, at the "
			 "time of the fork", d->parent_pid);
	else if (facts->pid && facts->pid != (pid_t)d->pid)
		snprintf(facts->note, sizeof facts->note, "the table says "
			 "process %u, the core says %d: copied by a raw "
			 "clone, or another pid namespace", d->pid,
			 (int)facts->pid);
}

/* ---- the door ---- */

static int read_found(struct pa_core *core, const struct pa_directory *d,
		      struct pa_image *image, struct pa_core_facts *facts,
		      struct pa_diag *diag)
{
	uint64_t lost = 0;
	const struct core_reader reader = {
		.reader = { .read = read_core, .view = view_core,
			    .directory = facts->address },
		.core = core, .directory = d, .lost = &lost,
	};
	int err;

	if (d->state != PA_STATE_ATTACHED && d->state != PA_STATE_FORKED)
		return refuse_state(d, diag);
	note_state(d, facts);
	err = pa_image_read(&reader.reader, image, diag);
	if (err)
		return err;
	image->lost = lost;
	compare(image);
	set_times(&image->directory);
	return 0;
}

int pa_core_image(int fd, const void *start, size_t length,
		  const struct pa_core_question *question,
		  struct pa_image *image, struct pa_core_facts *facts,
		  struct pa_diag *diag)
{
	struct pa_directory directory;
	struct pa_core core;
	int err;

	memset(facts, 0, sizeof *facts);
	err = pa_core_open(&core, fd, start, length, question->silence_ns,
			   diag);
	if (!err) {
		facts->pid = core.pid;
		facts->signal = core.signal;
		err = pa_core_find(&core, question, &directory, facts, diag);
	}
	if (!err)
		err = read_found(&core, &directory, image, facts, diag);
	pa_core_close(&core);
	return err;
}
