/* SPDX-License-Identifier: MIT
 *
 * Threads full of state: vector, x87 and control registers, flags and errno
 * hold known values for millions of instructions, and are looked at again.
 * Returns the number of values that changed.  Runs without the GIL.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

uint64_t pa_state_spin(volatile int *stop, volatile uint64_t *turns);
uint64_t pa_state_errno(volatile int *stop, volatile uint64_t *turns);
uint64_t pa_state_leaf(volatile int *stop, volatile uint64_t *turns);
int pa_state_has_avx512(void);

int pa_state_has_avx512(void)
{
	unsigned a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
	    !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX512F))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & 0xe6) == 0xe6;	/* the kernel keeps all of it */
}

/* zmm0-31 and k1 where there are any, else ymm or xmm; the x87 stack; the
 * rounding of both units; the direction flag stays as the ABI wants it. */
__attribute__((target("avx512f"), noinline))
static uint64_t turn_512(void)
{
	uint64_t in[8], out[32][8], wrong = 0;
	uint64_t mask = 0;

	for (int i = 0; i < 8; i++)
		in[i] = 0x0123456789abcdefull * (unsigned)(i + 1);
	__asm__ volatile(
		"vmovdqu64 (%0), %%zmm0\n"
		"vmovdqa64 %%zmm0, %%zmm7\n"
		"vmovdqa64 %%zmm0, %%zmm15\n"
		"vmovdqa64 %%zmm0, %%zmm16\n"
		"vmovdqa64 %%zmm0, %%zmm31\n"
		"mov $0xa5c3, %%eax\n"
		"kmovw %%eax, %%k1\n"
		"mov $20000, %%ecx\n"
		"1: dec %%ecx\n"
		"jnz 1b\n"
		"vmovdqu64 %%zmm0, (%1)\n"
		"vmovdqu64 %%zmm7, 64(%1)\n"
		"vmovdqu64 %%zmm15, 128(%1)\n"
		"vmovdqu64 %%zmm16, 192(%1)\n"
		"vmovdqu64 %%zmm31, 256(%1)\n"
		"kmovw %%k1, %%eax\n"
		"mov %%rax, (%2)\n"
		: : "r"(in), "r"(out), "r"(&mask)
		: "rax", "rcx", "xmm0", "xmm7", "xmm15", "xmm16", "xmm31",
		  "k1", "memory", "cc");
	for (int i = 0; i < 5; i++)
		wrong += memcmp(in, out[i], sizeof in) != 0;
	return wrong + (mask != 0xa5c3);
}

__attribute__((noinline))
static uint64_t turn_sse(void)
{
	uint64_t in[2] = { 0x1122334455667788ull, 0x99aabbccddeeff00ull };
	uint64_t out[2][2];

	__asm__ volatile(
		"movdqu (%0), %%xmm3\n"
		"movdqa %%xmm3, %%xmm12\n"
		"mov $20000, %%ecx\n"
		"1: dec %%ecx\n"
		"jnz 1b\n"
		"movdqu %%xmm3, (%1)\n"
		"movdqu %%xmm12, 16(%1)\n"
		: : "r"(in), "r"(out)
		: "rcx", "xmm3", "xmm12", "memory", "cc");
	return (memcmp(in, out[0], 16) != 0) + (memcmp(in, out[1], 16) != 0);
}

__attribute__((noinline))
static uint64_t turn_x87(void)
{
	uint16_t control = 0x0f7f, control_after = 0, old;
	uint32_t mxcsr = 0x7f80, mxcsr_after = 0, old_mxcsr;
	uint64_t flags = 0;
	double sum = 0;

	__asm__ volatile("fnstcw %0" : "=m"(old));
	__asm__ volatile("stmxcsr %0" : "=m"(old_mxcsr));
	__asm__ volatile(
		"fldcw %3\n"
		"ldmxcsr %4\n"
		"fldpi\n"
		"fld1\n"
		"stc\n"
		"mov $20000, %%ecx\n"
		"1: lea -1(%%ecx), %%ecx\n"	/* keeps the carry */
		"jrcxz 2f\n"
		"jmp 1b\n"
		"2: sbb %%rax, %%rax\n"
		"mov %%rax, %2\n"
		"faddp\n"
		"fstpl %5\n"
		"fnstcw %0\n"
		"stmxcsr %1\n"
		: "=m"(control_after), "=m"(mxcsr_after), "=m"(flags)
		: "m"(control), "m"(mxcsr), "m"(sum)
		: "rax", "rcx", "memory", "cc", "st");
	__asm__ volatile("fldcw %0" : : "m"(old));
	__asm__ volatile("ldmxcsr %0" : : "m"(old_mxcsr));
	return (control_after != control) +
		((mxcsr_after & ~0x3fu) != mxcsr) + (flags != UINT64_MAX) +
		!(sum > 4.14159 && sum < 4.1416);
}

uint64_t pa_state_spin(volatile int *stop, volatile uint64_t *turns)
{
	uint64_t wrong = 0;
	int wide = pa_state_has_avx512();

	while (!*stop) {
		wrong += wide ? turn_512() : turn_sse();
		wrong += turn_x87();
		++*turns;
	}
	return wrong;
}

uint64_t pa_state_errno(volatile int *stop, volatile uint64_t *turns)
{
	uint64_t wrong = 0;

	while (!*stop) {
		int value = 200 + (int)(*turns % 1000);

		errno = value;
		for (volatile int i = 0; i < 20000; i++)
			;
		wrong += errno != value;
		++*turns;
	}
	return wrong;
}

/* A leaf that keeps everything below its stack pointer, in the red zone. */
__attribute__((noinline))
static uint64_t leaf(uint64_t seed)
{
	uint64_t sum = 0;

	__asm__ volatile(
		"mov %1, -8(%%rsp)\n"
		"mov %1, -64(%%rsp)\n"
		"mov %1, -128(%%rsp)\n"
		"mov $20000, %%ecx\n"
		"1: dec %%ecx\n"
		"jnz 1b\n"
		"mov -8(%%rsp), %0\n"
		"add -64(%%rsp), %0\n"
		"add -128(%%rsp), %0\n"
		: "=&r"(sum) : "r"(seed) : "rcx", "memory", "cc");
	return sum;
}

uint64_t pa_state_leaf(volatile int *stop, volatile uint64_t *turns)
{
	uint64_t wrong = 0;

	while (!*stop) {
		wrong += leaf(*turns + 7) != 3 * (*turns + 7);
		++*turns;
	}
	return wrong;
}
