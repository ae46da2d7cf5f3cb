/* SPDX-License-Identifier: MIT
 *
 * The directory and its regions out of a core that comes through a pipe; see
 * core_find.h.  What has gone by cannot be had again, and no more must be
 * read than the table needs.
 */
#include "client/core_parts.h"

#include <stdlib.h>
#include <string.h>

static int by_offset(const void *left, const void *right)
{
	const struct pa_core_segment *a = left, *b = right;

	return (a->offset > b->offset) - (a->offset < b->offset);
}

/* Keep the part of a region that lies in a segment. */
static int keep_part(struct pa_core *core, const struct pa_core_segment *g,
		     uint64_t first, uint64_t end)
{
	struct pa_core_piece piece = { .address = first,
				       .length = end - first };
	uint64_t offset = g->offset + (first - g->address);
	struct pa_core_piece *kept;
	int err;

	if (core->n_pieces == PA_CORE_PIECES)
		return 0;	/* the rest counts as lost */
	if (pa_core_gone_by(core, offset, piece.length))
		return pa_core_fail_hint(core->diag, PA_E_NO_TABLE, "save the core to "
				 "a file first", "the table has gone by before "
				 "its directory came");
	piece.bytes = calloc(1, piece.length);
	if (!piece.bytes)
		return pa_core_fail_hint(core->diag, PA_E_READ, "free some memory",
				 "no memory");
	kept = &core->piece[core->n_pieces++];
	*kept = piece;
	err = pa_core_stream(core, offset, piece.bytes, piece.length);
	if (err == PA_E_TRUNCATED) {
		kept->length = core->size > offset ? core->size - offset : 0;
		err = 0;
	}
	return err;
}

/* The regions that lie in a segment, in order of their addresses. */
static int keep_regions(struct pa_core *core, const struct pa_directory *d,
			const struct pa_core_segment *g)
{
	int set = pa_image_pick_set(d);
	uint64_t at = g->address, stop = g->address + g->present;

	while (set >= 0 && at < stop) {
		uint64_t first = stop, end = stop;

		for (unsigned i = 0; i < d->set[set].n_regions; i++) {
			const struct pa_region *r = &d->set[set].region[i];
			uint64_t n = d->count[set][i];
			uint64_t from = r->address > at ? r->address : at;

			if (n > r->capacity || !r->elem_size ||
			    n > PA_IMAGE_BYTES_MAX / r->elem_size)
				continue;
			n *= r->elem_size;
			if (r->address + n <= at || from >= first)
				continue;
			first = from;
			end = r->address + n < stop ? r->address + n : stop;
		}
		if (first >= stop)
			break;
		if (core->n_pieces < PA_CORE_PIECES) {
			int err = keep_part(core, g, first, end);

			if (err)
				return err;
		}
		at = end;
	}
	return 0;
}

/* The first page of a segment as it comes by. */
static int take_start(struct pa_core_search *s, const struct pa_core_segment *g)
{
	struct pa_directory d;
	int err;

	memset(&d, 0, sizeof d);
	if (g->present < sizeof d ||
	    pa_core_gone_by(s->core, g->offset, sizeof d))
		return 0;
	err = pa_core_stream(s->core, g->offset, &d, sizeof d);
	if (err)
		return err;
	pa_core_consider(s, g->address, &d, g->address >= PA_SLOT_FIRST &&
		 g->address <= pa_core_slot(PA_SLOT_COUNT - 1) &&
		 !((g->address - PA_SLOT_FIRST) % PA_SLOT_STEP) ?
		 "low slot" : "start of a segment");
	return 0;
}

/* Segments in the order of the file: first until the directory comes, then
 * until the last region is complete. */
int pa_core_take_stream(struct pa_core_search *s)
{
	struct pa_core *core = s->core;
	size_t n = core->n_segments, i = 0;
	struct pa_core_segment *order = calloc(n + 1, sizeof *order);
	int err = order ? 0 : PA_E_READ;

	if (!err && n) {
		memcpy(order, core->segments, n * sizeof *order);
		qsort(order, n, sizeof *order, by_offset);
	}
	while (!err && i < n && !(s->found && (pa_core_is_attached(&s->best) ||
	       s->best.state == PA_STATE_FORKED)))
		err = take_start(s, &order[i++]);
	/* Regions before the directory are gone: keep_part says so. */
	for (size_t k = 0; !err && s->found && k < n; k++) {
		/* The directory's own segment has been begun already. */
		if (order[k].address != s->best_address)
			err = keep_regions(core, &s->best, &order[k]);
	}
	free(order);
	if (err == PA_E_TRUNCATED) {
		core->truncated = true;
		err = 0;
	}
	return err;
}
