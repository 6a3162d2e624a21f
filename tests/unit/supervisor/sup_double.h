/* SPDX-License-Identifier: Apache-2.0
 * A supervisor without processes, sockets and database: the real lane queue, runs, live
 * streams, acceptance and control between a pretended journal, pretended children and a
 * loop whose time the test moves. */
#ifndef TB_TEST_SUP_DOUBLE_H
#define TB_TEST_SUP_DOUBLE_H

#include "tests/fakes/fake_pg.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "supervisor/accept.h"
#include "supervisor/children.h"
#include "supervisor/expiry.h"
#include "supervisor/journal.h"
#include "supervisor/journal_item.h"
#include "supervisor/live.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"
#include "supervisor/workers.h"

#define TENANT 7
#define WORKER 0

static struct sup sup;
static struct child edge, worker;
static bool journal_up, links_full;

/* ---- the loop: nothing happens but in pass() and turn() */

struct loop_timer {
	loop_timer_fn *fn;
	void *arg;
	int64_t at_us; /* 0: stopped */
	struct list node;
};
static struct list timers = LIST_INIT(timers);
static int64_t now_us;
static struct {
	void (*fn)(void *arg);
	void *arg;
} hooks[4];
static int hook_n;

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg)
{
	(void)l;
	struct loop_timer *t = xcalloc(1, sizeof *t);
	t->fn = fn;
	t->arg = arg;
	list_push(&timers, &t->node);
	return t;
}
void loop_timer_start(struct loop_timer *t, int64_t delay_us)
{
	t->at_us = now_us + delay_us;
}
void loop_timer_stop(struct loop_timer *t)
{
	t->at_us = 0;
}
bool loop_timer_is_running(const struct loop_timer *t)
{
	return t->at_us != 0;
}
void loop_timer_free(struct loop_timer *t)
{
	list_remove(&t->node);
	free(t);
}
int64_t loop_now_us(const struct loop *l)
{
	(void)l;
	return now_us;
}
void loop_again(struct loop *l)
{
	(void)l;
}
void loop_hook(struct loop *l, enum loop_phase phase, void (*fn)(void *arg), void *arg)
{
	(void)l, (void)phase;
	hooks[hook_n].fn = fn;
	hooks[hook_n++].arg = arg;
}
void loop_unhook(struct loop *l, void (*fn)(void *arg), void *arg)
{
	(void)l, (void)fn, (void)arg;
	hook_n = 0;
}

UNUSED static void turn(void)
{
	for (int i = 0; i < hook_n; i++)
		hooks[i].fn(hooks[i].arg);
}

static struct loop_timer *next_timer(int64_t until_us)
{
	struct loop_timer *first = NULL;
	list_each (n, &timers) {
		struct loop_timer *t = list_entry(n, struct loop_timer, node);
		if (t->at_us && t->at_us <= until_us &&
		    (!first || t->at_us < first->at_us))
			first = t;
	}
	return first;
}

/* Time passes; timers fire at their time, each followed by a turn. */
UNUSED static void pass(int64_t us)
{
	int64_t until_us = now_us + us;
	for (struct loop_timer *t; (t = next_timer(until_us));) {
		now_us = t->at_us;
		t->at_us = 0;
		t->fn(t->arg);
		turn();
	}
	now_us = until_us;
	turn();
}

/* ---- the children */

#define SENT_MOST 4096
static struct {
	struct child *to;
	enum wire_id id;
	union {
		struct wire_enqueued enqueued;
		struct wire_sub_state state;
		struct wire_sub_event event;
		struct wire_sub_end end;
		struct wire_run_start start;
		struct wire_run_cancel cancel;
	} m;
	char policy[LIMIT_POLICY_VERSIONS + 1]; /* of a RUN_START: its rows go */
} sent[SENT_MOST];
static int sent_n;

void child_send(struct child *c, enum wire_id id, const void *msg)
{
	static const struct {
		enum wire_id id;
		size_t size;
	} known[] = {{WIRE_ENQUEUED, sizeof(struct wire_enqueued)},
		     {WIRE_SUB_STATE, sizeof(struct wire_sub_state)},
		     {WIRE_SUB_EVENT, sizeof(struct wire_sub_event)},
		     {WIRE_SUB_END, sizeof(struct wire_sub_end)},
		     {WIRE_RUN_START, sizeof(struct wire_run_start)},
		     {WIRE_RUN_CANCEL, sizeof(struct wire_run_cancel)}};
	assert_true(sent_n < SENT_MOST);
	sent[sent_n].to = c;
	sent[sent_n].id = id;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].id == id)
			memcpy(&sent[sent_n].m, msg, known[i].size);
	if (id == WIRE_RUN_START)
		snprintf(sent[sent_n].policy, sizeof sent[sent_n].policy, "%.*s",
			 SLICE_ARG(sent[sent_n].m.start.policy));
	sent_n++;
}
bool child_has_room(const struct child *c)
{
	(void)c;
	return !links_full;
}
struct child *child_worker(struct sup *s, int ordinal)
{
	(void)s;
	return ordinal == WORKER ? &worker : NULL;
}

/* The place of the i-th message of that kind; -1: there are not so many. */
UNUSED static int sent_at(enum wire_id id, int i)
{
	for (int at = 0; at < sent_n; at++)
		if (sent[at].id == id && i-- == 0)
			return at;
	return -1;
}

UNUSED static int sent_count(enum wire_id id)
{
	int n = 0;
	while (sent_at(id, n) >= 0)
		n++;
	return n;
}

/* ---- the journal: items stay until the test answers them */

static struct item items[1024];
static int item_n, claims;

void journal_enqueue(struct journal *j, const struct lq_action *a, struct child *from,
		     const struct wire_enqueue *m, int64_t order_us)
{
	(void)j;
	assert_true((size_t)item_n < ARRAY_LEN(items));
	items[item_n++] = (struct item){.run = a->run,
					.run_id = lq_run_id(a->run),
					.session = lq_run_session(a->run),
					.tenant = lq_run_tenant(a->run),
					.worker = a->worker,
					.edge = from,
					.edge_life = from->incarnation,
					.enqueue = *m,
					.order_us = order_us,
					.fold = a->fold};
	if (a->victim)
		items[item_n - 1].victim = lq_run_id(a->victim);
}
void journal_claim(struct journal *j, struct lq_run *r, int w, int crashed)
{
	(void)j, (void)r, (void)w, (void)crashed;
	claims++;
}
bool journal_is_up(const struct journal *j)
{
	(void)j;
	return journal_up;
}
struct pg_pool *journal_pool(struct journal *j)
{
	(void)j;
	return NULL;
}

/* ---- the rest */

void workers_quarantine(struct sup *s)
{
	(void)s;
}
void sup_step(struct sup *s, const struct lq_event *e)
{
	lq_step(s->lq, e);
}
int64_t sup_db_now_us(const struct sup *s)
{
	(void)s;
	return now_us;
}
int64_t sup_next_order_us(struct sup *s, int64_t at_us)
{
	s->last_order_us = at_us > s->last_order_us ? at_us : s->last_order_us + 1;
	return s->last_order_us;
}
bool sup_is_accepting(const struct sup *s, const char **why)
{
	(void)s, (void)why;
	return true;
}

/* ---- a test's beginning and end */

UNUSED static void sup_begin(void)
{
	static const struct lq_limits limits = {
		.node_running = 1000, .node_waiting = 100000, .worker_running = 1000};
	int16_t slots[LIMIT_SLOTS] = {WORKER};
	memset(&sup, 0, sizeof sup);
	memset(&edge, 0, sizeof edge);
	now_us = 1000000000000000;
	journal_up = sup.lease_held = true;
	links_full = false;
	sent_n = item_n = claims = 0;
	sup.lives = map_new();
	sup.lq = lq_new(&limits, runs_act, &sup);
	sup.expiry = expiry_new(&sup);
	edge.sup = &sup;
	edge.incarnation = uuid7_new();
	edge.subs_by_id = map_new();
	list_init(&edge.subs);
	list_init(&edge.lag);
	sup_step(&sup, &(struct lq_event){.kind = LQ_SLOTS, .slots = slots});
	sup_step(&sup, &(struct lq_event){.kind = LQ_WORKER_UP, .worker = WORKER});
}

UNUSED static void sup_end(void)
{
	size_t it = 0;
	void *l;
	live_drop_edge(&edge);
	while (map_next(sup.lives, &it, NULL, &l)) {
		live_end(&sup, l, &(struct wire_sub_end){0});
		it = 0;
	}
	assert_int_equal(map_count(edge.subs_by_id), 0);
	map_free(sup.lives);
	map_free(edge.subs_by_id);
	lq_free(sup.lq);
	expiry_free(sup.expiry);
	forget_requests();
}

/* ---- stories */

/* A POST's ENQUEUE to session n; its T0 is under way. */
UNUSED static struct item *enqueue(uint8_t n, struct wire_enqueue m)
{
	static uint64_t req;
	m.req = ++req;
	m.tenant = TENANT;
	m.run = uuid7_new();
	m.session = (struct uuid){{1, n}};
	m.agent = (struct uuid){{2}};
	m.mode = m.mode ? m.mode : MODE_FOLLOWUP;
	m.tenant_max_running = m.tenant_max_queued = 100000;
	m.drop = m.drop ? m.drop : DROP_REJECT;
	m.tenant_weight = 1;
	accept_enqueue(&sup, &edge, &m);
	assert_true(item_n > 0);
	assert_true(uuid_eq(items[item_n - 1].run_id, m.run));
	return &items[item_n - 1];
}

/* A row of tb.enqueue; lane_pos 0: NULL. A fused start when the item asks for it. */
UNUSED static void land(struct item *it, const char *outcome, int64_t lane_pos,
			const char *victim)
{
	static const unsigned types[] = {PG_INT4, PG_UUID,        PG_TEXT, PG_INT8,
					 PG_INT8, PG_INT8,        PG_INT8, PG_INT8,
					 PG_INT4, PG_TIMESTAMPTZ, PG_TEXT, PG_TEXT};
	bool starts = it->worker >= 0 && !strcmp(outcome, "accepted");
	PGresult *r = rows_new(ARRAY_LEN(types), types, 1);
	set_uuid(r, 0, 1, it->run_id);
	set_text(r, 0, 2, outcome);
	if (lane_pos) {
		set_i64(r, 0, 3, lane_pos);
		set_i64(r, 0, 4, lane_pos);
	}
	if (starts) {
		set_i64(r, 0, 5, 1);
		set_text(r, 0, 11, "0.7.0");
	}
	set_time(r, 0, 9, EPOCH_2000_US + 5);
	if (victim)
		set_text(r, 0, 10, victim);
	accept_answered(&sup, it, as_result(r), 0);
	PQclear(r);
}

#endif
