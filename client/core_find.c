/* SPDX-License-Identifier: MIT
 *
 * The search for the directory; see core_find.h.  It must accept a page only
 * if magic, own address, byte order, version and CRC are right: copies of a
 * directory, and pages that look like one, are in many cores.
 */
#include "client/core_find.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define PROBE_STEP ((uint64_t)2 << 20)
#define PROBES_MAX (1u << 20)
#define BLOCK ((size_t)1 << 20)

#define HINT_FILTER "bit 0 of /proc/PID/coredump_filter must be set before " \
	"the next dump: echo 0x33 > /proc/PID/coredump_filter"
#define HINT_SIZE "get a complete core: raise `ulimit -c`, or ProcessSizeMax " \
	"and ExternalSizeMax of systemd-coredump"
#define HINT_ATTACH "only a process that was attached when it died has a " \
	"table: pyattach-sample PID"
#define HINT_OTHER "look for another core of the same process"

struct search {
	struct pa_core *core;
	struct pa_diag *diag;
	bool found;
	struct pa_directory best;
	uint64_t best_address;
	const char *how;		/* of the best */
	int rejected;			/* PA_E_* of the first one with magic */
	uint64_t rejected_address;
	char rejected_text[96];
};

static int fail_hint(struct pa_diag *diag, int err, const char *hint,
		     const char *text)
{
	pa_fail(diag, err, "%s", text);
	if (diag)
		snprintf(diag->hint, sizeof diag->hint, "%s", hint);
	return err;
}

/* ---- one candidate ---- */

static bool is_attached(const struct pa_directory *d)
{
	return d->state == PA_STATE_ATTACHED;
}

static int judge(const struct pa_directory *d, uint64_t address, char *text,
		 size_t size)
{
	size_t n = offsetof(struct pa_directory, identity_crc);

	if (d->endian != PA_IMAGE_ENDIAN)
		snprintf(text, size, "another byte order");
	else if (d->major > PA_IMAGE_MAJOR)
		snprintf(text, size, "format %u.%u, this tool knows %u",
			 d->major, d->minor, PA_IMAGE_MAJOR);
	else if (d->major != PA_IMAGE_MAJOR || d->header_size < PA_IMAGE_HEADER_MIN)
		snprintf(text, size, "its header makes no sense");
	else if ((uint32_t)crc32_z(0, (const void *)d, n) != d->identity_crc)
		snprintf(text, size, "its checksum is wrong");
	else if (d->self != address)
		snprintf(text, size, "a copy of the one at 0x%" PRIx64,
			 d->self);
	else
		return 0;
	return d->endian == PA_IMAGE_ENDIAN && d->major > PA_IMAGE_MAJOR ?
		PA_E_FUTURE_IMAGE : PA_E_DAMAGED;
}

/* Attached before not, the pid of the core before others, later attaches
 * before earlier ones. */
static bool is_better(const struct search *s, const struct pa_directory *d)
{
	const struct pa_directory *b = &s->best;
	bool same = (pid_t)d->pid == s->core->pid;
	bool best_same = (pid_t)b->pid == s->core->pid;

	if (!s->found || is_attached(d) != is_attached(b))
		return !s->found || is_attached(d);
	if (same != best_same)
		return same;
	if (d->attach_generation != b->attach_generation)
		return d->attach_generation > b->attach_generation;
	return d->attached_realtime_ns > b->attached_realtime_ns;
}

static void consider(struct search *s, uint64_t address,
		     const struct pa_directory *d, const char *how)
{
	char text[sizeof s->rejected_text];
	int err;

	if (!pa_image_has_magic(d, sizeof *d))
		return;
	err = judge(d, address, text, sizeof text);
	if (!err && (!s->found || address != s->best_address) &&
	    is_better(s, d)) {
		s->best = *d;
		s->best_address = address;
		s->how = how;
		s->found = true;
	} else if (err && !s->rejected) {
		s->rejected = err;
		s->rejected_address = address;
		memcpy(s->rejected_text, text, sizeof text);
	}
}

static void look(struct search *s, uint64_t address, const char *how)
{
	struct pa_directory d;

	if (pa_core_read(s->core, address, &d, 16) == PA_CORE_THERE &&
	    pa_image_has_magic(&d, 16) &&
	    pa_core_read(s->core, address, &d, sizeof d) == PA_CORE_THERE)
		consider(s, address, &d, how);
}

/* ---- where to look ---- */

static uint64_t slot_address(unsigned k)
{
	return PA_SLOT_FIRST + k * PA_SLOT_STEP;
}

static void look_at_slots(struct search *s)
{
	for (unsigned k = 0; k < PA_SLOT_COUNT; k++)
		look(s, slot_address(k), "low slot");
}

static void look_at_starts(struct search *s)
{
	for (size_t i = 0; i < s->core->n_segments; i++)
		if (s->core->segments[i].present >=
		    sizeof(struct pa_directory))
			look(s, s->core->segments[i].address,
			     "start of a segment");
}

/* From the descriptor of our note to the anchor, and from there on. */
static void follow_note(struct search *s, uint64_t descriptor,
			const unsigned char *bytes)
{
	int64_t way;
	uint64_t directory;

	memcpy(&way, bytes, sizeof way);
	if (pa_core_read(s->core, descriptor + (uint64_t)way, &directory,
			 sizeof directory) == PA_CORE_THERE)
		look(s, directory, "ELF note");
}

static void look_in_notes(struct search *s, uint64_t base,
			  const unsigned char *page, uint64_t at,
			  uint64_t end)
{
	while (at + sizeof(Elf64_Nhdr) <= end) {
		Elf64_Nhdr note;
		uint64_t name = at + sizeof note, body;

		memcpy(&note, page + at, sizeof note);
		body = name + ((note.n_namesz + 3ull) & ~3ull);
		if (body > end || note.n_descsz > end - body)
			return;
		if (note.n_type == PA_NOTE_ANCHOR && note.n_descsz >= 8 &&
		    note.n_namesz == sizeof PA_NOTE_OWNER &&
		    !memcmp(page + name, PA_NOTE_OWNER, sizeof PA_NOTE_OWNER))
			follow_note(s, base + body, page + body);
		at = body + ((note.n_descsz + 3ull) & ~3ull);
	}
}

static void look_in_elf(struct search *s, uint64_t base, uint64_t present)
{
	unsigned char page[PA_IMAGE_PAGE];
	size_t n = present < sizeof page ? present : sizeof page;
	Elf64_Ehdr e;

	if (n < sizeof e || pa_core_read(s->core, base, page, n))
		return;
	memcpy(&e, page, sizeof e);
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) ||
	    e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phoff > n ||
	    e.e_phentsize != sizeof(Elf64_Phdr))
		return;
	for (unsigned i = 0; i < e.e_phnum; i++) {
		uint64_t at = e.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr p;

		if (at + sizeof p > n)
			return;
		memcpy(&p, page + at, sizeof p);
		if (p.p_type == PT_NOTE && p.p_offset < n)
			look_in_notes(s, base, page, p.p_offset,
				      p.p_filesz < n - p.p_offset ?
				      p.p_offset + p.p_filesz : n);
	}
}

static void look_by_note(struct search *s)
{
	if (s->found)
		return;
	for (size_t i = 0; i < s->core->n_segments; i++)
		look_in_elf(s, s->core->segments[i].address,
			    s->core->segments[i].present);
}

static void look_by_steps(struct search *s)
{
	unsigned left = PROBES_MAX;

	if (s->found)
		return;
	for (size_t i = 0; i < s->core->n_segments; i++) {
		const struct pa_core_segment *g = &s->core->segments[i];
		uint64_t end = g->address + g->present;
		uint64_t at = (g->address + PROBE_STEP - 1) / PROBE_STEP *
			PROBE_STEP;

		for (; at >= g->address && at < end && left; left--) {
			look(s, at, "2 MiB probe");
			at += PROBE_STEP;
		}
	}
}

/* Every page of a segment that is in the file; holes are stepped over. */
static void look_at_pages_of(struct search *s, unsigned char *block,
			     const struct pa_core_segment *g)
{
	uint64_t present = pa_core_present(s->core, g), at = 0;

	while (at < present) {
		off_t data = lseek(s->core->fd, (off_t)(g->offset + at),
				   SEEK_DATA);
		uint64_t n;

		if (data < 0 && errno != EINVAL)
			return;
		if (data >= 0 && (uint64_t)data > g->offset + at)
			at = ((uint64_t)data - g->offset) / PA_IMAGE_PAGE *
				PA_IMAGE_PAGE;
		if (at >= present)
			return;
		n = present - at < BLOCK ? present - at : BLOCK;
		pa_core_salvage(s->core, g->address + at, block, n);
		for (uint64_t in = 0; in + 16 <= n; in += PA_IMAGE_PAGE)
			if (pa_image_has_magic(block + in, 16))
				look(s, g->address + at + in, "full scan");
		at += n;
	}
}

static void look_at_pages(struct search *s)
{
	unsigned char *block = malloc(BLOCK);

	for (size_t i = 0; block && i < s->core->n_segments; i++)
		look_at_pages_of(s, block, &s->core->segments[i]);
	free(block);
}

/* ---- why there is none ---- */

static int explain_slots(const struct search *s)
{
	struct pa_directory page;
	char text[160];

	for (unsigned k = 0; k < PA_SLOT_COUNT; k++) {
		uint64_t at = slot_address(k);

		switch (pa_core_read(s->core, at, &page, sizeof page)) {
		case PA_CORE_UNMAPPED:
			break;
		case PA_CORE_NOT_DUMPED:
			snprintf(text, sizeof text, "the trace table at 0x%"
				 PRIx64 " was not dumped into this core", at);
			return fail_hint(s->diag, PA_E_NO_TABLE, HINT_FILTER,
					 text);
		case PA_CORE_CUT:
			snprintf(text, sizeof text, "the trace table at 0x%"
				 PRIx64 " is cut off: this core is incomplete",
				 at);
			return fail_hint(s->diag, PA_E_TRUNCATED, HINT_SIZE,
					 text);
		case PA_CORE_THERE:
			snprintf(text, sizeof text, "the page at 0x%" PRIx64
				 ", where a trace table would be, holds none: "
				 "it is damaged", at);
			return fail_hint(s->diag, PA_E_DAMAGED, HINT_OTHER,
					 text);
		}
	}
	return 0;
}

static bool nothing_dumped(const struct pa_core *core)
{
	for (size_t i = 0; i < core->n_segments; i++)
		if (core->segments[i].present)
			return false;
	return core->n_segments > 0;
}

static int explain(const struct search *s)
{
	const struct pa_core *core = s->core;
	char text[200];
	int err;

	if (s->rejected) {
		snprintf(text, sizeof text, "the trace table at 0x%" PRIx64
			 " cannot be used: %s", s->rejected_address,
			 s->rejected_text);
		return fail_hint(s->diag, s->rejected, HINT_OTHER, text);
	}
	err = explain_slots(s);
	if (err)
		return err;
	if (core->truncated)
		return fail_hint(s->diag, PA_E_TRUNCATED, HINT_SIZE, "no "
				 "trace table in the part of this core that "
				 "is there");
	if (core->payload_named)
		return fail_hint(s->diag, PA_E_NO_TABLE, HINT_FILTER,
				 "the payload was loaded, but its trace table "
				 "is not in this core");
	if (nothing_dumped(core))
		return fail_hint(s->diag, PA_E_NO_TABLE, HINT_FILTER, "no "
				 "memory at all was dumped into this core");
	if (core->pid)
		snprintf(text, sizeof text, "no trace table in this core: "
			 "nothing was attached to process %d",
			 (int)core->pid);
	else
		snprintf(text, sizeof text, "no trace table in this core: "
			 "nothing was attached");
	return fail_hint(s->diag, PA_E_NO_TABLE, HINT_ATTACH, text);
}

static int explain_given(const struct search *s, uint64_t address)
{
	static const char *const why[] = {
		[PA_CORE_THERE] = "no directory",
		[PA_CORE_UNMAPPED] = "not mapped",
		[PA_CORE_NOT_DUMPED] = "not dumped", [PA_CORE_CUT] = "cut off",
	};
	struct pa_directory d;
	enum pa_core_why is = pa_core_read(s->core, address, &d, sizeof d);

	char text[200];

	snprintf(text, sizeof text, "no trace table at 0x%" PRIx64 ": %s",
		 address, s->rejected ? s->rejected_text : why[is]);
	return fail_hint(s->diag, s->rejected ? s->rejected : PA_E_NO_TABLE,
			 "leave out --address to search", text);
}

/* ---- a pipe ---- */

int pa_core_pick_set(const struct pa_directory *d)
{
	int best = -1;

	for (int i = 0; i < 2; i++) {
		const struct pa_set *set = &d->set[i];
		uint32_t crc = (uint32_t)crc32_z(0, (const void *)set,
						 offsetof(struct pa_set, crc));

		crc = (uint32_t)crc32_z(crc, (const void *)set->region,
					sizeof set->region);
		if (crc == set->crc &&
		    set->n_regions <= PA_IMAGE_REGIONS &&
		    (best < 0 || set->generation > d->set[best].generation))
			best = i;
	}
	return best;
}

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
	if (offset < core->size)
		return fail_hint(core->diag, PA_E_NO_TABLE, "save the core to "
				 "a file first", "the table has gone by before "
				 "its directory came");
	piece.bytes = calloc(1, piece.length);
	if (!piece.bytes)
		return fail_hint(core->diag, PA_E_READ, "free some memory",
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
	int set = pa_core_pick_set(d);
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
static int take_start(struct search *s, const struct pa_core_segment *g)
{
	struct pa_directory d;
	int err;

	memset(&d, 0, sizeof d);
	if (g->present < sizeof d || g->offset < s->core->size)
		return 0;
	err = pa_core_stream(s->core, g->offset, &d, sizeof d);
	if (err)
		return err;
	consider(s, g->address, &d, g->address >= PA_SLOT_FIRST &&
		 g->address <= slot_address(PA_SLOT_COUNT - 1) &&
		 !((g->address - PA_SLOT_FIRST) % PA_SLOT_STEP) ?
		 "low slot" : "start of a segment");
	return 0;
}

/* Segments in the order of the file: first until the directory comes, then
 * until the last region is complete. */
static int take_stream(struct search *s)
{
	struct pa_core *core = s->core;
	size_t n = core->n_segments, i = 0;
	struct pa_core_segment *order = calloc(n + 1, sizeof *order);
	int err = order ? 0 : PA_E_READ;

	if (!err && n) {
		memcpy(order, core->segments, n * sizeof *order);
		qsort(order, n, sizeof *order, by_offset);
	}
	while (!err && i < n && !(s->found && (is_attached(&s->best) ||
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

/* ---- the door ---- */

static void search_file(struct search *s,
			const struct pa_core_question *question)
{
	static void (*const steps[])(struct search *) = {
		look_at_slots, look_at_starts, look_by_note, look_by_steps,
		look_at_pages,
	};
	size_t n = sizeof steps / sizeof steps[0] - !question->full;

	if (question->address) {
		look(s, question->address, "given");
		return;
	}
	for (size_t i = 0; i < n && !(s->found && is_attached(&s->best)); i++)
		steps[i](s);
}

int pa_core_find(struct pa_core *core, const struct pa_core_question *question,
		 struct pa_directory *directory, struct pa_core_facts *facts,
		 struct pa_diag *diag)
{
	struct search *s = calloc(1, sizeof *s);
	int err = 0;

	if (!s)
		return pa_fail(diag, PA_E_READ, "no memory");
	s->core = core;
	s->diag = diag;
	if (core->stream)
		err = take_stream(s);
	else
		search_file(s, question);
	if (!err && !s->found)
		err = question->address && !core->stream ?
			explain_given(s, question->address) : explain(s);
	if (!err) {
		*directory = s->best;
		facts->address = s->best_address;
		snprintf(facts->how, sizeof facts->how, "%s", s->how);
	}
	free(s);
	return err;
}
