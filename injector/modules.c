/* SPDX-License-Identifier: MIT
 *
 * Modules out of maps and ELF headers in memory (see modules.h).  Every
 * length that comes from the target is bounded before it is used.
 */
#include "injector/modules.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "injector/arch.h"

#define PHDR_MAX 64
#define DYNAMIC_MAX 256
#define SYMBOLS_MAX (1u << 20)
#define NAMES_MAX (32u << 20)
#define TABLES_KEEP_MAX (4u << 20)
#define PAGE 4096ull

/* What the dynamic section points at, as addresses; 0 = absent. */
struct dynamic {
	uint64_t strings, strings_size, symbols, gnu_hash, hash, soname;
	bool has_soname;
};

/* ld.so relocates the pointers in place, but not in a read-only section. */
static uint64_t pointer(const struct pa_module *m, uint64_t value)
{
	return value < m->start ? value + m->bias : value;
}

static int read_dynamic(const struct pa_module *m, struct pa_memory *memory,
			struct dynamic *out)
{
	Elf64_Dyn dyn[DYNAMIC_MAX];
	size_t n;

	memset(out, 0, sizeof *out);
	if (!m->dynamic)
		return -1;
	/* it may end close to the end of its map: read in small parts */
	for (n = 0; n < DYNAMIC_MAX; n += 8) {
		if (pa_memory_read_cached(memory, m->dynamic + n * sizeof *dyn,
					  dyn + n, 8 * sizeof *dyn))
			break;
	}
	for (size_t i = 0; i < n && dyn[i].d_tag != DT_NULL; i++) {
		uint64_t value = dyn[i].d_un.d_val;

		switch (dyn[i].d_tag) {
		case DT_STRTAB:
			out->strings = pointer(m, value);
			break;
		case DT_STRSZ:
			out->strings_size = value;
			break;
		case DT_SYMTAB:
			out->symbols = pointer(m, value);
			break;
		case DT_GNU_HASH:
			out->gnu_hash = pointer(m, value);
			break;
		case DT_HASH:
			out->hash = pointer(m, value);
			break;
		case DT_SONAME:
			out->soname = value;
			out->has_soname = true;
			break;
		default:
			break;
		}
	}
	return n ? 0 : -1;
}

static void read_soname(struct pa_module *m, struct pa_memory *memory)
{
	struct dynamic d;
	size_t n = sizeof m->soname - 1;

	m->soname[0] = 0;
	if (read_dynamic(m, memory, &d) || !d.has_soname || !d.strings ||
	    d.soname >= d.strings_size)
		return;
	if (d.strings_size - d.soname < n)
		n = d.strings_size - d.soname;
	if (pa_memory_read_cached(memory, d.strings + d.soname, m->soname, n))
		n = 0;
	m->soname[n] = 0;
}

static void add_text(struct pa_module *m, uint64_t start, uint64_t end)
{
	if (!m->text_end || start < m->text_start)
		m->text_start = start;
	if (end <= m->text_end)
		return;
	m->text_end = end;
	m->cave = (end + 15) & ~15ull;
	m->cave_size = end % PAGE ? ((end + PAGE - 1) & ~(PAGE - 1)) - m->cave
				  : 0;
	if (m->cave_size > PAGE)
		m->cave_size = 0;
}

static void add_load(struct pa_module *m, const Elf64_Phdr *p)
{
	uint64_t start = m->bias + p->p_vaddr;
	uint64_t end = start + p->p_memsz;

	if (end < start)
		return;
	if (end > m->end)
		m->end = end;
	if (p->p_flags & PF_X)
		add_text(m, start, end);
	if (p->p_flags & PF_W) {
		if (!m->data_end || start < m->data_start)
			m->data_start = start;
		if (end > m->data_end)
			m->data_end = end;
	}
}

static void add_segments(struct pa_module *m, const Elf64_Phdr *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i].p_type == PT_LOAD)
			add_load(m, &p[i]);
		else if (p[i].p_type == PT_GNU_EH_FRAME)
			m->tables.header = m->bias + p[i].p_vaddr;
		else if (p[i].p_type == PT_DYNAMIC)
			m->dynamic = m->bias + p[i].p_vaddr;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t start = m->bias + p[i].p_vaddr;

		if (p[i].p_type == PT_LOAD && m->tables.header >= start &&
		    m->tables.header < start + p[i].p_memsz)
			m->tables_end = start + p[i].p_filesz;
	}
}

/* Is the text mapped to be run from this very file? */
static bool is_executable(const struct pa_modules *modules,
			  const struct pa_module *m)
{
	const struct pa_map *map;

	if (!m->text_end)
		return false;
	map = pa_proc_find_map(&modules->maps, m->text_start);
	return map && map->perms[2] == 'x' && map->inode == m->inode &&
	       map->device == m->device;
}

/* Fill *m from the headers at a map's start; false if it is no module. */
static bool read_module(const struct pa_modules *modules,
			struct pa_memory *memory, const struct pa_map *map,
			struct pa_module *m)
{
	Elf64_Ehdr e;
	Elf64_Phdr p[PHDR_MAX];
	bool found = false;

	memset(m, 0, sizeof *m);
	m->path = map->path;
	m->device = map->device;
	m->inode = map->inode;
	m->start = map->start;
	if (pa_memory_read_cached(memory, map->start, &e, sizeof e) ||
	    memcmp(e.e_ident, ELFMAG, SELFMAG) ||
	    e.e_ident[EI_CLASS] != ELFCLASS64 ||
	    e.e_machine != pa_arch.elf_machine ||
	    e.e_phentsize != sizeof *p || e.e_phnum > PHDR_MAX ||
	    pa_memory_read_cached(memory, map->start + e.e_phoff, p,
				  e.e_phnum * sizeof *p))
		return false;
	for (size_t i = 0; i < e.e_phnum && !found; i++) {
		if (p[i].p_type != PT_LOAD || p[i].p_offset >= PAGE)
			continue;
		m->bias = map->start - (p[i].p_vaddr & ~(PAGE - 1));
		found = true;
	}
	if (!found)
		return false;
	add_segments(m, p, e.e_phnum);
	return is_executable(modules, m);
}

static bool is_known(const struct pa_modules *modules, uint64_t start)
{
	const struct pa_module *last;

	if (!modules->count)
		return false;
	last = &modules->module[modules->count - 1];
	return start < last->end;
}

static void name_module(struct pa_modules *modules, struct pa_module *m)
{
	static const char *const family[] = {
		"libpthread.so.0", "librt.so.1", "libdl.so.2",
	};

	if (!strcmp(m->soname, pa_arch.libc_soname)) {
		modules->libc = m;
		m->libc_family = true;
	}
	if (!strcmp(m->soname, pa_arch.loader_soname))
		modules->loader = m;
	for (size_t i = 0; i < sizeof family / sizeof *family; i++)
		if (!strcmp(m->soname, family[i]))
			m->libc_family = true;
	if (!strcmp(m->soname, "libpthread.so.0"))
		modules->libpthread = m;
	if (!strcmp(m->soname, "libdl.so.2"))
		modules->libdl = m;
}

static void find_exe(struct pa_modules *modules, int dir)
{
	char path[4096];
	ssize_t n = readlinkat(dir, "exe", path, sizeof path - 1);

	path[n > 0 ? n : 0] = 0;
	for (size_t i = 0; i < modules->count; i++)
		if (n > 0 && !strcmp(modules->module[i].path, path)) {
			modules->exe = &modules->module[i];
			return;
		}
	/* another mount namespace may show another name: the first one */
	if (modules->count)
		modules->exe = &modules->module[0];
}

int pa_modules_init(struct pa_modules *modules, struct pa_memory *memory,
		    int dir)
{
	size_t candidates = 0;

	memset(modules, 0, sizeof *modules);
	if (pa_proc_read_maps(dir, &modules->maps))
		return -1;
	for (size_t i = 0; i < modules->maps.count; i++)
		candidates += !modules->maps.map[i].offset;
	modules->module = calloc(candidates + 1, sizeof *modules->module);
	if (!modules->module)
		return -1;
	for (size_t i = 0; i < modules->maps.count; i++) {
		const struct pa_map *map = &modules->maps.map[i];
		struct pa_module *m = &modules->module[modules->count];
		bool vdso = !strcmp(map->path, "[vdso]");

		if (map->offset || map->perms[0] != 'r' ||
		    (!map->inode && !vdso) || is_known(modules, map->start))
			continue;
		if (!read_module(modules, memory, map, m))
			continue;
		modules->count++;
		if (!vdso)
			continue;
		m->libc_family = true;
		m->cave_size = 0;	/* the kernel's page, not a file's */
	}
	for (size_t i = 0; i < modules->count; i++) {
		read_soname(&modules->module[i], memory);
		name_module(modules, &modules->module[i]);
	}
	find_exe(modules, dir);
	return 0;
}

void pa_modules_deinit(struct pa_modules *modules)
{
	for (size_t i = 0; i < modules->count; i++) {
		struct pa_symbols *s = &modules->module[i].symbols;

		free(s->hash);
		free(s->symbol);
		free(s->names);
	}
	free(modules->module);
	pa_proc_free_maps(&modules->maps);
	memset(modules, 0, sizeof *modules);
}

struct pa_module *pa_modules_at(const struct pa_modules *modules,
				uint64_t address)
{
	size_t low = 0, high = modules->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (modules->module[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < modules->count && modules->module[low].start <= address)
		return &modules->module[low];
	return NULL;
}

struct pa_module *pa_modules_named(const struct pa_modules *modules,
				   const char *prefix)
{
	for (size_t i = 0; i < modules->count; i++)
		if (!strncmp(modules->module[i].soname, prefix,
			     strlen(prefix)))
			return &modules->module[i];
	return NULL;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	while (*name)
		h = h * 33 + (unsigned char)*name++;
	return h;
}

/* How many symbols there are, from DT_GNU_HASH: the last chain's end. */
static uint32_t count_gnu(struct pa_memory *memory, uint64_t table)
{
	uint32_t head[4], last = 0;	/* buckets, first symbol, bloom words */
	uint64_t buckets, chain;
	uint32_t *bucket;

	if (pa_memory_read_cached(memory, table, head, sizeof head) ||
	    head[0] > SYMBOLS_MAX || head[2] > SYMBOLS_MAX)
		return 0;
	buckets = table + 16 + 8ull * head[2];
	chain = buckets + 4ull * head[0];
	bucket = malloc(4ull * head[0] + 1);
	if (!bucket ||
	    pa_memory_read_cached(memory, buckets, bucket, 4ull * head[0])) {
		free(bucket);
		return 0;
	}
	for (uint32_t i = 0; i < head[0]; i++)
		if (bucket[i] > last)
			last = bucket[i];
	free(bucket);
	if (last < head[1])
		return 0;
	for (; last < SYMBOLS_MAX; last++) {
		uint32_t h;

		if (pa_memory_read_cached(memory,
					  chain + 4ull * (last - head[1]), &h,
					  4))
			return 0;
		if (h & 1)
			return last + 1;
	}
	return 0;
}

static uint32_t count_symbols(struct pa_memory *memory,
			      const struct dynamic *d)
{
	uint32_t head[2];

	if (d->gnu_hash)
		return count_gnu(memory, d->gnu_hash);
	if (d->hash &&
	    !pa_memory_read_cached(memory, d->hash, head, sizeof head) &&
	    head[1] <= SYMBOLS_MAX)
		return head[1];
	return 0;
}

static void hash_symbols(struct pa_symbols *s)
{
	const Elf64_Sym *symbol = s->symbol;

	for (uint32_t i = 0; i < s->count; i++)
		if (symbol[i].st_name < s->names_size)
			s->hash[i] = gnu_hash(s->names + symbol[i].st_name);
}

static void load_symbols(struct pa_module *m, struct pa_memory *memory)
{
	struct pa_symbols *s = &m->symbols;
	struct dynamic d;
	uint32_t count;

	s->loaded = true;
	if (read_dynamic(m, memory, &d) || !d.symbols || !d.strings ||
	    !d.strings_size || d.strings_size > NAMES_MAX)
		return;
	count = count_symbols(memory, &d);
	s->symbol = calloc(count + 1ull, sizeof(Elf64_Sym));
	s->hash = calloc(count + 1ull, sizeof *s->hash);
	s->names = calloc(1, d.strings_size + 1);
	if (!s->symbol || !s->hash || !s->names)
		return;
	if (pa_memory_read(memory, d.symbols, s->symbol,
			   count * sizeof(Elf64_Sym)) ||
	    pa_memory_read(memory, d.strings, s->names, d.strings_size))
		return;
	s->names_size = d.strings_size;
	s->count = count;
	hash_symbols(s);
}

size_t pa_module_symbols(struct pa_module *module, struct pa_memory *memory,
			 const char *name, uint64_t *address, size_t max,
			 uint64_t *size)
{
	struct pa_symbols *s = &module->symbols;
	const Elf64_Sym *symbol;
	uint32_t h = gnu_hash(name);
	size_t n = 0;

	if (!s->loaded)
		load_symbols(module, memory);
	symbol = s->symbol;
	for (uint32_t i = 1; i < s->count && n < max; i++) {
		unsigned type = ELF64_ST_TYPE(symbol[i].st_info);

		if (s->hash[i] != h || symbol[i].st_shndx == SHN_UNDEF ||
		    symbol[i].st_name >= s->names_size ||
		    (type != STT_FUNC && type != STT_OBJECT &&
		     type != STT_NOTYPE) ||
		    strcmp(s->names + symbol[i].st_name, name))
			continue;
		if (size)
			*size = symbol[i].st_size;
		address[n++] = module->bias + symbol[i].st_value;
	}
	return n;
}

uint64_t pa_module_symbol(struct pa_module *module, struct pa_memory *memory,
			  const char *name)
{
	uint64_t address;

	return pa_module_symbols(module, memory, name, &address, 1, NULL) ?
	       address : 0;
}

bool pa_module_defines(struct pa_module *module, struct pa_memory *memory,
		       const char *name)
{
	uint32_t h = gnu_hash(name), head[4], i, found;
	struct dynamic d;
	uint64_t buckets, chain;

	if (read_dynamic(module, memory, &d) || !d.gnu_hash || !d.symbols ||
	    !d.strings ||
	    pa_memory_read_cached(memory, d.gnu_hash, head, sizeof head) ||
	    !head[0] || head[0] > SYMBOLS_MAX || head[2] > SYMBOLS_MAX)
		return false;
	buckets = d.gnu_hash + 16 + 8ull * head[2];
	chain = buckets + 4ull * head[0];
	if (pa_memory_read_cached(memory, buckets + 4ull * (h % head[0]), &i,
				  4) || i < head[1])
		return false;
	/* the hash alone decides: a false hit costs a retry, no harm */
	for (; i < SYMBOLS_MAX; i++) {
		if (pa_memory_read_cached(memory, chain + 4ull * (i - head[1]),
					  &found, 4))
			return false;
		if ((found | 1) == (h | 1))
			return true;
		if (found & 1)
			return false;
	}
	return false;
}

void pa_module_load_tables(struct pa_module *module,
			   struct pa_unwinder *unwinder,
			   struct pa_memory *memory, bool keep)
{
	struct pa_unwind_tables *t = &module->tables;
	uint64_t start;

	if (!t->count)
		pa_unwind_load(unwinder, t);
	if (!keep || !t->count)
		return;
	start = t->frames && t->frames < t->header &&
		t->frames >= module->start ? t->frames : t->header;
	if (module->tables_end > start &&
	    module->tables_end - start <= TABLES_KEEP_MAX)
		pa_memory_keep(memory, start, module->tables_end - start);
	else
		pa_memory_keep(memory, t->header, 12 + 8ull * t->count);
}
