/* SPDX-License-Identifier: Apache-2.0
 * The lane queue. See lq.h for the states; every change of a run's state goes through
 * here and nowhere else. */
#include "supervisor/lq.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/map.h"
#include "supervisor/lq_state.h"

#define VIRTUAL_STEP                                                                     \
	1000000LL /* divided by the weight: a tenant's virtual time for one start */

/* ---- readiness: a lane is ready when nothing of it is active and its head waits */

static struct lq_run *lane_head(const struct lane *l)
{
	return list_is_empty(&l->waiting)
		       ? NULL
		       : list_entry(l->waiting.next, struct lq_run, node);
}

static void share_judge(struct lq *q, struct tenant *t, int w)
{
	struct share *s = t->shares[w];
	struct heap *shares = &q->workers[w].shares;
	bool may = s && s->ready.n > 0 && t->running < t->max_running;
	if (may && !heap_has(&s->top))
		heap_add(shares, &s->top,
			 t->virtual_us > q->virtual_us ? t->virtual_us : q->virtual_us);
	else if (s && !may)
		heap_remove(shares, &s->top);
}

/* After a change of its running or its cap. */
static void tenant_judge(struct lq *q, struct tenant *t)
{
	for (int w = 0; w < LQ_MAX_WORKERS; w++)
		share_judge(q, t, w);
}

/* After a start: its shares get a new place behind the others'. */
static void tenant_charge(struct lq *q, struct tenant *t, int64_t start_us)
{
	if (start_us > q->virtual_us)
		q->virtual_us = start_us;
	t->virtual_us = start_us + VIRTUAL_STEP / t->weight;
	for (int w = 0; w < LQ_MAX_WORKERS; w++)
		if (t->shares[w])
			heap_remove(&q->workers[w].shares, &t->shares[w]->top);
	tenant_judge(q, t);
}

static bool has_credit(const struct lq *q, int w)
{
	return q->workers[w].up && q->workers[w].running < q->limits.worker_running;
}

static void lane_unready(struct lq *q, struct lane *l)
{
	if (!heap_has(&l->ready))
		return;
	heap_remove(&l->tenant->shares[l->ready_at]->ready, &l->ready);
	share_judge(q, l->tenant, l->ready_at);
}

static void lane_judge(struct lq *q, struct lane *l)
{
	struct lq_run *head = lane_head(l);
	int w = q->slots[l->slot];
	lane_unready(q, l);
	if (!head || l->active || w == LQ_NO_WORKER)
		return;
	struct share **share = &l->tenant->shares[w];
	if (!*share) {
		*share = xcalloc(1, sizeof **share);
		(*share)->tenant = l->tenant;
	}
	l->ready_at = w;
	heap_add(&(*share)->ready, &l->ready, head->key);
	share_judge(q, l->tenant, w);
}

/* Whose turn it is, among the workers that have room: the smallest virtual time. */
static struct share *next_share(const struct lq *q)
{
	struct heap_node *best = NULL;
	for (int w = 0; w < LQ_MAX_WORKERS; w++) {
		struct heap_node *top = heap_top(&q->workers[w].shares);
		if (top && has_credit(q, w) && (!best || top->key < best->key))
			best = top;
	}
	return best ? container_of(best, struct share, top) : NULL;
}

/* ---- run states */

static void waiting_add(struct lq *q, struct lq_run *r)
{
	struct lane *l = r->lane;
	struct list *at = &l->waiting;
	/* Nearly always the last: the order of acceptance. */
	while (at->prev != &l->waiting &&
	       list_entry(at->prev, struct lq_run, node)->lane_pos > r->lane_pos)
		at = at->prev;
	list_insert_before(at, &r->node);
	r->state = LQ_WAITING;
	r->worker = LQ_NO_WORKER;
	l->waiting_count++;
	l->tenant->waiting++;
	q->waiting++;
}

static void waiting_take(struct lq *q, struct lq_run *r)
{
	list_remove(&r->node);
	r->lane->waiting_count--;
	r->lane->tenant->waiting--;
	q->waiting--;
}

static void activate(struct lq *q, struct lq_run *r, int w, enum lq_state state)
{
	struct lane *l = r->lane;
	check(!l->active);
	l->active = r;
	r->worker = (int16_t)w;
	r->state = (uint8_t)state;
	list_push(&q->workers[w].active, &r->node);
	l->tenant->running++;
	q->running++;
	q->workers[w].running++;
	tenant_judge(q, l->tenant);
}

static void deactivate(struct lq *q, struct lq_run *r)
{
	struct lane *l = r->lane;
	check(l->active == r);
	l->active = NULL;
	list_remove(&r->node);
	l->tenant->running--;
	q->running--;
	q->workers[r->worker].running--;
	tenant_judge(q, l->tenant);
}

static void act(struct lq *q, struct lq_action a)
{
	q->act(q->ctx, &a);
}

/* Starts what can start: the tenant whose turn it is, its lane with the smallest key. */
static void start_ready(struct lq *q)
{
	struct share *s;
	while (!q->paused && q->running < q->limits.node_running && (s = next_share(q))) {
		struct lane *l = container_of(heap_top(&s->ready), struct lane, ready);
		struct lq_run *r = lane_head(l);
		int w = l->ready_at;
		int64_t start_us = s->top.key;
		lane_unready(q, l);
		tenant_charge(q, l->tenant, start_us);
		waiting_take(q, r);
		activate(q, r, w, LQ_CLAIMING);
		act(q, (struct lq_action){.kind = LQ_DO_CLAIM,
					  .run = r,
					  .worker = w,
					  .crashed = r->crashed});
	}
}

/* ---- events */

static enum err admission(struct lq *q, const struct lq_item *it)
{
	char buf[24];
	struct lane *l = map_get(q->lanes, lq_lane_key(it, buf));
	struct tenant *t =
		map_get(q->tenants_by_id, slice_of(&it->tenant, sizeof it->tenant));
	if (l && l->runs - (l->active != NULL) >= q->limits.lane_waiting)
		return ERR_LANE_FULL;
	if (t && t->runs - t->running >= it->tenant_max_queued)
		return ERR_TENANT_FULL;
	if (q->run_count - q->running >= q->limits.node_waiting)
		return ERR_NODE_FULL;
	return ERR_OK;
}

/* Whether a new run of this idle lane may start with its own commit: only if nobody else
 * waits for the same credit. */
static int fused_worker(const struct lq *q, const struct lane *l,
			const struct lq_item *it)
{
	const struct tenant *t = l->tenant;
	int w = q->slots[l->slot];
	if (q->paused || l->runs > 1 || it->run_at_us > it->order_us || w == LQ_NO_WORKER)
		return LQ_NO_WORKER;
	if (!has_credit(q, w))
		return LQ_NO_WORKER;
	if (q->running >= q->limits.node_running || t->running >= t->max_running ||
	    next_share(q))
		return LQ_NO_WORKER;
	return w;
}

static void on_enqueue(struct lq *q, const struct lq_event *e)
{
	enum err refusal = admission(q, e->item);
	if (refusal) {
		act(q, (struct lq_action){
			       .kind = LQ_DO_REFUSE, .error = refusal, .arg = e->arg});
		return;
	}
	struct lq_run *r = lq_run_new(q, e->item);
	tenant_judge(q, r->lane->tenant); /* its cap may be another now */
	int w = fused_worker(q, r->lane, e->item);
	r->state = LQ_ENQUEUEING;
	r->lane_pos = INT64_MAX;
	if (e->item->run_at_us > e->now_us)
		r->due.key = e->item->run_at_us;
	if (w != LQ_NO_WORKER) {
		activate(q, r, w, LQ_ENQUEUEING);
		r->fused = 1;
	}
	act(q, (struct lq_action){
		       .kind = LQ_DO_ENQUEUE, .run = r, .worker = w, .arg = e->arg});
}

static void wait_or_delay(struct lq *q, struct lq_run *r)
{
	if (r->due.key) {
		r->state = LQ_DELAYED;
		heap_add(&q->delayed, &r->due, r->due.key);
		return;
	}
	waiting_add(q, r);
	lane_judge(q, r->lane);
}

static void on_committed(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = e->run;
	bool orphan = r->orphan;
	check(r->state == LQ_ENQUEUEING);
	r->lane_pos = e->lane_pos;
	r->orphan = 0;
	if (r->fused && e->started && !orphan) {
		r->state = LQ_RUNNING;
		act(q, (struct lq_action){
			       .kind = LQ_DO_START, .run = r, .worker = r->worker});
		return;
	}
	if (r->fused)
		deactivate(q, r);
	r->fused = 0;
	wait_or_delay(q, r);
}

static void run_end(struct lq *q, struct lq_run *r)
{
	struct lane *l = r->lane;
	bool last = l->runs == 1;
	if (r->state == LQ_WAITING)
		waiting_take(q, r);
	else if (r->state == LQ_DELAYED)
		heap_remove(&q->delayed, &r->due);
	else if (l->active == r)
		deactivate(q, r);
	if (last)
		lane_unready(q, l);
	lq_run_forget(q, r);
	if (!last)
		lane_judge(q, l);
}

/* Back to the lane's head: lane_pos is the smallest of those that wait, since it was
 * started first. */
static void run_again(struct lq *q, struct lq_run *r)
{
	deactivate(q, r);
	waiting_add(q, r);
	lane_judge(q, r->lane);
}

static void on_loaded(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = lq_run_new(q, e->item);
	tenant_judge(q, r->lane->tenant);
	r->lane_pos = e->item->lane_pos;
	if (e->item->run_at_us > e->now_us && !e->ran)
		r->due.key = e->item->run_at_us;
	wait_or_delay(q, r);
}

static void on_claimed(struct lq *q, struct lq_run *r)
{
	check(r->state == LQ_CLAIMING);
	r->crashed = 0;
	if (r->orphan) {
		r->orphan = 0;
		run_again(q, r);
		return;
	}
	r->state = LQ_RUNNING;
	act(q, (struct lq_action){.kind = LQ_DO_START, .run = r, .worker = r->worker});
}

static void on_unclaimed(struct lq *q, const struct lq_event *e)
{
	e->run->orphan = 0;
	if (e->gone)
		run_end(q, e->run);
	else
		run_again(q, e->run);
}

static void on_worker_down(struct lq *q, int w)
{
	struct list active;
	q->workers[w].up = false;
	list_init(&active);
	for (struct list *n; (n = list_pop(&q->workers[w].active));)
		list_push(&active, n);
	for (struct list *n; (n = list_pop(&active));) {
		struct lq_run *r = list_entry(n, struct lq_run, node);
		list_push(&q->workers[w].active, n);
		if (r->state == LQ_RUNNING) {
			r->crashed = 1;
			run_again(q, r);
		} else {
			r->orphan =
				1; /* its commit decides; until then it holds its lane */
		}
	}
}

static void on_slots(struct lq *q, const int16_t *slots)
{
	struct map *lanes = q->lanes;
	size_t it = 0;
	void *lane;
	memcpy(q->slots, slots, sizeof q->slots);
	while (map_next(lanes, &it, NULL, &lane))
		lane_judge(q, lane);
}

static void on_tick(struct lq *q, int64_t now_us)
{
	for (struct heap_node *n; (n = heap_top(&q->delayed)) && n->key <= now_us;) {
		struct lq_run *r = container_of(n, struct lq_run, due);
		heap_remove(&q->delayed, n);
		r->due.key = 0;
		waiting_add(q, r);
		lane_judge(q, r->lane);
	}
}

static void apply(struct lq *q, const struct lq_event *e)
{
	switch (e->kind) {
	case LQ_ENQUEUE:
		on_enqueue(q, e);
		break;
	case LQ_COMMITTED:
		on_committed(q, e);
		break;
	case LQ_LOADED:
		on_loaded(q, e);
		break;
	case LQ_CLAIMED:
		on_claimed(q, e->run);
		break;
	case LQ_UNCLAIMED:
		on_unclaimed(q, e);
		break;
	case LQ_REFUSED:
	case LQ_ENDED:
		run_end(q, e->run);
		break;
	case LQ_LOST:
		run_again(q, e->run);
		break;
	case LQ_WORKER_UP:
		q->workers[e->worker].up = true;
		break;
	case LQ_WORKER_DOWN:
		on_worker_down(q, e->worker);
		break;
	case LQ_SLOTS:
		on_slots(q, e->slots);
		break;
	case LQ_TICK:
		on_tick(q, e->now_us);
		break;
	case LQ_PAUSE:
		q->paused = true;
		break;
	case LQ_RESUME:
		q->paused = false;
		break;
	}
}

void lq_step(struct lq *q, const struct lq_event *e)
{
	check(!q->stepping);
	q->stepping = true;
	apply(q, e);
	start_ready(q);
	q->stepping = false;
}

/* ---- looking */

struct uuid lq_run_id(const struct lq_run *r)
{
	return r->id;
}

struct uuid lq_run_session(const struct lq_run *r)
{
	return r->lane->session;
}

int64_t lq_run_tenant(const struct lq_run *r)
{
	return r->lane->tenant->id;
}

uint32_t lq_run_slot(const struct lq_run *r)
{
	return r->lane->slot;
}

int lq_run_worker(const struct lq_run *r)
{
	return r->worker;
}

enum lq_state lq_run_state(const struct lq_run *r)
{
	return (enum lq_state)r->state;
}

uint32_t lq_run_position(const struct lq_run *r)
{
	uint32_t n = r->lane->active && r->lane->active != r;
	if (r->lane->active == r)
		return 0;
	list_each (at, &r->lane->waiting) {
		if (list_entry(at, struct lq_run, node) == r)
			break;
		n++;
	}
	return n;
}

void lq_run_set_user(struct lq_run *r, void *user)
{
	r->user = user;
}

void *lq_run_user(const struct lq_run *r)
{
	return r->user;
}

struct lq_stats lq_stats(const struct lq *q)
{
	struct heap_node *due = heap_top(&q->delayed);
	return (struct lq_stats){.lanes = (uint32_t)map_count(q->lanes),
				 .waiting = q->waiting,
				 .running = q->running,
				 .delayed = q->delayed.n,
				 .next_due_us = due ? due->key : 0};
}

uint32_t lq_worker_running(const struct lq *q, int worker)
{
	return q->workers[worker].running;
}
