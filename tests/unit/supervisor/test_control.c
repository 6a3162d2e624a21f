/* SPDX-License-Identifier: Apache-2.0
 * What people are told of what they asked for, and what the queue learns, whatever
 * becomes of the database's answers. */
#include "tests/unit/supervisor/sup_double.h"

#include "supervisor/control.h"

#define SECOND 1000000LL

static const struct uuid SESSION = {{1, 1}};

static struct {
	int n;
	enum err err;
	enum run_result result;
	bool changed;
	char message[160];
} told;

static void done(void *arg, const struct control_answer *a)
{
	(void)arg;
	told.n++;
	told.err = a->err;
	told.result = a->result;
	told.changed = a->changed;
	snprintf(told.message, sizeof told.message, "%s", a->message ? a->message : "");
}

static int begin(void **state)
{
	(void)state;
	memset(&told, 0, sizeof told);
	sup_begin();
	return 0;
}

static int end(void **state)
{
	(void)state;
	sup_end();
	return 0;
}

static void assert_told(enum err e, const char *says)
{
	assert_int_equal(told.n, 1);
	assert_int_equal(told.err, e);
	assert_non_null(strstr(told.message, says));
}

static PGresult *cancel_row(const char *outcome, const char *result)
{
	static const unsigned types[] = {PG_INT4, PG_TEXT, PG_TEXT, PG_UUID,
					 PG_TIMESTAMPTZ};
	PGresult *r = rows_new(ARRAY_LEN(types), types, 1);
	set_text(r, 0, 1, outcome);
	if (result)
		set_text(r, 0, 2, result);
	set_time(r, 0, 4, EPOCH_2000_US + 9);
	return r;
}

static PGresult *pause_row(bool changed)
{
	static const unsigned types[] = {PG_BOOL};
	PGresult *r = rows_new(1, types, 1);
	char b = (char)changed;
	assert_true(PQsetvalue(r, 0, 0, &b, 1));
	return r;
}

static void cancel(struct uuid run)
{
	control_cancel(&sup, TENANT, run, "a test", done, NULL);
}

static void pause_lane(int on)
{
	struct lq_pause lane = {.scope = LQ_LANE, .tenant = TENANT, .id = SESSION};
	control_pause(&sup, &lane, on, "a test", done, NULL);
}

static bool lane_is_paused(void)
{
	return lq_is_paused(sup.lq, LQ_LANE, TENANT, SESSION);
}

/* A run that waits behind another. */
static struct uuid waiting_run(void)
{
	land(enqueue(1, (struct wire_enqueue){0}), "accepted", 1, NULL);
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	land(it, "accepted", 2, NULL);
	return it->run_id;
}

/* ---- fates */

static void test_refused_is_nothing(void **state)
{
	(void)state;
	pause_lane(1);
	refuse(open_request(), PG_ROLLED_BACK, "23514");
	assert_told(ERR_UNAVAILABLE, "refused this; nothing happened");
	assert_false(lane_is_paused());
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
}

static void test_away_is_nothing(void **state)
{
	(void)state;
	journal_up = false;
	pause_lane(1);
	assert_told(ERR_UNAVAILABLE, "away; nothing happened");
	assert_int_equal(request_n, 0);
	journal_up = true;
	told.n = 0;
	pause_lane(1);
	refuse(open_request(), PG_NOT_SENT, "");
	assert_told(ERR_UNAVAILABLE, "away; nothing happened");
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
}

/* Another transaction has the run's lane. */
static void test_a_lock_is_waited_for(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	cancel(run);
	for (int i = 0; i < 3; i++) {
		refuse(open_request(), PG_ROLLED_BACK, "55P03");
		assert_int_equal(told.n, 0);
		pass(SECOND);
	}
	answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
	assert_told(ERR_OK, "");
	assert_null(lq_find(sup.lq, run));
}

static void test_a_lock_that_stays_is_said(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	cancel(run);
	for (int i = 0; told.n == 0; i++) {
		assert_true(i < 20);
		refuse(open_request(), PG_ROLLED_BACK, "55P03");
		pass(SECOND);
	}
	assert_told(ERR_UNAVAILABLE, "nothing happened");
	assert_non_null(lq_find(sup.lq, run));
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
}

/* The first sending may have landed: a refusal of the second says nothing about it. */
static void test_unknown_then_refused_is_asked_again(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	cancel(run);
	refuse(open_request(), PG_UNKNOWN, "");
	pass(SECOND);
	refuse(open_request(), PG_ROLLED_BACK, "57014");
	assert_int_equal(told.n, 0);
	pass(SECOND);
	answer_rows(open_request(), cancel_row("ended", "cancelled"));
	assert_told(ERR_OK, "");
	assert_int_equal(told.result, RESULT_CANCELLED);
	assert_null(lq_find(sup.lq, run));
}

/* Who waits is told the truth in time; the queue learns what became of it later. */
static void test_what_stays_unknown_is_said(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	cancel(run);
	refuse(open_request(), PG_UNKNOWN, "");
	for (int i = 0; told.n == 0; i++) {
		assert_true(i < 20);
		pass(SECOND);
		if (open_requests())
			refuse(open_request(), i % 2 ? PG_NOT_SENT : PG_ROLLED_BACK,
			       "57014");
	}
	assert_told(ERR_UNAVAILABLE, "not known, ask again");
	assert_true(now_us - 1000000000000000 <= 10 * SECOND);
	assert_non_null(lq_find(sup.lq, run));
	pass(20 * SECOND);
	answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
	assert_int_equal(told.n, 1);
	assert_null(lq_find(sup.lq, run));
}

/* Going on with it could undo a later wish. */
static void test_a_pause_that_stays_unknown_ends(void **state)
{
	(void)state;
	pause_lane(1);
	refuse(open_request(), PG_UNKNOWN, "");
	while (told.n == 0) {
		pass(SECOND);
		if (open_requests())
			refuse(open_request(), PG_NOT_SENT, "");
	}
	assert_told(ERR_UNAVAILABLE, "not known, ask again");
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
	told.n = 0;
	pause_lane(1);
	answer_rows(open_request(), pause_row(false));
	assert_told(ERR_OK, "");
	assert_true(lane_is_paused());
}

/* ---- the lease */

static void test_without_the_lease_nothing_is_written_again(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	control_bury(&sup, TENANT, run, SESSION, "poison");
	cancel(run);
	assert_int_equal(request_n, 2);
	refuse(requests[0], PG_UNKNOWN, "");
	refuse(requests[1], PG_UNKNOWN, "");
	journal_up = false;
	pass(3600 * SECOND);
	assert_int_equal(request_n, 2);
	assert_told(ERR_UNAVAILABLE, "not known");
	journal_up = true;
	pass(SECOND);
	assert_int_equal(open_requests(), 2);
	refuse(requests[2], PG_NOT_SENT, "");
	refuse(requests[3], PG_NOT_SENT, "");
	pass(SECOND);
	assert_int_equal(open_requests(), 2);
	static const unsigned types[] = {PG_INT4, PG_INT4, PG_TIMESTAMPTZ};
	answer_rows(requests[4], requests[4]->stmt == SQL_BURY
					 ? rows_new(3, types, 0)
					 : cancel_row("ended", "dead"));
	answer_rows(requests[5], requests[5]->stmt == SQL_BURY
					 ? rows_new(3, types, 0)
					 : cancel_row("ended", "dead"));
	assert_null(lq_find(sup.lq, run));
}

/* ---- cancels that come early */

static void test_a_cancel_waits_for_its_runs_acceptance(void **state)
{
	(void)state;
	land(enqueue(1, (struct wire_enqueue){0}), "accepted", 1, NULL);
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	struct item *other = enqueue(1, (struct wire_enqueue){0});
	cancel(it->run_id);
	pass(60 * SECOND);
	land(other, "accepted", 2, NULL);
	assert_int_equal(request_n, 0);
	land(it, "accepted", 3, NULL);
	answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
	assert_told(ERR_OK, "");
	assert_null(lq_find(sup.lq, it->run_id));
	assert_non_null(lq_find(sup.lq, other->run_id));
}

static void test_a_cancel_of_a_run_that_starts_with_its_acceptance(void **state)
{
	(void)state;
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	cancel(it->run_id);
	land(it, "accepted", 1, NULL);
	assert_int_equal(sent_count(WIRE_RUN_START), 1);
	answer_rows(open_request(), cancel_row("requested", NULL));
	assert_told(ERR_OK, "");
	assert_int_equal(told.result, 0);
	assert_int_equal(sent_count(WIRE_RUN_CANCEL), 1);
}

static void test_a_cancel_of_a_run_that_was_not_accepted(void **state)
{
	(void)state;
	struct item *it = enqueue(1, (struct wire_enqueue){0});
	cancel(it->run_id);
	accept_failed(&sup, it, ERR_BAD_REQUEST);
	answer_rows(open_request(), cancel_row("absent", NULL));
	assert_told(ERR_NOT_FOUND, "no such run");
	it = enqueue(1, (struct wire_enqueue){0});
	told.n = 0;
	cancel(it->run_id);
	journal_up = false;
	accept_failed(&sup, it, ERR_UNAVAILABLE);
	assert_told(ERR_UNAVAILABLE, "nothing happened");
}

/* A client that left cannot ask again. */
static void test_a_cancel_that_nobody_waits_for_is_not_given_up(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	journal_up = false;
	control_cancel(&sup, TENANT, run, "the API", NULL, NULL);
	pass(600 * SECOND);
	assert_int_equal(request_n, 0);
	journal_up = true;
	pass(SECOND);
	answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
	assert_null(lq_find(sup.lq, run));
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		STORY(test_refused_is_nothing),
		STORY(test_away_is_nothing),
		STORY(test_a_lock_is_waited_for),
		STORY(test_a_lock_that_stays_is_said),
		STORY(test_unknown_then_refused_is_asked_again),
		STORY(test_what_stays_unknown_is_said),
		STORY(test_a_pause_that_stays_unknown_ends),
		STORY(test_without_the_lease_nothing_is_written_again),
		STORY(test_a_cancel_waits_for_its_runs_acceptance),
		STORY(test_a_cancel_of_a_run_that_starts_with_its_acceptance),
		STORY(test_a_cancel_of_a_run_that_was_not_accepted),
		STORY(test_a_cancel_that_nobody_waits_for_is_not_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
