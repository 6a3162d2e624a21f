/* SPDX-License-Identifier: Apache-2.0
 * One small request each on the journal's connection, so that it is ordered with the
 * batches: a cancel is before or after a claim, never beside it. What was sent and not
 * answered is sent again until it is known; all of these may be said twice. */
#include "supervisor/control.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "supervisor/journal.h"
#include "supervisor/lane_look.h"
#include "supervisor/live.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define AGAIN_US 300000
#define QUEUE_MS 3000 /* a person waits for it */

enum errand_kind {
	ERRAND_CANCEL,
	ERRAND_PAUSE,
	ERRAND_REDRIVE,
	ERRAND_EXPIRE,
	ERRAND_BURY
};

struct errand {
	struct sup *sup;
	enum errand_kind kind;
	int64_t tenant, order_us;
	struct uuid run, session, fresh; /* fresh: the redriven run */
	struct lq_pause pause;
	int on;
	char by[64];
	bool sent; /* an earlier sending may have landed */
	struct loop_timer *again;
	control_done *done;
	void *arg;
};

static void submit(struct errand *a);

static void on_again(void *arg)
{
	submit(arg);
}

static struct errand *errand_new(struct sup *s, enum errand_kind kind, const char *by)
{
	struct errand *a = xcalloc(1, sizeof *a);
	a->sup = s;
	a->kind = kind;
	snprintf(a->by, sizeof a->by, "%s", by);
	a->again = loop_timer_new(s->loop, on_again, a);
	return a;
}

static void errand_free(struct errand *a)
{
	loop_timer_free(a->again);
	free(a);
}

static void tell(struct errand *a, const struct control_answer *answer)
{
	if (a->done)
		a->done(a->arg, answer);
	errand_free(a);
}

static void refuse(struct errand *a, enum err e, const char *message)
{
	struct control_answer answer = {.err = e, .message = message};
	tell(a, &answer);
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
	tell(a, &answer);
}

static void take_cancel(struct errand *a, const struct pg_result *r)
{
	struct slice outcome = pg_get_text(r, 0, 1);
	struct control_answer answer = {.run = a->run, .result = result_at(r, 0, 2)};
	struct lq_run *run = lq_find(a->sup->lq, a->run);
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
	tell(a, &answer);
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
	tell(a, &answer);
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
	tell(a, &answer);
}

static const char *why_not_redriven(struct slice outcome)
{
	static const struct {
		const char *outcome, *sentence;
	} known[] = {
		{"live", "the run has not ended"},
		{"closed", "its session was deleted"},
		{"redriven", "it was redriven before"},
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
	else if (why)
		refuse(a, ERR_CONFLICT, why);
	else
		refuse(a, ERR_NOT_FOUND, "there is no such run");
}

static void take_expire(struct errand *a, const struct pg_result *r)
{
	struct slice outcome = pg_get_text(r, 0, 1);
	struct lq_run *run = lq_find(a->sup->lq, a->run);
	if (run && slice_is(outcome, "kept")) {
		sup_step(a->sup, &(struct lq_event){.kind = LQ_KEPT, .run = run});
	} else if (run && slice_is(outcome, "expired")) {
		if (!slice_is(pg_get_text(r, 0, 3), "continue"))
			lane_look(a->sup, a->tenant, lq_run_session(run));
		runs_gone(a->sup, run, RESULT_TIMED_OUT, SLICE("deadline"),
			  pg_get_time(r, 0, 2));
	} else if (run) { /* it ended otherwise, or this was asked before */
		lane_look(a->sup, a->tenant, lq_run_session(run));
	}
	errand_free(a);
}

static void take_bury(struct errand *a, const struct pg_result *r)
{
	struct sup *s = a->sup;
	struct wire_sub_end end = {.result = RESULT_DEAD,
				   .error = SLICE("poison"),
				   .ended_us = pg_rows(r) ? pg_get_time(r, 0, 2)
							  : clock_real_us()};
	struct lq_run *run = lq_find(s->lq, a->run);
	struct live *l = live_find(s, a->run);
	char id[UUID_TEXT_LEN + 1];
	uuid_format(a->run, id);
	log_error("run-buried", "run=%s message=\"it took its worker down three times\"",
		  id);
	end.started_us = l ? l->started_us : 0;
	if (run && lq_run_state(run) != LQ_S_CLAIMING) { /* else its claim finds no row */
		lane_look(s, a->tenant, a->session);
		runs_ended(s, run, &end);
	}
	errand_free(a);
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
	pg_text(p, SLICE("poison"));
	pg_text(p, SLICE("the run took its worker down three times; see the worker's "
			 "last lines in the log"));
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
}

static void put_cancel(struct pg_params *p, const struct errand *a)
{
	put_one(p, a);
	put_text(p, "cancelled");
	put_text(p, a->by);
}

/* ---- the kinds */

static const struct {
	int stmt;
	void (*put)(struct pg_params *p, const struct errand *a);
	void (*take)(struct errand *a, const struct pg_result *r);
	bool must; /* nobody waits for it, and it has to happen */
} kinds[] = {
	[ERRAND_CANCEL] = {SQL_CANCEL, put_cancel, take_cancel, false},
	[ERRAND_PAUSE] = {SQL_PAUSE, put_pause, take_pause, false},
	[ERRAND_REDRIVE] = {SQL_REDRIVE, put_redrive, take_redrive, false},
	[ERRAND_EXPIRE] = {SQL_EXPIRE, put_one, take_expire, true},
	[ERRAND_BURY] = {SQL_BURY, put_bury, take_bury, true},
};

static void on_answer(void *arg, const struct pg_answer *p)
{
	struct errand *a = arg;
	if (p->err == ERR_CANCELLED) {
		errand_free(a);
		return;
	}
	if (!p->err) {
		if (a->kind == ERRAND_CANCEL)
			FAULT(CANCEL_LANDED);
		kinds[a->kind].take(a, p->results[0]);
		return;
	}
	if (p->fate == PG_ROLLED_BACK)
		log_error("control-refused", "kind=%d sqlstate=%s message=\"%s\"",
			  (int)a->kind, p->sqlstate, p->message);
	a->sent |= p->fate == PG_UNKNOWN;
	if (kinds[a->kind].must || p->fate == PG_UNKNOWN ||
	    (a->sent && p->fate == PG_NOT_SENT))
		loop_timer_start(a->again, AGAIN_US);
	else
		refuse(a, ERR_UNAVAILABLE, "the database is away; nothing happened");
}

static void submit(struct errand *a)
{
	struct pg_request *r = pg_begin(journal_pool(a->sup->journal));
	kinds[a->kind].put(pg_add(r, kinds[a->kind].stmt), a);
	pg_submit(r, PG_ANY, kinds[a->kind].must ? 0 : QUEUE_MS, on_answer, a);
}

/* A person's question is not kept waiting for a database that is away. */
static void submit_if_up(struct errand *a)
{
	if (journal_is_up(a->sup->journal))
		submit(a);
	else
		refuse(a, ERR_UNAVAILABLE, "the database is away; nothing happened");
}

/* ---- what is asked */

void control_cancel(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		    control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_CANCEL, by);
	a->tenant = tenant;
	a->run = run;
	a->done = done;
	a->arg = arg;
	submit_if_up(a);
}

void control_pause(struct sup *s, const struct lq_pause *what, int on, const char *by,
		   control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_PAUSE, by);
	a->pause = *what;
	a->on = on;
	a->done = done;
	a->arg = arg;
	submit_if_up(a);
}

void control_redrive(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		     control_done *done, void *arg)
{
	struct errand *a = errand_new(s, ERRAND_REDRIVE, by);
	a->tenant = tenant;
	a->run = run;
	a->fresh = uuid7_new();
	a->order_us = sup_next_order_us(s, sup_db_now_us(s));
	a->done = done;
	a->arg = arg;
	submit_if_up(a);
}

void control_expire(struct sup *s, struct lq_run *r)
{
	struct errand *a = errand_new(s, ERRAND_EXPIRE, "deadline");
	a->tenant = lq_run_tenant(r);
	a->run = lq_run_id(r);
	submit(a);
}

void control_bury(struct sup *s, int64_t tenant, struct uuid run, struct uuid session)
{
	struct errand *a = errand_new(s, ERRAND_BURY, "poison");
	a->tenant = tenant;
	a->run = run;
	a->session = session;
	submit(a);
}

/* ---- at start */

struct pauses {
	struct sup *sup;
	void (*done)(struct sup *s);
};

static enum lq_scope scope_of(struct slice word)
{
	for (int i = LQ_NODE; i < LQ_LANE; i++)
		if (slice_is(word, lq_scope_word((enum lq_scope)i)))
			return (enum lq_scope)i;
	return LQ_LANE;
}

static void on_pauses(void *arg, const struct pg_answer *a)
{
	struct pauses p = *(struct pauses *)arg;
	free(arg);
	if (a->err == ERR_CANCELLED)
		return;
	if (a->err) { /* as after a lost connection: nothing may start unasked */
		control_load_pauses(p.sup, p.done);
		return;
	}
	const struct pg_result *r = a->results[0];
	for (int i = 0; i < pg_rows(r); i++)
		sup_step(p.sup,
			 &(struct lq_event){.kind = LQ_PAUSE,
					    .scope = scope_of(pg_get_text(r, i, 0)),
					    .tenant = pg_get_i64(r, i, 1),
					    .id = pg_get_uuid(r, i, 2),
					    .failed_run = pg_get_uuid(r, i, 3),
					    .failed_code = pg_get_text(r, i, 4)});
	p.done(p.sup);
}

void control_load_pauses(struct sup *s, void (*done)(struct sup *s))
{
	struct pauses *p = xmalloc(sizeof *p);
	struct pg_request *r = pg_begin(s->lease);
	*p = (struct pauses){s, done};
	pg_add(r, SQL_PAUSES);
	pg_submit(r, PG_ANY, 0, on_pauses, p);
}
