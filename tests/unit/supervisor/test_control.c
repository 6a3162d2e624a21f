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
	struct uuid run;
	char message[320];
} told;

static void done(void *arg, const struct control_answer *a)
{
	(void)arg;
	told.n++;
	told.err = a->err;
	told.result = a->result;
	told.changed = a->changed;
	told.run = a->run;
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

static void pause_node(int on)
{
	control_pause(&sup, &(struct lq_pause){.scope = LQ_NODE}, on, "a test", done,
		      NULL);
}

static bool node_is_paused(void)
{
	return lq_is_paused(sup.lq, LQ_NODE, 0, (struct uuid){{0}});
}

static PGresult *redrive_row(const char *outcome, struct uuid heir)
{
	static const unsigned types[] = {
		PG_TEXT,        PG_UUID, PG_UUID, PG_INT4, PG_INT8, PG_INT8, PG_INT4,
		PG_TIMESTAMPTZ, PG_INT4, PG_INT4, PG_INT4, PG_INT4, PG_BOOL, PG_UUID};
	PGresult *r = rows_new(ARRAY_LEN(types), types, 1);
	set_text(r, 0, 0, outcome);
	if (!strcmp(outcome, "queued")) {
		set_uuid(r, 0, 1, SESSION);
		set_uuid(r, 0, 2, (struct uuid){{2}});
		set_i64(r, 0, 5, 9);
		set_bool(r, 0, 12, false);
	} else {
		set_uuid(r, 0, 13, heir);
	}
	return r;
}

static void redrive(struct uuid run)
{
	control_redrive(&sup, TENANT, run, SLICE_NONE, "a test", done, NULL);
}

/* Of the open ones, that of this statement; there must be one at most. NULL: none. */
static struct pg_request *open_of(int stmt)
{
	struct pg_request *found = NULL;
	for (int i = 0; i < request_n; i++) {
		if (requests[i]->answered || requests[i]->stmt != stmt)
			continue;
		assert_null(found);
		found = requests[i];
	}
	return found;
}

static PGresult *look_row(bool paused)
{
	static const unsigned types[] = {PG_BOOL,        PG_UUID, PG_TEXT, PG_UUID,
					 PG_TEXT,        PG_TEXT, PG_UUID, PG_TIMESTAMPTZ,
					 PG_TIMESTAMPTZ, PG_TEXT};
	PGresult *r = rows_new(ARRAY_LEN(types), types, 1);
	set_bool(r, 0, 0, paused);
	return r;
}

static bool lane_is_paused(void)
{
	return lq_is_paused(sup.lq, LQ_LANE, TENANT, SESSION);
}

/* A run that waits behind others in session n. */
static struct uuid waiting_run_of(uint8_t n)
{
	static int64_t pos;
	struct item *it = enqueue(n, (struct wire_enqueue){.lane_cap = 100});
	bool first = it->worker >= 0;
	struct uuid run = it->run_id;
	land(it, "accepted", ++pos, NULL);
	return first ? waiting_run_of(n) : run;
}

static struct uuid waiting_run(void)
{
	return waiting_run_of(1);
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
	int64_t began_us = now_us;
	cancel(run);
	while (told.n == 0) {
		assert_true(now_us - began_us <= 4 * SECOND);
		if (open_requests())
			refuse(open_request(), PG_ROLLED_BACK, "55P03");
		pass(SECOND / 100);
	}
	assert_told(ERR_UNAVAILABLE, "another transaction in the database holds this "
				     "session; nothing happened, ask again");
	assert_non_null(lq_find(sup.lq, run));
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
}

/* Each try costs what goes over the same connection its lock limit. */
static void test_cancels_of_a_held_lane_are_tried_one_at_a_time(void **state)
{
	(void)state;
	struct uuid runs[15];
	int tries = 0;
	for (int i = 0; i < 15; i++)
		runs[i] = waiting_run();
	for (int i = 0; i < 15; i++)
		cancel(runs[i]);
	for (int64_t end_us = now_us + 3900000; now_us < end_us; pass(SECOND / 100)) {
		assert_true(open_requests() <= 1);
		if (!open_requests())
			continue;
		assert_int_equal(open_request()->first_stmt, SQL_LOCK_TIMEOUT);
		refuse(open_request(), PG_ROLLED_BACK, "55P03");
		tries++;
	}
	assert_int_equal(told.n, 0);
	assert_in_range(tries, 5, 20); /* and not 15 times as many */
	pass(SECOND);                  /* none of those behind was ever sent */
	if (open_requests())
		refuse(open_request(), PG_ROLLED_BACK, "55P03");
	pass(SECOND / 100);
	assert_int_equal(told.n, 15);
	told.n = 1;
	assert_told(ERR_UNAVAILABLE, "another transaction");
	for (int i = 0; i < 15; i++)
		assert_non_null(lq_find(sup.lq, runs[i]));
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
}

static void test_a_lock_that_passes_lets_all_go(void **state)
{
	(void)state;
	struct uuid runs[5];
	for (int i = 0; i < 5; i++)
		cancel(runs[i] = waiting_run());
	refuse(open_request(), PG_ROLLED_BACK, "55P03");
	pass(SECOND / 10);
	for (int i = 0; i < 5; i++) {
		assert_true(uuid_eq(uuid_element(open_request(), 1, 0), runs[i]));
		answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
		assert_int_equal(told.n, i + 1);
		assert_null(lq_find(sup.lq, runs[i]));
	}
	assert_int_equal(open_requests(), 0);
}

static void test_a_held_lane_keeps_no_other(void **state)
{
	(void)state;
	struct uuid held = waiting_run_of(1), free_run = waiting_run_of(2);
	cancel(held);
	refuse(open_request(), PG_ROLLED_BACK, "55P03");
	cancel(free_run);
	answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
	assert_told(ERR_OK, "");
	assert_null(lq_find(sup.lq, free_run));
	/* Nor its own pause, which needs no lane's lock. */
	told.n = 0;
	pause_lane(1);
	assert_int_equal(open_request()->stmt, SQL_PAUSE);
	answer_rows(open_request(), pause_row(true));
	assert_told(ERR_OK, "");
	answer_rows(open_of(SQL_LANE_LOOK), look_row(true));
	pass(SECOND / 10);
	answer_rows(open_of(SQL_CANCEL), cancel_row("cancelled", "cancelled"));
}

static void test_many_held_lanes(void **state)
{
	(void)state;
	enum { LANES = 40 };
	for (uint8_t i = 1; i <= LANES; i++)
		control_cancel(&sup, TENANT, waiting_run_of(i), "the API", NULL, NULL);
	int first = 0, tries = 0;
	for (int at; (at = open_requests()) > 0; first += at) {
		assert_true(at <= 16);
		for (int i = 0, n = request_n; i < n; i++)
			if (!requests[i]->answered)
				refuse(requests[i], PG_ROLLED_BACK, "55P03");
	}
	assert_int_equal(first, LANES);
	for (int64_t end_us = now_us + 20 * SECOND; now_us < end_us; pass(10000)) {
		assert_true(open_requests() <= 1);
		if (!open_requests())
			continue;
		refuse(open_request(), PG_ROLLED_BACK, "55P03");
		tries++;
	}
	assert_in_range(tries, LANES * 15, LANES * 60); /* none is forgotten */
	for (int done_n = 0; done_n < LANES; pass(10000))
		if (open_requests()) {
			answer_rows(open_request(), cancel_row("ended", "completed"));
			done_n++;
		}
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
	assert_told(ERR_UNAVAILABLE, "not known yet. It is still being done");
	assert_true(now_us - 1000000000000000 <= 10 * SECOND);
	assert_non_null(lq_find(sup.lq, run));
	pass(20 * SECOND);
	answer_rows(open_request(), cancel_row("cancelled", "cancelled"));
	assert_int_equal(told.n, 1);
	assert_null(lq_find(sup.lq, run));
}

/* Its answer is lost, and those of what is asked again, until who waits hears of it. */
static void lose_answers(void)
{
	refuse(open_request(), PG_UNKNOWN, "");
	while (told.n == 0) {
		pass(SECOND);
		if (open_requests() && told.n == 0)
			refuse(open_request(), PG_NOT_SENT, "");
	}
}

/* A failure may pause the lane meanwhile: to ask on could undo that. */
static void test_memory_learns_what_became_of_a_lanes_pause(void **state)
{
	(void)state;
	for (int landed = 0; landed < 2; landed++)
		for (int on = 0; on < 2; on++) {
			told.n = 0;
			pause_lane(on);
			lose_answers();
			assert_told(ERR_UNAVAILABLE, "not known. 'lane show' says");
			assert_true(lane_is_paused()); /* until it is looked at */
			while (!open_of(SQL_LANE_LOOK) && !open_of(SQL_PAUSE))
				pass(SECOND);
			if (open_of(SQL_PAUSE))
				refuse(open_of(SQL_PAUSE), PG_NOT_SENT, "");
			refuse(open_of(SQL_LANE_LOOK), PG_NOT_SENT, "");
			pass(SECOND);
			answer_rows(open_request(), look_row(on == landed));
			assert_int_equal(lane_is_paused(), on == landed);
			pass(60 * SECOND);
			assert_int_equal(open_requests(), 0);
		}
}

static void test_another_pause_of_unknown_fate_goes_on(void **state)
{
	(void)state;
	for (int on = 1; on >= 0; on--) {
		told.n = 0;
		pause_node(on);
		lose_answers();
		assert_told(ERR_UNAVAILABLE, "not known yet. It is still being done");
		pass(20 * SECOND);
		answer_rows(open_request(), pause_row(false));
		assert_int_equal(node_is_paused(), on);
		assert_int_equal(told.n, 1);
	}
}

static void test_the_opposite_overtakes_it(void **state)
{
	(void)state;
	pause_node(1);
	lose_answers();
	if (open_requests())
		refuse(open_request(), PG_NOT_SENT, "");
	told.n = 0;
	pause_node(0);
	answer_rows(open_request(), pause_row(true));
	assert_told(ERR_OK, "");
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
	assert_false(node_is_paused());
	/* Also one that is on its way, and somebody waits for. */
	told.n = 0;
	pause_node(1);
	pause_node(0);
	struct pg_request *first = open_request(); /* one after the other */
	refuse(first, PG_UNKNOWN, "");
	assert_told(ERR_CONFLICT, "the opposite was asked for meanwhile");
	answer_rows(open_request(), pause_row(true));
	assert_int_equal(told.err, ERR_OK);
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
	assert_false(node_is_paused());
}

/* ---- heirs */

static void test_a_redrive_of_unknown_fate_makes_one_heir(void **state)
{
	(void)state;
	struct uuid run = uuid7_new();
	char id[UUID_TEXT_LEN + 1];
	redrive(run);
	struct uuid heir = uuid_param(open_request(), 2);
	uuid_format(heir, id);
	lose_answers();
	assert_told(ERR_UNAVAILABLE, "It is still being done");
	assert_non_null(strstr(told.message, id));
	told.n = 0;
	redrive(run); /* as the person who heard that does */
	redrive(run);
	pass(SECOND);
	assert_int_equal(told.n, 0);
	assert_true(uuid_eq(uuid_param(open_request(), 2), heir));
	answer_rows(open_request(), redrive_row("queued", heir));
	assert_int_equal(told.n, 2);
	told.n = 1;
	assert_told(ERR_OK, "");
	assert_true(uuid_eq(told.run, heir));
	assert_non_null(lq_find(sup.lq, heir));
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
	/* Its fate is known: the next one is asked for by itself. */
	told.n = 0;
	redrive(run);
	assert_false(uuid_eq(uuid_param(open_request(), 2), heir));
	answer_rows(open_request(), redrive_row("redriven", heir));
	assert_told(ERR_CONFLICT, "redriven before, as run");
	assert_non_null(strstr(told.message, id));
}

static void test_who_joins_a_redrive_waits_as_long(void **state)
{
	(void)state;
	struct uuid run = uuid7_new();
	redrive(run);
	refuse(open_request(), PG_ROLLED_BACK, "55P03");
	pass(3 * SECOND);
	if (open_requests())
		refuse(open_request(), PG_ROLLED_BACK, "55P03");
	redrive(run);
	for (int i = 0; i < 200; i++, pass(SECOND / 100))
		if (open_requests())
			refuse(open_request(), PG_ROLLED_BACK, "55P03");
	assert_told(ERR_UNAVAILABLE, "nothing happened");
	for (int i = 0; i < 190; i++, pass(SECOND / 100))
		if (open_requests())
			refuse(open_request(), PG_ROLLED_BACK, "55P03");
	assert_int_equal(told.n, 1);
	for (int i = 0; i < 30; i++, pass(SECOND / 100))
		if (open_requests())
			refuse(open_request(), PG_ROLLED_BACK, "55P03");
	assert_int_equal(told.n, 2);
	pass(60 * SECOND);
	assert_int_equal(open_requests(), 0);
}

/* ---- the lease */

static void test_without_the_lease_nothing_is_written_again(void **state)
{
	(void)state;
	struct uuid run = waiting_run();
	control_bury(&sup, TENANT, run, (struct uuid){{1, 2}}, "poison");
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
		STORY(test_cancels_of_a_held_lane_are_tried_one_at_a_time),
		STORY(test_a_lock_that_passes_lets_all_go),
		STORY(test_a_held_lane_keeps_no_other),
		STORY(test_many_held_lanes),
		STORY(test_memory_learns_what_became_of_a_lanes_pause),
		STORY(test_another_pause_of_unknown_fate_goes_on),
		STORY(test_the_opposite_overtakes_it),
		STORY(test_a_redrive_of_unknown_fate_makes_one_heir),
		STORY(test_who_joins_a_redrive_waits_as_long),
		STORY(test_without_the_lease_nothing_is_written_again),
		STORY(test_a_cancel_waits_for_its_runs_acceptance),
		STORY(test_a_cancel_of_a_run_that_starts_with_its_acceptance),
		STORY(test_a_cancel_of_a_run_that_was_not_accepted),
		STORY(test_a_cancel_that_nobody_waits_for_is_not_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
