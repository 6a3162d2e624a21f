/* SPDX-License-Identifier: Apache-2.0
 * Looking into the lane queue: runs, lanes, tenants, counts, and why a run waits. */
#include "common/attr.h"
#include "common/map.h"
#include "supervisor/lq_state.h"

/* ---- a run */

struct uuid lq_run_id(const struct lq_run *r)
{
	return r->id;
}

struct uuid lq_run_session(const struct lq_run *r)
{
	return r->lane->session;
}

struct uuid lq_run_agent(const struct lq_run *r)
{
	return r->lane->agent->id;
}

int64_t lq_run_tenant(const struct lq_run *r)
{
	return lq_tenant_of(r)->id;
}

uint32_t lq_run_slot(const struct lq_run *r)
{
	return r->lane->slot;
}

int lq_run_worker(const struct lq_run *r)
{
	return r->worker;
}

enum run_mode lq_run_mode(const struct lq_run *r)
{
	return (enum run_mode)r->mode;
}

int lq_run_priority(const struct lq_run *r)
{
	return r->priority;
}

int64_t lq_run_order_us(const struct lq_run *r)
{
	return r->order_us;
}

uint32_t lq_run_crashes(const struct lq_run *r)
{
	return r->crashes;
}

enum lq_state lq_run_state(const struct lq_run *r)
{
	return (enum lq_state)r->state;
}

bool lq_run_is_gone(const struct lq_run *r)
{
	return r->gone;
}

static struct lq_run *run_of(struct list *n)
{
	return list_entry(n, struct lq_run, node);
}

uint32_t lq_run_position(const struct lq_run *r)
{
	const struct lane *l = r->lane;
	uint32_t n = l->stopped + (l->active != NULL);
	if (l->active == r || r->state == LQ_S_RETRY || r->state == LQ_S_ASKING)
		return 0;
	if (r->state != LQ_S_WAITING)
		return n + l->waiting_count;
	list_each (at, &l->waiting) {
		if (run_of(at) == r)
			break;
		n++;
	}
	return n;
}

/* The take bit under which another run of the lane would be consumed; 0: none. */
static unsigned taken_as(const struct lq_run *r)
{
	bool waits = r->state == LQ_S_WAITING;
	if (r->state == LQ_S_FOLDED)
		return TAKE_FOLDED;
	if (r->ran)
		return 0;
	if (waits && (r->mode == MODE_STEER || r->mode == MODE_ANNOUNCE))
		return TAKE_STEER;
	if (r->mode == MODE_COLLECT && (waits || r->state == LQ_S_DELAYED))
		return TAKE_COLLECT;
	return 0;
}

uint32_t lq_run_take(const struct lq_run *r)
{
	struct lane *l = r->lane;
	unsigned take = 0;
	list_each (n, &l->waiting)
		take |= run_of(n) != r ? taken_as(run_of(n)) : 0;
	list_each (n, &l->rest)
		take |= run_of(n) != r ? taken_as(run_of(n)) : 0;
	return r->mode == MODE_COLLECT ? take : take & ~(unsigned)TAKE_COLLECT;
}

int64_t lq_run_due_us(const struct lq_run *r)
{
	return r->state == LQ_S_DELAYED || r->state == LQ_S_RETRY ||
			       r->state == LQ_S_ASKING
		       ? r->due_us
		       : 0;
}

int64_t lq_run_since_us(const struct lq_run *r)
{
	return r->due_us > r->order_us ? r->due_us : r->order_us;
}

/* ---- why it waits */

/* The run of its lane that goes before r; NULL: none. */
static const struct lq_run *run_before(const struct lq_run *r)
{
	struct lane *l = r->lane;
	if (l->active)
		return l->active;
	list_each (n, &l->rest)
		if (run_of(n)->state == LQ_S_RETRY || run_of(n)->state == LQ_S_ASKING)
			return run_of(n);
	if (r->state == LQ_S_WAITING && r->node.prev != &l->waiting)
		return run_of(r->node.prev);
	return NULL;
}

static enum lq_why why_paused(const struct lane *l)
{
	if (l->paused)
		return LQ_WHY_LANE_PAUSED;
	if (l->agent->paused)
		return LQ_WHY_AGENT_PAUSED;
	return l->agent->tenant->paused ? LQ_WHY_TENANT_PAUSED : LQ_WHY_NODE_PAUSED;
}

static enum lq_why why_no_credit(const struct lq *q, const struct lq_run *r)
{
	const struct agent *a = r->lane->agent;
	const struct tenant *t = a->tenant;
	int w = lq_run_target(q, r);
	if (w == LQ_QUARANTINE && !lq_worker_room(q, w))
		return LQ_WHY_QUARANTINE;
	if (w == LQ_NO_WORKER || !q->workers[w].up)
		return LQ_WHY_NO_WORKER;
	if (q->running >= q->limits.node_running)
		return LQ_WHY_NODE_FULL;
	if (!lq_worker_room(q, w))
		return LQ_WHY_WORKER_FULL;
	if (t->running >= t->max_running)
		return LQ_WHY_TENANT_CAP;
	return a->max_running && a->running >= a->max_running ? LQ_WHY_AGENT_CAP
							      : LQ_WHY_TURN;
}

static enum lq_why why_waiting(const struct lq *q, const struct lq_run *r)
{
	if (run_before(r))
		return LQ_WHY_LANE_BUSY;
	if (lq_run_is_paused(q, r))
		return why_paused(r->lane);
	return q->held ? LQ_WHY_HELD : why_no_credit(q, r);
}

static enum lq_why why_of(const struct lq *q, const struct lq_run *r)
{
	switch ((enum lq_state)r->state) {
	case LQ_S_ENQUEUEING:
		return LQ_WHY_COMMITTING;
	case LQ_S_DELAYED:
		return LQ_WHY_DELAYED;
	case LQ_S_RETRY:
		return LQ_WHY_RETRY;
	case LQ_S_ASKING:
		return LQ_WHY_ASKING;
	case LQ_S_FOLDED:
		if (r->lane->active || lq_lane_head(r->lane) != r)
			return LQ_WHY_FOLDED;
		return why_waiting(q, r);
	case LQ_S_WAITING:
		return why_waiting(q, r);
	case LQ_S_CLAIMING:
	case LQ_S_RUNNING:
		break;
	}
	return LQ_WHY_RUNS;
}

/* Ready lanes of its tenant on its worker, but its own. */
static uint32_t lanes_ahead(const struct lane *l)
{
	if (!heap_has(&l->ready))
		return 0;
	list_each (n, &l->agent->tenant->shares) {
		struct share *s = list_entry(n, struct share, node);
		if (s->worker == l->ready_at)
			return s->lanes - 1;
	}
	return 0;
}

struct lq_why_info lq_why(const struct lq *q, const struct lq_run *r)
{
	struct lq_why_info i = {.why = why_of(q, r),
				.position = lq_run_position(r),
				.due_us = lq_run_due_us(r)};
	if (i.why == LQ_WHY_LANE_BUSY)
		i.other = run_before(r);
	if (i.why > LQ_WHY_LANE_BUSY)
		i.ahead = lanes_ahead(r->lane);
	return i;
}

/* ---- counts */

static size_t bytes_of(const struct lq *q)
{
	size_t pointers = (size_t)q->run_bucket_count + q->lane_bucket_count +
			  q->timers.cap + 2 * (size_t)q->lane_count;
	return sizeof *q + q->run_count * sizeof(struct lq_run) +
	       q->lane_count * sizeof(struct lane) +
	       map_count(q->tenants) * sizeof(struct tenant) +
	       map_count(q->agents) * sizeof(struct agent) +
	       q->part_count * sizeof(struct part) +
	       q->share_count * sizeof(struct share) + pointers * sizeof(void *);
}

struct lq_stats lq_stats(const struct lq *q)
{
	struct heap_node *due = heap_top(&q->timers);
	return (struct lq_stats){.lanes = q->lane_count,
				 .tenants = (uint32_t)map_count(q->tenants),
				 .runs = q->run_count,
				 .waiting = q->count[LQ_S_WAITING],
				 .running = q->running,
				 .delayed = q->count[LQ_S_DELAYED],
				 .retrying = q->count[LQ_S_RETRY],
				 .asking = q->count[LQ_S_ASKING],
				 .folded = q->count[LQ_S_FOLDED],
				 .claiming = q->count[LQ_S_CLAIMING],
				 .pauses = (uint32_t)map_count(q->pauses),
				 .next_due_us = due ? due->key : 0,
				 .held = q->held,
				 .paused = q->paused,
				 .bytes = bytes_of(q)};
}

uint32_t lq_worker_running(const struct lq *q, int worker)
{
	return q->workers[worker].running;
}

/* ---- lanes and tenants */

static struct lq_lane_info lane_info(const struct lq *q, const struct lane *l)
{
	return (struct lq_lane_info){.tenant = l->agent->tenant->id,
				     .session = l->session,
				     .agent = l->agent->id,
				     .slot = l->slot,
				     .waiting = l->waiting_count,
				     .delayed = l->delayed,
				     .folded = l->folded,
				     .active = l->active,
				     .asking = lq_lane_asking(l),
				     .head = lq_lane_head(l),
				     .paused = l->paused,
				     .worker = q->slots[l->slot]};
}

void lq_each_lane(const struct lq *q, bool (*fn)(void *ctx, const struct lq_lane_info *l),
		  void *ctx)
{
	for (struct lane *l = NULL; (l = lq_lane_next(q, l));) {
		struct lq_lane_info info = lane_info(q, l);
		if (!fn(ctx, &info))
			return;
	}
}

bool lq_lane(const struct lq *q, int64_t tenant, struct uuid session,
	     struct lq_lane_info *out)
{
	struct lane *l = lq_lane_find(q, tenant, &session);
	if (l)
		*out = lane_info(q, l);
	return l != NULL;
}

static bool each_rest(struct lane *l, enum lq_state state,
		      bool (*fn)(void *ctx, struct lq_run *r), void *ctx)
{
	list_each (n, &l->rest)
		if (run_of(n)->state == state && !fn(ctx, run_of(n)))
			return false;
	return true;
}

static bool each_waiting(struct lane *l, bool (*fn)(void *ctx, struct lq_run *r),
			 void *ctx)
{
	list_each (n, &l->waiting)
		if (!fn(ctx, run_of(n)))
			return false;
	return true;
}

void lq_each_run(const struct lq *q, int64_t tenant, struct uuid session,
		 bool (*fn)(void *ctx, struct lq_run *r), void *ctx)
{
	struct lane *l = lq_lane_find(q, tenant, &session);
	if (!l || (l->active && !fn(ctx, l->active)))
		return;
	if (each_rest(l, LQ_S_ASKING, fn, ctx) && each_rest(l, LQ_S_RETRY, fn, ctx) &&
	    each_waiting(l, fn, ctx) && each_rest(l, LQ_S_ENQUEUEING, fn, ctx) &&
	    each_rest(l, LQ_S_DELAYED, fn, ctx))
		each_rest(l, LQ_S_FOLDED, fn, ctx);
}

void lq_each_tenant(const struct lq *q,
		    bool (*fn)(void *ctx, const struct lq_tenant_info *t), void *ctx)
{
	void *p;
	for (size_t it = 0; map_next(q->tenants, &it, NULL, &p);) {
		const struct tenant *t = p;
		struct lq_tenant_info info = {t->id,          t->running,    t->waiting,
					      t->max_running, t->max_queued, t->weight};
		if (!fn(ctx, &info))
			return;
	}
}
