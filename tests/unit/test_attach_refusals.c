/* SPDX-License-Identifier: MIT
 *
 * Refusals of an attach that has begun, and of a /proc that is not as it
 * should be: none of them can be had from a process of a test machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "injector/place.h"
#include "injector/proc.h"
#include "injector/room.h"
#include "injector/session.h"
#include "tests/unit/unit.h"

/* What a Python exports: this program plays one. */
int Py_IsInitialized(void);
extern unsigned long Py_Version;
extern uint64_t _PyRuntime[512];
unsigned long Py_Version = 0x030b07f0;
uint64_t _PyRuntime[512] = { 0, 0, 1 };	/* initialised, of 3.11 */

int Py_IsInitialized(void)
{
	return 1;
}

static char directory[] = "/tmp/pa-attach-XXXXXX";
static enum { REAL, RECORDED, HIDDEN } proc;
static bool no_vector;

int __real_pa_proc_open(pid_t pid);
int __wrap_pa_proc_open(pid_t pid);
int __wrap_pa_proc_open(pid_t pid)
{
	if (proc == REAL)
		return __real_pa_proc_open(pid);
	errno = ENOENT;
	return proc == HIDDEN ? -1 :
		open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int __real_pa_arch_vector_mask(uint64_t *mask);
int __wrap_pa_arch_vector_mask(uint64_t *mask);
int __wrap_pa_arch_vector_mask(uint64_t *mask)
{
	return no_vector ? -1 : __real_pa_arch_vector_mask(mask);
}

/* What comes of the attempts, in turn; NULL: they are made. */
static const enum pa_attempt_outcome *outcomes;

void __real_pa_threads_attempt(struct pa_attempt *attempt);
void __wrap_pa_threads_attempt(struct pa_attempt *attempt);
void __wrap_pa_threads_attempt(struct pa_attempt *attempt)
{
	if (!outcomes) {
		__real_pa_threads_attempt(attempt);
		return;
	}
	attempt->outcome = *outcomes++;
}

static const char *mounts;	/* for /proc/self/mountinfo, or NULL */

char *__real_pa_proc_read_all(int dir, const char *name);
char *__wrap_pa_proc_read_all(int dir, const char *name);
char *__wrap_pa_proc_read_all(int dir, const char *name)
{
	if (mounts && !strcmp(name, "/proc/self/mountinfo"))
		return strdup(mounts);
	return __real_pa_proc_read_all(dir, name);
}

static void expect(const struct pa_diag *diag, int error, int wanted,
		   const char *part)
{
	if (error != wanted || !strstr(diag->text, part))
		fail_msg("%d \"%s\" instead of %d \"%s\"", error, diag->text,
			 wanted, part);
}

static void expect_inspect(int wanted, const char *part)
{
	struct pa_target target;
	struct pa_diag diag = { "", "" };
	int error = pa_target_inspect(getpid(), 0, &target, &diag);

	expect(&diag, error, wanted, part);
}

static void expect_attach(struct pa_target target, int wanted,
			  const char *part)
{
	struct pa_attach_options options = { .timeout_ns = 1000000000 };
	struct pa_attach_result result;
	struct pa_diag diag = { "", "" };
	int error = pa_attach(&target, &options, &result, &diag);

	expect(&diag, error, wanted, part);
}

static struct pa_target ourselves(void)
{
	struct pa_proc_stat stat;

	assert_int_equal(pa_proc_read_stat(AT_FDCWD, "/proc/self/stat", &stat),
			 0);
	return (struct pa_target){ .pid = getpid(),
				   .start_time = stat.start_time };
}

/* A file of our own /proc, in the directory. */
static void record(const char *name)
{
	char path[128], *text;
	int fd;

	snprintf(path, sizeof path, "/proc/self/%s", name);
	text = pa_proc_read_all(AT_FDCWD, path);
	assert_non_null(text);
	snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	free(text);
}

static void clear(void)
{
	static const char *const names[] = {
		"stat", "status", "mem", "maps", "limits", "cgroup",
		"box/cgroup.events", "box/freezer.state", "box/memory.max",
		"box/memory.current", "box/memory.stat", "box/pids.max",
		"box/pids.current", "box/memory.limit_in_bytes",
		"box/memory.usage_in_bytes", "box",
	};
	char box[128];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		unlink(path);
		rmdir(path);
	}
	snprintf(box, sizeof box, "%s/box", directory);
	mkdir(box, 0700);
}

static int reset(void **state)
{
	(void)state;
	proc = REAL;
	no_vector = false;
	mounts = NULL;
	outcomes = NULL;
	clear();
	return 0;
}

/* ---- /proc ---- */

static void test_hidden(void **state)
{
	(void)state;
	proc = HIDDEN;
	expect_inspect(PA_E_NOT_PERMITTED, "not permitted to see process");
}

static void test_no_memory_file(void **state)
{
	(void)state;
	proc = RECORDED;
	record("stat");
	record("status");
	expect_inspect(PA_E_EXITED, "ended before it was looked into");
	expect_attach(ourselves(), PA_E_NOT_PERMITTED,
		      "cannot open the memory of process");
}

static void test_no_maps(void **state)
{
	struct pa_directory found;
	struct pa_diag diag = { "", "" };
	char path[128];
	uint64_t at;

	(void)state;
	proc = RECORDED;
	expect(&diag, pa_target_find_directory(getpid(), &at, &found, &diag),
	       PA_E_EXITED, "ended while it was looked at");
	snprintf(path, sizeof path, "%s/maps", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	expect(&diag, pa_target_find_directory(getpid(), &at, &found, &diag),
	       PA_E_NOT_PERMITTED, "cannot read the maps of process");
}

/* ---- control groups, as the kernel shows them ---- */

static void put(const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The process is in /box of a hierarchy that is mounted on the directory. */
static int open_group(bool first_version, const char *controller)
{
	static char line[256];
	char group[64];

	snprintf(line, sizeof line, first_version ?
		 "30 1 0:9 / %s rw - cgroup cgroup rw,%s\n" :
		 "30 1 0:9 / %s rw - cgroup2 cgroup2 rw%s\n", directory,
		 first_version ? controller : "");
	mounts = line;
	snprintf(group, sizeof group, first_version ? "5:%s:/box\n" :
		 "0::%s/box\n", first_version ? controller : "");
	put("cgroup", group);
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void expect_frozen(bool first_version, const char *file,
			  const char *frozen, const char *thawed)
{
	struct pa_diag diag = { "", "" };
	int dir = open_group(first_version, "freezer");

	put(file, frozen);
	expect(&diag, pa_room_check_frozen(dir, 4711, &diag), PA_E_FROZEN,
	       "is in a frozen cgroup (");
	put(file, thawed);
	assert_int_equal(pa_room_check_frozen(dir, 4711, &diag), 0);
	close(dir);
}

static void test_frozen(void **state)
{
	(void)state;
	expect_frozen(false, "box/cgroup.events", "populated 1\nfrozen 1\n",
		      "populated 1\nfrozen 0\n");
	clear();
	expect_frozen(true, "box/freezer.state", "FROZEN\n", "THAWED\n");
	expect_frozen(true, "box/freezer.state", "FREEZING\n", "THAWED\n");
}

static void expect_room(int dir, int wanted, const char *part)
{
	const struct pa_target target = { .pid = 4711 };
	const struct pa_proc_status status = { .uid = { 1, 1, 1, 1 } };
	struct pa_diag diag = { "", "" };

	expect(&diag, pa_room_check(dir, &target, &status, 16 << 20, 100,
				    &diag), wanted, part);
}

static void test_limits(void **state)
{
	int dir = open_group(false, "");

	(void)state;
	put("box/memory.max", "104857600\n");
	put("box/memory.current", "94371840\n");
	expect_room(dir, PA_E_NO_MEMORY_LEFT,
		    " 10240 KiB more memory (memory.max of its cgroup)");
	expect_room(dir, PA_E_NO_MEMORY_LEFT, "KiB more memory (");
	put("box/memory.stat", "anon 1\ninactive_file 62914560\nactive_file 1\n");
	expect_room(dir, 0, "");
	put("box/pids.max", "7\n");
	put("box/pids.current", "7\n");
	expect_room(dir, PA_E_NO_THREAD_LEFT, "pids.max of its cgroup (7)");
	put("box/pids.current", "6\n");
	expect_room(dir, 0, "");
	close(dir);
	clear();
	dir = open_group(true, "memory");
	put("box/memory.limit_in_bytes", "104857600\n");
	put("box/memory.usage_in_bytes", "94371840\n");
	expect_room(dir, PA_E_NO_MEMORY_LEFT, "memory.limit_in_bytes");
	close(dir);
	clear();
	dir = open_group(true, "pids");
	put("box/pids.max", "7\n");
	put("box/pids.current", "8\n");
	expect_room(dir, PA_E_NO_THREAD_LEFT, "may not start a thread: pids.max");
	close(dir);
}

/* What a process may have of its own. */
static void test_own_limits(void **state)
{
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	put("limits", "Max address space 16777216 16777216 bytes\n");
	expect_room(dir, PA_E_NO_MEMORY_LEFT, "may map only");
	put("limits", "Max open files 3 3 files\n");
	expect_room(dir, PA_E_NO_FD_LEFT, "descriptors open (RLIMIT_NOFILE)");
	close(dir);
}

/* ---- an attach that has begun ---- */

static void test_another_process(void **state)
{
	struct pa_target target = ourselves();
	pid_t dead = fork();

	(void)state;
	if (!dead)
		_exit(0);
	target.python_version = 0x030a00f0;
	expect_attach(target, PA_E_EXITED,
		      "executed another program meanwhile");
	target.pid = dead;
	assert_int_equal(waitpid(dead, NULL, 0), dead);
	expect_attach(target, PA_E_EXITED, "ended meanwhile");
}

static void expect_search(const enum pa_attempt_outcome *list, int wanted,
			  const char *part)
{
	const struct pa_target target = ourselves();
	const struct pa_attach_options options = { .timeout_ns = 0 };
	struct pa_attach_result result = { .stops = 0 };
	struct pa_diag diag = { "", "" };
	uint64_t end = pa_session_now() + 60000000000;
	struct pa_session s = {
		.target = &target, .options = &options, .result = &result,
		.diag = &diag, .deadline_ns = end, .mem = -1,
		.dir = pa_proc_open(getpid()),
	};

	outcomes = list;
	expect(&diag, pa_session_commit(&s, end), wanted, part);
	close(s.dir);
}

/* By nobody that is to be seen: a tracer that just let go, or a refusal.  Only
 * several in a row are one. */
static void test_denied(void **state)
{
	static const enum pa_attempt_outcome apart[] = {
		PA_ATTEMPT_DENIED, PA_ATTEMPT_DENIED, PA_ATTEMPT_DENIED,
		PA_ATTEMPT_NO_STOP, PA_ATTEMPT_DENIED, PA_ATTEMPT_DENIED,
		PA_ATTEMPT_GONE, PA_ATTEMPT_DENIED, PA_ATTEMPT_COMMITTED,
	}, in_a_row[] = {
		PA_ATTEMPT_NO_STOP, PA_ATTEMPT_DENIED, PA_ATTEMPT_DENIED,
		PA_ATTEMPT_DENIED, PA_ATTEMPT_DENIED, PA_ATTEMPT_COMMITTED,
	};

	(void)state;
	expect_search(apart, 0, "");
	expect_search(in_a_row, PA_E_NOT_PERMITTED, "not permitted to trace");
}

static void test_cpu(void **state)
{
	(void)state;
	no_vector = true;
	expect_attach(ourselves(), PA_E_TRACE_FAILED,
		      "this CPU's vector state does not fit");
}

static void test_full(void **state)
{
	struct pa_map maps[] = {
		{ .start = 0x10000, .end = 0x7000000000 },
		{ .start = 0x7000000000, .end = 0x7ffffffff000 },
	};
	struct pa_target target = { .pid = 4711 };
	struct pa_diag diag = { "", "" };
	struct pa_module module = { .start = 4096, .end = 8192 };
	struct pa_session s = {
		.target = &target, .diag = &diag,
		.modules = {
			.maps = { .map = maps, .count = 2 },
			.module = &module, .count = 1, .libc = &module,
		},
	};

	(void)state;
	expect(&diag, pa_session_choose_scratch(&s), PA_E_NO_MEMORY_LEFT,
	       "the address space of process 4711 is full");
	expect(&diag, pa_session_find_cave(&s), PA_E_NO_PLACE, "has no room for");
}

/* ---- places ---- */

static void test_places(void **state)
{
	struct pa_place place = { .source = -1, .file = -1, .directory = -1 };
	struct pa_target target = { .pid = 4711, .uid = geteuid() };
	struct pa_diag diag = { "", "" };
	char path[128];
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	expect(&diag, pa_place_copy(&place, dir, &target, &diag),
	       PA_E_NO_PLACE, "cannot open the root directory of process 4711");
	/* a directory that was there a moment ago */
	snprintf(path, sizeof path, "%s/gone", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	place.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(rmdir(path), 0);
	strcpy(place.base, "/gone");
	expect(&diag, pa_place_script(&place, dir, &target, path, sizeof path,
				      &diag),
	       PA_E_NO_PLACE, "cannot make a file for process 4711 in its");
	pa_place_close(&place);
	close(dir);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char box[128];

	(void)state;
	clear();
	snprintf(box, sizeof box, "%s/box", directory);
	rmdir(box);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_hidden, reset),
		cmocka_unit_test_setup(test_no_memory_file, reset),
		cmocka_unit_test_setup(test_no_maps, reset),
		cmocka_unit_test_setup(test_frozen, reset),
		cmocka_unit_test_setup(test_limits, reset),
		cmocka_unit_test_setup(test_own_limits, reset),
		cmocka_unit_test_setup(test_another_process, reset),
		cmocka_unit_test_setup(test_denied, reset),
		cmocka_unit_test_setup(test_cpu, reset),
		cmocka_unit_test_setup(test_full, reset),
		cmocka_unit_test_setup(test_places, reset),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
