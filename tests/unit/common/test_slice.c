/* SPDX-License-Identifier: Apache-2.0
 * Borrowed bytes: every helper at its edges, UTF-8 against the table of the standard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <limits.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/slice.h"

static void test_compare(void **state)
{
	(void)state;
	assert_true(slice_eq(SLICE_NONE, SLICE("")));
	assert_true(slice_eq(SLICE("a\0b"), slice_of("a\0b", 3)));
	assert_false(slice_eq(SLICE("ab"), SLICE("abc")));
	assert_true(slice_ieq(SLICE("Content-LENGTH"), SLICE("content-length")));
	assert_false(slice_ieq(SLICE("a"), SLICE("ab")));
	assert_false(slice_ieq(SLICE("@"), SLICE("`"))); /* apart by the case bit only */
	assert_false(slice_ieq(SLICE("["), SLICE("{")));
	assert_false(slice_ieq(SLICE("\xc4"), SLICE("\xe4")));
	assert_true(slice_has_prefix(SLICE("abc"), SLICE("ab")));
	assert_true(slice_has_prefix(SLICE("abc"), SLICE_NONE));
	assert_true(slice_has_prefix(SLICE_NONE, SLICE("")));
	assert_false(slice_has_prefix(SLICE("ab"), SLICE("abc")));
}

static void test_trim_cut_find(void **state)
{
	(void)state;
	assert_true(slice_is(slice_trim(SLICE(" \t\r\n a b \n")), "a b"));
	assert_int_equal(slice_trim(SLICE(" \t ")).n, 0);
	assert_int_equal(slice_trim(SLICE_NONE).n, 0);
	struct slice rest = SLICE("a,,b,");
	assert_true(slice_is(slice_cut(&rest, ','), "a"));
	assert_true(slice_is(slice_cut(&rest, ','), ""));
	assert_true(slice_is(slice_cut(&rest, ','), "b"));
	assert_non_null(rest.p); /* an empty piece is left */
	assert_true(slice_is(slice_cut(&rest, ','), ""));
	assert_null(rest.p);
	assert_int_equal(slice_cut(&rest, ',').n, 0);
	assert_int_equal(slice_find(SLICE("abcabd"), SLICE("abd")), 3);
	assert_int_equal(slice_find(SLICE("abc"), SLICE("")), 0);
	assert_int_equal(slice_find(SLICE_NONE, SLICE("a")), -1);
	assert_int_equal(slice_find(SLICE("ab"), SLICE("abc")), -1);
	assert_int_equal(slice_find(SLICE("a\0b"), SLICE("b")), 2);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		long long value;
	} cases[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"007", true, 7},
		{"9223372036854775807", true, LLONG_MAX},
		{"-9223372036854775808", true, LLONG_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999", false, 0},
		{"", false, 0},
		{"-", false, 0},
		{"--1", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1.0", false, 0},
		{"0x1", false, 0},
		{"1/", false, 0},
		{"1:", false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		long long v = 42;
		if (slice_to_i64(slice_str(cases[i].text), &v) != cases[i].good)
			fail_msg("'%s'", cases[i].text);
		assert_true(v == (cases[i].good ? cases[i].value : 42));
	}
	long long v;
	assert_false(slice_to_i64(slice_of("1\0", 2), &v));
	assert_false(slice_to_i64(SLICE_NONE, &v));
	assert_true(slice_to_i64(slice_of("123", 2), &v)); /* not a byte beyond */
	assert_int_equal(v, 12);
}

/* The definition, by code point: what must be well-formed is what one would write. */
static size_t encode(uint32_t c, char *out)
{
	if (c < 0x80)
		return out[0] = (char)c, 1;
	if (c < 0x800)
		return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)),
		       2;
	if (c < 0x10000)
		return out[0] = (char)(0xe0 | c >> 12),
		       out[1] = (char)(0x80 | (c >> 6 & 63)),
		       out[2] = (char)(0x80 | (c & 63)), 3;
	return out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)),
	       out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63)), 4;
}

static void test_utf8_all(void **state)
{
	(void)state;
	char b[8];
	for (uint32_t c = 0; c < 0x140000; c++) {
		size_t n = encode(c, b);
		bool good = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		if (slice_is_utf8(slice_of(b, n)) != good)
			fail_msg("U+%04X", c);
		if (n > 1 && slice_is_utf8(slice_of(b, n - 1)))
			fail_msg("U+%04X cut", c);
	}
	/* Every sequence of two bytes: well-formed only as written above. */
	for (unsigned x = 0; x < 0x10000; x++) {
		b[0] = (char)(x >> 8);
		b[1] = (char)x;
		bool good = x >> 8 < 0x80 && (x & 255) < 0x80;
		good |= x >> 8 >= 0xc2 && x >> 8 <= 0xdf && (x & 0xc0) == 0x80;
		if (slice_is_utf8(slice_of(b, 2)) != good)
			fail_msg("%04x", x);
	}
	assert_false(slice_is_utf8(SLICE("\xe0\x9f\xbf")));     /* overlong */
	assert_false(slice_is_utf8(SLICE("\xf0\x8f\xbf\xbf"))); /* overlong */
	assert_false(slice_is_utf8(SLICE("a\xe2\x82")));
	assert_false(slice_is_utf8(SLICE("\xf5\x80\x80\x80")));
	assert_true(slice_is_utf8(SLICE_NONE));
	assert_true(slice_is_utf8(SLICE("a\0b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare), cmocka_unit_test(test_trim_cut_find),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_utf8_all)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
