/* SPDX-License-Identifier: Apache-2.0
 * The loading cache and the handles: one load a key, waiters woken, ages, bounds, drops
 * during a load; stale handles find nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "edge/cache.h"
#include "edge/handles.h"

#define MANY 64

static struct loop *loop;
static struct cache *cache;
static struct cache_entry *loading[MANY];
static int loads, woken;

static void load(void *arg, struct cache_entry *e, struct slice key, const void *hint)
{
	(void)arg, (void)key, (void)hint;
	loading[loads++ % MANY] = e;
}

static void on_wake(void *arg)
{
	(void)arg;
	woken++;
}

static struct waiter {
	struct cache_wait wait;
	struct loop_task task;
} waiters[4];

static void open_cache(unsigned capacity, int64_t refresh_us, int64_t fresh_us)
{
	crypto_init();
	loads = woken = 0;
	memset(waiters, 0, sizeof waiters);
	loop = loop_new();
	cache = cache_new(&(struct cache_config){.loop = loop,
						 .capacity = capacity,
						 .value_size = sizeof(int),
						 .refresh_us = refresh_us,
						 .fresh_us = fresh_us,
						 .absent_us = 200000,
						 .load = load});
	for (int i = 0; i < 4; i++)
		loop_task_init(&waiters[i].task, on_wake, NULL);
}

static void close_cache(void)
{
	cache_free(cache);
	loop_free(loop);
}

static enum cache_verdict look(const char *key, int w, int *value)
{
	return cache_look(cache, slice_str(key), &waiters[w].wait, &waiters[w].task, NULL,
			  value);
}

static void age(int64_t us)
{
	int64_t until = clock_mono_us() + us;
	struct loop_timer *t = loop_timer_new(loop, on_wake, NULL);
	loop_timer_start(t, us);
	while (clock_mono_us() < until)
		loop_turn(loop, 50);
	loop_timer_free(t);
	loop_turn(loop, 0);
	woken = 0;
}

static void test_one_load_for_all(void **state)
{
	(void)state;
	int v = 0, seven = 7;
	open_cache(10, 0, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(look("a", i, &v), CACHE_WAIT);
	assert_int_equal(look("a", 0, &v), CACHE_WAIT);
	assert_int_equal(loads, 1);
	cache_leave(&waiters[2].wait);
	cache_loaded(loading[0], &seven);
	loop_turn(loop, 0);
	assert_int_equal(woken, 2);
	assert_int_equal(look("a", 0, &v), CACHE_FOUND);
	assert_int_equal(v, 7);
	assert_int_equal(loads, 1);
	close_cache();
}

static void test_absent_is_remembered_for_a_while(void **state)
{
	(void)state;
	int v = 0;
	open_cache(10, 0, 0);
	look("a", 0, &v);
	cache_loaded(loading[0], NULL);
	loop_turn(loop, 0);
	assert_int_equal(look("a", 0, &v), CACHE_ABSENT);
	assert_int_equal(look("a", 1, &v), CACHE_ABSENT);
	age(300000);
	assert_int_equal(look("a", 1, &v), CACHE_WAIT);
	assert_int_equal(loads, 2);
	cache_loaded(loading[1], NULL);
	close_cache();
}

/* Nothing is remembered of it, but whoever waited for the answer gets it, once. */
static void test_absent_is_told_to_those_who_waited(void **state)
{
	(void)state;
	int v = 0;
	open_cache(10, 0, 0);
	cache_free(cache);
	cache = cache_new(&(struct cache_config){
		.loop = loop, .capacity = 10, .value_size = sizeof(int), .load = load});
	look("a", 0, &v);
	look("a", 1, &v);
	cache_loaded(loading[0], NULL);
	age(1000);
	assert_int_equal(look("a", 0, &v), CACHE_ABSENT);
	assert_int_equal(look("a", 1, &v), CACHE_ABSENT);
	assert_int_equal(loads, 1);
	assert_int_equal(look("a", 0, &v), CACHE_WAIT);
	assert_int_equal(look("a", 2, &v), CACHE_WAIT);
	assert_int_equal(loads, 2);
	cache_loaded(loading[1], NULL);
	close_cache();
}

static void test_failure_is_told_and_forgotten(void **state)
{
	(void)state;
	int v = 0;
	open_cache(10, 0, 0);
	look("a", 0, &v);
	cache_failed(loading[0], ERR_DATABASE);
	loop_turn(loop, 0);
	assert_int_equal(look("a", 0, &v), CACHE_FAILED);
	assert_int_equal(waiters[0].wait.failed, ERR_DATABASE);
	assert_int_equal(cache_count(cache), 0);
	assert_int_equal(look("a", 1, &v), CACHE_WAIT);
	cache_failed(loading[1], ERR_DATABASE);
	close_cache();
}

static void test_refresh_behind_the_back(void **state)
{
	(void)state;
	int v = 0, one = 1, two = 2;
	open_cache(10, 200000, 600000);
	look("a", 0, &v);
	cache_loaded(loading[0], &one);
	loop_turn(loop, 0);
	assert_int_equal(look("a", 0, &v), CACHE_FOUND);
	assert_int_equal(loads, 1);
	age(300000);
	assert_int_equal(look("a", 0, &v), CACHE_FOUND);
	assert_int_equal(look("a", 1, &v), CACHE_FOUND);
	assert_int_equal(v, 1);
	assert_int_equal(loads, 2);
	cache_loaded(loading[1], &two);
	assert_int_equal(look("a", 0, &v), CACHE_FOUND);
	assert_int_equal(v, 2);
	age(700000);
	assert_int_equal(look("a", 0, &v), CACHE_WAIT);
	cache_failed(loading[2], ERR_DATABASE);
	close_cache();
}

/* A value dropped while it is loaded is not served: it may be the old one. */
static void test_drop_during_a_load(void **state)
{
	(void)state;
	int v = 0, one = 1;
	open_cache(10, 0, 0);
	look("a", 0, &v);
	cache_drop(cache, SLICE("a"));
	assert_int_equal(cache_count(cache), 0);
	cache_loaded(loading[0], &one);
	loop_turn(loop, 0);
	assert_int_equal(woken, 1);
	assert_int_equal(look("a", 0, &v), CACHE_WAIT);
	assert_int_equal(loads, 2);
	cache_failed(loading[1], ERR_DATABASE);
	close_cache();
}

static bool is_value(const void *value, const void *arg)
{
	return *(const int *)value == *(const int *)arg;
}

static void test_drop_by_value(void **state)
{
	(void)state;
	int v = 0;
	open_cache(10, 0, 0);
	for (int i = 0; i < 3; i++) {
		char key[2] = {(char)('a' + i), 0};
		memset(&waiters[0].wait, 0, sizeof waiters[0].wait);
		look(key, 0, &v);
		cache_loaded(loading[i], &i);
	}
	int one = 1;
	cache_drop_if(cache, is_value, &one);
	assert_int_equal(cache_count(cache), 2);
	close_cache();
}

static void test_bounded_by_use(void **state)
{
	(void)state;
	int v = 0;
	char key[16];
	open_cache(10, 0, 0);
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof key, "k%d", i);
		memset(&waiters[0].wait, 0, sizeof waiters[0].wait);
		look(key, 0, &v);
		cache_loaded(loading[i], &i);
		loop_turn(loop, 0);
		assert_int_equal(look("k0", 0, &v), CACHE_FOUND);
	}
	assert_int_equal(cache_count(cache), 10);
	assert_int_equal(look("k49", 0, &v), CACHE_FOUND);
	assert_int_equal(v, 49);
	close_cache();
}

static void test_handles(void **state)
{
	(void)state;
	struct handles *h = handles_new();
	int objects[500];
	uint64_t given[500], old[500];
	unsigned seed = (unsigned)time(NULL);
	print_message("seed %u\n", seed);
	srand(seed);
	memset(given, 0, sizeof given);
	memset(old, 0, sizeof old);
	for (int i = 0; i < 20000; i++) {
		int n = rand() % 500;
		if (given[n]) {
			assert_ptr_equal(handle_get(h, given[n]), &objects[n]);
			old[n] = given[n];
			handle_free(h, given[n]);
			handle_free(h, given[n]);
			given[n] = 0;
		} else {
			given[n] = handle_new(h, &objects[n]);
			assert_true(given[n] != 0 && given[n] != old[n]);
		}
		assert_null(handle_get(h, old[n]));
	}
	size_t live = 0, seen = 0;
	uint32_t it = 0;
	for (int i = 0; i < 500; i++)
		live += given[i] != 0;
	while (handle_next(h, &it))
		seen++;
	assert_int_equal(live, seen);
	assert_null(handle_get(h, 0));
	assert_null(handle_get(h, UINT64_MAX));
	handle_free(h, 0);
	handles_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_load_for_all),
		cmocka_unit_test(test_absent_is_remembered_for_a_while),
		cmocka_unit_test(test_absent_is_told_to_those_who_waited),
		cmocka_unit_test(test_failure_is_told_and_forgotten),
		cmocka_unit_test(test_refresh_behind_the_back),
		cmocka_unit_test(test_drop_during_a_load),
		cmocka_unit_test(test_drop_by_value),
		cmocka_unit_test(test_bounded_by_use),
		cmocka_unit_test(test_handles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
