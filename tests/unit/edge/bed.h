/* SPDX-License-Identifier: Apache-2.0
 * The test bed of the HTTP door: a server on a loop of its own, clients on socket pairs,
 * turned by hand. Static functions, one program each. */
#ifndef TB_TEST_BED_H
#define TB_TEST_BED_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "edge/server.h"

struct client {
	int fd;
	bool closed; /* the server ended it */
	struct strbuf got;
};

static struct loop *bed_loop;
static struct server *bed_server;

UNUSED static void bed_open(struct server_config c)
{
	crypto_init();
	bed_loop = loop_new();
	c.loop = bed_loop;
	if (!c.max_connections)
		c.max_connections = 100;
	if (!c.max_per_address)
		c.max_per_address = 100;
	bed_server = server_new(&c);
}

UNUSED static void bed_close(void)
{
	server_free(bed_server);
	loop_turn(bed_loop, 0);
	loop_free(bed_loop);
}

UNUSED static struct client client_open(void)
{
	int pair[2];
	static const uint8_t address[16];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	server_adopt(bed_server, pair[1], address, LISTEN_PLAIN);
	return (struct client){.fd = pair[0]};
}

UNUSED static void client_close(struct client *c)
{
	close(c->fd);
	strbuf_fini(&c->got);
}

/* Reads what is there; true when something new came. */
UNUSED static bool client_read(struct client *c)
{
	char buf[65536];
	bool any = false;
	ssize_t n;
	while (!c->closed && (n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT)) != -1) {
		any = true;
		if (n == 0)
			c->closed = true;
		else
			strbuf_add(&c->got, buf, (size_t)n);
	}
	if (!c->closed && errno == ECONNRESET)
		c->closed = any = true;
	return any;
}

/* Turns the loop until nothing more comes of it. */
UNUSED static void bed_settle(struct client *c)
{
	for (int quiet = 0; quiet < 4;) {
		loop_turn(bed_loop, 0);
		quiet = c && client_read(c) ? 0 : quiet + 1;
	}
}

/* Sends all of it while turning the loop; stops when the server closed. */
UNUSED static void client_send(struct client *c, const char *p, size_t n)
{
	while (n > 0 && !c->closed) {
		ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k < 0 && errno != EAGAIN)
			break;
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		}
		loop_turn(bed_loop, 0);
		client_read(c);
	}
}

UNUSED static void client_say(struct client *c, const char *text)
{
	client_send(c, text, strlen(text));
	bed_settle(c);
}

/* Waits for `done` with the clock running; fails after 10 s. */
UNUSED static void bed_until(struct client *c, bool (*done)(struct client *c))
{
	int64_t end = clock_mono_us() + 10000000;
	while (!done(c)) {
		assert_true(clock_mono_us() < end);
		loop_turn(bed_loop, 5);
		client_read(c);
	}
}

UNUSED static bool is_closed(struct client *c)
{
	return c->closed;
}

UNUSED static bool has_text(const struct client *c, const char *text)
{
	return c->got.p && strstr(c->got.p, text) != NULL;
}

/* "200,404" of the answers in c->got, with " c" when the server closed. HEAD answers have
 * to come last. */
UNUSED static void client_summary(const struct client *c, char *out, size_t size)
{
	const char *p = c->got.p ? c->got.p : "";
	const char *end = p + c->got.n;
	size_t n = 0;
	out[0] = 0;
	while (p < end) {
		const char *body = strstr(p, "\r\n\r\n");
		if (strncmp(p, "HTTP/1.1 ", 9) != 0 || !body) {
			n += (size_t)snprintf(out + n, size - n, "%sjunk", n ? "," : "");
			break;
		}
		n += (size_t)snprintf(out + n, size - n, "%s%d", n ? "," : "",
				      atoi(p + 9));
		const char *length = strstr(p, "content-length: ");
		p = body + 4;
		if (length && length < body)
			p += strtoul(length + 16, NULL, 10);
	}
	if (p > end)
		n += (size_t)snprintf(out + n, size - n, "(short)");
	if (n == 0)
		n += (size_t)snprintf(out + n, size - n, "-");
	if (c->closed)
		snprintf(out + n, size - n, " c");
}

#endif
