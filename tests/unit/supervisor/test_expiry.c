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

/* So many runs wait behind another, and their deadlines pass: in that order, however long
 * this takes. */
static void let_expire(int n)
{
	int64_t deadline_us = clock_real_us() + SECOND;
	land(enqueue(1, (struct wire_enqueue){0}), "accepted", 1, NULL);
	for (int i = 0; i < n; i++) {
		struct wire_enqueue m = {.lane_cap = 1000,
					 .deadline_us = deadline_us + i * SECOND};
		struct item *it = enqueue(1, m);
		land(it, "accepted", i + 2, NULL);
		runs[i] = it->run_id;
	}
	now_us += 1000 * SECOND;
	sup_step(&sup, &(struct lq_event){.kind = LQ_TICK, .now_us = now_us});
	turn();
}

/* A look at a lane: all that it asks for ended by their deadlines. */
static void answer_look(struct pg_request *r)
{
	static const unsigned types[] = {PG_BOOL,        PG_UUID, PG_TEXT, PG_UUID,
					 PG_TEXT,        PG_TEXT, PG_UUID, PG_TIMESTAMPTZ,
					 PG_TIMESTAMPTZ, PG_TEXT};
	int n = elements(r, 2);
	PGresult *rows = rows_new(ARRAY_LEN(types), types, n + 1);
	set_bool(rows, 0, 0, false);
	for (int i = 0; i < n; i++) {
		set_uuid(rows, i + 1, 3, uuid_element(r, 2, i));
		set_text(rows, i + 1, 4, "timed_out");
		set_text(rows, i + 1, 5, "deadline");
		set_time(rows, i + 1, 8, EPOCH_2000_US + 9);
	}
	answer_rows(r, rows);
}

static void answer_looks(void)
{
	for (int i = 0; i < request_n; i++)
		if (requests[i]->stmt == SQL_LANE_LOOK && !requests[i]->answered)
			answer_look(requests[i]);
}

/* outcome of each row; kept: that of the run `odd`, unless it is nil. */
static void answer_batch(const char *outcome, const char *of_odd, struct uuid odd)
{
	static const unsigned types[] = {PG_INT4, PG_TEXT, PG_TIMESTAMPTZ, PG_TEXT};
	struct pg_request *r = open_request();
	int n = elements(r, 1);
	assert_int_equal(r->stmt, SQL_EXPIRE);
	assert_int_equal(elements(r, 0), n);
	PGresult *rows = rows_new(ARRAY_LEN(types), types, n);
	for (int i = 0; i < n; i++) {
		bool is_odd = uuid_eq(uuid_element(r, 1, i), odd);
		set_text(rows, i, 1, is_odd ? of_odd : outcome);
		set_time(rows, i, 2, EPOCH_2000_US + 9);
		set_text(rows, i, 3, "continue");
	}
	answer_rows(r, rows);
	turn();
	answer_looks();
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

/* Another transaction has the lane of one: the others end, and it does later. */
static void test_a_held_row_waits_alone(void **state)
{
	(void)state;
	int tries = 0;
	let_expire(10);
	assert_int_equal(open_request()->first_stmt, SQL_LOCK_TIMEOUT);
	answer_batch("expired", "locked", runs[4]);
	assert_int_equal(left(10), 1);
	assert_int_equal(open_requests(), 0);
	for (int64_t end_us = now_us + 9 * SECOND; now_us < end_us; pass(10000))
		if (open_requests()) {
			assert_int_equal(elements(open_request(), 1), 1);
			answer_batch("locked", NULL, (struct uuid){{0}});
			tries++;
		}
	assert_in_range(tries, 6, 16);
	while (!open_requests())
		pass(10000);
	answer_batch("expired", NULL, (struct uuid){{0}});
	assert_int_equal(left(10), 0);
}

/* Something else than its lane is held. */
static void test_rows_of_a_lane_that_meets_a_lock_are_not_tried_in_turn(void **state)
{
	(void)state;
	let_expire(40);
	refuse(open_request(), PG_ROLLED_BACK, "55P03");
	turn();
	assert_int_equal(elements(open_request(), 1), 1);
	refuse(open_request(), PG_ROLLED_BACK, "55P03");
	turn();
	assert_int_equal(open_requests(), 0);
	int tries = 0;
	for (int64_t end_us = now_us + 2 * SECOND; now_us < end_us; pass(10000))
		if (open_requests()) {
			refuse(open_request(), PG_ROLLED_BACK, "55P03");
			turn();
			tries++;
		}
	assert_in_range(tries, 2, 20);
	for (int64_t end_us = now_us + 60 * SECOND; now_us < end_us && left(40);
	     pass(10000))
		if (open_requests())
			answer_batch("expired", NULL, (struct uuid){{0}});
	assert_int_equal(left(40), 0);
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
		STORY(test_a_held_row_waits_alone),
		STORY(test_rows_of_a_lane_that_meets_a_lock_are_not_tried_in_turn),
		STORY(test_an_unknown_batch_goes_again),
		STORY(test_a_refused_row_stops_no_other),
		STORY(test_nothing_is_written_without_the_lease),
		STORY(test_what_ended_otherwise_is_not_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
