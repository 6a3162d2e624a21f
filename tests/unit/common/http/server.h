/* SPDX-License-Identifier: Apache-2.0
 * A tiny HTTP server on the test's own loop: it reads requests and hands each to the
 * test, which says what bytes go back. Static functions, one program each. */
#ifndef TB_TEST_SERVER_H
#define TB_TEST_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/slice.h"
#include "common/strbuf.h"

#define SERVER_PATIENCE_US 20000000

struct server_conn {
	struct list node;
	struct server *server;
	int fd;
	struct loop_fd *watch;
	struct strbuf in, out;
	bool closes; /* after `out` is sent */
};

struct server {
	struct loop *loop;
	int fd, port;
	struct loop_fd *watch;
	struct list conns;
	int accepted, requests, ended;
	/* One whole request. */
	void (*on_request)(struct server_conn *c, struct slice path, struct slice head,
			   struct slice body);
};

static void server_drop(struct server_conn *c)
{
	c->server->ended++;
	loop_fd_free(c->watch);
	close(c->fd);
	list_remove(&c->node);
	strbuf_fini(&c->in);
	strbuf_fini(&c->out);
	free(c);
}

/* False when the connection is gone. */
static bool server_flush(struct server_conn *c)
{
	while (c->out.n) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			server_drop(c);
			return false;
		}
		strbuf_eat(&c->out, (size_t)n);
	}
	if (!c->out.n && c->closes) {
		server_drop(c);
		return false;
	}
	loop_fd_set(c->watch, LOOP_READ | (c->out.n ? LOOP_WRITE : 0));
	return true;
}

UNUSED static void server_say(struct server_conn *c, const char *text)
{
	strbuf_add_str(&c->out, text);
}

/* An answer with a length. `headers` are lines, each with its CRLF. */
UNUSED static void server_answer(struct server_conn *c, int status, const char *headers,
				 struct slice body)
{
	strbuf_printf(&c->out, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n", status,
		      headers, body.n);
	strbuf_add_slice(&c->out, body);
}

static size_t server_length(struct slice head)
{
	ptrdiff_t at = slice_find(head, SLICE("Content-Length: "));
	return at < 0 ? 0 : (size_t)atoi(head.p + at + 16);
}

static bool server_take_request(struct server_conn *c)
{
	struct slice all = strbuf_slice(&c->in);
	ptrdiff_t end = all.n ? slice_find(all, SLICE("\r\n\r\n")) : -1;
	if (end < 0)
		return false;
	struct slice head = slice_of(all.p, (size_t)end + 4);
	size_t length = server_length(head);
	if (all.n < head.n + length)
		return false;
	struct slice rest = head;
	slice_cut(&rest, ' ');
	c->server->requests++;
	c->server->on_request(c, slice_cut(&rest, ' '), head,
			      slice_of(all.p + head.n, length));
	strbuf_eat(&c->in, head.n + length);
	return true;
}

static void server_on_conn(void *arg, int what)
{
	struct server_conn *c = arg;
	char buf[16384];
	if (what & LOOP_READ) {
		ssize_t n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			server_drop(c);
			return;
		}
		if (n > 0)
			strbuf_add(&c->in, buf, (size_t)n);
		while (server_take_request(c))
			;
	}
	server_flush(c);
}

static void server_on_accept(void *arg, int what)
{
	struct server *s = arg;
	int fd;
	(void)what;
	while ((fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct server_conn *c = xcalloc(1, sizeof *c);
		c->server = s;
		c->fd = fd;
		c->watch = loop_fd_new(s->loop, fd, LOOP_READ, server_on_conn, c);
		list_push(&s->conns, &c->node);
		s->accepted++;
	}
}

/* A bound socket of 127.0.0.1 and its port. */
static int server_bind(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

UNUSED static void server_open(struct server *s, struct loop *l,
			       void (*on_request)(struct server_conn *, struct slice,
						  struct slice, struct slice))
{
	memset(s, 0, sizeof *s);
	s->loop = l;
	s->on_request = on_request;
	list_init(&s->conns);
	s->fd = server_bind(&s->port);
	assert_int_equal(listen(s->fd, 512), 0);
	s->watch = loop_fd_new(l, s->fd, LOOP_READ, server_on_accept, s);
}

UNUSED static void server_close(struct server *s)
{
	while (!list_is_empty(&s->conns))
		server_drop(list_entry(s->conns.next, struct server_conn, node));
	loop_fd_free(s->watch);
	close(s->fd);
}

/* Turns the loop until *flag; fails the test when that takes too long. */
UNUSED static void loop_until(struct loop *l, const int *flag)
{
	int64_t end = clock_mono_us() + SERVER_PATIENCE_US;
	while (!*flag) {
		assert_true(clock_mono_us() < end);
		loop_turn(l, 50);
	}
}

/* Turns it for that long, whatever happens. */
UNUSED static void loop_for(struct loop *l, int64_t us)
{
	int64_t end = clock_mono_us() + us;
	while (clock_mono_us() < end)
		loop_turn(l, 5);
}

#endif
