/* SPDX-License-Identifier: MIT
 *
 * The stub for x86-64 (see arch.h): the code that a thread of the target runs
 * between the commit and its own way on.  Nothing else in here runs there.
 */
#include <string.h>

#include "injector/arch.h"

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
CHECK(pa_block, ends_always, 432);
CHECK(pa_block, resume_a, 440);
CHECK(pa_block, resume_b, 448);
_Static_assert(sizeof(struct pa_block) == 456, "block");
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
"	mov	$57, %ecx\n"		/* sizeof(struct pa_block) / 8 */
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
	/* who came may have died with the mask handed back and no more */
"	mov	432(%rbx), %rbp\n"	/* would a handler end the call? */
"	cmp	$-4, %rax\n"
"	je	91f\n"
"	test	%rbp, %rbp\n"
"	jnz	90f\n"
"	cmp	%rbp, 424(%rbx)\n"
"	je	90f\n"
	/* rt_sigpending(): is there one without SA_RESTART? */
"	sub	$40, %rsp\n"
"	push	$0\n"
"	mov	%rsp, %rdi\n"
"	mov	$8, %esi\n"
"	mov	$127, %eax\n"
"	syscall\n"
"	mov	392(%rbx), %r12\n"
"	not	%r12\n"
"	and	(%rsp), %r12\n"
"81:	bsf	%r12, %rdi\n"
"	jz	82f\n"
"	lea	-1(%r12), %rax\n"
"	and	%rax, %r12\n"
	/* rt_sigaction(signal, NULL, action) */
"	inc	%edi\n"
"	xor	%esi, %esi\n"
"	lea	8(%rsp), %rdx\n"
"	mov	%rsi, (%rdx)\n"
"	mov	$8, %r10d\n"
"	mov	$13, %eax\n"
"	syscall\n"
"	cmpq	$1, 8(%rsp)\n"		/* SIG_DFL, SIG_IGN */
"	jbe	81b\n"
"	testl	$0x10000000, 16(%rsp)\n"
"	jnz	81b\n"
"	inc	%ebp\n"
"	jmp	81b\n"
"82:	add	$48, %rsp\n"
	/* nobody came: ppoll(NULL, 0, {0, 0}, own mask) runs the handlers */
"90:	push	$0\n	push	$0\n"
"	mov	%rsp, %rdx\n"
"	lea	392(%rbx), %r10\n"
"	xor	%edi, %edi\n"
"	xor	%esi, %esi\n"
"	mov	$8, %r8d\n"
"	mov	$271, %eax\n"
"	syscall\n"
"	add	$16, %rsp\n"
"	cmp	$-4, %rax\n"
"	jne	92f\n"
"91:	test	%rbp, %rbp\n"
"	jz	92f\n"
"	mov	424(%rbx), %rdx\n"
"	movq	$-4, 440(%rbx)\n"
"	mov	%rdx, 448(%rbx)\n"
	/* a handler that runs from here on shows below the red zone, where the
	 * kernel puts the end of the vector state, which is never 0 */
"92:	lea	-200(%rsp), %rdi\n"
"	mov	$9, %ecx\n"
"	xor	%eax, %eax\n"
"	rep stosq\n"
	/* rt_sigprocmask(SIG_SETMASK, own, NULL) */
"	mov	$2, %edi\n"
"	lea	392(%rbx), %rsi\n"
"	xor	%edx, %edx\n"
"	mov	$8, %r10d\n"
"	mov	$14, %eax\n"
"	syscall\n"
"	xor	%eax, %eax\n"
"	cmp	%rax, 432(%rbx)\n"
"	je	93f\n"
"	lea	-200(%rsp), %rdi\n"
"	mov	$9, %ecx\n"
"	repe scasq\n"
"	je	93f\n"
"	mov	424(%rbx), %rdx\n"
"	movq	$-4, 440(%rbx)\n"
"	mov	%rdx, 448(%rbx)\n"
"93:	pop	%r15\n	pop	%r14\n	pop	%r13\n	pop	%r12\n"
"	pop	%r11\n	pop	%r10\n	pop	%r9\n	pop	%r8\n"
"	pop	%rbp\n	pop	%rdi\n	pop	%rsi\n	pop	%rdx\n"
"	pop	%rcx\n	pop	%rbx\n"
"	popfq\n"
"	lea	440(%rsp), %rsp\n"
"	pop	%rax\n"
"	ret	$128\n"
".Lpa_stub_end:\n"
"	.popsection\n");

const uint8_t *pa_arch_stub(size_t *size)
{
	uint64_t length;

	memcpy(&length, pa_stub_x86_64 + 8, sizeof length);
	*size = length;
	return pa_stub_x86_64;
}

/* Of a place in the stub, from its beginning. */
static uint64_t place_of(const uint8_t *place)
{
	return (uintptr_t)place - (uintptr_t)pa_stub_x86_64;
}

enum pa_stub_where pa_arch_stub_where(uint64_t pc, uint64_t cave)
{
	uint64_t at = pc - cave;
	size_t size;

	pa_arch_stub(&size);
	if (at >= size)
		return PA_STUB_OUTSIDE;
	if (at >= place_of(pa_stub_wait) && at <= place_of(pa_stub_waited))
		return PA_STUB_WAITING;
	return PA_STUB_INSIDE;
}

uint64_t pa_arch_stub_block(const struct pa_regs *regs)
{
	return regs->raw.rbx;
}
