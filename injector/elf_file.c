/* SPDX-License-Identifier: MIT
 *
 * ELF files by libelf (see elf_file.h).  Files are mapped, not read: a
 * libpython with debug information has tens of megabytes.
 */
#include "injector/elf_file.h"

#include <elf.h>
#include <libelf.h>
#include <gelf.h>
#include <string.h>
#include <unistd.h>

#include "common/image.h"
#include "common/start.h"
#include "injector/arch.h"

static Elf *open_elf(int fd)
{
	if (elf_version(EV_CURRENT) == EV_NONE)
		return NULL;
	return elf_begin(fd, ELF_C_READ_MMAP, NULL);
}

/* Does a symbol table of this type define `name`? */
static bool defines(Elf *elf, uint32_t type, const char *name)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		Elf_Data *data;
		size_t n;

		if (!gelf_getshdr(section, &header) || header.sh_type != type ||
		    !header.sh_entsize)
			continue;
		data = elf_getdata(section, NULL);
		n = data ? header.sh_size / header.sh_entsize : 0;
		for (size_t i = 0; i < n; i++) {
			GElf_Sym symbol;
			const char *found;

			if (!gelf_getsym(data, (int)i, &symbol) ||
			    symbol.st_shndx == SHN_UNDEF)
				continue;
			found = elf_strptr(elf, header.sh_link, symbol.st_name);
			if (found && !strcmp(found, name))
				return true;
		}
	}
	return false;
}

static void find_interpreter(Elf *elf, int fd, struct pa_elf_facts *facts)
{
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr header;
		size_t size = sizeof facts->interpreter - 1;
		ssize_t got;

		if (!gelf_getphdr(elf, (int)i, &header) ||
		    header.p_type != PT_INTERP)
			continue;
		if (header.p_filesz < size)
			size = header.p_filesz;
		got = pread(fd, facts->interpreter, size,
			    (off_t)header.p_offset);
		facts->interpreter[got > 0 ? got : 0] = 0;
	}
}

int pa_elf_look(int fd, struct pa_elf_facts *facts)
{
	Elf *elf = open_elf(fd);
	GElf_Ehdr header;

	memset(facts, 0, sizeof *facts);
	if (!elf)
		return -1;
	if (elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &header)) {
		facts->is_elf = true;
		facts->is_64_bit = gelf_getclass(elf) == ELFCLASS64;
		facts->machine = header.e_machine;
		find_interpreter(elf, fd, facts);
		/* a static executable has its names in .symtab, if at all */
		facts->python =
			defines(elf, SHT_DYNSYM, "PyMem_SetAllocator") ||
			(!facts->interpreter[0] &&
			 defines(elf, SHT_SYMTAB, "PyMem_SetAllocator"));
	}
	elf_end(elf);
	return 0;
}

/* Does a note section hold the mark of our payload? */
static bool has_note(Elf *elf)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		size_t at = 0, name, descriptor;
		GElf_Shdr header;
		GElf_Nhdr note;
		Elf_Data *data;

		if (!gelf_getshdr(section, &header) ||
		    header.sh_type != SHT_NOTE)
			continue;
		data = elf_getdata(section, NULL);
		while (data && (at = gelf_getnote(data, at, &note, &name,
						  &descriptor)))
			if (note.n_type == PA_NOTE_ANCHOR &&
			    note.n_namesz == sizeof PA_NOTE_OWNER &&
			    !memcmp((char *)data->d_buf + name, PA_NOTE_OWNER,
				    sizeof PA_NOTE_OWNER))
				return true;
	}
	return false;
}

static const char *check_payload(Elf *elf)
{
	GElf_Ehdr header;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) ||
	    header.e_type != ET_DYN)
		return "it is no shared object";
	if (gelf_getclass(elf) != ELFCLASS64 ||
	    header.e_machine != pa_arch.elf_machine)
		return "it is for another CPU";
	if (!defines(elf, SHT_DYNSYM, PA_START_SYMBOL))
		return "it does not export " PA_START_SYMBOL;
	if (!has_note(elf))
		return "it lacks the note of a payload";
	return NULL;
}

const char *pa_elf_check_payload(int fd)
{
	Elf *elf = open_elf(fd);
	const char *why;

	if (!elf)
		return "it is no ELF file";
	why = check_payload(elf);
	elf_end(elf);
	return why;
}
