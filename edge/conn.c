/* SPDX-License-Identifier: Apache-2.0
 * One connection: reading, framing, sending, lingering. */
#include "edge/conn.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/die.h"
#include "edge/conn_io.h"
#include "edge/reply.h"
#include "edge/tls.h"

/* Pipelined input held while an answer is under way. */
#define AHEAD_MAX (64u << 10)
/* Unsent output above which no further request is taken. */
#define OUT_MAX (256u << 10)
/* Requests of one connection in one turn. */
#define REQUESTS_A_TURN 32
#define REQUEST_ARENA_MAX (4u << 20)

static int64_t now_us(const struct conn *c)
{
	return loop_now_us(server_loop(c->server));
}

static void set_deadline(struct conn *c, int64_t us)
{
	c->begun_us = now_us(c);
	c->deadline_us = us ? c->begun_us + server_scaled(c->server, us) : 0;
}

/* ---- reading */

/* Of a client that asks on and on and takes no answers. */
static bool has_too_much(const struct conn *c)
{
	return c->state == CONN_HEAD && c->out.n > OUT_MAX;
}

static void update_watch(struct conn *c)
{
	int what = c->blocked ? LOOP_WRITE : 0;
	bool waits = c->state == CONN_BUSY || has_too_much(c);
	if (!c->eof && !(waits && c->in.n > AHEAD_MAX))
		what |= LOOP_READ;
	if (what != c->watching)
		loop_fd_set(c->watch, what);
	c->watching = what;
}

static void on_ready(void *arg, int what)
{
	struct conn *c = arg;
	if (what & LOOP_WRITE) {
		c->blocked = false;
		conn_mark(c);
	}
	if (what & LOOP_READ)
		conn_read(c);
	update_watch(c);
	loop_wake(server_loop(c->server), &c->task);
}

/* ---- requests */

static void free_request(void *arg)
{
	struct request *r = arg;
	strbuf_fini(&r->body);
	arena_free(r->arena);
}

static struct request *begin_request(struct conn *c)
{
	struct arena *a = arena_new(REQUEST_ARENA_MAX);
	struct request *r = arena_zalloc(a, sizeof *r);
	r->arena = a;
	r->conn = c;
	r->body_most = SERVER_BODY_MAX;
	r->secure = c->kind != LISTEN_PLAIN;
	r->trusted = listen_is_trusted(c->kind);
	server_request_id(c->server, r->id);
	c->request = r;
	server_count_exchange(c->server, 1);
	return r;
}

/* A client may name its request; what is odd is replaced, not refused. */
static void adopt_id(struct request *r)
{
	struct slice id = http_field(&r->head, "x-request-id");
	if (id.n == 0 || id.n > REQUEST_ID_MAX)
		return;
	for (size_t i = 0; i < id.n; i++) {
		char ch = id.p[i];
		bool fine = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
			    (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '_' ||
			    ch == '.';
		if (!fine)
			return;
	}
	memcpy(r->id, id.p, id.n);
	r->id[id.n] = 0;
}

void conn_refuse(struct conn *c, const struct http_fault *f)
{
	if (!c->request)
		begin_request(c);
	c->state = CONN_BUSY;
	c->close_after = true;
	reply_fault(c->request, f);
}

static void dispatch(struct conn *c)
{
	struct request *r = c->request;
	c->requests++;
	c->state = CONN_BUSY;
	c->close_after = !r->head.keep_alive ||
			 c->requests >= server_settings(c->server)->requests_most ||
			 server_is_draining(c->server);
	c->framing = FRAMING_LENGTH;
	set_deadline(c, 0);
	server_dispatch(c->server, r);
}

static void start_window(struct conn *c)
{
	c->received = 0;
	set_deadline(c, SERVER_BODY_US);
}

static const char *too_large(const struct request *r)
{
	if (r->body_most == SERVER_TALK_MAX)
		return "the body is larger than 20 MB";
	return r->body_most > SERVER_BODY_MAX ? "the body is larger than 2 MB"
					      : "the body is larger than 1 MB";
}

/* The head is whole: its bytes move to the request's arena. false: refused. */
static bool parse_head(struct conn *c)
{
	struct http_fault fault;
	struct request *r = begin_request(c);
	struct slice block = {c->in.p + c->scan.start, c->scan.at - c->scan.start};
	block = arena_slice(r->arena, block);
	strbuf_eat(&c->in, c->scan.at);
	c->scan = (struct http_scan){0};
	if (http_parse_head(c->parser, block, r->arena, &r->head, &fault)) {
		conn_refuse(c, &fault);
		return false;
	}
	adopt_id(r);
	r->head_only = r->head.method == METHOD_HEAD;
	r->in_pieces = server_in_pieces(c->server, r);
	if (r->head.content_length > r->body_most && !r->in_pieces) {
		conn_refuse(c, &(struct http_fault){413, too_large(r)});
		return false;
	}
	if (r->head.content_length > SERVER_PIECES_MAX) {
		conn_refuse(c,
			    &(struct http_fault){413, "the file is larger than 256 MiB"});
		return false;
	}
	return true;
}

/* true: go on. */
static bool take_head(struct conn *c)
{
	struct http_fault fault;
	size_t had = c->scan.at;
	enum http_scan_result s = http_scan(&c->scan, strbuf_slice(&c->in), &fault);
	if (had == 0 && c->in.n > 0 && c->requests > 0)
		set_deadline(c, server_settings(c->server)->head_us);
	if (s == HTTP_BAD)
		conn_refuse(c, &fault);
	if (s != HTTP_WHOLE)
		return false;
	if (!parse_head(c))
		return true;
	c->uploading = c->wanted = false;
	if (!c->request->head.chunked && c->request->head.content_length == 0) {
		c->request->body_whole = true;
		dispatch(c);
		return true;
	}
	if (c->request->in_pieces) {
		c->uploading = true;
		c->taken = 0;
		dispatch(c);
		return true;
	}
	c->state = CONN_BODY;
	c->whole_us = now_us(c) + server_scaled(c->server, SERVER_BODY_END_US);
	start_window(c);
	if (c->request->head.expects_continue && c->in.n == 0) {
		strbuf_add_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		conn_mark(c);
	}
	return true;
}

/* Large bodies are taken while there is room for all of them. False: refused. */
static bool holds_body(struct conn *c)
{
	size_t had = c->held;
	c->held = c->request->body.n;
	if (server_hold(c->server, had, c->held) || c->held <= SERVER_BODY_SMALL)
		return true;
	conn_refuse(c, &(struct http_fault){
			       503, "too many large bodies are being sent at once"});
	return false;
}

static bool take_sized_body(struct conn *c)
{
	struct request *r = c->request;
	size_t want = (size_t)r->head.content_length - r->body.n;
	size_t take = c->in.n < want ? c->in.n : want;
	strbuf_add(&r->body, c->in.p, take);
	strbuf_eat(&c->in, take);
	c->received += take;
	if (!holds_body(c))
		return true;
	if (take < want)
		return false;
	dispatch(c);
	return true;
}

static bool take_chunked_body(struct conn *c)
{
	struct http_fault fault;
	size_t used = 0;
	int status = http_parse_chunked(c->parser, strbuf_slice(&c->in), &used,
					&c->request->body, c->request->body_most, &fault);
	strbuf_eat(&c->in, used);
	c->received += used;
	if (status > 1)
		conn_refuse(c, &fault);
	else if (!holds_body(c))
		return true;
	else if (status == 1)
		dispatch(c);
	return status != 0;
}

/* In the time of a window so much has to come. */
static bool is_slow(const struct conn *c)
{
	return c->received <
	       server_settings(c->server)->body_rate * (SERVER_BODY_US / 1000000);
}

/* Bytes that came fast buy no silence. */
static bool body_is_late(struct conn *c, int64_t now)
{
	if (is_slow(c) || now > c->whole_us)
		return true;
	start_window(c);
	return false;
}

/* ---- a body in pieces */

/* Unless it is us who do not read. */
static bool upload_is_late(struct conn *c)
{
	if (c->wanted && c->request->body.n < REQUEST_WINDOW && is_slow(c))
		return true;
	start_window(c);
	return false;
}

/* The bytes of `in` that it used; *status as http_parse_chunked. */
static size_t decode_piece(struct conn *c, int *status, struct http_fault *fault)
{
	struct request *r = c->request;
	size_t room = REQUEST_WINDOW - r->body.n, n = c->in.n < room ? c->in.n : room;
	size_t had = r->body.n, used = n;
	if (r->head.chunked) {
		*status = http_parse_chunked(c->parser, slice_of(c->in.p, n), &used,
					     &r->body, SERVER_PIECES_MAX, fault);
		c->taken += r->body.n - had;
		if (*status <= 1 && c->taken > SERVER_PIECES_MAX) {
			*fault = (struct http_fault){413,
						     "the file is larger than 256 MiB"};
			*status = 413;
		}
		return used;
	}
	if (n > r->head.content_length - c->taken)
		n = (size_t)(r->head.content_length - c->taken);
	strbuf_add(&r->body, c->in.p, n);
	c->taken += n;
	*status = c->taken == r->head.content_length;
	return n;
}

static bool take_piece(struct conn *c)
{
	struct http_fault fault;
	struct request *r = c->request;
	int status;
	if (!c->uploading || !c->wanted || r->body.n >= REQUEST_WINDOW)
		return false;
	size_t used = decode_piece(c, &status, &fault);
	strbuf_eat(&c->in, used);
	c->received += used;
	if (status > 1) {
		conn_refuse(c, &fault);
		return true;
	}
	if (status == 1) {
		c->uploading = false;
		r->body_whole = true;
		set_deadline(c, 0);
	}
	r->on_body(r);
	return true;
}

const uint8_t *request_address(const struct request *r)
{
	return r->conn->address;
}

void body_start(struct request *r)
{
	struct conn *c = r->conn;
	if (r->body_whole) {
		r->on_body(r);
		return;
	}
	c->wanted = true;
	start_window(c);
	if (r->head.expects_continue && c->in.n == 0) {
		strbuf_add_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		conn_mark(c);
	}
	loop_wake(server_loop(c->server), &c->task);
}

void body_eat(struct request *r, size_t n)
{
	strbuf_eat(&r->body, n);
	loop_wake(server_loop(r->conn->server), &r->conn->task);
}

static bool take_more(struct conn *c)
{
	if (c->state == CONN_BUSY)
		return c->in.n > 0 && take_piece(c);
	if (c->state == CONN_HEAD)
		return c->in.n > c->scan.at && !has_too_much(c) && take_head(c);
	if (c->state == CONN_BODY && c->in.n > 0)
		return c->request->head.chunked ? take_chunked_body(c)
						: take_sized_body(c);
	return false;
}

/* The peer sends no more; whatever is not whole never will be. */
static void at_eof(struct conn *c)
{
	bool waits = c->streaming || (c->request && c->request->waits);
	if (c->state == CONN_BUSY && !waits && !c->uploading)
		return;
	if (c->state == CONN_HEAD && conn_has_output(c)) {
		c->state = CONN_LAST;
		return;
	}
	if (c->state != CONN_LAST)
		conn_kill(c);
}

static void at_deadline(struct conn *c)
{
	c->late = false;
	if (c->state == CONN_HEAD && c->in.n > 0)
		conn_refuse(c, &(struct http_fault){408, "the head took too long"});
	else if (c->state == CONN_BODY || c->uploading)
		conn_refuse(c, &(struct http_fault){408, "the body came too slowly"});
	else
		conn_kill(c);
}

static void run(void *arg)
{
	struct conn *c = arg;
	int budget = REQUESTS_A_TURN;
	if (c->broken || (conn_drops_input(c) && c->received > SERVER_LINGER_MAX)) {
		conn_kill(c);
		return;
	}
	if (c->late)
		at_deadline(c);
	if (c->streaming && c->request->head_only)
		conn_answered(c);
	while (budget > 0 && take_more(c))
		budget--;
	if (c->state == CONN_DEAD)
		return;
	if (budget == 0)
		loop_wake(server_loop(c->server), &c->task);
	else if (c->eof && !(has_too_much(c) && c->in.n > c->scan.at))
		at_eof(c);
	if (c->state == CONN_DEAD)
		return;
	if (c->in.n == 0 && !c->uploading)
		strbuf_shrink(&c->in, CONN_KEEP_BYTES);
	update_watch(c);
}

/* ---- answers */

void conn_mark(struct conn *c)
{
	if (c->state != CONN_DEAD && list_is_empty(&c->dirty))
		list_push(server_dirty(c->server), &c->dirty);
}

static void end_request(struct conn *c)
{
	struct request *r = c->request;
	c->request = NULL;
	c->streaming = c->uploading = false;
	if (r->on_end)
		r->on_end(r);
	server_hold(c->server, c->held, 0);
	c->held = 0;
	loop_reap(server_loop(c->server), free_request, r);
	server_count_exchange(c->server, -1);
}

void conn_answered(struct conn *c)
{
	c->close_after |= c->uploading; /* what is left of the body is no request */
	end_request(c);
	conn_mark(c);
	if (c->close_after || c->framing == FRAMING_CLOSE) {
		c->state = CONN_LAST;
		c->received = 0;
		strbuf_reset(&c->in);
		set_deadline(c, 0);
		return;
	}
	c->state = CONN_HEAD;
	set_deadline(c, SERVER_IDLE_US);
	loop_wake(server_loop(c->server), &c->task);
}

/* A stream whose reader takes less than is said. One that asked for room paces itself. */
static bool is_too_slow(const struct conn *c)
{
	return c->streaming && !c->request->on_room && c->out.n > SERVER_STREAM_MAX;
}

void conn_flush(struct conn *c)
{
	struct request *r = c->request;
	if ((conn_has_output(c) && !c->blocked && !conn_send(c)) || is_too_slow(c)) {
		conn_kill(c);
		return;
	}
	if (c->state == CONN_LAST && !conn_has_output(c)) {
		if (c->eof) {
			conn_kill(c);
			return;
		}
		conn_shut(c);
		c->state = CONN_LINGER;
		set_deadline(c, SERVER_LINGER_US);
	}
	if (r && r->on_room && c->out.n < SERVER_STREAM_LOW) {
		void (*on_room)(struct request *) = r->on_room;
		r->on_room = NULL;
		on_room(r);
	}
	if (c->state == CONN_HEAD && c->in.n > c->scan.at && !has_too_much(c))
		loop_wake(server_loop(c->server), &c->task);
	if (c->state != CONN_DEAD)
		update_watch(c);
}

/* ---- time */

void conn_sweep(struct conn *c, int64_t now)
{
	bool late = c->deadline_us && now > c->deadline_us;
	if (late && c->state == CONN_BODY)
		late = body_is_late(c, now);
	if (late && c->uploading)
		late = upload_is_late(c);
	if (c->blocked && now > c->moved_us + server_scaled(c->server, SERVER_STALL_US))
		c->broken = true;
	if (c->streaming && c->heartbeat.n && c->out.n == 0 &&
	    now > c->moved_us + server_scaled(c->server, SERVER_HEARTBEAT_US))
		reply_piece(c->request, c->heartbeat);
	c->late = late;
	if (late || c->broken)
		loop_wake(server_loop(c->server), &c->task);
}

void conn_drain(struct conn *c)
{
	c->close_after = true;
	if (c->state == CONN_HEAD && c->in.n == 0) {
		c->state = CONN_LAST;
		set_deadline(c, 0);
		conn_mark(c);
	}
}

/* ---- life */

struct conn *conn_new(struct server *s, int fd, const uint8_t address[16],
		      enum listen_kind kind, struct tls *tls)
{
	struct conn *c = xcalloc(1, sizeof *c);
	c->server = s;
	c->fd = fd;
	c->kind = kind;
	c->tls = tls;
	memcpy(c->address, address, 16);
	list_init(&c->node);
	list_init(&c->dirty);
	loop_task_init(&c->task, run, c);
	c->parser = http_parser_new();
	c->watching = LOOP_READ;
	c->watch = loop_fd_new(server_loop(s), fd, LOOP_READ, on_ready, c);
	set_deadline(c, server_settings(c->server)->head_us);
	c->moved_us = c->begun_us;
	return c;
}

static void free_conn(void *arg)
{
	struct conn *c = arg;
	strbuf_fini(&c->in);
	strbuf_fini(&c->out);
	http_parser_free(c->parser);
	tls_free(c->tls);
	free(c);
}

void conn_kill(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	list_remove(&c->dirty);
	if (c->request) {
		c->request->gone = true;
		end_request(c);
	}
	loop_unwake(server_loop(c->server), &c->task);
	loop_fd_free(c->watch);
	close(c->fd);
	server_forget(c->server, c);
	loop_reap(server_loop(c->server), free_conn, c);
}
