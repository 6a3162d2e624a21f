/* SPDX-License-Identifier: Apache-2.0
 * The listening socket, the connections' caps and clocks, the flush of a turn. */
#include "edge/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/map.h"
#include "edge/conn.h"
#include "edge/tls.h"

#define ACCEPTS_A_TURN 64
/* Connections over the cap that are still told so. */
#define REFUSALS_MAX 64
#define ACCEPT_PAUSE_US 100000

struct door {
	struct server *server;
	struct server_listener at;
	struct loop_fd *watch; /* NULL: another edge's */
};

struct server {
	struct server_config config;
	struct door *doors;
	struct tls_keys *keys;
	struct loop_timer *sweep, *resume;
	struct loop_task drained;
	struct list conns, dirty;
	struct map *addresses; /* 16 bytes -> unsigned * */
	unsigned count, exchanges;
	size_t held; /* bytes of bodies */
	bool draining;
	time_t date_second;
	char date[32];
	char id_prefix[9];
	uint64_t id_next;
	uint32_t stands_in; /* for these edges */
};

struct loop *server_loop(const struct server *s)
{
	return s->config.loop;
}

int64_t server_scaled(const struct server *s, int64_t us)
{
	return s->config.time_scale > 1 ? us / s->config.time_scale : us;
}

const struct server_config *server_settings(const struct server *s)
{
	return &s->config;
}

const struct cors *server_cors(const struct server *s)
{
	return s->config.cors;
}

struct list *server_dirty(struct server *s)
{
	return &s->dirty;
}

const char *server_date(struct server *s)
{
	time_t now = (time_t)(clock_real_us() / 1000000);
	struct tm tm;
	if (now != s->date_second) {
		gmtime_r(&now, &tm);
		strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_second = now;
	}
	return s->date;
}

void server_request_id(struct server *s, char out[REQUEST_ID_MAX + 1])
{
	snprintf(out, REQUEST_ID_MAX + 1, "%s-%llx", s->id_prefix,
		 (unsigned long long)s->id_next++);
}

bool server_in_pieces(const struct server *s, struct request *r)
{
	return s->config.in_pieces && s->config.in_pieces(s->config.arg, r);
}

void server_dispatch(struct server *s, struct request *r)
{
	s->config.on_request(s->config.arg, r);
}

/* ---- counting */

static void check_drained(struct server *s)
{
	if (s->draining && s->exchanges == 0)
		loop_wake(s->config.loop, &s->drained);
}

bool server_hold(struct server *s, size_t had, size_t has)
{
	size_t most = s->config.bodies_max ? s->config.bodies_max : SERVER_BODIES_MAX;
	s->held += has - had;
	return s->held <= most;
}

void server_count_exchange(struct server *s, int delta)
{
	s->exchanges += (unsigned)delta;
	check_drained(s);
}

static unsigned *address_count(struct server *s, const uint8_t address[16])
{
	struct slice key = slice_of(address, 16);
	unsigned *n = map_get(s->addresses, key);
	if (!n) {
		n = xcalloc(1, sizeof *n);
		map_put(s->addresses, key, n);
	}
	return n;
}

void server_forget(struct server *s, struct conn *c)
{
	struct slice key = slice_of(c->address, 16);
	unsigned *n = map_get(s->addresses, key);
	list_remove(&c->node);
	s->count--;
	if (n && --*n == 0) {
		map_take(s->addresses, key);
		free(n);
	}
}

/* ---- connections */

void server_adopt(struct server *s, int fd, const uint8_t address[16],
		  enum listen_kind kind)
{
	bool sealed = kind == LISTEN_TLS || kind == LISTEN_MTLS;
	unsigned *from = address_count(s, address);
	bool full = s->count >= s->config.max_connections ||
		    (kind != LISTEN_UNIX && *from >= s->config.max_per_address);
	++*from;
	s->count++;
	struct tls *tls =
		sealed && s->keys ? tls_new(s->keys, kind == LISTEN_MTLS) : NULL;
	struct conn *c = conn_new(s, fd, address, kind, tls);
	list_push(&s->conns, &c->node);
	if (sealed && (full || !tls)) /* a word would cost it a handshake */
		conn_kill(c);
	else if (full)
		conn_refuse(c, &(struct http_fault){503, "too many connections"});
	if (!loop_timer_is_running(s->sweep))
		loop_timer_start(s->sweep, server_scaled(s, SERVER_SWEEP_US));
}

static void address_of(const struct sockaddr_storage *a, uint8_t out[16])
{
	memset(out, 0, 16);
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		out[10] = out[11] = 0xff;
		memcpy(out + 12, &in->sin_addr, 4);
	} else if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)a;
		memcpy(out, &in->sin6_addr, 16);
	}
}

/* Those of an edge that serves its own are its own affair. */
static bool is_served(const struct door *d)
{
	const struct server *s = d->server;
	return d->at.edge == SERVER_EVERYBODY || d->at.edge == s->config.edge ||
	       (d->at.edge < 32 && s->stands_in >> d->at.edge & 1);
}

static void on_listen(void *arg, int what);

static void watch_doors(struct server *s)
{
	bool paused = loop_timer_is_running(s->resume);
	for (unsigned i = 0; i < s->config.listener_count; i++) {
		struct door *d = &s->doors[i];
		if (is_served(d) && !d->watch)
			d->watch = loop_fd_new(s->config.loop, d->at.fd, 0, on_listen, d);
		if (d->watch)
			loop_fd_set(d->watch, is_served(d) && !paused ? LOOP_READ : 0);
	}
}

void server_stand_in(struct server *s, uint32_t edges)
{
	s->stands_in = edges;
	watch_doors(s);
}

void server_set_keys(struct server *s, struct tls_keys *k)
{
	tls_keys_free(s->keys);
	s->keys = k;
}

/* false: nothing more to accept now. */
static bool accept_one(struct door *d)
{
	struct server *s = d->server;
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof a;
	int one = 1;
	uint8_t address[16];
	int fd = accept4(d->at.fd, (void *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
		log_warn("accept-paused", "errno=%d connections=%u", errno, s->count);
		loop_timer_start(s->resume, ACCEPT_PAUSE_US);
		watch_doors(s);
	}
	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR;
	if (s->count >= s->config.max_connections + REFUSALS_MAX) {
		close(fd);
		return true;
	}
	if (a.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	address_of(&a, address);
	server_adopt(s, fd, address, d->at.kind);
	return true;
}

static void on_listen(void *arg, int what)
{
	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!accept_one(arg))
			return;
}

static void on_resume(void *arg)
{
	watch_doors(arg);
}

/* ---- the turn and the clock */

static void flush(void *arg)
{
	struct server *s = arg;
	struct list *n;
	while ((n = list_pop(&s->dirty)))
		conn_flush(list_entry(n, struct conn, dirty));
}

static void on_sweep(void *arg)
{
	struct server *s = arg;
	int64_t now = loop_now_us(s->config.loop);
	list_each (n, &s->conns)
		conn_sweep(list_entry(n, struct conn, node), now);
	if (!list_is_empty(&s->conns))
		loop_timer_start(s->sweep, server_scaled(s, SERVER_SWEEP_US));
}

static void on_drained(void *arg)
{
	struct server *s = arg;
	if (s->config.on_drained)
		s->config.on_drained(s->config.arg);
}

/* ---- life */

struct server *server_new(const struct server_config *c)
{
	struct server *s = xcalloc(1, sizeof *s);
	uint8_t random[4];
	s->config = *c;
	if (!c->head_us)
		s->config.head_us = SERVER_HEAD_US;
	if (!c->body_rate)
		s->config.body_rate = SERVER_BODY_RATE;
	if (!c->requests_most)
		s->config.requests_most = SERVER_REQUESTS_MAX;
	list_init(&s->conns);
	list_init(&s->dirty);
	s->addresses = map_new();
	s->sweep = loop_timer_new(c->loop, on_sweep, s);
	s->resume = loop_timer_new(c->loop, on_resume, s);
	loop_task_init(&s->drained, on_drained, s);
	crypto_random(random, sizeof random);
	crypto_hex(random, sizeof random, s->id_prefix);
	loop_hook(c->loop, LOOP_CONNECTIONS, flush, s);
	s->doors = xcalloc(c->listener_count + 1, sizeof *s->doors);
	for (unsigned i = 0; i < c->listener_count; i++)
		s->doors[i] = (struct door){s, c->listeners[i], NULL};
	watch_doors(s);
	return s;
}

void server_free(struct server *s)
{
	list_each (n, &s->conns)
		conn_kill(list_entry(n, struct conn, node));
	for (unsigned i = 0; i < s->config.listener_count; i++)
		loop_fd_free(s->doors[i].watch);
	free(s->doors);
	tls_keys_free(s->keys);
	loop_timer_free(s->sweep);
	loop_timer_free(s->resume);
	loop_unwake(s->config.loop, &s->drained);
	loop_unhook(s->config.loop, flush, s);
	map_free(s->addresses);
	loop_reap(s->config.loop, free, s);
}

void server_drain(struct server *s)
{
	s->draining = true;
	list_each (n, &s->conns)
		conn_drain(list_entry(n, struct conn, node));
	check_drained(s);
}

bool server_is_draining(const struct server *s)
{
	return s->draining;
}

unsigned server_connections(const struct server *s)
{
	return s->count;
}

unsigned server_exchanges(const struct server *s)
{
	return s->exchanges;
}
