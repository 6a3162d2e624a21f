/* SPDX-License-Identifier: Apache-2.0
 * What a worker knows of refusals, and tells of them. */
#include "tests/fakes/fake_pg.h"

#include "common/crypto.h"
#include "worker/cooldowns.h"
#include "worker/run.h"
#include "worker/sql.h"

#define SECOND_US 1000000ll
static const struct slice provider = {"openai", 6}, model = {"gpt", 3};
static const struct uuid own = {{0}};
static struct worker worker;
static struct run run;

static int begin(void **state)
{
	(void)state;
	worker = (struct worker){.cooldowns = cooldowns_new()};
	run = (struct run){.worker = &worker, .tenant = 7};
	return 0;
}

static int end(void **state)
{
	(void)state;
	cooldowns_free(worker.cooldowns);
	forget_requests();
	return 0;
}

/* One row of a read: so many failures, so long to go. */
static void read_row(const char *of_model, struct uuid key, int failures, int64_t left_us)
{
	PGresult *rows = rows_new(6, (const unsigned[]){25, 25, 2950, 20, 20, 25}, 1);
	set_text(rows, 0, 0, "openai");
	set_text(rows, 0, 1, of_model);
	set_uuid(rows, 0, 2, key);
	set_i64(rows, 0, 3, failures);
	set_i64(rows, 0, 4, left_us);
	set_text(rows, 0, 5, "model_rate_limit");
	cooldowns_take(&run, as_result(rows));
	PQclear(rows);
}

static int64_t left_s(struct slice of_model, struct uuid key)
{
	return (cooldowns_left_us(&run, provider, of_model, key, NULL) + SECOND_US / 2) /
	       SECOND_US;
}

static void note(enum err why, int64_t floor_us)
{
	cooldowns_note(&run, provider, model, own, why, floor_us);
}

static void test_read(void **state)
{
	(void)state;
	assert_false(cooldowns_are_fresh(&run));
	assert_int_equal(left_s(model, own), 0);
	read_row("gpt", own, 2, 40 * SECOND_US);
	assert_true(cooldowns_are_fresh(&run));
	assert_int_equal(left_s(model, own), 40);
	assert_int_equal(left_s(SLICE("other"), own), 0);
	assert_int_equal(left_s(model, uuid7_new()), 0);
	assert_int_equal(cooldowns_left_us(&run, SLICE("gemini"), model, own, NULL), 0);
	run.tenant = 8; /* another tenant has its own */
	assert_false(cooldowns_are_fresh(&run));
	assert_int_equal(left_s(model, own), 0);
}

/* Without an answer what was known stays, and nobody waits for another read at once. */
static void test_read_failed(void **state)
{
	(void)state;
	read_row("gpt", own, 1, 40 * SECOND_US);
	cooldowns_take(&run, NULL);
	assert_true(cooldowns_are_fresh(&run));
	assert_int_equal(left_s(model, own), 40);
	run.tenant = 8;
	cooldowns_take(&run, NULL);
	assert_true(cooldowns_are_fresh(&run));
}

static void test_steps(void **state)
{
	(void)state;
	note(ERR_MODEL_RATE, 0);
	assert_int_equal(left_s(model, own), 30);
	note(ERR_MODEL_RATE, 0); /* of the same herd */
	assert_int_equal(left_s(model, own), 30);
	read_row("gpt", own, 1, 0); /* its time is over; the failure still counts */
	assert_int_equal(left_s(model, own), 0);
	note(ERR_MODEL_RATE, 0);
	assert_int_equal(left_s(model, own), 60);
	read_row("gpt", own, 2, 0);
	note(ERR_MODEL_OVERLOAD, 0);
	assert_int_equal(left_s(model, own), 300);
	read_row("gpt", own, 9, 0);
	note(ERR_MODEL_OVERLOAD, 0);
	assert_int_equal(left_s(model, own), 300);
	assert_int_equal(left_s(SLICE("other"), own), 0);
}

static void test_floor(void **state)
{
	(void)state;
	note(ERR_MODEL_RATE, 5 * SECOND_US); /* its word is better than a guess */
	assert_int_equal(left_s(model, own), 5);
	note(ERR_MODEL_RATE, 90 * SECOND_US);
	assert_int_equal(left_s(model, own), 90);
	note(ERR_MODEL_RATE, 120 * SECOND_US); /* while it stands */
	assert_int_equal(left_s(model, own), 120);
	note(ERR_MODEL_RATE, 10 * SECOND_US);
	assert_int_equal(left_s(model, own), 120);
	note(ERR_MODEL_RATE, INT64_MAX);
	assert_int_equal(left_s(model, own), 86400);
}

static void test_whole_key(void **state)
{
	(void)state;
	note(ERR_MODEL_BILLING, 0);
	assert_int_equal(left_s(model, own), 600);
	assert_int_equal(left_s(SLICE("other"), own), 600);
}

static void test_told(void **state)
{
	(void)state;
	note(ERR_MODEL_RATE, 5 * SECOND_US);
	struct pg_request *r = open_request();
	assert_int_equal(r->first_stmt, SQL_CAP);
	assert_int_equal(r->stmt, SQL_COOLDOWN_NOTE);
	assert_true(slice_is(
		slice_of(r->params.buf.p + r->params.item[3].at, r->params.item[3].len),
		"model_rate_limit"));
	refuse(r, PG_ROLLED_BACK, "40001"); /* nobody waits for it */
	assert_int_equal(left_s(model, own), 5);
}

static void test_clear(void **state)
{
	(void)state;
	cooldowns_clear(&run, provider, model, own);
	assert_int_equal(request_n, 0); /* nothing is known: nothing is said */
	read_row("gpt", own, 3, 0);
	cooldowns_clear(&run, provider, SLICE("other"), own);
	assert_int_equal(request_n, 0);
	cooldowns_clear(&run, provider, model, own);
	assert_int_equal(open_request()->stmt, SQL_COOLDOWN_CLEAR);
	cooldowns_clear(&run, provider, model, own);
	assert_int_equal(request_n, 1);
	read_row("", own, 1, SECOND_US); /* any model's success clears the whole key's */
	cooldowns_clear(&run, provider, model, own);
	assert_int_equal(request_n, 2);
	assert_int_equal(left_s(model, own), 0);
}

static void test_many_tenants(void **state)
{
	(void)state;
	for (run.tenant = 1; run.tenant < 2000; run.tenant++)
		note(ERR_MODEL_RATE, 0);
	run.tenant = 1999;
	assert_int_equal(left_s(model, own), 30);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, begin, end),
		cmocka_unit_test_setup_teardown(test_read_failed, begin, end),
		cmocka_unit_test_setup_teardown(test_steps, begin, end),
		cmocka_unit_test_setup_teardown(test_floor, begin, end),
		cmocka_unit_test_setup_teardown(test_whole_key, begin, end),
		cmocka_unit_test_setup_teardown(test_told, begin, end),
		cmocka_unit_test_setup_teardown(test_clear, begin, end),
		cmocka_unit_test_setup_teardown(test_many_tenants, begin, end),
	};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
