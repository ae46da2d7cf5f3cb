/* SPDX-License-Identifier: MIT
 *
 * Everything that a CPU decides, answered by arch_<cpu>.c and stub_<cpu>.c.
 *
 * For a new CPU write these: registers and their DWARF numbers, how a system
 * call that a stop interrupted is issued again, the table of system calls,
 * decoding of call instructions; and the stub.  No other file of the
 * injector knows a register, an instruction or a system call's number.
 */
#ifndef PA_INJECTOR_ARCH_H
#define PA_INJECTOR_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "common/start.h"
#include "injector/memory.h"

/* The registers of a stopped thread, as the kernel hands them out. */
struct pa_regs {
	struct user_regs_struct raw;
};

/* How a system call takes being interrupted by a stop. */
enum pa_call_kind {
	PA_CALL_OTHER = 0,	/* not in the table: short, or not known */
	PA_CALL_WAIT,		/* restarted exactly, by kernel or by us */
	PA_CALL_PAUSE,		/* the same, but nothing but a signal ends it,
				 * and one that comes just before it is issued
				 * again does not */
	PA_CALL_STREAM,		/* sockets, pipes: a timeout may start again */
	PA_CALL_NEVER,		/* any stop ends it with EINTR */
	PA_CALL_VFORK,		/* the thread cannot be stopped */
};

struct pa_call {
	enum pa_call_kind kind;
	int timeout;		/* argument that is a timeout in ms: -1 = for
				 * ever; -1 here: there is none such */
	bool recomputed;	/* CPython recomputes the timeout after EINTR
				 * (PEP 475): exact if the EINTR is left */
};

/* What the stub does, in pa_block.mode. */
enum pa_stub_mode {
	PA_STUB_START = 0,	/* dlopen, dlsym, pa_start */
	PA_STUB_ENTRY = 1,	/* the payload is loaded: pa_start = entry */
	PA_STUB_MEMFD = 2,	/* memfd_create(path) and nothing else */
};

/*
 * The block: written below the red zone of the thread, copied into the
 * scratch mapping by the stub, which then only reads the copy.
 */
struct pa_block {
	uint64_t scratch, scratch_size;
	uint64_t vector_mask;	/* state components to save */
	uint64_t mode;		/* pa_stub_mode */
	uint64_t dlopen, dlopen_flags;
	uint64_t dlsym, dlerror, errno_location;	/* dlerror may be 0 */
	uint64_t entry;		/* pa_start where mode is PA_STUB_ENTRY */
	uint64_t version;	/* PA_START_VERSION */
	uint64_t memfd_flags;
	uint64_t close_fd;	/* descriptor to close after dlopen, or -1 */
	uint64_t free_page;	/* page of an earlier stub to unmap, or 0 */
	char symbol[16];	/* PA_START_SYMBOL */
	char path[128];
	union {
		struct pa_options options;
		uint64_t space[16];	/* for it to grow */
	};
	uint64_t signals_blocked;	/* while the stub runs */
	uint64_t signals;	/* the thread's own mask, to put back */
	uint64_t signals_known;	/* 0: the stub is to find that out */
	/* how long the stub waits for pa_threads_resume(); 0 0 = not at all */
	uint64_t wait_s, wait_ns;
	uint64_t after_call;	/* where to go on if a handler ran while it
				 * waited in vain, or 0: as without */
	uint64_t ends_always;	/* do so also after one with SA_RESTART? */
	uint64_t resume_a;	/* what the CPU needs to go on: arch file */
	uint64_t resume_b;
};

/* The first page of the scratch mapping.  Only `state` holds before it is
 * 2, and nothing after it where the payload's server unmaps the mapping. */
struct pa_scratch {
	uint64_t state;		/* 1 running, 2 done */
	uint64_t handle;	/* of dlopen, 0 = failed */
	uint64_t start;		/* address of pa_start, 0 = not found */
	int64_t result;		/* of pa_start or memfd_create */
	uint64_t reserved[4];
	char error[512];	/* dlerror's text */
};

#define PA_SCRATCH_SIZE (256u << 10)
#define PA_SCRATCH_BLOCK 1024u		/* where the block's copy is */
#define PA_SCRATCH_VECTOR 8192u		/* where vector state is saved */
#define PA_SCRATCH_VECTOR_MAX 24576u

struct pa_arch {
	const char *name;
	uint16_t elf_machine;
	/* DWARF numbers */
	unsigned unwind_registers, unwind_sp, unwind_ra, unwind_fp;
	unsigned red_zone;	/* bytes below sp that belong to the thread */
	unsigned stub_stack;	/* bytes below the block that the stub uses */
	const char *libc_soname, *loader_soname;
};

extern const struct pa_arch pa_arch;

/*
 * The stub: the same bytes at every attach of this build.  It begins with 8
 * bytes PA_STUB_MARK and its length as uint64_t, so that another build does
 * not overwrite it.
 */
#define PA_STUB_MARK "PYATTACH"
#define PA_STUB_BEGIN 16u	/* where its code begins */
const uint8_t *pa_arch_stub(size_t *size);

/* Is a thread at pc in the stub at `cave`, and in that part of it where all
 * but its registers and signal mask is as it was before? */
enum pa_stub_where {
	PA_STUB_OUTSIDE = 0,
	PA_STUB_INSIDE,
	PA_STUB_WAITING,
};
enum pa_stub_where pa_arch_stub_where(uint64_t pc, uint64_t cave);
/* Address of the block of a thread that waits in there. */
uint64_t pa_arch_stub_block(const struct pa_regs *regs);

/* Mask of vector state to save, and check that it fits: 0 or -1. */
int pa_arch_vector_mask(uint64_t *mask);

/* Registers of a stopped thread; 0 or -1 with errno. */
int pa_arch_get_regs(pid_t tid, struct pa_regs *regs);
int pa_arch_set_regs(pid_t tid, const struct pa_regs *regs);

/* Registers of which only two are known; the others are 0. */
void pa_arch_guess_regs(struct pa_regs *regs, uint64_t pc, uint64_t sp);

uint64_t pa_arch_pc(const struct pa_regs *regs);
uint64_t pa_arch_sp(const struct pa_regs *regs);
uint64_t pa_arch_thread_pointer(const struct pa_regs *regs);

/* Does the thread run code of our word size? */
bool pa_arch_is_native(const struct pa_regs *regs);

/* Registers by DWARF number, for the unwinder. */
void pa_arch_unwind_start(const struct pa_regs *regs, uint64_t *registers);

/* Is the instruction before an address a call?  bytes are those that end
 * there. */
#define PA_ARCH_RETURN_BYTES 8
bool pa_arch_is_after_call(const uint8_t bytes[PA_ARCH_RETURN_BYTES]);

/*
 * Run code that only gives the stack back and returns, on registers by DWARF
 * number.  False, with registers as they may be, if it does anything else.
 */
#define PA_ARCH_END_BYTES 32
bool pa_arch_run_end(const uint8_t *code, size_t size, uint64_t *registers,
		     int (*load)(void *context, uint64_t address,
				 uint64_t *value), void *context);

/* The system call that the thread was stopped in, or -1 (user code). */
long pa_arch_call_number(const struct pa_regs *regs);
/* Its result so far (an error as -errno, also the kernel's restart codes). */
long pa_arch_call_result(const struct pa_regs *regs);
uint64_t pa_arch_call_argument(const struct pa_regs *regs, int i);
/* Is the instruction before the program counter a system call?  bytes are
 * those that end there. */
#define PA_ARCH_CALL_BYTES 4
bool pa_arch_is_call(const uint8_t bytes[PA_ARCH_CALL_BYTES]);

/* Make the thread issue its call again / go on with restart_syscall / go on
 * as it is; each also forbids the kernel to do so itself. */
void pa_arch_reissue(struct pa_regs *regs);
/* Let the kernel issue it again, unless there is a signal to handle. */
void pa_arch_interrupted(struct pa_regs *regs);
void pa_arch_restart_block(struct pa_regs *regs);
void pa_arch_no_restart(struct pa_regs *regs);

/* Row of a system call number; kind PA_CALL_OTHER if it has none. */
struct pa_call pa_arch_call(long number);

/*
 * Which address did the call before return_address go to?  Follows one PLT
 * entry outside of [libc_start, libc_end).  0 if it cannot be told.
 */
uint64_t pa_arch_call_target(struct pa_memory *memory, uint64_t return_address,
			     uint64_t libc_start, uint64_t libc_end);

/*
 * Complete the block and the registers for a thread that is to run the stub
 * at `cave` and then to go on as `regs` says.  Returns the address at which
 * the block must be written.
 */
uint64_t pa_arch_prepare(struct pa_regs *regs, uint64_t cave,
			 struct pa_block *block);

#endif /* PA_INJECTOR_ARCH_H */
