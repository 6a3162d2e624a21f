/* SPDX-License-Identifier: Apache-2.0
 * Rates, slowness and Retry-After. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/pace.h"

#define SECOND 1000000ll

static void test_rates_follow_the_counters(void **state)
{
	struct pace p = {0};
	int64_t now = 5 * SECOND;
	(void)state;
	pace_tick(&p, now, 0, 0);
	for (int i = 1; i <= 60; i++)
		pace_tick(&p, now + i * SECOND, (uint64_t)i * 100, (uint64_t)i * 50);
	assert_true(p.accepted_per_s > 99 && p.accepted_per_s < 101);
	assert_true(p.ended_per_s > 49 && p.ended_per_s < 51);
	for (int i = 61; i <= 120; i++) /* everything stands still: the rate goes down */
		pace_tick(&p, now + i * SECOND, 6000, 3000);
	assert_true(p.ended_per_s < 1);
}

static void test_retry_after_is_bounded_and_spread(void **state)
{
	struct pace p = {.ended_per_s = 100};
	(void)state;
	assert_int_equal(pace_retry_after_s(&p, 1, 0), 1);
	assert_int_equal(pace_retry_after_s(&p, 1000000, 0), 60);
	uint32_t low = pace_retry_after_s(&p, 2000, 0);
	uint32_t high = pace_retry_after_s(&p, 2000, UINT32_MAX);
	assert_int_equal(low, 16); /* 20 s, less and plus a fifth */
	assert_int_equal(high, 24);
	p.ended_per_s = 0; /* nothing has ended yet: no guess beyond the bound */
	assert_int_equal(pace_retry_after_s(&p, 5, 0), 60);
	assert_int_equal(pace_retry_after_s(&p, 0, 0), 60);
}

static void test_slow_needs_two_of_the_last_ten_seconds(void **state)
{
	struct pace p = {0};
	int64_t now = 100 * SECOND;
	(void)state;
	assert_false(pace_is_slow(&p, now));
	pace_batch(&p, now, 600000);
	assert_false(pace_is_slow(&p, now)); /* one may be a checkpoint */
	pace_batch(&p, now, 700000);
	assert_true(pace_is_slow(&p, now));
	assert_int_equal(pace_last_batch_us(&p), 700000);
	assert_false(pace_is_slow(&p, now + 11 * SECOND)); /* forgotten */
}

static void test_a_few_slow_ones_among_many_are_not_slow(void **state)
{
	struct pace p = {0};
	int64_t now = 100 * SECOND;
	(void)state;
	pace_batch(&p, now, 600000);
	pace_batch(&p, now, 600000);
	for (int i = 0; i < 198; i++)
		pace_batch(&p, now + i * 10000, 2000);
	assert_false(pace_is_slow(&p, now + 2 * SECOND)); /* one in a hundred */
	pace_batch(&p, now + 2 * SECOND, 600000);
	assert_true(pace_is_slow(&p, now + 2 * SECOND));
}

/* Also at a thousand batches a second. */
static void test_ten_seconds_are_remembered(void **state)
{
	struct pace p = {0};
	int64_t now = 100 * SECOND;
	(void)state;
	for (int i = 0; i < 100; i++)
		pace_batch(&p, now, 600000);
	for (int i = 1; i < 9000; i++)
		pace_batch(&p, now + i * 1000, 1000);
	assert_true(pace_is_slow(&p, now + 9 * SECOND));
	for (int i = 0; i < 2000; i++)
		pace_batch(&p, now + 9 * SECOND + i * 1000, 1000);
	assert_false(pace_is_slow(&p, now + 11 * SECOND));
}

static void test_what_is_under_way_counts(void **state)
{
	struct pace p = {0};
	int64_t now = 100 * SECOND;
	(void)state;
	pace_batch(&p, now, 600000);
	pace_sent(&p, now);
	assert_false(pace_is_slow(&p, now + 400000));
	assert_true(pace_is_slow(&p, now + 600000)); /* the second slow one */
	pace_returned(&p);
	assert_false(pace_is_slow(&p, now + 600000));
}

static void test_a_commit_that_does_not_come_back(void **state)
{
	struct pace p = {0};
	int64_t now = 100 * SECOND;
	(void)state;
	for (int i = 0; i < 1000; i++)
		pace_batch(&p, now, 1000);
	pace_sent(&p, now);
	assert_false(pace_is_stalled(&p, now + 1900000));
	assert_true(pace_is_stalled(&p, now + 2100000));
	pace_returned(&p);
	assert_false(pace_is_stalled(&p, now + 2100000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates_follow_the_counters),
		cmocka_unit_test(test_retry_after_is_bounded_and_spread),
		cmocka_unit_test(test_slow_needs_two_of_the_last_ten_seconds),
		cmocka_unit_test(test_a_few_slow_ones_among_many_are_not_slow),
		cmocka_unit_test(test_ten_seconds_are_remembered),
		cmocka_unit_test(test_what_is_under_way_counts),
		cmocka_unit_test(test_a_commit_that_does_not_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
