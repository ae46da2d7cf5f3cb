/* SPDX-License-Identifier: MIT
 *
 * seccomp.h: a small machine for the classic BPF that filters are written
 * in, and the list of calls.  It runs while a thread is stopped: some 70
 * calls through filters of a few hundred instructions are about 0.1 ms.
 */
#include "injector/seccomp.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "injector/arch.h"

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif
#define AUDIT_64BIT_LE 0xc0000000u	/* of AUDIT_ARCH_*, by ELF machine */
#define FILTERS_MAX 64
#define THREAD_FLAGS 0x3d0f00u		/* of clone() for a pthread */
#define FORK_FLAGS 0x1200011u		/* the same for fork() */
#define SET_NAME 15			/* PR_SET_NAME */
#define SIGSETXID 33			/* the C library's own */

struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

static bool load(struct machine *m, const struct sock_filter *i,
		 const struct seccomp_data *data)
{
	uint32_t value;

	switch (BPF_MODE(i->code)) {
	case BPF_ABS:
		if (i->code != (BPF_LD | BPF_W | BPF_ABS) || i->k & 3 ||
		    i->k > sizeof *data - 4)
			return false;
		memcpy(&value, (const char *)data + i->k, 4);
		break;
	case BPF_IMM:
		value = i->k;
		break;
	case BPF_LEN:
		value = sizeof *data;
		break;
	case BPF_MEM:
		if (i->k >= BPF_MEMWORDS)
			return false;
		value = m->memory[i->k];
		break;
	default:
		return false;
	}
	if (BPF_CLASS(i->code) == BPF_LD)
		m->a = value;
	else
		m->x = value;
	return true;
}

static bool calculate(struct machine *m, const struct sock_filter *i)
{
	uint32_t b = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_ADD: m->a += b; return true;
	case BPF_SUB: m->a -= b; return true;
	case BPF_MUL: m->a *= b; return true;
	case BPF_OR: m->a |= b; return true;
	case BPF_AND: m->a &= b; return true;
	case BPF_XOR: m->a ^= b; return true;
	case BPF_LSH: m->a = b < 32 ? m->a << b : 0; return true;
	case BPF_RSH: m->a = b < 32 ? m->a >> b : 0; return true;
	case BPF_NEG: m->a = -m->a; return true;
	case BPF_DIV:
		m->a = b ? m->a / b : 0;
		return b || BPF_SRC(i->code) == BPF_X;
	default: return false;
	}
}

/* How far to jump; -1: no such instruction. */
static int64_t jump(const struct machine *m, const struct sock_filter *i)
{
	uint32_t b = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_JA: return i->k;
	case BPF_JEQ: return m->a == b ? i->jt : i->jf;
	case BPF_JGT: return m->a > b ? i->jt : i->jf;
	case BPF_JGE: return m->a >= b ? i->jt : i->jf;
	case BPF_JSET: return m->a & b ? i->jt : i->jf;
	default: return -1;
	}
}

/* One instruction that is neither a jump nor a return. */
static bool step(struct machine *m, const struct sock_filter *i,
		 const struct seccomp_data *data)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_LD:
	case BPF_LDX:
		return load(m, i, data);
	case BPF_ALU:
		return calculate(m, i);
	case BPF_ST:
	case BPF_STX:
		if (i->k >= BPF_MEMWORDS)
			return false;
		m->memory[i->k] = BPF_CLASS(i->code) == BPF_ST ? m->a : m->x;
		return true;
	case BPF_MISC:
		if (BPF_MISCOP(i->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		return true;
	default:
		return false;
	}
}

uint32_t pa_seccomp_run(const struct sock_filter *code, size_t n,
			const struct seccomp_data *data)
{
	struct machine m = { 0 };

	/* jumps go forwards only, so this ends */
	for (size_t at = 0; at < n; at++) {
		const struct sock_filter *i = &code[at];

		if (BPF_CLASS(i->code) == BPF_RET)
			return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
		if (BPF_CLASS(i->code) == BPF_JMP) {
			int64_t distance = jump(&m, i);

			if (distance < 0)
				break;
			at += (size_t)distance;
		} else if (!step(&m, i, data)) {
			break;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* ---- the calls ---- */

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define CALL(name, ...) { #name, SYS_##name, 0, { __VA_ARGS__ } }
#define MAY_FAIL(name, ...) { #name, SYS_##name, -1, { __VA_ARGS__ } }

struct call {
	const char *name;
	int number;
	int tolerated;
	uint64_t args[6];
};

static const struct call calls[] = {
	/* stub and loader */
	CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE, PRIVATE),
	CALL(mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, 3),
	CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 3),
	CALL(mmap, 0, 4096, PROT_NONE, PRIVATE | MAP_NORESERVE),
	CALL(mprotect, 0, 4096, PROT_READ),
	CALL(mprotect, 0, 4096, PROT_READ | PROT_WRITE),
	CALL(mprotect, 0, 4096, PROT_READ | PROT_EXEC),
	CALL(munmap), CALL(brk), CALL(openat), CALL(read), CALL(pread64),
	CALL(fstat, 3), CALL(newfstatat), CALL(close, 3),
	/* the thread */
	/* the C library tries clone where there is no clone3 */
	{ "clone3", SYS_clone3, ENOSYS, { 0 } }, CALL(clone, THREAD_FLAGS), CALL(futex),
	MAY_FAIL(set_robust_list), MAY_FAIL(rseq), CALL(rt_sigprocmask),
	/* where it is the first one the C library gets ready for setuid() */
	CALL(rt_sigaction, SIGSETXID),
	MAY_FAIL(prctl, SET_NAME), CALL(getpid), CALL(gettid), CALL(tgkill),
	MAY_FAIL(madvise), CALL(exit), CALL(nanosleep), CALL(clock_nanosleep),
	CALL(clock_gettime), MAY_FAIL(getrandom), CALL(sched_yield),
	MAY_FAIL(sched_getaffinity),	/* 3.14 asks for its thread's stack */
	/* the server */
	CALL(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK),
	CALL(bind, 3), CALL(listen, 3), CALL(accept4, 3), CALL(connect, 3),
	CALL(getsockopt, 3), CALL(shutdown, 3), CALL(sendto, 3),
	CALL(recvfrom, 3), CALL(poll), CALL(socketpair), CALL(write, 3),
	MAY_FAIL(mkdir), MAY_FAIL(chmod), MAY_FAIL(unlink), CALL(geteuid),
	MAY_FAIL(flock, 3), MAY_FAIL(fcntl, 3), MAY_FAIL(open),
	MAY_FAIL(pipe), MAY_FAIL(pipe2),
	MAY_FAIL(process_vm_readv), MAY_FAIL(restart_syscall),
	MAY_FAIL(ppoll),	/* the stub's too */
};

/* The hooks, in whichever thread of the target: the store's lock, pages that
 * come into use, the first sample of a thread. */
static const struct call hook_calls[] = {
	CALL(futex, 0, FUTEX_WAIT_PRIVATE), CALL(futex, 0, FUTEX_WAKE_PRIVATE),
	CALL(gettid), MAY_FAIL(madvise, 0, 65536, MADV_DODUMP),
	MAY_FAIL(madvise, 0, 65536, MADV_DONTDUMP),
	MAY_FAIL(madvise, 0, 65536, MADV_DONTNEED),
	/* a key of the C library, which may allocate */
	MAY_FAIL(mmap, 0, 4096, PROT_READ | PROT_WRITE, PRIVATE),
	MAY_FAIL(munmap), MAY_FAIL(brk),
	MAY_FAIL(mprotect, 0, 4096, PROT_READ | PROT_WRITE),
};

/* What the handlers of fork() do, on both sides, where that may be called. */
static const struct call fork_call = CALL(clone, FORK_FLAGS);
static const struct call fork_calls[] = {
	CALL(getpid), CALL(tgkill), MAY_FAIL(nanosleep),
	MAY_FAIL(clock_nanosleep), MAY_FAIL(write, 3), MAY_FAIL(sendto, 3),
	MAY_FAIL(open), MAY_FAIL(openat), MAY_FAIL(read, 3),
	MAY_FAIL(close, 3), MAY_FAIL(fstat, 3),
};

/* What the script for remote debugging does besides. */
static const struct call script_calls[] = {
	CALL(pwrite64, 3), MAY_FAIL(lseek, 3), MAY_FAIL(getdents64, 3),
	MAY_FAIL(getcwd),
};

bool pa_seccomp_call(size_t i, bool memfd, struct pa_seccomp_call *out)
{
	const size_t count = sizeof calls / sizeof *calls;

	memset(out, 0, sizeof *out);
	out->data.arch = AUDIT_64BIT_LE | pa_arch.elf_machine;
	if (i == count && memfd) {
		out->name = "memfd_create";
		out->data.nr = SYS_memfd_create;
		out->tolerated = -1;	/* then that way is closed, no more */
		return true;
	}
	if (i >= count)
		return false;
	out->name = calls[i].name;
	out->data.nr = calls[i].number;
	memcpy(out->data.args, calls[i].args, sizeof out->data.args);
	out->tolerated = calls[i].tolerated;
	return true;
}

static bool allows(uint32_t answer, int tolerated)
{
	switch (answer & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return true;
	case SECCOMP_RET_ERRNO:
		return tolerated < 0 || (tolerated && (int)(answer &
			SECCOMP_RET_DATA) == tolerated);
	default:	/* kill, trap, and what a tracer or listener decides */
		return false;
	}
}

static bool is_allowed(const struct sock_filter *code, size_t n,
		       const struct call *call)
{
	struct seccomp_data data = {
		.nr = call->number,
		.arch = AUDIT_64BIT_LE | pa_arch.elf_machine,
	};

	memcpy(data.args, call->args, sizeof data.args);
	return allows(pa_seccomp_run(code, n, &data), call->tolerated);
}

/* The first call of a list that is forbidden, or NULL. */
static const char *first_of(const struct sock_filter *code, size_t n,
			    const struct call *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_allowed(code, n, &list[i]))
			return list[i].name;
	return NULL;
}

#define FIRST_OF(code, n, list) \
	first_of(code, n, list, sizeof(list) / sizeof *(list))

/* Where a call is forbidden already, the next filter matters no more. */
static void judge_hooks(const struct sock_filter *code, size_t n, void *context)
{
	struct pa_seccomp_others *out = context;
	const uint8_t *bytes = (const uint8_t *)code;

	for (size_t i = 0; i < n * sizeof *code; i++)
		out->hash = (out->hash ^ bytes[i]) * 0x100000001b3u;
	if (!out->hooks)
		out->hooks = FIRST_OF(code, n, hook_calls);
	if (!is_allowed(code, n, &fork_call))
		out->forks = false;
	if (!out->fork_handlers)
		out->fork_handlers = FIRST_OF(code, n, fork_calls);
	if (!out->start)
		out->start = FIRST_OF(code, n, calls);
	if (!out->script)
		out->script = FIRST_OF(code, n, script_calls);
}

static const char *forbidden(const struct sock_filter *code, size_t n,
			     bool memfd)
{
	struct pa_seccomp_call call;

	for (size_t i = 0; pa_seccomp_call(i, memfd, &call); i++)
		if (!allows(pa_seccomp_run(code, n, &call.data),
			    call.tolerated))
			return call.name;
	return NULL;
}

/* Show each filter of a thread; false if not all can be read. */
static bool each_filter(pid_t tid, void (*show)(const struct sock_filter *code,
						size_t n, void *context),
			void *context)
{
	struct sock_filter *code = malloc(BPF_MAXINSNS * sizeof *code);
	bool all = false;

	for (long i = 0; code && i < FILTERS_MAX; i++) {
		long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)i,
				NULL);

		if (n < 0) {
			/* behind the last one */
			all = errno == ENOENT && i;
			break;
		}
		if (n > BPF_MAXINSNS ||
		    ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)i, code) != n)
			break;
		show(code, (size_t)n, context);
	}
	free(code);
	return all;
}

struct all_calls {
	bool memfd;
	const char *name;
};

static void judge_all(const struct sock_filter *code, size_t n, void *context)
{
	struct all_calls *a = context;

	if (!a->name)
		a->name = forbidden(code, n, a->memfd);
}

enum pa_seccomp pa_seccomp_check(pid_t tid, bool memfd, const char **name)
{
	struct all_calls a = { .memfd = memfd };
	bool all = each_filter(tid, judge_all, &a);

	*name = a.name;
	return a.name ? PA_SECCOMP_FORBIDS :
		all ? PA_SECCOMP_GOOD : PA_SECCOMP_UNREADABLE;
}

void pa_seccomp_judge_hooks(const struct sock_filter *code, size_t n,
			    struct pa_seccomp_others *out)
{
	judge_hooks(code, n, out);
}

enum pa_seccomp pa_seccomp_check_hooks(pid_t tid, struct pa_seccomp_others *out)
{
	*out = PA_SECCOMP_OTHERS;
	if (!each_filter(tid, judge_hooks, out))
		return PA_SECCOMP_UNREADABLE;
	if (out->hooks || (out->forks && out->fork_handlers))
		return PA_SECCOMP_FORBIDS;
	return PA_SECCOMP_GOOD;
}
