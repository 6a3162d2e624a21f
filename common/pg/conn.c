/* SPDX-License-Identifier: Apache-2.0
 * One connection in pipeline mode: connect, prepare on first use, send, read results in
 * order, lose, reconnect. A request is settled when its Sync is answered and not before:
 * an error result alone does not prove a rollback, since the server may die between the
 * two.
 *
 * The server ends a statement by its own limit; when nothing is heard for longer than
 * that, the connection is half open or its server process stands still, and is lost like
 * any other. What a lost connection leaves at the server would keep its locks until the
 * server notices, so the next connection ends it first. */
#include "common/pg/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/dial.h"
#include "common/pg/row.h"

#define BACKOFF_FIRST_US 50000
#define BACKOFF_MOST_US 1000000
#define CONNECT_LIMIT_US 10000000
#define SILENCE_US 5000000 /* beyond the limit of a statement */

static void conn_lost(struct pg_conn *c, const char *why);

void pg_conn_init(struct pg_conn *c, struct pg_pool *p)
{
	*c = (struct pg_conn){.pool = p, .fd = -1, .backoff_us = BACKOFF_FIRST_US};
	list_init(&c->queue);
	list_init(&c->flight);
	c->prepared = xcalloc(pg_pool_settings(p)->stmt_count, sizeof *c->prepared);
}

static void close_pq(struct pg_conn *c)
{
	loop_fd_free(c->watch);
	c->watch = NULL;
	c->fd = -1;
	if (c->pq)
		PQfinish(c->pq);
	c->pq = NULL;
	c->has_output = false;
}

void pg_conn_fini(struct pg_conn *c)
{
	loop_timer_free(c->timer);
	close_pq(c);
	free(c->prepared);
}

/* ---- connecting */

static void on_connecting(void *arg, int what);
static void on_ready(void *arg, int what);
static void read_input(struct pg_conn *c);

static void watch(struct pg_conn *c, int what, loop_fd_fn *fn)
{
	loop_fd_free(c->watch);
	c->fd = PQsocket(c->pq);
	c->watch = loop_fd_new(pg_pool_loop(c->pool), c->fd, what, fn, c);
}

/* The server keeps small answers back until a request's end: the limit is that of all the
 * statements of the one it is at. */
static int64_t silence_limit_us(const struct pg_conn *c)
{
	const struct pg_request *r = list_entry(c->flight.next, struct pg_request, node);
	int64_t each_ms = pg_statement_timeout_ms(pg_pool_settings(c->pool));
	return each_ms * 1000 * r->stmt_count + SILENCE_US;
}

static void to_flight(struct pg_conn *c, struct pg_request *r)
{
	if (c->in_flight++ == 0)
		c->heard_us = loop_now_us(pg_pool_loop(c->pool));
	list_push(&c->flight, &r->node);
	c->has_output = true;
	if (!loop_timer_is_running(c->timer))
		loop_timer_start(c->timer, silence_limit_us(c));
}

/* To what this connection asked for itself. */
static void expect_answer(struct pg_conn *c, int prepares)
{
	struct pg_request *r = pg_request_new(c->pool);
	r->prepares = prepares;
	r->stmt_count = 1;
	to_flight(c, r);
}

/* Before anything else is sent here: who the server process is, and the end of the one
 * before it, if that is still there. By its start as well, for pids come back. */
static void greet(struct pg_conn *c)
{
	char sql[640];
	snprintf(sql, sizeof sql,
		 "WITH a AS (SELECT pid, (extract(epoch FROM backend_start) * "
		 "1000000)::bigint AS start_us FROM pg_stat_activity) SELECT start_us, "
		 "(SELECT pg_terminate_backend(pid, 1000) FROM a WHERE pid = %d AND "
		 "start_us = %lld) FROM a WHERE pid = pg_backend_pid()",
		 c->backend, (long long)c->backend_start_us);
	c->backend = PQbackendPID(c->pq);
	c->backend_start_us = 0;
	if (!PQsendQueryParams(c->pq, sql, 0, NULL, NULL, NULL, NULL, 1) ||
	    !PQpipelineSync(c->pq))
		return; /* the connection is broken: reading will say so */
	expect_answer(c, GREETS);
}

static void greeted(struct pg_conn *c, const struct pg_request *r)
{
	const struct pg_result *found = (const struct pg_result *)r->result[0];
	if (r->failed_stmt >= 0)
		log_warn("old-connection-stays", "sqlstate=%s message=\"%s\"",
			 r->sqlstate, r->message);
	else if (found && pg_rows(found))
		c->backend_start_us = pg_get_i64(found, 0, 0);
}

static void conn_up(struct pg_conn *c)
{
	loop_timer_stop(c->timer);
	if (PQsetnonblocking(c->pq, 1) || !PQenterPipelineMode(c->pq)) {
		conn_lost(c, PQerrorMessage(c->pq));
		return;
	}
	memset(c->prepared, 0,
	       pg_pool_settings(c->pool)->stmt_count * sizeof *c->prepared);
	c->state = CONN_UP;
	c->backoff_us = BACKOFF_FIRST_US;
	watch(c, LOOP_READ, on_ready);
	greet(c);
	pg_pool_conn_changed(c->pool, "");
	loop_again(pg_pool_loop(c->pool));
}

static void connect_more(struct pg_conn *c)
{
	switch (PQconnectPoll(c->pq)) {
	case PGRES_POLLING_OK:
		conn_up(c);
		return;
	case PGRES_POLLING_READING:
		watch(c, LOOP_READ, on_connecting);
		return;
	case PGRES_POLLING_WRITING:
		watch(c, LOOP_WRITE, on_connecting);
		return;
	default:
		conn_lost(c, PQerrorMessage(c->pq));
	}
}

static void on_connecting(void *arg, int what)
{
	(void)what;
	connect_more(arg);
}

static void judge_silence(struct pg_conn *c)
{
	int64_t limit_us, left_us;
	char why[64];
	read_input(c); /* after a pause of this process an answer may lie here */
	if (c->state != CONN_UP || list_is_empty(&c->flight))
		return;
	limit_us = silence_limit_us(c);
	left_us = c->heard_us + limit_us - loop_now_us(pg_pool_loop(c->pool));
	if (left_us > 0) {
		loop_timer_start(c->timer, left_us);
		return;
	}
	snprintf(why, sizeof why, "nothing was heard for %.3g s", (double)limit_us / 1e6);
	conn_lost(c, why);
}

static void on_timer(void *arg)
{
	struct pg_conn *c = arg;
	if (c->state == CONN_CONNECTING)
		conn_lost(c, "no answer within 10 s");
	else if (c->state == CONN_UP)
		judge_silence(c);
	else
		pg_conn_start(c);
}

void pg_conn_start(struct pg_conn *c)
{
	if (!c->timer)
		c->timer = loop_timer_new(pg_pool_loop(c->pool), on_timer, c);
	c->state = CONN_CONNECTING;
	c->pq = pg_dial(pg_pool_settings(c->pool));
	if (!c->pq || PQstatus(c->pq) == CONNECTION_BAD) {
		conn_lost(c, c->pq ? PQerrorMessage(c->pq)
				   : "the connection string is malformed");
		return;
	}
	loop_timer_start(c->timer, CONNECT_LIMIT_US);
	watch(c, LOOP_WRITE, on_connecting);
}

/* ---- losing */

static void one_line(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
	for (char *p = out; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	for (size_t n = strlen(out); n && out[n - 1] == ' '; n--)
		out[n - 1] = 0;
}

static void conn_lost(struct pg_conn *c, const char *why)
{
	char text[256];
	struct list lost;
	uint32_t jitter;
	one_line(text, sizeof text, why);
	c->state = CONN_DOWN;
	close_pq(c);
	list_init(&lost);
	for (struct list *n; (n = list_pop(&c->flight));)
		list_push(&lost, n);
	c->in_flight = 0;
	crypto_random(&jitter, sizeof jitter);
	loop_timer_start(c->timer,
			 c->backoff_us / 2 +
				 (int64_t)(jitter % (uint64_t)c->backoff_us) / 2);
	c->backoff_us =
		c->backoff_us * 2 > BACKOFF_MOST_US ? BACKOFF_MOST_US : c->backoff_us * 2;
	for (struct list *n; (n = list_pop(&lost));) {
		struct pg_request *r = list_entry(n, struct pg_request, node);
		snprintf(r->message, sizeof r->message, "%s", text);
		pg_request_settle(r, ERR_DATABASE, PG_UNKNOWN);
	}
	pg_pool_conn_changed(c->pool, text);
}

/* ---- sending */

static void prepare(struct pg_conn *c, int stmt, const struct pg_params *params)
{
	const struct pg_stmt *s = &pg_pool_settings(c->pool)->stmts[stmt];
	Oid types[PG_MAX_PARAMS];
	for (int i = 0; i < params->count; i++)
		types[i] = params->item[i].oid;
	if (!PQsendPrepare(c->pq, s->name, s->sql, params->count, types) ||
	    !PQpipelineSync(c->pq))
		return; /* the connection is broken: reading will say so */
	expect_answer(c, stmt);
	c->prepared[stmt] = true;
}

static void send_statement(struct pg_conn *c, int stmt, const struct pg_params *p)
{
	const char *values[PG_MAX_PARAMS];
	int lengths[PG_MAX_PARAMS], formats[PG_MAX_PARAMS];
	for (int i = 0; i < p->count; i++) {
		bool null = p->item[i].len == (size_t)-1;
		values[i] = null ? NULL : p->buf.p + p->item[i].at;
		lengths[i] = null ? 0 : (int)p->item[i].len;
		formats[i] = 1;
	}
	PQsendQueryPrepared(c->pq, pg_pool_settings(c->pool)->stmts[stmt].name, p->count,
			    values, lengths, formats, 1);
}

void pg_conn_send(struct pg_conn *c, struct pg_request *r)
{
	for (int i = 0; i < r->stmt_count; i++)
		if (!c->prepared[r->stmt[i]])
			prepare(c, r->stmt[i], r->params[i]);
	for (int i = 0; i < r->stmt_count; i++)
		send_statement(c, r->stmt[i], r->params[i]);
	PQpipelineSync(c->pq);
	to_flight(c, r);
}

void pg_conn_flush(struct pg_conn *c)
{
	if (c->state != CONN_UP || !c->has_output)
		return;
	int left = PQflush(c->pq);
	if (left < 0) {
		conn_lost(c, PQerrorMessage(c->pq));
		return;
	}
	c->has_output = left > 0;
	loop_fd_set(c->watch, left > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* ---- reading */

static void note_error(struct pg_request *r, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	if (r->failed_stmt >= 0)
		return;
	r->failed_stmt = r->current;
	snprintf(r->sqlstate, sizeof r->sqlstate, "%s", state ? state : "");
	one_line(r->message, sizeof r->message, text ? text : PQresultErrorMessage(res));
}

/* What was prepared here is gone, or made for a table or function of before a migration:
 * every further use would fail as well. */
static bool is_unprepared(const struct pg_conn *c, const struct pg_request *r)
{
	return r->prepares == PREPARES_NOTHING && r->failed_stmt >= 0 &&
	       c->prepared[r->stmt[r->failed_stmt]] &&
	       (!strcmp(r->sqlstate, "26000") || !strcmp(r->sqlstate, "0A000"));
}

static void request_synced(struct pg_conn *c, struct pg_request *r)
{
	bool anew = is_unprepared(c, r);
	list_remove(&r->node);
	c->in_flight--;
	if (r->prepares >= 0 && r->failed_stmt >= 0) {
		c->prepared[r->prepares] = false;
		log_error("statement-refused", "statement=%s sqlstate=%s message=\"%s\"",
			  pg_pool_settings(c->pool)->stmts[r->prepares].name, r->sqlstate,
			  r->message);
	} else if (r->prepares == GREETS) {
		greeted(c, r);
	}
	if (r->failed_stmt >= 0)
		pg_request_settle(r, ERR_DATABASE, PG_ROLLED_BACK);
	else
		pg_request_settle(r, ERR_OK, PG_COMMITTED);
	if (anew)
		conn_lost(c, "a prepared statement is of no use any more");
}

static void take_result(struct pg_conn *c, PGresult *res)
{
	struct pg_request *r = list_entry(c->flight.next, struct pg_request, node);
	ExecStatusType status = PQresultStatus(res);
	if (status == PGRES_PIPELINE_SYNC) {
		PQclear(res);
		request_synced(c, r);
		return;
	}
	if (status == PGRES_FATAL_ERROR)
		note_error(r, res);
	if ((status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) &&
	    r->current < PG_MAX_STMTS && !r->result[r->current])
		r->result[r->current] = res;
	else
		PQclear(res);
}

static void read_results(struct pg_conn *c)
{
	while (c->state == CONN_UP && !list_is_empty(&c->flight) && !PQisBusy(c->pq)) {
		PGresult *res = PQgetResult(c->pq);
		c->heard_us = loop_now_us(pg_pool_loop(c->pool));
		if (PQstatus(c->pq) == CONNECTION_BAD) {
			PQclear(res);
			conn_lost(c, PQerrorMessage(c->pq));
			return;
		}
		if (res)
			take_result(c, res);
		else
			list_entry(c->flight.next, struct pg_request, node)->current++;
	}
}

static void read_input(struct pg_conn *c)
{
	if (!PQconsumeInput(c->pq)) {
		read_results(c); /* what came before the end still counts */
		if (c->state == CONN_UP)
			conn_lost(c, PQerrorMessage(c->pq));
		return;
	}
	read_results(c);
}

static void on_ready(void *arg, int what)
{
	struct pg_conn *c = arg;
	if (what & LOOP_WRITE)
		pg_conn_flush(c);
	if (c->state != CONN_UP || !(what & LOOP_READ))
		return;
	c->heard_us = loop_now_us(pg_pool_loop(c->pool));
	read_input(c);
}
