/* SPDX-License-Identifier: Apache-2.0
 * The pool against the Postgres of TB_TEST_DATABASE; skipped without it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"

enum {
	S_ECHO,
	S_INSERT,
	S_DIVIDE,
	S_KILL_SELF,
	S_HANG,
	S_LATER,
	S_TEXT,
	S_MANY,
	S_FORGET,
	S_WAIT,
	S_NAP,
};
static const struct pg_stmt stmts[] = {
	[S_ECHO] = {"echo", "SELECT $1"},
	[S_INSERT] = {"insert", "INSERT INTO tb_ut (n) VALUES ($1) RETURNING n"},
	[S_DIVIDE] = {"divide", "SELECT 10 / $1"},
	[S_KILL_SELF] = {"kill_self", "SELECT pg_terminate_backend(pg_backend_pid())"},
	[S_HANG] = {"hang", "SELECT pg_sleep(600)"},
	[S_LATER] = {"later", "SELECT n FROM tb_ut_later"},
	[S_TEXT] = {"txt", "SELECT $1 || 'x'"},
	[S_MANY] = {"many", "SELECT g, repeat('y', 100) FROM generate_series(1, $1) g"},
	[S_FORGET] = {"forget", "DEALLOCATE ALL"},
	[S_WAIT] = {"wait", "SELECT n FROM tb_ut WHERE n = $1 FOR UPDATE"},
	[S_NAP] = {"nap", "SELECT 1::bigint FROM pg_sleep(1.3)"},
};

static const char *conninfo;
static struct loop *loop;
static struct pg_pool *pool;
static struct pg_sync *side;
static int ups, downs;
static char down_message[300];

struct outcome {
	int n;
	enum err err;
	enum pg_fate fate;
	int failed_stmt, result_count;
	bool has_result[8];
	int64_t value;
	char sqlstate[6], message[200];
};
static struct outcome outs[2000];
static int order[2000], order_n;
static bool inside_submit;

static void on_done(void *arg, const struct pg_answer *a)
{
	struct outcome *o = arg;
	assert_false(inside_submit);
	o->n++;
	o->err = a->err;
	o->fate = a->fate;
	o->failed_stmt = a->failed_stmt;
	o->result_count = a->result_count;
	for (int i = 0; i < a->result_count; i++)
		o->has_result[i] = a->results[i] != NULL;
	if (a->result_count && a->results[0] && pg_rows(a->results[0]) == 1 && !a->err)
		o->value = pg_get_i64(a->results[0], 0, 0);
	snprintf(o->sqlstate, sizeof o->sqlstate, "%s", a->sqlstate);
	snprintf(o->message, sizeof o->message, "%s", a->message);
	if (order_n < 2000)
		order[order_n++] = (int)(o - outs);
}

static void on_state(void *arg, bool up, const char *message)
{
	(void)arg;
	up ? ups++ : downs++;
	if (!up)
		snprintf(down_message, sizeof down_message, "%s", message);
}

static void pool_begin(const char *info, int connections)
{
	struct pg_pool_config c = {.conninfo = info,
				   .connections = connections,
				   .stmts = stmts,
				   .stmt_count = ARRAY_LEN(stmts),
				   .application_name = "tb_ut",
				   .on_state = on_state};
	memset(outs, 0, sizeof outs);
	order_n = ups = downs = 0;
	loop = loop_new();
	pool = pg_pool_new(loop, &c);
}

static void pool_end(void)
{
	pg_pool_free(pool);
	loop_turn(loop, 0);
	loop_free(loop);
	pool = NULL;
}

static void submit(struct pg_request *r, int i, int conn, int queue_ms)
{
	inside_submit = true;
	pg_submit(r, conn, queue_ms, on_done, &outs[i]);
	inside_submit = false;
}

static struct pg_request *echo(int64_t v)
{
	struct pg_request *r = pg_begin(pool);
	pg_i64(pg_add(r, S_ECHO), v);
	return r;
}

static bool is_settled(void)
{
	return pg_pool_pending(pool) == 0;
}

#define UNTIL(cond)                                                                      \
	do {                                                                             \
		int64_t give_up_us = clock_mono_us() + 30000000;                         \
		while (!(cond)) {                                                        \
			loop_turn(loop, 100);                                            \
			if (clock_mono_us() > give_up_us)                                \
				fail_msg("never: %s", #cond);                            \
		}                                                                        \
	} while (0)

static void side_exec(const char *sql)
{
	char err[300] = "";
	if (pg_sync_exec(side, sql, err, sizeof err))
		fail_msg("%s: %s", sql, err);
}

static int64_t side_number(const char *sql)
{
	char err[300] = "";
	struct pg_result *r = NULL;
	if (pg_sync_query(side, sql, NULL, &r, err, sizeof err))
		fail_msg("%s: %s", sql, err);
	int64_t v = pg_get_i64(r, 0, 0);
	pg_result_free(r);
	return v;
}

static int begin(void **state)
{
	(void)state;
	if (!conninfo)
		return 0;
	char err[300];
	side = pg_sync_open(conninfo, err, sizeof err);
	if (!side)
		fail_msg("%s", err);
	side_exec("DROP TABLE IF EXISTS tb_ut, tb_ut_later; CREATE TABLE tb_ut (n int8)");
	return 0;
}

static int finish(void **state)
{
	(void)state;
	if (side)
		pg_sync_exec(side, "DROP TABLE IF EXISTS tb_ut, tb_ut_later", NULL, 0);
	pg_sync_close(side);
	side = NULL;
	return 0;
}
#define NEEDS_POSTGRES()                                                                 \
	do {                                                                             \
		(void)state;                                                             \
		if (!conninfo)                                                           \
			skip();                                                          \
	} while (0)

static void assert_ok(int i)
{
	if (outs[i].n != 1 || outs[i].err || outs[i].fate != PG_COMMITTED)
		fail_msg("%d: %d times, %s, fate %d, %s", i, outs[i].n,
			 err_code(outs[i].err), outs[i].fate, outs[i].message);
}

static void test_order_on_a_connection(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 1);
	for (int i = 0; i < 1000; i++) {
		submit(echo(i), i, i % 2 ? 0 : PG_ANY, 0);
		if (i % 100 == 99)
			loop_turn(loop, 0);
	}
	UNTIL(is_settled());
	int last[2] = {-1, -1};
	for (int i = 0; i < 1000; i++) {
		assert_ok(i);
		assert_int_equal(outs[i].value, i);
		int lane = order[i] % 2; /* the pinned ones, and the others */
		assert_true(order[i] > last[lane]);
		last[lane] = order[i];
	}
	assert_int_equal(ups, 1);
	assert_int_equal(downs, 0);
	pool_end();
}

static void test_several_connections(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 4);
	for (int i = 0; i < 2000; i++)
		submit(echo(i), i, i % 5 == 4 ? PG_ANY : i % 5, 0);
	UNTIL(is_settled());
	for (int i = 0; i < 2000; i++) {
		assert_ok(i);
		assert_int_equal(outs[i].value, i);
	}
	assert_int_equal(order_n, 2000);
	pool_end();
}

static void test_error_rolls_back_its_request_alone(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 1);
	for (int i = 0; i < 30; i++) {
		struct pg_request *r = pg_begin(pool);
		pg_i64(pg_add(r, S_INSERT), i);
		pg_i32(pg_add(r, S_DIVIDE), i % 3 == 1 ? 0 : 5);
		pg_i64(pg_add(r, S_INSERT), 100 + i);
		submit(r, i, 0, 0);
	}
	UNTIL(is_settled());
	for (int i = 0; i < 30; i++) {
		if (i % 3 != 1) {
			assert_ok(i);
			assert_int_equal(outs[i].failed_stmt, -1);
			assert_true(outs[i].has_result[0] && outs[i].has_result[2]);
			continue;
		}
		assert_int_equal(outs[i].n, 1);
		assert_int_equal(outs[i].err, ERR_DATABASE);
		assert_int_equal(outs[i].fate, PG_ROLLED_BACK);
		assert_int_equal(outs[i].failed_stmt, 1);
		assert_string_equal(outs[i].sqlstate, "22012");
		assert_string_equal(outs[i].message, "division by zero");
		assert_int_equal(outs[i].result_count, 3);
		assert_true(outs[i].has_result[0]);
		assert_false(outs[i].has_result[1] || outs[i].has_result[2]);
	}
	assert_int_equal(side_number("SELECT count(*) FROM tb_ut"), 40);
	assert_int_equal(side_number("SELECT count(*) FROM tb_ut WHERE n % 100 % 3 = 1"),
			 0);
	pool_end();
}

static void test_statement_that_cannot_be_prepared(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 1);
	for (int i = 0; i < 3; i++) {
		struct pg_request *r = pg_begin(pool);
		pg_add(r, S_LATER);
		submit(r, i, PG_ANY, 0);
	}
	submit(echo(7), 3, PG_ANY, 0);
	UNTIL(is_settled());
	for (int i = 0; i < 3; i++) {
		assert_int_equal(outs[i].err, ERR_DATABASE);
		assert_int_equal(outs[i].fate, PG_ROLLED_BACK);
		assert_int_equal(outs[i].failed_stmt, 0);
	}
	assert_ok(3);
	side_exec("CREATE TABLE tb_ut_later AS SELECT 5::int8 AS n");
	struct pg_request *r = pg_begin(pool);
	pg_add(r, S_LATER);
	submit(r, 4, PG_ANY, 0);
	UNTIL(is_settled());
	assert_ok(4);
	assert_int_equal(outs[4].value, 5);
	pool_end();
}

static void test_lost_connection(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 1);
	UNTIL(pg_pool_is_up(pool));
	submit(echo(1), 0, 0, 0);
	struct pg_request *r = pg_begin(pool);
	pg_i64(pg_add(r, S_INSERT), 1);
	pg_add(r, S_KILL_SELF);
	submit(r, 1, 0, 0);
	submit(echo(2), 2, 0, 0); /* written behind it */
	UNTIL(outs[2].n);
	submit(echo(3), 3, 0, 0); /* waits for the next connection */
	submit(echo(4), 4, PG_ANY, 20000);
	UNTIL(is_settled());
	assert_ok(0);
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(outs[i].n, 1);
		assert_int_equal(outs[i].err, ERR_DATABASE);
		assert_int_equal(outs[i].fate, PG_UNKNOWN);
		assert_true(*outs[i].message && !strchr(outs[i].message, '\n'));
	}
	assert_ok(3);
	assert_ok(4);
	assert_int_equal(ups, 2);
	assert_true(downs >= 1);
	assert_true(*down_message);
	pool_end();
}

static void test_killed_from_outside(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 2);
	UNTIL(side_number("SELECT count(*) FROM pg_stat_activity "
			  "WHERE application_name = 'tb_ut' AND state = 'idle'") == 2);
	UNTIL(pg_pool_is_up(pool));
	struct pg_request *r = pg_begin(pool);
	pg_add(r, S_HANG);
	submit(r, 0, 0, 0);
	UNTIL(side_number("SELECT count(*) FROM pg_stat_activity "
			  "WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'") ==
	      1);
	side_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
		  "WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'");
	UNTIL(outs[0].n);
	assert_int_equal(outs[0].fate, PG_UNKNOWN);
	assert_true(pg_pool_is_up(pool)); /* the other one is there */
	assert_int_equal(downs, 0);
	submit(echo(1), 1, 1, 0);
	submit(echo(2), 2, 0, 0);
	UNTIL(is_settled());
	assert_ok(1);
	assert_ok(2);
	assert_int_equal(ups, 1); /* the pool was never down */
	pool_end();
}

static void test_free_cancels(void **state)
{
	NEEDS_POSTGRES();
	pool_begin(conninfo, 1);
	UNTIL(pg_pool_is_up(pool));
	struct pg_request *r = pg_begin(pool);
	pg_add(r, S_HANG);
	submit(r, 0, 0, 0);
	submit(echo(1), 1, 0, 0);
	loop_turn(loop, 0); /* both are written */
	submit(echo(2), 2, 0, 0);
	submit(echo(3), 3, PG_ANY, 0);
	pg_discard(echo(4));
	assert_int_equal(pg_pool_pending(pool), 4);
	pool_end();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(outs[i].n, 1);
		assert_int_equal(outs[i].err, ERR_CANCELLED);
		assert_int_equal(outs[i].fate, i < 2 ? PG_UNKNOWN : PG_NOT_SENT);
	}
	side_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
		  "WHERE application_name = 'tb_ut'");
}

/* No database at all: needs none. */
static void test_queue_limit(void **state)
{
	(void)state;
	pool_begin("host=/nonexistent user=nobody dbname=none", 2);
	int64_t start_us = clock_mono_us();
	submit(echo(1), 0, PG_ANY, 200);
	submit(echo(2), 1, 1, 50);
	submit(echo(3), 2, PG_ANY, 0); /* as long as it takes */
	UNTIL(outs[0].n && outs[1].n);
	assert_true(clock_mono_us() - start_us >= 200000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(outs[i].err, ERR_DATABASE);
		assert_int_equal(outs[i].fate, PG_NOT_SENT);
		assert_int_equal(outs[i].failed_stmt, -1);
	}
	assert_int_equal(order[0], 1);
	assert_int_equal(pg_pool_pending(pool), 1);
	assert_false(pg_pool_is_up(pool));
	UNTIL(downs >= 3); /* said at each failed attempt */
	assert_int_equal(ups, 0);
	assert_true(*down_message && !strchr(down_message, '\n'));
	pool_end();
	assert_int_equal(outs[2].err, ERR_CANCELLED);
	assert_int_equal(outs[2].fate, PG_NOT_SENT);
}

static int64_t rows_seen;
static void on_many(void *arg, const struct pg_answer *a)
{
	(void)arg;
	assert_int_equal(a->err, ERR_OK);
	rows_seen = pg_rows(a->results[0]);
	assert_int_equal(pg_get_text(a->results[0], (int)rows_seen - 1, 1).n, 100);
}

static size_t text_seen;
static void on_text(void *arg, const struct pg_answer *a)
{
	(void)arg;
	assert_int_equal(a->err, ERR_OK);
	text_seen = pg_get_text(a->results[0], 0, 0).n;
}

/* More than a socket takes at once, both ways. */
static void test_large(void **state)
{
	NEEDS_POSTGRES();
	static char text[5000000];
	memset(text, 't', sizeof text);
	pool_begin(conninfo, 1);
	for (int i = 0; i < 3; i++) {
		struct pg_request *r = pg_begin(pool);
		pg_i32(pg_add(r, S_MANY), 30000);
		pg_submit(r, 0, 0, on_many, NULL);
		r = pg_begin(pool);
		pg_text(pg_add(r, S_TEXT), slice_of(text, sizeof text));
		pg_submit(r, 0, 0, on_text, NULL);
	}
	UNTIL(is_settled());
	assert_int_equal(rows_seen, 30000);
	assert_int_equal(text_seen, sizeof text + 1);
	pool_end();
}

static void test_a_forgotten_statement_is_prepared_anew(void **state)
{
	NEEDS_POSTGRES();
	struct pg_request *r;
	pool_begin(conninfo, 1);
	submit(echo(1), 0, 0, 0);
	UNTIL(is_settled());
	r = pg_begin(pool);
	pg_add(r, S_FORGET);
	submit(r, 1, 0, 0);
	submit(echo(2), 2, 0, 0);
	UNTIL(is_settled());
	assert_int_equal(outs[2].fate, PG_ROLLED_BACK);
	assert_string_equal(outs[2].sqlstate, "26000");
	UNTIL(ups == 2);
	submit(echo(3), 3, 0, 0);
	UNTIL(is_settled());
	assert_ok(3);
	assert_int_equal(outs[3].value, 3);
	pool_end();
}

static void test_a_migrated_result_is_prepared_anew(void **state)
{
	NEEDS_POSTGRES();
	struct pg_request *r;
	side_exec("DROP TABLE IF EXISTS tb_ut_later; CREATE TABLE tb_ut_later (n int8)");
	pool_begin(conninfo, 1);
	r = pg_begin(pool);
	pg_add(r, S_LATER);
	submit(r, 0, 0, 0);
	UNTIL(is_settled());
	assert_ok(0);
	side_exec("ALTER TABLE tb_ut_later ALTER n TYPE text");
	for (int i = 1; i <= 2; i++) {
		UNTIL(ups == i);
		r = pg_begin(pool);
		pg_add(r, S_LATER);
		submit(r, i, 0, 0);
		UNTIL(is_settled());
	}
	assert_string_equal(outs[1].sqlstate, "0A000");
	assert_ok(2);
	pool_end();
	side_exec("DROP TABLE tb_ut_later");
}

static void test_a_lock_is_not_waited_for_long(void **state)
{
	NEEDS_POSTGRES();
	struct pg_pool_config c = {.conninfo = conninfo,
				   .connections = 1,
				   .stmts = stmts,
				   .stmt_count = ARRAY_LEN(stmts),
				   .application_name = "tb_ut",
				   .lock_timeout_ms = 20};
	struct pg_request *r;
	pool_begin(conninfo, 1);
	pg_pool_free(pool);
	pool = pg_pool_new(loop, &c);
	side_exec("INSERT INTO tb_ut VALUES (77)");
	side_exec("BEGIN; SELECT n FROM tb_ut WHERE n = 77 FOR UPDATE");
	r = pg_begin(pool);
	pg_i64(pg_add(r, S_WAIT), 77);
	submit(r, 0, 0, 0);
	UNTIL(is_settled());
	assert_int_equal(outs[0].fate, PG_ROLLED_BACK);
	assert_string_equal(outs[0].sqlstate, "55P03");
	side_exec("ROLLBACK");
	pool_end();
}

/* One connection, whose statements end after so long. */
static void pool_begin_limited(int statement_timeout_ms)
{
	struct pg_pool_config c = {.conninfo = conninfo,
				   .connections = 1,
				   .stmts = stmts,
				   .stmt_count = ARRAY_LEN(stmts),
				   .application_name = "tb_ut",
				   .statement_timeout_ms = statement_timeout_ms,
				   .on_state = on_state};
	pool_begin(conninfo, 1);
	pg_pool_free(pool);
	pool = pg_pool_new(loop, &c);
}

static void test_silence(void **state)
{
	NEEDS_POSTGRES();
	struct pg_request *r = NULL;
	pool_begin_limited(600);
	submit(echo(1), 0, 0, 0);
	UNTIL(is_settled());
	pid_t old = (pid_t)side_number("SELECT pid FROM pg_stat_activity WHERE "
				       "application_name = 'tb_ut'");
	int64_t since_us = clock_mono_us();
	assert_int_equal(kill(old, SIGSTOP), 0);
	r = echo(2);
	submit(r, 1, 0, 0);
	UNTIL(outs[1].n);
	assert_in_range(clock_mono_us() - since_us, 5600000, 12000000);
	assert_int_equal(outs[1].fate, PG_UNKNOWN);
	assert_string_equal(outs[1].message, "nothing was heard for 5.6 s");
	submit(echo(3), 2, 0, 0);
	UNTIL(is_settled());
	assert_ok(2);
	assert_int_equal(kill(old, SIGCONT), 0);
	UNTIL(side_number("SELECT count(*) FROM pg_stat_activity WHERE "
			  "application_name = 'tb_ut'") == 1);
	UNTIL(kill(old, 0) == -1); /* ended by the next connection */
	pool_end();
}

/* Its answers come together, at its end: each statement may take its whole time. */
static void test_a_long_request_is_no_silence(void **state)
{
	NEEDS_POSTGRES();
	pool_begin_limited(1500);
	struct pg_request *r = pg_begin(pool);
	for (int i = 0; i < 6; i++)
		pg_add(r, S_NAP);
	int64_t since_us = clock_mono_us();
	submit(r, 0, 0, 0);
	UNTIL(is_settled());
	assert_ok(0);
	assert_true(clock_mono_us() - since_us > 6500000); /* of one statement */
	assert_int_equal(downs, 0);
	pool_end();
}

/* It rests for longer than the limit between two requests: nothing is wrong with that. */
static void test_rest_is_no_silence(void **state)
{
	NEEDS_POSTGRES();
	pool_begin_limited(1);
	UNTIL(pg_pool_is_up(pool));
	submit(echo(1), 0, 0, 0);
	UNTIL(is_settled());
	int64_t since_us = clock_mono_us();
	UNTIL(clock_mono_us() - since_us > 5500000);
	submit(echo(2), 1, 0, 0);
	UNTIL(is_settled());
	assert_int_equal(downs, 0);
	assert_int_equal(ups, 1);
	pool_end();
}

int main(void)
{
	crypto_init();
	log_init("test", LOG_ERROR);
	conninfo = getenv("TB_TEST_DATABASE");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_on_a_connection),
		cmocka_unit_test(test_several_connections),
		cmocka_unit_test(test_error_rolls_back_its_request_alone),
		cmocka_unit_test(test_statement_that_cannot_be_prepared),
		cmocka_unit_test(test_lost_connection),
		cmocka_unit_test(test_killed_from_outside),
		cmocka_unit_test(test_free_cancels),
		cmocka_unit_test(test_queue_limit),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_a_forgotten_statement_is_prepared_anew),
		cmocka_unit_test(test_a_migrated_result_is_prepared_anew),
		cmocka_unit_test(test_a_lock_is_not_waited_for_long),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_a_long_request_is_no_silence),
		cmocka_unit_test(test_rest_is_no_silence),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
