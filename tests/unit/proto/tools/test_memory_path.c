/* SPDX-License-Identifier: Apache-2.0
 * Names of documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/tools/memory_path.h"

static void test_paths(void **state)
{
	(void)state;
	static const char *const good[] = {"MEMORY.md", "notes/2026-11-23.md",
					   "a b/ü..md", "..a", "a...b"};
	static const char *const bad[] = {"",     "/a",   "a/",   "a//b", ".",
					  "..",   "a/..", "./a",  "a\\b", "a\nb",
					  "a\1b", "\xff", "a/./b"};
	char text[MEMORY_PATH_MOST + 2];
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(memory_path_problem(slice_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(memory_path_problem(slice_str(bad[i])));
	memset(text, 'x', sizeof text);
	assert_null(memory_path_problem(slice_of(text, MEMORY_PATH_MOST)));
	assert_non_null(memory_path_problem(slice_of(text, MEMORY_PATH_MOST + 1)));
	assert_non_null(memory_path_problem(slice_of("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
