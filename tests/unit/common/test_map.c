/* SPDX-License-Identifier: Apache-2.0
 * The map against an array, with walks that take while they visit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "common/map.h"
#include "tests/unit/common/rand.h"

#define KEYS 700

static struct slice key_of(uint32_t i, char buf[80])
{
	/* short, of the inline length, one more, and long ones; an empty one among them
	 */
	static const size_t lengths[] = {4, 31, 32, 33, 60};
	size_t n = i == 0 ? 0 : lengths[i % 5];
	memset(buf, 'k', 80);
	memcpy(buf, &i, n < 4 ? n : 4);
	return slice_of(buf, n);
}

static void *value_of(uint32_t i, uint32_t version)
{
	return (void *)(uintptr_t)(1 + i + version * 100000);
}

static void check_walk(struct map *m, void *const want[], bool take)
{
	int seen[KEYS] = {0};
	size_t it = 0;
	struct slice key;
	void *value;
	char buf[80];
	while (map_next(m, &it, &key, &value)) {
		uint32_t i = ((uint32_t)(uintptr_t)value - 1) % 100000;
		assert_true(i < KEYS);
		assert_ptr_equal(value, want[i]);
		assert_true(slice_eq(key, key_of(i, buf)));
		seen[i]++;
		if (take && rand_chance(70))
			assert_ptr_equal(map_take(m, key_of(i, buf)), value);
	}
	for (uint32_t i = 0; i < KEYS; i++)
		if (seen[i] != (want[i] != NULL))
			fail_msg("key %u was shown %d times", i, seen[i]);
}

static void test_against_an_array(void **state)
{
	(void)state;
	static void *want[KEYS];
	struct map *m = map_new();
	size_t count = 0;
	char buf[80];
	for (uint32_t step = 0; step < 200000; step++) {
		/* the number of keys in use swells and falls */
		uint32_t i = rand_below(step / 20000 % 2 ? KEYS : 40);
		struct slice key = key_of(i, buf);
		assert_ptr_equal(map_get(m, key), want[i]);
		if (rand_chance(step / 10000 % 3 ? 60 : 30)) {
			void *v = value_of(i, step % 1000);
			assert_ptr_equal(map_put(m, key, v), want[i]);
			count += want[i] == NULL;
			want[i] = v;
		} else {
			assert_ptr_equal(map_take(m, key), want[i]);
			count -= want[i] != NULL;
			want[i] = NULL;
		}
		assert_int_equal(map_count(m), count);
		if (step % 2000 == 0)
			check_walk(m, want, false);
		if (step % 5000 == 4999) {
			check_walk(m, want, true);
			count = map_count(m);
			for (i = 0; i < KEYS; i++)
				want[i] = map_get(m, key_of(i, buf));
		}
	}
	map_free(m);
	map_free(NULL);
}

static void test_walk_that_empties(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 200; n++) {
		struct map *m = map_new();
		size_t it = 0;
		struct slice key;
		uint32_t seen = 0;
		char buf[80];
		for (uint32_t i = 0; i < n; i++)
			map_put(m, key_of(i, buf), m);
		while (map_next(m, &it, &key, NULL)) {
			char copy[80];
			memcpy(copy, key.p, key.n);
			assert_ptr_equal(map_take(m, slice_of(copy, key.n)), m);
			seen++;
		}
		assert_int_equal(seen, n);
		assert_int_equal(map_count(m), 0);
		map_free(m);
	}
}

static void test_keys_are_bytes(void **state)
{
	(void)state;
	struct map *m = map_new();
	char a[] = "volatile";
	map_put(m, slice_str(a), a);
	memset(a, 'x', sizeof a - 1); /* it keeps a copy */
	assert_ptr_equal(map_get(m, SLICE("volatile")), a);
	assert_null(map_get(m, SLICE("volatil")));
	map_put(m, SLICE("a\0b"), m);
	assert_null(map_get(m, SLICE("a\0c")));
	assert_null(map_get(m, SLICE("a")));
	assert_null(map_get(m, SLICE_NONE));
	assert_ptr_equal(map_get(m, SLICE("a\0b")), m);
	map_free(m);
}

int main(void)
{
	crypto_init();
	rand_begin();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_an_array),
					   cmocka_unit_test(test_walk_that_empties),
					   cmocka_unit_test(test_keys_are_bytes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
