/* SPDX-License-Identifier: Apache-2.0
 * Parked lanes: order, due times, release. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/journal_item.h"
#include "supervisor/parked.h"

static const struct backoff backoff = {.first_us = 100, .cap_us = 1000};
static struct parked parked;
static struct list waiting;
static struct item items[8];

static int setup(void **state)
{
	(void)state;
	parked_init(&parked, &backoff);
	list_init(&waiting);
	memset(items, 0, sizeof items);
	for (int i = 0; i < 8; i++)
		list_init(&items[i].node);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	parked_release_all(&parked, &waiting);
	assert_int_equal(parked_next_us(&parked), 0);
	parked_fini(&parked);
	return 0;
}

static struct item *of_lane(int i, uint8_t session)
{
	items[i].tenant = 1;
	items[i].session.b[0] = session;
	return &items[i];
}

static void expect_waiting(const char *want)
{
	char got[32] = "";
	list_each (n, &waiting)
		got[strlen(got)] =
			(char)('0' + (list_entry(n, struct item, node) - items));
	assert_string_equal(got, want);
}

static void test_a_lane_keeps_its_order(void **state)
{
	(void)state;
	assert_false(parked_join(&parked, of_lane(0, 1)));
	struct parked_lane *l = parked_put(&parked, of_lane(0, 1), 0, 0);
	assert_true(parked_join(&parked, of_lane(1, 1)));
	assert_true(parked_join(&parked, of_lane(2, 1)));
	assert_false(parked_join(&parked, of_lane(3, 2)));
	list_push(&waiting, &items[3].node);
	/* Tried in vain: the first again. */
	list_remove(&items[0].node);
	assert_ptr_equal(parked_put(&parked, &items[0], 0, 0), l);
	parked_release(&parked, l, &waiting);
	expect_waiting("0123");
	assert_null(parked_find(&parked, 1, items[0].session));
}

static void test_another_tenants_lane_is_another(void **state)
{
	(void)state;
	parked_put(&parked, of_lane(0, 1), 0, 0);
	of_lane(1, 1)->tenant = 2;
	assert_false(parked_join(&parked, &items[1]));
}

static void test_pauses_grow(void **state)
{
	(void)state;
	int64_t now_us = 1000, most[] = {100, 200, 400, 800, 1000, 1000};
	struct parked_lane *l;
	for (int i = 0; i < 6; i++) {
		list_remove(&of_lane(0, 1)->node);
		l = parked_put(&parked, &items[0], now_us, UINT32_MAX);
		assert_int_equal(parked_next_us(&parked), now_us + most[i]);
		assert_null(parked_take_due(&parked, now_us + most[i] - 1));
		assert_ptr_equal(parked_take_due(&parked, now_us + most[i]), l);
		assert_int_equal(parked_next_us(&parked), 0); /* it is being tried */
		now_us += most[i];
	}
	list_remove(&items[0].node);
	parked_put(&parked, &items[0], now_us, 0);
	assert_int_equal(parked_next_us(&parked), now_us + 50); /* never at once */
}

static void test_it_says_why_and_until_when(void **state)
{
	(void)state;
	char text[400];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	assert_int_equal(parked_count(&parked), 0);
	struct parked_lane *l = parked_put(&parked, of_lane(0, 1), 500, 0);
	parked_put(&parked, of_lane(1, 2), 500, 0);
	parked_set_why(l, "55P03", text);
	assert_int_equal(parked_count(&parked), 2);
	assert_string_equal(l->sqlstate, "55P03");
	assert_int_equal(strlen(l->message), sizeof l->message - 1);
	assert_int_equal(parked_due_us(l), 550);
	parked_take_due(&parked, 10000);
	parked_take_due(&parked, 10000);
	assert_int_equal(parked_due_us(l), 0);
}

static void test_the_first_due_is_the_first(void **state)
{
	(void)state;
	struct parked_lane *a = parked_put(&parked, of_lane(0, 1), 500, 0);
	struct parked_lane *b = parked_put(&parked, of_lane(1, 2), 0, 0);
	assert_ptr_equal(parked_take_due(&parked, 10000), b);
	assert_ptr_equal(parked_take_due(&parked, 10000), a);
	assert_null(parked_take_due(&parked, 10000));
	parked_set_due(&parked, b, 7);
	assert_int_equal(parked_next_us(&parked), 7);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_lane_keeps_its_order),
		CASE(test_another_tenants_lane_is_another),
		CASE(test_pauses_grow),
		CASE(test_it_says_why_and_until_when),
		CASE(test_the_first_due_is_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
