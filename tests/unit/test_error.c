/* SPDX-License-Identifier: MIT
 *
 * The error list as the program sees it.  (tests/errors.py checks the list
 * itself and its documentation.)
 */
#include <string.h>

#include "common/error.h"
#include "tests/unit/unit.h"

static void test_rows_are_complete(void **state)
{
	(void)state;
	assert_true(pa_error_count > 50);
	assert_int_equal(pa_errors[0].error, PA_E_FAILED);
	assert_int_equal(pa_errors[1].error, PA_E_USAGE);
	for (unsigned i = 0; i < pa_error_count; i++) {
		const struct pa_error_info *row = &pa_errors[i];

		assert_int_equal(row->error, -row->status);
		assert_true(strlen(row->word) > 0);
		assert_true(strlen(row->sentence) > 0);
		assert_true(strlen(row->hint) > 0);
	}
}

static void test_rows_are_found(void **state)
{
	(void)state;
	for (unsigned i = 0; i < pa_error_count; i++) {
		const struct pa_error_info *row = &pa_errors[i];

		assert_ptr_equal(pa_error_info(row->error), row);
		assert_int_equal(pa_error_from_word(row->word), row->error);
	}
}

static void test_unknown_gives_failed(void **state)
{
	(void)state;
	assert_int_equal(pa_error_info(-9)->error, PA_E_FAILED);
	assert_int_equal(pa_error_info(-100000)->error, PA_E_FAILED);
	assert_int_equal(pa_error_info(5)->error, PA_E_FAILED);
	assert_int_equal(pa_error_from_word("no-such-word"), PA_E_FAILED);
	assert_int_equal(pa_error_from_word(""), PA_E_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_complete),
		cmocka_unit_test(test_rows_are_found),
		cmocka_unit_test(test_unknown_gives_failed),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
