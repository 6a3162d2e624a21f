/* SPDX-License-Identifier: Apache-2.0
 * The queue at the door: modes and bounds of an order, runs that end without having
 * started, the list of runs. */
#include "tests/unit/edge/api_bed.h"

#define SECOND_RUN "0192f3a0-0000-7000-8000-0000000000cc"
#define EVENTS GET("/v1/runs/" RUN "/events")

/* ---- orders */

static void order(const char *body)
{
	post("/v1/agents/default/runs", BEARER, body);
	say_enqueued("", RUN_QUEUED);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
}

/* The agent's and the session's rows are read anew. */
static void forget_all(void)
{
	struct uuid agent = id(AGENT);
	lookup_invalidate_agent(&edge, agent);
	lookup_invalidate_session(&edge, sup.last.session);
}

static void test_the_mode_in_force(void **state)
{
	(void)state;
	static const struct {
		unsigned agent, session;
		const char *body;
		unsigned mode;
	} cases[] = {
		{0, 0, "{\"message\":\"x\"}", MODE_STEER},
		{MODE_FOLLOWUP, 0, "{\"message\":\"x\"}", MODE_FOLLOWUP},
		{MODE_FOLLOWUP, MODE_COLLECT, "{\"message\":\"x\"}", MODE_COLLECT},
		{0, MODE_INTERRUPT, "{\"message\":\"x\"}", MODE_INTERRUPT},
		{MODE_FOLLOWUP, MODE_COLLECT,
		 "{\"message\":\"x\",\"queueMode\":\"steer\"}", MODE_STEER},
		{MODE_FOLLOWUP, 0, "{\"message\":\"x\",\"queueMode\":\"interrupt\"}",
		 MODE_INTERRUPT},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[64];
		db.agent.mode = cases[i].agent;
		db.session_mode = cases[i].session;
		forget_all();
		order(cases[i].body);
		assert_int_equal(sup.last.mode, cases[i].mode);
		snprintf(text, sizeof text, "\"status\":\"queued\",\"queueMode\":\"%s\"}",
			 mode_word(cases[i].mode));
		expect(text);
	}
}

static void test_the_lanes_bounds_travel(void **state)
{
	(void)state;
	order("{\"message\":\"x\"}");
	assert_int_equal(sup.last.lane_cap, 20);
	assert_int_equal(sup.last.drop, DROP_REJECT);
	db.agent.lane_cap = 3;
	db.agent.drop = DROP_SUMMARIZE;
	forget_all();
	order("{\"message\":\"x\"}");
	assert_int_equal(sup.last.lane_cap, 3);
	assert_int_equal(sup.last.drop, DROP_SUMMARIZE);
}

/* When it is due, in milliseconds from now; -1: at once. */
static int64_t due_ms(const char *body)
{
	order(body);
	return sup.last.run_at_us ? (sup.last.run_at_us - clock_real_us()) / 1000 : -1;
}

static void test_collect_is_due_later(void **state)
{
	(void)state;
	db.agent.debounce_ms = 50000;
	assert_int_equal(due_ms("{\"message\":\"x\"}"), -1);
	assert_in_range(due_ms("{\"message\":\"x\",\"queueMode\":\"collect\"}"), 40000,
			50000);
	assert_in_range(
		due_ms("{\"message\":\"x\",\"queueMode\":\"collect\",\"delayMs\":10}"),
		40000, 50000);
	assert_in_range(
		due_ms("{\"message\":\"x\",\"queueMode\":\"collect\",\"delayMs\":90000}"),
		80000, 90000);
	assert_in_range(due_ms("{\"message\":\"x\",\"delayMs\":20000}"), 10000, 20000);
	db.agent.debounce_ms = 0;
	forget_all();
	assert_int_equal(due_ms("{\"message\":\"x\",\"queueMode\":\"collect\"}"), -1);
}

static void test_bad_members_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *body, *param;
	} cases[] = {
		{"{\"message\":\"x\",\"deadlineMs\":-5}", "deadlineMs"},
		{"{\"message\":\"x\",\"sessionKey\":\"cron:5\"}", "sessionKey"},
		{"{\"message\":\"x\",\"sessionKey\":\"\\ud800\"}", "sessionKey"},
		{"{\"message\":\"x\",\"cancelOnDisconnect\":true}", "cancelOnDisconnect"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[64];
		post("/v1/agents/default/runs", BEARER, cases[i].body);
		expect("HTTP/1.1 400 ");
		snprintf(text, sizeof text, "\"param\":\"%s\"", cases[i].param);
		expect(text);
	}
	assert_int_equal(sup.enqueues, 0);
}

/* Whom a 429 or 503 meets hears when to come back and what is full. */
static void test_refusals_say_what_and_when(void **state)
{
	(void)state;
	static const struct {
		const char *code, *status, *says;
	} cases[] = {{"lane_full", "HTTP/1.1 429 ", "wait in this session"},
		     {"tenant_full", "HTTP/1.1 429 ", "of this tenant wait"},
		     {"node_full", "HTTP/1.1 429 ", "this node has too many"},
		     {"unavailable", "HTTP/1.1 503 ", "cannot accept work"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
		struct wire_enqueued m = {.error = slice_str(cases[i].code)};
		sup.waiting->on_enqueued(sup.waiting, &m);
		bed_settle(&c);
		expect(cases[i].status);
		expect("\r\nretry-after: 1\r\n");
		expect(cases[i].says);
	}
	sup.away = true;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
	sup.away = false;
	forget_all();
	edge.draining = true;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
}

static void test_a_database_that_opens_no_session(void **state)
{
	(void)state;
	order("{\"message\":\"x\"}");
	db.away = true;
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"x\",\"sessionKey\":\"new\"}");
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
	expect("\"code\":\"database\"");
	db.away = false;
	order("{\"message\":\"x\",\"sessionKey\":\"new\"}");
}

/* A repeated key hears how its run is doing, not how a new one would. */
static void test_a_repeated_order(void **state)
{
	(void)state;
	struct wire_enqueued m = {
		.run = id(RUN), .repeated = true, .accepted_us = 1, .state = RUN_QUEUED};
	for (int i = 0; i < 2; i++) {
		completed();
		if (i)
			running();
		db.run.position = 3;
		post("/v1/agents/default/runs", BEARER "Idempotency-Key: k\r\n",
		     "{\"message\":\"hi\"}");
		sup.waiting->on_enqueued(sup.waiting, &m);
		bed_settle(&c);
		expect("HTTP/1.1 202 ");
		expect("\r\nidempotent-replayed: true\r\n");
		expect(i ? "\"status\":\"running\"" : "\"status\":\"completed\"");
		expect(i ? "\"position\":3" : "\"position\":0");
		expect("\"acceptedAt\":\"2023-11-14T22:13:20.000Z\"");
	}
	post("/v1/agents/default/runs", BEARER "Idempotency-Key: k\r\n",
	     "{\"message\":\"hi\"}");
	db.away = true;
	sup.waiting->on_enqueued(sup.waiting, &m);
	bed_settle(&c);
	expect("HTTP/1.1 503 ");
	db.away = false;
}

/* ---- runs that end without having started */

/* As Postgres keeps a run that was cancelled, timed out or dropped while it waited. */
static void never_started(const char *result)
{
	completed();
	db.run.state = slice_str(result);
	db.run.started_us = 0;
	db.run.text = SLICE_NONE;
	db.run.error_code = slice_str(result);
	db.run.error = SLICE("it never started");
	db.events[0] = (struct event_row){1, "error", 1,
					  SLICE("{\"error\": \"it never started\", "
						"\"metadata\": {\"code\": \"x\"}}"),
					  SLICE_NONE};
	db.events[1] = (struct event_row){
		2, "lifecycle", 1,
		SLICE("{\"phase\": \"error\", \"metadata\": {\"code\": \"x\"}}"),
		SLICE_NONE};
	db.event_count = 2;
}

static void superseded(void)
{
	completed();
	db.run.state = SLICE("superseded");
	db.run.merged_into = id(SECOND_RUN);
	db.run.started_us = 0;
	db.run.text = SLICE_NONE;
	db.events[0] = (struct event_row){
		1, "lifecycle", 1,
		SLICE("{\"phase\": \"end\", \"metadata\": {\"result\": \"superseded\"}}"),
		SLICE_NONE};
	db.event_count = 1;
}

static void say_superseded(void)
{
	struct sub *s = subscribed();
	forget(s);
	s->on_end(s, &(struct wire_sub_end){.result = RESULT_SUPERSEDED,
					    .merged_into = id(SECOND_RUN)});
}

static void test_a_subscriber_of_a_run_that_never_starts(void **state)
{
	(void)state;
	static const char *const results[] = {"cancelled", "timed_out", "dropped"};
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		running();
		db.event_count = 0;
		say(EVENTS);
		say_state(SUB_LIVE);
		bed_settle(&c);
		expect_not("\nid: ");
		never_started(results[i]);
		say_end();
		bed_settle(&c);
		expect_order("id: 1\nevent: error\n", "id: 2\nevent: lifecycle\n");
		expect_order("\"phase\": \"error\"", "\r\n0\r\n\r\n");
	}
}

static void test_a_subscriber_of_a_superseded_run(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"stream\":true}");
	say_enqueued("", RUN_QUEUED);
	bed_settle(&c);
	expect("HTTP/1.1 200 ");
	expect_not("\nid: ");
	superseded();
	db.run_id = sup.last.run;
	say_superseded();
	bed_settle(&c);
	expect_order("id: 1\nevent: lifecycle\n", "\"superseded\"");
	expect_order("\"superseded\"", "\r\n0\r\n\r\n");
}

/* The end may overtake the acknowledgement. */
static void test_an_end_before_the_acknowledgement(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"stream\":true}");
	never_started("cancelled");
	say_end();
	bed_settle(&c);
	assert_int_equal(c.got.n, 0);
	struct wire_enqueued m = {.run = sup.last.run, .state = RUN_QUEUED};
	db.run_id = sup.last.run;
	sup.waiting->on_enqueued(sup.waiting, &m);
	bed_settle(&c);
	expect_order("id: 1\n", "id: 2\n");
	expect("\r\n0\r\n\r\n");
}

static void test_replay_of_a_run_that_never_started(void **state)
{
	(void)state;
	never_started("dropped");
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect_order("id: 1\nevent: error\n", "id: 2\nevent: lifecycle\n");
	expect("\r\n0\r\n\r\n");
	superseded();
	db.event_count = 0; /* past their retention */
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("\"phase\":\"end\"");
	expect("\"mergedInto\":\"" SECOND_RUN "\"");
}

/* A run whose worker died for good: Postgres wrote its last events, the ring has none. */
static void test_the_last_events_come_from_postgres(void **state)
{
	(void)state;
	running();
	db.event_count = 0;
	say(EVENTS);
	say_state(SUB_LIVE);
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"start\"}");
	bed_settle(&c);
	never_started("dead");
	db.events[0].seq = 2;
	db.events[1].seq = 3;
	say_end();
	bed_settle(&c);
	expect_order("id: 1\n", "id: 2\nevent: error\n");
	expect_order("id: 3\nevent: lifecycle\n", "\r\n0\r\n\r\n");
	assert_int_equal(db.pages, 1);
}

static void test_a_wait_follows_the_merge(void **state)
{
	(void)state;
	running();
	say(GET("/v1/runs/" RUN "/wait"));
	say_state(SUB_LIVE);
	bed_settle(&c);
	superseded();
	say_superseded();
	db.second = (struct run_row){.found = true, .state = SLICE("running")};
	db.second_id = id(SECOND_RUN);
	bed_settle(&c);
	assert_int_equal(c.got.n, 0);
	assert_true(uuid_eq(sup.asked.run, id(SECOND_RUN)));
	say_state(SUB_LIVE);
	db.second.ended = true;
	db.second.state = SLICE("completed");
	db.second.text = SLICE("both done");
	say_end();
	bed_settle(&c);
	expect("\"runId\":\"" RUN "\",\"status\":\"ok\",\"mergedInto\":\"" SECOND_RUN
	       "\"");
	expect("both done");
	/* And when all of it is over already. */
	say(GET("/v1/runs/" RUN "/wait"));
	expect("\"status\":\"ok\",\"mergedInto\":\"" SECOND_RUN "\"");
	assert_int_equal(sup.subscribes, 2);
}

static void test_waits_for_runs_that_never_start(void **state)
{
	(void)state;
	static const struct {
		const char *result, *says;
	} cases[] = {{"cancelled", "\"status\":\"cancelled\""},
		     {"timed_out", "\"status\":\"error\""},
		     {"dropped", "\"status\":\"error\""}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		never_started(cases[i].result);
		say(GET("/v1/runs/" RUN "/wait"));
		expect(cases[i].says);
		expect("\"message\":\"it never started\"");
		expect_not("startedAt");
	}
}

/* ---- the list */

static void test_list(void **state)
{
	(void)state;
	running();
	db.page.rows[0].id = id(SECOND_RUN);
	db.page.rows[0].run = db.run;
	db.page.rows[0].run.position = -1;
	completed();
	db.page.rows[1].id = id(RUN);
	db.page.rows[1].run = db.run;
	db.page.rows[1].run.text = SLICE_NONE;
	db.page.count = 2;
	say(GET("/v1/runs"));
	expect("HTTP/1.1 200 ");
	expect("{\"runs\":[{\"runId\":\"" SECOND_RUN "\",\"status\":\"running\"");
	expect_order("\"status\":\"running\"",
		     "\"runId\":\"" RUN "\",\"status\":\"completed\"");
	expect_not("\"next\"");
	expect_not("\"position\"");
	assert_int_equal(db.filter.page.limit, 50);
	assert_true(uuid_is_nil(db.filter.page.session) &&
		    uuid_is_nil(db.filter.page.agent));
	assert_null(db.filter.status.p);
	assert_int_equal(db.filter.page.before.b[0], 0xff);
	db.page.next = id(RUN);
	say(GET("/v1/runs?limit=2"));
	expect("],\"next\":\"" RUN "\"}");
	db.page = (struct run_page){0};
	say(GET("/v1/runs?before=" RUN));
	expect("{\"runs\":[]}");
	assert_true(uuid_eq(db.filter.page.before, id(RUN)));
}

static void test_list_filters(void **state)
{
	(void)state;
	say(GET("/v1/runs?session=" OTHER
		"&agent=default&status=retry%5fwait&limit=200"));
	expect("HTTP/1.1 200 ");
	assert_true(uuid_eq(db.filter.page.session, id(OTHER)));
	assert_true(uuid_eq(db.filter.page.agent, id(AGENT)));
	assert_int_equal(db.filter.page.limit, 200);
	say(GET("/v1/runs?agent=" OTHER)); /* an id may be of a deleted agent */
	assert_true(uuid_eq(db.filter.page.agent, id(OTHER)));
	say(GET("/v1/runs?agent=nobody"));
	expect("HTTP/1.1 404 ");
	expect("\"param\":\"agent\"");
	say(GET("/v1/runs?status=superseded"));
	expect("HTTP/1.1 200 ");
	say(GET("/v1/runs?status=cancelling"));
	expect("HTTP/1.1 200 ");
	db.scopes = SCOPE_WRITE;
	auth_invalidate(&edge, id(TOKEN));
	say(GET("/v1/runs"));
	expect("HTTP/1.1 403 ");
}

static void test_bad_lists(void **state)
{
	(void)state;
	static const struct {
		const char *query, *param;
	} cases[] = {{"limit=0", "limit"},
		     {"limit=201", "limit"},
		     {"limit=x", "limit"},
		     {"limit=", "limit"},
		     {"limit", "limit"},
		     {"limit=1&limit=2", "limit"},
		     {"session=web:42", "session"},
		     {"before=7", "before"},
		     {"status=busy", "status"},
		     {"status=", "status"},
		     {"status=%zz", "status"},
		     {"agent=", "agent"},
		     {"sesion=" OTHER, "sesion"},
		     {"limit=5&tenant=2", "tenant"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256];
		snprintf(text, sizeof text,
			 "GET /v1/runs?%s HTTP/1.1\r\nHost: x\r\n" BEARER "\r\n",
			 cases[i].query);
		say(text);
		expect("HTTP/1.1 400 ");
		snprintf(text, sizeof text, "\"param\":\"%s\"", cases[i].param);
		expect(text);
	}
	assert_int_equal(db.runs, 0);
	db.away = true;
	say(GET("/v1/runs"));
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_the_mode_in_force),
		T(test_the_lanes_bounds_travel),
		T(test_collect_is_due_later),
		T(test_bad_members_are_named),
		T(test_refusals_say_what_and_when),
		T(test_a_database_that_opens_no_session),
		T(test_a_repeated_order),
		T(test_a_subscriber_of_a_run_that_never_starts),
		T(test_a_subscriber_of_a_superseded_run),
		T(test_an_end_before_the_acknowledgement),
		T(test_replay_of_a_run_that_never_started),
		T(test_the_last_events_come_from_postgres),
		T(test_a_wait_follows_the_merge),
		T(test_waits_for_runs_that_never_start),
		T(test_list),
		T(test_list_filters),
		T(test_bad_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
