/* SPDX-License-Identifier: Apache-2.0
 * Token texts, Authorization fields, and the slot of a lane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/crypto.h"
#include "common/die.h"
#include "edge/slot.h"
#include "edge/token.h"

#define ID "0192f3a0-0000-7000-8000-000000000001"
#define SECRET "abcdefghijklmnopqrstuvwxyz-_0123456789ABCDE"

static void test_tokens(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"tb1.1." ID "." SECRET, true},
		{"tb1.9223372036854775807." ID "." SECRET, true},
		{"tb1.9223372036854775808." ID "." SECRET, false},
		{"", false},
		{"tb1", false},
		{"tb1.1", false},
		{"tb1.1." ID, false},
		{"tb1.1." ID ".", false},
		{"tb1.1." ID ".short", false},
		{"tb2.1." ID "." SECRET, false},
		{"TB1.1." ID "." SECRET, false},
		{"tb1.0." ID "." SECRET, true},
		{"tb1.00." ID "." SECRET, false},
		{"tb1.+0." ID "." SECRET, false},
		{"tb1.-0." ID "." SECRET, false},
		{"tb1.-1." ID "." SECRET, false},
		{"tb1.01." ID "." SECRET, false},
		{"tb1. 1." ID "." SECRET, false},
		{"tb1.1.0192f3a0." SECRET, false},
		{"tb1.1." ID "." SECRET "." SECRET, false},
		{"tb1.1." ID "." SECRET "=", false},
		{"tb1.1." ID "." SECRET " ", false},
		{"tb1..1." ID "." SECRET, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct token t;
		if (token_parse(slice_str(cases[i].text), &t) != cases[i].good)
			fail_msg("'%s'", cases[i].text);
	}
	struct token t;
	assert_true(token_parse(SLICE("tb1.42." ID "." SECRET), &t));
	assert_int_equal(t.tenant, 42);
	assert_true(slice_is(t.secret, SECRET));
	assert_int_equal(t.id.b[0], 0x01);
	assert_int_equal(t.id.b[15], 0x01);
}

static void test_fields(void **state)
{
	(void)state;
	assert_true(slice_is(token_of_field(SLICE("Bearer abc")), "abc"));
	assert_true(slice_is(token_of_field(SLICE("bearer  abc")), "abc"));
	assert_null(token_of_field(SLICE("Basic abc")).p);
	assert_int_equal(token_of_field(SLICE("Bearer")).n, 0);
	assert_int_equal(token_of_field(SLICE("")).n, 0);
	assert_null(token_of_field(SLICE("abc")).p);
}

/* Slots are stored with sessions: these may never change. */
static void test_slots(void **state)
{
	(void)state;
	struct uuid agent;
	unsigned seen[4096] = {0}, most = 0;
	check(uuid_parse(SLICE(ID), &agent));
	assert_int_equal(slot_of(1, agent, SLICE("agent:default:main")), 2726);
	assert_int_equal(slot_of(2, agent, SLICE("agent:default:main")), 1529);
	assert_int_equal(slot_of(1, agent, SLICE("web:42")), 3704);
	assert_int_equal(slot_of(1, agent, SLICE("")), 3793);
	for (int i = 0; i < 40960; i++) {
		char key[32];
		snprintf(key, sizeof key, "web:%d", i);
		unsigned slot = slot_of(1, agent, slice_str(key));
		assert_true(slot < 4096);
		if (++seen[slot] > most)
			most = seen[slot];
	}
	assert_true(most < 40);
}

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens),
					   cmocka_unit_test(test_fields),
					   cmocka_unit_test(test_slots)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
