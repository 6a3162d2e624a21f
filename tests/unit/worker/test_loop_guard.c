/* SPDX-License-Identifier: Apache-2.0
 * Circles are seen, work is not taken for one. */
#include <setjmp.h>
#include <stdarg.h>
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
		loop_guard_add(&g, call(1), SLICE("{\"x\":1}"));
		assert_int_equal(loop_guard_repeats(&g, call(1)), i);
	}
	loop_guard_add(&g, call(1), SLICE("{\"x\":1}"));
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
		loop_guard_add(&g, call(1), slice_str(out));
		assert_int_equal(loop_guard_repeats(&g, call(1)), 1);
	}
}

static void test_two_that_take_turns(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++)
		loop_guard_add(&g, call(i % 2), SLICE("{\"same\":true}"));
	assert_int_equal(loop_guard_repeats(&g, call(0)), LOOP_HISTORY / 2);
	assert_int_equal(loop_guard_repeats(&g, call(1)), LOOP_HISTORY / 2);
}

static void test_time_is_no_result(void **state)
{
	(void)state;
	loop_guard_add(&g, call(1), SLICE("{\"exit\":0,\"wall_ms\":3,\"cpu_ms\":1}"));
	loop_guard_add(&g, call(1), SLICE("{\"exit\":0,\"wall_ms\":9,\"cpu_ms\":2}"));
	assert_int_equal(loop_guard_repeats(&g, call(1)), 2);
	loop_guard_add(&g, call(1), SLICE("{\"exit\":1,\"wall_ms\":9,\"cpu_ms\":2}"));
	assert_int_equal(loop_guard_repeats(&g, call(1)), 1);
}

static void test_blocked_calls_count_on(void **state)
{
	(void)state;
	for (int i = 0; i < LOOP_BLOCK; i++)
		loop_guard_add(&g, call(1), SLICE("not JSON"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_equal_pairs_are_counted, setup),
		cmocka_unit_test_setup(test_another_result_is_no_repeat, setup),
		cmocka_unit_test_setup(test_two_that_take_turns, setup),
		cmocka_unit_test_setup(test_time_is_no_result, setup),
		cmocka_unit_test_setup(test_blocked_calls_count_on, setup),
		cmocka_unit_test_setup(test_names_and_arguments_are_apart, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
