/* SPDX-License-Identifier: Apache-2.0
 * How long starts waited: the last thousand, half and 99 of 100 of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/waits.h"

static struct waits w;

static void expect(uint32_t p50, uint32_t p99)
{
	uint32_t half, most;
	waits_quantiles(&w, &half, &most);
	assert_int_equal(half, p50);
	assert_int_equal(most, p99);
}

static void test_quantiles(void **state)
{
	(void)state;
	w = (struct waits){0};
	expect(0, 0);
	waits_add(&w, -5000); /* two clocks never agree to the microsecond */
	expect(0, 0);
	waits_add(&w, 7999);
	expect(0, 7);
	w = (struct waits){0};
	for (int i = 100; i > 0; i--)
		waits_add(&w, i * 1000);
	expect(50, 99);
	waits_add(&w, INT64_MAX);
	waits_add(&w, INT64_MAX);
	expect(51, UINT32_MAX);
}

static void test_the_old_are_forgotten(void **state)
{
	(void)state;
	w = (struct waits){0};
	for (int i = 0; i < WAITS_KEPT; i++)
		waits_add(&w, 60000000);
	expect(60000, 60000);
	for (int i = 0; i < WAITS_KEPT; i++)
		waits_add(&w, 2000);
	expect(2, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_the_old_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
