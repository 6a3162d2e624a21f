/* SPDX-License-Identifier: Apache-2.0
 * Placement: even, stable, and moving no more slots than it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "supervisor/placement.h"

static int all[64];
static int16_t before[LIMIT_SLOTS], after[LIMIT_SLOTS];

static void test_nobody(void **state)
{
	(void)state;
	placement_compute(all, 0, after);
	for (unsigned s = 0; s < LIMIT_SLOTS; s++)
		assert_int_equal(after[s], -1);
}

static void test_even(void **state)
{
	(void)state;
	for (int n = 1; n <= 64; n *= 2) {
		unsigned count[64] = {0}, share = LIMIT_SLOTS / (unsigned)n;
		placement_compute(all, n, after);
		for (unsigned s = 0; s < LIMIT_SLOTS; s++) {
			assert_in_range(after[s], 0, n - 1);
			count[after[s]]++;
		}
		for (int w = 0; w < n; w++)
			assert_in_range(count[w], share / 2, share * 2);
	}
}

/* Only the newcomer gains, and about its share. */
static void test_add_moves_its_share(void **state)
{
	(void)state;
	for (int n = 1; n < 16; n++) {
		unsigned moved = 0, share = LIMIT_SLOTS / (unsigned)(n + 1);
		placement_compute(all, n, before);
		placement_compute(all, n + 1, after);
		for (unsigned s = 0; s < LIMIT_SLOTS; s++) {
			if (before[s] == after[s])
				continue;
			assert_int_equal(after[s], n);
			moved++;
		}
		assert_in_range(moved, share * 3 / 4, share * 5 / 4);
	}
}

static void test_removal_moves_only_its_own(void **state)
{
	(void)state;
	for (int gone = 0; gone < 8; gone++) {
		int rest[7], n = 0;
		for (int w = 0; w < 8; w++)
			if (w != gone)
				rest[n++] = w;
		placement_compute(all, 8, before);
		placement_compute(rest, 7, after);
		for (unsigned s = 0; s < LIMIT_SLOTS; s++) {
			assert_int_not_equal(after[s], gone);
			if (before[s] != gone)
				assert_int_equal(after[s], before[s]);
		}
	}
}

/* A restarted supervisor must find the same owners, in whatever order it lists them. */
static void test_same_for_ever(void **state)
{
	(void)state;
	static const int backwards[] = {3, 2, 1, 0};
	placement_compute(all, 4, before);
	placement_compute(backwards, 4, after);
	assert_memory_equal(before, after, sizeof before);
	uint8_t sum[32];
	char hex[65];
	for (unsigned s = 0; s < LIMIT_SLOTS; s++)
		((uint8_t *)after)[s] = (uint8_t)before[s];
	crypto_sha256(slice_of(after, LIMIT_SLOTS), sum);
	crypto_hex(sum, sizeof sum, hex);
	assert_string_equal(hex, "a15ab39b3d15eca54edf9627078a2984"
				 "8d8950a469794301d329226b882bc2b3");
}

int main(void)
{
	crypto_init();
	for (int i = 0; i < 64; i++)
		all[i] = i;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_even),
		cmocka_unit_test(test_add_moves_its_share),
		cmocka_unit_test(test_removal_moves_only_its_own),
		cmocka_unit_test(test_same_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
