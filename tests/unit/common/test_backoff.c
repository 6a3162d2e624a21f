/* SPDX-License-Identifier: Apache-2.0
 * Pauses between attempts: their bounds, their spread, and what a floor does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/backoff.h"
#include "tests/unit/common/rand.h"

#define S 1000000ll
#define HIGHEST UINT32_MAX

static const struct backoff queue = {.first_us = S, .cap_us = 300 * S};

static void test_bounds(void **state)
{
	(void)state;
	static const struct {
		unsigned attempt;
		int64_t most;
	} cases[] = {{0, S},        {1, S},        {2, 2 * S},
		     {3, 4 * S},    {4, 8 * S},    {9, 256 * S},
		     {10, 300 * S}, {64, 300 * S}, {UINT32_MAX, 300 * S}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(backoff_us(&queue, cases[i].attempt, 0, 0), 0);
		assert_int_equal(backoff_us(&queue, cases[i].attempt, HIGHEST, 0),
				 cases[i].most);
	}
}

static void test_floors(void **state)
{
	(void)state;
	static const struct {
		unsigned attempt;
		int64_t floor, least, most;
	} cases[] = {
		{1, -5, 0, S},
		{1, S / 2, S / 2, S},
		{1, S, S, S},
		{1, 7 * S, 7 * S, 7 * S},
		{4, 7 * S, 7 * S, 8 * S},
		{10, 299 * S, 299 * S, 300 * S},
		{10, 600 * S, 600 * S, 600 * S},
		{1, 3600 * S, 3600 * S, 3600 * S},
		{1, 86400 * S, 3600 * S, 3600 * S},
		{1, INT64_MAX, 3600 * S, 3600 * S},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(backoff_us(&queue, cases[i].attempt, 0, cases[i].floor),
				 cases[i].least);
		assert_int_equal(
			backoff_us(&queue, cases[i].attempt, HIGHEST, cases[i].floor),
			cases[i].most);
	}
}

/* Even over the whole range: each tenth of it gets about a tenth. */
static void test_spread(void **state)
{
	(void)state;
	unsigned tenths[10] = {0};
	rand_begin();
	for (int i = 0; i < 20000; i++) {
		int64_t us = backoff_us(&queue, 3, (uint32_t)rand_next(), 2 * S);
		assert_true(us >= 2 * S && us <= 4 * S);
		tenths[us == 4 * S ? 9 : (us - 2 * S) / (S / 5)]++;
	}
	for (size_t i = 0; i < ARRAY_LEN(tenths); i++)
		assert_in_range(tenths[i], 1700, 2300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds),
					   cmocka_unit_test(test_floors),
					   cmocka_unit_test(test_spread)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
