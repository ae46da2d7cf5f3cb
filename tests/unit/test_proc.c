/* SPDX-License-Identifier: MIT
 *
 * Parsers of /proc text, on recorded text and on what an enemy may write.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "injector/proc.h"
#include "tests/unit/unit.h"

static void test_stat(void **state)
{
	struct pa_proc_stat s;

	(void)state;
	assert_int_equal(pa_proc_parse_stat(
		"4711 (python3) S 1 4711 4711 34816 4711 4194304 1205 0 0 0 6 "
		"2 0 0 20 0 3 0 867512 24903680 2304 18446744073709551615 "
		"4194304 1 1 0 0 0 0 16781312 2 0 0 0 17 1 0 0 0 0 0 0 0 0 0 "
		"0 0 0 0\n", &s), 0);
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.flags, 4194304);
	assert_int_equal(s.start_time, 867512);
	assert_string_equal(s.comm, "python3");
}

/* A process names itself; the name must not move the fields. */
static void test_stat_of_an_enemy(void **state)
{
	struct pa_proc_stat s;

	(void)state;
	assert_int_equal(pa_proc_parse_stat(
		"7 (a) R 1 ) (\n b) Z 1 7 7 0 -1 2097216 0 0 0 0 0 0 0 0 20 0 "
		"1 0 42 0 0\n", &s), 0);
	assert_int_equal(s.state, 'Z');
	assert_int_equal(s.flags, 2097216);
	assert_int_equal(s.start_time, 42);
	assert_string_equal(s.comm, "a) R 1 ) (\n b");
	assert_int_equal(pa_proc_parse_stat("", &s), -1);
	assert_int_equal(pa_proc_parse_stat("1 (x)", &s), -1);
	assert_int_equal(pa_proc_parse_stat("1 (x) ", &s), -1);
	assert_int_equal(pa_proc_parse_stat(") (", &s), -1);
	assert_int_equal(pa_proc_parse_stat("1 (x) S 1 2", &s), -1);
}

static const char status_text[] =
	"Name:\tpython3\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\n"
	"Ngid:\t0\nPid:\t4711\nPPid:\t1\nTracerPid:\t99\n"
	"Uid:\t1000\t1001\t1002\t1003\nGid:\t100\t101\t102\t103\n"
	"FDSize:\t64\nGroups:\t\nNStgid:\t4711\t17\nNSpid:\t4711\t17\t3\n"
	"VmPeak:\t   31056 kB\nVmSize:\t   31052 kB\nVmData:\t    9000 kB\n"
	"Threads:\t5\nSigQ:\t0/1\nSigPnd:\t0000000000000200\n"
	"ShdPnd:\t0000000000000400\nSigBlk:\t0000000000000a00\n"
	"SigIgn:\t0000000001001000\nSigCgt:\t0000000000000002\n"
	"CapEff:\t0000000000080000\nNoNewPrivs:\t0\nSeccomp:\t2\n"
	"Seccomp_filters:\t1\nx86_Thread_features:\tshstk wrss\n"
	"x86_Thread_features_locked:\tshstk\n";

static void test_status(void **state)
{
	struct pa_proc_status s;

	(void)state;
	assert_int_equal(pa_proc_parse_status(status_text, &s), 0);
	assert_int_equal(s.tgid, 4711);
	assert_int_equal(s.tracer, 99);
	assert_int_equal(s.inner_pid, 3);
	assert_int_equal(s.uid[0], 1000);
	assert_int_equal(s.uid[3], 1003);
	assert_int_equal(s.gid[2], 102);
	assert_int_equal(s.threads, 5);
	assert_int_equal(s.seccomp, 2);
	assert_true(s.shadow_stack);
	assert_true(s.has_memory);
	assert_int_equal(s.vm_size, 31052 << 10);
	assert_int_equal(s.vm_data, 9000 << 10);
	assert_int_equal(s.signals_pending, 0x200);
	assert_int_equal(s.signals_shared, 0x400);
	assert_int_equal(s.signals_blocked, 0xa00);
	assert_int_equal(s.signals_ignored, 0x1001000);
	assert_int_equal(s.signals_caught, 2);
	assert_int_equal(s.capabilities, 1 << 19);
}

static void test_status_of_old_kernels(void **state)
{
	struct pa_proc_status s;

	(void)state;
	/* no NSpid; "shstk" in another line means nothing */
	assert_int_equal(pa_proc_parse_status(
		"Name:\tshstk\nTgid:\t2\nPid:\t2\nUid:\t0\t0\t0\t0\n"
		"x86_Thread_features:\t\nother:\tshstk\n", &s), 0);
	assert_int_equal(s.inner_pid, 2);
	assert_false(s.shadow_stack);
	assert_false(s.has_memory);
	assert_int_equal(s.gid[0], UINT32_MAX);
	assert_int_equal(pa_proc_parse_status("Name:\tx\n", &s), -1);
	assert_int_equal(pa_proc_parse_status("", &s), -1);
}

static void test_syscall(void **state)
{
	struct pa_proc_syscall s;

	(void)state;
	assert_int_equal(pa_proc_parse_syscall("running\n", &s), 0);
	assert_int_equal(s.where, PA_PROC_RUNNING);
	assert_int_equal(pa_proc_parse_syscall(
		"232 0x3 0x7ffc1 0x40 0xffffffff 0x0 0x8 0x7ffc0 0x7f10\n",
		&s), 0);
	assert_int_equal(s.where, PA_PROC_IN_CALL);
	assert_int_equal(s.number, 232);
	assert_int_equal(s.args[3], 0xffffffff);
	assert_int_equal(s.args[5], 8);
	assert_int_equal(s.sp, 0x7ffc0);
	assert_int_equal(s.pc, 0x7f10);
	assert_int_equal(pa_proc_parse_syscall("-1 0x7ffc1 0x7f11\n", &s), 0);
	assert_int_equal(s.where, PA_PROC_IN_KERNEL);
	assert_int_equal(s.sp, 0x7ffc1);
	assert_int_equal(s.pc, 0x7f11);
	assert_int_equal(pa_proc_parse_syscall("", &s), -1);
	assert_int_equal(pa_proc_parse_syscall("1 0x", &s), 0);
}

static void test_limits(void **state)
{
	static const char text[] =
		"Limit                     Soft Limit           Hard Limit           Units     \n"
		"Max processes             31744                31744                processes \n"
		"Max open files            1024                 1048576              files     \n"
		"Max address space         unlimited            unlimited            bytes     \n";

	(void)state;
	assert_int_equal(pa_proc_parse_limit(text, "Max open files"), 1024);
	assert_int_equal(pa_proc_parse_limit(text, "Max processes"), 31744);
	assert_true(pa_proc_parse_limit(text, "Max address space") ==
		    UINT64_MAX);
	assert_true(pa_proc_parse_limit(text, "Max nothing") == UINT64_MAX);
}

static void test_numbers(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_int_equal(pa_proc_parse_number("1048576\n", &value), 0);
	assert_int_equal(value, 1048576);
	assert_int_equal(pa_proc_parse_number("max\n", &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(pa_proc_parse_number("", &value), -1);
	assert_int_equal(pa_proc_parse_number("-1\n", &value), -1);
	assert_int_equal(pa_proc_parse_number("1 2\n", &value), -1);
	assert_int_equal(pa_proc_parse_keyed("populated 1\nfrozen 1\n",
					     "frozen", &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(pa_proc_parse_keyed(
		"inactive_file_x 5\ninactive_file 7\n", "inactive_file",
		&value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(pa_proc_parse_keyed("frozen x\n", "frozen", &value),
			 -1);
	assert_int_equal(pa_proc_parse_keyed("", "frozen", &value), -1);
}

static void test_cgroup(void **state)
{
	static const char text[] =
		"9:name=systemd:/\n4:memory:/docker/ab:c\n3:cpu,cpuacct:/x\n"
		"0::/system.slice/web.service\n";
	char path[32];

	(void)state;
	assert_int_equal(pa_proc_parse_cgroup(text, "", path, sizeof path), 0);
	assert_string_equal(path, "/system.slice/web.service");
	assert_int_equal(pa_proc_parse_cgroup(text, "memory", path,
					      sizeof path), 0);
	assert_string_equal(path, "/docker/ab:c");
	assert_int_equal(pa_proc_parse_cgroup(text, "cpuacct", path,
					      sizeof path), 0);
	assert_string_equal(path, "/x");
	assert_int_equal(pa_proc_parse_cgroup(text, "pids", path,
					      sizeof path), -1);
	assert_int_equal(pa_proc_parse_cgroup(text, "", path, 8), -1);
	assert_int_equal(pa_proc_parse_cgroup("", "", path, sizeof path), -1);
	assert_int_equal(pa_proc_parse_cgroup("::\n:\n", "", path,
					      sizeof path), 0);
}

static void test_cgroup_mount(void **state)
{
	static const char text[] =
		"24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
		"30 24 0:26 / /sys/fs/cgroup\\040x rw shared:4 - cgroup2 cgroup2 rw\n"
		"31 24 0:27 /docker/ab /cg/memory rw - cgroup cgroup rw,memory\n";
	char mount[64], root[64];

	(void)state;
	assert_int_equal(pa_proc_parse_cgroup_mount(text, "", mount, root,
						    sizeof mount), 0);
	assert_string_equal(mount, "/sys/fs/cgroup x");
	assert_string_equal(root, "/");
	assert_int_equal(pa_proc_parse_cgroup_mount(text, "memory", mount,
						    root, sizeof mount), 0);
	assert_string_equal(mount, "/cg/memory");
	assert_string_equal(root, "/docker/ab");
	assert_int_equal(pa_proc_parse_cgroup_mount(text, "pids", mount, root,
						    sizeof mount), -1);
	assert_int_equal(pa_proc_parse_cgroup_mount("1 - cgroup2", "", mount,
						    root, 64), 0);
}

static void test_maps(void **state)
{
	static const char text[] =
		"5581c0000000-5581c0001000 r--p 00000000 08:01 1234 /usr/bin/python3.11 (deleted)\n"
		"5581c0001000-5581c0003000 r-xp 00001000 08:01 1234 /usr/bin/python3.11 (deleted)\n"
		"7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
		"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
	struct pa_maps maps;

	(void)state;
	assert_int_equal(pa_proc_parse_maps(strdup(text), &maps), 0);
	assert_int_equal(maps.count, 5);
	assert_string_equal(maps.map[0].path, "/usr/bin/python3.11 (deleted)");
	assert_int_equal(maps.map[1].offset, 0x1000);
	assert_int_equal(maps.map[1].inode, 1234);
	assert_true(maps.map[1].device == (8ull << 32 | 1));
	assert_string_equal(maps.map[1].perms, "r-xp");
	assert_string_equal(maps.map[2].path, "");
	assert_string_equal(maps.map[3].path, "[stack]");
	assert_ptr_equal(pa_proc_find_map(&maps, 0x5581c0001000), &maps.map[1]);
	assert_ptr_equal(pa_proc_find_map(&maps, 0x5581c0002fff), &maps.map[1]);
	assert_null(pa_proc_find_map(&maps, 0x5581c0003000));
	assert_null(pa_proc_find_map(&maps, 0));
	assert_null(pa_proc_find_map(&maps, UINT64_MAX));
	pa_proc_free_maps(&maps);
	pa_proc_free_maps(&maps);
}

static void test_maps_cut_short(void **state)
{
	static const char line[] =
		"5581c0000000-5581c0001000 r--p 00000000 08:01 1234 /x\n";

	(void)state;
	for (size_t n = 0; n < sizeof line; n++) {
		struct pa_maps maps;

		if (!pa_proc_parse_maps(strndup(line, n), &maps))
			pa_proc_free_maps(&maps);
		assert_null(maps.map);
	}
}

/* The readers, on ourselves. */
static void test_own_process(void **state)
{
	struct pa_proc_status status;
	struct pa_proc_stat stat;
	struct pa_maps maps;
	int dir = pa_proc_open(getpid());

	(void)state;
	assert_true(dir >= 0);
	assert_int_equal(pa_proc_read_stat(dir, "stat", &stat), 0);
	assert_int_equal(stat.state, 'R');
	assert_int_equal(pa_proc_read_status(dir, "status", &status), 0);
	assert_int_equal(status.tgid, getpid());
	assert_int_equal(pa_proc_read_maps(dir, &maps), 0);
	assert_non_null(pa_proc_find_map(&maps, (uintptr_t)&status));
	pa_proc_free_maps(&maps);
	assert_true(pa_proc_read_stat(dir, "no-such-file", &stat) < 0);
	close(dir);
	assert_true(pa_proc_open(0x7ffffff0) < 0);
}

static void test_id_map(void **state)
{
	static const char map[] =
		"         0       1000          1\n"
		"         1     100000      65536\n";
	unsigned long inner = 7;

	(void)state;
	assert_int_equal(pa_proc_parse_id_map(map, 1000, &inner), 0);
	assert_int_equal(inner, 0);
	assert_int_equal(pa_proc_parse_id_map(map, 165535, &inner), 0);
	assert_int_equal(inner, 65536);
	assert_int_equal(pa_proc_parse_id_map(map, 165536, &inner), -1);
	assert_int_equal(pa_proc_parse_id_map(map, 0, &inner), -1);
	assert_int_equal(pa_proc_parse_id_map("", 0, &inner), -1);
	assert_int_equal(pa_proc_parse_id_map("0 0", 0, &inner), -1);
	assert_int_equal(pa_proc_parse_id_map("0 0 4294967295\n", 65534,
					      &inner), 0);
	assert_int_equal(inner, 65534);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_stat_of_an_enemy),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_of_old_kernels),
		cmocka_unit_test(test_syscall),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_cgroup),
		cmocka_unit_test(test_cgroup_mount),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_maps_cut_short),
		cmocka_unit_test(test_own_process),
		cmocka_unit_test(test_id_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
