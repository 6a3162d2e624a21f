/* SPDX-License-Identifier: Apache-2.0
 * Stream tokens: what is one, and that nothing of it can be changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "edge/stream_token.h"

static const uint8_t key[32] = {1, 2, 3}, other[32] = {1, 2, 4};

static void make(bool of_session, char text[STREAM_TOKEN_TEXT])
{
	struct stream_token t = {
		.tenant = 42, .of_session = of_session, .until_s = 1900000000};
	t.token.b[0] = 7;
	t.object.b[15] = 9;
	stream_token_make(&t, key, text);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		char text[STREAM_TOKEN_TEXT];
		struct stream_token t;
		make(i, text);
		assert_true(stream_token_parse(slice_str(text), &t));
		assert_int_equal(t.tenant, 42);
		assert_int_equal(t.of_session, i);
		assert_int_equal(t.token.b[0], 7);
		assert_int_equal(t.object.b[15], 9);
		assert_int_equal(t.until_s, 1900000000);
		assert_true(stream_token_is_of(&t, key));
		assert_false(stream_token_is_of(&t, other));
	}
}

/* Each character in turn becomes another one. */
static void test_nothing_can_be_changed(void **state)
{
	char text[STREAM_TOKEN_TEXT];
	(void)state;
	make(false, text);
	for (size_t i = 0; text[i]; i++) {
		static const char tries[] = "0123456789abcdefrstzAZ.-_";
		char was = text[i];
		for (size_t k = 0; tries[k]; k++) {
			struct stream_token t;
			text[i] = tries[k];
			if (tries[k] != was && stream_token_parse(slice_str(text), &t))
				assert_false(stream_token_is_of(&t, key));
		}
		text[i] = was;
	}
}

static void test_what_is_none(void **state)
{
	static const char *const cases[] = {
		"",
		"ts1",
		"tb1.1.x.y",
		"ts1.1.01a22e30-bf83-7016-8989-d6e0a9e98d4e.r.01a22e30-bf83-7016-8989-"
		"d6e0a9e98d4e.1900000000.short",
		"ts1.0.01a22e30-bf83-7016-8989-d6e0a9e98d4e.r.01a22e30-bf83-7016-8989-"
		"d6e0a9e98d4e.1900000000.0123456789012345678901234567890123456789012",
		"ts1.1.01a22e30-bf83-7016-8989-d6e0a9e98d4e.x.01a22e30-bf83-7016-8989-"
		"d6e0a9e98d4e.1900000000.0123456789012345678901234567890123456789012"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stream_token t;
		if (stream_token_parse(slice_str(cases[i]), &t))
			fail_msg("'%s'", cases[i]);
	}
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
					   cmocka_unit_test(test_nothing_can_be_changed),
					   cmocka_unit_test(test_what_is_none)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
