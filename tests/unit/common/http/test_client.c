/* SPDX-License-Identifier: Apache-2.0
 * HTTP calls against a server on the same loop: what is delivered, how calls end, and
 * that each op completes exactly once. */
#include "tests/unit/common/http/server.h"

#include "common/http/client.h"

#define BIG_BYTES (8u << 20)
#define SENT_BYTES 2000000 /* curl asks before it sends so much, unless told not to */
#define DRIPS 12

struct got {
	struct op op;
	struct http_call *call;
	int done, heads, status, body_before_head;
	enum err result;
	char error[256];
	struct strbuf headers, body;
	size_t stop_after; /* on_body returns false from that many bytes on; 0: never */
	int pause_at_first;
	int pieces;
};

static struct loop *loop;
static struct http_client *client;
static struct server server;
static char *big;
static struct server_conn *dripping;
static struct loop_timer *drip_timer;
static int drips;

/* Static: a test that fails leaves its calls open until the client is freed. */
static struct got gots[640];
static size_t gots_used;

static struct got *got_new(void)
{
	assert_true(gots_used < ARRAY_LEN(gots));
	return &gots[gots_used++];
}

/* ---- the server's side */

static void on_drip(void *arg)
{
	(void)arg;
	server_say(dripping, "1\r\nx\r\n");
	if (++drips == DRIPS)
		server_say(dripping, "0\r\n\r\n");
	else
		loop_timer_start(drip_timer, 100000);
	server_flush(dripping);
}

static void on_request(struct server_conn *c, struct slice path, struct slice head,
		       struct slice body)
{
	if (slice_is(path, "/hello"))
		server_answer(c, 200, "X-Some-Thing:   Some Value  \r\nEmpty:\r\n",
			      SLICE("hello"));
	else if (slice_is(path, "/empty"))
		server_answer(c, 204, "", SLICE(""));
	else if (slice_is(path, "/teapot"))
		server_answer(c, 418, "", SLICE("short"));
	else if (slice_is(path, "/moved"))
		server_answer(c, 302, "Location: /hello\r\n", SLICE(""));
	else if (slice_is(path, "/echo"))
		server_answer(c, 200, "", body);
	else if (slice_is(path, "/head"))
		server_answer(c, 200, "", head);
	else if (slice_is(path, "/big"))
		server_answer(c, 200, "", slice_of(big, BIG_BYTES));
	else if (slice_is(path, "/begin"))
		server_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
	else if (slice_is(path, "/cut")) {
		server_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
		c->closes = true;
	} else if (slice_is(path, "/nonsense")) {
		server_say(c, "this is not HTTP at all\r\n\r\n");
		c->closes = true;
	} else if (slice_is(path, "/drip")) {
		server_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		dripping = c;
		loop_timer_start(drip_timer, 0);
	} else if (slice_has_prefix(path, SLICE("/number/"))) {
		server_answer(c, 200, "", path);
	}
	/* "/silent" hears nothing */
}

/* ---- the caller's side */

static void on_head(void *arg, int status)
{
	struct got *g = arg;
	g->heads++;
	g->status = status;
	g->body_before_head |= g->body.n > 0;
}

static void on_header(void *arg, struct slice name, struct slice value)
{
	struct got *g = arg;
	strbuf_printf(&g->headers, "%.*s=%.*s;", SLICE_ARG(name), SLICE_ARG(value));
}

static bool on_body(void *arg, struct slice piece)
{
	struct got *g = arg;
	g->pieces++;
	g->body_before_head |= !g->heads;
	strbuf_add_slice(&g->body, piece);
	if (g->pause_at_first && g->pieces == 1)
		http_pause(g->call, 1);
	return !g->stop_after || g->body.n < g->stop_after;
}

static void on_done(struct op *op, enum err result, void *arg)
{
	struct got *g = arg;
	(void)op;
	g->done++;
	g->result = result;
	snprintf(g->error, sizeof g->error, "%s", http_error(g->call));
}

static const struct http_events events = {
	.on_head = on_head, .on_header = on_header, .on_body = on_body};

static void begin(struct got *g, const char *path, struct http_request r)
{
	char url[128];
	snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server.port, path);
	r.url = url;
	r.method = r.method ? r.method : "GET";
	op_init(&g->op, loop, on_done, g);
	g->call = http_start(client, &r, &events, g, &g->op);
	assert_int_equal(g->done, 0); /* never from inside the start */
}

static void finish(struct got *g, enum err want)
{
	loop_until(loop, &g->done);
	assert_int_equal(g->result, want);
	assert_int_equal(g->done, 1);
	assert_true(g->heads <= 1);
	assert_false(g->body_before_head);
	strbuf_fini(&g->headers);
	strbuf_fini(&g->body);
}

static bool body_is(const struct got *g, const char *want)
{
	return slice_is(strbuf_slice(&g->body), want);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	client = http_client_new(loop, 16);
	server_open(&server, loop, on_request);
	drip_timer = loop_timer_new(loop, on_drip, NULL);
	drips = 0;
	memset(gots, 0, sizeof gots);
	gots_used = 0;
	big = xmalloc(BIG_BYTES);
	for (size_t i = 0; i < BIG_BYTES; i++)
		big[i] = (char)('a' + i % 23);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_client_free(client);
	client = NULL;
	loop_timer_free(drip_timer);
	server_close(&server);
	loop_turn(loop, 0);
	loop_free(loop);
	free(big);
	return 0;
}

/* ---- what is delivered */

static void test_a_whole_answer(void **state)
{
	(void)state;
	struct got *g = got_new();
	begin(g, "/hello", (struct http_request){0});
	loop_until(loop, &g->done);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->heads, 1);
	assert_true(body_is(g, "hello"));
	assert_string_equal(g->headers.p,
			    "x-some-thing=Some Value;empty=;content-length=5;");
	finish(g, ERR_OK);
}

static void test_a_status_is_no_error(void **state)
{
	(void)state;
	struct got *g = got_new(), *moved = got_new();
	begin(g, "/teapot", (struct http_request){0});
	begin(moved, "/moved", (struct http_request){0});
	loop_until(loop, &g->done);
	loop_until(loop, &moved->done);
	assert_int_equal(g->status, 418);
	assert_true(body_is(g, "short"));
	assert_int_equal(moved->status, 302); /* and nobody went there */
	assert_int_equal(server.requests, 2);
	finish(g, ERR_OK);
	finish(moved, ERR_OK);
}

static void test_an_empty_body_has_a_head(void **state)
{
	(void)state;
	struct got *g = got_new();
	begin(g, "/empty", (struct http_request){0});
	loop_until(loop, &g->done);
	assert_int_equal(g->heads, 1);
	assert_int_equal(g->status, 204);
	assert_int_equal(g->pieces, 0);
	finish(g, ERR_OK);
}

static void test_what_is_sent(void **state)
{
	(void)state;
	static const char *const headers[] = {"Content-Type: application/json",
					      "Authorization: Bearer x", NULL};
	struct got *echo = got_new(), *head = got_new(), *put = got_new();
	struct http_request r = {
		.method = "POST", .headers = headers, .body = slice_of(big, SENT_BYTES)};
	begin(echo, "/echo", r);
	begin(head, "/head", r);
	r.method = "PUT";
	r.body = SLICE("");
	begin(put, "/head", r);
	loop_until(loop, &echo->done);
	loop_until(loop, &head->done);
	loop_until(loop, &put->done);
	assert_true(slice_eq(strbuf_slice(&echo->body), slice_of(big, SENT_BYTES)));
	assert_non_null(strstr(head->body.p, "POST /head HTTP/1.1\r\n"));
	assert_non_null(strstr(head->body.p, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(head->body.p, "Authorization: Bearer x\r\n"));
	assert_non_null(strstr(head->body.p, "Content-Length: 2000000\r\n"));
	assert_null(strstr(head->body.p, "Expect"));
	assert_null(strstr(head->body.p, "Accept-Encoding"));
	assert_non_null(strstr(put->body.p, "PUT /head HTTP/1.1\r\n"));
	assert_non_null(strstr(put->body.p, "Content-Length: 0\r\n"));
	finish(echo, ERR_OK);
	finish(head, ERR_OK);
	finish(put, ERR_OK);
}

/* A handle that was used for a POST makes a plain GET, and the other way round. */
static void test_handles_forget(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		struct got *g = got_new();
		struct http_request r = {0};
		static const char *const headers[] = {"X-Once: 1", NULL};
		if (i % 2)
			r = (struct http_request){.method = i == 5 ? "DELETE" : "POST",
						  .headers = headers,
						  .body = SLICE("{}")};
		begin(g, "/head", r);
		loop_until(loop, &g->done);
		assert_int_equal(strstr(g->body.p, "X-Once") != NULL, i % 2);
		assert_int_equal(strstr(g->body.p, "Content-Length: 2") != NULL, i % 2);
		assert_int_equal(strncmp(g->body.p, "GET ", 4) == 0, i % 2 == 0);
		finish(g, ERR_OK);
	}
}

static void test_connections_are_reused(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		struct got *g = got_new();
		begin(g, "/hello", (struct http_request){0});
		finish(g, ERR_OK);
	}
	assert_int_equal(server.requests, 5);
	assert_int_equal(server.accepted, 1);
}

static void test_many_at_once(void **state)
{
	(void)state;
	struct got *g[300];
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 300; i++) {
			char path[32];
			snprintf(path, sizeof path, "/number/%d", i);
			g[i] = got_new();
			begin(g[i], path, (struct http_request){0});
		}
		for (int i = 0; i < 300; i++) {
			char path[32];
			snprintf(path, sizeof path, "/number/%d", i);
			loop_until(loop, &g[i]->done);
			assert_true(body_is(g[i], path));
			finish(g[i], ERR_OK);
		}
	}
	assert_int_equal(server.requests, 600);
}

/* ---- how calls fail */

static void test_refused(void **state)
{
	(void)state;
	struct got *g = got_new();
	int port, fd = server_bind(&port), saved = server.port;
	server.port = port; /* bound, but nobody listens */
	begin(g, "/", (struct http_request){0});
	server.port = saved;
	loop_until(loop, &g->done);
	assert_non_null(strstr(g->error, "onnect"));
	assert_int_equal(g->heads, 0);
	finish(g, ERR_NETWORK);
	close(fd);
}

static void test_no_such_protocol(void **state)
{
	(void)state;
	struct got *g = got_new();
	struct http_request r = {.method = "GET", .url = "file:///etc/passwd"};
	op_init(&g->op, loop, on_done, g);
	g->call = http_start(client, &r, &events, g, &g->op);
	loop_until(loop, &g->done);
	assert_int_equal(g->pieces, 0);
	assert_true(g->error[0]);
	finish(g, ERR_NETWORK);
}

/* What a name was resolved to is judged, not the name; and a connection that somebody who
 * is trusted has open is not used for who is not. */
static void test_guarded(void **state)
{
	(void)state;
	static const struct {
		const char *url, *says;
	} cases[] = {{"https://127.0.0.1:%d/hello", "public network"},
		     {"https://localhost:%d/hello", "public network"},
		     {"https://[::1]:%d/hello", "public network"},
		     {"https://[::ffff:127.0.0.1]:%d/hello", "public network"},
		     {"http://127.0.0.1:%d/hello", "rotocol"},
		     {"http://localhost:%d/hello", "rotocol"}};
	http_client_guard(client);
	struct got *first = got_new();
	begin(first, "/hello", (struct http_request){0});
	finish(first, ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct got *g = got_new();
		char url[64];
		struct http_request r = {.method = "GET", .url = url, .guarded = true};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(url, sizeof url, cases[i].url, server.port);
#pragma GCC diagnostic pop
		op_init(&g->op, loop, on_done, g);
		g->call = http_start(client, &r, &events, g, &g->op);
		loop_until(loop, &g->done);
		if (!strstr(g->error, cases[i].says))
			fail_msg("%s: %s", url, g->error);
		finish(g, ERR_NETWORK);
	}
	assert_int_equal(server.accepted, 1);
	assert_int_equal(server.requests, 1);
	struct got *last = got_new(); /* others are not bound by it */
	begin(last, "/hello", (struct http_request){0});
	finish(last, ERR_OK);
	assert_int_equal(server.accepted, 1);
}

static void test_cut_and_nonsense(void **state)
{
	(void)state;
	struct got *cut = got_new(), *nonsense = got_new();
	begin(cut, "/cut", (struct http_request){0});
	begin(nonsense, "/nonsense", (struct http_request){0});
	loop_until(loop, &cut->done);
	loop_until(loop, &nonsense->done);
	assert_true(body_is(cut, "abc"));
	assert_true(cut->error[0] && nonsense->error[0]);
	assert_int_equal(nonsense->pieces, 0);
	finish(cut, ERR_NETWORK);
	finish(nonsense, ERR_NETWORK);
}

static void test_cancel_before_anything(void **state)
{
	(void)state;
	struct got *g = got_new();
	begin(g, "/hello", (struct http_request){0});
	op_cancel(&g->op, ERR_CANCELLED);
	op_cancel(&g->op, ERR_BUDGET); /* too late to say why */
	finish(g, ERR_CANCELLED);
	assert_int_equal(g->pieces, 0);
	op_cancel(&g->op, ERR_CANCELLED); /* after the end: nothing */
	loop_for(loop, 10000);
	assert_int_equal(g->done, 1);
}

static void test_cancel_during_the_body(void **state)
{
	(void)state;
	struct got *g = got_new();
	begin(g, "/begin", (struct http_request){0});
	loop_until(loop, &g->pieces);
	op_cancel(&g->op, ERR_BUDGET);
	finish(g, ERR_BUDGET);
	loop_until(loop, &server.ended); /* the connection is not kept */
}

static void test_the_reader_says_stop(void **state)
{
	(void)state;
	struct got *g = got_new();
	g->stop_after = 1;
	begin(g, "/big", (struct http_request){0});
	loop_until(loop, &g->done);
	assert_int_equal(g->pieces, 1);
	finish(g, ERR_CANCELLED);
}

static void test_silence(void **state)
{
	(void)state;
	struct got *first = got_new(), *idle = got_new(), *total = got_new();
	struct http_request r = {.first_byte_us = 60000};
	begin(first, "/silent", r);
	r = (struct http_request){.idle_us = 60000};
	begin(idle, "/begin", r);
	r = (struct http_request){.total_us = 60000};
	begin(total, "/silent", r);
	loop_until(loop, &first->done);
	loop_until(loop, &idle->done);
	loop_until(loop, &total->done);
	assert_non_null(strstr(first->error, "no answer"));
	assert_non_null(strstr(idle->error, "no data"));
	assert_true(body_is(idle, "abc"));
	finish(first, ERR_MODEL_TIMEOUT);
	finish(idle, ERR_MODEL_TIMEOUT);
	finish(total, ERR_TIMEOUT);
}

/* Bytes now and then are no silence, however long all of them take. */
static void test_slow_is_not_idle(void **state)
{
	(void)state;
	struct got *g = got_new();
	begin(g, "/drip", (struct http_request){.idle_us = 900000});
	loop_until(loop, &g->done);
	assert_int_equal(g->body.n, DRIPS);
	finish(g, ERR_OK);
}

/* ---- back-pressure */

static void check_pause(struct got *g)
{
	begin(g, "/big", (struct http_request){.idle_us = 700000});
	loop_until(loop, &g->pieces);
	http_pause(g->call, 1);
	http_pause(g->call, 1);
	loop_turn(loop, 0);
	size_t had = g->body.n;
	loop_for(loop, 900000); /* longer than the idle limit */
	assert_int_equal(g->done, 0);
	assert_int_equal(g->body.n, had);
	assert_true(had < BIG_BYTES);
	http_pause(g->call, 0);
	loop_until(loop, &g->done);
	assert_true(slice_eq(strbuf_slice(&g->body), slice_of(big, BIG_BYTES)));
	finish(g, ERR_OK);
}

static void test_pause(void **state)
{
	(void)state;
	struct got *outside = got_new(), *inside = got_new();
	inside->pause_at_first = 1;
	check_pause(outside);
	check_pause(inside);
}

static void test_pause_then_cancel(void **state)
{
	(void)state;
	struct got *g = got_new();
	g->pause_at_first = 1;
	begin(g, "/big", (struct http_request){0});
	loop_until(loop, &g->pieces);
	op_cancel(&g->op, ERR_CANCELLED);
	finish(g, ERR_CANCELLED);
}

/* ---- the client's end */

static void test_free_with_open_calls(void **state)
{
	(void)state;
	struct got *waiting = got_new(), *fresh = got_new(), *cancelled = got_new(),
		   *body = got_new(), *used = got_new();
	begin(used, "/hello", (struct http_request){0});
	finish(used, ERR_OK);
	begin(waiting, "/silent", (struct http_request){0});
	begin(body, "/begin", (struct http_request){0});
	loop_until(loop, &body->pieces);
	begin(cancelled, "/silent", (struct http_request){0});
	op_cancel(&cancelled->op, ERR_BUDGET);
	begin(fresh, "/hello", (struct http_request){0});
	http_client_free(client);
	client = NULL;
	finish(waiting, ERR_CANCELLED);
	finish(body, ERR_CANCELLED);
	finish(fresh, ERR_CANCELLED);
	finish(cancelled, ERR_BUDGET);
}

static void free_it(void *arg)
{
	(void)arg;
	http_client_free(client);
	client = NULL;
}

static struct loop_task freeing;

static void on_last_done(struct op *op, enum err result, void *arg)
{
	on_done(op, result, arg);
	loop_wake(loop, &freeing);
}

/* A task may free the client in the very turn in which its last call ended. */
static void test_free_in_the_turn_of_the_end(void **state)
{
	(void)state;
	struct got *g = got_new();
	char url[64];
	struct http_request r = {.method = "GET", .url = url};
	snprintf(url, sizeof url, "http://127.0.0.1:%d/hello", server.port);
	loop_task_init(&freeing, free_it, NULL);
	op_init(&g->op, loop, on_last_done, g);
	g->call = http_start(client, &r, &events, g, &g->op);
	finish(g, ERR_OK);
	loop_turn(loop, 0);
	assert_null(client);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_whole_answer),
		CASE(test_a_status_is_no_error),
		CASE(test_an_empty_body_has_a_head),
		CASE(test_what_is_sent),
		CASE(test_handles_forget),
		CASE(test_connections_are_reused),
		CASE(test_many_at_once),
		CASE(test_refused),
		CASE(test_no_such_protocol),
		CASE(test_guarded),
		CASE(test_cut_and_nonsense),
		CASE(test_cancel_before_anything),
		CASE(test_cancel_during_the_body),
		CASE(test_the_reader_says_stop),
		CASE(test_silence),
		CASE(test_slow_is_not_idle),
		CASE(test_pause),
		CASE(test_pause_then_cancel),
		CASE(test_free_with_open_calls),
		CASE(test_free_in_the_turn_of_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
