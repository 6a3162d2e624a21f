/* SPDX-License-Identifier: Apache-2.0
 * Ids: form, strict parsing, and order whatever the rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/ident.h"

static void test_form(void **state)
{
	(void)state;
	int64_t before = clock_real_us() / 1000;
	struct uuid u = uuid7_new();
	char text[UUID_TEXT_LEN + 1];
	uuid_format(u, text);
	assert_int_equal(strlen(text), UUID_TEXT_LEN);
	assert_int_equal(text[14], '7');
	assert_non_null(strchr("89ab", text[19]));
	assert_true(uuid7_ms(u) >= before);
	assert_true(uuid7_ms(u) <= clock_real_us() / 1000);
	assert_false(uuid_is_nil(u));
	assert_true(uuid_is_nil((struct uuid){{0}}));
}

/* Several hundred a millisecond: the counter runs over, the order stays. */
static void test_order(void **state)
{
	(void)state;
	static struct uuid made[200000];
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		made[i] = uuid7_new();
	for (size_t i = 1; i < ARRAY_LEN(made); i++) {
		/* time and counter alone: the random bits decide nothing */
		assert_true(memcmp(made[i - 1].b, made[i].b, 8) < 0);
		assert_int_equal(made[i].b[6] >> 4, 7);
		assert_int_equal(made[i].b[8] >> 6, 2);
		assert_true(memcmp(made[i - 1].b + 9, made[i].b + 9, 7) != 0);
	}
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"0192f3a0-0000-7000-8000-00000000abcd", true},
		{"0192F3A0-0000-7000-8000-00000000ABCD", true},
		{"00000000-0000-0000-0000-000000000000", true},
		{"0192f3a0-0000-7000-8000-00000000abc", false},
		{"0192f3a0-0000-7000-8000-00000000abcd0", false},
		{"0192f3a000000-7000-8000-00000000abcd", false},
		{"0192f3a0-0000-7000-8000-00000000abcg", false},
		{"0192f3a0_0000-7000-8000-00000000abcd", false},
		{"0192f3a-00000-7000-8000-00000000abcd", false},
		{"{192f3a0-0000-7000-8000-00000000abc}", false},
		{" 192f3a0-0000-7000-8000-00000000abcd", false},
		{"0192f3a0-0000-7000-8000-00000000ab-d", false},
		{"", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct uuid u = {{9}};
		if (uuid_parse(slice_str(cases[i].text), &u) != cases[i].good)
			fail_msg("'%s'", cases[i].text);
		if (!cases[i].good)
			assert_int_equal(u.b[0], 9); /* untouched */
	}
	for (int i = 0; i < 1000; i++) {
		struct uuid u = uuid7_new(), back;
		char text[UUID_TEXT_LEN + 1];
		uuid_format(u, text);
		assert_true(uuid_parse(slice_str(text), &back));
		assert_true(uuid_eq(u, back));
		back.b[15] ^= 1;
		assert_false(uuid_eq(u, back));
		assert_int_equal(uuid_slice(&u).n, 16);
	}
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_form),
					   cmocka_unit_test(test_order),
					   cmocka_unit_test(test_parse)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
