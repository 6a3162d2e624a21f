/* SPDX-License-Identifier: Apache-2.0
 * A run's way: queue -> commit -> worker -> end. */
#include "supervisor/runs.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/pg/row.h"
#include "supervisor/accept.h"
#include "supervisor/children.h"
#include "supervisor/control.h"
#include "supervisor/expiry.h"
#include "supervisor/journal.h"
#include "supervisor/journal_item.h"
#include "supervisor/lane_look.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"
#include "supervisor/workers.h"
#include "supervisor/workspaces.h"

#define CRASHES_MOST 3
/* A message that is sent to a worker however much waits for it: it costs less than to
 * have it read, and a worker's runs are bounded. */
#define SMALL_BODY_BYTES 4096
/* Of a run that is due by our idea of the database's time, but not by the database's. */
#define NOT_DUE_PAUSE_US 100000

/* RUN_START of the commit being delivered: DO_START comes inside its lq_step. */
static const struct wire_run_start *starting;

void runs_step_starting(struct sup *s, const struct lq_event *e,
			const struct wire_run_start *start)
{
	starting = start;
	sup_step(s, e);
	starting = NULL;
}

/* ---- actions */

static void show_start(struct sup *s, struct live *l)
{
	if (l->started_us == 0)
		l->started_us = starting->started_us;
	l->fence = starting->fence;
	l->workspace = 0; /* of another launcher, if any */
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

/* Of a session that is deleted: nobody runs in it any more. A transfer may still hold it
 * when the job starts, hence again when it ends. */
static void remove_workspace(struct sup *s, const struct lq_run *r)
{
	struct workspace_place p = {.tenant = lq_run_tenant(r),
				    .agent = lq_run_agent(r),
				    .session = lq_run_session(r)};
	enum err e = workspaces_remove(s, &p);
	if (e && e != ERR_NOT_FOUND)
		log_warn("workspace-not-removed", "error=%s", err_code(e));
}

static void act_start(struct sup *s, const struct lq_action *a)
{
	struct child *w = child_worker(s, a->worker);
	if (lq_run_mode(a->run) == MODE_DELETE)
		remove_workspace(s, a->run);
	if (!starting || !w)
		return; /* its worker's death is on the way and will say so */
	struct wire_run_start m = *starting;
	m.take = lq_run_take(a->run);
	m.skills = workspaces_skills(s, a->run);
	if (m.body.n > SMALL_BODY_BYTES && !child_has_room(w))
		m.body = SLICE_NONE; /* it stands in the transcript, too */
	child_send(w, WIRE_RUN_START, &m);
	if (!m.resumed)
		waits_add(&s->waits, m.started_us - lq_run_since_us(a->run));
	show_start(s, live_get(s, lq_run_id(a->run), lq_run_tenant(a->run)));
}

/* A word to the worker that runs it: run and fence come first in all of them. */
static void tell_runner(struct sup *s, const struct lq_action *a, enum wire_id id)
{
	struct child *w = child_worker(s, a->worker);
	struct live *l = live_find(s, lq_run_id(a->run));
	if (!w || !l)
		return;
	if (id == WIRE_RUN_CANCEL) {
		struct wire_run_cancel m = {
			.run = l->run, .fence = l->fence, .reason = (uint32_t)a->reason};
		child_send(w, id, &m);
	} else if (id == WIRE_RUN_STEER) {
		struct wire_run_steer m = {.run = l->run, .fence = l->fence};
		child_send(w, id, &m);
	} else {
		struct wire_run_yield m = {.run = l->run, .fence = l->fence};
		child_send(w, id, &m);
	}
}

void runs_act(void *sup, const struct lq_action *a)
{
	struct sup *s = sup;
	switch (a->kind) {
	case LQ_DO_ENQUEUE:
	case LQ_DO_REFUSE:
		accept_act(s, a);
		break;
	case LQ_DO_CLAIM:
		journal_claim(s->journal, a->run, a->worker, a->crashed);
		break;
	case LQ_DO_START:
		act_start(s, a);
		break;
	case LQ_DO_STEER:
		tell_runner(s, a, WIRE_RUN_STEER);
		break;
	case LQ_DO_CANCEL:
		tell_runner(s, a, WIRE_RUN_CANCEL);
		break;
	case LQ_DO_YIELD:
		tell_runner(s, a, WIRE_RUN_YIELD);
		break;
	case LQ_DO_EXPIRE:
		expiry_add(s->expiry, a->run);
		break;
	case LQ_DO_DENY:
		control_deny(s, lq_run_tenant(a->run), lq_run_id(a->run),
			     lq_run_session(a->run));
		break;
	case LQ_DO_QUARANTINE:
		workers_quarantine(s);
		break;
	}
}

/* ---- T1 */

static enum cancel_reason claimed_cancel(const struct pg_result *r, int row)
{
	if (!pg_get_bool(r, row, 15))
		return 0;
	return slice_is(pg_get_text(r, row, 19), "interrupted") ? CANCEL_INTERRUPTED
								: CANCEL_ASKED;
}

static uint32_t run_mode_of(struct slice word)
{
	unsigned job = job_from_word(word);
	return job ? job : mode_from_word(word);
}

static struct wire_run_start claimed_start(struct item *it, const struct pg_result *r,
					   int row)
{
	return (struct wire_run_start){.tenant = it->tenant,
				       .run = it->run_id,
				       .session = it->session,
				       .cap = slice_str(it->cap.text),
				       .fence = pg_get_i64(r, row, 1),
				       .head_seq = pg_get_i64(r, row, 2),
				       .commit_no = pg_get_i64(r, row, 3),
				       .attempt = (uint32_t)pg_get_i64(r, row, 4),
				       .crashes = (uint32_t)pg_get_i64(r, row, 5),
				       .agent_revision = (uint32_t)pg_get_i64(r, row, 6),
				       .input_seq = pg_get_i64(r, row, 7),
				       .appended = (uint32_t)pg_get_i64(r, row, 8),
				       .resumed = pg_get_bool(r, row, 9),
				       .body = pg_get_text(r, row, 10),
				       .started_us = pg_get_time(r, row, 11),
				       .accepted_us = pg_get_time(r, row, 12),
				       .agent = pg_get_uuid(r, row, 13),
				       .ev_seq = (uint32_t)pg_get_i64(r, row, 14),
				       .cancel = claimed_cancel(r, row),
				       .active_ms = (uint32_t)pg_get_i64(r, row, 16),
				       .max_attempts = (uint32_t)pg_get_i64(r, row, 17),
				       .policy = pg_get_text(r, row, 21),
				       .mode = run_mode_of(pg_get_text(r, row, 22))};
}

/* It ended unheard: its worker died between the commit and the word, or somebody archived
 * it while its claim was on the way. Or a failure that is unheard of blocks its lane. The
 * lane is paused before the run is back in it, and asked for when it is. */
static void claim_was_empty(struct sup *s, struct item *it)
{
	log_info("claim-empty", "worker=%d", it->worker);
	lane_hold(s, it->tenant, it->session);
	sup_step(s, &(struct lq_event){.kind = LQ_UNCLAIMED, .run = it->run});
	lane_look(s, it->tenant, it->session);
}

/* Its worker died between the commit of its retry and the word of it. */
static void claim_was_early(struct sup *s, struct item *it, int64_t due_us)
{
	int64_t soonest_us = sup_db_now_us(s) + NOT_DUE_PAUSE_US;
	log_info("claim-early", "worker=%d", it->worker);
	sup_step(s,
		 &(struct lq_event){.kind = LQ_NOT_DUE,
				    .run = it->run,
				    .at_us = due_us > soonest_us ? due_us : soonest_us});
}

void runs_claimed(struct sup *s, struct item *it, const struct pg_result *r, int row)
{
	if (row < 0) {
		claim_was_empty(s, it);
		return;
	}
	int64_t due_us = pg_get_time(r, row, 20);
	if (due_us) {
		claim_was_early(s, it, due_us);
		return;
	}
	struct wire_run_start start = claimed_start(it, r, row);
	struct lq_event e = {.kind = LQ_CLAIMED, .run = it->run};
	bool empty = slice_is(pg_get_text(r, row, 18), "no_input");
	/* The run that takes its worker down again and again would do so for ever: it is
	 * not started but buried. As one whose message is missing. */
	bool dies = empty || start.crashes >= CRASHES_MOST;
	runs_step_starting(s, &e, dies ? NULL : &start);
	if (dies)
		control_bury(s, it->tenant, it->run_id, it->session,
			     empty ? "no_input" : "poison");
}

void runs_unclaimed(struct sup *s, struct item *it)
{
	sup_step(s, &(struct lq_event){.kind = LQ_UNCLAIMED, .run = it->run});
}

/* ---- a person's answer */

void runs_answered(struct sup *s, struct lq_run *r)
{
	struct child *w = lq_run_state(r) == LQ_S_RUNNING
				  ? child_worker(s, lq_run_worker(r))
				  : NULL;
	if (w)
		workspaces_take_back(w, r);
	sup_step(s, &(struct lq_event){.kind = LQ_ANSWERED, .run = r});
}

/* ---- ends */

void runs_ended(struct sup *s, struct lq_run *r, const struct wire_sub_end *end)
{
	live_end(s, live_find(s, lq_run_id(r)), end);
	s->runs_ended++;
	if (lq_run_mode(r) == MODE_DELETE)
		remove_workspace(s, r);
	sup_step(s, &(struct lq_event){.kind = LQ_ENDED, .run = r});
}

void runs_archived(struct sup *s, struct lq_run *r, const struct wire_sub_end *end)
{
	live_end(s, live_find(s, lq_run_id(r)), end);
	s->runs_ended++;
	sup_step(s, &(struct lq_event){.kind = LQ_GONE, .run = r});
}

void runs_gone(struct sup *s, struct lq_run *r, enum run_result result, struct slice code,
	       int64_t at_us)
{
	struct wire_sub_end end = {.result = result,
				   .error = code,
				   .ended_us = at_us ? at_us : clock_real_us()};
	runs_archived(s, r, &end);
}

void runs_taken(struct sup *s, struct lq_run *taken, struct uuid by)
{
	struct wire_sub_end end = {.result = RESULT_SUPERSEDED,
				   .merged_into = by,
				   .ended_us = clock_real_us()};
	live_end(s, live_find(s, lq_run_id(taken)), &end);
	s->runs_ended++;
	sup_step(s, &(struct lq_event){.kind = LQ_TAKEN, .run = taken});
}
