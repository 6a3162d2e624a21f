/* SPDX-License-Identifier: Apache-2.0
 * Arenas: alignment, bounds, the sticky limit, cleanups, and no waste by large pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/arena.h"
#include "tests/unit/common/rand.h"

static char log_text[64];

static void note(void *arg)
{
	size_t n = strlen(log_text);
	snprintf(log_text + n, sizeof log_text - n, "%s", (const char *)arg);
}

/* Pieces do not overlap and are aligned; a sanitizer sees what leaves its block. */
static void test_pieces(void **state)
{
	(void)state;
	enum { PIECES = 3000 };
	static unsigned char *piece[PIECES];
	static size_t size[PIECES];
	struct arena *a = arena_new(1u << 30);
	for (int round = 0; round < 3; round++) {
		size_t sum = 0;
		for (int i = 0; i < PIECES; i++) {
			size[i] = rand_chance(95) ? rand_below(300) : rand_below(200000);
			piece[i] = arena_alloc(a, size[i]);
			assert_int_equal((uintptr_t)piece[i] % _Alignof(max_align_t), 0);
			memset(piece[i], i & 255, size[i]);
			sum += size[i];
		}
		for (int i = 0; i < PIECES; i++)
			for (size_t k = 0; k < size[i]; k++)
				if (piece[i][k] != (i & 255))
					fail_msg("piece %d byte %zu", i, k);
		assert_in_range(arena_used(a), sum, sum + PIECES * 16);
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
	arena_free(a);
	arena_free(NULL);
}

/* A large piece has a block of its own; the small ones go on where they were. */
static void test_large_pieces_waste_nothing(void **state)
{
	(void)state;
	struct arena *a = arena_new(1u << 30);
	for (int i = 0; i < 20; i++)
		arena_alloc(a, 30000);
	for (int i = 0; i < 100; i++) {
		char *small = arena_alloc(a, 16);
		arena_alloc(a, 100000);
		char *next = arena_alloc(a, 16);
		if (next != small + 16) { /* at a block's end, once in a long while */
			assert_int_equal(i, 0);
			arena_alloc(a, 16);
		}
	}
	arena_free(a);
}

static void test_large_piece_first(void **state)
{
	(void)state;
	struct arena *a = arena_new(1u << 30);
	for (int i = 0; i < 50; i++) { /* reset must find the first block again */
		char *big = arena_zalloc(a, 5000);
		char *small = arena_zalloc(a, 8);
		assert_int_equal(big[4999] | small[7], 0);
		memset(big, 1, 5000);
		memset(small, 1, 8);
		arena_reset(a);
	}
	arena_free(a);
}

static void test_limit_is_told(void **state)
{
	(void)state;
	struct arena *a = arena_new(1000);
	arena_alloc(a, 992);
	assert_false(arena_is_over(a));
	memset(arena_alloc(a, 500), 1, 500); /* it still succeeds */
	assert_true(arena_is_over(a));
	arena_alloc(a, 1);
	assert_true(arena_is_over(a));
	arena_reset(a);
	assert_false(arena_is_over(a));
	arena_free(a);
}

static void test_cleanups(void **state)
{
	(void)state;
	static char one[] = "1", two[] = "2", three[] = "3";
	struct arena *a = arena_new(1000);
	arena_cleanup(a, note, one);
	struct arena_cleanup *c = arena_cleanup(a, note, two);
	arena_cleanup(a, note, three);
	arena_uncleanup(c);
	arena_reset(a);
	assert_string_equal(log_text, "31");
	arena_reset(a);
	assert_string_equal(log_text, "31"); /* once */
	arena_cleanup(a, note, two);
	arena_free(a);
	assert_string_equal(log_text, "312");
}

static void test_copies(void **state)
{
	(void)state;
	AUTO(auto_arena_free) struct arena *a = arena_new(1u << 20);
	assert_string_equal(arena_strdup(a, "text"), "text");
	assert_string_equal(arena_strndup(a, "text", 2), "te");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	assert_string_equal(arena_printf(a, "%d-%s", 5, "x"), "5-x");
	struct slice s = arena_slice(a, SLICE("a\0b"));
	assert_true(slice_eq(s, SLICE("a\0b")));
	assert_int_equal(s.p[s.n], 0);
	assert_non_null(arena_slice(a, SLICE_NONE).p);
	assert_memory_equal(arena_memdup(a, "abc", 3), "abc", 3);
	assert_non_null(arena_memdup(a, NULL, 0));
	char *longer = arena_printf(a, "%5000s", "x");
	assert_int_equal(strlen(longer), 5000);
}

int main(void)
{
	rand_begin();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_large_pieces_waste_nothing),
		cmocka_unit_test(test_large_piece_first),
		cmocka_unit_test(test_limit_is_told),
		cmocka_unit_test(test_cleanups),
		cmocka_unit_test(test_copies)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
