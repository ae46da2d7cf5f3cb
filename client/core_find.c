/* SPDX-License-Identifier: MIT
 *
 * The search for the directory; see core_find.h.  It must accept a page only
 * if magic, own address, byte order, version and CRC are right: copies of a
 * directory, and pages that look like one, are in many cores.
 */
#include "client/core_parts.h"

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

int pa_core_fail_hint(struct pa_diag *diag, int err, const char *hint,
		      const char *text)
{
	pa_fail(diag, err, "%s", text);
	if (diag)
		snprintf(diag->hint, sizeof diag->hint, "%s", hint);
	return err;
}

/* ---- one candidate ---- */

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
static bool is_better(const struct pa_core_search *s, const struct pa_directory *d)
{
	const struct pa_directory *b = &s->best;
	bool same = (pid_t)d->pid == s->core->pid;
	bool best_same = (pid_t)b->pid == s->core->pid;

	if (!s->found || pa_core_is_attached(d) != pa_core_is_attached(b))
		return !s->found || pa_core_is_attached(d);
	if (same != best_same)
		return same;
	if (d->attach_generation != b->attach_generation)
		return d->attach_generation > b->attach_generation;
	return d->attached_realtime_ns > b->attached_realtime_ns;
}

void pa_core_consider(struct pa_core_search *s, uint64_t address,
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

static void look(struct pa_core_search *s, uint64_t address, const char *how)
{
	struct pa_directory d;

	if (pa_core_read(s->core, address, &d, 16) == PA_CORE_THERE &&
	    pa_image_has_magic(&d, 16) &&
	    pa_core_read(s->core, address, &d, sizeof d) == PA_CORE_THERE)
		pa_core_consider(s, address, &d, how);
}

/* ---- where to look ---- */

static void look_at_slots(struct pa_core_search *s)
{
	for (unsigned k = 0; k < PA_SLOT_COUNT; k++)
		look(s, pa_core_slot(k), "low slot");
}

static void look_at_starts(struct pa_core_search *s)
{
	for (size_t i = 0; i < s->core->n_segments; i++)
		if (s->core->segments[i].present >=
		    sizeof(struct pa_directory))
			look(s, s->core->segments[i].address,
			     "start of a segment");
}

/* From the descriptor of our note to the anchor, and from there on. */
static void follow_note(struct pa_core_search *s, uint64_t descriptor,
			const unsigned char *bytes)
{
	int64_t way;
	uint64_t directory;

	memcpy(&way, bytes, sizeof way);
	if (pa_core_read(s->core, descriptor + (uint64_t)way, &directory,
			 sizeof directory) == PA_CORE_THERE)
		look(s, directory, "ELF note");
}

static void look_in_notes(struct pa_core_search *s, uint64_t base,
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

static void look_in_elf(struct pa_core_search *s, uint64_t base, uint64_t present)
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

static void look_by_note(struct pa_core_search *s)
{
	if (s->found)
		return;
	for (size_t i = 0; i < s->core->n_segments; i++)
		look_in_elf(s, s->core->segments[i].address,
			    s->core->segments[i].present);
}

static void look_by_steps(struct pa_core_search *s)
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
static void look_at_pages_of(struct pa_core_search *s, unsigned char *block,
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

static void look_at_pages(struct pa_core_search *s)
{
	unsigned char *block = malloc(BLOCK);

	for (size_t i = 0; block && i < s->core->n_segments; i++)
		look_at_pages_of(s, block, &s->core->segments[i]);
	free(block);
}

/* ---- the door ---- */

static void search_file(struct pa_core_search *s,
			const struct pa_core_question *question)
{
	static void (*const steps[])(struct pa_core_search *) = {
		look_at_slots, look_at_starts, look_by_note, look_by_steps,
		look_at_pages,
	};
	size_t n = sizeof steps / sizeof steps[0] - !question->full;

	if (question->address) {
		look(s, question->address, "given");
		return;
	}
	for (size_t i = 0; i < n && !(s->found && pa_core_is_attached(&s->best)); i++)
		steps[i](s);
}

int pa_core_find(struct pa_core *core, const struct pa_core_question *question,
		 struct pa_directory *directory, struct pa_core_facts *facts,
		 struct pa_diag *diag)
{
	struct pa_core_search *s = calloc(1, sizeof *s);
	int err = 0;

	if (!s)
		return pa_fail(diag, PA_E_READ, "no memory");
	s->core = core;
	s->diag = diag;
	if (core->stream && (question->address || question->full))
		err = pa_core_fail_hint(diag, PA_E_USAGE, "save the core to a "
				 "file first", "--address and --full need a "
				 "file: a pipe comes by once");
	else if (core->stream)
		err = pa_core_take_stream(s);
	else
		search_file(s, question);
	if (!err && !s->found)
		err = question->address && !core->stream ?
			pa_core_explain_given(s, question->address) : pa_core_explain(s);
	if (!err) {
		*directory = s->best;
		facts->address = s->best_address;
		snprintf(facts->how, sizeof facts->how, "%s", s->how);
	}
	free(s);
	return err;
}
