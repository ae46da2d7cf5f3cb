/* SPDX-License-Identifier: MIT
 *
 * Names made harmless, numbers made readable, words of the command line made
 * numbers.
 */
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/human.h"
#include "client/options.h"
#include "tests/unit/unit.h"

static void expect_terminal(const char *bytes, size_t length, const char *wanted)
{
	char *got = pa_escape_terminal(bytes, length);

	assert_string_equal(got, wanted);
	free(got);
}

#define TERMINAL(bytes, wanted) expect_terminal(bytes, sizeof(bytes) - 1, wanted)

static void test_terminal(void **state)
{
	(void)state;
	TERMINAL("", "");
	TERMINAL("plain/file.py", "plain/file.py");
	TERMINAL("h\xc3\xa9ron \xe6\xbc\xa2", "h\xc3\xa9ron \xe6\xbc\xa2");
	TERMINAL("\x1b[2J", "\\x1b[2J");
	TERMINAL("a\nb", "a\\nb");
	TERMINAL("\x7f", "\\x7f");
	TERMINAL("\xc2\x9b" "31m", "\\x9b31m");	/* CSI of C1 */
	TERMINAL("\xe2\x80\xae", "\\u202e");
	TERMINAL("\xe2\x81\xa6", "\\u2066");
	TERMINAL("\xed\xb3\xbf", "\\udcff");	/* lone surrogate */
	TERMINAL("\xff\xfe", "\\xff\\xfe");
	TERMINAL("\xc3", "\\xc3");			/* cut short */
	TERMINAL("\xc0\x80", "\\xc0\\x80");		/* not the shortest form */
	TERMINAL("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
}

/* Any bytes whatever give printable text and end. */
static void test_terminal_of_noise(void **state)
{
	uint32_t seed = 1;
	char bytes[64];

	(void)state;
	for (int run = 0; run < 20000; run++) {
		char *got;

		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (char)((seed = seed * 1664525u + 1013904223u) >> 24);
		got = pa_escape_terminal(bytes, sizeof bytes);
		for (const unsigned char *c = (unsigned char *)got; *c; c++)
			assert_true(*c >= 32 && *c != 127);
		assert_null(strstr(got, "\xe2\x80\xae"));
		free(got);
	}
}

static void test_json(void **state)
{
	size_t length;
	char *got;

	(void)state;
	got = pa_escape_json("a\0b\x1b", 4, &length);
	assert_int_equal(length, 4);
	assert_memory_equal(got, "a\0b\x1b", 5);
	free(got);
	got = pa_escape_json("\xed\xb3\xbf\xff\xe2\x80\xae", 7, &length);
	assert_string_equal(got, "\\udcff\\xff\xe2\x80\xae");
	free(got);
}

static void test_human(void **state)
{
	(void)state;
	assert_string_equal(pa_human_bytes(0).s, "0 B");
	assert_string_equal(pa_human_bytes(1023).s, "1023 B");
	assert_string_equal(pa_human_bytes(1024).s, "1 KiB");
	assert_string_equal(pa_human_bytes(1536).s, "1.5 KiB");
	assert_string_equal(pa_human_bytes(148.0 * 1048576).s, "148 MiB");
	assert_string_equal(pa_human_count(402000).s, "402 k");
	assert_string_equal(pa_human_count(1210000).s, "1.21 M");
	assert_string_equal(pa_human_share(0.7).s, "70 %");
	assert_string_equal(pa_human_share(0).s, "0 %");
}

static void test_sizes(void **state)
{
	static const struct { const char *text; uint64_t value; } good[] = {
		{ "1", 1 }, { "4096", 4096 }, { "1k", 1024 }, { "1K", 1024 },
		{ "1KiB", 1024 }, { "1kib", 1024 }, { "1.5M", 1572864 },
		{ "0.5GiB", 536870912 }, { "512B", 512 }, { "16MiB", 16777216 },
	};
	static const char *const bad[] = {
		"", "x", "k", "1KB", "1MB", "1GB", "1kb", "-1", "nan", "inf",
		"1e3", "1 k", " 1", "1 ", "1kk", "0x10", "1..5", ".", "99999999999999999999",
		"1iB", "1KiBs", "\xd9\xa1",
	};
	struct pa_diag diag;
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(pa_parse_size(good[i].text, &value, &diag), 0);
		assert_int_equal(value, good[i].value);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		value = 77;
		memset(&diag, 0, sizeof diag);
		if (pa_parse_size(bad[i], &value, &diag) != PA_E_USAGE)
			fail_msg("'%s' was taken as a size", bad[i]);
		assert_int_equal(value, 77);
		assert_true(strlen(diag.text) > 0);
	}
}

static void test_rates(void **state)
{
	static const char *const out[] = { "0", "-1", "10EiB", "1.1TiB", "0.5" };
	struct pa_diag diag;
	uint64_t rate;

	(void)state;
	assert_int_equal(pa_parse_rate("1TiB", &rate, &diag), 0);
	assert_true(rate == 1ull << 40);
	assert_int_equal(pa_parse_rate("1", &rate, &diag), 0);
	assert_int_equal(rate, 1);
	for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
		if (pa_parse_rate(out[i], &rate, &diag) != PA_E_BAD_RATE)
			fail_msg("'%s' must be a bad rate", out[i]);
	assert_int_equal(pa_parse_rate("nan", &rate, &diag), PA_E_USAGE);
}

static void test_times(void **state)
{
	static const struct { const char *text; uint64_t ms; } good[] = {
		{ "1", 1000 }, { "10s", 10000 }, { "1.5", 1500 }, { "2m", 120000 },
		{ "1h", 3600000 }, { "1d", 86400000 }, { "0.1s", 100 },
	};
	static const char *const bad[] = { "", "s", "-1s", "nan", "1w", "1 s", "1e9s" };
	struct pa_diag diag;
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(pa_parse_time(good[i].text, &ns, &diag), 0);
		assert_int_equal(ns / 1000000, good[i].ms);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (pa_parse_time(bad[i], &ns, &diag) != PA_E_USAGE)
			fail_msg("'%s' was taken as a time", bad[i]);
}

static void test_pids(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "1x", "4294967297", "1.0", " 1" };
	struct pa_diag diag;
	pid_t pid;

	(void)state;
	assert_int_equal(pa_parse_pid("4711", &pid, &diag), 0);
	assert_int_equal(pid, 4711);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (pa_parse_pid(bad[i], &pid, &diag) != PA_E_USAGE)
			fail_msg("'%s' was taken as a pid", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_terminal_of_noise),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_human),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_pids),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
