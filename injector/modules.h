/* SPDX-License-Identifier: MIT
 *
 * The ELF modules that a process has mapped: where, which, their symbols and
 * unwind tables.
 *
 * All of it comes from the process's memory and maps: the files may have been
 * deleted or upgraded since, or lie in another mount namespace.  A file that
 * is merely mapped to be read is told apart by its executable segment.
 * Addresses are the target's.  Nothing here stops the target.
 */
#ifndef PA_INJECTOR_MODULES_H
#define PA_INJECTOR_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "injector/memory.h"
#include "injector/proc.h"
#include "injector/unwind.h"

/* .dynsym, as far as the hash table tells its length. */
struct pa_symbols {
	bool loaded;		/* tried */
	uint32_t count;
	uint32_t *hash;		/* GNU hash of each name, lowest bit cleared */
	void *symbol;		/* Elf64_Sym[count] */
	char *names;
	size_t names_size;
};

struct pa_module {
	const char *path;	/* of maps; "[vdso]" too */
	uint64_t device, inode;
	uint64_t start, end;	/* all of it */
	uint64_t bias;		/* address - address in the file */
	uint64_t text_start, text_end;	/* executable segments */
	uint64_t cave, cave_size;	/* unused end of the last text page */
	uint64_t data_start, data_end;	/* writable segments */
	uint64_t dynamic;
	uint64_t tables_end;	/* of the segment with the unwind tables */
	struct pa_unwind_tables tables;
	char soname[64];	/* "" if it has none */
	bool libc_family;	/* libc, libpthread, librt, libdl, the vdso */
	bool allocator;		/* replaces malloc */
	struct pa_symbols symbols;
};

struct pa_modules {
	struct pa_maps maps;
	struct pa_module *module;	/* by start */
	size_t count;
	/* each may be NULL */
	struct pa_module *exe, *libc, *libpthread, *libdl, *loader;
};

/*
 * Find all modules.  dir: /proc/PID.  0, or -1 with errno (maps cannot be
 * read, no memory).  Free with pa_modules_deinit() in both cases.
 */
int pa_modules_init(struct pa_modules *modules, struct pa_memory *memory,
		    int dir);
void pa_modules_deinit(struct pa_modules *modules);

/* The module that holds an address, or NULL. */
struct pa_module *pa_modules_at(const struct pa_modules *modules,
				uint64_t address);

/* The first module whose soname begins with `prefix`, or NULL. */
struct pa_module *pa_modules_named(const struct pa_modules *modules,
				   const char *prefix);

/*
 * Addresses of a defined function or object of .dynsym: all versions of it,
 * at most `max`.  Returns how many.  *size (or NULL): of the last.
 */
size_t pa_module_symbols(struct pa_module *module, struct pa_memory *memory,
			 const char *name, uint64_t *address, size_t max,
			 uint64_t *size);

/* One address of it, or 0. */
uint64_t pa_module_symbol(struct pa_module *module, struct pa_memory *memory,
			  const char *name);

/* Does its hash table have the name (or one of the same hash)?  Cheap: does
 * not load the symbols. */
bool pa_module_defines(struct pa_module *module, struct pa_memory *memory,
		       const char *name);

/* Read the module's unwind header; keep: copy its tables into `memory`. */
void pa_module_load_tables(struct pa_module *module,
			   struct pa_unwinder *unwinder,
			   struct pa_memory *memory, bool keep);

#endif /* PA_INJECTOR_MODULES_H */
