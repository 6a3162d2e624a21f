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
		{1, S, S, S + S / 5},
		{1, 7 * S, 7 * S, 7 * S + 7 * S / 5},
		{4, 5 * S, 5 * S, 8 * S},
		{4, 7 * S, 7 * S, 7 * S + 7 * S / 5},
		{10, 299 * S, 299 * S, 299 * S + 299 * S / 5},
		{10, 600 * S, 600 * S, 720 * S},
		{1, 3600 * S, 3600 * S, 4320 * S},
		{1, 86400 * S, 3600 * S, 4320 * S},
		{1, INT64_MAX, 3600 * S, 4320 * S},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(backoff_us(&queue, cases[i].attempt, 0, cases[i].floor),
				 cases[i].least);
		assert_int_equal(
			backoff_us(&queue, cases[i].attempt, HIGHEST, cases[i].floor),
			cases[i].most);
	}
}

/* Even over the whole range: each tenth of it gets about a tenth. Also when the floor is
 * at the most or far above it: a herd that was told the same second does not come back in
 * it. */
static void test_spread(void **state)
{
	(void)state;
	static const struct {
		unsigned attempt;
		int64_t floor, width;
	} cases[] = {
		{3, 0, 4 * S},          {3, 2 * S, 2 * S},          {3, 4 * S, 4 * S / 5},
		{1, 60 * S, 12 * S},    {12, 299 * S, 299 * S / 5}, {12, 300 * S, 60 * S},
		{2, 3600 * S, 720 * S}, {2, INT64_MAX, 720 * S}};
	rand_begin();
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		int64_t least = backoff_us(&queue, cases[c].attempt, 0, cases[c].floor);
		int64_t width = cases[c].width;
		unsigned tenths[10] = {0};
		for (int i = 0; i < 20000; i++) {
			int64_t us = backoff_us(&queue, cases[c].attempt,
						(uint32_t)rand_next(), cases[c].floor);
			assert_in_range(us - least, 0, width);
			tenths[us - least == width ? 9 : (us - least) * 10 / width]++;
		}
		for (size_t i = 0; i < ARRAY_LEN(tenths); i++)
			assert_in_range(tenths[i], 1700, 2300);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds),
					   cmocka_unit_test(test_floors),
					   cmocka_unit_test(test_spread)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
