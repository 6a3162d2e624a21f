/* SPDX-License-Identifier: Apache-2.0
 * What follows a model's failure, for every class of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/attr.h"
#include "worker/failover.h"

static enum failover_move after(enum err e, int retries, bool has_next, int64_t wait_us,
				unsigned attempt)
{
	return failover_decide(e, &(struct failover){.retries = retries,
						     .has_next = has_next,
						     .retry_after_us = wait_us,
						     .attempt = attempt,
						     .max_attempts = 5});
}

static void test_what_passes(void **state)
{
	(void)state;
	static const enum err passing[] = {ERR_NETWORK, ERR_MODEL_RATE,
					   ERR_MODEL_OVERLOAD, ERR_MODEL_TIMEOUT,
					   ERR_MODEL_BROKEN};
	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		enum err e = passing[i];
		assert_int_equal(after(e, 0, true, 0, 1), FAILOVER_AGAIN);
		assert_int_equal(after(e, 1, true, 8000000, 1), FAILOVER_AGAIN);
		assert_int_equal(after(e, 2, true, 0, 1), FAILOVER_NEXT);
		assert_int_equal(after(e, 0, true, 8000001, 1), FAILOVER_NEXT);
		assert_int_equal(after(e, 2, false, 0, 1), FAILOVER_POSTPONE);
		assert_int_equal(after(e, 0, false, 60000000, 4), FAILOVER_POSTPONE);
		assert_int_equal(after(e, 2, false, 0, 5), FAILOVER_FAIL);
	}
}

/* The key, the purse, the settings: another model may have better ones. */
static void test_what_waiting_does_not_mend(void **state)
{
	(void)state;
	static const enum err vain[] = {ERR_MODEL_AUTH, ERR_MODEL_BILLING,
					ERR_MODEL_CONFIG};
	for (size_t i = 0; i < ARRAY_LEN(vain); i++) {
		assert_int_equal(after(vain[i], 0, true, 0, 1), FAILOVER_NEXT);
		assert_int_equal(after(vain[i], 0, false, 0, 1), FAILOVER_FAIL);
	}
}

/* The question itself is at fault, or the run: no other model and no later time helps. */
static void test_what_is_final(void **state)
{
	(void)state;
	static const enum err final[] = {ERR_MODEL_REQUEST, ERR_MODEL_FILTER,
					 ERR_MODEL_CONTEXT, ERR_CANCELLED,
					 ERR_BUDGET,        ERR_NO_MEMORY};
	for (size_t i = 0; i < ARRAY_LEN(final); i++)
		assert_int_equal(after(final[i], 0, true, 0, 1), FAILOVER_FAIL);
}

/* A model that says nothing is asked again and replaced, never queued. */
static void test_an_empty_answer(void **state)
{
	(void)state;
	assert_int_equal(after(ERR_MODEL_EMPTY, 1, true, 0, 1), FAILOVER_AGAIN);
	assert_int_equal(after(ERR_MODEL_EMPTY, 2, true, 0, 1), FAILOVER_NEXT);
	assert_int_equal(after(ERR_MODEL_EMPTY, 2, false, 0, 1), FAILOVER_FAIL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_passes),
		cmocka_unit_test(test_what_waiting_does_not_mend),
		cmocka_unit_test(test_what_is_final),
		cmocka_unit_test(test_an_empty_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
