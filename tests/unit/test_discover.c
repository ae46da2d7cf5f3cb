/* SPDX-License-Identifier: MIT
 *
 * pa_discover_remove: the very file that was connected to and no other, in a
 * private directory and no other.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/discover.h"
#include "tests/unit/unit.h"

static char directory[] = "/tmp/pa-discover-XXXXXX";
static struct pa_wire wire;

/* A socket's file under the name, as bind() makes it. */
static void make(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address),
			 0);
	close(fd);
}

/* Made, and connected to. */
static int reset(void **state)
{
	struct stat st;

	(void)state;
	memset(&wire, 0, sizeof wire);
	wire.fd = -1;
	wire.process.pid = getpid();
	snprintf(wire.socket, sizeof wire.socket, "%s/1.sock", directory);
	chmod(directory, 0700);
	unlink(wire.socket);
	make(wire.socket);
	assert_int_equal(lstat(wire.socket, &st), 0);
	wire.file.device = st.st_dev;
	wire.file.inode = st.st_ino;
	wire.file.changed = st.st_ctim;
	return 0;
}

static bool is_removed(void)
{
	pa_discover_remove(&wire);
	return access(wire.socket, F_OK) != 0;
}

static void test_the_file(void **state)
{
	(void)state;
	assert_true(is_removed());
	pa_discover_remove(&wire);	/* and again: nothing */
}

static void test_another_file(void **state)
{
	char other[128];

	(void)state;
	/* made while the first one is still there: its inode is another */
	snprintf(other, sizeof other, "%s/2.sock", directory);
	make(other);
	assert_int_equal(rename(other, wire.socket), 0);
	assert_false(is_removed());
	reset(NULL);
	wire.file.changed.tv_nsec ^= 1;	/* an inode that is used again */
	assert_false(is_removed());
	reset(NULL);
	wire.file.inode = 0;		/* it was none */
	assert_false(is_removed());
}

static void test_no_socket(void **state)
{
	struct stat st;
	char other[128];
	int fd;

	(void)state;
	unlink(wire.socket);
	fd = open(wire.socket, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	wire.file.inode = st.st_ino;
	wire.file.changed = st.st_ctim;
	assert_false(is_removed());
	/* a link to the very socket */
	reset(NULL);
	snprintf(other, sizeof other, "%s/2.sock", directory);
	assert_int_equal(rename(wire.socket, other), 0);
	assert_int_equal(symlink(other, wire.socket), 0);
	pa_discover_remove(&wire);
	assert_int_equal(lstat(wire.socket, &st), 0);
	assert_int_equal(unlink(other), 0);
	unlink(wire.socket);
}

static void test_open_directory(void **state)
{
	(void)state;
	chmod(directory, 0770);
	assert_false(is_removed());
	chmod(directory, 0755);
	assert_false(is_removed());
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	chmod(directory, 0700);
	unlink(wire.socket);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_file, reset),
		cmocka_unit_test_setup(test_another_file, reset),
		cmocka_unit_test_setup(test_no_socket, reset),
		cmocka_unit_test_setup(test_open_directory, reset),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
