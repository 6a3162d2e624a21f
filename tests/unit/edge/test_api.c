/* SPDX-License-Identifier: Apache-2.0
 * The API from bytes to bytes: callers, orders, reads and streams of runs. */
#include "tests/unit/edge/api_bed.h"

/* ---- routes and callers */

static void test_every_route_has_its_row(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	for (int i = ROUTE_NONE + 1; i < ROUTE__COUNT; i++) {
		const struct route_row *row = route_row((enum route)i);
		AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
		struct route_match m;
		assert_non_null(row->handler);
		for (const char *p = row->pattern; *p; p++)
			strbuf_add_str(&path, *p == ':' ? "a%20b%2fc" : (char[2]){*p, 0});
		for (unsigned method = METHOD_GET; method <= METHOD_OPTIONS;
		     method *= 2) {
			unsigned meant = method == METHOD_HEAD ? METHOD_GET : method;
			route_find(method, strbuf_slice(&path), a, &m);
			if (row->methods & meant)
				assert_int_equal(m.route, i);
			else if (m.route == ROUTE_NONE)
				assert_true(m.allow[0]);
			else /* a row of its own for another method of the path */
				assert_true(!strcmp(route_row(m.route)->pattern,
						    row->pattern) &&
					    route_row(m.route)->methods & meant);
		}
		route_find(row->methods & -row->methods, strbuf_slice(&path), a, &m);
		if (strchr(row->pattern, ':'))
			assert_true(slice_is(m.params[0], "a b/c"));
		strbuf_add_str(&path, "/");
		route_find(METHOD_GET, strbuf_slice(&path), a, &m);
		assert_true(m.route == ROUTE_NONE && !m.allow[0]);
	}
	arena_free(a);
}

static void test_unknown_routes_and_methods(void **state)
{
	(void)state;
	say(GET("/v1/nothing"));
	expect("HTTP/1.1 404 ");
	expect("\"code\":\"not_found\"");
	say("DELETE /v1/runs/x/wait HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 405 ");
	expect("\r\nallow: GET, HEAD, OPTIONS\r\n");
	say("PUT /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("\r\nallow: GET, HEAD, OPTIONS\r\n");
}

static void test_health(void **state)
{
	(void)state;
	db.away = true;
	say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 200 ");
	say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 503 ");
	expect("\"database\":false");
	db.away = false;
	say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 200 ");
	edge.refusing = true;
	snprintf(edge.why, sizeof edge.why, "the node is paused");
	say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 503 ");
	expect("\r\nretry-after: 1\r\n");
	expect("{\"status\":\"not ready\",\"reason\":\"the node is paused\"");
	edge.refusing = false;
	say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("{\"status\":\"ready\"");
	edge.draining = true;
	say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("\"draining\":true");
	expect("\"reason\":\"this node is shutting down\"");
	assert_int_equal(db.tokens, 0);
}

static void test_callers(void **state)
{
	(void)state;
	static const struct {
		const char *field;
		int status;
	} cases[] = {
		{"", 401},
		{"Authorization: Basic x\r\n", 401},
		{"Authorization: Bearer\r\n", 401},
		{"Authorization: Bearer tb1.1." TOKEN ".short\r\n", 401},
		{"Authorization: Bearer tb1.1." OTHER "." SECRET "\r\n", 401},
		{"Authorization: Bearer tb1.2." TOKEN "." SECRET "\r\n", 401},
		{"Authorization: Bearer tb1.1." TOKEN ".X" SECRET "\r\n", 401},
		{BEARER, 404},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512], status[32];
		snprintf(text, sizeof text,
			 "GET /v1/runs/" RUN " HTTP/1.1\r\nHost: x\r\n%s\r\n",
			 cases[i].field);
		snprintf(status, sizeof status, "HTTP/1.1 %d ", cases[i].status);
		say(text);
		expect(status);
		if (cases[i].status == 401)
			expect("\r\nwww-authenticate: Bearer");
	}
}

static void test_scopes_and_suspension(void **state)
{
	(void)state;
	db.scopes = SCOPE_READ;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	expect("HTTP/1.1 403 ");
	auth_invalidate(&edge, id(TOKEN));
	db.scopes = SCOPE_ADMIN;
	db.suspended = true;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	expect("the tenant is suspended");
	auth_invalidate_tenant(&edge, 1);
	db.suspended = false;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"x\"}");
	assert_int_equal(sup.enqueues, 1);
	assert_int_equal(db.tokens, 3);
	say_enqueued("", RUN_QUEUED);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
}

/* ---- orders */

static void test_order_accepted(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER,
	     "{\"message\":\"hi\",\"priority\":5,\"sessionKey\":\"web:1\"}");
	assert_int_equal(sup.enqueues, 1);
	assert_int_equal(sup.last.tenant, 1);
	assert_int_equal(sup.last.priority, 5);
	assert_int_equal(sup.last.mode, MODE_STEER);
	assert_int_equal(sup.last.tenant_max_queued, 1000);
	assert_int_equal(sup.last.agent_max_running, 10);
	assert_int_equal(sup.last.sub, 0);
	assert_string_equal(sup.body,
			    "{\"blocks\":[{\"type\":\"text\",\"text\":\"hi\"}]}");
	assert_int_equal(c.got.n, 0);
	say_enqueued("", RUN_RUNNING);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
	expect("\"status\":\"running\"");
	expect("\"acceptedAt\":\"2023-11-14T22:13:20.000Z\"");
	expect("\r\nlocation: /v1/runs/");
}

static void test_warm_orders_ask_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		post(i % 2 ? "/v1/agents/default/runs" : "/v1/agents/" AGENT "/runs",
		     BEARER, "{\"message\":\"hi\"}");
		say_enqueued("", RUN_QUEUED);
		bed_settle(&c);
		expect("HTTP/1.1 202 ");
	}
	assert_int_equal(db.tokens, 1);
	assert_int_equal(db.agents, 2);
	assert_int_equal(db.sessions, 1);
	assert_int_equal(sup.enqueues, 20);
}

static void test_orders_refused(void **state)
{
	(void)state;
	static const struct {
		const char *error;
		int status;
	} cases[] = {{"lane_full", 429},
		     {"tenant_full", 429},
		     {"node_full", 429},
		     {"unavailable", 503},
		     {"draining", 503},
		     {"database", 503},
		     {"idempotency_mismatch", 422},
		     {"forbidden", 403},
		     {"internal", 500},
		     {"something_new", 500}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char status[32];
		post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\"}");
		say_enqueued(cases[i].error, 0);
		bed_settle(&c);
		snprintf(status, sizeof status, "HTTP/1.1 %d ", cases[i].status);
		expect(status);
		expect("\"requestId\":\"");
		if (cases[i].status == 429 || cases[i].status == 503)
			expect("\r\nretry-after: 7\r\n");
	}
	post("/v1/agents/nobody/runs", BEARER, "{\"message\":\"hi\"}");
	expect("HTTP/1.1 404 ");
	expect("there is no such agent");
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"priority\":500}");
	expect("HTTP/1.1 400 ");
	expect("\"param\":\"priority\"");
	post("/v1/agents/default/runs", BEARER "Idempotency-Key: a b\r\n",
	     "{\"message\":\"hi\"}");
	expect("\"param\":\"Idempotency-Key\"");
	edge.draining = true;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\"}");
	expect("\"code\":\"draining\"");
}

/* The cached session was deleted: one more try with a new one, then the truth. */
static void test_a_closed_session_is_opened_anew(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\"}");
	say_enqueued("not_found", 0);
	bed_settle(&c);
	assert_int_equal(db.sessions, 2);
	assert_int_equal(sup.enqueues, 2);
	say_enqueued("", RUN_QUEUED);
	bed_settle(&c);
	expect("HTTP/1.1 202 ");
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"stream\":true}");
	say_enqueued("not_found", 0);
	bed_settle(&c);
	say_enqueued("not_found", 0);
	bed_settle(&c);
	expect("HTTP/1.1 404 ");
}

static void test_idempotency_reaches_the_supervisor(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER "Idempotency-Key: k1\r\n",
	     "{\"message\":\"hi\"}");
	assert_string_equal(sup.key, "k1");
	assert_int_equal(sup.last.body_hash.n, 32);
	struct wire_enqueued m = {.run = id(RUN), .repeated = true, .state = RUN_QUEUED};
	sup.waiting->on_enqueued(sup.waiting, &m);
	bed_settle(&c);
	expect("idempotent-replayed: true");
	expect("\"runId\":\"" RUN "\"");
}

static void test_a_client_that_left_is_forgotten(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"stream\":true}");
	uint64_t req = sup.last.req;
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	assert_null(handle_get(edge.calls, req));
	assert_null(handle_get(edge.subs, sup.sub));
	assert_int_equal(sup.unsubscribes, 1);
	c = client_open();
}

static void test_database_away(void **state)
{
	(void)state;
	db.away = true;
	say(GET("/v1/runs/" RUN));
	expect("HTTP/1.1 503 ");
	expect("\"code\":\"database\"");
	expect("\r\nretry-after: 1\r\n");
	db.away = false;
	say(GET("/v1/runs/" RUN));
	expect("HTTP/1.1 404 ");
}

/* ---- reading runs */

static void test_get(void **state)
{
	(void)state;
	completed();
	say(GET("/v1/runs/" RUN));
	expect("\"status\":\"completed\"");
	expect("\"result\":{\"text\":\"Hello\",\"messageSeq\":2}");
	running();
	say(GET("/v1/runs/" RUN));
	expect("\"status\":\"running\"");
	expect_not("endedAt");
	db.run.cancelling = true;
	say(GET("/v1/runs/" RUN));
	expect("\"status\":\"cancelling\"");
	say(GET("/v1/runs/nonsense"));
	expect("HTTP/1.1 404 ");
}

static void test_wait(void **state)
{
	(void)state;
	running();
	say(GET("/v1/runs/" RUN "/wait"));
	assert_true(sup.asked.end_only);
	assert_int_equal(c.got.n, 0);
	say_state(SUB_LIVE);
	bed_settle(&c);
	assert_int_equal(c.got.n, 0);
	completed();
	say_end();
	bed_settle(&c);
	expect("\"status\":\"ok\"");
	expect("\"text\":\"Hello\"");
	say(GET("/v1/runs/" RUN "/wait"));
	expect("\"status\":\"ok\"");
	assert_int_equal(sup.subscribes, 1);
	say(GET("/v1/runs/" RUN "/wait?timeoutMs=x"));
	expect("\"param\":\"timeoutMs\"");
	db.run.found = false;
	say(GET("/v1/runs/" RUN "/wait"));
	expect("HTTP/1.1 404 ");
}

static bool has_answer(struct client *client)
{
	return client->got.n > 0;
}

static void test_wait_times_out(void **state)
{
	(void)state;
	running();
	say(GET("/v1/runs/" RUN "/wait?timeoutMs=0"));
	expect("\"status\":\"timeout\"");
	say(GET("/v1/runs/" RUN "/wait?timeoutMs=30"));
	bed_until(&c, has_answer);
	expect("\"status\":\"timeout\"");
	assert_int_equal(sup.unsubscribes, 1);
}

/* The supervisor does not know a run that Postgres still holds as live. */
static void test_wait_for_an_unknown_run(void **state)
{
	(void)state;
	running();
	say(GET("/v1/runs/" RUN "/wait"));
	for (int i = 0; i < 3; i++) {
		say_state(SUB_GONE);
		int before = sup.subscribes, reads = db.runs;
		for (int n = 0; sup.subscribes == before && n < 1000; n++)
			loop_turn(bed_loop, 20);
		assert_true(db.runs - reads <= 3);
	}
	completed();
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("\"status\":\"ok\"");
}

/* ---- streams */

#define EVENTS GET("/v1/runs/" RUN "/events")

static void test_stream_of_an_order(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"stream\":true}");
	assert_true(sup.last.sub != 0);
	say_enqueued("", RUN_RUNNING);
	bed_settle(&c);
	expect("HTTP/1.1 200 ");
	expect("content-type: text/event-stream\r\n");
	expect("x-run-id: ");
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"start\"}");
	say_delta(2, 0, "{\"content\":\"Hel\",\"metadata\":{\"delta\":true}}");
	say_delta(2, 3, "{\"content\":\"lo\",\"metadata\":{\"delta\":true}}");
	say_event(EVENT_ASSISTANT, 2, "{\"content\":\"\"}");
	say_event(EVENT_LIFECYCLE, 3, "{\"phase\":\"end\"}");
	say_end();
	bed_settle(&c);
	expect_order("id: 1\nevent: lifecycle\n", "id: 2.3\n");
	expect_order("id: 2.3\n", "\"content\":\"Hel\"");
	expect_order("id: 2.5\n", "\"content\":\"lo\"");
	expect_order("id: 2\n", "id: 3\n");
	expect("\r\n0\r\n\r\n");
	assert_int_equal(db.pages, 0);
	assert_int_equal(sup.unsubscribes, 0);
}

static void test_events_before_the_acknowledgement(void **state)
{
	(void)state;
	post("/v1/agents/default/runs", BEARER, "{\"message\":\"hi\",\"stream\":true}");
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"start\"}");
	say_enqueued("", RUN_RUNNING);
	bed_settle(&c);
	expect_order("HTTP/1.1 200 ", "id: 1\n");
	say_event(EVENT_LIFECYCLE, 2, "{\"phase\":\"end\"}");
	say_end();
	bed_settle(&c);
	expect_order("id: 2\n", "\r\n0\r\n\r\n");
}

static void test_a_repeated_order_follows_the_first_run(void **state)
{
	(void)state;
	completed();
	db.event_count = 1;
	db.events[0] = (struct event_row){1, "lifecycle", 1,
					  SLICE("{\"phase\":\"start\"}"), SLICE_NONE};
	post("/v1/agents/default/runs", BEARER "Idempotency-Key: k\r\n",
	     "{\"message\":\"hi\",\"stream\":true}");
	struct wire_enqueued m = {.run = id(RUN), .repeated = true, .state = RUN_RUNNING};
	sup.waiting->on_enqueued(sup.waiting, &m);
	bed_settle(&c);
	assert_true(uuid_eq(sup.asked.run, id(RUN)));
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("idempotent-replayed: true");
	expect_order("id: 1\n", "\r\n0\r\n\r\n");
}

static void durable_rows(void)
{
	db.event_count = 3;
	db.events[0] = (struct event_row){1, "lifecycle", 1,
					  SLICE("{\"phase\": \"start\"}"), SLICE_NONE};
	db.events[1] = (struct event_row){
		2, "assistant", 2, SLICE("{\"content\": \"H\xc3\xa4llo\"}"), SLICE_NONE};
	db.events[2] = (struct event_row){3, "lifecycle", 3,
					  SLICE("{\"phase\": \"end\"}"), SLICE_NONE};
}

static void events_from(const char *last)
{
	char text[512];
	snprintf(text, sizeof text,
		 "GET /v1/runs/" RUN "/events HTTP/1.1\r\nHost: x\r\n" BEARER
		 "Last-Event-ID: %s\r\n\r\n",
		 last);
	say(text);
}

static void test_replay_from_postgres(void **state)
{
	(void)state;
	completed();
	durable_rows();
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect_order("id: 1\n", "id: 2\n");
	expect_order("H\xc3\xa4llo", "id: 3\n");
	expect("\r\n0\r\n\r\n");
	events_from("1");
	assert_int_equal(sup.asked.after_seq, 1);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect_not("id: 1\n");
	expect_order("id: 2\n", "id: 3\n");
	events_from("2.3");
	assert_int_equal(sup.asked.part_seq, 2);
	assert_int_equal(sup.asked.part_offset, 3);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("\"content\": \"llo\"");
	events_from("3");
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("HTTP/1.1 204 "); /* it comes back no more */
	expect_not("\nid: ");
}

static void test_bad_places_and_runs(void **state)
{
	(void)state;
	events_from("x");
	expect("HTTP/1.1 400 ");
	expect("\"param\":\"Last-Event-ID\"");
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("HTTP/1.1 404 ");
}

static void test_long_replays_come_in_pages(void **state)
{
	(void)state;
	completed();
	for (unsigned i = 0; i < 100; i++)
		db.events[i] =
			(struct event_row){i + 1, "tool", 1, SLICE("{}"), SLICE_NONE};
	db.event_count = 100;
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	for (unsigned i = 1; i <= 100; i++) {
		char text[32];
		snprintf(text, sizeof text, "\r\nid: %u\n", i);
		expect(text);
	}
	expect("\r\n0\r\n\r\n");
	assert_int_equal(db.pages, 4);
}

static void test_a_cut_message_is_made_whole(void **state)
{
	(void)state;
	completed();
	durable_rows();
	db.events[1].body =
		SLICE("{\"content\": \"H\", \"metadata\": {\"truncated\": true}}");
	db.events[1].whole = SLICE("Hello \"world\"");
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect("\"content\":\"Hello \\\"world\\\"\"}");
	expect_not("truncated");
}

static void test_events_past_their_retention(void **state)
{
	(void)state;
	completed();
	say(EVENTS);
	say_state(SUB_GONE);
	bed_settle(&c);
	expect_order("\"phase\":\"start\"", "\"content\":\"Hello\"");
	expect_order("id: 2\n", "\"phase\":\"end\"");
	expect("\"result\":\"completed\"");
}

/* The ring lost a part: Postgres fills in, then live again, nothing twice. */
static void test_gap(void **state)
{
	(void)state;
	running();
	durable_rows();
	db.event_count = 1;
	say(EVENTS);
	say_state(SUB_GAP);
	bed_settle(&c);
	expect("id: 1\n");
	assert_int_equal(sup.subscribes, 2);
	assert_int_equal(sup.asked.after_seq, 1);
	say_state(SUB_LIVE);
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"again\"}");
	say_delta(2, 0, "{\"content\":\"Hi\"}");
	say_event(EVENT_ASSISTANT, 2, "{\"content\":\"\"}");
	bed_settle(&c);
	expect_not("again");
	expect_order("id: 2.2\n", "id: 2\n");
}

/* Missed bytes of a message are fetched when it is durable; what was seen is cut. */
static void test_hole(void **state)
{
	(void)state;
	running();
	durable_rows();
	db.event_count = 1;
	say(EVENTS);
	say_state(SUB_LIVE);
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"start\"}");
	say_delta(2, 0, "{\"content\":\"H\"}");
	say_delta(2, 3, "{\"content\":\"llo\"}");
	bed_settle(&c);
	expect("id: 2.1\n");
	expect_not("llo");
	db.event_count = 2;
	say_event(EVENT_ASSISTANT, 2, "{\"content\":\"\"}");
	bed_settle(&c);
	assert_int_equal(sup.unsubscribes, 1);
	expect("\"content\": \"\xc3\xa4llo\"");
	assert_int_equal(sup.asked.after_seq, 2);
	say_state(SUB_LIVE);
	say_event(EVENT_LIFECYCLE, 3, "{\"phase\":\"end\"}");
	say_end();
	bed_settle(&c);
	expect_order("id: 3\n", "\r\n0\r\n\r\n");
}

static void test_missed_event(void **state)
{
	(void)state;
	running();
	durable_rows();
	say(EVENTS);
	say_state(SUB_LIVE);
	say_event(EVENT_LIFECYCLE, 3, "{\"phase\":\"end\"}");
	completed();
	bed_settle(&c);
	expect_order("id: 1\n", "id: 2\n");
	expect_order("id: 3\n", "\r\n0\r\n\r\n");
}

static void test_repeated_bytes_are_cut(void **state)
{
	(void)state;
	running();
	events_from("2.4");
	say_state(SUB_LIVE);
	say_delta(2, 0, "{\"content\":\"abc\"}");
	say_delta(2, 3, "{\"content\":\"def\"}");
	say_delta(2, 6, "{\"content\":\"ghi\"}");
	bed_settle(&c);
	expect_not("abc");
	expect_order("id: 2.6\n", "\"content\":\"ef\"");
	expect_order("id: 2.9\n", "\"content\":\"ghi\"");
}

/* A retried model call: what was streamed is void, offsets begin anew. */
static void test_reset(void **state)
{
	(void)state;
	running();
	say(EVENTS);
	say_state(SUB_LIVE);
	say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"start\"}");
	say_delta(2, 0, "{\"content\":\"bad\"}");
	say_delta(2, 0, "{\"content\":\"\",\"metadata\":{\"reset\":true}}");
	say_delta(2, 0, "{\"content\":\"good\"}");
	say_event(EVENT_ASSISTANT, 2, "{\"content\":\"\"}");
	bed_settle(&c);
	expect_order("\"content\":\"bad\"", "\"reset\":true");
	expect_order("\"reset\":true", "id: 2.4\n");
	expect_order("\"content\":\"good\"", "id: 2\n");
}

static void test_two_subscribers_see_the_same(void **state)
{
	(void)state;
	struct client d = client_open();
	running();
	say(EVENTS);
	uint64_t first = sup.sub;
	client_say(&d, EVENTS);
	uint64_t second = sup.sub;
	for (int i = 0; i < 2; i++) {
		sup.sub = i ? second : first;
		say_state(SUB_LIVE);
	}
	for (uint32_t n = 0; n < 3; n++)
		for (int i = 0; i < 2; i++) {
			char body[64];
			snprintf(body, sizeof body, "{\"content\":\"piece %u\"}", n);
			sup.sub = i ? second : first;
			say_delta(1, n * 7, body);
		}
	bed_settle(&c);
	bed_settle(&d);
	char *a = strstr(c.got.p, "\r\n\r\n"), *b = strstr(d.got.p, "\r\n\r\n");
	assert_string_equal(a, b);
	assert_non_null(strstr(a, "piece 2"));
	client_close(&d);
}

static void test_cut_streams_may_come_back(void **state)
{
	(void)state;
	struct client d = client_open();
	running();
	say(EVENTS);
	say_state(SUB_LIVE);
	client_say(&d, GET("/v1/runs/" RUN "/wait"));
	struct uuid other = id(OTHER), token = id(TOKEN);
	call_cut(&edge, &other);
	bed_settle(&c);
	expect_not("retry:");
	call_cut(&edge, &token);
	bed_settle(&c);
	bed_settle(&d);
	expect_order("retry: 1000\n\n", "\r\n0\r\n\r\n");
	assert_true(has_text(&d, "\"status\":\"timeout\""));
	client_close(&d);
}

static void test_options_and_head(void **state)
{
	(void)state;
	say("OPTIONS /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 204 No Content\r\n");
	expect("allow: GET, HEAD, OPTIONS\r\n");
	expect_not("content-length");
	say("OPTIONS /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 404 ");
	running();
	say("HEAD /v1/runs/" RUN " HTTP/1.1\r\nHost: x\r\n" BEARER "\r\n");
	expect("HTTP/1.1 200 OK\r\n");
	expect_not("\"runId\"");
	say("HEAD /v1/runs/" RUN "/events HTTP/1.1\r\nHost: x\r\n" BEARER "\r\n");
	say_state(SUB_LIVE);
	bed_settle(&c);
	expect("content-type: text/event-stream");
	assert_int_equal(sup.unsubscribes, 1);
	say("HEAD /v1/agents/default/runs HTTP/1.1\r\nHost: x\r\n\r\n");
	expect("HTTP/1.1 405 ");
	expect("allow: POST, OPTIONS\r\n");
}

static void test_problem_details(void **state)
{
	(void)state;
	say("GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\n"
	    "Accept: application/problem+json\r\n\r\n");
	expect("content-type: application/problem+json\r\n");
	expect("{\"type\":\"urn:terabits:error:not_found\",\"title\":\"Not Found\","
	       "\"status\":404,\"detail\":\"there is nothing at this path\","
	       "\"instance\":\"urn:terabits:request:r-1\",\"error\":{");
	say("GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\n\r\n");
	expect("content-type: application/json\r\n");
	expect("{\"error\":{\"code\":\"not_found\",\"type\":\"not_found\","
	       "\"message\":\"there is nothing at this path\",\"param\":null,"
	       "\"status\":404,\"requestId\":\"r-1\"}}");
}

/* However many follow a run. */
static void test_an_event_is_written_out_once(void **state)
{
	(void)state;
	struct client others[3];
	uint64_t subs[4];
	running();
	say(GET("/v1/runs/" RUN "/events"));
	subs[0] = sup.sub;
	say_state(SUB_LIVE);
	for (int i = 0; i < 3; i++) {
		others[i] = client_open();
		client_say(&others[i], GET("/v1/runs/" RUN "/events"));
		subs[i + 1] = sup.sub;
		say_state(SUB_LIVE);
	}
	for (int i = 0; i < 4; i++) {
		sup.sub = subs[i];
		say_event(EVENT_LIFECYCLE, 1, "{\"phase\":\"start\"}");
	}
	assert_int_equal(edge.composed, 1);
	for (int i = 0; i < 4; i++) {
		sup.sub = subs[i];
		say_delta(2, 0, "{\"content\":\"abc\"}");
	}
	assert_int_equal(edge.composed, 2);
	for (int i = 0; i < 3; i++) {
		bed_settle(&others[i]);
		assert_true(has_text(&others[i], "\"phase\":\"start\""));
		assert_true(has_text(&others[i], "\"content\":\"abc\""));
		client_close(&others[i]);
	}
}

static void test_streams_of_a_tenant_are_capped(void **state)
{
	(void)state;
	edge.waiting_most = 1;
	running();
	say(GET("/v1/runs/" RUN "/events"));
	say_state(SUB_LIVE);
	struct client second = client_open();
	client_say(&second, GET("/v1/runs/" RUN "/events"));
	assert_true(has_text(&second, "HTTP/1.1 429 "));
	assert_true(has_text(&second, "retry-after: 5\r\n"));
	client_close(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_options_and_head),
		T(test_problem_details),
		T(test_streams_of_a_tenant_are_capped),
		T(test_an_event_is_written_out_once),
		T(test_every_route_has_its_row),
		T(test_unknown_routes_and_methods),
		T(test_health),
		T(test_callers),
		T(test_scopes_and_suspension),
		T(test_order_accepted),
		T(test_warm_orders_ask_nothing),
		T(test_orders_refused),
		T(test_a_closed_session_is_opened_anew),
		T(test_idempotency_reaches_the_supervisor),
		T(test_a_client_that_left_is_forgotten),
		T(test_database_away),
		T(test_get),
		T(test_wait),
		T(test_wait_times_out),
		T(test_wait_for_an_unknown_run),
		T(test_stream_of_an_order),
		T(test_events_before_the_acknowledgement),
		T(test_a_repeated_order_follows_the_first_run),
		T(test_replay_from_postgres),
		T(test_bad_places_and_runs),
		T(test_long_replays_come_in_pages),
		T(test_a_cut_message_is_made_whole),
		T(test_events_past_their_retention),
		T(test_gap),
		T(test_hole),
		T(test_missed_event),
		T(test_repeated_bytes_are_cut),
		T(test_reset),
		T(test_two_subscribers_see_the_same),
		T(test_cut_streams_may_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
