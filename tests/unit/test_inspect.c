/* SPDX-License-Identifier: MIT
 *
 * What preflight decides from facts alone: versions out of text, the sentence
 * for a missing permission, names made harmless, the table of system calls;
 * and which directory counts, where this process has several.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include "injector/arch.h"
#include "injector/diag.h"
#include "injector/injector.h"
#include "injector/permission.h"
#include "injector/place.h"
#include "injector/python.h"
#include "tests/unit/unit.h"

static void test_version(void **state)
{
	(void)state;
	assert_int_equal(pa_python_parse_version("3.8.18 (default, x"),
			 0x030812f0);
	assert_int_equal(pa_python_parse_version("3.13.0rc2+ (main"),
			 0x030d00c2);
	assert_int_equal(pa_python_parse_version("3.15.0a7 (main"), 0x030f00a7);
	assert_int_equal(pa_python_parse_version("3.15.0b1 (main"), 0x030f00b1);
	assert_int_equal(pa_python_parse_version("2.7.18 ("), 0x020712f0);
	assert_int_equal(pa_python_parse_version("3.9.2+ ("), 0x030902f0);
	assert_int_equal(pa_python_parse_version("3.9.2"), 0);
	assert_int_equal(pa_python_parse_version("3.9 (x"), 0);
	assert_int_equal(pa_python_parse_version("3.900.1 (x"), 0);
	assert_int_equal(pa_python_parse_version("3.9.2x (x"), 0);
	assert_int_equal(pa_python_parse_version(""), 0);
	assert_int_equal(pa_python_parse_version("3."), 0);
}

static void test_escape(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(pa_escape("gdb", out, sizeof out), "gdb");
	assert_string_equal(pa_escape("\x1b[2J", out, sizeof out), "\\x1b[2J");
	assert_string_equal(pa_escape("a\n\xe2", out, sizeof out),
			    "a\\x0a\\xe2");
	assert_string_equal(pa_escape("0123456789abcdef", out, sizeof out),
			    "012345678...");
	assert_string_equal(pa_escape("", out, sizeof out), "");
}

static struct pa_permission_facts plain(void)
{
	return (struct pa_permission_facts){
		.pid = 4711, .our_uid = 1000, .our_gid = 1000,
		.uid = { 1000, 1000, 1000, 1000 },
		.gid = { 1000, 1000, 1000, 1000 },
		.yama = -1, .may_read = true, .same_user_namespace = true,
	};
}

static void expect(const struct pa_permission_facts *facts, const char *part)
{
	struct pa_diag diag;

	assert_int_equal(pa_permission_explain(facts, &diag),
			 PA_E_NOT_PERMITTED);
	if (!strstr(diag.text, part))
		fail_msg("\"%s\" lacks \"%s\"", diag.text, part);
	assert_true(diag.hint[0]);
	assert_int_equal(pa_permission_explain(facts, NULL),
			 PA_E_NOT_PERMITTED);
}

static void test_permission(void **state)
{
	struct pa_permission_facts f = plain();

	(void)state;
	f.yama = 1;
	expect(&f, "Yama's ptrace_scope is");
	f.yama = 2;
	expect(&f, "ptrace_scope is 2");
	f.yama = 3;
	expect(&f, "nobody may trace");
	f = plain();
	f.uid[1] = 0;
	expect(&f, "it belongs to user");
	expect(&f, " 0, and you are user 1000");
	f = plain();
	f.not_dumpable = true;
	expect(&f, "it has made itself non-dumpable");
	f = plain();
	f.same_user_namespace = false;
	expect(&f, "another user namespace");
	f.our_capabilities = UINT64_MAX;
	expect(&f, "security module");
	f.contained = true;
	expect(&f, "another user namespace");
	f = plain();
	f.our_uid = 0;
	expect(&f, "lacks CAP_SYS_PTRACE");
	f = plain();
	expect(&f, "security module");
}

static void test_calls(void **state)
{
	(void)state;
	assert_int_equal(pa_arch_call(SYS_futex).kind, PA_CALL_WAIT);
	assert_int_equal(pa_arch_call(SYS_io_uring_enter).kind, PA_CALL_NEVER);
	assert_int_equal(pa_arch_call(SYS_epoll_pwait).timeout, 3);
	assert_true(pa_arch_call(SYS_epoll_pwait).recomputed);
	assert_int_equal(pa_arch_call(SYS_pause).kind, PA_CALL_PAUSE);
	assert_int_equal(pa_arch_call(SYS_recvfrom).kind, PA_CALL_STREAM);
	assert_int_equal(pa_arch_call(SYS_getpid).kind, PA_CALL_OTHER);
	assert_int_equal(pa_arch_call(-1).kind, PA_CALL_OTHER);
}

static void test_after_call(void **state)
{
	static const struct {
		uint8_t bytes[PA_ARCH_RETURN_BYTES];
		bool call;
	} cases[] = {
		{ { 0x90, 0x90, 0x90, 0xe8, 1, 2, 3, 4 }, true },
		{ { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd1 }, true },
		{ { 0x90, 0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4 }, true },
		{ { 0x90, 0x90, 0xff, 0x15, 1, 2, 3, 4 }, true },
		{ { 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x53, 0x18 }, true },
		{ { 0x90, 0xff, 0x94, 0xc8, 1, 2, 0, 0 }, true },
		{ { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe1 }, false },
		{ { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3 }, false },
		{ { 0 }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(pa_arch_is_after_call(cases[i].bytes),
				 cases[i].call);
}

/* A stack of words: each holds its own address and 1. */
static int load_word(void *context, uint64_t address, uint64_t *value)
{
	(void)context;
	*value = address + 1;
	return address >= 0x2000;
}

static bool run_end(const void *code, size_t n, uint64_t *r)
{
	memset(r, 0, 34 * sizeof *r);
	r[pa_arch.unwind_sp] = 0x1000;
	r[pa_arch.unwind_fp] = 0x1800;
	return pa_arch_run_end(code, n, r, load_word, NULL);
}

static void test_run_end(void **state)
{
	uint64_t r[34];

	(void)state;
	/* add $8,%rsp; ret */
	assert_true(run_end("\x48\x83\xc4\x08\xc3", 5, r));
	assert_int_equal(r[pa_arch.unwind_sp], 0x1010);
	assert_int_equal(r[pa_arch.unwind_ra], 0x1009);
	assert_int_equal(r[pa_arch.unwind_fp], 0x1800);
	/* pop %rbp; ret */
	assert_true(run_end("\x5d\xc3", 2, r));
	assert_int_equal(r[pa_arch.unwind_fp], 0x1001);
	/* pop %rbx; pop %r12; ret */
	assert_true(run_end("\x5b\x41\x5c\xc3", 4, r));
	assert_int_equal(r[3], 0x1001);
	assert_int_equal(r[12], 0x1009);
	/* leave; ret */
	assert_true(run_end("\xc9\xc3", 2, r));
	assert_int_equal(r[pa_arch.unwind_sp], 0x1810);
	assert_int_equal(r[pa_arch.unwind_ra], 0x1809);
	/* not the end, cut short, or not to be read */
	assert_false(run_end("\x48\x89\xc3\xc3", 4, r));
	assert_false(run_end("\x48\x83\xc4", 3, r));
	assert_false(run_end("\x5d", 1, r));
	assert_false(run_end("", 0, r));
	assert_false(run_end("\x48\x81\xc4\0\0\1\0\xc3", 8, r));
}

static void test_place(void **state)
{
	struct stat st = { .st_uid = 0, .st_mode = S_IFDIR | 01777 };

	(void)state;
	assert_true(pa_place_is_trusted(&st, 1000, 0, false));
	st.st_mode = S_IFDIR | 0777;	/* all may rename what is there */
	assert_false(pa_place_is_trusted(&st, 1000, 0, false));
	st.st_mode = S_IFDIR | 0775;
	assert_false(pa_place_is_trusted(&st, 1000, 0, false));
	st.st_mode = S_IFDIR | 0755;
	assert_true(pa_place_is_trusted(&st, 1000, 0, false));
	st.st_uid = 1000;
	assert_true(pa_place_is_trusted(&st, 1000, 0, false));
	st.st_uid = 1001;		/* its owner may, sticky or not */
	st.st_mode = S_IFDIR | 01777;
	assert_false(pa_place_is_trusted(&st, 1000, 0, false));
	assert_true(pa_place_is_trusted(&st, 1000, 1001, false));
	st.st_uid = 65534;
	assert_false(pa_place_is_trusted(&st, 1000, 0, false));
	assert_true(pa_place_is_trusted(&st, 1000, 0, true));
}

static void test_stub(void **state)
{
	size_t size;
	const uint8_t *stub = pa_arch_stub(&size);
	uint64_t length, mask = 0;

	(void)state;
	assert_memory_equal(stub, PA_STUB_MARK, 8);
	memcpy(&length, stub + 8, sizeof length);
	assert_int_equal(length, size);
	assert_true(size < 1024);
	assert_int_equal(pa_arch_vector_mask(&mask), 0);
	assert_int_equal(mask & 3, 3);	/* x87 and SSE always */
}

#define PAGE ((size_t)PA_IMAGE_PAGE)

/* Room for a directory between guards; at 0: anywhere.  NULL: none there. */
static struct pa_directory *make_room(uint64_t at)
{
	char *p = mmap(at ? (void *)(at - PAGE) : NULL, 3 * PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if ((at && p != (char *)(at - PAGE)) ||
	    mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE)) {
		munmap(p, 3 * PAGE);
		return NULL;
	}
	return (struct pa_directory *)(void *)(p + PAGE);
}

static void fill(struct pa_directory *d, uint32_t state, uint32_t pid)
{
	memcpy(d->magic, PA_IMAGE_MAGIC, sizeof d->magic);
	d->major = PA_IMAGE_MAJOR;
	d->endian = PA_IMAGE_ENDIAN;
	d->self = (uint64_t)(uintptr_t)d;
	d->state = state;
	d->pid = pid;
	d->identity_crc = (uint32_t)crc32(0, (const Bytef *)d, offsetof(
					  struct pa_directory, identity_crc));
}

/* Beyond the low slots it is looked for where nothing in there is in use; what
 * a raw clone took along is never preferred. */
static void test_directories(void **state)
{
	struct pa_directory *low = make_room(PA_SLOT_FIRST), *other, found;
	uint32_t own = (uint32_t)getpid();
	const struct {
		uint32_t low, low_pid, other, other_pid;
		bool is_low;
	} cases[] = {
		{ PA_STATE_DETACHED, own, PA_STATE_ATTACHED, own, false },
		{ PA_STATE_FAILED, own, PA_STATE_STARTING, own, false },
		{ PA_STATE_FORKED, own, PA_STATE_DETACHED, own, false },
		{ PA_STATE_ATTACHED, own, PA_STATE_DETACHED, own, true },
		{ PA_STATE_DETACHED, own, PA_STATE_FORKED, own, true },
		{ PA_STATE_ATTACHED, own + 1, PA_STATE_DETACHED, own, false },
		{ PA_STATE_FORKED, own, PA_STATE_ATTACHED, own + 1, true },
	};
	uint64_t at;

	(void)state;
	if (!low)
		LEAVE_OUT("the first slot is not free");
	other = make_room(0);
	assert_non_null(other);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fill(low, cases[i].low, cases[i].low_pid);
		fill(other, cases[i].other, cases[i].other_pid);
		assert_int_equal(pa_target_find_directory(getpid(), &at, &found,
							  NULL), 0);
		assert_int_equal(at, cases[i].is_low ? low->self : other->self);
		assert_int_equal(found.self, at);
	}
	munmap((char *)low - PAGE, 3 * PAGE);
	munmap((char *)other - PAGE, 3 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_after_call),
		cmocka_unit_test(test_run_end),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_stub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
