/* SPDX-License-Identifier: MIT
 *
 * x86-64 (see arch.h): registers, restart of system calls, call decoding.
 * The stub, which alone runs in the target, is in stub_x86_64.c.
 */
#include "injector/arch.h"

#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define RED_ZONE 128
#define CS_64 0x33
#define EFLAGS_TF 0x100u
#define ERESTARTNOHAND 514	/* of the kernel, see restart.c */

#define DWARF_RBP 6
#define DWARF_RSP 7
#define DWARF_RIP 16

struct pa_call pa_arch_call(long number)
{
	static const struct {
		long number;
		struct pa_call call;
	} table[] = {
		{ SYS_futex, { PA_CALL_WAIT, -1, false } },
		{ SYS_nanosleep, { PA_CALL_WAIT, -1, false } },
		{ SYS_clock_nanosleep, { PA_CALL_WAIT, -1, false } },
		{ SYS_restart_syscall, { PA_CALL_WAIT, -1, false } },
		{ SYS_poll, { PA_CALL_WAIT, -1, false } },
		{ SYS_ppoll, { PA_CALL_WAIT, -1, false } },
		{ SYS_select, { PA_CALL_WAIT, -1, false } },
		{ SYS_pselect6, { PA_CALL_WAIT, -1, false } },
		{ SYS_pause, { PA_CALL_PAUSE, -1, false } },
		{ SYS_rt_sigsuspend, { PA_CALL_WAIT, -1, false } },
		{ SYS_wait4, { PA_CALL_WAIT, -1, false } },
		{ SYS_waitid, { PA_CALL_WAIT, -1, false } },
		{ SYS_flock, { PA_CALL_WAIT, -1, false } },
		{ SYS_msgrcv, { PA_CALL_WAIT, -1, false } },
		{ SYS_msgsnd, { PA_CALL_WAIT, -1, false } },
		{ SYS_read, { PA_CALL_STREAM, -1, false } },
		{ SYS_readv, { PA_CALL_STREAM, -1, false } },
		{ SYS_write, { PA_CALL_STREAM, -1, false } },
		{ SYS_writev, { PA_CALL_STREAM, -1, false } },
		{ SYS_recvfrom, { PA_CALL_STREAM, -1, false } },
		{ SYS_recvmsg, { PA_CALL_STREAM, -1, false } },
		{ SYS_recvmmsg, { PA_CALL_STREAM, -1, false } },
		{ SYS_sendto, { PA_CALL_STREAM, -1, false } },
		{ SYS_sendmsg, { PA_CALL_STREAM, -1, false } },
		{ SYS_sendmmsg, { PA_CALL_STREAM, -1, false } },
		{ SYS_sendfile, { PA_CALL_STREAM, -1, false } },
		{ SYS_accept, { PA_CALL_STREAM, -1, false } },
		{ SYS_accept4, { PA_CALL_STREAM, -1, false } },
		{ SYS_connect, { PA_CALL_STREAM, -1, false } },
		{ SYS_epoll_wait, { PA_CALL_NEVER, 3, true } },
		{ SYS_epoll_pwait, { PA_CALL_NEVER, 3, true } },
		{ SYS_epoll_pwait2, { PA_CALL_NEVER, -1, false } },
		{ SYS_semop, { PA_CALL_NEVER, -1, false } },
		{ SYS_semtimedop, { PA_CALL_NEVER, -1, false } },
		{ SYS_rt_sigtimedwait, { PA_CALL_NEVER, -1, false } },
		{ SYS_io_getevents, { PA_CALL_NEVER, -1, false } },
		{ SYS_io_pgetevents, { PA_CALL_NEVER, -1, false } },
		{ SYS_io_uring_enter, { PA_CALL_NEVER, -1, false } },
		{ SYS_vfork, { PA_CALL_VFORK, -1, false } },
		{ SYS_clone, { PA_CALL_VFORK, -1, false } },
		{ SYS_clone3, { PA_CALL_VFORK, -1, false } },
	};
	static const struct pa_call other = { PA_CALL_OTHER, -1, false };

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (table[i].number == number)
			return table[i].call;
	return other;
}

int pa_arch_vector_mask(uint64_t *mask)
{
	unsigned a, b, c, d, low, high;

	/* without XSAVE the state could not be kept */
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return -1;
	if (!__get_cpuid_count(0xd, 0, &a, &b, &c, &d) ||
	    b > PA_SCRATCH_VECTOR_MAX)
		return -1;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	/* AMX tiles (17, 18) are 8 KiB that no code in between touches */
	*mask = low & ~(3u << 17);
	return 0;
}

int pa_arch_get_regs(pid_t tid, struct pa_regs *regs)
{
	return ptrace(PTRACE_GETREGS, tid, NULL, &regs->raw) ? -1 : 0;
}

int pa_arch_set_regs(pid_t tid, const struct pa_regs *regs)
{
	return ptrace(PTRACE_SETREGS, tid, NULL, &regs->raw) ? -1 : 0;
}

void pa_arch_guess_regs(struct pa_regs *regs, uint64_t pc, uint64_t sp)
{
	memset(regs, 0, sizeof *regs);
	regs->raw.rip = pc;
	regs->raw.rsp = sp;
}

uint64_t pa_arch_pc(const struct pa_regs *regs)
{
	return regs->raw.rip;
}

uint64_t pa_arch_sp(const struct pa_regs *regs)
{
	return regs->raw.rsp;
}

uint64_t pa_arch_thread_pointer(const struct pa_regs *regs)
{
	return regs->raw.fs_base;
}

bool pa_arch_is_native(const struct pa_regs *regs)
{
	/* a set trap flag means that somebody steps through this code */
	return regs->raw.cs == CS_64 && !(regs->raw.eflags & EFLAGS_TF);
}

void pa_arch_unwind_start(const struct pa_regs *regs, uint64_t *r)
{
	const struct user_regs_struct *u = &regs->raw;
	const uint64_t dwarf[] = {
		u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi, u->rbp,
		u->rsp, u->r8, u->r9, u->r10, u->r11, u->r12, u->r13, u->r14,
		u->r15, u->rip,
	};

	memcpy(r, dwarf, sizeof dwarf);
}

long pa_arch_call_number(const struct pa_regs *regs)
{
	return (long)regs->raw.orig_rax;
}

long pa_arch_call_result(const struct pa_regs *regs)
{
	return (long)regs->raw.rax;
}

uint64_t pa_arch_call_argument(const struct pa_regs *regs, int i)
{
	const struct user_regs_struct *u = &regs->raw;
	const uint64_t args[] = {
		u->rdi, u->rsi, u->rdx, u->r10, u->r8, u->r9,
	};

	return i < 0 || i > 5 ? 0 : args[i];
}

bool pa_arch_is_call(const uint8_t bytes[PA_ARCH_CALL_BYTES])
{
	return bytes[2] == 0x0f && bytes[3] == 0x05;
}

void pa_arch_reissue(struct pa_regs *regs)
{
	regs->raw.rax = regs->raw.orig_rax;
	regs->raw.rip -= 2;
	regs->raw.orig_rax = UINT64_MAX;
}

void pa_arch_interrupted(struct pa_regs *regs)
{
	regs->raw.rax = (unsigned long)-ERESTARTNOHAND;
}

void pa_arch_restart_block(struct pa_regs *regs)
{
	regs->raw.rax = SYS_restart_syscall;
	regs->raw.rip -= 2;
	regs->raw.orig_rax = UINT64_MAX;
}

void pa_arch_no_restart(struct pa_regs *regs)
{
	regs->raw.orig_rax = UINT64_MAX;
}

/* Length of the operand of `call *...` (ff /2) by its ModRM byte. */
static size_t indirect_length(const uint8_t *modrm)
{
	unsigned mod = *modrm >> 6, rm = *modrm & 7;
	size_t n = 1;

	if (mod != 3 && rm == 4) {
		n++;
		if (mod == 0 && (modrm[1] & 7) == 5)
			n += 4;
	}
	if (mod == 1)
		return n + 1;
	if (mod == 2 || (mod == 0 && rm == 5))
		return n + 4;
	return n;
}

bool pa_arch_is_after_call(const uint8_t bytes[PA_ARCH_RETURN_BYTES])
{
	const uint8_t *end = bytes + PA_ARCH_RETURN_BYTES;

	if (end[-5] == 0xe8)
		return true;
	for (size_t n = 2; n <= 7; n++)
		if (end[-(int)n] == 0xff && (end[1 - (int)n] >> 3 & 7) == 2 &&
		    indirect_length(end + 1 - (int)n) == n - 1)
			return true;
	return false;
}

/* Registers as instructions number them, by DWARF number. */
static const uint8_t dwarf_number[16] = {
	0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15,
};

/* One instruction of a function's end: its length, or 0; *over after ret. */
static size_t run_one(const uint8_t *c, size_t left, uint64_t *r, bool *over,
		      int (*load)(void *context, uint64_t address,
				  uint64_t *value), void *context)
{
	uint64_t *sp = &r[DWARF_RSP], *to = NULL;
	size_t n = 1;

	if (left >= 4 && c[0] == 0x48 && c[1] == 0x83 && c[2] == 0xc4) {
		*sp += (uint64_t)(int64_t)(int8_t)c[3];	/* add imm8, rsp */
		return 4;
	}
	if (left >= 7 && c[0] == 0x48 && c[1] == 0x81 && c[2] == 0xc4) {
		int32_t by;

		memcpy(&by, c + 3, sizeof by);
		*sp += (uint64_t)(int64_t)by;		/* add imm32, rsp */
		return 7;
	}
	if (left >= 2 && c[0] == 0x41 && (c[1] & 0xf8) == 0x58) {
		to = &r[dwarf_number[8 + (c[1] & 7)]];	/* pop r8..r15 */
		n = 2;
	} else if ((c[0] & 0xf8) == 0x58 && c[0] != 0x5c) {
		to = &r[dwarf_number[c[0] & 7]];	/* pop */
	} else if (c[0] == 0xc9) {
		*sp = r[DWARF_RBP];			/* leave */
		to = &r[DWARF_RBP];
	} else if (c[0] == 0xc3) {
		to = &r[DWARF_RIP];			/* ret */
		*over = true;
	}
	if (!to || load(context, *sp, to))
		return 0;
	*sp += 8;
	return n;
}

bool pa_arch_run_end(const uint8_t *code, size_t size, uint64_t *registers,
		     int (*load)(void *context, uint64_t address,
				 uint64_t *value), void *context)
{
	bool over = false;

	for (size_t at = 0; at < size && !over; ) {
		size_t n = run_one(code + at, size - at, registers, &over,
				   load, context);

		if (!n)
			return false;
		at += n;
	}
	return over;
}

static int32_t displacement(const uint8_t *bytes)
{
	int32_t value;

	memcpy(&value, bytes, sizeof value);
	return value;
}

static uint64_t load(struct pa_memory *memory, uint64_t address)
{
	uint64_t value;

	/* not cached: a GOT slot may be filled late */
	return pa_memory_read(memory, address, &value, 8) ? 0 : value;
}

/* Where a PLT entry jumps to: [endbr64] [bnd] jmp *slot(%rip). */
static uint64_t follow_plt(struct pa_memory *memory, uint64_t plt)
{
	static const uint8_t endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	uint8_t code[16];
	size_t i = 0;

	if (pa_memory_read_cached(memory, plt, code, sizeof code))
		return 0;
	if (!memcmp(code, endbr, sizeof endbr))
		i = sizeof endbr;
	if (code[i] == 0xf2)
		i++;
	if (code[i] != 0xff || code[i + 1] != 0x25)
		return 0;
	return load(memory, plt + i + 6 +
		    (uint64_t)(int64_t)displacement(code + i + 2));
}

uint64_t pa_arch_call_target(struct pa_memory *memory, uint64_t return_address,
			     uint64_t libc_start, uint64_t libc_end)
{
	uint8_t code[6];
	uint64_t target;

	if (pa_memory_read_cached(memory, return_address - 6, code, 6))
		return 0;
	target = return_address + (uint64_t)(int64_t)displacement(code + 2);
	if (code[0] == 0xff && code[1] == 0x15)		/* call *slot(%rip) */
		return load(memory, target);
	if (code[1] != 0xe8)				/* call target */
		return 0;
	if (target >= libc_start && target < libc_end)
		return target;
	return follow_plt(memory, target);
}

uint64_t pa_arch_prepare(struct pa_regs *regs, uint64_t cave,
			 struct pa_block *block)
{
	uint64_t at = regs->raw.rsp - RED_ZONE - sizeof *block;

	block->resume_a = regs->raw.rax;
	block->resume_b = regs->raw.rip;
	regs->raw.rip = cave + PA_STUB_BEGIN;
	regs->raw.rsp = at;
	regs->raw.orig_rax = UINT64_MAX;
	return at;
}

const struct pa_arch pa_arch = {
	.name = "x86-64",
	.elf_machine = EM_X86_64,
	.unwind_registers = 17,
	.unwind_sp = DWARF_RSP,
	.unwind_ra = DWARF_RIP,
	.unwind_fp = DWARF_RBP,
	.red_zone = RED_ZONE,
	.stub_stack = 120 + 200,
	.libc_soname = "libc.so.6",
	.loader_soname = "ld-linux-x86-64.so.2",
};
