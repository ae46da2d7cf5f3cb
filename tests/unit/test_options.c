/* SPDX-License-Identifier: MIT
 *
 * The command line: what it means, and what it refuses.
 */
#include <string.h>

#include "client/options.h"
#include "tests/unit/unit.h"

#define MAX 24

/* Parse the words of a line, separated by single spaces. */
static int parse(struct pa_args *args, enum pa_verb_bit verb, bool pid,
		 const char *line)
{
	static char room[512];
	char *argv[MAX + 1] = { room }, *save = NULL;
	struct pa_diag diag = { "", "" };
	int argc = 1, err;

	snprintf(room, sizeof room, "x %s", line);
	strtok_r(room, " ", &save);
	while (argc < MAX && (argv[argc] = strtok_r(NULL, " ", &save)))
		argc++;
	err = pa_args_parse(args, verb, pid, argc, argv, &diag);
	assert_true(!err || diag.text[0]);
	return err;
}

static void refused(enum pa_verb_bit verb, const char *line)
{
	struct pa_args args;

	if (parse(&args, verb, true, line) != PA_E_USAGE)
		fail_msg("'%s' was taken", line);
	pa_args_free(&args);
}

static void test_defaults(void **state)
{
	struct pa_args args;

	(void)state;
	assert_int_equal(parse(&args, PA_VERB_ATTACH, true, "4711"), 0);
	assert_int_equal(args.pid, 4711);
	assert_int_equal(args.n_words, 0);
	assert_int_equal(args.rate, 524288);
	assert_int_equal(args.frames_max, 64);
	assert_int_equal(args.memory_max, 16 << 20);
	assert_true(args.timeout_ns == 10000000000ull);
	assert_true(args.max_pause_ns == 200000000ull);
	assert_int_equal(args.question.limit, 20);
	assert_false(args.rate_given || args.frames_given ||
		     args.memory_given);
	assert_int_equal(args.format, PA_FORMAT_TABLE);
	pa_args_free(&args);
}

static void test_forms(void **state)
{
	static const char *const same[] = {
		"-p 5 --rate 1k", "-p5 --rate=1k", "5 --rate 1KiB",
		"--pid=5 --rate 1024", "--rate 1.0k 5", "--rate 1k -- 5",
		"-qv --pid 5 --rate 1k --color never",
	};
	struct pa_args args;

	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		if (parse(&args, PA_VERB_ATTACH, true, same[i]))
			fail_msg("'%s' was refused", same[i]);
		assert_int_equal(args.pid, 5);
		assert_int_equal(args.rate, 1024);
		assert_true(args.rate_given);
		pa_args_free(&args);
	}
	assert_int_equal(parse(&args, PA_VERB_RATE, true, "5 -1"), 0);
	assert_int_equal(args.n_words, 1);
	assert_string_equal(args.words[0], "-1");
	pa_args_free(&args);
}

static void test_report(void **state)
{
	struct pa_args args;

	(void)state;
	assert_int_equal(parse(&args, PA_VERB_REPORT, false,
		"a b --group-by file --of allocated --sort samples --limit 0 "
		"--include *x --include y --json -o out --force"), 0);
	assert_int_equal(args.n_words, 2);
	assert_int_equal(args.question.group_by, PA_BY_FILE);
	assert_int_equal(args.question.of, PA_OF_ALLOCATED);
	assert_int_equal(args.question.sort, PA_SORT_SAMPLES);
	assert_int_equal(args.question.limit, 0);
	assert_int_equal(args.question.n_include, 2);
	assert_string_equal(args.question.include[1], "y");
	assert_int_equal(args.format, PA_FORMAT_JSON);
	assert_string_equal(args.output, "out");
	assert_true(args.force);
	pa_args_free(&args);
}

static void test_refused(void **state)
{
	(void)state;
	refused(PA_VERB_ATTACH, "");
	refused(PA_VERB_ATTACH, "x");
	refused(PA_VERB_ATTACH, "-1");
	refused(PA_VERB_ATTACH, "0");
	refused(PA_VERB_ATTACH, "5 --no-such");
	refused(PA_VERB_ATTACH, "5 -z");
	refused(PA_VERB_ATTACH, "5 --rate");
	refused(PA_VERB_ATTACH, "5 --json=yes");
	refused(PA_VERB_ATTACH, "5 --limit 3");
	refused(PA_VERB_ATTACH, "-p 5 --pid 6");
	refused(PA_VERB_ATTACH, "5 --frames 0");
	refused(PA_VERB_ATTACH, "5 --frames 1025");
	refused(PA_VERB_ATTACH, "5 --frames 99999999999999999999");
	refused(PA_VERB_ATTACH, "5 --max-memory 1048575");
	refused(PA_VERB_ATTACH, "5 --max-memory 2G");
	refused(PA_VERB_ATTACH, "5 --follow-fork");
	refused(PA_VERB_ATTACH, "5 --method gdb");
	refused(PA_VERB_STATUS, "5 --format csv");
	refused(PA_VERB_STATUS, "5 --color sometimes");
	refused(PA_VERB_REPORT, "5 --group-by type");
	refused(PA_VERB_REPORT, "5 --of peak");
	refused(PA_VERB_REPORT, "5 --of allocated --sort age");
	refused(PA_VERB_REPORT, "5 --of allocated --group-by thread");
}

static bool wants_json(const char *line)
{
	char room[128], *argv[MAX + 1] = { room }, *save = NULL;
	int argc = 1;

	snprintf(room, sizeof room, "x %s", line);
	strtok_r(room, " ", &save);
	while (argc < MAX && (argv[argc] = strtok_r(NULL, " ", &save)))
		argc++;
	return pa_args_want_json(argc, argv);
}

static void test_json_is_seen_early(void **state)
{
	(void)state;
	assert_true(wants_json("--nonsense --format json"));
	assert_true(wants_json("--format=json 5"));
	assert_false(wants_json("--json --format table"));
	assert_false(wants_json("-- --json"));
	assert_false(wants_json("--format"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_json_is_seen_early),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
