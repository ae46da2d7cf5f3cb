/* SPDX-License-Identifier: MIT
 *
 * Finding and running call frame information (see unwind.h; the formats are
 * in the Linux Standard Base, "Exception Frames", and DWARF 5, 6.4).
 */
#include "injector/unwind.h"

#include <string.h>

#define CIE_MAX 4096u
#define STATES_MAX 16

/* Pointer encodings. */
#define ENC_ABS 0x00
#define ENC_UDATA2 0x02
#define ENC_UDATA4 0x03
#define ENC_UDATA8 0x04
#define ENC_SDATA2 0x0a
#define ENC_SDATA4 0x0b
#define ENC_SDATA8 0x0c
#define ENC_PCREL 0x10
#define ENC_DATAREL 0x30
#define ENC_INDIRECT 0x80
#define ENC_OMIT 0xff

/* Bytes that are being read.  Past the end everything is 0 and bad is set. */
struct cursor {
	const uint8_t *at, *end;
	uint64_t address;	/* of `end` in the target */
	bool bad;
};

static uint64_t fixed(struct cursor *c, size_t n)
{
	uint64_t value = 0;

	if ((size_t)(c->end - c->at) < n) {
		c->bad = true;
		c->at = c->end;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)c->at[i] << (8 * i);
	c->at += n;
	return value;
}

static void skip(struct cursor *c, uint64_t n)
{
	if ((uint64_t)(c->end - c->at) < n) {
		c->bad = true;
		c->at = c->end;
		return;
	}
	c->at += n;
}

static uint64_t uleb(struct cursor *c)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)fixed(c, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && !c->bad);
	return value;
}

static int64_t sleb(struct cursor *c)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)fixed(c, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && !c->bad);
	if (shift < 64 && (byte & 0x40))
		value |= ~0ull << shift;
	return (int64_t)value;
}

static uint64_t address_of(const struct cursor *c)
{
	return c->address - (uint64_t)(c->end - c->at);
}

/* The plain number of an encoded pointer, without its base. */
static uint64_t encoded_number(struct cursor *c, uint8_t encoding)
{
	switch (encoding & 0x0f) {
	case ENC_ABS:
	case ENC_UDATA8:
	case ENC_SDATA8:
		return fixed(c, 8);
	case ENC_UDATA4:
		return fixed(c, 4);
	case ENC_SDATA4:
		return (uint64_t)(int64_t)(int32_t)fixed(c, 4);
	case ENC_UDATA2:
		return fixed(c, 2);
	case ENC_SDATA2:
		return (uint64_t)(int64_t)(int16_t)fixed(c, 2);
	default:
		c->bad = true;
		return 0;
	}
}

static uint64_t encoded_pointer(struct cursor *c, uint8_t encoding)
{
	uint64_t here = address_of(c);
	uint64_t value = encoded_number(c, encoding);

	switch (encoding & 0xf0) {
	case 0:
		return value;
	case ENC_PCREL:
		return value + here;
	default:
		c->bad = true;
		return 0;
	}
}

static int32_t table_word(const uint8_t *bytes)
{
	int32_t value;

	memcpy(&value, bytes, sizeof value);
	return value;
}

void pa_unwind_load(struct pa_unwinder *unwinder,
		    struct pa_unwind_tables *tables)
{
	uint8_t head[32];
	struct cursor c = { head + 4, head + 12, tables->header + 12, false };

	tables->count = 0;
	if (!tables->header ||
	    unwinder->read_table(unwinder->context, tables->header, head, 12))
		return;
	/* what every linker writes: a sorted table of pairs of 4 bytes */
	if (head[0] != 1 || head[1] != (ENC_PCREL | ENC_SDATA4) ||
	    head[2] != ENC_UDATA4 || head[3] != (ENC_DATAREL | ENC_SDATA4))
		return;
	tables->frames = encoded_pointer(&c, head[1]);
	tables->count = (uint32_t)fixed(&c, 4);
	tables->table = tables->header + 12;
	if (tables->count > (64u << 20) / 8)
		tables->count = 0;
}

/* The address of the FDE that may cover pc, or 0. */
static uint64_t find_fde(struct pa_unwinder *unwinder,
			 const struct pa_unwind_tables *tables, uint64_t pc)
{
	uint32_t low = 0, high = tables->count;
	uint64_t found = 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint8_t pair[8];

		if (unwinder->read_table(unwinder->context,
					 tables->table + 8ull * middle, pair, 8))
			return 0;
		if (tables->header + (uint64_t)(int64_t)table_word(pair) <= pc) {
			found = tables->header +
				(uint64_t)(int64_t)table_word(pair + 4);
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return found;
}

/* What a CIE says. */
struct cie {
	uint8_t bytes[CIE_MAX];
	struct cursor program;
	uint64_t code_factor;
	int64_t data_factor;
	uint64_t ra;
	uint8_t encoding;
	bool signal, augmented;
};

/* Read a record (CIE or FDE) with its length word; the bytes read, or 0. */
static size_t read_record(struct pa_unwinder *unwinder, uint64_t address,
			  uint8_t *bytes, size_t size)
{
	uint32_t length;

	if (unwinder->read_table(unwinder->context, address, &length, 4) ||
	    length < 5 || length >= 0xfffffff0u || length > size - 4)
		return 0;
	if (unwinder->read_table(unwinder->context, address, bytes,
				 length + 4ull))
		return 0;
	return length + 4ull;
}

/* The letters of the augmentation; the data is in `c`. */
static bool parse_augmentation(const char *letter, struct cursor *c,
			       struct cie *cie)
{
	for (; *letter; letter++) {
		uint8_t encoding;

		switch (*letter) {
		case 'R':
			cie->encoding = (uint8_t)fixed(c, 1);
			break;
		case 'L':
			fixed(c, 1);
			break;
		case 'P':
			encoding = (uint8_t)fixed(c, 1);
			if (encoding != ENC_OMIT)
				encoded_number(c, encoding);
			break;
		case 'S':
			cie->signal = true;
			break;
		case 'B':	/* other CPUs' marks without data */
			break;
		default:
			return false;
		}
	}
	return !c->bad;
}

static bool parse_cie(struct pa_unwinder *unwinder, uint64_t address,
		      struct cie *cie)
{
	size_t n = read_record(unwinder, address, cie->bytes, CIE_MAX);
	struct cursor c = { cie->bytes + 8, cie->bytes + n, address + n,
			    false };
	const char *letters;
	uint8_t version;

	cie->encoding = ENC_ABS;
	cie->signal = cie->augmented = false;
	if (!n || table_word(cie->bytes + 4))
		return false;
	version = (uint8_t)fixed(&c, 1);
	if (version != 1 && version != 3)
		return false;
	letters = (const char *)c.at;
	if (!memchr(c.at, 0, c.end - c.at))
		return false;
	c.at += strlen(letters) + 1;
	cie->code_factor = uleb(&c);
	cie->data_factor = sleb(&c);
	cie->ra = version == 1 ? fixed(&c, 1) : uleb(&c);
	if (*letters == 'z') {
		uint64_t length = uleb(&c);
		struct cursor data = c;

		cie->augmented = true;
		if (!parse_augmentation(letters + 1, &data, cie))
			return false;
		skip(&c, length);
	} else if (*letters) {
		return false;
	}
	cie->program = c;
	return !c.bad;
}

/* A program that is being run. */
struct machine {
	const struct cie *cie;
	struct pa_unwind_row row, initial;
	struct pa_unwind_row state[STATES_MAX];
	unsigned states;
	uint64_t location;
	unsigned registers;
};

static void set_rule(struct machine *m, uint64_t reg,
		     enum pa_unwind_rule rule, int64_t offset)
{
	if (reg >= m->registers)
		return;		/* vector registers: not followed */
	m->row.rule[reg] = (uint8_t)rule;
	m->row.offset[reg] = offset;
}

static void restore_rule(struct machine *m, uint64_t reg)
{
	if (reg < m->registers)
		set_rule(m, reg, m->initial.rule[reg], m->initial.offset[reg]);
}

static int64_t scaled(const struct machine *m, int64_t value)
{
	return (int64_t)((uint64_t)value * (uint64_t)m->cie->data_factor);
}

static void define_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
	m->row.cfa_rule = PA_RULE_REGISTER;
	m->row.cfa_register = reg < m->registers ? (uint16_t)reg : UINT16_MAX;
	m->row.cfa_offset = offset;
}

static bool push_state(struct machine *m)
{
	if (m->states == STATES_MAX)
		return false;
	m->state[m->states++] = m->row;
	return true;
}

static bool pop_state(struct machine *m)
{
	if (!m->states)
		return false;
	m->row = m->state[--m->states];
	return true;
}

/* The instructions that change rules; false: not known, or bad data. */
static bool run_rule(struct machine *m, struct cursor *c, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case 0x05:	/* offset_extended */
		reg = uleb(c);
		set_rule(m, reg, PA_RULE_SAVED, scaled(m, (int64_t)uleb(c)));
		return true;
	case 0x06:	/* restore_extended */
		restore_rule(m, uleb(c));
		return true;
	case 0x07:
		set_rule(m, uleb(c), PA_RULE_UNDEFINED, 0);
		return true;
	case 0x08:
		set_rule(m, uleb(c), PA_RULE_SAME, 0);
		return true;
	case 0x09:	/* register */
		reg = uleb(c);
		set_rule(m, reg, PA_RULE_REGISTER, (int64_t)uleb(c));
		return true;
	case 0x10:	/* expression */
	case 0x16:	/* val_expression */
		set_rule(m, uleb(c), PA_RULE_HARD, 0);
		skip(c, uleb(c));
		return true;
	case 0x11:	/* offset_extended_sf */
		reg = uleb(c);
		set_rule(m, reg, PA_RULE_SAVED, scaled(m, sleb(c)));
		return true;
	case 0x14:	/* val_offset */
		reg = uleb(c);
		set_rule(m, reg, PA_RULE_CFA, scaled(m, (int64_t)uleb(c)));
		return true;
	case 0x15:	/* val_offset_sf */
		reg = uleb(c);
		set_rule(m, reg, PA_RULE_CFA, scaled(m, sleb(c)));
		return true;
	case 0x2f:	/* GNU_negative_offset_extended */
		reg = uleb(c);
		set_rule(m, reg, PA_RULE_SAVED, -scaled(m, (int64_t)uleb(c)));
		return true;
	default:
		return false;
	}
}

/* The instructions that change the CFA, the state stack, or nothing. */
static bool run_other(struct machine *m, struct cursor *c, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case 0x00:
		return true;
	case 0x0a:
		return push_state(m);
	case 0x0b:
		return pop_state(m);
	case 0x0c:	/* def_cfa */
		reg = uleb(c);
		define_cfa(m, reg, (int64_t)uleb(c));
		return true;
	case 0x0d:	/* def_cfa_register */
		define_cfa(m, uleb(c), m->row.cfa_offset);
		return true;
	case 0x0e:	/* def_cfa_offset */
		m->row.cfa_offset = (int64_t)uleb(c);
		return true;
	case 0x0f:	/* def_cfa_expression */
		m->row.cfa_rule = PA_RULE_HARD;
		skip(c, uleb(c));
		return true;
	case 0x12:	/* def_cfa_sf */
		reg = uleb(c);
		define_cfa(m, reg, scaled(m, sleb(c)));
		return true;
	case 0x13:	/* def_cfa_offset_sf */
		m->row.cfa_offset = scaled(m, sleb(c));
		return true;
	case 0x2e:	/* GNU_args_size */
		uleb(c);
		return true;
	default:
		return run_rule(m, c, op);
	}
}

/* Is it an advance?  Then *delta is how far, in code units. */
static bool run_advance(struct cursor *c, uint8_t op, uint64_t *delta)
{
	if ((op & 0xc0) == 0x40) {
		*delta = op & 0x3f;
		return true;
	}
	if (op < 0x02 || op > 0x04)
		return false;
	*delta = fixed(c, op == 0x02 ? 1 : op == 0x03 ? 2 : 4);
	return true;
}

/* Run a program up to pc. */
static bool run_program(struct machine *m, struct cursor c, uint64_t pc)
{
	while (c.at < c.end && !c.bad) {
		uint8_t op = (uint8_t)fixed(&c, 1);
		uint64_t delta;

		if (run_advance(&c, op, &delta)) {
			m->location += delta * m->cie->code_factor;
			if (m->location > pc)
				break;
		} else if (op == 0x01) {	/* set_loc */
			m->location = encoded_pointer(&c, m->cie->encoding);
			if (m->location > pc)
				break;
		} else if ((op & 0xc0) == 0x80) {
			set_rule(m, op & 0x3f, PA_RULE_SAVED,
				 scaled(m, (int64_t)uleb(&c)));
		} else if ((op & 0xc0) == 0xc0) {
			restore_rule(m, op & 0x3f);
		} else if (!run_other(m, &c, op)) {
			return false;
		}
	}
	return !c.bad;
}

/* Make the row for pc out of the FDE at `address`. */
static bool make_row(struct pa_unwinder *unwinder, uint64_t address,
		     uint64_t pc, struct pa_unwind_row *row)
{
	size_t n = read_record(unwinder, address, unwinder->fde,
			       PA_UNWIND_FDE_MAX);
	struct cursor c = { unwinder->fde + 4, unwinder->fde + n, address + n,
			    false };
	struct machine m;
	struct cie cie;
	uint64_t start, range, distance;

	if (!n)
		return false;
	distance = fixed(&c, 4);
	if (!distance || !parse_cie(unwinder, address + 4 - distance, &cie) ||
	    cie.ra != unwinder->ra || (cie.encoding & ENC_INDIRECT))
		return false;
	start = encoded_pointer(&c, cie.encoding);
	range = encoded_number(&c, cie.encoding & 0x0f);
	if (cie.augmented)
		skip(&c, uleb(&c));
	if (c.bad || pc < start || pc - start >= range)
		return false;
	memset(&m, 0, sizeof m);
	m.cie = &cie;
	m.registers = unwinder->registers;
	m.row.cfa_rule = PA_RULE_HARD;
	if (!run_program(&m, cie.program, UINT64_MAX))
		return false;
	m.initial = m.row;
	m.location = start;
	m.states = 0;
	if (!run_program(&m, c, pc))
		return false;
	*row = m.row;
	row->pc = pc;
	row->function = start;
	row->signal = cie.signal;
	return true;
}

const struct pa_unwind_row *pa_unwind_find(struct pa_unwinder *unwinder,
					   const struct pa_unwind_tables *tables,
					   uint64_t pc)
{
	struct pa_unwind_row *row =
		&unwinder->cache[(pc ^ pc >> 9) % 256];
	uint64_t fde;

	if (pc && row->pc == pc)
		return row;
	row->pc = 0;
	if (!tables->count)
		return NULL;
	fde = find_fde(unwinder, tables, pc);
	if (!fde || !make_row(unwinder, fde, pc, row))
		return NULL;
	return row;
}

/* The value of one register in the caller; false if it cannot be known. */
static bool caller_register(struct pa_unwinder *unwinder,
			    const struct pa_unwind_row *row, unsigned i,
			    uint64_t cfa, const uint64_t *old, uint64_t *value)
{
	switch (row->rule[i]) {
	case PA_RULE_SAME:
	case PA_RULE_UNDEFINED:
		*value = old[i];
		return true;
	case PA_RULE_SAVED:
		return !unwinder->read_stack(unwinder->context,
					     cfa + (uint64_t)row->offset[i],
					     value, sizeof *value);
	case PA_RULE_CFA:
		*value = cfa + (uint64_t)row->offset[i];
		return true;
	case PA_RULE_REGISTER:
		if (row->offset[i] < 0 ||
		    row->offset[i] >= (int64_t)unwinder->registers)
			return false;
		*value = old[row->offset[i]];
		return true;
	default:
		return false;
	}
}

enum pa_unwind_result pa_unwind_step(struct pa_unwinder *unwinder,
				     const struct pa_unwind_tables *tables,
				     bool first, uint64_t *registers,
				     uint64_t *function)
{
	uint64_t pc = registers[unwinder->ra] - (first ? 0 : 1);
	const struct pa_unwind_row *row = pa_unwind_find(unwinder, tables, pc);
	uint64_t next[PA_UNWIND_REGS] = { 0 };
	uint64_t cfa;

	if (!row)
		return PA_UNWIND_UNKNOWN;
	*function = row->function;
	if (row->signal)
		return PA_UNWIND_SIGNAL;
	if (row->rule[unwinder->ra] == PA_RULE_UNDEFINED)
		return PA_UNWIND_END;
	/* only a leaf can have its return address still in a register */
	if (row->rule[unwinder->ra] == PA_RULE_SAME && !first)
		return PA_UNWIND_UNKNOWN;
	if (row->cfa_rule != PA_RULE_REGISTER ||
	    row->cfa_register >= unwinder->registers)
		return PA_UNWIND_UNKNOWN;
	cfa = registers[row->cfa_register] + (uint64_t)row->cfa_offset;
	next[unwinder->sp] = cfa;
	for (unsigned i = 0; i < unwinder->registers; i++) {
		if (i == unwinder->sp && row->rule[i] == PA_RULE_SAME)
			continue;	/* the CFA is the caller's sp */
		if (!caller_register(unwinder, row, i, cfa, registers,
				     &next[i]))
			return PA_UNWIND_UNKNOWN;
	}
	/* a stack grows towards its end; a loop would never leave it */
	if (next[unwinder->sp] <= registers[unwinder->sp] && !first)
		return PA_UNWIND_UNKNOWN;
	if (!next[unwinder->ra])
		return PA_UNWIND_END;
	memcpy(registers, next, sizeof next);
	return PA_UNWIND_STEPPED;
}
