/* SPDX-License-Identifier: Apache-2.0
 * Circles are seen, work is not taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "worker/loop_guard.h"

static struct loop_guard g;

static int setup(void **state)
{
	(void)state;
	g = (struct loop_guard){.made = 0};
	return 0;
}

static uint64_t call(int n)
{
	char input[32];
	snprintf(input, sizeof input, "{\"n\":%d}", n);
	return loop_call_hash(SLICE("read"), slice_str(input));
}

static void test_equal_pairs_are_counted(void **state)
{
	(void)state;
	assert_int_equal(loop_guard_repeats(&g, call(1)), 0);
	for (unsigned i = 1; i <= LOOP_HISTORY; i++) {
		loop_guard_add(&g, call(1), loop_result_hash(SLICE("{\"x\":1}")));
		assert_int_equal(loop_guard_repeats(&g, call(1)), i);
	}
	loop_guard_add(&g, call(1), loop_result_hash(SLICE("{\"x\":1}")));
	assert_int_equal(loop_guard_repeats(&g, call(1)), LOOP_HISTORY);
	assert_int_equal(loop_guard_repeats(&g, call(2)), 0);
}

/* Who polls something that changes gets on. */
static void test_another_result_is_no_repeat(void **state)
{
	(void)state;
	for (int i = 0; i < 25; i++) {
		char out[32];
		snprintf(out, sizeof out, "{\"line\":%d}", i);
		loop_guard_add(&g, call(1), loop_result_hash(slice_str(out)));
		assert_int_equal(loop_guard_repeats(&g, call(1)), 1);
	}
}

static void test_two_that_take_turns(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++)
		loop_guard_add(&g, call(i % 2),
			       loop_result_hash(SLICE("{\"same\":true}")));
	assert_int_equal(loop_guard_repeats(&g, call(0)), LOOP_HISTORY / 2);
	assert_int_equal(loop_guard_repeats(&g, call(1)), LOOP_HISTORY / 2);
}

static void test_time_is_no_result(void **state)
{
	(void)state;
	loop_guard_add(
		&g, call(1),
		loop_result_hash(SLICE("{\"exit\":0,\"wall_ms\":3,\"cpu_ms\":1}")));
	loop_guard_add(
		&g, call(1),
		loop_result_hash(SLICE("{\"exit\":0,\"wall_ms\":9,\"cpu_ms\":2}")));
	assert_int_equal(loop_guard_repeats(&g, call(1)), 2);
	loop_guard_add(
		&g, call(1),
		loop_result_hash(SLICE("{\"exit\":1,\"wall_ms\":9,\"cpu_ms\":2}")));
	assert_int_equal(loop_guard_repeats(&g, call(1)), 1);
}

static void test_blocked_calls_count_on(void **state)
{
	(void)state;
	for (int i = 0; i < LOOP_BLOCK; i++)
		loop_guard_add(&g, call(1), loop_result_hash(SLICE("not JSON")));
	for (unsigned i = LOOP_BLOCK + 1; i <= LOOP_END; i++) {
		loop_guard_add_blocked(&g, call(1));
		assert_int_equal(loop_guard_repeats(&g, call(1)), i);
	}
}

/* The same arguments of another tool, and texts that only run together the same. */
static void test_names_and_arguments_are_apart(void **state)
{
	(void)state;
	assert_int_not_equal(loop_call_hash(SLICE("a"), SLICE("{}")),
			     loop_call_hash(SLICE("b"), SLICE("{}")));
	assert_int_not_equal(loop_call_hash(SLICE("ab"), SLICE("c")),
			     loop_call_hash(SLICE("a"), SLICE("bc")));
}

/* What was said before a crash comes back as Postgres keeps it. */
static void test_values_are_compared(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {{"{\"a\":1,\"bb\":[1.0,{\"x\":1e2}]}",
		      "{\"bb\": [1, {\"x\": 100}], \"a\": 1}", true},
		     {"{\"s\":\"\\u00e9\\n\"}", "{\"s\": \"\xc3\xa9\\n\"}", true},
		     {"{\"n\":0.1,\"z\":-0}", "{\"n\": 0.10, \"z\": 0}", true},
		     {"{}", "{ }", true},
		     {"[1,2]", "[2,1]", false},
		     {"{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false},
		     {"{\"a\":1}", "{\"a\":\"1\"}", false},
		     {"{\"a\":null}", "{\"a\":false}", false},
		     {"{\"a\":[]}", "{\"a\":{}}", false},
		     {"{\"a\":1.5}", "{\"a\":1}", false},
		     {"[[1],2]", "[1,[2]]", false}};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct slice a = slice_str(pairs[i].a), b = slice_str(pairs[i].b);
		assert_int_equal(loop_result_hash(a) == loop_result_hash(b),
				 pairs[i].same);
		assert_int_equal(loop_call_hash(SLICE("x"), a) ==
					 loop_call_hash(SLICE("x"), b),
				 pairs[i].same);
	}
	assert_int_not_equal(loop_call_hash(SLICE("x"), SLICE("{\"wall_ms\":1}")),
			     loop_call_hash(SLICE("x"), SLICE("{\"wall_ms\":2}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_equal_pairs_are_counted, setup),
		cmocka_unit_test_setup(test_another_result_is_no_repeat, setup),
		cmocka_unit_test_setup(test_two_that_take_turns, setup),
		cmocka_unit_test_setup(test_time_is_no_result, setup),
		cmocka_unit_test_setup(test_blocked_calls_count_on, setup),
		cmocka_unit_test_setup(test_names_and_arguments_are_apart, setup),
		cmocka_unit_test_setup(test_values_are_compared, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
