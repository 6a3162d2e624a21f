/* SPDX-License-Identifier: Apache-2.0
 * The arithmetic of windows, and which model has which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/context/window.h"

static void test_arithmetic(void **state)
{
	(void)state;
	static const struct {
		int64_t size, flush, compact;
	} cases[] = {
		{200000, 176000, 180000}, {80000, 56000, 60000}, {32768, 20576, 24576},
		{128000, 104000, 108000}, {8000, 4500, 6000},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct window w = window_of(cases[i].size);
		assert_int_equal(w.flush, cases[i].flush);
		assert_int_equal(w.compact, cases[i].compact);
		assert_int_equal(w.size, w.compact + w.reserve);
	}
}

/* Whatever the size: what is kept leaves room for work before the next compaction. */
static void test_any_size(void **state)
{
	(void)state;
	for (int64_t size = WINDOW_LEAST; size <= WINDOW_MOST; size += 997) {
		struct window w = window_of(size);
		assert_true(w.reserve > 0 && w.reserve <= 20000);
		assert_true(w.keep > 0 && w.keep <= 20000 && w.keep * 2 < w.flush);
		assert_true(w.flush < w.compact && w.compact < w.size);
	}
}

static void test_models(void **state)
{
	(void)state;
	static const struct {
		const char *model;
		int64_t configured, size;
	} cases[] = {
		{"gpt-4o-mini", 0, 128000},
		{"gpt-4", 0, 8192},
		{"gpt-4.1-nano", 0, 1047576},
		{"GPT-4.1", 0, 1047576},
		{"claude-sonnet-4-5", 0, 200000},
		{"anthropic/claude-3.5-haiku", 0, 200000},
		{"gemini-2.5-flash", 0, 1048576},
		{"models/gemini-1.5-pro-002", 0, 2097152},
		{"llama3:8b", 0, 8192},
		{"llama3.1:70b", 0, 131072},
		{"something-new", 0, WINDOW_DEFAULT},
		{"", 0, WINDOW_DEFAULT},
		{"gpt-4", 5000, 5000},
		{"gpt-4", 1, WINDOW_LEAST},
		{"gpt-4", INT64_MAX, WINDOW_MOST},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			window_size(slice_str(cases[i].model), cases[i].configured),
			cases[i].size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_any_size),
		cmocka_unit_test(test_models),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
