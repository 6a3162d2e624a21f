/* SPDX-License-Identifier: Apache-2.0
 * Readiness: the heaps from worker to tenant to agent to lane, the credit that opens and
 * closes them, and the start of what is first.
 *
 * Start-time fair queueing twice: each worker orders its tenants by tags of its own, and
 * the node orders the workers by the tag of the tenant whose turn it is there. One clock
 * for both would starve a tenant's lanes on a crowded worker for what it got on a quiet
 * one. A worker's tag on the node is fixed when that turn comes up, so it is reached. */
#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "supervisor/lq_state.h"

#define VIRTUAL_STEP                                                                     \
	1000000000LL /* divided by the weight: a tenant's virtual time for one start */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* ---- who is open */

uint32_t lq_worker_room(const struct lq *q, int w)
{
	uint32_t most = w == LQ_QUARANTINE ? 1 : q->limits.worker_running;
	uint32_t running = q->workers[w].running;
	return q->workers[w].up && running < most ? most - running : 0;
}

static bool tenant_is_open(const struct tenant *t)
{
	return t->running < t->max_running;
}

static bool agent_is_open(const struct agent *a)
{
	return a->max_running == 0 || a->running < a->max_running;
}

/* ---- each level is in the heap above it while it may start something */

void lq_worker_judge(struct lq *q, int w)
{
	struct worker *worker = &q->workers[w];
	struct heap_node *top = heap_top(&worker->shares);
	struct share *first =
		top && lq_worker_room(q, w) ? container_of(top, struct share, top) : NULL;
	if (first == worker->first)
		return;
	worker->first = first;
	if (first)
		heap_set(&q->turns, &worker->turn,
			 later(first->tenant->virtual_us, q->virtual_us));
	else
		heap_remove(&q->turns, &worker->turn);
}

static void share_judge(struct lq *q, struct share *s)
{
	struct worker *w = &q->workers[s->worker];
	if (s->parts.n == 0 || !tenant_is_open(s->tenant))
		heap_remove(&w->shares, &s->top);
	else if (!heap_has(&s->top))
		heap_add(&w->shares, &s->top, later(s->virtual_us, w->virtual_us));
	lq_worker_judge(q, s->worker);
}

static void part_judge(struct lq *q, struct part *p)
{
	struct heap_node *first = heap_top(&p->ready);
	if (first && agent_is_open(p->agent))
		heap_set(&p->share->parts, &p->top, first->key);
	else
		heap_remove(&p->share->parts, &p->top);
	share_judge(q, p->share);
}

void lq_agent_judge(struct lq *q, struct agent *a)
{
	if (agent_is_open(a) == a->open)
		return;
	a->open = !a->open;
	list_each (n, &a->parts)
		part_judge(q, list_entry(n, struct part, node));
}

void lq_tenant_judge(struct lq *q, struct tenant *t)
{
	if (tenant_is_open(t) == t->open)
		return;
	t->open = !t->open;
	list_each (n, &t->shares)
		share_judge(q, list_entry(n, struct share, node));
}

/* After a start at these tags: the tenant's next place here and on the node is behind the
 * others'. */
static void charge(struct lq *q, struct share *s, int64_t here_us, int64_t node_us)
{
	struct worker *w = &q->workers[s->worker];
	struct tenant *t = s->tenant;
	int64_t step = VIRTUAL_STEP / t->weight;
	w->virtual_us = later(w->virtual_us, here_us);
	q->virtual_us = later(q->virtual_us, node_us);
	s->virtual_us = here_us + step;
	t->virtual_us = later(t->virtual_us, node_us) + step;
	if (heap_has(&s->top))
		heap_set(&w->shares, &s->top, s->virtual_us);
	heap_remove(&q->turns, &w->turn);
	w->first = NULL; /* even if it is first again, its turn is another */
	lq_worker_judge(q, s->worker);
}

/* ---- shares and parts, found and made and dropped */

static struct share *share_get(struct lq *q, struct tenant *t, int w)
{
	list_each (n, &t->shares)
		if (list_entry(n, struct share, node)->worker == w)
			return list_entry(n, struct share, node);
	struct share *s = xcalloc(1, sizeof *s);
	s->tenant = t;
	s->worker = w;
	list_push(&t->shares, &s->node);
	q->share_count++;
	return s;
}

static struct part *part_find(const struct agent *a, int w)
{
	list_each (n, &a->parts)
		if (list_entry(n, struct part, node)->share->worker == w)
			return list_entry(n, struct part, node);
	return NULL;
}

static struct part *part_get(struct lq *q, struct agent *a, int w)
{
	struct part *p = part_find(a, w);
	if (p)
		return p;
	p = xcalloc(1, sizeof *p);
	p->agent = a;
	p->share = share_get(q, a->tenant, w);
	list_push(&a->parts, &p->node);
	q->part_count++;
	return p;
}

/* Frees it when it has no ready lane. */
static void part_put(struct lq *q, struct part *p)
{
	if (p->ready.n > 0)
		return;
	list_remove(&p->node);
	heap_fini(&p->ready);
	free(p);
	q->part_count--;
}

/* ---- lanes */

static int slot_worker(const struct lq *q, const struct lane *l)
{
	int w = q->slots[l->slot];
	return w >= 0 && w < LQ_QUARANTINE ? w : LQ_NO_WORKER;
}

int lq_run_target(const struct lq *q, const struct lq_run *r)
{
	return r->crashes >= LQ_SUSPECT_CRASHES ? LQ_QUARANTINE : slot_worker(q, r->lane);
}

static void lane_unready(struct lq *q, struct lane *l)
{
	if (!heap_has(&l->ready))
		return;
	struct part *p = part_find(l->agent, l->ready_at);
	heap_remove(&p->ready, &l->ready);
	p->share->lanes--;
	part_judge(q, p);
	part_put(q, p);
}

void lq_lane_judge(struct lq *q, struct lane *l)
{
	struct lq_run *head = l->active || l->stopped ? NULL : lq_lane_head(l);
	bool ready = head && !lq_run_is_paused(q, head);
	int w = ready ? lq_run_target(q, head) : LQ_NO_WORKER;
	if (w != l->ready_at)
		lane_unready(q, l);
	if (w == LQ_NO_WORKER)
		return;
	struct part *p = part_get(q, l->agent, w);
	p->share->lanes += !heap_has(&l->ready);
	l->ready_at = (int8_t)w;
	heap_set(&p->ready, &l->ready, lq_lane_key(l));
	part_judge(q, p);
}

/* ---- credit */

static void credit(struct lq *q, const struct lq_run *r, int by)
{
	struct agent *a = r->lane->agent;
	q->running += (uint32_t)by;
	q->count[r->state] += (uint32_t)by;
	q->workers[r->worker].running += (uint32_t)by;
	a->running += (uint32_t)by;
	a->tenant->running += (uint32_t)by;
	lq_agent_judge(q, a);
	lq_tenant_judge(q, a->tenant);
	lq_worker_judge(q, r->worker);
}

static void activate(struct lq *q, struct lq_run *r, int w, enum lq_state state)
{
	struct lane *l = r->lane;
	check(!l->active);
	lq_run_spare(r);
	l->active = r;
	r->unclaimed = 0;
	r->worker = (int8_t)w;
	r->state = state & 7;
	list_push(&q->workers[w].active, &r->node);
	credit(q, r, 1);
}

void lq_run_fuse(struct lq *q, struct lq_run *r, int w)
{
	struct tenant *t = lq_tenant_of(r);
	struct share *s = share_get(q, t, w);
	int64_t here_us = later(s->virtual_us, q->workers[w].virtual_us);
	r->fused = 1;
	activate(q, r, w, LQ_S_ENQUEUEING);
	charge(q, s, here_us, later(t->virtual_us, q->virtual_us));
}

void lq_run_deactivate(struct lq *q, struct lq_run *r)
{
	check(r->lane->active == r);
	r->lane->active = NULL;
	list_remove(&r->node);
	credit(q, r, -1);
	r->worker = LQ_NO_WORKER;
	r->orphan = r->fused = r->yielding = 0;
}

void lq_run_running(struct lq *q, struct lq_run *r)
{
	q->count[r->state]--;
	r->state = LQ_S_RUNNING;
	q->count[r->state]++;
	r->ran = 1;
	r->fused = r->folded = r->crashed = r->yielding = 0;
}

/* ---- starting */

int lq_fused_worker(const struct lq *q, const struct lq_run *r)
{
	const struct lane *l = r->lane;
	int w = slot_worker(q, l);
	bool free = !q->held && !lq_run_is_paused(q, r) && l->runs == 1 && !r->due_us;
	if (!free || w == LQ_NO_WORKER || !lq_worker_room(q, w))
		return LQ_NO_WORKER;
	if (q->running >= q->limits.node_running || !agent_is_open(l->agent) ||
	    !tenant_is_open(l->agent->tenant))
		return LQ_NO_WORKER;
	/* Only if nobody else waits for the same credit. */
	return heap_top(&q->turns) ? LQ_NO_WORKER : w;
}

/* The lane of this worker whose turn it is: the tenant with the smallest tag, then the
 * smallest key. */
static struct lane *first_lane(const struct worker *w)
{
	struct part *p = container_of(heap_top(&w->first->parts), struct part, top);
	return container_of(heap_top(&p->ready), struct lane, ready);
}

static void claim(struct lq *q, struct worker *w)
{
	struct share *s = w->first;
	struct lane *l = first_lane(w);
	struct lq_run *r = lq_lane_head(l);
	int64_t here_us = s->top.key, node_us = w->turn.key;
	lane_unready(q, l);
	lq_run_leave(q, r);
	activate(q, r, s->worker, LQ_S_CLAIMING);
	charge(q, s, here_us, node_us);
	q->act(q->ctx, &(struct lq_action){.kind = LQ_DO_CLAIM,
					   .run = r,
					   .worker = r->worker,
					   .crashed = r->crashed});
}

void lq_start_ready(struct lq *q)
{
	if (q->held)
		return;
	while (q->running < q->limits.node_running && heap_top(&q->turns))
		claim(q, container_of(heap_top(&q->turns), struct worker, turn));
	if (heap_top(&q->workers[LQ_QUARANTINE].shares) &&
	    !q->workers[LQ_QUARANTINE].up && !q->quarantine_asked) {
		q->quarantine_asked = true;
		q->act(q->ctx, &(struct lq_action){.kind = LQ_DO_QUARANTINE,
						   .worker = LQ_QUARANTINE});
	}
}
