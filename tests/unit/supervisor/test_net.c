/* SPDX-License-Identifier: Apache-2.0
 * The net and the load it asks for, over a pretended database: pg_* are this file's own,
 * the queue is real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/log.h"
#include "common/loop.h"
#include "supervisor/load.h"
#include "supervisor/net.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

/* ---- the pretended database: its live runs, in the order of their ids */

#define RUNS_MOST 12000
static struct uuid rows[RUNS_MOST];
static int row_count;

struct pg_request {
	int stmt;
	pg_done_fn *done;
	void *arg;
	bool open;
};
static struct pg_request request;
static struct pg_params given;
static int first_row, rows_answered;

struct pg_request *pg_begin(struct pg_pool *p)
{
	(void)p;
	assert_false(request.open);
	return &request;
}

struct pg_params *pg_add(struct pg_request *r, int stmt)
{
	r->stmt = stmt;
	pg_params_reset(&given);
	return &given;
}

void pg_submit(struct pg_request *r, int conn, int queue_ms, pg_done_fn *done, void *arg)
{
	(void)conn, (void)queue_ms;
	r->done = done;
	r->arg = arg;
	r->open = true;
}

int pg_rows(const struct pg_result *r)
{
	(void)r;
	return rows_answered;
}

struct uuid pg_get_uuid(const struct pg_result *r, int row, int column)
{
	(void)r, (void)column; /* run, session and agent may be the same */
	return rows[first_row + row];
}

int64_t pg_get_i64(const struct pg_result *r, int row, int column)
{
	(void)r;
	return column == 5 || column == 7 ? first_row + row + 1 : 1;
}

int64_t pg_get_time(const struct pg_result *r, int row, int column)
{
	(void)r, (void)row, (void)column;
	return 0;
}

static bool waits; /* what the rows say: for a person */

bool pg_get_bool(const struct pg_result *r, int row, int column)
{
	(void)r, (void)row, (void)column;
	return waits;
}

struct slice pg_get_text(const struct pg_result *r, int row, int column)
{
	(void)r, (void)row;
	return column == 13 ? SLICE("followup") : SLICE("queued");
}

/* ---- the loop: one timer, which the test fires */

static struct loop_timer {
	loop_timer_fn *fn;
	void *arg;
	bool made, runs;
} timer;

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg)
{
	(void)l;
	assert_false(timer.made);
	timer = (struct loop_timer){.fn = fn, .arg = arg, .made = true};
	return &timer;
}

void loop_timer_start(struct loop_timer *t, int64_t delay_us)
{
	assert_true(t->made && delay_us > 0);
	t->runs = true;
}

void loop_timer_free(struct loop_timer *t)
{
	assert_true(t->made);
	*t = (struct loop_timer){0};
}

static void fire(void)
{
	assert_true(timer.runs);
	timer.runs = false;
	timer.fn(timer.arg);
}

/* ---- the supervisor's part */

static struct sup sup;
static int releases, claims;

void sup_step(struct sup *s, const struct lq_event *e)
{
	lq_step(s->lq, e);
}

void sup_release(struct sup *s)
{
	releases++;
	if (!s->loading)
		sup_step(s, &(struct lq_event){.kind = LQ_RELEASE});
}

int64_t sup_db_now_us(const struct sup *s)
{
	(void)s;
	return 1000000;
}

static void on_action(void *ctx, const struct lq_action *a)
{
	(void)ctx;
	claims += a->kind == LQ_DO_CLAIM;
}

static struct uuid id_of(int n)
{
	struct uuid u = {{1}};
	u.b[13] = (uint8_t)(n >> 16);
	u.b[14] = (uint8_t)(n >> 8);
	u.b[15] = (uint8_t)n;
	return u;
}

static void answer_with(int rows_now, enum err err)
{
	const struct pg_result *const results[1] = {NULL};
	struct pg_answer a = {
		.err = err, .message = "gone", .results = results, .result_count = 1};
	rows_answered = rows_now;
	assert_true(request.open);
	request.open = false;
	request.done(request.arg, &a);
}

/* One page of what the database holds now. */
static void answer(void)
{
	int64_t last;
	struct uuid after;
	memcpy(&last, given.buf.p + given.item[0].at, sizeof last);
	memcpy(&after, given.buf.p + given.item[1].at, sizeof after);
	first_row = 0;
	if (__builtin_bswap64((uint64_t)last) != (uint64_t)INT64_MIN)
		while (first_row < row_count &&
		       memcmp(&rows[first_row], &after, sizeof after) <= 0)
			first_row++;
	int left = row_count - first_row;
	answer_with(left > 5000 ? 5000 : left, ERR_OK);
}

static void look(void)
{
	net_cast(&sup);
	while (request.open && request.stmt == SQL_LIVE_RUNS)
		answer();
}

/* Memory and database know it. */
static void have(int n)
{
	struct lq_item it = {.tenant = 1,
			     .run = id_of(n),
			     .session = id_of(n),
			     .agent = id_of(1),
			     .mode = MODE_FOLLOWUP,
			     .order_us = n + 1,
			     .lane_pos = n + 1,
			     .tenant_max_running = 100,
			     .tenant_max_queued = RUNS_MOST};
	sup_step(&sup, &(struct lq_event){.kind = LQ_LOADED, .item = &it});
	rows[row_count++] = id_of(n);
}

/* Accepted; its commit is under way. */
static struct lq_run *accept(int n)
{
	struct lq_item it = {.tenant = 1,
			     .run = id_of(n),
			     .session = id_of(n),
			     .agent = id_of(1),
			     .mode = MODE_FOLLOWUP,
			     .order_us = n + 1,
			     .tenant_max_running = 100,
			     .tenant_max_queued = RUNS_MOST};
	sup_step(&sup, &(struct lq_event){.kind = LQ_ENQUEUE, .item = &it});
	return lq_find(sup.lq, id_of(n));
}

static void gone_from_database(int n)
{
	for (int i = 0; i < row_count; i++)
		if (uuid_eq(rows[i], id_of(n)))
			memmove(&rows[i], &rows[i + 1],
				(size_t)(--row_count - i) * sizeof *rows);
}

static int set_up(void **state)
{
	static const struct lq_limits limits = {RUNS_MOST, RUNS_MOST, RUNS_MOST};
	static int16_t slots[LIMIT_SLOTS]; /* all of worker 0 */
	(void)state;
	memset(&sup, 0, sizeof sup);
	request.open = false;
	row_count = releases = claims = 0;
	sup.lq = lq_new(&limits, on_action, NULL);
	sup_step(&sup, &(struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	look(); /* forgets what an earlier test left */
	look();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_false(request.open);
	assert_false(sup.loading);
	assert_false(timer.made);
	lq_free(sup.lq);
	pg_params_fini(&given);
	return 0;
}

/* ---- */

/* Whatever is on its way meanwhile: the commits of a busy node never rest. */
static void test_a_run_that_slipped_is_loaded(void **state)
{
	(void)state;
	have(1);
	rows[row_count++] = id_of(2); /* memory does not have it */
	accept(10);
	accept(11);
	have(12);
	gone_from_database(12); /* it ended, and its worker's word is on the way */
	look();
	assert_false(sup.loading);
	look();
	assert_true(sup.loading);
	assert_int_equal(request.stmt, SQL_LOAD);
	answer();
	assert_non_null(lq_find(sup.lq, id_of(2)));
	assert_int_equal(lq_stats(sup.lq).runs, 5);
	assert_int_equal(releases, 1);
	assert_false(lq_stats(sup.lq).held);
}

/* Its answer, sent by the node's last life, landed after its row was loaded. */
static void test_a_run_that_waits_here_alone_is_answered(void **state)
{
	(void)state;
	struct lq_item it = {.tenant = 1,
			     .run = id_of(1),
			     .session = id_of(1),
			     .agent = id_of(1),
			     .mode = MODE_FOLLOWUP,
			     .order_us = 2,
			     .lane_pos = 2,
			     .asking = true,
			     .run_at_us = 1000000000,
			     .tenant_max_running = 100,
			     .tenant_max_queued = RUNS_MOST};
	sup_step(&sup, &(struct lq_event){.kind = LQ_LOADED, .item = &it});
	rows[row_count++] = it.run;
	for (int look_no = 0; look_no < 3; look_no++) {
		waits = look_no != 1; /* once is chance: it may have been read before */
		look();
		assert_int_equal(lq_stats(sup.lq).asking, 1);
	}
	waits = false;
	look();
	assert_int_equal(lq_stats(sup.lq).asking, 1);
	look();
	assert_int_equal(lq_stats(sup.lq).asking, 0);
}

/* It begins before the commit's answer is here, and ends before the end is heard of. */
static void test_what_is_on_its_way_is_no_alarm(void **state)
{
	(void)state;
	for (int n = 0; n < 40; n += 2) {
		accept(n);
		rows[row_count++] = id_of(n); /* landed, unanswered */
		look();
		struct lq_run *r = lq_find(sup.lq, id_of(n));
		sup_step(&sup, &(struct lq_event){.kind = LQ_REFUSED, .run = r});
		look(); /* it ended between the two looks: unknown, once */
		assert_false(sup.loading);
		gone_from_database(n);
	}
}

/* Two pages and a rest; the one that slipped is in the last. */
static void test_pages(void **state)
{
	(void)state;
	for (int n = 0; n < 10001; n++)
		have(n);
	look();
	look();
	assert_false(sup.loading);
	rows[row_count++] = id_of(20000);
	look();
	look();
	assert_true(sup.loading);
	for (int page = 0; page < 3; page++) {
		assert_true(sup.loading);
		answer();
	}
	assert_non_null(lq_find(sup.lq, id_of(20000)));
}

/* No lane starts before its older rows are known. */
static void test_nothing_starts_while_it_loads(void **state)
{
	(void)state;
	sup_step(&sup, &(struct lq_event){.kind = LQ_WORKER_UP});
	for (int n = 0; n < 5001; n++)
		rows[row_count++] = id_of(n);
	look();
	look();
	assert_true(sup.loading);
	answer();
	net_cast(&sup); /* not while it loads */
	sup_release(&sup);
	assert_int_equal(claims, 0);
	answer();
	assert_int_equal(claims, 1); /* the cap of all of them */
}

static void test_a_look_that_fails_says_nothing(void **state)
{
	(void)state;
	rows[row_count++] = id_of(1);
	look();
	net_cast(&sup);
	answer_with(0, ERR_DATABASE);
	assert_false(sup.loading);
	look();
	assert_true(sup.loading);
	answer();
	assert_non_null(lq_find(sup.lq, id_of(1)));
}

/* A lane's older rows may be in the page that did not come: nothing starts before it is
 * here, whoever wants to release the queue meanwhile. */
static void test_a_page_that_fails_is_asked_for_again(void **state)
{
	(void)state;
	sup_step(&sup, &(struct lq_event){.kind = LQ_WORKER_UP});
	for (int n = 0; n < 5002; n++)
		rows[row_count++] = id_of(n);
	look();
	look();
	answer();
	for (int tries = 0; tries < 3; tries++) {
		answer_with(0, ERR_DATABASE);
		assert_true(sup.loading);
		assert_false(request.open);
		net_cast(&sup);
		sup_release(&sup); /* as the lease does when it is regained */
		fire();
		assert_int_equal(request.stmt, SQL_LOAD);
	}
	assert_int_equal(claims, 0);
	assert_int_equal(lq_stats(sup.lq).runs, 5000);
	answer();
	assert_int_equal(rows_answered, 2); /* the page that failed, not all again */
	assert_int_equal(lq_stats(sup.lq).runs, 5002);
	assert_false(lq_stats(sup.lq).held);
	assert_int_equal(releases, 4);
	assert_int_equal(claims, 1);
}

void runs_answered(struct sup *s, struct lq_run *r)
{
	sup_step(s, &(struct lq_event){.kind = LQ_ANSWERED, .run = r});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_run_that_slipped_is_loaded, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_on_its_way_is_no_alarm,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_run_that_waits_here_alone_is_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_starts_while_it_loads,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_look_that_fails_says_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_page_that_fails_is_asked_for_again,
						set_up, tear_down),
	};
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
