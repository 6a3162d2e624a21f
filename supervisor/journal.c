/* SPDX-License-Identifier: Apache-2.0
 * Batches of T0 and T1: gathered and sent. */
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
#include "supervisor/journal_state.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define SPARE_MOST 256
#define KEEP_BYTES 4096
/* Who holds a lane's lock holds it for one commit. Longer than a slow disk takes for one,
 * and short beside the 500 ms after which a journal is called slow: it is what the first
 * batch that meets a held lane costs all others. */
#define LOCK_TIMEOUT_MS 250

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
	it->since_us = clock_mono_us();
	list_init(&it->node);
	struct child *w = worker >= 0 ? child_worker(j->sup, worker) : NULL;
	if (w) {
		it->worker_life = w->incarnation;
		it->cap = *cap_get(w, it->tenant);
	}
	j->pending++;
	return it;
}

void journal_item_done(struct journal *j, struct item *it)
{
	list_remove(&it->node);
	j->pending--;
	j->bytes -= it->text.n;
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
	j->bytes += it->text.n;
	list_push(&j->flow[FLOW_ENQUEUE].waiting, &it->node);
	loop_again(j->sup->loop);
}

void journal_claim(struct journal *j, struct lq_run *r, int worker, int crashed)
{
	struct item *it = item_new(j, r, worker);
	it->crashed = crashed != 0;
	list_push(&j->flow[FLOW_CLAIM].waiting, &it->node);
	loop_again(j->sup->loop);
}

/* ---- the batch */

static void fly(struct flow *f, struct list *n)
{
	list_remove(n);
	list_push(&f->flight, n);
	f->count++;
}

static void gather_waiting(struct flow *f)
{
	unsigned most = f->one_by_one ? 1 : LIMIT_BATCH_RUNS;
	size_t bytes = 0;
	while (f->count < most && bytes < LIMIT_BATCH_BYTES &&
	       !list_is_empty(&f->waiting)) {
		struct item *it = list_entry(list_pop(&f->waiting), struct item, node);
		if (parked_join(&f->parked, it))
			continue;
		bytes += it->text.n;
		fly(f, &it->node);
	}
}

/* Parked lanes are tried one at a time, and never two in a row while others wait: a lane
 * that is still held costs these its trial's lock timeout. */
static void gather(struct flow *f)
{
	int64_t now_us = clock_mono_us();
	struct parked_lane *l = NULL;
	if (f->trial_last)
		gather_waiting(f);
	if (!f->count)
		l = parked_take_due(&f->parked, now_us);
	if (!l && !f->count)
		gather_waiting(f);
	f->trial = l;
	f->trial_last = l != NULL;
	if (l)
		fly(f, l->items.next);
}

static void send_batch(struct journal *j, enum flow_kind kind)
{
	struct flow *f = &j->flow[kind];
	gather(f);
	if (f->count == 0)
		return;
	struct pg_request *r = pg_begin(j->pool);
	if (f->trial || f->one_by_one)
		sql_short_lock(r);
	if (f->one_by_one && !f->trial)
		f->one_by_one--;
	/* Both flows of a turn carry a grant that is due; the second changes nothing. */
	if (item_mark_grants(j->sup, &f->flight))
		item_put_grants(pg_add(r, SQL_CAP_GRANT), j->sup, &f->flight);
	if (kind == FLOW_ENQUEUE)
		item_put_enqueues(pg_add(r, SQL_ENQUEUE), j->sup, &f->flight);
	else
		item_put_claims(pg_add(r, SQL_CLAIM), j->sup, &f->flight);
	if (kind == FLOW_ENQUEUE)
		FAULT(T0_SEND);
	else
		FAULT(T1_SEND);
	j->flight_start_us = clock_mono_us();
	if (j->in_flight++ == 0)
		pace_sent(&j->sup->pace, j->flight_start_us);
	pg_submit(r, PG_ANY, 0,
		  kind == FLOW_ENQUEUE ? journal_on_enqueued : journal_on_claimed, j);
}

static void aim_wake(struct journal *j)
{
	int64_t due_us = 0;
	for (int i = 0; i < FLOWS; i++) {
		int64_t next_us = parked_next_us(&j->flow[i].parked);
		if (next_us && (!due_us || next_us < due_us))
			due_us = next_us;
	}
	if (!due_us)
		return;
	due_us -= clock_mono_us();
	loop_timer_start(j->wake, due_us > 0 ? due_us : 0);
}

/* LOOP_STEPS: before the pool writes. */
static void on_turn(void *arg)
{
	struct journal *j = arg;
	if (j->in_flight || !pg_pool_is_up(j->pool) || !j->sup->lease_held)
		return;
	for (enum flow_kind f = 0; f < FLOWS; f++)
		send_batch(j, f);
	if (!j->in_flight) /* else its answer comes here */
		aim_wake(j);
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
	struct flow *f = &j->flow[FLOW_ENQUEUE];
	parked_release_all(&f->parked, &f->waiting);
	list_each (n, &f->waiting) {
		struct item *it = list_entry(n, struct item, node);
		if (it->resend)
			continue; /* it may have landed: only Postgres can tell */
		accept_failed(j->sup, it, ERR_UNAVAILABLE);
		journal_item_done(j, it);
	}
}

bool journal_is_up(const struct journal *j)
{
	return pg_pool_is_up(j->pool) && j->sup->lease_held;
}

bool journal_is_full(const struct journal *j)
{
	return j->bytes >= LIMIT_JOURNAL_BYTES;
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

static void on_wake(void *arg)
{
	loop_again(((struct journal *)arg)->sup->loop);
}

static const struct backoff backoffs[] = {
	[FLOW_ENQUEUE] = {.first_us = 50000, .cap_us = 1000000}, /* somebody waits */
	[FLOW_CLAIM] = {.first_us = 250000, .cap_us = 5000000},
};

struct journal *journal_new(struct sup *s, const char *conninfo)
{
	struct journal *j = xcalloc(1, sizeof *j);
	struct pg_pool_config config = {.conninfo = conninfo,
					.connections = 1,
					.stmts = supervisor_sql,
					.stmt_count = SQL__COUNT,
					.lock_timeout_ms = LOCK_TIMEOUT_MS,
					.application_name = "terabits journal",
					.on_state = on_state,
					.arg = j};
	j->sup = s;
	j->wake = loop_timer_new(s->loop, on_wake, j);
	for (int f = 0; f < FLOWS; f++) {
		list_init(&j->flow[f].waiting);
		list_init(&j->flow[f].flight);
		parked_init(&j->flow[f].parked, &backoffs[f]);
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
	loop_timer_free(j->wake);
	loop_unhook(j->sup->loop, on_turn, j);
	for (int i = 0; i < FLOWS; i++) {
		struct flow *f = &j->flow[i];
		parked_release_all(&f->parked, &f->waiting);
		for (struct list *n; (n = list_pop(&f->waiting));)
			journal_item_done(j, list_entry(n, struct item, node));
		for (struct list *n; (n = list_pop(&f->flight));)
			journal_item_done(j, list_entry(n, struct item, node));
		parked_fini(&f->parked);
	}
	for (struct list *n; (n = list_pop(&j->spare));) {
		struct item *it = list_entry(n, struct item, node);
		strbuf_fini(&it->text);
		free(it);
	}
	free(j);
}
