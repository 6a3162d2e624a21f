/* SPDX-License-Identifier: Apache-2.0
 * One question on the journal's connection, so that it comes after every commit and pause
 * that was sent before it; its answer is what memory then says. */
#include "supervisor/lane_look.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pg/pool.h"
#include "supervisor/journal.h"
#include "supervisor/runs.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define AGAIN_US 300000

struct look {
	struct sup *sup;
	int64_t tenant;
	struct uuid session;
	struct loop_timer *again;
};

/* The columns of SQL_LANE_LOOK; the first three are in its first row. */
enum {
	PAUSED,
	FAILED_RUN,
	FAILED_CODE,
	RUN,
	RESULT,
	CODE,
	MERGED,
	STARTED,
	ENDED,
	STATE,
	ASKS_UNTIL
};

static void look_free(struct look *l)
{
	loop_timer_free(l->again);
	free(l);
}

/* ---- the answer */

static bool is_active(const struct lq_run *r)
{
	enum lq_state state = lq_run_state(r);
	return state == LQ_S_ENQUEUEING || state == LQ_S_CLAIMING ||
	       state == LQ_S_RUNNING;
}

static void take_run(struct sup *s, const struct pg_result *r, int row)
{
	struct lq_run *run = lq_find(s->lq, pg_get_uuid(r, row, RUN));
	struct wire_sub_end end = {.result = RESULT_CANCELLED,
				   .ended_us = clock_real_us()};
	if (!run)
		return;
	if (!pg_is_null(r, row, RESULT)) {
		end = (struct wire_sub_end)
		{
			.result = (uint32_t)result_from_word(pg_get_text(r, row, RESULT)),
			.error = pg_get_text(r, row, CODE),
			.merged_into = pg_get_uuid(r, row, MERGED),
			.started_us = pg_get_time(r, row, STARTED),
			.ended_us = pg_get_time(r, row, ENDED)
		};
		runs_archived(s, run, &end);
	} else if (pg_is_null(r, row, STATE)) { /* even its archive is deleted */
		runs_archived(s, run, &end);
	} else if (slice_is(pg_get_text(r, row, STATE), "waiting") && !is_active(run)) {
		sup_step(s, &(struct lq_event){.kind = LQ_ASKS,
					       .run = run,
					       .at_us = pg_get_time(r, row, ASKS_UNTIL)});
	}
}

static void take_answer(struct look *l, const struct pg_result *r)
{
	struct sup *s = l->sup;
	for (int row = 1; row < pg_rows(r); row++)
		take_run(s, r, row);
	if (pg_get_bool(r, 0, PAUSED))
		sup_step(s, &(struct lq_event){
				    .kind = LQ_PAUSE,
				    .scope = LQ_LANE,
				    .tenant = l->tenant,
				    .id = l->session,
				    .failed_run = pg_get_uuid(r, 0, FAILED_RUN),
				    .failed_code = pg_get_text(r, 0, FAILED_CODE)});
	else
		lane_release(s, l->tenant, l->session);
}

static void on_answer(void *arg, const struct pg_answer *a)
{
	struct look *l = arg;
	if (a->err && a->err != ERR_CANCELLED) {
		if (a->fate == PG_ROLLED_BACK)
			log_error("lane-look-refused", "sqlstate=%s message=\"%s\"",
				  a->sqlstate, a->message);
		loop_timer_start(l->again, AGAIN_US);
		return;
	}
	if (!a->err)
		take_answer(l, a->results[0]);
	look_free(l);
}

/* ---- the question */

/* An active run says itself what becomes of it, an uncommitted one is told. */
static bool put_run(void *params, struct lq_run *r)
{
	if (!is_active(r))
		pg_uuid(params, lq_run_id(r));
	return true;
}

static void ask(void *arg)
{
	struct look *l = arg;
	struct pg_request *r = pg_begin(journal_pool(l->sup->journal));
	struct pg_params *p = pg_add(r, SQL_LANE_LOOK);
	pg_i64(p, l->tenant);
	pg_uuid(p, l->session);
	pg_array(p, PG_UUID);
	lq_each_run(l->sup->lq, l->tenant, l->session, put_run, p);
	pg_array_end(p);
	pg_submit(r, PG_ANY, 0, on_answer, l);
}

/* ---- */

void lane_hold(struct sup *s, int64_t tenant, struct uuid session)
{
	if (!lq_is_paused(s->lq, LQ_LANE, tenant, session))
		sup_step(s, &(struct lq_event){.kind = LQ_PAUSE,
					       .scope = LQ_LANE,
					       .tenant = tenant,
					       .id = session});
}

void lane_look(struct sup *s, int64_t tenant, struct uuid session)
{
	struct look *l = xcalloc(1, sizeof *l);
	l->sup = s;
	l->tenant = tenant;
	l->session = session;
	l->again = loop_timer_new(s->loop, ask, l);
	lane_hold(s, tenant, session);
	ask(l);
}

void lane_release(struct sup *s, int64_t tenant, struct uuid session)
{
	if (lq_is_paused(s->lq, LQ_LANE, tenant, session))
		sup_step(s, &(struct lq_event){.kind = LQ_RESUME,
					       .scope = LQ_LANE,
					       .tenant = tenant,
					       .id = session});
}
