/* SPDX-License-Identifier: Apache-2.0
 * Connections of the fake model. An answer is one send unless its script has pauses. */
#include "tests/fakes/fake_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/clock.h"

#define READ_MIN (16u << 10)
#define READ_MAX (1u << 20)
#define KEEP_BYTES (64u << 10)
#define RESET_MS 50

struct conn {
	struct list link;
	struct server *server;
	struct loop_fd *watch;
	struct loop_timer *timer; /* made when first needed */
	int fd;
	struct strbuf in;
	struct http http;
	struct reply reply;
	size_t sent, piece; /* of reply.out; the mark to rest at */
	int64_t due_us;     /* when the next piece is */
	bool busy;          /* an answer is under way */
	bool chat;          /* ... to a chat request */
	bool drops;         /* only waits for the client to close */
	bool resets;        /* the next thing is a reset */
	bool closed;
};

static void conn_reap(void *p)
{
	struct conn *c = p;
	strbuf_fini(&c->in);
	reply_fini(&c->reply);
	free(c);
}

void conn_close(struct conn *c)
{
	if (c->closed)
		return;
	c->closed = true;
	c->server->stats.open -= c->chat;
	c->server->stats.connections--;
	list_remove(&c->link);
	loop_fd_free(c->watch);
	loop_timer_free(c->timer);
	close(c->fd);
	loop_reap(c->server->loop, conn_reap, c);
}

void conn_close_all(struct server *s)
{
	while (!list_is_empty(&s->conns))
		conn_close(list_entry(s->conns.next, struct conn, link));
}

/* ---- sending */

static void on_timer(void *arg);

static void rest(struct conn *c, int ms)
{
	if (!c->timer)
		c->timer = loop_timer_new(c->server->loop, on_timer, c);
	loop_timer_start(c->timer, ms * 1000ll);
}

/* By the beat, not by when the last piece got away: streams that are late together would
 * stay together, and beat as one. */
static void rest_until_due(struct conn *c, int ms)
{
	int64_t now = clock_mono_us(), beat = ms * 1000ll;
	c->due_us =
		c->piece > 2 && c->due_us + beat > now ? c->due_us + beat : now + beat;
	if (!c->timer)
		c->timer = loop_timer_new(c->server->loop, on_timer, c);
	loop_timer_start(c->timer, c->due_us - now);
}

static void finish(struct conn *c)
{
	if (c->reply.hang)
		return;
	c->server->stats.open -= c->chat;
	c->busy = c->chat = false;
	if (c->reply.reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
			   sizeof(struct linger));
	if (c->drops)
		shutdown(c->fd, SHUT_WR);
	else if (c->reply.close)
		conn_close(c);
	if (!c->closed)
		reply_reset(&c->reply);
}

/* What is about to be sent says when that was. */
static void stamp(struct reply *r, size_t from, size_t to)
{
	static const char mark[] = REPLY_STAMP;
	char now[sizeof mark], *at = r->out.p + from, *end = r->out.p + to;
	snprintf(now, sizeof now, "t%016lld", (long long)clock_mono_us());
	while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)))
		memcpy(at, now, sizeof mark - 1);
}

/* Sends up to the next pause or the end. */
static void conn_send(struct conn *c)
{
	struct reply *r = &c->reply;
	bool pauses =
		r->pause_ms && c->piece < r->mark_count && r->marks[c->piece] < r->out.n;
	size_t limit = pauses ? r->marks[c->piece] : r->out.n;
	bool drips = r->drip_ms && c->sent + 1 < r->out.n;
	if (drips)
		limit = c->sent + 1;
	if (r->clock)
		stamp(r, c->sent, limit);
	while (c->sent < limit) {
		ssize_t n =
			send(c->fd, r->out.p + c->sent, limit - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_fd_set(c->watch, LOOP_READ | LOOP_WRITE);
			return;
		}
		if (n < 0) {
			conn_close(c);
			return;
		}
		c->sent += (size_t)n;
	}
	loop_fd_set(c->watch, LOOP_READ);
	if (drips) {
		rest(c, r->drip_ms);
	} else if (pauses) {
		c->piece++;
		if (r->clock)
			rest_until_due(c, r->pause_ms);
		else
			rest(c, r->pause_ms);
	} else if (r->reset && !c->resets) {
		c->resets =
			true; /* what was sent is read first: a reset would overtake it */
		rest(c, RESET_MS);
	} else {
		finish(c);
	}
}

/* ---- requests */

static void answer(struct conn *c)
{
	c->busy = true;
	c->sent = 0;
	c->piece = 1;
	if (c->reply.delay_ms)
		rest(c, c->reply.delay_ms);
	else
		conn_send(c);
}

static void take_request(struct conn *c)
{
	const struct http *h = &c->http;
	struct request q = http_request(h, &c->in);
	c->reply.close = h->close;
	c->chat = serve(c->server, &q, &c->reply);
	c->server->stats.open += c->chat;
	strbuf_eat(&c->in, h->raw_at);
	strbuf_shrink(&c->in, KEEP_BYTES);
	c->http = (struct http){0};
	answer(c);
}

static void refuse(struct conn *c, int status, const char *message)
{
	strbuf_fini(&c->in);
	c->drops = c->reply.close = true;
	reply_error(&c->reply, status, message);
	answer(c);
}

static void say_continue(struct conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	c->http.expects = false;
	if (send(c->fd, text, sizeof text - 1, MSG_NOSIGNAL) < 0)
		conn_close(c);
}

static void advance(struct conn *c)
{
	while (!c->busy && !c->closed && !c->drops && c->in.n) {
		switch (http_feed(&c->http, &c->in)) {
		case HTTP_DONE:
			take_request(c);
			break;
		case HTTP_MORE:
			if (c->http.expects)
				say_continue(c);
			return;
		case HTTP_TOO_BIG:
			refuse(c, 413, "the body is larger than 32 MB");
			break;
		case HTTP_BAD:
			refuse(c, 400, "not HTTP/1.1");
			break;
		}
	}
}

static void on_timer(void *arg)
{
	struct conn *c = arg;
	conn_send(c);
	advance(c);
}

static void read_some(struct conn *c)
{
	size_t want = http_missing(&c->http, &c->in);
	want = want < READ_MIN ? READ_MIN : want > READ_MAX ? READ_MAX : want;
	char *at = strbuf_reserve(&c->in, want);
	ssize_t n = recv(c->fd, at, want, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || c->in.n > HTTP_BODY_MAX * 2) {
		conn_close(c);
		return;
	}
	if (c->drops)
		return;
	c->in.n += (size_t)n;
	c->in.p[c->in.n] = 0;
}

static void on_ready(void *arg, int what)
{
	struct conn *c = arg;
	if (what & LOOP_READ)
		read_some(c);
	if (!c->closed && (what & LOOP_WRITE))
		conn_send(c);
	advance(c);
}

void conn_new(struct server *s, int fd)
{
	struct conn *c = xcalloc(1, sizeof *c);
	c->server = s;
	c->fd = fd;
	list_push(&s->conns, &c->link);
	s->stats.connections++;
	s->stats.accepted++;
	c->watch = loop_fd_new(s->loop, fd, LOOP_READ, on_ready, c);
}
