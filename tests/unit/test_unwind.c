/* SPDX-License-Identifier: MIT
 *
 * The unwinder on buffers: rows written by hand, the tables of this very
 * program and of its C library, and both cut short and full of noise, which
 * must end without a read out of bounds.
 */
#define _GNU_SOURCE 1
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "injector/unwind.h"
#include "tests/unit/unit.h"

#define BASE 0x10000u	/* where the buffers seem to lie */
#define TEXT 0x20000u
#define STACK 0x30000u

/* Memory of a target that does not exist. */
struct memory {
	uint8_t *tables, *stack;
	size_t tables_size, stack_size;
	uint64_t tables_at, stack_at;
};

static int read_from(const uint8_t *bytes, size_t size, uint64_t start,
		     uint64_t address, void *buffer, size_t n)
{
	if (address < start || address - start > size ||
	    n > size - (address - start))
		return -1;
	memcpy(buffer, bytes + (address - start), n);
	return 0;
}

static int read_table(void *context, uint64_t address, void *buffer, size_t n)
{
	struct memory *m = context;

	return read_from(m->tables, m->tables_size, m->tables_at, address,
			 buffer, n);
}

static int read_stack(void *context, uint64_t address, void *buffer, size_t n)
{
	struct memory *m = context;

	return read_from(m->stack, m->stack_size, m->stack_at, address, buffer,
			 n);
}

static struct pa_unwinder *make_unwinder(struct memory *m)
{
	struct pa_unwinder *u = calloc(1, sizeof *u);

	u->read_table = read_table;
	u->read_stack = read_stack;
	u->context = m;
	u->registers = 17;
	u->sp = 7;
	u->ra = 16;
	return u;
}

static void put(uint8_t **p, const void *bytes, size_t n)
{
	memcpy(*p, bytes, n);
	*p += n;
}

static void put32(uint8_t **p, uint32_t value)
{
	put(p, &value, 4);
}

/*
 * A header with one entry, a CIE (CFA = r7 + 8, return address at CFA - 8)
 * and an FDE for 64 bytes at TEXT with the given program.
 */
static size_t write_tables(uint8_t *bytes, const char *letters,
			   const uint8_t *program, size_t n)
{
	static const uint8_t header[] = { 1, 0x1b, 0x03, 0x3b };
	static const uint8_t rules[] = { 0x0c, 7, 8, 0x90, 1 };
	uint8_t *p = bytes, *cie, *fde, *end, *patch;
	size_t letters_size = strlen(letters) + 1;

	put(&p, header, 4);
	put32(&p, 20 - 4);	/* .eh_frame, relative to here */
	put32(&p, 1);
	put32(&p, TEXT - BASE);
	patch = p;
	p += 4;
	cie = p;
	put32(&p, (uint32_t)(4 + 1 + letters_size + 3 + 2 + sizeof rules));
	put32(&p, 0);
	put(&p, "\1", 1);
	put(&p, letters, letters_size);
	put(&p, "\1\x78\x10\1\x1b", 5);	/* factors 1, -8; ra 16; data: enc */
	put(&p, rules, sizeof rules);
	fde = p;
	put32(&patch, (uint32_t)(fde - bytes));
	put32(&p, (uint32_t)(4 + 8 + 1 + n));
	put32(&p, (uint32_t)(fde + 4 - cie));
	put32(&p, TEXT - (BASE + (uint32_t)(p - bytes)));
	put32(&p, 64);
	put(&p, "\0", 1);
	put(&p, program, n);
	end = p;
	return end - bytes;
}

/* push %rbx (r3) at +4: CFA = r7 + 16, r3 at CFA - 16 */
static const uint8_t push_rbx[] = { 0x44, 0x0e, 16, 0x83, 2, 0x48, 0x0a,
				    0x0e, 64, 0x44, 0x0b };

static void test_step(void **state)
{
	uint8_t bytes[256];
	uint64_t stack[4] = { 0xb, 0x4444, 0, 0 };
	struct memory m = { bytes, (uint8_t *)stack,
			    write_tables(bytes, "zR", push_rbx,
					 sizeof push_rbx),
			    sizeof stack, BASE, STACK };
	struct pa_unwinder *u = make_unwinder(&m);
	struct pa_unwind_tables tables = { .header = BASE };
	uint64_t r[PA_UNWIND_REGS] = { 0 }, function = 0;

	(void)state;
	pa_unwind_load(u, &tables);
	assert_int_equal(tables.count, 1);
	assert_int_equal(tables.frames, BASE + 20);
	r[3] = 0xa;
	r[7] = STACK;
	r[16] = TEXT + 5;
	assert_int_equal(pa_unwind_step(u, &tables, true, r, &function),
			 PA_UNWIND_STEPPED);
	assert_int_equal(function, TEXT);
	assert_int_equal(r[3], 0xb);
	assert_int_equal(r[7], STACK + 16);
	assert_int_equal(r[16], 0x4444);
	/* at the very start nothing is pushed yet; then a return to 0 */
	r[7] = STACK + 16;
	r[16] = TEXT;
	assert_int_equal(pa_unwind_step(u, &tables, true, r, &function),
			 PA_UNWIND_END);
	/* remember and restore */
	r[7] = STACK;
	r[16] = TEXT + 20;
	assert_int_equal(pa_unwind_step(u, &tables, true, r, &function),
			 PA_UNWIND_STEPPED);
	assert_int_equal(r[7], STACK + 16);
	free(u);
}

static enum pa_unwind_result step_at(uint64_t pc, uint64_t sp, bool first,
				     const char *letters,
				     const uint8_t *program, size_t n)
{
	uint8_t bytes[4096 + 256];
	uint64_t stack[4] = { 0xb, 0x4444, 0, 0 };
	struct memory m = { bytes, (uint8_t *)stack,
			    write_tables(bytes, letters, program, n),
			    sizeof stack, BASE, STACK };
	struct pa_unwinder *u = make_unwinder(&m);
	struct pa_unwind_tables tables = { .header = BASE };
	uint64_t r[PA_UNWIND_REGS] = { 0 }, function;
	enum pa_unwind_result result;

	pa_unwind_load(u, &tables);
	r[7] = sp;
	r[16] = pc;
	result = pa_unwind_step(u, &tables, first, r, &function);
	free(u);
	return result;
}

static void test_ends(void **state)
{
	static const uint8_t undefined[] = { 0x07, 16 };
	static const uint8_t expression[] = { 0x0f, 2, 0x77, 8 };
	static const uint8_t saved_hard[] = { 0x10, 16, 2, 0x77, 8 };
	static const uint8_t unknown[] = { 0x3e };
	static const uint8_t underflow[] = { 0x0b };

	(void)state;
	assert_int_equal(step_at(TEXT, STACK, true, "zR", undefined, 2),
			 PA_UNWIND_END);
	assert_int_equal(step_at(TEXT, STACK, true, "zRS", push_rbx, 0),
			 PA_UNWIND_SIGNAL);
	assert_int_equal(step_at(TEXT, STACK, true, "zR", expression, 4),
			 PA_UNWIND_UNKNOWN);
	assert_int_equal(step_at(TEXT, STACK, true, "zR", saved_hard, 5),
			 PA_UNWIND_UNKNOWN);
	assert_int_equal(step_at(TEXT, STACK, true, "zR", unknown, 1),
			 PA_UNWIND_UNKNOWN);
	assert_int_equal(step_at(TEXT, STACK, true, "zR", underflow, 1),
			 PA_UNWIND_UNKNOWN);
	assert_int_equal(step_at(TEXT, STACK, true, "zX", push_rbx, 0),
			 PA_UNWIND_UNKNOWN);
	/* outside of the function, and a stack that cannot be read */
	assert_int_equal(step_at(TEXT + 64, STACK, true, "zR", push_rbx, 0),
			 PA_UNWIND_UNKNOWN);
	assert_int_equal(step_at(TEXT - 1, STACK, true, "zR", push_rbx, 0),
			 PA_UNWIND_UNKNOWN);
	assert_int_equal(step_at(TEXT, STACK + 28, true, "zR", push_rbx, 0),
			 PA_UNWIND_UNKNOWN);
	/* a caller is looked up by the byte before the return address */
	assert_int_equal(step_at(TEXT + 64, STACK, false, "zR", push_rbx, 0),
			 PA_UNWIND_STEPPED);
	assert_int_equal(step_at(TEXT, STACK, false, "zR", push_rbx, 0),
			 PA_UNWIND_UNKNOWN);
}

/* Debian's 3.14 and 3.15 have FDEs of 3.7 KiB. */
static void test_long_fde(void **state)
{
	uint8_t program[4000];

	(void)state;
	memset(program, 0, sizeof program);
	assert_int_equal(step_at(TEXT, STACK, true, "zR", program,
				 sizeof program), PA_UNWIND_STEPPED);
}

/* The tables of a loaded library, copied. */
static int find_tables(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct memory *m = argument;
	uint64_t header = 0, at = 0, end = 0;

	(void)size;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
			header = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		end = at + info->dlpi_phdr[i].p_filesz;
		if (info->dlpi_phdr[i].p_type == PT_LOAD && header >= at &&
		    header < end)
			break;
	}
	m->tables_at = header;
	m->tables_size = end - header;
	m->tables = malloc(m->tables_size);
	memcpy(m->tables, (void *)(uintptr_t)header, m->tables_size);
	return 1;
}

static uint64_t entry_pc(const struct memory *m, uint32_t i)
{
	int32_t offset;

	memcpy(&offset, m->tables + 12 + 8 * (size_t)i, 4);
	return m->tables_at + (uint64_t)(int64_t)offset;
}

static void test_real_tables(void **state)
{
	struct memory m = { 0 };
	struct pa_unwind_tables tables = { 0 };
	struct pa_unwinder *u = make_unwinder(&m);
	unsigned found = 0;

	(void)state;
	if (!dl_iterate_phdr(find_tables, &m))
		LEAVE_OUT("this program has no unwind tables");
	tables.header = m.tables_at;
	pa_unwind_load(u, &tables);
	assert_true(tables.count > 1000);
	for (uint32_t i = 0; i < tables.count; i++) {
		uint64_t pc = entry_pc(&m, i);
		const struct pa_unwind_row *row = pa_unwind_find(u, &tables,
								 pc);

		if (!row)
			continue;
		assert_int_equal(row->function, pc);
		found++;
	}
	/* but for some with DWARF expressions of their own */
	assert_true(found > tables.count * 99 / 100);
	free(m.tables);
	free(u);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Flip bytes of real tables, or cut them: any answer, but an answer. */
static void test_noise(void **state)
{
	struct memory real = { 0 }, m;
	uint64_t stack[64] = { 0 }, seed = 88172645463325252ull;
	struct pa_unwinder *u = make_unwinder(&m);

	(void)state;
	if (!dl_iterate_phdr(find_tables, &real))
		LEAVE_OUT("this program has no unwind tables");
	for (int turn = 0; turn < 200; turn++) {
		struct pa_unwind_tables tables = { .header = real.tables_at };

		m = real;
		if (turn & 1)
			m.tables_size = next_random(&seed) % real.tables_size;
		/* a copy of its own length, so that a sanitizer sees its end */
		m.tables = malloc(m.tables_size + 1);
		memcpy(m.tables, real.tables, m.tables_size);
		for (int i = 0; i < 20000 && m.tables_size > 12; i++)
			m.tables[12 + next_random(&seed) %
				 (m.tables_size - 12)] =
				(uint8_t)next_random(&seed);
		m.stack = (uint8_t *)stack;
		m.stack_at = STACK;
		m.stack_size = sizeof stack;
		memset(u->cache, 0, sizeof u->cache);
		pa_unwind_load(u, &tables);
		for (int i = 0; i < 500; i++) {
			uint64_t r[PA_UNWIND_REGS] = { 0 }, function;

			r[7] = STACK + next_random(&seed) % sizeof stack;
			r[16] = entry_pc(&real, (uint32_t)
					 (next_random(&seed) % 3000)) +
				next_random(&seed) % 64;
			pa_unwind_step(u, &tables, i & 1, r, &function);
		}
		free(m.tables);
	}
	free(real.tables);
	free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_long_fde),
		cmocka_unit_test(test_real_tables),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
