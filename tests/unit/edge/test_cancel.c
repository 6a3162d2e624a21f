/* SPDX-License-Identifier: Apache-2.0
 * Cancelling: asked for by a call, and by a client that leaves. */
#include "tests/unit/edge/api_bed.h"

#define CANCEL "/v1/runs/" RUN "/cancel"

static void test_cancelled_at_once(void **state)
{
	(void)state;
	post(CANCEL, BEARER, "");
	assert_int_equal(sup.cancels, 1);
	assert_int_equal(sup.cancel.tenant, 1);
	assert_true(uuid_eq(sup.cancel.run, id(RUN)));
	assert_true(sup.cancel.req != 0);
	assert_int_equal(c.got.n, 0);
	say_cancelled("", RESULT_CANCELLED);
	bed_settle(&c);
	expect("HTTP/1.1 200 ");
	expect("{\"runId\":\"" RUN "\",\"status\":\"cancelled\"}");
}

static void test_cancelling(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		post(CANCEL, BEARER, i ? "{}" : " { } ");
		say_cancelled("", 0);
		bed_settle(&c);
		expect("HTTP/1.1 202 ");
		expect("{\"runId\":\"" RUN "\",\"status\":\"cancelling\"}");
	}
	assert_int_equal(sup.cancels, 2);
}

static void test_after_the_end(void **state)
{
	(void)state;
	static const struct {
		unsigned result;
		const char *word;
	} cases[] = {{RESULT_COMPLETED, "completed"},   {RESULT_FAILED, "failed"},
		     {RESULT_CANCELLED, "cancelled"},   {RESULT_TIMED_OUT, "timed_out"},
		     {RESULT_SUPERSEDED, "superseded"}, {RESULT_DROPPED, "dropped"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[80];
		post(CANCEL, BEARER, "");
		say_cancelled("conflict", cases[i].result);
		bed_settle(&c);
		snprintf(text, sizeof text, "the run has ended already: %s",
			 cases[i].word);
		expect("HTTP/1.1 409 ");
		expect("\"code\":\"conflict\"");
		expect(text);
	}
}

static void test_refusals(void **state)
{
	(void)state;
	post(CANCEL, BEARER, "");
	say_cancelled("not_found", 0);
	bed_settle(&c);
	expect("HTTP/1.1 404 ");
	expect("there is no such run");
	post(CANCEL, BEARER, "");
	say_cancelled("unavailable", 0);
	bed_settle(&c);
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
	sup.away = true;
	post(CANCEL, BEARER, "");
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
	post("/v1/runs/nonsense/cancel", BEARER, "");
	expect("HTTP/1.1 404 ");
	say("GET " CANCEL " HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 405 ");
	expect("\r\nallow: POST, OPTIONS\r\n");
	db.scopes = SCOPE_READ;
	auth_invalidate(&edge, id(TOKEN));
	post(CANCEL, BEARER, "");
	expect("HTTP/1.1 403 ");
	post(CANCEL, "", "");
	expect("HTTP/1.1 401 ");
}

static void test_bodies(void **state)
{
	(void)state;
	static const struct {
		const char *body, *says;
	} cases[] = {{"{\"reason\":\"x\"}", "there is no member \\\"reason\\\" here"},
		     {"[]", "must be empty or {}"},
		     {"null", "must be empty or {}"},
		     {"{", "must be empty or {}"},
		     {"{} x", "must be empty or {}"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		post(CANCEL, BEARER, cases[i].body);
		expect("HTTP/1.1 400 ");
		expect(cases[i].says);
		if (i == 0)
			expect("\"param\":\"reason\"");
	}
	assert_int_equal(sup.cancels, 0);
}

/* The link went down: whoever waits for the supervisor hears of it. */
static void test_the_link_is_lost(void **state)
{
	(void)state;
	struct client d = client_open();
	post(CANCEL, BEARER, "");
	client_say(&d, "POST /v1/agents/default/runs HTTP/1.1\r\nHost: x\r\n" BEARER
		       "Content-Length: 15\r\n\r\n{\"message\":\"x\"}");
	assert_int_equal(sup.enqueues, 1);
	call_lost(&edge);
	bed_settle(&c);
	bed_settle(&d);
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
	expect("is not known");
	assert_true(has_text(&d, "HTTP/1.1 503 "));
	client_close(&d);
}

static void test_an_answer_nobody_waits_for(void **state)
{
	(void)state;
	post(CANCEL, BEARER, "");
	uint64_t req = sup.cancel.req;
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	/* Only a wait makes the door look whether its client is still there. */
	struct call *call = handle_get(edge.calls, req);
	assert_non_null(call);
	call->on_cancelled(call, &(struct wire_cancelled){.result = RESULT_CANCELLED});
	bed_settle(NULL);
	assert_null(handle_get(edge.calls, req));
	c = client_open();
}

/* ---- clients that leave */

static void stream_and_leave(const char *member, enum run_state stage)
{
	char body[128];
	snprintf(body, sizeof body, "{\"message\":\"hi\",\"stream\":true%s}", member);
	post("/v1/agents/default/runs", BEARER, body);
	if (stage)
		say_enqueued("", stage);
	bed_settle(&c);
	assert_int_equal(sup.cancels, 0);
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	c = client_open();
}

static void test_a_client_that_leaves_cancels(void **state)
{
	(void)state;
	static const enum run_state stages[] = {0, RUN_QUEUED, RUN_RUNNING};
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		sup.cancels = 0;
		stream_and_leave(",\"cancelOnDisconnect\":true", stages[i]);
		assert_int_equal(sup.cancels, 1);
		assert_int_equal(sup.cancel.req, 0);
		assert_int_equal(sup.cancel.tenant, 1);
		assert_true(uuid_eq(sup.cancel.run, sup.last.run));
	}
}

static void test_unless_it_did_not_ask_for_it(void **state)
{
	(void)state;
	stream_and_leave("", RUN_RUNNING);
	stream_and_leave(",\"cancelOnDisconnect\":false", RUN_RUNNING);
	assert_int_equal(sup.cancels, 0);
}

static void test_a_run_that_ended_is_not_cancelled(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"hi\",\"stream\":true,\"cancelOnDisconnect\":true}");
	say_enqueued("", RUN_RUNNING);
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"end\"}");
	say_end();
	bed_settle(&c);
	expect("\r\n0\r\n\r\n");
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	c = client_open();
	assert_int_equal(sup.cancels, 0);
}

static void test_a_refused_order_is_not_cancelled(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"hi\",\"stream\":true,\"cancelOnDisconnect\":true}");
	say_enqueued("lane_full", 0);
	bed_settle(&c);
	expect("HTTP/1.1 429 ");
	assert_int_equal(sup.cancels, 0);
}

/* What this side ends may be taken up again. */
static void test_a_shutdown_cancels_nothing(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"hi\",\"stream\":true,\"cancelOnDisconnect\":true}");
	say_enqueued("", RUN_RUNNING);
	bed_settle(&c);
	call_cut(&edge, NULL);
	bed_settle(&c);
	expect("retry: 1000\n\n");
	assert_int_equal(sup.cancels, 0);
}

/* A repeated order follows the first one's run: that is the one it gives up. */
static void test_a_repeated_order_cancels_the_first_run(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER "Idempotency-Key: k\r\n",
	     "{\"message\":\"hi\",\"stream\":true,\"cancelOnDisconnect\":true}");
	struct wire_enqueued m = {.run = id(RUN), .repeated = true, .state = RUN_QUEUED};
	sup.waiting->on_enqueued(sup.waiting, &m);
	bed_settle(&c);
	say_state(SUB_LIVE);
	bed_settle(&c);
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	c = client_open();
	assert_int_equal(sup.cancels, 1);
	assert_true(uuid_eq(sup.cancel.run, id(RUN)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_cancelled_at_once),
		T(test_cancelling),
		T(test_after_the_end),
		T(test_refusals),
		T(test_bodies),
		T(test_the_link_is_lost),
		T(test_an_answer_nobody_waits_for),
		T(test_a_client_that_leaves_cancels),
		T(test_unless_it_did_not_ask_for_it),
		T(test_a_run_that_ended_is_not_cancelled),
		T(test_a_refused_order_is_not_cancelled),
		T(test_a_shutdown_cancels_nothing),
		T(test_a_repeated_order_cancels_the_first_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
