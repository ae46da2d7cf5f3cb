/* SPDX-License-Identifier: MIT
 *
 * Sweeping a directory: what an attach that was killed has left there goes,
 * and nothing else, whatever it is called.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "injector/place.h"
#include "tests/unit/unit.h"

#define NAME ".pyattach-0123456789abcdef0123456789abcdef.so"

static char path[] = "/tmp/pa-place-XXXXXX";
static int directory;

static void make(const char *name)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			0500);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static bool is_there(const char *name)
{
	struct stat st;

	return !fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW);
}

static bool survives(const char *name)
{
	bool there;

	pa_place_sweep(directory, geteuid(), geteuid());
	there = is_there(name);
	unlinkat(directory, name, 0);
	unlinkat(directory, name, AT_REMOVEDIR);
	return there;
}

static void test_left_behind(void **state)
{
	(void)state;
	make(NAME);
	assert_false(survives(NAME));
}

static void test_in_use(void **state)
{
	int fd;

	(void)state;
	make(NAME);
	fd = openat(directory, NAME, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_true(survives(NAME));
	close(fd);
	make(NAME);
	fd = openat(directory, NAME, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_true(survives(NAME));
	close(fd);
	make(NAME);
	assert_false(survives(NAME));
}

static void test_other_names(void **state)
{
	static const char *const names[] = {
		".pyattach-0123456789abcdef0123456789abcdef.py",
		".pyattach-0123456789abcdef0123456789abcde.so",
		".pyattach-0123456789abcdef0123456789abcdef0.so",
		".pyattach-0123456789ABCDEF0123456789abcdef.so",
		".pyattach-0123456789abcdef0123456789abcdef.so.1",
		"pyattach-0123456789abcdef0123456789abcdef.so",
		".pyattach-", ".pyattach-.so",
	};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		make(names[i]);
		assert_true(survives(names[i]));
	}
}

static void test_other_kinds(void **state)
{
	(void)state;
	make("victim");
	assert_int_equal(symlinkat("victim", directory, NAME), 0);
	assert_true(survives(NAME));
	assert_true(is_there("victim"));
	assert_int_equal(linkat(directory, "victim", directory, NAME, 0), 0);
	assert_true(survives(NAME));
	assert_int_equal(unlinkat(directory, "victim", 0), 0);
	assert_int_equal(mkdirat(directory, NAME, 0700), 0);
	assert_true(survives(NAME));
	/* nobody writes to it: to open it must not wait */
	assert_int_equal(mkfifoat(directory, NAME, 0600), 0);
	assert_true(survives(NAME));
}

static void test_other_users(void **state)
{
	(void)state;
	make(NAME);
	pa_place_sweep(directory, geteuid() + 1, geteuid() + 2);
	assert_true(is_there(NAME));
	pa_place_sweep(directory, geteuid() + 1, geteuid());
	assert_false(is_there(NAME));
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(path))
		return -1;
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return directory < 0 ? -1 : 0;
}

static int remove_directory(void **state)
{
	(void)state;
	close(directory);
	return rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_other_names),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_other_users),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
