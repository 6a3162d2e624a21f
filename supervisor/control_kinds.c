/* SPDX-License-Identifier: Apache-2.0
 * What each kind of errand asks the database, and what its answer means for the queue and
 * for who waits. All of these may be said twice. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "supervisor/control_errand.h"
#include "supervisor/lane_look.h"
#include "supervisor/live.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

static void refuse(struct errand *a, enum err e, const char *message)
{
	struct control_answer answer = {.err = e, .message = message};
	errand_tell(a, &answer);
}

/* ---- answers, by kind */

static enum run_result result_at(const struct pg_result *r, int row, int col)
{
	return pg_is_null(r, row, col)
		       ? 0
		       : (enum run_result)result_from_word(pg_get_text(r, row, col));
}

static void cancelled_now(struct errand *a, int64_t at_us)
{
	struct control_answer answer = {.result = RESULT_CANCELLED, .run = a->run};
	struct lq_run *r = lq_find(a->sup->lq, a->run);
	if (r)
		runs_gone(a->sup, r, RESULT_CANCELLED, SLICE("cancelled"), at_us);
	errand_tell(a, &answer);
}

static void take_cancel(struct errand *a, const struct pg_result *r)
{
	struct slice outcome = pg_get_text(r, 0, 1);
	struct control_answer answer = {.run = a->run, .result = result_at(r, 0, 2)};
	struct lq_run *run = lq_find(a->sup->lq, a->run);
	FAULT(CANCEL_LANDED);
	if (slice_is(outcome, "cancelled") ||
	    (a->sent && answer.result == RESULT_CANCELLED)) {
		cancelled_now(a, pg_get_time(r, 0, 4));
		return;
	}
	if (slice_is(outcome, "requested")) {
		if (run)
			sup_step(a->sup,
				 &(struct lq_event){.kind = LQ_CANCEL, .run = run});
	} else if (slice_is(outcome, "ended")) {
		answer.err = ERR_CONFLICT;
		answer.message = "the run has ended";
	} else {
		answer.err = ERR_NOT_FOUND;
		answer.message = "there is no such run";
	}
	errand_tell(a, &answer);
}

static void take_pause(struct errand *a, const struct pg_result *r)
{
	struct control_answer answer = {.changed = pg_get_bool(r, 0, 0) || a->sent};
	if (a->on && a->pause.scope == LQ_LANE) /* a failure may have paused it before */
		lane_look(a->sup, a->pause.tenant, a->pause.id);
	else
		sup_step(a->sup, &(struct lq_event){.kind = a->on ? LQ_PAUSE : LQ_RESUME,
						    .scope = a->pause.scope,
						    .tenant = a->pause.tenant,
						    .id = a->pause.id});
	errand_tell(a, &answer);
}

/* Later a failure may pause the lane, or a redrive let it go on: to ask on could undo
 * that. Of the other scopes only people decide, and a later wish overtakes this one. */
static bool lets_go_of_pause(struct errand *a)
{
	if (a->pause.scope != LQ_LANE)
		return false;
	lane_look(a->sup, a->pause.tenant, a->pause.id);
	return true;
}

static void redriven(struct errand *a, const struct pg_result *r)
{
	struct control_answer answer = {.run = a->fresh, .changed = true};
	struct lq_item item = {.run = a->fresh,
			       .session = pg_get_uuid(r, 0, 1),
			       .agent = pg_get_uuid(r, 0, 2),
			       .tenant = a->tenant,
			       .slot = (uint32_t)pg_get_i64(r, 0, 3),
			       .priority = (int)pg_get_i64(r, 0, 6),
			       .mode = MODE_FOLLOWUP,
			       .order_us = a->order_us,
			       .lane_pos = pg_get_i64(r, 0, 5),
			       .tenant_max_running = (uint32_t)pg_get_i64(r, 0, 8),
			       .tenant_max_queued = (uint32_t)pg_get_i64(r, 0, 9),
			       .tenant_weight = (uint32_t)pg_get_i64(r, 0, 10),
			       .agent_max_running = (uint32_t)pg_get_i64(r, 0, 11)};
	a->sup->runs_accepted++;
	if (!lq_find(a->sup->lq, a->fresh))
		sup_step(a->sup, &(struct lq_event){.kind = LQ_LOADED,
						    .item = &item,
						    .now_us = sup_db_now_us(a->sup)});
	/* It may have ended its lane's block: only now, so that it is the lane's head. */
	if (pg_get_bool(r, 0, 12))
		lane_look(a->sup, a->tenant, item.session);
	else
		lane_release(a->sup, a->tenant, item.session);
	errand_tell(a, &answer);
}

/* Whoever asked for that: one whose answer was lost and never came, too. */
static void redriven_before(struct errand *a, struct uuid heir)
{
	char id[UUID_TEXT_LEN + 1], text[128];
	uuid_format(heir, id);
	snprintf(text, sizeof text,
		 "it was redriven before, as run %s: retry that one instead", id);
	refuse(a, ERR_CONFLICT, text);
}

static const char *why_not_redriven(struct slice outcome)
{
	static const struct {
		const char *outcome, *sentence;
	} known[] = {
		{"live", "the run has not ended"},
		{"closed", "its session was deleted"},
		{"no_input", "its message is not kept: send it again"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_is(outcome, known[i].outcome))
			return known[i].sentence;
	return NULL;
}

static void take_redrive(struct errand *a, const struct pg_result *r)
{
	struct slice outcome = pg_get_text(r, 0, 0);
	const char *why = why_not_redriven(outcome);
	if (slice_is(outcome, "queued"))
		redriven(a, r);
	else if (slice_is(outcome, "same"))
		errand_tell(a, &(struct control_answer){.run = pg_get_uuid(r, 0, 13)});
	else if (slice_is(outcome, "mismatch"))
		refuse(a, ERR_IDEMPOTENCY,
		       "this Idempotency-Key was used to retry another run");
	else if (slice_is(outcome, "redriven"))
		redriven_before(a, pg_get_uuid(r, 0, 13));
	else if (why)
		refuse(a, ERR_CONFLICT, why);
	else
		refuse(a, ERR_NOT_FOUND, "there is no such run");
}

/* Of a buried run, by its code: `by` of the errand. */
static const char *bury_sentence(const char *code)
{
	return strcmp(code, "no_input") == 0
		       ? "the run's message is missing in the database; send it again"
		       : "the run took its worker down three times; see the worker's "
			 "last lines in the log";
}

static void take_bury(struct errand *a, const struct pg_result *r)
{
	struct sup *s = a->sup;
	struct wire_sub_end end = {.result = RESULT_DEAD,
				   .error = slice_str(a->by),
				   .ended_us = pg_rows(r) ? pg_get_time(r, 0, 2)
							  : clock_real_us()};
	struct lq_run *run = lq_find(s->lq, a->run);
	struct live *l = live_find(s, a->run);
	char id[UUID_TEXT_LEN + 1];
	uuid_format(a->run, id);
	log_error("run-buried", "run=%s code=%s message=\"%s\"", id, a->by,
		  bury_sentence(a->by));
	end.started_us = l ? l->started_us : 0;
	if (run && lq_run_state(run) != LQ_S_CLAIMING) { /* else its claim finds no row */
		lane_look(s, a->tenant, a->session);
		runs_ended(s, run, &end);
	}
	errand_tell(a, &(struct control_answer){.run = a->run});
}

/* A run of which nothing is pending any more may be claimed; of one that is not there the
 * lane's look knows what became of it. */
static void settle_asking(struct errand *a, const struct pg_result *r, int queued)
{
	struct lq_run *run = lq_find(a->sup->lq, a->run);
	if (run && pg_is_null(r, 0, queued))
		lane_look(a->sup, a->tenant, lq_run_session(run));
	else if (run && pg_get_bool(r, 0, queued))
		runs_answered(a->sup, run);
}

/* Who listens reads it in Postgres: no worker tells of it. */
static void show_decided(const struct errand *a, const struct pg_result *r)
{
	struct live *l = live_find(a->sup, a->run);
	if (l && !pg_is_null(r, 0, 3))
		live_resume(l, (uint32_t)pg_get_i64(r, 0, 3));
}

static void take_decide(struct errand *a, const struct pg_result *r)
{
	struct slice outcome = pg_get_text(r, 0, 0), state = pg_get_text(r, 0, 1);
	char text[96];
	FAULT(ANSWER_LANDED);
	if (slice_is(outcome, "absent")) {
		refuse(a, ERR_NOT_FOUND, "there is no such approval");
		return;
	}
	show_decided(a, r);
	settle_asking(a, r, 2);
	if (slice_is(outcome, "other")) {
		snprintf(text, sizeof text, "it was answered before: its state is %.*s",
			 SLICE_ARG(state));
		refuse(a, ERR_CONFLICT, text);
		return;
	}
	errand_tell(a, &(struct control_answer){.run = a->run, .changed = true});
}

static void take_deny(struct errand *a, const struct pg_result *r)
{
	settle_asking(a, r, 0);
	errand_tell(a, &(struct control_answer){.run = a->run});
}

/* ---- questions, by kind */

static void put_one(struct pg_params *p, const struct errand *a)
{
	pg_array(p, PG_INT8);
	pg_i64(p, a->tenant);
	pg_array_end(p);
	pg_array(p, PG_UUID);
	pg_uuid(p, a->run);
	pg_array_end(p);
}

static void put_text(struct pg_params *p, const char *text)
{
	pg_array(p, PG_TEXT);
	pg_text(p, slice_str(text));
	pg_array_end(p);
}

static void put_bury(struct pg_params *p, const struct errand *a)
{
	put_one(p, a);
	pg_array(p, PG_UUID);
	pg_uuid(p, a->session);
	pg_array_end(p);
	pg_text(p, slice_str(a->by));
	pg_text(p, slice_str(bury_sentence(a->by)));
}

static void put_pause(struct pg_params *p, const struct errand *a)
{
	pg_text(p, slice_str(lq_scope_word(a->pause.scope)));
	pg_i64(p, a->pause.tenant);
	pg_uuid(p, a->pause.id);
	pg_bool(p, a->on);
	pg_text(p, slice_str(a->by));
}

static void put_redrive(struct pg_params *p, const struct errand *a)
{
	pg_i64(p, a->tenant);
	pg_uuid(p, a->run);
	pg_uuid(p, a->fresh);
	pg_i64(p, a->order_us);
	pg_text(p, slice_str(a->by));
	pg_text(p, a->text ? slice_str(a->text) : SLICE_NONE);
}

static void put_decide(struct pg_params *p, const struct errand *a)
{
	pg_i64(p, a->tenant);
	pg_uuid(p, a->approval);
	pg_text(p, slice_str(decision_state(a->decision)));
	pg_text(p, a->text ? slice_str(a->text) : SLICE_NONE);
	pg_text(p, slice_str(a->by));
}

static void put_deny(struct pg_params *p, const struct errand *a)
{
	pg_i64(p, a->tenant);
	pg_uuid(p, a->run);
	pg_text(p, SLICE("user sent a new message"));
	pg_text(p, slice_str(a->by));
}

static void put_cancel(struct pg_params *p, const struct errand *a)
{
	put_one(p, a);
	put_text(p, "cancelled");
	put_text(p, a->by);
}

/* ---- the kinds */

const struct errand_kind errand_kinds[] = {
	[ERRAND_CANCEL] = {.stmt = SQL_CANCEL,
			   .put = put_cancel,
			   .take = take_cancel,
			   .word = "cancel"},
	[ERRAND_PAUSE] = {.stmt = SQL_PAUSE,
			  .put = put_pause,
			  .take = take_pause,
			  .lets_go = lets_go_of_pause,
			  .word = "pause"},
	[ERRAND_REDRIVE] = {.stmt = SQL_REDRIVE,
			    .put = put_redrive,
			    .take = take_redrive,
			    .word = "redrive"},
	[ERRAND_BURY] = {.stmt = SQL_BURY,
			 .put = put_bury,
			 .take = take_bury,
			 .word = "bury"},
	[ERRAND_DECIDE] = {.stmt = SQL_DECIDE,
			   .put = put_decide,
			   .take = take_decide,
			   .word = "decide"},
	[ERRAND_DENY] = {.stmt = SQL_DENY,
			 .put = put_deny,
			 .take = take_deny,
			 .word = "deny"},
};
