/* SPDX-License-Identifier: MIT
 *
 * Refusals that no test machine can produce, through the very preflight: a
 * directory with recorded files stands for /proc/PID.  Its memory and maps
 * are our own; this program plays a Python 3.11, so that without a change it
 * is accepted, and each change alone is what refuses it.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "injector/place.h"
#include "injector/proc.h"
#include "injector/session.h"
#include "tests/unit/unit.h"

/* What a Python exports, as preflight looks for it. */
int Py_IsInitialized(void);
extern unsigned long Py_Version;
extern uint64_t _PyRuntime[512];
unsigned long Py_Version;
uint64_t _PyRuntime[512];

int Py_IsInitialized(void)
{
	return 1;
}

static char directory[] = "/tmp/pa-refusals-XXXXXX";
static bool recorded;

int __real_pa_proc_open(pid_t pid);
int __wrap_pa_proc_open(pid_t pid);
int __wrap_pa_proc_open(pid_t pid)
{
	if (!recorded)
		return __real_pa_proc_open(pid);
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put(const char *name, const void *bytes, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static void link_exe(const char *target)
{
	char path[128];

	snprintf(path, sizeof path, "%s/exe", directory);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static char *read_own(const char *name)
{
	char *text = pa_proc_read_all(AT_FDCWD, name);

	assert_non_null(text);
	return text;
}

/* Our own stat, with another state and more flags. */
static void put_stat(char state, unsigned flags)
{
	char *text = read_own("/proc/self/stat"), out[1024];
	char *rest = strrchr(text, ')');
	long number[6];
	int used;

	assert_int_equal(sscanf(rest + 1, " %*c %ld %ld %ld %ld %ld %ld%n",
				&number[0], &number[1], &number[2], &number[3],
				&number[4], &number[5], &used), 6);
	snprintf(out, sizeof out, "%d (python3) %c 1 1 1 0 -1 %ld%s",
		 (int)getpid(), state, (number[5] & 0x400040) | flags,
		 rest + 1 + used);
	put("stat", out, strlen(out));
	free(text);
}

/* Our own status, with one line replaced or added. */
static void put_status(const char *key, const char *value)
{
	char *text = read_own("/proc/self/status"), *line, *rest = text;
	char out[8192];
	size_t n = 0;

	while ((line = strsep(&rest, "\n")))
		if (*line && (!key || strncmp(line, key, strlen(key))))
			n += (size_t)snprintf(out + n, sizeof out - n, "%s\n",
					      line);
	if (key)
		n += (size_t)snprintf(out + n, sizeof out - n, "%s\t%s\n", key,
				      value);
	put("status", out, n);
	free(text);
}

/* Our own maps, without the lines of a file, or with it called otherwise. */
static void put_maps(const char *file, const char *called)
{
	char *text = read_own("/proc/self/maps"), *line, *rest = text;
	char *out = calloc(2, strlen(text) + 65536);
	size_t n = 0;

	assert_non_null(out);
	while ((line = strsep(&rest, "\n"))) {
		char *path = file ? strstr(line, file) : NULL, *slash;

		if (!*line || (path && !called))
			continue;
		slash = path ? strchr(line, '/') : NULL;
		n += (size_t)sprintf(out + n, "%.*s%s\n", slash ?
				     (int)(slash - line) : (int)strlen(line),
				     line, slash ? called : "");
	}
	put("maps", out, n);
	free(out);
	free(text);
}

/* An executable of which only the headers matter. */
static void put_program(unsigned char class, uint16_t machine,
			const char *interpreter)
{
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p;
		char name[64];
	} file;
	char path[128];

	memset(&file, 0, sizeof file);
	memcpy(file.e.e_ident, ELFMAG, SELFMAG);
	file.e.e_ident[EI_CLASS] = class;
	file.e.e_ident[EI_DATA] = ELFDATA2LSB;
	file.e.e_ident[EI_VERSION] = EV_CURRENT;
	file.e.e_type = ET_EXEC;
	file.e.e_machine = machine;
	file.e.e_version = EV_CURRENT;
	file.e.e_ehsize = class == ELFCLASS64 ? sizeof file.e :
		sizeof(Elf32_Ehdr);
	if (interpreter) {
		file.e.e_phoff = sizeof file.e;
		file.e.e_phentsize = sizeof file.p;
		file.e.e_phnum = 1;
		file.p.p_type = PT_INTERP;
		file.p.p_offset = offsetof(__typeof__(file), name);
		file.p.p_filesz = strlen(interpreter) + 1;
		strcpy(file.name, interpreter);
	}
	put("program", &file, sizeof file);
	snprintf(path, sizeof path, "%s/program", directory);
	link_exe(path);
}

/* All as it is with us. */
static int reset(void **state)
{
	static const char zeros[16384];
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	(void)state;
	exe[n > 0 ? n : 0] = 0;
	recorded = true;
	Py_Version = 0x030b07f0;
	memset(_PyRuntime, 0, sizeof _PyRuntime);
	_PyRuntime[2] = 1;	/* initialized, of 3.11 */
	put_stat('S', 0);
	put_status(NULL, NULL);
	put_maps(NULL, NULL);
	put("mem", zeros, sizeof zeros);
	link_exe(exe);
	return 0;
}

static void expect(int error, const char *part)
{
	struct pa_target target;
	struct pa_diag diag = { "", "" };
	int got = pa_target_inspect(getpid(), 0, &target, &diag);

	if (got != error || (part && !strstr(diag.text, part)))
		fail_msg("%d \"%s\" instead of %d \"%s\"", got, diag.text,
			 error, part ? part : "");
	/* and again without anybody who asks why */
	assert_int_equal(pa_target_inspect(getpid(), 0, &target, NULL), error);
}

static void test_accepted(void **state)
{
	(void)state;
	expect(0, NULL);
}

static void test_state(void **state)
{
	(void)state;
	put_stat('S', PA_PF_KTHREAD);
	expect(PA_E_KERNEL_THREAD, "kernel thread");
	put_stat('Z', 0);
	expect(PA_E_ZOMBIE, "has ended and waits to be reaped");
	put_stat('X', 0);
	expect(PA_E_EXITED, "ended or executed");
	put_stat('T', 0);
	expect(PA_E_STOPPED, "is stopped by a signal");
	reset(NULL);
	put_status("TracerPid:", "1");
	expect(PA_E_TRACED, "is traced already by process 1 (");
	put_status("Tgid:", "1");
	expect(PA_E_NO_PROCESS, "is a thread of process");
}

static void test_program(void **state)
{
	(void)state;
	put_program(ELFCLASS32, EM_386, NULL);
	expect(PA_E_NOT_64_BIT, "is a 32-bit process");
	put_program(ELFCLASS64, EM_AARCH64, NULL);
	expect(PA_E_OTHER_CPU, "another CPU");
	link_exe("/usr/bin/qemu-x86_64-static");
	expect(PA_E_EMULATED, "runs under qemu-x86_64-static");
	link_exe("/usr/libexec/valgrind/memcheck-amd64-linux");
	expect(PA_E_EMULATED, "runs under memcheck-amd64-linux");
}

static void test_library(void **state)
{
	(void)state;
	put_program(ELFCLASS64, EM_X86_64, "/lib/ld-musl-x86_64.so.1");
	expect(PA_E_NOT_GLIBC, "uses musl instead of glibc");
	put_maps("/libc.so.6", NULL);
	put_program(ELFCLASS64, EM_X86_64, "/lib/ld-uClibc.so.0");
	expect(PA_E_NOT_GLIBC, "another C library instead of glibc");
	put_program(ELFCLASS64, EM_X86_64, NULL);
	expect(PA_E_STATIC, "static executable");
	put_program(ELFCLASS64, EM_X86_64, "/lib64/ld-linux-x86-64.so.2");
	expect(PA_E_NOT_READY, "still being loaded");
}

static void test_python(void **state)
{
	(void)state;
	put_maps("/libcmocka", "/opt/pypy/libpypy3.10-c.so");
	expect(PA_E_OTHER_PYTHON, "runs PyPy, not CPython");
	put_maps("/libcmocka", "/opt/graal/libpythonvm.so");
	expect(PA_E_OTHER_PYTHON, "runs GraalPy, not CPython");
	put_maps(NULL, NULL);
	Py_Version = 0x031000f0;
	expect(PA_E_NEW_PYTHON, "is the newest that is known");
	Py_Version = 0x030711f0;
	expect(PA_E_OLD_PYTHON, "is the oldest that is supported");
	Py_Version = 0;
	expect(PA_E_NEW_PYTHON, "cannot be told");
	Py_Version = 0x030b07f0;
	_PyRuntime[2] = 0;
	expect(PA_E_NOT_READY, "not initialised");
	_PyRuntime[2] = 1;
	_PyRuntime[3] = 1;	/* the thread that finalises */
	expect(PA_E_FINALISING, "shutting down");
}

static void test_hindrances(void **state)
{
	(void)state;
	put_status("x86_Thread_features:", "shstk");
	expect(PA_E_SHADOW_STACK, "shadow stack");
	put_status("Seccomp:", "1");
	expect(PA_E_SECCOMP, "strict");
	put_status("Seccomp:", "2");	/* judged at the attach */
	expect(0, NULL);
}

/* ---- after the commit: what the stub found ---- */

static void expect_stub(const struct pa_scratch *found, int error,
			const char *part)
{
	static struct pa_scratch scratch;
	struct pa_target target = { .pid = getpid() };
	struct pa_attach_options options = { 0 };
	struct pa_attach_result result = { 0 };
	struct pa_diag diag = { "", "" };
	struct pa_session s = {
		.target = &target, .options = &options, .result = &result,
		.diag = &diag, .mem = -1, .deadline_ns = UINT64_MAX,
		.dir = __real_pa_proc_open(getpid()),
	};

	scratch = *found;
	scratch.state = 2;
	s.block.scratch = (uint64_t)(uintptr_t)&scratch;
	s.block.options.ticket = 1;
	assert_int_equal(pa_memory_init(&s.memory, getpid(), -1), 0);
	assert_int_equal(pa_session_wait_answer(&s), error);
	if (!strstr(diag.text, part))
		fail_msg("\"%s\" lacks \"%s\"", diag.text, part);
	pa_memory_deinit(&s.memory);
	close(s.dir);
}

static void test_stub_answers(void **state)
{
	struct pa_scratch found = { 0 };

	(void)state;
	strcpy(found.error, "/tmp/x.so: cannot allocate memory in static TLS block");
	expect_stub(&found, PA_E_NO_TLS, "no thread-local storage is left");
	strcpy(found.error, "/tmp/x.so: \x1b[2Junexpected reloc type");
	expect_stub(&found, PA_E_LOADER, "\\x1b[2Junexpected reloc type");
	memset(found.error, 'x', sizeof found.error);
	expect_stub(&found, PA_E_LOADER, "refused the payload: xxx");
	memset(&found, 0, sizeof found);
	expect_stub(&found, PA_E_LOADER, "no reason given");
	found.handle = 1;
	expect_stub(&found, PA_E_PAYLOAD_MISSING, "loaded has no");
	found.start = 1;
	found.result = PA_E_NO_THREAD_LEFT;
	expect_stub(&found, PA_E_NO_THREAD_LEFT, "no further thread");
}

/* A C library without any dlopen. */
static void test_old_libc(void **state)
{
	struct pa_module empty = { .start = 4096, .end = 8192 };
	struct pa_target target = { .pid = 4711 };
	struct pa_diag diag = { "", "" };
	struct pa_session s = {
		.target = &target, .diag = &diag,
		.modules = { .module = &empty, .count = 1, .libc = &empty },
	};

	(void)state;
	assert_int_equal(pa_memory_init(&s.memory, getpid(), -1), 0);
	assert_int_equal(pa_session_find_loader(&s), PA_E_LIBC_OLD);
	assert_non_null(strstr(diag.text, "has no dlopen"));
	pa_memory_deinit(&s.memory);
}

static void expect_payload(const char *path, const char *part)
{
	struct pa_place place;
	struct pa_diag diag = { "", "" };

	assert_int_equal(pa_place_open(&place, path, &diag),
			 PA_E_PAYLOAD_MISSING);
	if (!strstr(diag.text, part))
		fail_msg("\"%s\" lacks \"%s\"", diag.text, part);
	pa_place_close(&place);
}

static void test_payload_file(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/absent.so", directory);
	expect_payload(path, "cannot open");
	expect_payload(directory, "sane size");
	put("garbage.so", "garbage", 7);
	snprintf(path, sizeof path, "%s/garbage.so", directory);
	expect_payload(path, "is damaged: ");
	expect_payload("/proc/self/exe", "does not export");
}

/* What has changed, or is there, when the attach begins. */
static void expect_attach(unsigned state, uint64_t later, int error,
			  const char *part)
{
	struct pa_proc_stat stat;
	struct pa_attach_options options = { .timeout_ns = 1000000000 };
	struct pa_attach_result result;
	struct pa_diag diag = { "", "" };
	struct pa_target target = {
		.pid = getpid(), .directory = 4096, .loaded.state = state,
	};

	recorded = false;
	assert_int_equal(pa_proc_read_stat(AT_FDCWD, "/proc/self/stat", &stat),
			 0);
	target.start_time = stat.start_time + later;
	strcpy(target.loaded.payload_version, "0.0.1");
	assert_int_equal(pa_attach(&target, &options, &result, &diag), error);
	if (!strstr(diag.text, part))
		fail_msg("\"%s\" lacks \"%s\"", diag.text, part);
}

static void test_attach(void **state)
{
	(void)state;
	expect_attach(PA_STATE_ATTACHED, 0, PA_E_OTHER_VERSION,
		      "has a payload of version 0.0.1");
	expect_attach(PA_STATE_STARTING, 0, PA_E_LOADING, "is under way");
	expect_attach(PA_STATE_DETACHED, 1, PA_E_PID_REUSED,
		      "is another one than before");
}

/* Its memory cannot be opened, and then it turns out to have none. */
static void test_about_to_end(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/mem", directory);
	unlink(path);
	assert_int_equal(symlink("mem", path), 0);
	expect(PA_E_NOT_PERMITTED, "not permitted to trace process");
	put_status("Vm", "no line tells of it");
	expect(PA_E_EXITED, "ended before it was looked into");
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {
		"stat", "status", "maps", "mem", "exe", "program",
		"garbage.so",
	};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		unlink(path);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_accepted, reset),
		cmocka_unit_test_setup(test_state, reset),
		cmocka_unit_test_setup(test_about_to_end, reset),
		cmocka_unit_test_setup(test_program, reset),
		cmocka_unit_test_setup(test_library, reset),
		cmocka_unit_test_setup(test_python, reset),
		cmocka_unit_test_setup(test_hindrances, reset),
		cmocka_unit_test_setup(test_stub_answers, reset),
		cmocka_unit_test_setup(test_old_libc, reset),
		cmocka_unit_test_setup(test_payload_file, reset),
		cmocka_unit_test_setup(test_attach, reset),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
