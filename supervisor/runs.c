/* SPDX-License-Identifier: Apache-2.0
 * A run's way: request -> queue -> commit -> worker. */
#include "supervisor/runs.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/row.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/journal_item.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"

#define CRASHES_MOST 3

/* What a request carries through lq_step to the action. */
struct request {
	struct child *edge;
	const struct wire_enqueue *m;
	int64_t order_us;
};

/* RUN_START of the commit being delivered: DO_START comes inside its lq_step. */
static const struct wire_run_start *starting;

/* ---- answers to the edge */

static void answer(struct child *edge, const struct wire_enqueue *m, enum err e,
		   const char *message, uint32_t retry_s)
{
	struct wire_enqueued r = {.req = m->req,
				  .run = m->run,
				  .error = e ? slice_str(err_code(e)) : SLICE(""),
				  .message = slice_str(message ? message
						       : e     ? err_text(e)
							       : ""),
				  .retry_after_s = retry_s};
	child_send(edge, WIRE_ENQUEUED, &r);
}

static struct child *edge_of(struct item *it)
{
	return uuid_eq(it->edge->incarnation, it->edge_life) ? it->edge : NULL;
}

static uint32_t retry_after(struct sup *s, enum err e)
{
	if (!err_is_retryable(e))
		return 0;
	/* Position over drain rate, within 1 to 60 s; the rate since start is a fair
	 * guess of the next minute. */
	double seconds = (double)(loop_now_us(s->loop) - s->started_us) / 1e6;
	double rate = seconds > 1 ? (double)s->runs_ended / seconds : 1;
	double wait = rate > 0.01 ? lq_stats(s->lq).waiting / rate : 60;
	wait = wait < 1 ? 1 : wait > 60 ? 60 : wait;
	return (uint32_t)(wait + 0.5);
}

/* ---- actions */

static void act_claim(struct sup *s, const struct lq_action *a)
{
	journal_claim(s->journal, a->run, a->worker, a->crashed);
}

static void act_start(struct sup *s, const struct lq_action *a)
{
	struct child *w = child_worker(s, a->worker);
	if (!starting || !w)
		return; /* its worker's death is on the way and will say so */
	child_send(w, WIRE_RUN_START, starting);
	struct live *l = live_get(s, lq_run_id(a->run), lq_run_tenant(a->run));
	if (l->started_us == 0)
		l->started_us = starting->started_us;
	l->fence = starting->fence;
	if (starting->resumed) {
		live_resume(l, starting->ev_seq);
		return;
	}
	struct wire_event first = {.run = starting->run,
				   .seq = 1,
				   .type = EVENT_LIFECYCLE,
				   .durable = true,
				   .at_us = starting->started_us,
				   .body = SLICE("{\"phase\":\"start\"}")};
	live_event(s, l, &first);
}

void runs_act(void *sup, const struct lq_action *a)
{
	struct sup *s = sup;
	struct request *q = a->arg;
	switch (a->kind) {
	case LQ_DO_ENQUEUE:
		journal_enqueue(s->journal, a->run, a->worker, q->edge, q->m,
				q->order_us);
		break;
	case LQ_DO_REFUSE:
		answer(q->edge, q->m, a->error, NULL, retry_after(s, a->error));
		break;
	case LQ_DO_CLAIM:
		act_claim(s, a);
		break;
	case LQ_DO_START:
		act_start(s, a);
		break;
	}
}

/* ---- T0 */

void runs_enqueue(struct sup *s, struct child *edge, const struct wire_enqueue *m)
{
	int64_t now_us = clock_real_us();
	if (s->state >= SUP_DRAINING) {
		answer(edge, m, ERR_DRAINING, NULL, 5);
		return;
	}
	if (!journal_is_up(s->journal)) {
		answer(edge, m, ERR_UNAVAILABLE,
		       "the database is away; nothing was accepted, try again", 2);
		return;
	}
	if (lq_find(s->lq, m->run)) {
		answer(edge, m, ERR_CONFLICT, "this run id is taken", 0);
		return;
	}
	s->last_order_us = now_us > s->last_order_us ? now_us : s->last_order_us + 1;
	struct lq_item item = {.run = m->run,
			       .session = m->session,
			       .tenant = m->tenant,
			       .slot = m->slot,
			       .priority = (int)m->priority,
			       .order_us = s->last_order_us,
			       .run_at_us = m->run_at_us,
			       .tenant_max_running = m->tenant_max_running,
			       .tenant_max_queued = m->tenant_max_queued,
			       .tenant_weight = m->tenant_weight};
	struct request q = {.edge = edge, .m = m, .order_us = s->last_order_us};
	sup_step(s,
		 &(struct lq_event){
			 .kind = LQ_ENQUEUE, .item = &item, .now_us = now_us, .arg = &q});
}

static void fill_start(struct wire_run_start *m, const struct item *it)
{
	*m = (struct wire_run_start){.tenant = it->tenant,
				     .run = it->run_id,
				     .session = it->session,
				     .cap = slice_str(it->cap.text)};
}

static void tell_accepted(struct sup *s, struct item *it, const struct pg_result *r,
			  int row, struct lq_run *run)
{
	struct child *edge = edge_of(it);
	struct wire_enqueued m = {.req = it->enqueue.req,
				  .run = it->run_id,
				  .accepted_us = pg_get_time(r, row, 9),
				  .lane_seq = pg_get_i64(r, row, 3),
				  .state = RUN_QUEUED};
	s->runs_accepted++;
	if (run) {
		enum lq_state state = lq_run_state(run);
		m.state = state == LQ_RUNNING   ? RUN_RUNNING
			  : state == LQ_DELAYED ? RUN_SCHEDULED
						: RUN_QUEUED;
		m.position = lq_run_position(run);
	}
	if (edge)
		child_send(edge, WIRE_ENQUEUED, &m);
}

static void accepted(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	struct wire_run_start start;
	bool started = !pg_is_null(r, row, 5);
	struct child *edge = edge_of(it);
	fill_start(&start, it);
	start.agent = it->enqueue.agent;
	start.agent_revision = (uint32_t)pg_get_i64(r, row, 8);
	start.fence = pg_get_i64(r, row, 5);
	start.head_seq = pg_get_i64(r, row, 6);
	start.input_seq = start.head_seq;
	start.commit_no = pg_get_i64(r, row, 7);
	start.appended = 1;
	start.attempt = 1;
	start.ev_seq = 1;
	start.accepted_us = start.started_us = pg_get_time(r, row, 9);
	start.body = item_text(it, it->body);
	starting = started ? &start : NULL;
	sup_step(s, &(struct lq_event){.kind = LQ_COMMITTED,
				       .run = it->run,
				       .lane_pos = pg_get_i64(r, row, 4),
				       .started = started});
	starting = NULL;
	tell_accepted(s, it, r, row, lq_find(s->lq, it->run_id));
	if (edge && it->enqueue.sub) { /* after the answer: the replay brings what the
					  start already said */
		struct wire_subscribe sub = {
			.sub = it->enqueue.sub, .tenant = it->tenant, .run = it->run_id};
		live_subscribe(s, live_get(s, it->run_id, it->tenant), edge, &sub);
	}
}

static void not_accepted(struct sup *s, struct item *it, const struct pg_result *r,
			 int row, struct slice outcome)
{
	struct child *edge = edge_of(it);
	sup_step(s, &(struct lq_event){.kind = LQ_REFUSED, .run = it->run});
	if (!edge)
		return;
	if (slice_is(outcome, "same")) {
		struct uuid first = pg_get_uuid(r, row, 1);
		struct lq_run *run = lq_find(s->lq, first);
		struct wire_enqueued m = {.req = it->enqueue.req,
					  .run = first,
					  .accepted_us = pg_get_time(r, row, 9),
					  .state = run && lq_run_state(run) == LQ_RUNNING
							   ? RUN_RUNNING
							   : RUN_QUEUED,
					  .position = run ? lq_run_position(run) : 0,
					  .repeated = true};
		child_send(edge, WIRE_ENQUEUED, &m);
	} else if (slice_is(outcome, "mismatch")) {
		answer(edge, &it->enqueue, ERR_IDEMPOTENCY, NULL, 0);
	} else {
		answer(edge, &it->enqueue, ERR_NOT_FOUND, "this session was deleted", 0);
	}
}

void runs_enqueued(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	struct slice outcome = pg_get_text(r, row, 2);
	if (slice_is(outcome, "accepted") ||
	    (slice_is(outcome, "landed") && !pg_is_null(r, row, 4)))
		accepted(s, it, r, row);
	else if (slice_is(outcome, "landed")) { /* and it ended already */
		sup_step(s, &(struct lq_event){.kind = LQ_REFUSED, .run = it->run});
		tell_accepted(s, it, r, row, NULL);
	} else {
		not_accepted(s, it, r, row, outcome);
	}
}

void runs_enqueue_failed(struct sup *s, struct item *it, enum err e)
{
	struct child *edge = edge_of(it);
	sup_step(s, &(struct lq_event){.kind = LQ_REFUSED, .run = it->run});
	if (edge)
		answer(edge, &it->enqueue, e, NULL, err_is_retryable(e) ? 2 : 0);
}

/* ---- T1 */

void runs_claimed(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	struct wire_run_start start;
	if (row < 0) {
		struct wire_sub_end end = {.result = RESULT_CANCELLED,
					   .ended_us = clock_real_us()};
		log_info("claim-empty", "worker=%d", it->worker);
		live_end(s, live_find(s, it->run_id), &end);
		sup_step(s, &(struct lq_event){
				    .kind = LQ_UNCLAIMED, .run = it->run, .gone = true});
		return;
	}
	fill_start(&start, it);
	start.fence = pg_get_i64(r, row, 1);
	start.head_seq = pg_get_i64(r, row, 2);
	start.commit_no = pg_get_i64(r, row, 3);
	start.attempt = (uint32_t)pg_get_i64(r, row, 4);
	start.crashes = (uint32_t)pg_get_i64(r, row, 5);
	start.agent_revision = (uint32_t)pg_get_i64(r, row, 6);
	start.input_seq = pg_get_i64(r, row, 7);
	start.appended = (uint32_t)pg_get_i64(r, row, 8);
	start.resumed = pg_get_bool(r, row, 9);
	start.body = pg_get_text(r, row, 10);
	start.started_us = pg_get_time(r, row, 11);
	start.accepted_us = pg_get_time(r, row, 12);
	start.agent = pg_get_uuid(r, row, 13);
	start.ev_seq = (uint32_t)pg_get_i64(r, row, 14);
	/* The run that takes its worker down again and again would do so for ever: it is
	 * not started but buried. */
	bool poison = start.crashes >= CRASHES_MOST;
	starting = poison ? NULL : &start;
	sup_step(s, &(struct lq_event){.kind = LQ_CLAIMED, .run = it->run});
	starting = NULL;
	if (poison)
		journal_bury(s->journal, it->tenant, it->run_id, it->session);
}

void runs_buried(struct sup *s, struct uuid run, int64_t at_us)
{
	struct wire_sub_end end = {
		.result = RESULT_DEAD, .error = SLICE("poison"), .ended_us = at_us};
	struct lq_run *r = lq_find(s->lq, run);
	struct live *l = live_find(s, run);
	char id[UUID_TEXT_LEN + 1];
	uuid_format(run, id);
	log_error("run-buried", "run=%s message=\"it took its worker down %d times\"", id,
		  CRASHES_MOST);
	end.started_us = l ? l->started_us : 0;
	live_end(s, l, &end);
	s->runs_ended++;
	if (r && lq_run_state(r) !=
			 LQ_CLAIMING) /* a claim under way will find no row and end it */
		sup_step(s, &(struct lq_event){.kind = LQ_ENDED, .run = r});
}

void runs_claim_failed(struct sup *s, struct item *it)
{
	/* The row stays in the database: a restart finds it. Going on with it here would
	 * loop. */
	sup_step(s,
		 &(struct lq_event){.kind = LQ_UNCLAIMED, .run = it->run, .gone = true});
}
