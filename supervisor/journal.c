/* SPDX-License-Identifier: Apache-2.0
 * Batches of T0 and T1. */
#include "supervisor/journal.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/die.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/accept.h"
#include "supervisor/caps.h"
#include "supervisor/children.h"
#include "supervisor/journal_item.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define SPARE_MOST 256
#define KEEP_BYTES 4096
#define CLAIM_REST_US 500000

enum flow { FLOW_ENQUEUE, FLOW_CLAIM, FLOWS };

struct batch {
	struct list items;
	unsigned count;
};

struct journal {
	struct sup *sup;
	struct pg_pool *pool;
	struct list waiting[FLOWS];
	struct batch flight[FLOWS];
	struct list spare;
	unsigned spare_count, pending;
	int in_flight;              /* requests */
	struct loop_timer *rest;    /* after a refused claim */
	bool away;                  /* the log says that the database is away */
	unsigned one_by_one[FLOWS]; /* so many more batches of one row each */
	int64_t flight_start_us;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* ---- items */

static struct item *item_new(struct journal *j, struct lq_run *r, int worker)
{
	struct list *n = list_pop(&j->spare);
	struct item *it = n ? list_entry(n, struct item, node) : xcalloc(1, sizeof *it);
	struct strbuf text = it->text;
	j->spare_count -= n != NULL;
	strbuf_reset(&text);
	*it = (struct item){
		.text = text, .run = r, .worker = worker, .tenant = lq_run_tenant(r)};
	it->run_id = lq_run_id(r);
	it->session = lq_run_session(r);
	list_init(&it->node);
	struct child *w = worker >= 0 ? child_worker(j->sup, worker) : NULL;
	if (w) {
		it->worker_life = w->incarnation;
		it->cap = *cap_get(w, it->tenant);
	}
	j->pending++;
	return it;
}

static void item_done(struct journal *j, struct item *it)
{
	list_remove(&it->node);
	j->pending--;
	if (j->spare_count >= SPARE_MOST || it->text.cap > KEEP_BYTES) {
		strbuf_fini(&it->text);
		free(it);
		return;
	}
	j->spare_count++;
	list_push_front(&j->spare, &it->node);
}

static struct span keep(struct item *it, struct slice s)
{
	struct span span = {it->text.n, s.n};
	strbuf_add_slice(&it->text, s);
	return span;
}

void journal_enqueue(struct journal *j, const struct lq_action *a, struct child *edge,
		     const struct wire_enqueue *m, int64_t order_us)
{
	struct item *it = item_new(j, a->run, a->worker);
	it->fold = a->fold;
	if (a->victim)
		it->victim = lq_run_id(a->victim);
	it->edge = edge;
	it->edge_life = edge->incarnation;
	it->enqueue = *m;
	it->user = keep(it, m->user);
	it->key = keep(it, m->idem_key);
	it->hash = keep(it, m->body_hash);
	it->body = keep(it, m->body);
	it->order_us = order_us;
	list_push(&j->waiting[FLOW_ENQUEUE], &it->node);
	loop_again(j->sup->loop);
}

void journal_claim(struct journal *j, struct lq_run *r, int worker, int crashed)
{
	struct item *it = item_new(j, r, worker);
	it->crashed = crashed != 0;
	list_push(&j->waiting[FLOW_CLAIM], &it->node);
	loop_again(j->sup->loop);
}

/* ---- the batch */

static void gather(struct journal *j, enum flow f)
{
	struct batch *b = &j->flight[f];
	unsigned most = j->one_by_one[f] ? 1 : LIMIT_BATCH_RUNS;
	size_t bytes = 0;
	while (b->count < most && bytes < LIMIT_BATCH_BYTES &&
	       !list_is_empty(&j->waiting[f])) {
		struct item *it = list_entry(list_pop(&j->waiting[f]), struct item, node);
		bytes += it->text.n;
		list_push(&b->items, &it->node);
		b->count++;
	}
	if (b->count && j->one_by_one[f])
		j->one_by_one[f]--;
}

/* Capabilities used in this batch and not granted yet; a grant that is sent twice changes
 * nothing. */
static void add_grants(struct journal *j, struct pg_request *r, struct batch *b)
{
	unsigned n = 0;
	list_each (at, &b->items) {
		struct item *it = list_entry(at, struct item, node);
		struct child *w =
			it->worker >= 0 ? child_worker(j->sup, it->worker) : NULL;
		if (w && uuid_eq(w->incarnation, it->worker_life) &&
		    cap_is_due(cap_get(w, it->tenant)))
			n++;
	}
	if (n)
		item_put_grants(pg_add(r, SQL_CAP_GRANT), j->sup, &b->items);
}

static void on_answer(void *arg, const struct pg_answer *a, enum flow f);

static void on_enqueued(void *arg, const struct pg_answer *a)
{
	on_answer(arg, a, FLOW_ENQUEUE);
}

static void on_claimed(void *arg, const struct pg_answer *a)
{
	on_answer(arg, a, FLOW_CLAIM);
}

static void send_batch(struct journal *j, enum flow f)
{
	struct batch *b = &j->flight[f];
	gather(j, f);
	if (b->count == 0)
		return;
	struct pg_request *r = pg_begin(j->pool);
	add_grants(j, r, b);
	if (f == FLOW_ENQUEUE)
		item_put_enqueues(pg_add(r, SQL_ENQUEUE), j->sup, &b->items);
	else
		item_put_claims(pg_add(r, SQL_CLAIM), j->sup, &b->items);
	if (f == FLOW_ENQUEUE)
		FAULT(T0_SEND);
	else
		FAULT(T1_SEND);
	j->in_flight++;
	j->flight_start_us = clock_mono_us();
	pg_submit(r, PG_ANY, 0, f == FLOW_ENQUEUE ? on_enqueued : on_claimed, j);
}

/* LOOP_STEPS: before the pool writes. */
static void on_turn(void *arg)
{
	struct journal *j = arg;
	if (j->in_flight || !pg_pool_is_up(j->pool) || !j->sup->lease_held)
		return;
	for (enum flow f = 0; f < FLOWS; f++)
		if (f != FLOW_CLAIM || !loop_timer_is_running(j->rest))
			send_batch(j, f);
}

/* ---- answers */

static void put_back(struct journal *j, enum flow f, bool resend)
{
	struct list *at =
		j->waiting[f].next; /* before what came meanwhile, in the old order */
	for (struct list *n; (n = list_pop(&j->flight[f].items));) {
		struct item *it = list_entry(n, struct item, node);
		it->resend |= resend;
		if (resend)
			it->crashed = false; /* it may have been charged already */
		list_insert_before(at, n);
	}
	j->flight[f].count = 0;
}

/* Both flows of a turn carry a grant that is due: whichever commits, its runs can read.
 */
static void note_grants(struct journal *j, struct batch *b)
{
	list_each (at, &b->items) {
		struct item *it = list_entry(at, struct item, node);
		struct child *w =
			it->worker >= 0 ? child_worker(j->sup, it->worker) : NULL;
		if (w && uuid_eq(w->incarnation, it->worker_life))
			cap_get(w, it->tenant)->granted_us = clock_boot_us();
	}
}

static bool is_transient(const char *sqlstate)
{
	static const char *const known[] = {"40001", "40P01", "55P03", "57014",
					    "57P01", "57P02", "57P03", "53300"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i], sqlstate))
			return true;
	return false;
}

static void refuse_all(struct journal *j, const struct pg_answer *a)
{
	for (struct list *n; (n = list_pop(&j->flight[FLOW_ENQUEUE].items));) {
		struct item *it = list_entry(n, struct item, node);
		log_error("row-refused", "sqlstate=%s message=\"%s\"", a->sqlstate,
			  a->message);
		accept_failed(j->sup, it,
			      a->sqlstate[0] == '5' ? ERR_UNAVAILABLE : ERR_BAD_REQUEST);
		item_done(j, it);
	}
	j->flight[FLOW_ENQUEUE].count = 0;
}

static void failed(struct journal *j, enum flow f, const struct pg_answer *a)
{
	if (a->fate != PG_ROLLED_BACK || is_transient(a->sqlstate)) {
		put_back(j, f, a->fate == PG_UNKNOWN);
		return;
	}
	if (j->flight[f].count > 1) {
		log_warn("batch-refused", "rows=%u sqlstate=%s message=\"%s\"",
			 j->flight[f].count, a->sqlstate, a->message);
		j->one_by_one[f] += j->flight[f].count;
		put_back(j, f, false);
		return;
	}
	if (f == FLOW_CLAIM) { /* an accepted run is never dropped: a pause, and again */
		log_error("claim-refused", "sqlstate=%s message=\"%s\"", a->sqlstate,
			  a->message);
		put_back(j, f, false);
		loop_timer_start(j->rest, CLAIM_REST_US);
		return;
	}
	refuse_all(j, a);
}

static void deliver(struct journal *j, enum flow f, const struct pg_result *r)
{
	struct list items;
	int row = 0, rows = pg_rows(r), number = 0;
	list_init(&items);
	for (struct list *n; (n = list_pop(&j->flight[f].items));)
		list_push(&items, n);
	j->flight[f].count = 0;
	for (struct list *n; (n = list_pop(&items));) {
		struct item *it = list_entry(n, struct item, node);
		bool has_row = row < rows && pg_get_i64(r, row, 0) == ++number;
		if (f == FLOW_ENQUEUE)
			accept_answered(j->sup, it, r, row);
		else
			runs_claimed(j->sup, it, r, has_row ? row : -1);
		row += has_row;
		item_done(j, it);
	}
}

static void on_answer(void *arg, const struct pg_answer *a, enum flow f)
{
	struct journal *j = arg;
	j->in_flight--;
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err) {
		failed(j, f, a);
	} else {
		if (f == FLOW_ENQUEUE)
			pace_batch(&j->sup->pace, clock_mono_us(),
				   clock_mono_us() - j->flight_start_us);
		if (f == FLOW_ENQUEUE)
			FAULT(T0_LANDED);
		else
			FAULT(T1_LANDED);
		note_grants(j, &j->flight[f]);
		deliver(j, f, a->results[a->result_count - 1]);
	}
	loop_again(j->sup->loop);
}

/* ---- Postgres comes and goes */

static void on_state(void *arg, bool up, const char *message)
{
	struct journal *j = arg;
	if (up) {
		log_info("journal-up", "%s", "");
		j->away = false;
		sup_tell_edges(j->sup, NULL);
		return;
	}
	if (!j->away) /* each failed attempt to reconnect comes here */
		log_warn("journal-down", "message=\"%s\"", message);
	j->away = true;
	sup_tell_edges(j->sup, NULL);
	list_each (n, &j->waiting[FLOW_ENQUEUE]) {
		struct item *it = list_entry(n, struct item, node);
		if (it->resend)
			continue; /* it may have landed: only Postgres can tell */
		accept_failed(j->sup, it, ERR_UNAVAILABLE);
		item_done(j, it);
	}
}

bool journal_is_up(const struct journal *j)
{
	return pg_pool_is_up(j->pool) && j->sup->lease_held;
}

unsigned journal_pending(const struct journal *j)
{
	return j->pending;
}

struct pg_pool *journal_pool(struct journal *j)
{
	return j->pool;
}

static void on_revoked(void *arg, const struct pg_answer *a)
{
	(void)arg;
	if (a->err ==
	    ERR_DATABASE) /* the worker is dead: a capability nobody has opens nothing */
		log_warn("revoke-failed", "message=\"%s\"", a->message);
}

void journal_revoke(struct journal *j, struct uuid worker_incarnation)
{
	struct pg_request *r = pg_begin(j->pool);
	pg_uuid(pg_add(r, SQL_CAP_REVOKE), worker_incarnation);
	pg_submit(r, PG_ANY, 30000, on_revoked, j);
}

static void on_stopped(void *arg, const struct pg_answer *a)
{
	struct journal *j = arg;
	(void)a;
	j->stopped(j->stopped_arg);
}

void journal_stop(struct journal *j, void (*done)(void *arg), void *arg)
{
	struct pg_request *r = pg_begin(j->pool);
	j->stopped = done;
	j->stopped_arg = arg;
	pg_uuid(pg_add(r, SQL_NODE_STOP), j->sup->node);
	pg_submit(r, PG_ANY, 2000, on_stopped, j);
}

static void on_rest_over(void *arg)
{
	loop_again(((struct journal *)arg)->sup->loop);
}

struct journal *journal_new(struct sup *s, const char *conninfo)
{
	struct journal *j = xcalloc(1, sizeof *j);
	struct pg_pool_config config = {.conninfo = conninfo,
					.connections = 1,
					.stmts = supervisor_sql,
					.stmt_count = SQL__COUNT,
					.application_name = "terabits journal",
					.on_state = on_state,
					.arg = j};
	j->sup = s;
	j->rest = loop_timer_new(s->loop, on_rest_over, j);
	for (int f = 0; f < FLOWS; f++) {
		list_init(&j->waiting[f]);
		list_init(&j->flight[f].items);
	}
	list_init(&j->spare);
	loop_hook(s->loop, LOOP_STEPS, on_turn, j);
	j->pool = pg_pool_new(s->loop, &config);
	return j;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	pg_pool_free(j->pool);
	loop_timer_free(j->rest);
	loop_unhook(j->sup->loop, on_turn, j);
	for (int f = 0; f < FLOWS; f++) {
		for (struct list *n; (n = list_pop(&j->waiting[f]));)
			item_done(j, list_entry(n, struct item, node));
		for (struct list *n; (n = list_pop(&j->flight[f].items));)
			item_done(j, list_entry(n, struct item, node));
	}
	for (struct list *n; (n = list_pop(&j->spare));) {
		struct item *it = list_entry(n, struct item, node);
		strbuf_fini(&it->text);
		free(it);
	}
	free(j);
}
