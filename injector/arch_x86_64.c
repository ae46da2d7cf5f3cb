/* SPDX-License-Identifier: MIT
 *
 * x86-64 (see arch.h): registers, restart of system calls, call decoding and
 * the stub.  What runs in the target is only the stub.
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

/*
 * Layout that the assembler below uses as numbers.
 */
#define CHECK(type, member, value) \
	_Static_assert(offsetof(struct type, member) == (value), #member)
CHECK(pa_block, scratch, 0);
CHECK(pa_block, scratch_size, 8);
CHECK(pa_block, vector_mask, 16);
CHECK(pa_block, mode, 24);
CHECK(pa_block, dlopen, 32);
CHECK(pa_block, dlopen_flags, 40);
CHECK(pa_block, dlsym, 48);
CHECK(pa_block, dlerror, 56);
CHECK(pa_block, errno_location, 64);
CHECK(pa_block, entry, 72);
CHECK(pa_block, version, 80);
CHECK(pa_block, memfd_flags, 88);
CHECK(pa_block, close_fd, 96);
CHECK(pa_block, free_page, 104);
CHECK(pa_block, symbol, 112);
CHECK(pa_block, path, 128);
CHECK(pa_block, options, 256);
CHECK(pa_block, signals_blocked, 384);
CHECK(pa_block, signals, 392);
CHECK(pa_block, signals_known, 400);
CHECK(pa_block, wait_s, 408);
CHECK(pa_block, wait_ns, 416);
CHECK(pa_block, after_call, 424);
CHECK(pa_block, resume_a, 432);
CHECK(pa_block, resume_b, 440);
_Static_assert(sizeof(struct pa_block) == 448, "block");
CHECK(pa_scratch, handle, 8);
CHECK(pa_scratch, start, 16);
CHECK(pa_scratch, result, 24);
CHECK(pa_scratch, error, 64);
_Static_assert(PA_SCRATCH_BLOCK == 1024 && PA_SCRATCH_VECTOR == 8192, "stub");
_Static_assert(sizeof(struct pa_scratch) <= PA_SCRATCH_BLOCK, "scratch");

/*
 * The stub.  rsp points at the block.  In here: rbx = block (its copy as soon
 * as there is one), r12 = scratch mapping, r13 = the thread's own stack,
 * r14 = &errno, r15d = errno.  Position independent; never changed, so it is
 * never removed.  It leaves by popping rax and `ret $128`, which puts rsp
 * above the red zone again and jumps in one instruction.
 *
 * Signals wait until the end: a handler that ran in here would not end the
 * system call that was interrupted.  Where there was one the kernel is to
 * judge what they do to it, and only a tracer can hand it back the call: the
 * stub waits for that.  Where nobody comes it does by itself what it can.
 */
extern const uint8_t pa_stub_x86_64[], pa_stub_wait[], pa_stub_waited[];
#define STUB_ENTRY 16	/* behind mark and length */

__asm__(
"	.pushsection .rodata\n"
"	.balign	16\n"
"	.globl	pa_stub_x86_64\n"
"	.hidden	pa_stub_x86_64\n"
"pa_stub_x86_64:\n"
"	.ascii	\"PYATTACH\"\n"
"	.quad	.Lpa_stub_end - pa_stub_x86_64\n"
"	pushfq\n"
"	cld\n"
"	push	%rbx\n	push	%rcx\n	push	%rdx\n	push	%rsi\n"
"	push	%rdi\n	push	%rbp\n	push	%r8\n	push	%r9\n"
"	push	%r10\n	push	%r11\n	push	%r12\n	push	%r13\n"
"	push	%r14\n	push	%r15\n"
"	lea	120(%rsp), %rbx\n"
	/* rt_sigprocmask(SIG_SETMASK, blocked, known ? NULL : own) */
"	mov	$2, %edi\n"
"	lea	384(%rbx), %rsi\n"
"	lea	392(%rbx), %rdx\n"
"	xor	%eax, %eax\n"
"	cmp	%rax, 400(%rbx)\n"
"	cmovne	%rax, %rdx\n"
"	mov	$8, %r10d\n"
"	mov	$14, %eax\n"
"	syscall\n"
	/* mmap(scratch, PRIVATE|ANONYMOUS|NORESERVE|FIXED_NOREPLACE) */
"	mov	$9, %eax\n"
"	mov	(%rbx), %rdi\n"
"	mov	8(%rbx), %rsi\n"
"	mov	$3, %edx\n"
"	mov	$0x104022, %r10d\n"
"	mov	$-1, %r8\n"
"	xor	%r9d, %r9d\n"
"	syscall\n"
"	cmp	(%rbx), %rax\n"
"	je	1f\n"
	/* refused; an old kernel may have mapped it elsewhere */
"	cmp	$-4096, %rax\n"
"	ja	9f\n"
"	mov	%rax, %rdi\n"
"	mov	8(%rbx), %rsi\n"
"	mov	$11, %eax\n"
"	syscall\n"
"	jmp	9f\n"
"1:	mov	%rax, %r12\n"
"	mov	%rsp, %r13\n"
"	movq	$1, (%r12)\n"
"	mov	%rbx, %rsi\n"
"	lea	1024(%r12), %rdi\n"
"	mov	$56, %ecx\n"		/* sizeof(struct pa_block) / 8 */
"	rep movsq\n"
"	lea	1024(%r12), %rbx\n"
"	mov	8(%rbx), %rcx\n"
"	lea	(%r12,%rcx), %rsp\n"
	/* vector and x87 state: the page is zero, so the header is valid */
"	mov	16(%rbx), %eax\n"
"	xor	%edx, %edx\n"
"	xsave64	8192(%r12)\n"
"	fninit\n"
"	push	$0x1f80\n"
"	ldmxcsr	(%rsp)\n"
"	push	$0\n"			/* and the stack is aligned again */
"	call	*64(%rbx)\n"
"	mov	%rax, %r14\n"
"	mov	(%rax), %r15d\n"
"	mov	24(%rbx), %eax\n"
"	cmp	$2, %eax\n"
"	je	6f\n"
"	cmp	$1, %eax\n"
"	jne	2f\n"
"	mov	72(%rbx), %rax\n"
"	mov	%rax, 8(%r12)\n"
"	jmp	4f\n"
	/* dlopen(path, flags) */
"2:	lea	128(%rbx), %rdi\n"
"	mov	40(%rbx), %rsi\n"
"	call	*32(%rbx)\n"
"	mov	%rax, 8(%r12)\n"
"	mov	96(%rbx), %rdi\n"	/* the memfd that it came from */
"	cmp	$-1, %rdi\n"
"	je	3f\n"
"	mov	$3, %eax\n"
"	syscall\n"
"3:	mov	8(%r12), %rdi\n"
"	test	%rdi, %rdi\n"
"	jz	5f\n"
"	lea	112(%rbx), %rsi\n"
"	call	*48(%rbx)\n"		/* dlsym(handle, symbol) */
"	test	%rax, %rax\n"
"	jz	5f\n"
"4:	mov	%rax, 16(%r12)\n"
"	mov	80(%rbx), %edi\n"
"	lea	256(%rbx), %rsi\n"
"	call	*%rax\n"		/* pa_start(version, options) */
"	mov	%rax, 24(%r12)\n"
"	jmp	7f\n"
	/* copy dlerror() */
"5:	mov	56(%rbx), %rax\n"
"	test	%rax, %rax\n"
"	jz	7f\n"
"	call	*%rax\n"
"	test	%rax, %rax\n"
"	jz	7f\n"
"	mov	%rax, %rsi\n"
"	lea	64(%r12), %rdi\n"
"	mov	$511, %ecx\n"
"51:	lodsb\n"
"	stosb\n"
"	dec	%ecx\n"
"	jz	7f\n"
"	test	%al, %al\n"
"	jnz	51b\n"
"	jmp	7f\n"
	/* memfd_create(path, flags) */
"6:	mov	$319, %eax\n"
"	lea	128(%rbx), %rdi\n"
"	mov	88(%rbx), %rsi\n"
"	syscall\n"
"	mov	%rax, 24(%r12)\n"
"	xor	%eax, %eax\n"		/* keep only the first page */
"	jmp	71f\n"
	/* put everything back; give the mapping back where nobody else will */
"7:	mov	24(%r12), %rax\n"
"71:	mov	%rax, %rbp\n"
"	mov	%r15d, (%r14)\n"
"	mov	104(%rbx), %rdi\n"
"	test	%rdi, %rdi\n"
"	jz	72f\n"
"	mov	$4096, %esi\n"
"	mov	$11, %eax\n"
"	syscall\n"
"72:	mov	16(%rbx), %eax\n"
"	xor	%edx, %edx\n"
"	xrstor64 8192(%r12)\n"
"	mov	8(%rbx), %rsi\n"
"	mov	%r13, %rsp\n"
"	test	%rbp, %rbp\n"
"	jg	8f\n"
"	lea	4096(%r12), %rdi\n"
"	sub	$4096, %rsi\n"
"	mov	$11, %eax\n"
"	syscall\n"
"8:	movq	$2, (%r12)\n"		/* from here on it may be gone */
"9:	lea	120(%rsp), %rbx\n"	/* the block itself, not its copy */
"	mov	408(%rbx), %rax\n"
"	or	416(%rbx), %rax\n"
"	jz	92f\n"
"	.globl	pa_stub_wait\n"
"	.hidden	pa_stub_wait\n"
"pa_stub_wait:\n"
	/* ppoll(NULL, 0, wait, NULL): it leaves the kernel's record of a call
	 * to be restarted alone, as nanosleep or poll would not */
"	lea	408(%rbx), %rdx\n"
"	xor	%r10d, %r10d\n"
"	xor	%edi, %edi\n"
"	xor	%esi, %esi\n"
"	mov	$8, %r8d\n"
"	mov	$271, %eax\n"
"	syscall\n"
"	.globl	pa_stub_waited\n"
"	.hidden	pa_stub_waited\n"
"pa_stub_waited:\n"
	/* nobody came: ppoll(NULL, 0, {0, 0}, own mask) runs the handlers */
"	push	$0\n	push	$0\n"
"	mov	%rsp, %rdx\n"
"	lea	392(%rbx), %r10\n"
"	xor	%edi, %edi\n"
"	xor	%esi, %esi\n"
"	mov	$8, %r8d\n"
"	mov	$271, %eax\n"
"	syscall\n"
"	add	$16, %rsp\n"
"	mov	424(%rbx), %rdx\n"
"	cmp	$-4, %rax\n"
"	jne	92f\n"
"	test	%rdx, %rdx\n"
"	jz	92f\n"
"	mov	%rax, 432(%rbx)\n"
"	mov	%rdx, 440(%rbx)\n"
	/* rt_sigprocmask(SIG_SETMASK, own, NULL) */
"92:	mov	$2, %edi\n"
"	lea	392(%rbx), %rsi\n"
"	xor	%edx, %edx\n"
"	mov	$8, %r10d\n"
"	mov	$14, %eax\n"
"	syscall\n"
"	pop	%r15\n	pop	%r14\n	pop	%r13\n	pop	%r12\n"
"	pop	%r11\n	pop	%r10\n	pop	%r9\n	pop	%r8\n"
"	pop	%rbp\n	pop	%rdi\n	pop	%rsi\n	pop	%rdx\n"
"	pop	%rcx\n	pop	%rbx\n"
"	popfq\n"
"	lea	432(%rsp), %rsp\n"
"	pop	%rax\n"
"	ret	$128\n"
".Lpa_stub_end:\n"
"	.popsection\n");

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
		{ SYS_pause, { PA_CALL_WAIT, -1, false } },
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
	regs->raw.rip = cave + STUB_ENTRY;
	regs->raw.rsp = at;
	regs->raw.orig_rax = UINT64_MAX;
	return at;
}

const uint8_t *pa_arch_stub(size_t *size)
{
	uint64_t length;

	memcpy(&length, pa_stub_x86_64 + 8, sizeof length);
	*size = length;
	return pa_stub_x86_64;
}

enum pa_stub_where pa_arch_stub_where(uint64_t pc, uint64_t cave)
{
	uint64_t at = pc - cave;
	size_t size;

	pa_arch_stub(&size);
	if (at >= size)
		return PA_STUB_OUTSIDE;
	if (at >= (uint64_t)(pa_stub_wait - pa_stub_x86_64) &&
	    at <= (uint64_t)(pa_stub_waited - pa_stub_x86_64))
		return PA_STUB_WAITING;
	return PA_STUB_INSIDE;
}

const struct pa_arch pa_arch = {
	.name = "x86-64",
	.elf_machine = EM_X86_64,
	.unwind_registers = 17,
	.unwind_sp = DWARF_RSP,
	.unwind_ra = DWARF_RIP,
	.unwind_fp = DWARF_RBP,
	.red_zone = RED_ZONE,
	.stub_stack = 120,
	.libc_soname = "libc.so.6",
	.loader_soname = "ld-linux-x86-64.so.2",
};
