/* SPDX-License-Identifier: Apache-2.0
 * A link over nng pair1. nng calls back on threads of its own: those only count pipes and
 * poke an eventfd. */
#include "proto/chan.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pair1/pair.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"

#define QUEUE_MESSAGES 16 /* inside nng, each way: the rest waits here, counted */
#define FRAME_SEAL_BYTES (1u << 20) /* a frame is closed once it holds this much */
#define FRAME_SEAL_MESSAGES 2000u   /* times fields stays below LIMIT_FRAME_VALUES */
#define RECEIVE_PER_TURN 64
#define RECEIVE_BYTES_PER_TURN (1u << 20) /* the rest after what else there is to do */
#define HELLO_LIMIT_US 10000000
#define STALL_LIMIT_US 5000000
#define STALL_TICKS 5

struct frame {
	struct frame *next;
	nng_msg *msg;
};

struct chan {
	struct chan_config c;
	uint8_t secret[32];
	nng_socket socket;
	struct loop_fd *receive, *send, *poke;
	struct loop_timer *hello_limit, *stall;
	int poke_fd;
	atomic_int pipes_added, pipes_removed;
	unsigned phase;
	uint64_t sent, received; /* frame counters */
	struct strbuf out;       /* the frame being filled */
	unsigned out_messages;
	struct frame *first, **last; /* sealed, not yet taken by the socket */
	size_t waiting_bytes;
	int stall_ticks; /* since the socket took something, while something waits */
	bool pressed, down, dead;
};

static void send_out(void *arg);

/* ---- the end */

static void chan_down(struct chan *ch, const char *why)
{
	if (ch->down)
		return;
	ch->down = true;
	loop_timer_stop(ch->hello_limit);
	loop_timer_stop(ch->stall);
	ch->c.on_down(ch->c.arg, why);
}

/* ---- closing: nng_close (of the versions that Debian has) waits for ever now and then,
 * which must not stop a supervisor */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned under_way;
} closings = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void close_now(struct chan *ch)
{
	nng_close(ch->socket); /* after this no callback of nng's comes */
	close(ch->poke_fd);
	while (ch->first) {
		struct frame *f = ch->first;
		ch->first = f->next;
		nng_msg_free(f->msg);
		free(f);
	}
	strbuf_fini(&ch->out);
	crypto_wipe(ch->secret, sizeof ch->secret);
	free(ch);
}

static void *close_apart(void *p)
{
	close_now(p);
	pthread_mutex_lock(&closings.lock);
	closings.under_way--;
	pthread_cond_signal(&closings.done);
	pthread_mutex_unlock(&closings.lock);
	return NULL;
}

/* Children close theirs when they end, and may start no thread then. */
static void reap(void *p)
{
	struct chan *ch = p;
	pthread_t thread;
	if (!ch->c.is_supervisor) {
		close_now(ch);
		return;
	}
	pthread_mutex_lock(&closings.lock);
	closings.under_way++;
	pthread_mutex_unlock(&closings.lock);
	if (pthread_create(&thread, NULL, close_apart, ch))
		close_apart(ch);
	else
		pthread_detach(thread);
}

bool chan_wait_closed(unsigned ms)
{
	struct timespec until;
	int rv = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000l;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&closings.lock);
	while (closings.under_way && rv != ETIMEDOUT)
		rv = pthread_cond_timedwait(&closings.done, &closings.lock, &until);
	bool all = closings.under_way == 0;
	pthread_mutex_unlock(&closings.lock);
	return all;
}

void chan_free(struct chan *ch)
{
	if (!ch || ch->dead)
		return;
	ch->dead = ch->down = true;
	loop_unhook(ch->c.loop, send_out, ch);
	loop_fd_free(ch->receive);
	loop_fd_free(ch->send);
	loop_fd_free(ch->poke);
	loop_timer_free(ch->hello_limit);
	loop_timer_free(ch->stall);
	loop_reap(ch->c.loop, reap, ch);
}

/* ---- sending */

static void seal(struct chan *ch)
{
	struct frame *f;
	if (ch->out_messages == 0)
		return;
	f = xmalloc(sizeof *f);
	f->next = NULL;
	if (nng_msg_alloc(&f->msg, ch->out.n))
		fatal("out of memory: a frame of %zu bytes", ch->out.n);
	memcpy(nng_msg_body(f->msg), ch->out.p, ch->out.n);
	ch->waiting_bytes += ch->out.n;
	*ch->last = f;
	ch->last = &f->next;
	strbuf_reset(&ch->out);
	strbuf_shrink(&ch->out, LIMIT_OUTBOX_SOFT);
	ch->out_messages = 0;
}

static void judge_pressure(struct chan *ch)
{
	size_t n = chan_outbox(ch);
	bool now = ch->pressed ? n > LIMIT_OUTBOX_SOFT / 2 : n > LIMIT_OUTBOX_SOFT;
	if (now == ch->pressed)
		return;
	ch->pressed = now;
	if (ch->c.on_pressure)
		ch->c.on_pressure(ch->c.arg, now);
}

/* How much waits says nothing of the peer: that may be one turn's work, and more would go
 * out if the peer were faster. A peer is given up when it takes nothing for long; by
 * ticks of our own loop, so that one that slept itself does not find its peers dead. A
 * child ends with its supervisor, and waits for it until then. */
static void watch_stall(struct chan *ch, bool moved)
{
	if (!ch->c.is_supervisor)
		return;
	if (moved)
		ch->stall_ticks = 0;
	if (!ch->first)
		loop_timer_stop(ch->stall);
	else if (!loop_timer_is_running(ch->stall))
		loop_timer_start(ch->stall, ch->c.stall_us / STALL_TICKS);
}

static void on_stall(void *arg)
{
	struct chan *ch = arg;
	char why[80];
	if (++ch->stall_ticks < STALL_TICKS) {
		loop_timer_start(ch->stall, ch->c.stall_us / STALL_TICKS);
		return;
	}
	snprintf(why, sizeof why, "for %.1f s it read nothing of what it was sent",
		 (double)ch->c.stall_us / 1e6);
	chan_down(ch, why);
}

/* Gives the socket what waits; false: the link ended. */
static bool give(struct chan *ch, bool *moved)
{
	while (ch->first) {
		struct frame *f = ch->first;
		size_t n = nng_msg_len(f->msg);
		int rv = nng_sendmsg(ch->socket, f->msg, NNG_FLAG_NONBLOCK);
		if (rv == NNG_EAGAIN)
			break;
		if (rv) {
			chan_down(ch, nng_strerror(rv));
			return false;
		}
		*moved = true;
		ch->waiting_bytes -= n;
		ch->first = f->next;
		if (!ch->first)
			ch->last = &ch->first;
		free(f);
	}
	return true;
}

static void send_out(void *arg)
{
	struct chan *ch = arg;
	bool moved = false;
	if (ch->down || !give(ch, &moved))
		return;
	if (!ch->first) { /* else what is new joins the open frame */
		seal(ch);
		if (!give(ch, &moved))
			return;
	}
	loop_fd_set(ch->send, ch->first ? LOOP_READ : 0);
	watch_stall(ch, moved);
	judge_pressure(ch);
}

static void on_sendable(void *arg, int what)
{
	(void)arg, (void)what; /* the turn's hook sends */
}

enum err chan_send(struct chan *ch, enum wire_id id, const void *msg)
{
	if (ch->down)
		return ERR_PEER_GONE;
	if (ch->out_messages == 0)
		wire_encode_counter(&ch->out, ++ch->sent);
	enum err e = wire_encode(&ch->out, id, msg);
	if (e) {
		if (ch->out_messages == 0) {
			strbuf_reset(&ch->out);
			ch->sent--;
		}
		return e;
	}
	if (++ch->out_messages >= FRAME_SEAL_MESSAGES || ch->out.n >= FRAME_SEAL_BYTES)
		seal(ch);
	return ERR_OK;
}

size_t chan_outbox(const struct chan *ch)
{
	return ch->waiting_bytes + ch->out.n;
}

/* ---- the handshake */

static void greeted(struct chan *ch, unsigned pid)
{
	ch->phase = LINK_GREETED;
	loop_timer_stop(ch->hello_limit);
	ch->c.on_up(ch->c.arg, pid);
}

static void take_hello(struct chan *ch, const struct wire_hello *m)
{
	struct wire_welcome welcome = {.table_hash = wire_table_hash()};
	if (m->table_hash != wire_table_hash()) {
		chan_down(ch, "it is of another build");
		return;
	}
	if (m->role != ch->c.role || m->secret.n != sizeof ch->secret ||
	    !crypto_equal(m->secret.p, ch->secret, sizeof ch->secret)) {
		chan_down(ch, "it could not prove who it is");
		return;
	}
	if (chan_send(ch, WIRE_WELCOME, &welcome) == ERR_OK)
		greeted(ch, m->pid);
}

static void say_hello(struct chan *ch)
{
	struct wire_hello hello = {.table_hash = wire_table_hash(),
				   .role = ch->c.role,
				   .pid = (uint32_t)getpid(),
				   .secret = slice_of(ch->secret, sizeof ch->secret)};
	if (chan_send(ch, WIRE_HELLO, &hello))
		chan_down(ch, "the greeting could not be sent");
}

static void on_hello_limit(void *arg)
{
	chan_down(arg, "no greeting in time");
}

/* ---- receiving */

static bool is_route_ours(const struct chan *ch, enum wire_route route)
{
	bool edge = ch->c.role == ROLE_EDGE;
	if (ch->c.is_supervisor)
		return route == LINK_UP || route == CHILD_UP ||
		       route == (edge ? EDGE_UP : WORKER_UP);
	return route == LINK_DOWN || route == CHILD_DOWN ||
	       route == (edge ? EDGE_DOWN : WORKER_DOWN);
}

static void take_message(struct chan *ch, enum wire_id id, const union wire_any *m)
{
	const struct wire_desc *d = wire_desc(id);
	char why[128];
	if (!is_route_ours(ch, d->route) || !(d->phases & ch->phase)) {
		snprintf(why, sizeof why, "it sent '%s' out of turn", d->name);
		chan_down(ch, why);
		return;
	}
	if (id == WIRE_HELLO)
		take_hello(ch, &m->hello);
	else if (id == WIRE_WELCOME && m->welcome.table_hash == wire_table_hash())
		greeted(ch, 0);
	else if (id == WIRE_WELCOME)
		chan_down(ch, "it is of another build");
	else
		ch->c.on_message(ch->c.arg, id, m);
}

static void take_frame(struct chan *ch, struct slice bytes)
{
	struct wire_frame f;
	union wire_any m;
	enum wire_id id;
	enum err e;
	const char *why = "";
	char text[160];
	if (wire_frame_open(bytes, &f, &why)) {
		snprintf(text, sizeof text, "it sent nonsense: %s", why);
		chan_down(ch, text);
		return;
	}
	if (f.counter != ++ch->received) {
		chan_down(ch, "a frame was lost");
		return;
	}
	while (!ch->down && (e = wire_frame_next(&f, &id, &m, &why)) != ERR_NOT_FOUND) {
		if (e) {
			snprintf(text, sizeof text, "it sent nonsense: %s", why);
			chan_down(ch, text);
			return;
		}
		take_message(ch, id, &m);
	}
}

/* Returns whether anything came. */
static size_t receive_one(struct chan *ch)
{
	nng_msg *msg;
	if (ch->down || nng_recvmsg(ch->socket, &msg, NNG_FLAG_NONBLOCK))
		return 0;
	size_t n = nng_msg_len(msg);
	take_frame(ch, slice_of(nng_msg_body(msg), n));
	nng_msg_free(msg);
	return n;
}

static void on_receivable(void *arg, int what)
{
	size_t n = 1, bytes = 0;
	(void)what;
	for (int i = 0; i < RECEIVE_PER_TURN && n && bytes < RECEIVE_BYTES_PER_TURN; i++)
		bytes += n = receive_one(arg);
}

static void on_pipe(nng_pipe p, nng_pipe_ev ev, void *arg)
{
	struct chan *ch = arg;
	uint64_t one = 1;
	(void)p;
	atomic_fetch_add(
		ev == NNG_PIPE_EV_ADD_POST ? &ch->pipes_added : &ch->pipes_removed, 1);
	if (write(ch->poke_fd, &one, sizeof one) < 0)
		return; /* the counter is full: a poke is pending anyway */
}

static void on_poke(void *arg, int what)
{
	struct chan *ch = arg;
	uint64_t n;
	(void)what;
	if (read(ch->poke_fd, &n, sizeof n) < 0 || ch->down)
		return;
	if (atomic_load(&ch->pipes_added) > 1) {
		chan_down(ch, "a second peer connected");
		return;
	}
	if (atomic_load(&ch->pipes_removed) == 0)
		return;
	while (receive_one(ch)) /* what it said before it went still counts */
		;
	chan_down(ch, "it closed the link");
}

/* ---- opening */

static int open_socket(struct chan *ch)
{
	int rv = nng_pair1_open(&ch->socket);
	if (rv)
		return rv;
	nng_socket_set_int(ch->socket, NNG_OPT_SENDBUF, QUEUE_MESSAGES);
	nng_socket_set_int(ch->socket, NNG_OPT_RECVBUF, QUEUE_MESSAGES);
	nng_socket_set_size(ch->socket, NNG_OPT_RECVMAXSZ, LIMIT_FRAME_BYTES);
	nng_socket_set_ms(ch->socket, NNG_OPT_RECONNMINT,
			  3600000); /* one pipe, no reconnect */
	nng_socket_set_ms(ch->socket, NNG_OPT_RECONNMAXT, 3600000);
	nng_pipe_notify(ch->socket, NNG_PIPE_EV_ADD_POST, on_pipe, ch);
	nng_pipe_notify(ch->socket, NNG_PIPE_EV_REM_POST, on_pipe, ch);
	if (ch->c.is_supervisor)
		rv = nng_listen(ch->socket, ch->c.url, NULL, 0);
	else
		rv = nng_dial(ch->socket, ch->c.url, NULL, 0);
	if (rv)
		nng_close(ch->socket);
	return rv;
}

struct chan *chan_open(const struct chan_config *c, char *err, size_t err_size)
{
	struct chan *ch = xcalloc(1, sizeof *ch);
	int receive_fd = -1, send_fd = -1, rv;
	ch->c = *c;
	if (!ch->c.stall_us)
		ch->c.stall_us = STALL_LIMIT_US;
	ch->phase = LINK_NEW;
	ch->last = &ch->first;
	memcpy(ch->secret, c->secret, sizeof ch->secret);
	ch->poke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rv = ch->poke_fd < 0 ? NNG_ENOMEM : open_socket(ch);
	if (rv) {
		snprintf(err, err_size, "%s: %s", c->url, nng_strerror(rv));
		if (ch->poke_fd >= 0)
			close(ch->poke_fd);
		free(ch);
		return NULL;
	}
	nng_socket_get_int(ch->socket, NNG_OPT_RECVFD, &receive_fd);
	nng_socket_get_int(ch->socket, NNG_OPT_SENDFD, &send_fd);
	ch->receive = loop_fd_new(c->loop, receive_fd, LOOP_READ, on_receivable, ch);
	ch->send = loop_fd_new(c->loop, send_fd, 0, on_sendable, ch);
	ch->poke = loop_fd_new(c->loop, ch->poke_fd, LOOP_READ, on_poke, ch);
	ch->hello_limit = loop_timer_new(c->loop, on_hello_limit, ch);
	ch->stall = loop_timer_new(c->loop, on_stall, ch);
	loop_timer_start(ch->hello_limit,
			 c->hello_timeout_us ? c->hello_timeout_us : HELLO_LIMIT_US);
	loop_hook(c->loop, LOOP_LINKS, send_out, ch);
	if (!c->is_supervisor)
		say_hello(ch);
	return ch;
}

void chan_set_phase(struct chan *ch, unsigned phase)
{
	ch->phase = phase;
}

unsigned chan_phase(const struct chan *ch)
{
	return ch->phase;
}

void chan_make_url(const char *dir, char *out, size_t out_size)
{
	uint8_t bits[12];
	char name[20];
	crypto_random(bits, sizeof bits);
	crypto_base64url(bits, sizeof bits, name, sizeof name);
	snprintf(out, out_size, "ipc://%s/%s", dir, name);
}

void chan_url_path(struct slice url, char *out, size_t out_size)
{
	const size_t scheme = sizeof "ipc://" - 1;
	check(url.n > scheme);
	snprintf(out, out_size, "%.*s", (int)(url.n - scheme), url.p + scheme);
}
