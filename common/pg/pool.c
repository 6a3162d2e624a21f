/* SPDX-License-Identifier: Apache-2.0
 * The pool: requests waiting, connections, the write of a turn.
 *
 * Requests for any connection wait in one queue and are dealt out at the DATABASE phase
 * to the connection with the fewest in flight. Settled requests are recycled with their
 * buffers, so the steady state allocates nothing. */
#include "common/pg/pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/loop.h"
#include "common/pg/conn.h"

#define SPARE_MOST 256
#define SPARE_BUFFER_BYTES 65536
#define EXPIRY_TICK_US 100000

struct pg_pool {
	struct loop *loop;
	struct pg_pool_config config;
	char *conninfo;
	struct pg_conn *conns;
	int up;
	struct list queue; /* for any connection */
	struct list spare;
	int spare_count;
	size_t pending;
	struct loop_timer *expiry;
	bool closing;
};

struct loop *pg_pool_loop(struct pg_pool *p)
{
	return p->loop;
}

const struct pg_pool_config *pg_pool_settings(struct pg_pool *p)
{
	return &p->config;
}

bool pg_pool_is_up(const struct pg_pool *p)
{
	return p->up > 0;
}

size_t pg_pool_pending(const struct pg_pool *p)
{
	return p->pending;
}

void pg_pool_conn_changed(struct pg_pool *p, const char *message)
{
	int up = 0;
	for (int i = 0; i < p->config.connections; i++)
		up += p->conns[i].state == CONN_UP;
	bool was_up = p->up > 0, is_up = up > 0;
	p->up = up;
	if (p->config.on_state && !p->closing && (was_up != is_up || !is_up))
		p->config.on_state(p->config.arg, is_up, message);
}

/* ---- requests */

struct pg_request *pg_request_new(struct pg_pool *p)
{
	struct list *n = list_pop(&p->spare);
	struct pg_request *r =
		n ? list_entry(n, struct pg_request, node) : xcalloc(1, sizeof *r);
	p->spare_count -= n != NULL;
	list_init(&r->node);
	r->pool = p;
	r->stmt_count = 0;
	r->prepares = PREPARES_NOTHING;
	r->done = NULL;
	r->expires_us = 0;
	r->current = 0;
	r->failed_stmt = -1;
	r->sqlstate[0] = r->message[0] = 0;
	return r;
}

static void request_free(struct pg_request *r)
{
	for (int i = 0; i < PG_MAX_STMTS; i++) {
		if (!r->params[i])
			continue;
		pg_params_fini(r->params[i]);
		free(r->params[i]);
	}
	free(r);
}

static void request_recycle(struct pg_request *r)
{
	struct pg_pool *p = r->pool;
	for (int i = 0; i < PG_MAX_STMTS; i++) {
		PQclear(r->result[i]);
		r->result[i] = NULL;
	}
	if (p->spare_count >= SPARE_MOST) {
		request_free(r);
		return;
	}
	for (int i = 0; i < r->stmt_count; i++) {
		if (!r->params[i])
			continue;
		pg_params_reset(r->params[i]);
		strbuf_shrink(&r->params[i]->buf, SPARE_BUFFER_BYTES);
	}
	list_push_front(&p->spare, &r->node);
	p->spare_count++;
}

struct pg_request *pg_begin(struct pg_pool *p)
{
	return pg_request_new(p);
}

struct pg_params *pg_add(struct pg_request *r, int stmt)
{
	check(r->stmt_count < PG_MAX_STMTS);
	check(stmt >= 0 && (size_t)stmt < r->pool->config.stmt_count);
	int i = r->stmt_count++;
	r->stmt[i] = stmt;
	if (!r->params[i]) {
		r->params[i] = xmalloc(sizeof *r->params[i]);
		pg_params_init(r->params[i]);
	}
	pg_params_reset(r->params[i]);
	return r->params[i];
}

struct pg_params *pg_params_of(struct pg_request *r, int i)
{
	check(i >= 0 && i < r->stmt_count);
	return r->params[i];
}

void pg_discard(struct pg_request *r)
{
	request_recycle(r);
}

void pg_submit(struct pg_request *r, int conn, int queue_ms, pg_done_fn *done, void *arg)
{
	struct pg_pool *p = r->pool;
	check(r->stmt_count > 0 && conn < p->config.connections);
	r->done = done;
	r->arg = arg;
	if (queue_ms > 0) {
		r->expires_us = clock_mono_us() + (int64_t)queue_ms * 1000;
		if (!loop_timer_is_running(p->expiry))
			loop_timer_start(p->expiry, EXPIRY_TICK_US);
	}
	p->pending++;
	list_push(conn == PG_ANY ? &p->queue : &p->conns[conn].queue, &r->node);
	loop_again(p->loop);
}

void pg_request_settle(struct pg_request *r, enum err e, enum pg_fate fate)
{
	if (r->done) {
		struct pg_answer a = {
			.err = e,
			.fate = fate,
			.message = r->message,
			.failed_stmt = r->failed_stmt,
			.results =
				(const struct pg_result *const *)(const void *)r->result,
			.result_count = r->stmt_count};
		memcpy(a.sqlstate, r->sqlstate, sizeof a.sqlstate);
		r->pool->pending--;
		r->done(r->arg, &a);
	}
	request_recycle(r);
}

/* ---- the turn */

static struct pg_conn *least_busy(struct pg_pool *p)
{
	struct pg_conn *best = NULL;
	for (int i = 0; i < p->config.connections; i++) {
		struct pg_conn *c = &p->conns[i];
		if (c->state == CONN_UP && (!best || c->in_flight < best->in_flight))
			best = c;
	}
	return best;
}

static void on_turn(void *arg)
{
	struct pg_pool *p = arg;
	for (int i = 0; i < p->config.connections; i++) {
		struct pg_conn *c = &p->conns[i];
		while (c->state == CONN_UP && !list_is_empty(&c->queue))
			pg_conn_send(c, list_entry(list_pop(&c->queue), struct pg_request,
						   node));
	}
	while (!list_is_empty(&p->queue)) {
		struct pg_conn *c = least_busy(p);
		if (!c)
			break;
		pg_conn_send(c, list_entry(list_pop(&p->queue), struct pg_request, node));
	}
	for (int i = 0; i < p->config.connections; i++)
		pg_conn_flush(&p->conns[i]);
}

/* Moves what waited too long to `late`; returns whether any is left that may expire. */
static bool collect_late(struct list *queue, struct list *late, int64_t now_us)
{
	bool more = false;
	list_each (n, queue) {
		struct pg_request *r = list_entry(n, struct pg_request, node);
		if (!r->expires_us)
			continue;
		if (r->expires_us > now_us) {
			more = true;
			continue;
		}
		list_remove(n);
		list_push(late, n);
	}
	return more;
}

static void on_expiry(void *arg)
{
	struct pg_pool *p = arg;
	struct list late;
	list_init(&late);
	int64_t now_us = clock_mono_us();
	bool more = collect_late(&p->queue, &late, now_us);
	for (int i = 0; i < p->config.connections; i++)
		more |= collect_late(&p->conns[i].queue, &late, now_us);
	if (more)
		loop_timer_start(p->expiry, EXPIRY_TICK_US);
	for (struct list *n; (n = list_pop(&late));)
		pg_request_settle(list_entry(n, struct pg_request, node), ERR_DATABASE,
				  PG_NOT_SENT);
}

/* ---- life */

struct pg_pool *pg_pool_new(struct loop *l, const struct pg_pool_config *config)
{
	struct pg_pool *p = xcalloc(1, sizeof *p);
	p->loop = l;
	p->config = *config;
	p->conninfo = xstrdup(config->conninfo);
	p->config.conninfo = p->conninfo;
	list_init(&p->queue);
	list_init(&p->spare);
	p->expiry = loop_timer_new(l, on_expiry, p);
	p->conns = xcalloc((size_t)config->connections, sizeof *p->conns);
	for (int i = 0; i < config->connections; i++)
		pg_conn_init(&p->conns[i], p);
	loop_hook(l, LOOP_DATABASE, on_turn, p);
	for (int i = 0; i < config->connections; i++)
		pg_conn_start(&p->conns[i]);
	return p;
}

static void cancel_all(struct list *queue, enum pg_fate fate)
{
	for (struct list *n; (n = list_pop(queue));)
		pg_request_settle(list_entry(n, struct pg_request, node), ERR_CANCELLED,
				  fate);
}

void pg_pool_free(struct pg_pool *p)
{
	if (!p)
		return;
	p->closing = true;
	cancel_all(&p->queue, PG_NOT_SENT);
	for (int i = 0; i < p->config.connections; i++) {
		cancel_all(&p->conns[i].queue, PG_NOT_SENT);
		cancel_all(&p->conns[i].flight, PG_UNKNOWN);
		pg_conn_fini(&p->conns[i]);
	}
	for (struct list *n; (n = list_pop(&p->spare));)
		request_free(list_entry(n, struct pg_request, node));
	loop_unhook(p->loop, on_turn, p);
	loop_timer_free(p->expiry);
	crypto_wipe(p->conninfo, strlen(p->conninfo));
	free(p->conninfo);
	free(p->conns);
	free(p);
}
