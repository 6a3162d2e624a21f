/* SPDX-License-Identifier: Apache-2.0
 * The socket's end of a connection. */
#include "edge/conn_io.h"

#include <errno.h>
#include <sys/socket.h>

#include "edge/tls.h"

/* Read in one go; the rest waits for the next turn, so that nobody is starved. */
#define READ_BYTES (64u << 10)

bool conn_drops_input(const struct conn *c)
{
	return c->state == CONN_LAST || c->state == CONN_LINGER;
}

/* Whether anything waits for the socket. What is sealed goes first. */
bool conn_has_output(const struct conn *c)
{
	return c->out.n > 0 || (c->tls && tls_wire(c->tls)->n > 0);
}

/* ---- reading */

static void take_tls(struct conn *c, struct slice raw)
{
	struct strbuf *wire = tls_wire(c->tls);
	enum tls_state state = tls_open(c->tls, raw, &c->in);
	if (conn_drops_input(c)) { /* what is no TLS at all counts as well */
		strbuf_reset(&c->in);
		c->received += raw.n;
	}
	if (state == TLS_BROKEN && wire->n) /* why, if the socket takes it */
		(void)!send(c->fd, wire->p, wire->n, MSG_NOSIGNAL | MSG_DONTWAIT);
	c->broken |= state == TLS_BROKEN;
	c->eof |= state == TLS_ENDED;
	if (wire->n)
		conn_mark(c);
}

void conn_read(struct conn *c)
{
	static char scratch[READ_BYTES];
	ssize_t n = recv(c->fd, scratch, sizeof scratch, MSG_DONTWAIT);
	if (n < 0) {
		c->broken = errno != EAGAIN && errno != EINTR;
		return;
	}
	c->eof = n == 0;
	if (c->tls && n > 0)
		take_tls(c, slice_of(scratch, (size_t)n));
	else if (conn_drops_input(c))
		c->received += (size_t)n;
	else
		strbuf_add(&c->in, scratch, (size_t)n);
}

/* ---- sending */

static bool send_from(struct conn *c, struct strbuf *b)
{
	ssize_t n = send(c->fd, b->p, b->n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n > 0)
		strbuf_eat(b, (size_t)n);
	c->moved_us = loop_now_us(server_loop(c->server));
	c->blocked = b->n > 0;
	if (!c->blocked)
		strbuf_shrink(b, CONN_KEEP_BYTES);
	return true;
}

/* Once a turn, unless there is more than TLS takes at a time. */
static bool send_sealed(struct conn *c)
{
	struct strbuf *wire = tls_wire(c->tls);
	size_t before;
	do {
		before = c->out.n;
		if (!tls_seal(c->tls, &c->out) || (wire->n && !send_from(c, wire)))
			return false;
	} while (!c->blocked && c->out.n > 0 && c->out.n < before);
	if (c->out.n == 0)
		strbuf_shrink(&c->out, CONN_KEEP_BYTES);
	return true;
}

bool conn_send(struct conn *c)
{
	return c->tls ? send_sealed(c) : send_from(c, &c->out);
}

void conn_shut(struct conn *c)
{
	if (c->tls) {
		struct strbuf *wire = tls_wire(c->tls);
		tls_close(c->tls);
		(void)!send(c->fd, wire->p, wire->n, MSG_NOSIGNAL | MSG_DONTWAIT);
		strbuf_reset(wire);
	}
	shutdown(c->fd, SHUT_WR);
}
