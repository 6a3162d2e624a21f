/* SPDX-License-Identifier: Apache-2.0
 * Connections: deadlines, caps, slow readers, streams, order of pipelined answers,
 * keep-alive and drain. */
#include "tests/unit/edge/bed.h"

#include <netinet/in.h>

#include "edge/cors.h"
#include "edge/reply.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static struct request *held; /* by /hold and /stream */
static int ended, drained, rooms;

static void on_end(struct request *r)
{
	ended++;
	if (held == r)
		held = NULL;
}

static void on_room(struct request *r)
{
	(void)r;
	rooms++;
}

static void on_request(void *arg, struct request *r)
{
	(void)arg;
	r->on_end = on_end;
	if (slice_is(r->head.path, "/hold")) {
		held = r;
	} else if (slice_is(r->head.path, "/stream")) {
		held = r;
		reply_head(r, 200);
		reply_stream(r, "text/event-stream", SLICE(": hb\n\n"));
	} else {
		reply_head(r, 200);
		reply_body(r, "text/plain", r->head.path);
	}
}

static void on_drained(void *arg)
{
	(void)arg;
	drained++;
}

#define BODIES_MAX (1u << 20)

static int open_bed(unsigned time_scale)
{
	held = NULL;
	ended = drained = rooms = 0;
	bed_open((struct server_config){.on_request = on_request,
					.on_drained = on_drained,
					.time_scale = time_scale,
					.body_rate = time_scale > 1 ? 50 : 0,
					.max_connections = 20,
					.max_per_address = 10,
					.bodies_max = BODIES_MAX});
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return open_bed(1);
}

/* For tests of the limits of time: on a busy machine any other would meet them too. */
static int setup_hasty(void **state)
{
	(void)state;
	return open_bed(200);
}

static int teardown(void **state)
{
	(void)state;
	bed_close();
	return 0;
}

static void test_a_slow_head_is_cut(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, "GET / HTTP/1.1\r\nHos");
	bed_until(&c, is_closed);
	assert_true(has_text(&c, "HTTP/1.1 408 "));
	client_close(&c);
}

/* A byte now and then does not move the deadline: it is absolute. */
static void test_a_dripping_head_is_cut(void **state)
{
	(void)state;
	struct client c = client_open();
	int64_t end = clock_mono_us() + 5000000, drip = 0;
	client_say(&c, "GET /");
	while (!c.closed) {
		assert_true(clock_mono_us() < end);
		if (clock_mono_us() >
		    drip) { /* rarely: the path has a limit of its own */
			send(c.fd, "a", 1, MSG_NOSIGNAL);
			drip = clock_mono_us() + 2000;
		}
		loop_turn(bed_loop, 1);
		client_read(&c);
	}
	assert_true(has_text(&c, "HTTP/1.1 408 "));
	client_close(&c);
}

static void test_a_slow_body_is_cut(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc");
	bed_until(&c, is_closed);
	assert_true(has_text(&c, "HTTP/1.1 408 "));
	client_close(&c);
}

/* What came fast buys no silence, however much it was. */
static void test_a_body_that_falls_silent_is_cut(void **state)
{
	static char much[200000];
	(void)state;
	struct client c = client_open();
	memset(much, 'x', sizeof much - 1);
	client_say(&c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
	client_say(&c, much);
	bed_until(&c, is_closed);
	assert_true(has_text(&c, "HTTP/1.1 408 "));
	client_close(&c);
}

static void test_idle_connections_end_without_a_word(void **state)
{
	(void)state;
	struct client c = client_open(), used = client_open();
	client_say(&used, GET("/a"));
	bed_until(&c, is_closed);
	bed_until(&used, is_closed);
	assert_int_equal(c.got.n, 0);
	assert_true(has_text(&used, "200 OK"));
	assert_false(has_text(&used, "408"));
	client_close(&c);
	client_close(&used);
	loop_turn(bed_loop, 0);
	assert_int_equal(server_connections(bed_server), 0);
}

static void test_an_answer_under_way_is_not_idle(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, GET("/hold"));
	assert_non_null(held);
	int64_t end = clock_mono_us() + 500000; /* 100 s of the server's time */
	while (clock_mono_us() < end) {
		loop_turn(bed_loop, 5);
		client_read(&c);
	}
	assert_false(c.closed);
	reply_head(held, 200);
	reply_body(held, "text/plain", SLICE("late"));
	bed_settle(&c);
	assert_true(has_text(&c, "late"));
	client_close(&c);
}

static void test_pipelined_answers_keep_their_order(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, GET("/1") GET("/hold") GET("/3"));
	assert_true(has_text(&c, "/1"));
	assert_false(has_text(&c, "/3"));
	reply_head(held, 200);
	reply_body(held, "text/plain", SLICE("/2"));
	bed_settle(&c);
	char *second = strstr(c.got.p, "\r\n\r\n/2");
	assert_non_null(second);
	assert_non_null(strstr(second, "\r\n\r\n/3"));
	client_close(&c);
}

static void test_pipelined_input_is_bounded(void **state)
{
	(void)state;
	struct client c = client_open();
	static char junk[1 << 20];
	size_t sent = 0;
	memset(junk, 'a', sizeof junk);
	client_say(&c, GET("/hold"));
	for (int quiet = 0; quiet < 10 && sent < sizeof junk;) {
		ssize_t n = send(c.fd, junk, sizeof junk - sent, MSG_NOSIGNAL);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(bed_loop, 0);
	}
	assert_true(sent < sizeof junk);
	client_close(&c);
	bed_settle(NULL);
}

static void test_a_stream_comes_in_pieces(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, GET("/stream"));
	assert_true(has_text(&c, "transfer-encoding: chunked"));
	reply_piece(held, SLICE("one\n"));
	reply_piece(held, SLICE("two\n"));
	bed_settle(&c);
	assert_true(has_text(&c, "\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n"));
	reply_stream_end(held);
	bed_settle(&c);
	assert_true(has_text(&c, "0\r\n\r\n"));
	assert_int_equal(ended, 1);
	client_say(&c, GET("/next"));
	assert_true(has_text(&c, "/next"));
	client_close(&c);
}

static void test_http_1_0_streams_end_with_the_connection(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	assert_true(has_text(&c, "connection: close"));
	assert_false(has_text(&c, "chunked"));
	reply_piece(held, SLICE("one\n"));
	reply_stream_end(held);
	bed_until(&c, is_closed);
	assert_true(has_text(&c, "\r\n\r\none\n"));
	client_close(&c);
}

static bool has_two_beats(struct client *c)
{
	char *first = c->got.p ? strstr(c->got.p, "\r\n6\r\n: hb\n\n\r\n") : NULL;
	return first && strstr(first + 8, ": hb\n\n\r\n");
}

static void test_a_quiet_stream_beats(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, GET("/stream"));
	bed_until(&c, has_two_beats);
	client_close(&c);
	bed_settle(NULL);
}

static void test_a_reader_too_slow_is_cut(void **state)
{
	(void)state;
	struct client c = client_open();
	char piece[10000];
	size_t total = 0;
	memset(piece, 'x', sizeof piece);
	client_say(&c, GET("/stream"));
	for (int i = 0; i < 1000 && held; i++) {
		reply_piece(held, slice_of(piece, sizeof piece));
		total += sizeof piece;
		loop_turn(bed_loop, 0); /* the client does not read */
	}
	assert_null(held);
	assert_int_equal(ended, 1);
	assert_true(total > SERVER_STREAM_MAX && total < 3 * SERVER_STREAM_MAX);
	client_close(&c);
}

/* A stream that paces itself is told when there is room, and not cut. */
static void test_a_stream_may_ask_for_room(void **state)
{
	(void)state;
	struct client c = client_open();
	static char piece[2 * SERVER_STREAM_MAX];
	memset(piece, 'x', sizeof piece);
	client_say(&c, GET("/stream"));
	reply_piece(held, slice_of(piece, sizeof piece));
	held->on_room = on_room;
	loop_turn(bed_loop, 0);
	assert_int_equal(rooms, 0);
	assert_non_null(held);
	bed_settle(&c);
	assert_int_equal(rooms, 1);
	assert_true(c.got.n > sizeof piece);
	client_close(&c);
	bed_settle(NULL);
}

static void test_a_client_that_leaves_ends_its_stream(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, GET("/stream"));
	assert_int_equal(server_exchanges(bed_server), 1);
	client_close(&c);
	bed_settle(NULL);
	assert_int_equal(ended, 1);
	assert_int_equal(server_exchanges(bed_server), 0);
	assert_int_equal(server_connections(bed_server), 0);
}

static void test_connections_are_capped(void **state)
{
	(void)state;
	struct client c[12];
	for (int i = 0; i < 12; i++)
		c[i] = client_open();
	for (int i = 0; i < 12; i++) {
		bed_settle(&c[i]);
		assert_int_equal(has_text(&c[i], "HTTP/1.1 503 "), i >= 10);
	}
	for (int i = 0; i < 12; i++)
		client_close(&c[i]);
	bed_settle(NULL);
	struct client again = client_open();
	client_say(&again, GET("/a"));
	assert_true(has_text(&again, "200 OK"));
	client_close(&again);
}

/* Whoever asks on and on and takes no answers is not read on. */
static void test_answers_that_nobody_takes_are_bounded(void **state)
{
	(void)state;
	static const char one[] = GET("/0123456789012345678901234567890123456789");
	struct client c = client_open();
	size_t sent = 0, asked = 0;
	for (int quiet = 0; quiet < 50 && sent < (64u << 20);) {
		ssize_t n = send(c.fd, one + sent % (sizeof one - 1),
				 sizeof one - 1 - sent % (sizeof one - 1),
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		loop_turn(bed_loop, 0);
	}
	asked = sent / (sizeof one - 1);
	assert_true(sent < (8u << 20));
	/* All that came whole is answered once the client reads, in order and time. */
	for (int quiet = 0; quiet < 50;) {
		loop_turn(bed_loop, 0);
		quiet = client_read(&c) ? 0 : quiet + 1;
	}
	size_t answers = 0;
	for (char *p = c.got.p; (p = strstr(p, "200 OK")); p++)
		answers++;
	assert_int_equal(answers, asked);
	client_close(&c);
}

static void send_bytes(struct client *c, size_t n)
{
	static const char bytes[256 << 10];
	for (size_t at = 0; at < n && !c->closed;) {
		ssize_t sent = send(c->fd, bytes, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN)
			return;
		at += sent > 0 ? (size_t)sent : 0;
		loop_turn(bed_loop, 0);
	}
	bed_settle(c);
}

/* Many that send large bodies at once are not all taken in; what is small still is. */
static void test_bodies_are_bounded_together(void **state)
{
	(void)state;
	enum { SENDERS = 9, PART = 256 << 10 };
	static const char head[] = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: "
				   "300000\r\n\r\n";
	struct client c[SENDERS];
	unsigned refused = 0;
	for (int i = 0; i < SENDERS; i++) {
		c[i] = client_open();
		client_say(&c[i], head);
		send_bytes(&c[i], PART);
		refused += has_text(&c[i], "503 Service Unavailable");
	}
	assert_int_equal(refused, SENDERS - BODIES_MAX / PART);
	struct client small = client_open();
	client_say(&small, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
	assert_true(has_text(&small, "200 OK"));
	client_close(&small);
	for (int i = 0; i < SENDERS; i++)
		client_close(&c[i]);
	bed_settle(NULL);
	struct client large = client_open();
	client_say(&large, head);
	send_bytes(&large, PART);
	send_bytes(&large, 300000 - PART);
	assert_true(has_text(&large, "200 OK"));
	client_close(&large);
}

static bool trusted;

static void on_trusted(void *arg, struct request *r)
{
	(void)arg;
	trusted = r->trusted;
	reply_head(r, 200);
	reply_body(r, "text/plain", SLICE("x"));
}

static int tcp_listener(struct sockaddr_in *a)
{
	socklen_t n = sizeof *a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	*a = (struct sockaddr_in){.sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (void *)a, sizeof *a), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (void *)a, &n), 0);
	return fd;
}

static struct client connected(const struct sockaddr_in *a)
{
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
	assert_int_equal(connect(c.fd, (const void *)a, sizeof *a), 0);
	return c;
}

/* What waits at the socket of an edge that is away is taken by another. */
static void test_an_edge_stands_in_for_another(void **state)
{
	(void)state;
	struct sockaddr_in own, other;
	struct server_listener two[] = {{tcp_listener(&own), LISTEN_PLAIN, 0},
					{tcp_listener(&other), LISTEN_PLAIN, 1}};
	bed_open((struct server_config){
		.on_request = on_trusted, .listeners = two, .listener_count = 2});
	struct client a = connected(&own), b = connected(&other);
	client_say(&a, GET("/a"));
	client_say(&b, GET("/b"));
	assert_true(has_text(&a, "200 OK"));
	assert_false(trusted);
	assert_int_equal(b.got.n, 0);
	server_stand_in(bed_server, 1u << 1);
	bed_settle(&b);
	assert_true(has_text(&b, "200 OK"));
	server_stand_in(bed_server, 0);
	struct client c = connected(&other);
	client_say(&c, GET("/c"));
	assert_int_equal(c.got.n, 0);
	client_close(&a);
	client_close(&b);
	client_close(&c);
	bed_close();
	close(two[0].fd);
	close(two[1].fd);
}

/* Clients of a socket in the file system: trusted, and not counted by address. */
static void test_local_clients(void **state)
{
	(void)state;
	static const uint8_t nowhere[16];
	struct client c[4];
	bed_open((struct server_config){.on_request = on_trusted, .max_per_address = 2});
	for (int i = 0; i < 4; i++) {
		int pair[2];
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
		server_adopt(bed_server, pair[1], nowhere, LISTEN_UNIX);
		c[i] = (struct client){.fd = pair[0]};
		trusted = false;
		client_say(&c[i], GET("/a"));
		assert_true(has_text(&c[i], "200 OK") && trusted);
	}
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
	bed_close();
}

/* Of whoever sets them. */
static void test_limits_of_the_configuration(void **state)
{
	(void)state;
	bed_open((struct server_config){.on_request = on_request,
					.requests_most = 2,
					.head_us = 1000000,
					.body_rate = 1000000,
					.time_scale = 50});
	struct client c = client_open();
	client_say(&c, GET("/a"));
	assert_false(c.closed || has_text(&c, "connection: close"));
	client_say(&c, GET("/b") GET("/c"));
	assert_true(c.closed && has_text(&c, "connection: close"));
	assert_true(has_text(&c, "/b") && !has_text(&c, "/c"));
	int64_t began = clock_mono_us();
	struct client slow = client_open();
	client_say(&slow, "GET /");
	bed_until(&slow, is_closed);
	assert_true(has_text(&slow, " 408 "));
	/* 20 ms, and the sweep's half second as scaled */
	assert_true(clock_mono_us() - began < 5000000);
	struct client body = client_open();
	client_say(&body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	bed_until(&body, is_closed);
	assert_true(has_text(&body, " 408 "));
	client_close(&c);
	client_close(&slow);
	client_close(&body);
	bed_close();
}

/* The head of what GET would answer, be it long or without end. */
static void test_head_of_streams(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(has_text(&c, "transfer-encoding: chunked"));
	assert_int_equal(ended, 1);
	assert_null(held);
	client_say(&c, GET("/next"));
	char *next = strstr(c.got.p, "\r\n\r\n");
	assert_memory_equal(next, "\r\n\r\nHTTP/1.1 200 OK", 19);
	client_close(&c);
}

static void cors_bed(const char *origins, struct cors **out)
{
	char why[200];
	*out = cors_new(origins, why, sizeof why);
	assert_string_equal(why, "");
	bed_open((struct server_config){.on_request = on_request, .cors = *out});
}

#define FROM(origin) "GET /a HTTP/1.1\r\nHost: x\r\nOrigin: " origin "\r\n\r\n"

static void test_cors_of_named_origins(void **state)
{
	(void)state;
	struct cors *cors;
	cors_bed("https://a.example, http://localhost:3000", &cors);
	struct client c = client_open();
	client_say(&c, FROM("https://a.example"));
	assert_true(has_text(&c, "access-control-allow-origin: https://a.example\r\n"));
	assert_true(has_text(&c, "access-control-allow-credentials: true\r\n"));
	assert_true(has_text(&c, "access-control-expose-headers: x-request-id, "));
	assert_true(has_text(&c, "vary: origin\r\n"));
	strbuf_reset(&c.got);
	client_say(&c,
		   FROM("https://b.example") GET("/plain") FROM("https://a.example.b"));
	assert_true(has_text(&c, "vary: origin\r\n"));
	assert_false(has_text(&c, "access-control"));
	client_close(&c);
	bed_close();
	cors_free(cors);
}

static void test_cors_of_everybody(void **state)
{
	(void)state;
	struct cors *cors;
	char why[200];
	cors_bed("*", &cors);
	struct client c = client_open();
	client_say(&c, FROM("https://b.example"));
	assert_true(has_text(&c, "access-control-allow-origin: *\r\n"));
	assert_false(has_text(&c, "credentials"));
	client_close(&c);
	bed_close();
	cors_free(cors);
	assert_null(cors_new("", why, sizeof why));
	assert_string_equal(why, "");
	assert_null(cors_new("https://a.example/path", why, sizeof why));
	assert_non_null(strstr(why, "no origin"));
	assert_null(cors_new("a.example", why, sizeof why));
	assert_non_null(strstr(why, "no origin"));
}

static void test_drain(void **state)
{
	(void)state;
	struct client idle = client_open(), busy = client_open();
	client_say(&idle, GET("/a"));
	client_say(&busy, GET("/hold"));
	server_drain(bed_server);
	bed_settle(&idle);
	bed_settle(&busy);
	assert_true(idle.closed);
	assert_false(busy.closed);
	assert_int_equal(drained, 0);
	reply_head(held, 200);
	reply_body(held, "text/plain", SLICE("done"));
	bed_settle(&busy);
	assert_true(busy.closed);
	assert_true(has_text(&busy, "connection: close"));
	assert_true(has_text(&busy, "done"));
	assert_true(drained >= 1);
	struct client late = client_open();
	client_say(&late, GET("/late"));
	assert_true(has_text(&late, "/late"));
	assert_true(has_text(&late, "connection: close"));
	client_close(&idle);
	client_close(&busy);
	client_close(&late);
}

static void test_request_ids(void **state)
{
	(void)state;
	struct client c = client_open();
	client_say(&c, "GET /a HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine-1\r\n\r\n");
	assert_true(has_text(&c, "x-request-id: mine-1\r\n"));
	client_say(&c, "GET /b HTTP/1.1\r\nHost: x\r\nX-Request-Id: no good\r\n\r\n");
	assert_false(has_text(&c, "no good"));
	client_say(&c, "nonsense\r\n\r\n");
	char *bad = strstr(c.got.p, "HTTP/1.1 400 ");
	assert_non_null(bad);
	assert_non_null(strstr(bad, "x-request-id: "));
	assert_non_null(strstr(bad, "\"code\":\"bad_request\""));
	client_close(&c);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define HASTY(fn) cmocka_unit_test_setup_teardown(fn, setup_hasty, teardown)
	const struct CMUnitTest tests[] = {
		HASTY(test_a_slow_head_is_cut),
		HASTY(test_a_dripping_head_is_cut),
		HASTY(test_a_slow_body_is_cut),
		HASTY(test_a_body_that_falls_silent_is_cut),
		HASTY(test_idle_connections_end_without_a_word),
		HASTY(test_an_answer_under_way_is_not_idle),
		T(test_pipelined_answers_keep_their_order),
		T(test_pipelined_input_is_bounded),
		T(test_a_stream_comes_in_pieces),
		T(test_http_1_0_streams_end_with_the_connection),
		HASTY(test_a_quiet_stream_beats),
		T(test_a_reader_too_slow_is_cut),
		T(test_a_stream_may_ask_for_room),
		T(test_a_client_that_leaves_ends_its_stream),
		T(test_connections_are_capped),
		T(test_answers_that_nobody_takes_are_bounded),
		T(test_bodies_are_bounded_together),
		cmocka_unit_test(test_an_edge_stands_in_for_another),
		cmocka_unit_test(test_local_clients),
		cmocka_unit_test(test_limits_of_the_configuration),
		T(test_head_of_streams),
		cmocka_unit_test(test_cors_of_named_origins),
		cmocka_unit_test(test_cors_of_everybody),
		HASTY(test_drain),
		T(test_request_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
