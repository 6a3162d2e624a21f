/* SPDX-License-Identifier: Apache-2.0
 * A lane's order: which of its runs is next, what it holds besides, and what its drop
 * policy gives up when it is full. */
#include "common/attr.h"
#include "common/die.h"
#include "supervisor/lq_state.h"

static struct lq_run *run_of(struct list *n)
{
	return list_entry(n, struct lq_run, node);
}

static int64_t key_of(const struct lq_run *r)
{
	return r->order_us - r->priority * LQ_PRIORITY_US;
}

/* ---- time */

int64_t lq_run_deadline_us(const struct lq_run *r)
{
	return r->deadline_ms ? r->order_us + r->deadline_ms * 1000LL : 0;
}

void lq_run_set_deadline(struct lq_run *r, int64_t at_us)
{
	int64_t ms = (at_us - r->order_us + 999) / 1000;
	r->deadline_ms = at_us == 0 ? 0 : ms < 1 ? 1 : ms > UINT32_MAX ? UINT32_MAX : ms;
}

void lq_run_set_timer(struct lq *q, struct lq_run *r)
{
	bool due = r->state == LQ_S_DELAYED || r->state == LQ_S_RETRY ||
		   (r->state == LQ_S_ASKING && !r->expiring);
	bool expires = r->deadline_ms && !r->ran && !r->expiring &&
		       (r->state == LQ_S_WAITING || r->state == LQ_S_DELAYED ||
			r->state == LQ_S_FOLDED);
	int64_t deadline = lq_run_deadline_us(r);
	if (due && !(expires && deadline < r->due_us))
		heap_set(&q->timers, &r->timer, r->due_us);
	else if (expires)
		heap_set(&q->timers, &r->timer, deadline);
	else
		heap_remove(&q->timers, &r->timer);
}

/* ---- the lists */

/* Whether a goes before b among those that wait. */
static bool goes_before(const struct lq_run *a, const struct lq_run *b)
{
	return a->ran != b->ran ? a->ran : a->lane_pos < b->lane_pos;
}

static void waiting_insert(struct lane *l, struct lq_run *r)
{
	struct list *at = &l->waiting;
	/* Nearly always the last: the order of acceptance. */
	while (at->prev != &l->waiting && goes_before(r, run_of(at->prev)))
		at = at->prev;
	if (list_is_empty(&l->waiting))
		l->mixed = 0;
	else if (at != &l->waiting || key_of(run_of(at->prev)) > key_of(r))
		l->mixed = 1;
	list_insert_before(at, &r->node);
}

static void rest_insert(struct lane *l, struct lq_run *r)
{
	struct list *at = &l->rest;
	while (at->prev != &l->rest && run_of(at->prev)->lane_pos > r->lane_pos)
		at = at->prev;
	list_insert_before(at, &r->node);
}

/* One more or one less of the run's state, in its lane, tenant and queue. */
static void count(struct lq *q, const struct lq_run *r, int by)
{
	struct lane *l = r->lane;
	q->count[r->state] += (uint32_t)by;
	switch ((enum lq_state)r->state) {
	case LQ_S_WAITING:
		l->waiting_count += (uint32_t)by;
		lq_tenant_of(r)->waiting += (uint32_t)by;
		break;
	case LQ_S_DELAYED:
		l->delayed += (uint32_t)by;
		break;
	case LQ_S_FOLDED:
		l->folded = (uint16_t)(l->folded + by);
		break;
	case LQ_S_RETRY:
	case LQ_S_ASKING:
		l->stopped = (l->stopped + (unsigned)by) & 63;
		break;
	case LQ_S_ENQUEUEING:
	case LQ_S_CLAIMING:
	case LQ_S_RUNNING:
		break;
	}
}

void lq_run_enter(struct lq *q, struct lq_run *r, enum lq_state state)
{
	check(state != LQ_S_CLAIMING && state != LQ_S_RUNNING);
	r->state = state & 7;
	r->worker = LQ_NO_WORKER;
	if (state == LQ_S_WAITING)
		waiting_insert(r->lane, r);
	else
		rest_insert(r->lane, r);
	count(q, r, 1);
	lq_run_set_timer(q, r);
}

void lq_run_leave(struct lq *q, struct lq_run *r)
{
	count(q, r, -1);
	list_remove(&r->node);
	heap_remove(&q->timers, &r->timer);
}

struct lq_run *lq_lane_head(const struct lane *l)
{
	if (l->waiting_count)
		return run_of(l->waiting.next);
	/* A lane left with folded ones runs them; what is not committed comes last. */
	return l->folded && !l->delayed && !l->stopped ? run_of(l->rest.next) : NULL;
}

struct lq_run *lq_lane_asking(const struct lane *l)
{
	if (l->stopped)
		list_each (n, &l->rest)
			if (run_of(n)->state == LQ_S_ASKING)
				return run_of(n);
	return NULL;
}

bool lq_lane_has_message(const struct lane *l)
{
	if (l->folded)
		return true;
	list_each (n, &l->waiting)
		if (!run_of(n)->ran && run_of(n)->mode != MODE_ANNOUNCE &&
		    !mode_is_job(run_of(n)->mode))
			return true;
	return false;
}

int64_t lq_lane_key(const struct lane *l)
{
	int64_t least = key_of(lq_lane_head(l));
	if (!l->mixed || l->waiting_count < 2)
		return least;
	list_each (n, &l->waiting)
		if (key_of(run_of(n)) < least)
			least = key_of(run_of(n));
	return least;
}

void lq_collect_align(struct lq *q, struct lq_run *r)
{
	struct lq_run *newest = r;
	list_each (n, &r->lane->rest) {
		struct lq_run *o = run_of(n);
		if (o->state == LQ_S_DELAYED && o->mode == MODE_COLLECT &&
		    o->lane_pos > newest->lane_pos)
			newest = o;
	}
	list_each (n, &r->lane->rest) {
		struct lq_run *o = run_of(n);
		if (o->state != LQ_S_DELAYED || o->mode != MODE_COLLECT)
			continue;
		o->due_us = newest->due_us;
		lq_run_set_timer(q, o);
	}
}

/* ---- the drop policy */

void lq_run_doom(struct lq_run *r)
{
	r->doomed = 1;
	r->lane->doomed++;
}

void lq_run_spare(struct lq_run *r)
{
	if (r->doomed)
		r->lane->doomed--;
	r->doomed = 0;
}

static bool may_drop(const struct lq_run *r)
{
	return !r->ran && !r->doomed && !r->expiring && !mode_is_job(r->mode);
}

/* The oldest that waits or is delayed; one that expires is going anyway. */
static struct lq_run *oldest_victim(const struct lane *l)
{
	struct lq_run *found = NULL;
	list_each (n, &l->rest)
		if (!found && run_of(n)->state == LQ_S_DELAYED && may_drop(run_of(n)))
			found = run_of(n);
	list_each (n, &l->waiting) {
		struct lq_run *r = run_of(n);
		if (may_drop(r) && (!found || r->lane_pos < found->lane_pos))
			return r;
	}
	return found;
}

static struct lq_verdict lane_admit(const struct lane *l, const struct lq_item *it)
{
	uint32_t cap = it->lane_cap ? it->lane_cap : LIMIT_LANE_WAITING;
	uint32_t full = l->runs - l->folded - l->stopped - l->doomed - !!l->active;
	if (full < cap)
		return (struct lq_verdict){ERR_OK, NULL, false};
	struct lq_run *victim = it->drop == DROP_OLD || it->drop == DROP_SUMMARIZE
					? oldest_victim(l)
					: NULL;
	if (!victim)
		return (struct lq_verdict){ERR_LANE_FULL, NULL, false};
	/* Beyond what may be folded it is dropped: only that keeps the lane at its cap.
	 */
	bool fold = it->drop == DROP_SUMMARIZE && l->folded + l->doomed < LQ_FOLDED_MOST;
	return (struct lq_verdict){ERR_OK, victim, fold};
}

struct lq_verdict lq_admit(const struct lq *q, const struct lq_item *it)
{
	const struct lane *l = lq_lane_find(q, it->tenant, &it->session);
	const struct tenant *t = lq_tenant_find(q, it->tenant);
	struct lq_verdict v = {ERR_OK, NULL, false};
	if (lq_find(q, it->run))
		return (struct lq_verdict){ERR_CONFLICT, NULL, false};
	if (l)
		v = lane_admit(l, it);
	if (v.error)
		return v;
	uint32_t freed = v.victim && !v.fold;
	if (t && t->runs - t->running - freed >= it->tenant_max_queued)
		return (struct lq_verdict){ERR_TENANT_FULL, NULL, false};
	if (q->run_count - q->running - freed >= q->limits.node_waiting)
		return (struct lq_verdict){ERR_NODE_FULL, NULL, false};
	return v;
}
