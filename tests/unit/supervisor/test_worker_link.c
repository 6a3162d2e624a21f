/* SPDX-License-Identifier: Apache-2.0
 * What a worker's word about the end of a run does to its lane. */
#include "tests/unit/supervisor/sup_double.h"

static const struct uuid SESSION = {{1, 1}};

void child_ready(struct child *c, const struct wire_ready *m)
{
	(void)c, (void)m;
}
void child_ping(struct child *c, const struct wire_ping *m)
{
	(void)c, (void)m;
}
void child_punish(struct child *c, const char *fmt, ...)
{
	(void)c;
	fail_msg("%s", fmt);
}

void inquiries_part(struct child *c, const struct wire_inquiry_part *m)
{
	(void)c, (void)m;
}

static int begin(void **state)
{
	(void)state;
	sup_begin();
	worker.sup = &sup;
	worker.ordinal = WORKER;
	return 0;
}

static int end(void **state)
{
	(void)state;
	sup_end();
	return 0;
}

/* A run ends with that result while another waits behind it. */
static void ends(enum run_result result, bool goes_on)
{
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	land(it, "accepted", 1, NULL);
	union wire_any m = {.run_done = {.run = it->run_id,
					 .fence = 1,
					 .result = result,
					 .goes_on = goes_on}};
	land(enqueue(1, (struct wire_enqueue){0}), "accepted", 2, NULL);
	assert_int_equal(claims, 0);
	worker_link_message(&worker, WIRE_RUN_DONE, &m);
	assert_null(lq_find(sup.lq, m.run_done.run));
}

static void assert_next_starts(void)
{
	assert_int_equal(claims, 1);
	assert_int_equal(open_requests(), 0);
	assert_false(lq_is_paused(sup.lq, LQ_LANE, TENANT, SESSION));
}

static void test_an_answer_starts_the_next(void **state)
{
	(void)state;
	ends(RESULT_COMPLETED, false);
	assert_next_starts();
}

static void test_a_failure_that_does_nothing_starts_the_next(void **state)
{
	(void)state;
	ends(RESULT_FAILED, true);
	assert_next_starts();
}

/* Of one whose policy is another, or not known. */
static void test_a_failure_is_looked_at_first(void **state)
{
	(void)state;
	static const enum run_result failures[] = {RESULT_FAILED, RESULT_DEAD,
						   RESULT_TIMED_OUT};
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		ends(failures[i], false);
		assert_int_equal(claims, 0);
		assert_int_equal(open_requests(), 1);
		assert_int_equal(open_request()->stmt, SQL_LANE_LOOK);
		assert_true(lq_is_paused(sup.lq, LQ_LANE, TENANT, SESSION));
		sup_end();
		sup_begin();
	}
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		STORY(test_an_answer_starts_the_next),
		STORY(test_a_failure_that_does_nothing_starts_the_next),
		STORY(test_a_failure_is_looked_at_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
