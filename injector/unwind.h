/* SPDX-License-Identifier: MIT
 *
 * A small .eh_frame unwinder: from a frame's registers to its caller's.
 *
 * It reads tables and stack through one callback, so that it works on another
 * process and, in tests, on plain buffers.  Everything it reads is hostile:
 * every length is bounded, every loop ends.  It knows DWARF register numbers
 * and how many there are, and nothing else of a CPU.  DWARF expressions are
 * not evaluated: a frame that needs one cannot be unwound here.
 */
#ifndef PA_INJECTOR_UNWIND_H
#define PA_INJECTOR_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_UNWIND_REGS 34	/* registers of any CPU that are followed */
#define PA_UNWIND_FDE_MAX (64u << 10)

enum pa_unwind_result {
	PA_UNWIND_STEPPED = 0,	/* the registers are the caller's now */
	PA_UNWIND_END = 1,	/* the frame has no caller */
	PA_UNWIND_SIGNAL = 2,	/* a signal handler's return frame */
	PA_UNWIND_UNKNOWN = -1,	/* no table covers the frame, or bad data */
};

/* How a register of the caller is found. */
enum pa_unwind_rule {
	PA_RULE_SAME = 0,
	PA_RULE_UNDEFINED,
	PA_RULE_SAVED,		/* at CFA + offset */
	PA_RULE_CFA,		/* is CFA + offset */
	PA_RULE_REGISTER,	/* is in another register */
	PA_RULE_HARD,		/* an expression: not followed */
};

struct pa_unwind_row {
	uint64_t pc;		/* for which it was made; 0 = empty */
	uint64_t function;	/* start of the FDE that covers it */
	bool signal;
	uint8_t cfa_rule;	/* PA_RULE_REGISTER or PA_RULE_HARD */
	uint16_t cfa_register;
	int64_t cfa_offset;
	uint8_t rule[PA_UNWIND_REGS];
	int64_t offset[PA_UNWIND_REGS];
};

/* The tables of one module: its .eh_frame_hdr and the binary search table. */
struct pa_unwind_tables {
	uint64_t header;	/* address of .eh_frame_hdr, 0 = none */
	uint64_t frames;	/* address of .eh_frame */
	uint64_t table;		/* address of the search table */
	uint32_t count;		/* its entries; 0 = no unwinding here */
};

struct pa_unwinder {
	/* Read n bytes of tables or stack: 0, or -1. */
	int (*read_table)(void *context, uint64_t address, void *buffer,
			  size_t n);
	int (*read_stack)(void *context, uint64_t address, void *buffer,
			  size_t n);
	void *context;
	unsigned registers;	/* of this CPU, at most PA_UNWIND_REGS */
	unsigned sp, ra;	/* DWARF numbers: stack pointer, return address */
	struct pa_unwind_row cache[256];
	uint8_t fde[PA_UNWIND_FDE_MAX];
};

/* Read the header at tables->header; count stays 0 where it is not usable. */
void pa_unwind_load(struct pa_unwinder *unwinder,
		    struct pa_unwind_tables *tables);

/*
 * Find the row that covers pc (in a caller: the return address minus 1).
 * NULL if there is none.  Valid until the next call.
 */
const struct pa_unwind_row *pa_unwind_find(struct pa_unwinder *unwinder,
					   const struct pa_unwind_tables *tables,
					   uint64_t pc);

/*
 * Step from registers[PA_UNWIND_REGS] to the caller's.  registers[ra] is the program
 * counter; `first` is true for the innermost frame only.  *function receives
 * the start of the function.  On other results than STEPPED the registers
 * are unchanged.
 */
enum pa_unwind_result pa_unwind_step(struct pa_unwinder *unwinder,
				     const struct pa_unwind_tables *tables,
				     bool first, uint64_t *registers,
				     uint64_t *function);

#endif /* PA_INJECTOR_UNWIND_H */
