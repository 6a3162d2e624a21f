/* SPDX-License-Identifier: Apache-2.0
 * The words of enums: every number has one, every word leads back, nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/wire.h"

static const struct {
	const char *name;
	const char *(*word)(unsigned);
	unsigned (*number)(struct slice);
	unsigned first, last;
} enums[] = {
	{"event", event_word, event_from_word, EVENT_LIFECYCLE, EVENT_ERROR},
	{"result", result_word, result_from_word, RESULT_COMPLETED, RESULT_DROPPED},
	{"mode", mode_word, mode_from_word, MODE_STEER, MODE_ANNOUNCE},
	{"state", run_state_word, run_state_from_word, RUN_SCHEDULED, RUN_WAITING},
};

static void test_total(void **state)
{
	(void)state;
	for (size_t e = 0; e < ARRAY_LEN(enums); e++) {
		for (unsigned n = enums[e].first; n <= enums[e].last; n++) {
			const char *word = enums[e].word(n);
			if (!strcmp(word, "?"))
				fail_msg("%s %u has no word", enums[e].name, n);
			assert_int_equal(enums[e].number(slice_str(word)), n);
			char longer[64];
			snprintf(longer, sizeof longer, "%s ", word);
			assert_int_equal(enums[e].number(slice_str(longer)), 0);
			assert_int_equal(
				enums[e].number(slice_of(word, strlen(word) - 1)), 0);
		}
		assert_string_equal(enums[e].word(0), "?");
		assert_string_equal(enums[e].word(enums[e].last + 1), "?");
		assert_string_equal(enums[e].word(UINT32_MAX), "?");
		assert_int_equal(enums[e].number(SLICE("")), 0);
		assert_int_equal(enums[e].number(SLICE_NONE), 0);
		assert_int_equal(enums[e].number(SLICE("?")), 0);
	}
}

static void test_wait_words(void **state)
{
	(void)state;
	static const char *const known[] = {"ok", "error", "cancelled", "merged"};
	for (unsigned n = RESULT_COMPLETED; n <= RESULT_DROPPED; n++) {
		bool found = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found |= !strcmp(result_wait_word(n), known[i]);
		assert_true(found);
	}
	assert_string_equal(result_wait_word(RESULT_COMPLETED), "ok");
	assert_string_equal(result_wait_word(0), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_total),
					   cmocka_unit_test(test_wait_words)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
