/* SPDX-License-Identifier: Apache-2.0
 * What others wrote does not steer a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/plain.h"
#include "common/attr.h"

static void check_put(struct slice text, bool lines, const char *shown)
{
	char *out;
	size_t n;
	FILE *f = open_memstream(&out, &n);
	plain_put(f, text, lines);
	fclose(f);
	assert_string_equal(out, shown);
	free(out);
}

static void test_controls_go(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x8d\xb5",
		 "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x8d\xb5"},
		{"\033[2J\033]0;title\007x", "[2J]0;titlex"},
		{"a\rb\bc\177d", "abcd"},
		{"\xc2\x9b"
		 "2J\xc2\x9d"
		 "0;t\xc2\x9c\xc2\xa0",
		 "2J0;t\xc2\xa0"},
		{"\x9b"
		 "2J\xff\xc3",
		 "?2J??"},
		{"\xc0\x9b\xed", "???"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_put(slice_str(cases[i].text), true, cases[i].shown);
	check_put(SLICE("a\0b"), true, "ab");
	check_put(SLICE("a\n\tb"), true, "a\n\tb");
	check_put(SLICE("a\n\tb"), false, "ab");
}

static void test_short(void **state)
{
	(void)state;
	char *out, small[5];
	size_t n;
	FILE *f = open_memstream(&out, &n);
	plain_put_short(f, SLICE("ab\xc3\xa4"), 3);
	fputc('|', f);
	plain_put_short(f, SLICE("ab\xc3\xa4"), 4);
	fclose(f);
	assert_string_equal(out, "ab...|ab\xc3\xa4");
	free(out);
	plain_copy(small, sizeof small, SLICE("a\033bc\xc3\xa4"));
	assert_string_equal(small, "abc");
	plain_copy(small, sizeof small, SLICE("\xc3\xa4\xc3\xa4\xc3\xa4"));
	assert_string_equal(small, "\xc3\xa4\xc3\xa4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_controls_go),
		cmocka_unit_test(test_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
