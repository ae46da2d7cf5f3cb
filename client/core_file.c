/* SPDX-License-Identifier: MIT
 *
 * Core files; see core_file.h.  It must trust no number of the file: every
 * table is bounded by the bytes that are there.
 *
 * The headers are read with <elf.h> alone: a pipe cannot be mapped or read
 * twice, and of a cut core of more than 65534 segments, whose number stands
 * behind the last of them, libelf sees 65535.
 */
#include "client/core_file.h"

#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX ((size_t)128 << 20)	/* headers and notes */
#define SEGMENTS_MAX ((size_t)1 << 20)
#define NOTE_FILE 0x46494c45u
#define NOTES_MAX 1000000u
#define VIEW_MIN ((size_t)1 << 20)	/* less is sooner copied */

/* ---- bytes of the file ---- */

static int failed(const struct pa_core *core, int err, const char *text)
{
	return pa_fail(core->diag, err, "%s", text);
}

/* Is there something to read, or the end?  Bounded by the silence. */
static int wait_for_more(const struct pa_core *core)
{
	struct pollfd fd = { .fd = core->fd, .events = POLLIN };
	int n;

	do {
		n = poll(&fd, 1, (int)(core->silence_ns / 1000000));
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : failed(core, PA_E_TIMEOUT, "the core gave no data "
				  "in time");
}

/* Up to n bytes: how many, 0 at the end, or PA_E_*. */
static ssize_t stream_some(struct pa_core *core, void *buffer, size_t n)
{
	for (;;) {
		ssize_t got = read(core->fd, buffer, n);
		int err;

		if (got >= 0) {
			core->size += (uint64_t)got;
			return got;
		}
		if (errno == EAGAIN) {
			err = wait_for_more(core);
			if (err)
				return err;
		} else if (errno != EINTR) {
			return failed(core, PA_E_READ, strerror(errno));
		}
	}
}

bool pa_core_gone_by(const struct pa_core *core, uint64_t offset, uint64_t n)
{
	uint64_t left = offset < core->head_length ?
		core->head_length - offset : 0;

	return offset < core->size && left < n &&
		!(left && core->size == core->head_length);
}

int pa_core_stream(struct pa_core *core, uint64_t offset, void *buffer,
		   uint64_t n)
{
	static unsigned char waste[65536];
	uint64_t done = 0;

	if (pa_core_gone_by(core, offset, n))
		return PA_E_READ;
	if (offset < core->head_length) {
		done = core->head_length - offset;
		done = done < n ? done : n;
		if (buffer)
			memcpy(buffer, core->head + offset, done);
	}
	while (core->size < offset || done < n) {
		bool skip = core->size < offset;
		uint64_t want = skip ? offset - core->size : n - done;
		unsigned char *to = skip || !buffer ? waste :
			(unsigned char *)buffer + done;
		ssize_t got;

		if (to == waste && want > sizeof waste)
			want = sizeof waste;
		if (want > (uint64_t)1 << 20)
			want = (uint64_t)1 << 20;
		got = stream_some(core, to, (size_t)want);
		if (got < 0)
			return (int)got;
		if (!got)
			return PA_E_TRUNCATED;
		if (!skip)
			done += (uint64_t)got;
	}
	return 0;
}

/* n bytes at a place of a regular file; false where it ends before. */
static bool file_bytes(const struct pa_core *core, uint64_t at, void *buffer,
		       size_t n)
{
	size_t done = 0;

	if (at > INT64_MAX - n)
		return false;
	while (done < n) {
		ssize_t got = pread(core->fd, (char *)buffer + done, n - done,
				    (off_t)(at + done));

		if (got <= 0 && !(got < 0 && errno == EINTR))
			return false;
		if (got > 0)
			done += (size_t)got;
	}
	return true;
}

/* Make the first `length` bytes of the file lie in core->head; fewer where
 * it ends before. */
static int need_head(struct pa_core *core, uint64_t length)
{
	unsigned char *more;

	if (length <= core->head_length)
		return 0;
	if (length > HEAD_MAX)
		return failed(core, PA_E_DAMAGED, "the core is damaged: its "
			      "headers make no sense");
	if (!core->stream && length > core->size)
		length = core->size;
	if (length > core->head_room) {
		more = realloc(core->head, length);
		if (!more)
			return failed(core, PA_E_READ, strerror(ENOMEM));
		core->head = more;
		core->head_room = length;
	}
	while (core->head_length < length) {
		size_t n = length - core->head_length;
		ssize_t got;

		if (!core->stream) {
			if (!file_bytes(core, core->head_length,
					core->head + core->head_length, n))
				return failed(core, PA_E_READ,
					      strerror(errno));
			got = (ssize_t)n;
		} else {
			got = stream_some(core, core->head +
					  core->head_length, n);
		}
		if (got < 0)
			return (int)got;
		if (!got)
			break;
		core->head_length += (size_t)got;
	}
	return 0;
}

/* ---- headers ---- */

static int check_kind(const struct pa_core *core, const Elf64_Ehdr *e)
{
	if (core->head_length < sizeof *e)
		return failed(core, PA_E_TRUNCATED, "the core is cut short in "
			      "its header");
	if (memcmp(e->e_ident, ELFMAG, SELFMAG))
		return failed(core, PA_E_NO_IMAGE, "no ELF file");
	if (e->e_ident[EI_CLASS] != ELFCLASS64 ||
	    e->e_ident[EI_DATA] != ELFDATA2LSB)
		return failed(core, PA_E_NO_IMAGE, "an ELF file that is not "
			      "64-bit little-endian");
	if (e->e_type != ET_CORE)
		return failed(core, PA_E_NO_IMAGE, "an ELF file, but not a "
			      "core");
	if (e->e_phentsize != sizeof(Elf64_Phdr) || e->e_phoff > HEAD_MAX)
		return failed(core, PA_E_DAMAGED, "the core is damaged: its "
			      "header makes no sense");
	return 0;
}

/* More than 65534 segments: the number stands in section 0, behind all of
 * them in a core of the kernel's.  What follows the table says as much: the
 * notes, or in a core of gdb's the first segment. */
static size_t count_segments(const struct pa_core *core, const Elf64_Ehdr *e)
{
	uint64_t end = UINT64_MAX;
	Elf64_Shdr section;
	Elf64_Phdr p;

	if (e->e_phnum != PN_XNUM)
		return e->e_phnum;
	if (!core->stream && e->e_shoff && file_bytes(core, e->e_shoff,
						      &section,
						      sizeof section))
		return section.sh_info;
	for (uint64_t i = 0; i < 2; i++) {
		uint64_t at = e->e_phoff + i * sizeof p;

		if (at + sizeof p > core->head_length)
			break;
		memcpy(&p, core->head + at, sizeof p);
		if (p.p_offset < end)
			end = p.p_offset;
	}
	if (end == UINT64_MAX || end < e->e_phoff)
		return 0;
	return (end - e->e_phoff) / sizeof p;
}

static int by_address(const void *left, const void *right)
{
	const struct pa_core_segment *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

static void add_segment(struct pa_core *core, const Elf64_Phdr *p)
{
	if (p->p_vaddr > UINT64_MAX - p->p_memsz ||
	    p->p_offset > UINT64_MAX - p->p_filesz || !p->p_memsz)
		return;
	core->segments[core->n_segments++] = (struct pa_core_segment){
		.address = p->p_vaddr, .size = p->p_memsz,
		.present = p->p_filesz < p->p_memsz ? p->p_filesz :
			p->p_memsz,
		.offset = p->p_offset, .writable = p->p_flags & PF_W,
	};
	if (p->p_filesz && p->p_offset < core->first_memory)
		core->first_memory = p->p_offset;
	if (!core->stream && p->p_offset + p->p_filesz > core->size)
		core->truncated = true;
}

/* ---- notes ---- */

static bool names_payload(const char *names, size_t length)
{
	static const char *const words[] = {
		"/" PA_PAYLOAD_COPY, "/memfd:" PA_PAYLOAD_MEMFD,
		"/" PA_PAYLOAD_INSTALLED,
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (memmem(names, length, words[i], strlen(words[i])))
			return true;
	return false;
}

static void use_note(void *context, uint32_t type, const unsigned char *body,
		     size_t size)
{
	struct pa_core *core = context;
	int32_t number;
	int16_t half;

	if (type == NT_PRPSINFO && size >= 56 && !core->pid) {
		memcpy(&number, body + 24, sizeof number);
		core->pid = number;
	} else if (type == NT_PRSTATUS && size >= 36 && !core->signal) {
		memcpy(&half, body + 12, sizeof half);
		core->signal = half;
	} else if (type == NOTE_FILE) {
		core->payload_named |= names_payload((const char *)body, size);
	}
}

void pa_core_notes(const struct pa_core *core, pa_core_note *use,
		   void *context)
{
	size_t at = 0, end = core->notes_length;

	for (unsigned i = 0; i < NOTES_MAX && end - at >= sizeof(Elf64_Nhdr);
	     i++) {
		Elf64_Nhdr note;
		uint64_t body, next;

		memcpy(&note, core->notes + at, sizeof note);
		body = at + sizeof note + ((note.n_namesz + 3ull) & ~3ull);
		if (body > end || note.n_descsz > end - body)
			return;
		use(context, note.n_type, core->notes + body, note.n_descsz);
		next = body + ((note.n_descsz + 3ull) & ~3ull);
		at = next < end ? (size_t)next : end;
	}
}

/* Of a pipe only notes before the memory: those of a core of gdb's lie
 * behind it, and it would have gone by. */
static int keep_notes(struct pa_core *core, const Elf64_Phdr *p)
{
	uint64_t at = p->p_offset, n = p->p_filesz, end;
	unsigned char *more;
	int err;

	if (n > HEAD_MAX - core->notes_length ||
	    (core->stream && (at > core->first_memory || at > HEAD_MAX - n)))
		return 0;
	err = core->stream ? need_head(core, at + n) : 0;
	if (err)
		return err;
	end = core->stream ? core->head_length : core->size;
	if (at >= end)
		return 0;
	n = n < end - at ? n : end - at;
	more = realloc(core->notes, core->notes_length + n);
	if (!more)
		return failed(core, PA_E_READ, strerror(ENOMEM));
	core->notes = more;
	more += core->notes_length;
	if (core->stream)
		memcpy(more, core->head + at, n);
	else if (!file_bytes(core, at, more, n))
		return failed(core, PA_E_READ, strerror(errno));
	core->notes_length += n;
	return 0;
}

/* ---- open ---- */

static int read_table(struct pa_core *core, const Elf64_Ehdr *e)
{
	size_t n = count_segments(core, e);
	uint64_t end = e->e_phoff + n * sizeof(Elf64_Phdr);
	int err;

	if (n > SEGMENTS_MAX)
		return failed(core, PA_E_DAMAGED, "the core is damaged: too "
			      "many segments");
	err = need_head(core, end);
	if (err)
		return err;
	if (core->head_length < end) {
		n = (core->head_length - e->e_phoff) / sizeof(Elf64_Phdr);
		if (core->head_length < e->e_phoff)
			n = 0;
		core->truncated = true;
	}
	core->segments = calloc(n + 1, sizeof *core->segments);
	if (!core->segments)
		return failed(core, PA_E_READ, strerror(ENOMEM));
	for (size_t i = 0; i < n; i++) {
		Elf64_Phdr p;

		memcpy(&p, core->head + e->e_phoff + i * sizeof p, sizeof p);
		if (p.p_type == PT_LOAD)
			add_segment(core, &p);
	}
	for (size_t i = 0; i < n; i++) {
		Elf64_Phdr p;

		memcpy(&p, core->head + e->e_phoff + i * sizeof p, sizeof p);
		err = p.p_type == PT_NOTE && p.p_filesz ?
			keep_notes(core, &p) : 0;
		if (err)
			return err;
	}
	pa_core_notes(core, use_note, core);
	qsort(core->segments, core->n_segments, sizeof *core->segments,
	      by_address);
	return 0;
}

int pa_core_open(struct pa_core *core, int fd, const void *start,
		 size_t length, uint64_t silence_ns, struct pa_diag *diag)
{
	Elf64_Ehdr e;
	struct stat st;
	int err;

	memset(core, 0, sizeof *core);
	core->fd = fd;
	core->diag = diag;
	core->silence_ns = silence_ns;
	core->first_memory = UINT64_MAX;
	if (fstat(fd, &st))
		return failed(core, PA_E_READ, strerror(errno));
	core->stream = !S_ISREG(st.st_mode);
	core->size = core->stream ? length : (uint64_t)st.st_size;
	if (core->stream && length) {
		core->head = malloc(length);
		if (!core->head)
			return failed(core, PA_E_READ, strerror(ENOMEM));
		memcpy(core->head, start, length);
		core->head_length = core->head_room = length;
	}
	err = need_head(core, sizeof e + 2 * sizeof(Elf64_Phdr));
	if (err)
		return err;
	memset(&e, 0, sizeof e);
	if (core->head_length)	/* nothing was read of an empty pipe */
		memcpy(&e, core->head, core->head_length < sizeof e ?
		       core->head_length : sizeof e);
	err = check_kind(core, &e);
	return err ? err : read_table(core, &e);
}

void pa_core_close(struct pa_core *core)
{
	for (unsigned i = 0; i < core->n_pieces; i++)
		free(core->piece[i].bytes);
	free(core->segments);
	free(core->head);
	free(core->notes);
	core->segments = NULL;
	core->head = NULL;
	core->notes = NULL;
	core->n_pieces = 0;
	core->n_segments = 0;
}

/* ---- the memory ---- */

uint64_t pa_core_present(const struct pa_core *core,
			 const struct pa_core_segment *segment)
{
	uint64_t left;

	if (core->stream)
		return segment->present;
	left = core->size > segment->offset ?
		core->size - segment->offset : 0;
	return segment->present < left ? segment->present : left;
}

/* The last segment that begins at or below an address; NULL if none. */
static const struct pa_core_segment *find_segment(const struct pa_core *core,
						  uint64_t address)
{
	size_t low = 0, high = core->n_segments;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (core->segments[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &core->segments[low - 1] : NULL;
}

/* One run of bytes from an address on, all there or all missing alike. */
struct run {
	uint64_t length;
	enum pa_core_why why;
	uint64_t offset;		/* in the file */
	const unsigned char *bytes;	/* of a piece, or NULL */
};

static bool find_piece(const struct pa_core *core, uint64_t address,
		       struct run *run)
{
	for (unsigned i = 0; i < core->n_pieces; i++) {
		const struct pa_core_piece *p = &core->piece[i];

		if (address < p->address || address - p->address >= p->length)
			continue;
		run->why = PA_CORE_THERE;
		run->bytes = p->bytes + (address - p->address);
		run->length = p->length - (address - p->address);
		return true;
	}
	return false;
}

static struct run find_run(const struct pa_core *core, uint64_t address,
			   uint64_t n)
{
	const struct pa_core_segment *s = find_segment(core, address);
	struct run run = { .length = n, .why = PA_CORE_UNMAPPED };
	uint64_t in, present;

	if (core->stream && find_piece(core, address, &run))
		goto out;
	if (!s || address - s->address >= s->size) {
		size_t next = s ? (size_t)(s - core->segments) + 1 : 0;

		if (next < core->n_segments)
			run.length = core->segments[next].address - address;
		goto out;
	}
	in = address - s->address;
	present = pa_core_present(core, s);
	if (in >= s->present || core->stream) {
		run.why = in >= s->present ? PA_CORE_NOT_DUMPED : PA_CORE_CUT;
		run.length = in >= s->present ? s->size - in :
			PA_IMAGE_PAGE - address % PA_IMAGE_PAGE;
	} else if (in >= present) {
		run.why = PA_CORE_CUT;
		run.length = s->present - in;
	} else {
		run.why = PA_CORE_THERE;
		run.offset = s->offset + in;
		run.length = present - in;
	}
out:
	if (run.length > n)
		run.length = n;
	return run;
}

static bool copy_run(const struct pa_core *core, const struct run *run,
		     void *buffer)
{
	if (run->why != PA_CORE_THERE)
		return false;
	if (run->bytes) {
		memcpy(buffer, run->bytes, run->length);
		return true;
	}
	return file_bytes(core, run->offset, buffer, run->length);
}

enum pa_core_why pa_core_read(const struct pa_core *core, uint64_t address,
			      void *buffer, size_t n)
{
	if (address > UINT64_MAX - n)
		return PA_CORE_UNMAPPED;
	for (size_t done = 0; done < n; ) {
		struct run run = find_run(core, address + done, n - done);

		if (run.why != PA_CORE_THERE)
			return run.why;
		if (!copy_run(core, &run, (char *)buffer + done))
			return PA_CORE_CUT;
		done += run.length;
	}
	return PA_CORE_THERE;
}

uint64_t pa_core_salvage(const struct pa_core *core, uint64_t address,
			 void *buffer, size_t n)
{
	uint64_t lost = 0;

	if (address > UINT64_MAX - n) {
		memset(buffer, 0, n);
		return n;
	}
	for (size_t done = 0; done < n; ) {
		struct run run = find_run(core, address + done, n - done);
		char *to = (char *)buffer + done;

		if (!copy_run(core, &run, to)) {
			memset(to, 0, run.length);
			lost += run.length;
		}
		done += run.length;
	}
	return lost;
}

void *pa_core_view(const struct pa_core *core, uint64_t address, size_t n)
{
	struct run run;
	void *view;

	if (n < VIEW_MIN || core->stream || address > UINT64_MAX - n)
		return NULL;
	run = find_run(core, address, n);
	if (run.why != PA_CORE_THERE || run.length < n ||
	    run.offset % (uint64_t)sysconf(_SC_PAGESIZE))
		return NULL;
	/* Pages that were written to would be filled as copies. */
	view = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, core->fd,
		    (off_t)run.offset);
	if (view == MAP_FAILED)
		return NULL;
	if (mprotect(view, n, PROT_READ | PROT_WRITE)) {
		munmap(view, n);
		return NULL;
	}
	return view;
}
