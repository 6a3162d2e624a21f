/* SPDX-License-Identifier: Apache-2.0
 * Who calls, beyond a token's scopes: end users, rates, addresses that guess. */
#include "tests/unit/edge/api_bed.h"

#include "edge/limits.h"
#include "edge/penalties.h"

#define NAMED(path, user)                                                                \
	"GET " path " HTTP/1.1\r\nHost: x\r\n" BEARER "X-Terabits-User: " user "\r\n\r"  \
	"\n"

/* ---- end users */

static void test_only_a_trusted_listener_names_users(void **state)
{
	(void)state;
	say(NAMED("/v1/runs", "ann"));
	expect("HTTP/1.1 403 ");
	expect("\"param\":\"X-Terabits-User\"");
	assert_int_equal(db.runs, 0);
	db.trusted = true;
	say(NAMED("/v1/runs", "ann"));
	expect("HTTP/1.1 200 ");
	say(NAMED("/v1/runs", ""));
	expect("HTTP/1.1 400 ");
	expect("\"param\":\"X-Terabits-User\"");
	say(NAMED("/v1/runs", "\xff\xfe"));
	expect("HTTP/1.1 400 ");
}

static void test_a_bound_token_is_its_users(void **state)
{
	(void)state;
	db.user = "ann";
	db.trusted = true;
	say(NAMED("/v1/runs", "bob"));
	expect("HTTP/1.1 403 ");
	say(NAMED("/v1/runs", "ann"));
	expect("HTTP/1.1 200 ");
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\",\"user\":\"bob\"}");
	expect("HTTP/1.1 400 ");
	expect("\"param\":\"user\"");
	assert_int_equal(sup.enqueues, 0);
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	assert_int_equal(sup.enqueues, 1);
	assert_true(slice_is(sup.last.user, "ann"));
	say_enqueued("", RUN_QUEUED);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
}

static void test_a_session_of_another_user_is_absent(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"x\",\"sessionKey\":\"s\",\"user\":\"bob\"}");
	say_enqueued("", RUN_QUEUED);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
	db.user = "ann";
	auth_invalidate(&edge, id(TOKEN));
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"x\",\"sessionKey\":\"s\"}");
	expect("HTTP/1.1 404 ");
	assert_int_equal(sup.enqueues, 1);
}

/* What is asked of the supervisor alone is looked up first, as the user may see it. */
static void test_a_run_of_another_user_is_absent(void **state)
{
	(void)state;
	db.user = "ann";
	post("/v1/runs/" RUN "/cancel", BEARER, "{}");
	expect("HTTP/1.1 404 ");
	assert_int_equal(sup.cancels, 0);
	say(GET("/v1/runs/" RUN "/events"));
	expect("HTTP/1.1 404 ");
	assert_int_equal(sup.subscribes, 0);
	running();
	post("/v1/runs/" RUN "/cancel", BEARER, "{}");
	assert_int_equal(sup.cancels, 1);
	say_cancelled("", 0);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
}

static void test_a_user_administers_nothing(void **state)
{
	(void)state;
	db.scopes = SCOPE_ADMIN;
	db.trusted = true;
	say(NAMED("/v1/tokens", "ann"));
	expect("HTTP/1.1 403 ");
	say(NAMED("/v1/runs", "ann"));
	expect("HTTP/1.1 200 ");
}

/* ---- rates */

static int with_limits(void **state)
{
	setup(state);
	edge.limits = limits_new(&edge);
	edge.penalties = penalties_new();
	return 0;
}

static int without_limits(void **state)
{
	penalties_free(edge.penalties);
	client_close(&c);
	bed_settle(NULL);
	limits_free(edge.limits);
	return teardown(state);
}

static void test_a_lease_serves_many(void **state)
{
	(void)state;
	db.requests = 6000; /* a hundred a second */
	meter.there = 6000;
	for (int i = 0; i < 45; i++) {
		say(GET("/v1/runs"));
		expect("HTTP/1.1 200 ");
		expect("\r\nx-ratelimit-limit-requests: 6000\r\n");
	}
	assert_int_equal(meter.takes, 1);
	assert_int_equal(meter.wanted, 100);
	for (int i = 0; i < 10; i++)
		say(GET("/v1/runs"));
	assert_int_equal(meter.takes, 2); /* before it is used up */
}

static void test_an_empty_bucket_is_asked_once(void **state)
{
	(void)state;
	db.requests = 30;
	meter.there = 1;
	meter.wait_us = 2000000;
	say(GET("/v1/runs"));
	expect("HTTP/1.1 200 ");
	expect("\r\nx-ratelimit-remaining-requests: 0\r\n");
	for (int i = 0; i < 3; i++) {
		say(GET("/v1/runs"));
		expect("HTTP/1.1 429 ");
		expect("\"code\":\"rate_limited\"");
		expect("\r\nretry-after: 2\r\n");
	}
	assert_int_equal(meter.takes, 2);
	assert_int_equal(db.runs, 1);
}

static void test_a_tenants_refusal_costs_the_token_nothing(void **state)
{
	(void)state;
	db.requests = 6000;
	db.tenant_requests = 6000;
	meter.there = 100; /* the token's lease, and then no more */
	meter.wait_us = 5000000;
	for (int i = 0; i < 3; i++) {
		say(GET("/v1/runs"));
		expect("HTTP/1.1 429 ");
		expect("this tenant");
	}
	assert_int_equal(meter.takes, 2);
}

static void test_no_database_no_pass(void **state)
{
	(void)state;
	db.requests = 60;
	meter.away = true;
	say(GET("/v1/runs"));
	expect("HTTP/1.1 503 ");
	say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 200 ");
}

static void test_model_tokens_close_the_door_to_runs(void **state)
{
	(void)state;
	db.token_limit = 1000;
	meter.used = 1000;
	meter.used_wait_us = 30000000;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	expect("HTTP/1.1 429 ");
	expect("\r\nretry-after: 30\r\n");
	expect("\r\nx-ratelimit-limit-tokens: 1000\r\n");
	assert_int_equal(sup.enqueues, 0);
	say(GET("/v1/runs"));
	expect("HTTP/1.1 200 ");
}

static void test_times(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {{0, "0ms"},           {1, "1ms"},         {999000, "999ms"},
		     {1000000, "1s"},      {59000001, "1m0s"}, {125000000, "2m5s"},
		     {3600000000, "60m0s"}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[LIMITS_TIME_MAX];
		limits_format(cases[i].us, text);
		assert_string_equal(text, cases[i].text);
	}
}

/* ---- addresses */

static void test_an_address_that_guesses_waits(void **state)
{
	uint8_t a[16] = {1}, b[16] = {2};
	struct penalties *p = penalties_new();
	(void)state;
	for (int i = 0; i < PENALTIES_FREE; i++)
		assert_int_equal(penalties_note(p, a, 0), 0);
	assert_int_equal(penalties_note(p, a, 0), 2);
	assert_int_equal(penalties_look(p, a, 0), 2);
	assert_int_equal(penalties_look(p, b, 0), 0);
	assert_int_equal(penalties_note(p, a, PENALTIES_EACH_US), 0); /* one more */
	assert_int_equal(penalties_look(p, a, PENALTIES_EACH_US), 2);
	assert_int_equal(penalties_look(p, a, (int64_t)PENALTIES_EACH_US * 60), 0);
	for (int i = 0; i < 3 * PENALTIES_MAX; i++) {
		uint8_t each[16] = {3, (uint8_t)i, (uint8_t)(i >> 8)};
		assert_int_equal(penalties_note(p, each, 0), 0);
	}
	penalties_free(p);
	assert_int_equal(penalties_note(NULL, a, 0), 0);
}

static void test_who_guesses_is_not_looked_up_for(void **state)
{
	(void)state;
	say(GET("/v1/runs"));
	for (int i = 0; i < PENALTIES_FREE; i++)
		say("GET /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
		    "x\r\n\r\n");
	expect("HTTP/1.1 401 ");
	int looked = db.tokens;
	say("GET /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tb1.1." OTHER
	    "." SECRET "\r\n\r\n");
	expect("HTTP/1.1 429 ");
	expect("\r\nretry-after: ");
	assert_int_equal(db.tokens, looked);
	say(GET("/v1/runs")); /* who is known goes on */
	expect("HTTP/1.1 200 ");
}

#define L(fn) cmocka_unit_test_setup_teardown(fn, with_limits, without_limits)

int main(void)
{
	crypto_init();
	const struct CMUnitTest tests[] = {
		T(test_only_a_trusted_listener_names_users),
		T(test_a_bound_token_is_its_users),
		T(test_a_session_of_another_user_is_absent),
		T(test_a_run_of_another_user_is_absent),
		T(test_a_user_administers_nothing),
		L(test_a_lease_serves_many),
		L(test_an_empty_bucket_is_asked_once),
		L(test_a_tenants_refusal_costs_the_token_nothing),
		L(test_no_database_no_pass),
		L(test_model_tokens_close_the_door_to_runs),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_an_address_that_guesses_waits),
		L(test_who_guesses_is_not_looked_up_for)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
