/* SPDX-License-Identifier: MIT
 *
 * The machine that evaluates seccomp filters, the list of calls, and random
 * programs, which must end.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "injector/seccomp.h"
#include "tests/unit/unit.h"

#define RUN(code, data) pa_seccomp_run(code, sizeof(code) / sizeof *(code), data)

static void test_answers(void **state)
{
	const struct sock_filter kill_clone[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_filter by_argument[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),	/* args[0] */
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x10000),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LDX | BPF_IMM, 0x10000),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 3),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 13),
		BPF_STMT(BPF_MISC | BPF_TXA, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct seccomp_data data = { .nr = SYS_clone, .args = { 0x3d0f00 } };

	(void)state;
	assert_int_equal(RUN(kill_clone, &data), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(RUN(by_argument, &data), SECCOMP_RET_ERRNO | 13);
	data.nr = SYS_read;
	data.args[0] = 3;
	assert_int_equal(RUN(kill_clone, &data), SECCOMP_RET_ALLOW);
	assert_int_equal(RUN(by_argument, &data), 0x10000);
}

/* What the kernel would not have taken is never an allowance. */
static void test_nonsense(void **state)
{
	const struct sock_filter no_end[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	};
	const struct sock_filter far[] = {
		BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_filter outside[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_filter by_zero[] = {
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct seccomp_data data = { .nr = 1 };

	(void)state;
	assert_int_equal(RUN(no_end, &data), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(RUN(far, &data), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(RUN(outside, &data), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(RUN(by_zero, &data), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(pa_seccomp_run(NULL, 0, &data),
			 SECCOMP_RET_KILL_PROCESS);
}

static bool needs(const char *name, bool memfd)
{
	struct pa_seccomp_call call;

	for (size_t i = 0; pa_seccomp_call(i, memfd, &call); i++) {
		assert_non_null(call.name);
		assert_true(call.data.arch);
		if (!strcmp(call.name, name))
			return true;
	}
	return false;
}

static void test_list(void **state)
{
	(void)state;
	assert_true(needs("clone", false));
	assert_true(needs("clone3", false));
	assert_true(needs("socket", false));
	assert_true(needs("process_vm_readv", false));
	assert_false(needs("memfd_create", false));
	assert_true(needs("memfd_create", true));
}

/* What the threads that only run hooks are judged by. */
static struct pa_seccomp_others without(int number)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct pa_seccomp_others out = PA_SECCOMP_OTHERS;

	pa_seccomp_judge_hooks(code, sizeof code / sizeof *code, &out);
	return out;
}

static void test_others(void **state)
{
	struct pa_seccomp_others o = without(SYS_execve), two;

	(void)state;
	assert_true(!o.hooks && !o.fork_handlers && !o.start && !o.script &&
		    o.forks);
	assert_int_equal(o.hash, without(SYS_execve).hash);
	assert_int_not_equal(o.hash, without(SYS_ptrace).hash);
	assert_string_equal(without(SYS_futex).hooks, "futex");
	assert_string_equal(without(SYS_madvise).hooks, "madvise");
	o = without(SYS_tgkill);
	assert_null(o.hooks);
	assert_string_equal(o.fork_handlers, "tgkill");
	assert_false(without(SYS_clone).forks);
	o = without(SYS_accept4);
	assert_null(o.hooks);
	assert_string_equal(o.start, "accept4");
	o = without(SYS_pwrite64);
	assert_null(o.start);
	assert_string_equal(o.script, "pwrite64");
	/* each of two filters counts */
	two = without(SYS_gettid);
	{
		const struct sock_filter all = BPF_STMT(BPF_RET | BPF_K,
							SECCOMP_RET_ALLOW);

		pa_seccomp_judge_hooks(&all, 1, &two);
	}
	assert_string_equal(two.hooks, "gettid");
}

static void test_random_programs(void **state)
{
	const struct seccomp_data data = { .nr = 5 };
	unsigned short seed[3] = { 7, 11, 13 };

	(void)state;
	for (int turn = 0; turn < 200000; turn++) {
		struct sock_filter code[12];
		size_t n = (size_t)(nrand48(seed) % 12);

		for (size_t i = 0; i < n; i++) {
			code[i].code = (uint16_t)(nrand48(seed) & 0x1ff);
			code[i].jt = (uint8_t)(nrand48(seed) % 6);
			code[i].jf = (uint8_t)(nrand48(seed) % 6);
			code[i].k = (uint32_t)(nrand48(seed) % 3 ?
				nrand48(seed) % 70 : jrand48(seed));
		}
		pa_seccomp_run(code, n, &data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
