/* SPDX-License-Identifier: Apache-2.0
 * Clocks go forward, and times read as RFC 3339 says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"

static void test_forward(void **state)
{
	(void)state;
	int64_t mono = clock_mono_us(), boot = clock_boot_us();
	for (int i = 0; i < 1000; i++) {
		int64_t m = clock_mono_us(), b = clock_boot_us();
		assert_true(m >= mono && b >= boot);
		mono = m;
		boot = b;
	}
	assert_true(clock_boot_us() >= clock_mono_us() - 1000);
	assert_true(llabs((long long)(clock_real_us() / 1000000 - time(NULL))) <= 1);
}

static void test_format(void **state)
{
	(void)state;
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{999, "1970-01-01T00:00:00.000Z"},
		{1000, "1970-01-01T00:00:00.001Z"},
		{951782399999999, "2000-02-28T23:59:59.999Z"},
		{951782400000000, "2000-02-29T00:00:00.000Z"},
		{1767225599999999, "2025-12-31T23:59:59.999Z"},
		{4102444800000000, "2100-01-01T00:00:00.000Z"},
		{253402300799999999, "9999-12-31T23:59:59.999Z"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[CLOCK_TEXT_LEN + 1];
		clock_format(cases[i].us, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {{"1970-01-01", 0},
		     {"2000-02-29", 951782400000000},
		     {"2025-12-31T23:59:59Z", 1767225599000000},
		     {"2025-12-31T23:59:59.999Z", 1767225599999000}};
	static const char *const wrong[] = {"",
					    "2026",
					    "2026-02-29",
					    "2026-13-01",
					    "2026-00-10",
					    "2026-1-1",
					    "2026-01-01T24:00:00Z",
					    "2026-01-01T00:60:00Z",
					    "1969-12-31",
					    "2026-01-01 ",
					    "2026-01-01T00:00:00",
					    "2026-01-01t00:00:00Z",
					    "x026-01-01",
					    "2026-01-01T00:00:00+01:00"};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t us = -1;
		assert_true(clock_parse(slice_str(cases[i].text), &us));
		assert_true(us == cases[i].us);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		int64_t us = 7;
		assert_false(clock_parse(slice_str(wrong[i]), &us));
		assert_true(us == 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward),
					   cmocka_unit_test(test_format),
					   cmocka_unit_test(test_parse)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
