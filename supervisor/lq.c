/* SPDX-License-Identifier: Apache-2.0
 * The lane queue's events. See lq.h for the states; every change of a run's state begins
 * here. */
#include "supervisor/lq.h"

#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "supervisor/lq_state.h"

static void act(struct lq *q, struct lq_action a)
{
	q->act(q->ctx, &a);
}

/* ---- what a run becomes */

static bool is_steer(const struct lq_run *r)
{
	return r->mode == MODE_STEER || r->mode == MODE_ANNOUNCE;
}

/* A message came while its lane's run waits for a person, or had come before: that is
 * the answer. Once asked for it is asked until it is done. */
static void lane_denies(struct lq *q, struct lane *l)
{
	struct lq_run *r = lq_lane_asking(l);
	if (!r || r->denied || !lq_lane_has_message(l))
		return;
	r->denied = 1;
	act(q, (struct lq_action){.kind = LQ_DO_DENY, .run = r, .worker = LQ_NO_WORKER});
}

/* WAITING, or FOLDED when its row is; a steer under a running run is told. */
static void run_waits(struct lq *q, struct lq_run *r)
{
	struct lq_run *active = r->lane->active;
	lq_run_enter(q, r, r->folded ? LQ_S_FOLDED : LQ_S_WAITING);
	lq_lane_judge(q, r->lane);
	lane_denies(q, r->lane);
	if (!r->folded && !r->ran && is_steer(r) && active &&
	    active->state == LQ_S_RUNNING)
		act(q, (struct lq_action){.kind = LQ_DO_STEER,
					  .run = active,
					  .worker = active->worker});
}

static void run_delays(struct lq *q, struct lq_run *r)
{
	lq_run_enter(q, r, LQ_S_DELAYED);
	lq_lane_judge(q, r->lane); /* folded ones wait for it */
}

/* Out of whatever it is in. */
static void run_out(struct lq *q, struct lq_run *r)
{
	if (r->state == LQ_S_ASKING)
		r->denied = r->expiring = 0;
	if (r->lane->active == r)
		lq_run_deactivate(q, r);
	else
		lq_run_leave(q, r);
}

static void run_again(struct lq *q, struct lq_run *r)
{
	run_out(q, r);
	run_waits(q, r);
}

static void run_end(struct lq *q, struct lq_run *r)
{
	struct lane *l = r->lane;
	run_out(q, r);
	lq_lane_judge(q, l); /* while the run still keeps the lane */
	lq_run_forget(q, r);
}

static bool commits(const struct lq_run *r)
{
	return r->state == LQ_S_ENQUEUEING || r->state == LQ_S_CLAIMING;
}

/* Its row is gone. A commit of it that is under way names the run, so that ends it. */
static void run_is_gone(struct lq *q, struct lq_run *r)
{
	if (commits(r))
		r->gone = 1;
	else
		run_end(q, r);
}

static void tell_cancel(struct lq *q, struct lq_run *r)
{
	act(q, (struct lq_action){.kind = LQ_DO_CANCEL,
				  .run = r,
				  .worker = r->worker,
				  .reason = (enum cancel_reason)r->cancel});
}

static void run_starts(struct lq *q, struct lq_run *r)
{
	lq_run_running(q, r);
	act(q, (struct lq_action){.kind = LQ_DO_START, .run = r, .worker = r->worker});
	if (r->cancel)
		tell_cancel(q, r);
}

/* durable: its row says so, and that it waits for nobody. */
static void run_cancel(struct lq *q, struct lq_run *r, enum cancel_reason reason,
		       bool durable)
{
	r->cancel = reason & 3;
	if (r->state == LQ_S_RUNNING) {
		tell_cancel(q, r);
	} else if (r->state == LQ_S_RETRY || (r->state == LQ_S_ASKING && durable)) {
		run_again(q, r);
	} else if (r->unclaimed) {
		r->unclaimed = 0; /* only a claim ends it */
		lq_lane_judge(q, r->lane);
	}
}

static void run_yield(struct lq *q, struct lq_run *r)
{
	if (r->state != LQ_S_RUNNING || r->yielding)
		return;
	r->yielding = 1;
	act(q, (struct lq_action){.kind = LQ_DO_YIELD, .run = r, .worker = r->worker});
}

/* Its worker went, or its slot moved, while the commit was under way. */
static bool is_adrift(const struct lq *q, const struct lq_run *r)
{
	return r->orphan || lq_run_target(q, r) != r->worker;
}

/* ---- T0 */

static void on_enqueue(struct lq *q, const struct lq_event *e)
{
	struct lq_verdict v = lq_admit(q, e->item);
	if (v.error) {
		act(q, (struct lq_action){
			       .kind = LQ_DO_REFUSE, .error = v.error, .arg = e->arg});
		return;
	}
	struct lq_run *r = lq_run_new(q, e->item);
	r->lane_pos = INT64_MAX;
	r->due_us = e->item->run_at_us > e->now_us ? e->item->run_at_us : 0;
	int w = lq_fused_worker(q, r);
	if (w == LQ_NO_WORKER)
		lq_run_enter(q, r, LQ_S_ENQUEUEING);
	else
		lq_run_fuse(q, r, w);
	if (v.victim)
		lq_run_doom(v.victim);
	act(q, (struct lq_action){.kind = LQ_DO_ENQUEUE,
				  .run = r,
				  .worker = w,
				  .victim = v.victim,
				  .fold = v.fold,
				  .arg = e->arg});
}

/* What an interrupt or a deletion cuts short: the active run, or the one that would go
 * on. A deletion's commit says of that row that it is cancelled, and of one that asks a
 * person that it asks no more. */
static void interrupt(struct lq *q, struct lane *l, bool deletes)
{
	struct lq_run *found = l->active;
	struct lq_run *head = lq_lane_head(l);
	if (!found && head && head->ran)
		found = head;
	list_each (n, &l->rest)
		if (!found && (list_entry(n, struct lq_run, node)->state == LQ_S_RETRY ||
			       list_entry(n, struct lq_run, node)->state == LQ_S_ASKING))
			found = list_entry(n, struct lq_run, node);
	if (found)
		run_cancel(q, found, deletes ? CANCEL_ASKED : CANCEL_INTERRUPTED,
			   deletes);
}

static void on_committed(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = e->run;
	check(r->state == LQ_S_ENQUEUEING);
	if (r->gone) {
		run_end(q, r);
		return;
	}
	r->lane_pos = e->lane_pos;
	if (r->fused && e->started && !is_adrift(q, r)) {
		run_starts(q, r);
		return;
	}
	bool started = r->fused && e->started;
	run_out(q, r);
	r->ran |= started;
	if ((r->mode == MODE_INTERRUPT || r->mode == MODE_DELETE) && !started)
		interrupt(q, r->lane, r->mode == MODE_DELETE);
	if (r->due_us > q->now_us && !started)
		run_delays(q, r);
	else
		run_waits(q, r);
	if (r->state == LQ_S_DELAYED && r->mode == MODE_COLLECT)
		lq_collect_align(q, r);
}

static void run_asks(struct lq *q, struct lq_run *r, int64_t until_us)
{
	r->due_us = until_us;
	lq_run_enter(q, r, LQ_S_ASKING);
	lq_lane_judge(q, r->lane);
	lane_denies(q, r->lane);
}

static void on_loaded(struct lq *q, const struct lq_event *e)
{
	const struct lq_item *it = e->item;
	if (lq_find(q, it->run))
		return; /* the safety net met what is known */
	struct lq_run *r = lq_run_new(q, it);
	bool due = it->run_at_us <= e->now_us;
	r->lane_pos = it->lane_pos;
	r->due_us = it->run_at_us;
	r->ran = it->ran || it->retrying || it->asking;
	r->folded = it->folded && !r->ran;
	r->crashes = it->crashes < UINT8_MAX ? (uint8_t)it->crashes : UINT8_MAX;
	if (it->asking) {
		run_asks(q, r, it->run_at_us);
	} else if (it->retrying && !due) {
		lq_run_enter(q, r, LQ_S_RETRY);
		lq_lane_judge(q, r->lane);
	} else if (due || r->ran || r->folded) {
		run_waits(q, r);
	} else {
		run_delays(q, r);
	}
	if (r->state == LQ_S_DELAYED && r->mode == MODE_COLLECT)
		lq_collect_align(q, r);
}

/* ---- T1 */

static void on_claimed(struct lq *q, struct lq_run *r)
{
	check(r->state == LQ_S_CLAIMING);
	r->ran = 1;
	r->folded = r->crashed = r->gone = 0;
	if (is_adrift(q, r))
		run_again(q, r);
	else
		run_starts(q, r);
}

static void on_unclaimed(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = e->run;
	check(r->state == LQ_S_CLAIMING);
	if (e->gone || r->gone) {
		run_end(q, r);
		return;
	}
	if (!r->ran) /* an interrupt took it for started: it was not */
		r->cancel = 0;
	r->unclaimed = 1;
	run_again(q, r);
}

static void run_retries(struct lq *q, struct lq_run *r, int64_t at_us)
{
	run_out(q, r);
	r->due_us = at_us;
	if (r->cancel) {
		run_waits(q, r);
		return;
	}
	lq_run_enter(q, r, LQ_S_RETRY);
	lq_lane_judge(q, r->lane);
}

/* Its worker had let it go before it died. */
static void on_not_due(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = e->run;
	check(r->state == LQ_S_CLAIMING);
	if (r->gone) {
		run_end(q, r);
		return;
	}
	r->crashes -= r->crashed;
	r->crashed = 0;
	run_retries(q, r, e->at_us);
}

/* ---- what a worker says. A word about a run that is not running came too late: the
 * worker is gone, and the run's row says what it became. */

static void on_let_go(struct lq *q, struct lq_run *r)
{
	if (r->state == LQ_S_RUNNING)
		run_again(q, r);
}

static void on_retry(struct lq *q, const struct lq_event *e)
{
	if (e->run->state == LQ_S_RUNNING)
		run_retries(q, e->run, e->at_us);
}

/* WAITING: a claim found it so, and had not begun. */
static void on_asks(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = e->run;
	if (r->state == LQ_S_ASKING) {
		r->due_us = e->at_us;
		lq_run_set_timer(q, r);
		return;
	}
	if (!r->ran || (r->state != LQ_S_RUNNING && r->state != LQ_S_WAITING))
		return;
	r->crashes -= r->crashed;
	r->crashed = r->unclaimed = 0;
	run_out(q, r);
	if (r->cancel == CANCEL_ASKED) /* its row says so: it asks nobody any more */
		run_waits(q, r);
	else
		run_asks(q, r, e->at_us);
}

/* One that RUNS was let go by a worker which has not said so yet. */
static void on_answered(struct lq *q, struct lq_run *r)
{
	if (r->state == LQ_S_ASKING || r->state == LQ_S_RUNNING)
		run_again(q, r);
}

static void on_progress(struct lq *q, struct lq_run *r)
{
	if (r->state != LQ_S_RUNNING)
		return;
	r->crashes = 0;
	if (r->worker == LQ_QUARANTINE)
		run_yield(q, r);
}

/* ---- the queue's other verdicts */

static void on_folded(struct lq *q, struct lq_run *r)
{
	if (r->state == LQ_S_CLAIMING) {
		r->folded = 1; /* until its claim lands */
	} else if (r->state == LQ_S_WAITING || r->state == LQ_S_DELAYED) {
		run_out(q, r);
		lq_run_spare(r);
		r->folded = 1;
		run_waits(q, r);
	}
}

static void on_kept(struct lq *q, struct lq_run *r)
{
	lq_run_spare(r);
	if (!r->expiring)
		return;
	r->expiring = 0;
	if (r->state == LQ_S_ASKING) {
		r->due_us = (q->now_us > r->due_us ? q->now_us : r->due_us) +
			    LQ_EXPIRE_AGAIN_US;
		lq_run_set_timer(q, r);
		return;
	}
	lq_run_set_deadline(
		r,
		(q->now_us > lq_run_deadline_us(r) ? q->now_us : lq_run_deadline_us(r)) +
			LQ_EXPIRE_AGAIN_US);
	lq_run_set_timer(q, r);
}

static void on_timer(struct lq *q, struct lq_run *r)
{
	bool due = r->state == LQ_S_DELAYED || r->state == LQ_S_RETRY;
	if (due && r->due_us <= q->now_us) {
		run_again(q, r);
	} else if (r->doomed) { /* its victim's commit answers first */
		lq_run_set_deadline(r, q->now_us + LQ_EXPIRE_AGAIN_US);
		lq_run_set_timer(q, r);
	} else {
		r->expiring = 1;
		lq_run_set_timer(q, r);
		act(q, (struct lq_action){.kind = LQ_DO_EXPIRE, .run = r});
	}
}

static void on_tick(struct lq *q)
{
	for (struct heap_node *n; (n = heap_top(&q->timers)) && n->key <= q->now_us;)
		on_timer(q, container_of(n, struct lq_run, timer));
}

/* ---- workers */

static void on_worker_up(struct lq *q, int w)
{
	q->workers[w].up = true;
	if (w == LQ_QUARANTINE)
		q->quarantine_asked = false;
	lq_worker_judge(q, w);
}

static void on_worker_down(struct lq *q, int w, bool uncharged)
{
	struct list *active = &q->workers[w].active;
	q->workers[w].up = false;
	if (w == LQ_QUARANTINE)
		q->quarantine_asked = false;
	list_each (n, active) {
		struct lq_run *r = list_entry(n, struct lq_run, node);
		if (r->state != LQ_S_RUNNING) {
			r->orphan = 1; /* its commit decides; until then it holds */
			continue;
		}
		if (!uncharged) {
			r->crashed = 1;
			r->crashes += r->crashes < UINT8_MAX;
		}
		run_again(q, r);
	}
	lq_worker_judge(q, w);
}

static void on_slots(struct lq *q, const int16_t *slots)
{
	int16_t old[LIMIT_SLOTS];
	memcpy(old, q->slots, sizeof old);
	memcpy(q->slots, slots, sizeof q->slots);
	for (struct lane *l = NULL; (l = lq_lane_next(q, l));) {
		if (old[l->slot] == q->slots[l->slot])
			continue;
		lq_lane_judge(q, l);
		if (l->active && l->active->worker != LQ_QUARANTINE &&
		    lq_run_target(q, l->active) != l->active->worker)
			run_yield(q, l->active);
	}
}

/* ---- */

static void apply_to_run(struct lq *q, const struct lq_event *e)
{
	struct lq_run *r = e->run;
	switch (e->kind) {
	case LQ_COMMITTED:
		on_committed(q, e);
		break;
	case LQ_REFUSED:
		check(r->state == LQ_S_ENQUEUEING);
		run_end(q, r);
		break;
	case LQ_CLAIMED:
		on_claimed(q, r);
		break;
	case LQ_UNCLAIMED:
		on_unclaimed(q, e);
		break;
	case LQ_NOT_DUE:
		on_not_due(q, e);
		break;
	case LQ_ENDED:
	case LQ_TAKEN:
		run_is_gone(q, r);
		break;
	case LQ_GONE:
		if (r->state != LQ_S_RUNNING)
			run_is_gone(q, r);
		break;
	case LQ_LOST:
	case LQ_YIELDED:
		on_let_go(q, r);
		break;
	case LQ_RETRY:
		on_retry(q, e);
		break;
	case LQ_ASKS:
		on_asks(q, e);
		break;
	case LQ_ANSWERED:
		on_answered(q, r);
		break;
	case LQ_PROGRESS:
		on_progress(q, r);
		break;
	case LQ_FOLDED:
		on_folded(q, r);
		break;
	case LQ_KEPT:
		on_kept(q, r);
		break;
	case LQ_CANCEL:
		run_cancel(q, r, CANCEL_ASKED, true);
		break;
	default:
		panic("not an event of a run");
	}
}

static void apply(struct lq *q, const struct lq_event *e)
{
	switch (e->kind) {
	case LQ_ENQUEUE:
		q->now_us = e->now_us;
		on_enqueue(q, e);
		break;
	case LQ_LOADED:
		q->now_us = e->now_us;
		on_loaded(q, e);
		break;
	case LQ_TICK:
		q->now_us = e->now_us;
		on_tick(q);
		break;
	case LQ_WORKER_UP:
		on_worker_up(q, e->worker);
		break;
	case LQ_WORKER_DOWN:
		on_worker_down(q, e->worker, e->uncharged);
		break;
	case LQ_SLOTS:
		on_slots(q, e->slots);
		break;
	case LQ_PAUSE:
		lq_pause_set(q, e);
		break;
	case LQ_RESUME:
		lq_pause_clear(q, e);
		break;
	case LQ_HOLD:
	case LQ_RELEASE:
		q->held = e->kind == LQ_HOLD;
		break;
	default:
		apply_to_run(q, e);
	}
}

void lq_step(struct lq *q, const struct lq_event *e)
{
	check(!q->stepping);
	q->stepping = true;
	apply(q, e);
	lq_start_ready(q);
	q->stepping = false;
}
