/* SPDX-License-Identifier: Apache-2.0
 * Acceptance: asked in memory first, then committed, then said. */
#include "supervisor/accept.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/pg/row.h"
#include "supervisor/children.h"
#include "supervisor/control.h"
#include "supervisor/journal.h"
#include "supervisor/journal_item.h"
#include "supervisor/lane_look.h"
#include "supervisor/live.h"
#include "supervisor/runs.h"
#include "supervisor/sup.h"

/* What a request carries through lq_step to the action. */
struct request {
	struct child *edge;
	const struct wire_enqueue *m;
	int64_t order_us;
};

/* ---- answers */

static void answer(struct child *edge, const struct wire_enqueue *m, enum err e,
		   const char *message, uint32_t retry_s)
{
	struct wire_enqueued r = {.req = m->req,
				  .run = m->run,
				  .error = slice_str(err_code(e)),
				  .message = slice_str(message ? message : err_text(e)),
				  .retry_after_s = retry_s};
	child_send(edge, WIRE_ENQUEUED, &r);
}

static struct child *edge_of(struct item *it)
{
	return uuid_eq(it->edge->incarnation, it->edge_life) ? it->edge : NULL;
}

/* Those that would have to leave before there is room. */
static uint32_t retry_after(struct sup *s, enum err e)
{
	uint32_t dice, ahead = lq_stats(s->lq).waiting;
	if (!err_is_retryable(e))
		return 0;
	crypto_random(&dice, sizeof dice);
	return pace_retry_after_s(&s->pace, ahead, dice);
}

/* ---- the request */

static bool is_refused(struct sup *s, struct child *edge, const struct wire_enqueue *m)
{
	const char *why = NULL;
	if (!sup_is_accepting(s, &why)) {
		answer(edge, m, s->state >= SUP_DRAINING ? ERR_DRAINING : ERR_UNAVAILABLE,
		       why, s->state >= SUP_DRAINING ? 5 : 2);
		return true;
	}
	if (lq_find(s->lq, m->run)) {
		answer(edge, m, ERR_CONFLICT, "this run id is taken", 0);
		return true;
	}
	return false;
}

/* The edge's wall clock may differ from the database's. */
static int64_t on_database_time(const struct sup *s, int64_t edge_us)
{
	return edge_us ? edge_us + sup_db_now_us(s) - clock_real_us() : 0;
}

static struct lq_item item_of(const struct wire_enqueue *m, int64_t order_us)
{
	return (struct lq_item){.run = m->run,
				.session = m->session,
				.agent = m->agent,
				.tenant = m->tenant,
				.slot = m->slot,
				.priority = (int)m->priority,
				.mode = (enum run_mode)m->mode,
				.order_us = order_us,
				.run_at_us = m->run_at_us,
				.deadline_us = m->deadline_us,
				.tenant_max_running = m->tenant_max_running,
				.tenant_max_queued = m->tenant_max_queued,
				.tenant_weight = m->tenant_weight,
				.agent_max_running = m->agent_max_running,
				.lane_cap = m->lane_cap,
				.drop = (enum drop_policy)m->drop};
}

void accept_enqueue(struct sup *s, struct child *edge, const struct wire_enqueue *given)
{
	int64_t now_us = sup_db_now_us(s);
	struct wire_enqueue m = *given;
	if (is_refused(s, edge, given))
		return;
	m.run_at_us = on_database_time(s, m.run_at_us);
	m.deadline_us = on_database_time(s, m.deadline_us);
	struct request q = {
		.edge = edge, .m = &m, .order_us = sup_next_order_us(s, now_us)};
	struct lq_item item = item_of(&m, q.order_us);
	sup_step(s,
		 &(struct lq_event){
			 .kind = LQ_ENQUEUE, .item = &item, .now_us = now_us, .arg = &q});
}

void accept_act(struct sup *s, const struct lq_action *a)
{
	struct request *q = a->arg;
	if (a->kind == LQ_DO_REFUSE)
		answer(q->edge, q->m, a->error, NULL, retry_after(s, a->error));
	else
		journal_enqueue(s->journal, a, q->edge, q->m, q->order_us);
}

/* ---- its commit */

static unsigned state_of(const struct lq_run *run)
{
	switch (lq_run_state(run)) {
	case LQ_S_RUNNING:
		return RUN_RUNNING;
	case LQ_S_DELAYED:
		return RUN_SCHEDULED;
	case LQ_S_RETRY:
		return RUN_RETRY_WAIT;
	case LQ_S_ASKING:
		return RUN_WAITING;
	default:
		return RUN_QUEUED;
	}
}

/* It may have ended before this was known: then the queue has forgotten it. */
static void tell_accepted(struct sup *s, struct item *it, const struct pg_result *r,
			  int row)
{
	struct child *edge = edge_of(it);
	struct lq_run *run = lq_find(s->lq, it->run_id);
	struct wire_enqueued m = {.req = it->enqueue.req,
				  .run = it->run_id,
				  .accepted_us = pg_get_time(r, row, 9),
				  .lane_seq = pg_get_i64(r, row, 3),
				  .state = RUN_QUEUED};
	s->runs_accepted++;
	if (run) {
		m.state = state_of(run);
		m.position = lq_run_position(run);
	}
	if (!edge)
		return;
	child_send(edge, WIRE_ENQUEUED, &m);
	struct wire_subscribe sub = {
		.sub = it->enqueue.sub, .tenant = it->tenant, .run = it->run_id};
	if (sub.sub) /* the replay brings what the start already said */
		live_subscribe_run(s, edge, &sub);
}

static struct wire_run_start fused_start(struct item *it, const struct pg_result *r,
					 int row)
{
	int64_t head_seq = pg_get_i64(r, row, 6);
	bool is_job = mode_is_job(it->enqueue.mode);
	return (struct wire_run_start){.tenant = it->tenant,
				       .run = it->run_id,
				       .session = it->session,
				       .cap = slice_str(it->cap.text),
				       .agent = it->enqueue.agent,
				       .agent_revision = (uint32_t)pg_get_i64(r, row, 8),
				       .fence = pg_get_i64(r, row, 5),
				       .head_seq = head_seq,
				       .input_seq = is_job ? 0 : head_seq,
				       .commit_no = pg_get_i64(r, row, 7),
				       .appended = !is_job,
				       .mode = it->enqueue.mode,
				       .attempt = 1,
				       .max_attempts = RUNS_ATTEMPTS_MOST,
				       .ev_seq = 1,
				       .accepted_us = pg_get_time(r, row, 9),
				       .started_us = pg_get_time(r, row, 9),
				       .body = is_job ? SLICE_NONE
						      : item_text(it, it->body),
				       .policy = pg_get_text(r, row, 11)};
}

/* What became of the run whose place this one took. */
static void settle_victim(struct sup *s, const struct item *it, struct slice outcome)
{
	struct lq_run *victim =
		uuid_is_nil(it->victim) ? NULL : lq_find(s->lq, it->victim);
	if (!victim)
		return;
	if (slice_is(outcome, "dropped"))
		runs_gone(s, victim, RESULT_DROPPED, SLICE("lane_full"), 0);
	else if (slice_is(outcome, "folded"))
		sup_step(s, &(struct lq_event){.kind = LQ_FOLDED, .run = victim});
	else
		sup_step(s, &(struct lq_event){.kind = LQ_KEPT, .run = victim});
}

static void accepted(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	bool started = !pg_is_null(r, row, 5);
	struct wire_run_start start = fused_start(it, r, row);
	struct lq_event e = {.kind = LQ_COMMITTED,
			     .run = it->run,
			     .lane_pos = pg_get_i64(r, row, 4),
			     .started = started};
	runs_step_starting(s, &e, started ? &start : NULL);
	settle_victim(s, it, pg_get_text(r, row, 10));
	tell_accepted(s, it, r, row);
	if (it->enqueue.mode == MODE_DELETE) /* its commit ended what waited there */
		lane_look(s, it->tenant, it->session);
}

/* The queue forgets it: it did not come to be, or has ended. */
static void forget(struct sup *s, struct item *it, struct slice victim_outcome)
{
	sup_step(s, &(struct lq_event){.kind = LQ_REFUSED, .run = it->run});
	settle_victim(s, it, victim_outcome);
}

static void tell_same(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	struct uuid first = pg_get_uuid(r, row, 1);
	struct lq_run *run = lq_find(s->lq, first);
	struct wire_enqueued m = {.req = it->enqueue.req,
				  .run = first,
				  .accepted_us = pg_get_time(r, row, 9),
				  .state = run ? state_of(run) : RUN_QUEUED,
				  .position = run ? lq_run_position(run) : 0,
				  .repeated = true};
	child_send(edge_of(it), WIRE_ENQUEUED, &m);
}

static void not_accepted(struct sup *s, struct item *it, const struct pg_result *r,
			 int row, struct slice outcome)
{
	struct child *edge = edge_of(it);
	forget(s, it, SLICE("kept"));
	if (!edge)
		return;
	if (slice_is(outcome, "same"))
		tell_same(s, it, r, row);
	else if (slice_is(outcome, "mismatch"))
		answer(edge, &it->enqueue, ERR_IDEMPOTENCY, NULL, 0);
	else
		answer(edge, &it->enqueue, ERR_NOT_FOUND, "this session was deleted", 0);
}

void accept_answered(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	struct slice outcome = pg_get_text(r, row, 2);
	if (slice_is(outcome, "accepted") ||
	    (slice_is(outcome, "landed") && !pg_is_null(r, row, 4))) {
		accepted(s, it, r, row);
	} else if (slice_is(outcome, "landed")) { /* and it ended already */
		forget(s, it, pg_get_text(r, row, 10));
		tell_accepted(s, it, r, row);
	} else {
		not_accepted(s, it, r, row, outcome);
	}
	control_landed(it->run_id);
}

void accept_failed(struct sup *s, struct item *it, enum err e)
{
	struct child *edge = edge_of(it);
	forget(s, it, SLICE("kept"));
	if (edge)
		answer(edge, &it->enqueue, e, NULL, err_is_retryable(e) ? 2 : 0);
	control_landed(it->run_id);
}
