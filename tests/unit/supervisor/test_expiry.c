/* SPDX-License-Identifier: Apache-2.0
 * Deadlines that passed by the hundred: few transactions, and one bad row stops none. */
#include "tests/unit/supervisor/sup_double.h"

#define SECOND 1000000LL
#define BATCH 64

static struct uuid runs[300];

static int begin(void **state)
{
	(void)state;
	sup_begin();
	return 0;
}

static int end(void **state)
{
	(void)state;
	sup_end();
	return 0;
}

/* So many runs wait behind another, and their deadlines pass. */
static void let_expire(int n)
{
	land(enqueue(1, (struct wire_enqueue){0}), "accepted", 1, NULL);
	for (int i = 0; i < n; i++) {
		struct item *it =
			enqueue(1, (struct wire_enqueue){.lane_cap = 1000,
							 .deadline_us = clock_real_us() +
									SECOND});
		land(it, "accepted", i + 2, NULL);
		runs[i] = it->run_id;
	}
	now_us += 60 * SECOND;
	sup_step(&sup, &(struct lq_event){.kind = LQ_TICK, .now_us = now_us});
	turn();
}

/* outcome of each row; kept: that of the run `odd`, unless it is nil. */
static void answer_batch(const char *outcome, const char *of_odd, struct uuid odd)
{
	static const unsigned types[] = {PG_INT4, PG_TEXT, PG_TIMESTAMPTZ};
	struct pg_request *r = open_request();
	int n = elements(r, 1);
	assert_int_equal(r->stmt, SQL_EXPIRE);
	assert_int_equal(elements(r, 0), n);
	PGresult *rows = rows_new(ARRAY_LEN(types), types, n);
	for (int i = 0; i < n; i++) {
		bool is_odd = uuid_eq(uuid_element(r, 1, i), odd);
		set_text(rows, i, 1, is_odd ? of_odd : outcome);
		set_time(rows, i, 2, EPOCH_2000_US + 9);
	}
	answer_rows(r, rows);
	turn();
}

static int left(int n)
{
	int found = 0;
	for (int i = 0; i < n; i++)
		found += lq_find(sup.lq, runs[i]) != NULL;
	return found;
}

static void test_many_are_few_batches(void **state)
{
	(void)state;
	let_expire(200);
	for (int want = 200; want > 0; want -= BATCH) {
		assert_int_equal(elements(open_request(), 1),
				 want < BATCH ? want : BATCH);
		assert_int_equal(left(200), want);
		answer_batch("expired", NULL, (struct uuid){{0}});
	}
	assert_int_equal(left(200), 0);
	assert_int_equal(request_n, 4);
}

static void test_each_rows_outcome(void **state)
{
	(void)state;
	let_expire(10);
	answer_batch("expired", "kept", runs[4]);
	assert_int_equal(left(10), 1);
	assert_int_equal(lq_run_state(lq_find(sup.lq, runs[4])), LQ_S_WAITING);
	now_us += 11 * SECOND;
	sup_step(&sup, &(struct lq_event){.kind = LQ_TICK, .now_us = now_us});
	turn();
	answer_batch("expired", "absent", runs[4]);
	assert_int_equal(left(10), 0);
}

static void test_an_unknown_batch_goes_again(void **state)
{
	(void)state;
	static const enum pg_fate fates[] = {PG_UNKNOWN, PG_NOT_SENT};
	let_expire(100);
	for (size_t i = 0; i < ARRAY_LEN(fates); i++) {
		struct uuid first = uuid_element(open_request(), 1, 0);
		assert_true(uuid_eq(first, runs[0]));
		refuse(open_request(), fates[i], "");
		turn();
		assert_int_equal(open_requests(), 0);
		pass(SECOND);
		assert_int_equal(elements(open_request(), 1), BATCH);
	}
	answer_batch("absent", NULL, (struct uuid){{0}}); /* the first one had landed */
	answer_batch("expired", NULL, (struct uuid){{0}});
	assert_int_equal(left(100), 0);
}

static void test_a_refused_row_stops_no_other(void **state)
{
	(void)state;
	let_expire(100);
	refuse(open_request(), PG_ROLLED_BACK, "23505");
	turn();
	for (int i = 0; i < BATCH; i++) {
		struct pg_request *r = open_request();
		assert_int_equal(elements(r, 1), 1);
		assert_true(uuid_eq(uuid_element(r, 1, 0), runs[i]));
		if (i == 7) {
			refuse(r, PG_ROLLED_BACK, "23505");
			turn();
		} else {
			answer_batch("expired", NULL, (struct uuid){{0}});
		}
	}
	assert_int_equal(elements(open_request(), 1), 100 - BATCH);
	answer_batch("expired", NULL, (struct uuid){{0}});
	assert_int_equal(left(100), 1);
	pass(SECOND);
	assert_int_equal(open_requests(), 0);
	now_us += 11 * SECOND; /* the queue asks for it again */
	sup_step(&sup, &(struct lq_event){.kind = LQ_TICK, .now_us = now_us});
	turn();
	answer_batch("expired", NULL, (struct uuid){{0}});
	assert_int_equal(left(100), 0);
}

static void test_nothing_is_written_without_the_lease(void **state)
{
	(void)state;
	journal_up = false;
	let_expire(70);
	pass(3600 * SECOND);
	assert_int_equal(request_n, 0);
	journal_up = true;
	turn();
	refuse(open_request(), PG_UNKNOWN, "");
	journal_up = false;
	pass(3600 * SECOND);
	assert_int_equal(open_requests(), 0);
	journal_up = true;
	turn();
	assert_int_equal(elements(open_request(), 1), BATCH);
}

static void test_what_ended_otherwise_is_not_asked_for(void **state)
{
	(void)state;
	let_expire(80);
	for (int i = 60; i < 80; i++)
		runs_gone(&sup, lq_find(sup.lq, runs[i]), RESULT_CANCELLED,
			  SLICE("cancelled"), 5);
	answer_batch("expired", "absent", runs[62]);
	assert_int_equal(left(80), 0);
	assert_int_equal(open_requests(), 0);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		STORY(test_many_are_few_batches),
		STORY(test_each_rows_outcome),
		STORY(test_an_unknown_batch_goes_again),
		STORY(test_a_refused_row_stops_no_other),
		STORY(test_nothing_is_written_without_the_lease),
		STORY(test_what_ended_otherwise_is_not_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
