/* SPDX-License-Identifier: MIT
 *
 * ELF files, through libelf: what an executable is, and whether a payload is
 * one of ours.  Reads files only; what is mapped in a process is the business
 * of modules.h.
 */
#ifndef PA_INJECTOR_ELF_FILE_H
#define PA_INJECTOR_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pa_elf_facts {
	bool is_elf;
	bool is_64_bit;
	uint16_t machine;	/* EM_* */
	char interpreter[128];	/* PT_INTERP, "" = none */
	bool python;		/* defines CPython's symbols itself */
};

/* Look at an executable that is open to be read; 0 or -1 (not readable). */
int pa_elf_look(int fd, struct pa_elf_facts *facts);

/* NULL, or what is wrong with a payload file. */
const char *pa_elf_check_payload(int fd);

#endif /* PA_INJECTOR_ELF_FILE_H */
