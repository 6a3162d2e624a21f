/* SPDX-License-Identifier: Apache-2.0
 * Errors: every one has a word of its own and a sentence, and words lead back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/err.h"

static void test_total(void **state)
{
	(void)state;
	for (int e = 0; e < ERR__COUNT; e++) {
		const char *code = err_code((enum err)e);
		assert_true(strlen(code) > 0 && strlen(code) <= 32); /* messages.tbl */
		assert_true(strlen(err_text((enum err)e)) > 0);
		assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz_"),
				 strlen(code));
		assert_int_equal(err_from_code(code), e); /* so codes are unique */
	}
	assert_string_equal(err_code(ERR_OK), "ok");
	assert_false(err_is_retryable(ERR_OK));
}

static void test_outside(void **state)
{
	(void)state;
	assert_string_equal(err_code((enum err)ERR__COUNT), err_code(ERR_INTERNAL));
	assert_string_equal(err_text((enum err) - 1), err_text(ERR_INTERNAL));
	assert_false(err_is_retryable((enum err)9999));
	assert_int_equal(err_from_code("no_such_code"), ERR_INTERNAL);
	assert_int_equal(err_from_code(""), ERR_INTERNAL);
	assert_int_equal(err_from_code(NULL), ERR_INTERNAL);
	assert_int_equal(err_from_code("Lane_Full"), ERR_INTERNAL);
}

static void test_retry(void **state)
{
	(void)state;
	assert_true(err_is_retryable(ERR_LANE_FULL));
	assert_true(err_is_retryable(ERR_DATABASE));
	assert_true(err_is_retryable(ERR_MODEL_RATE));
	assert_false(err_is_retryable(ERR_DB_STALE));
	assert_false(err_is_retryable(ERR_MODEL_AUTH));
	assert_false(err_is_retryable(ERR_CANCELLED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_total),
					   cmocka_unit_test(test_outside),
					   cmocka_unit_test(test_retry)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
