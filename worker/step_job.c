/* SPDX-License-Identifier: Apache-2.0
 * JOB: what changes a transcript outside a turn. A job is one act of its commit
 * (tb.act_<what>, which reads the job's parameters itself) that also ends it, but:
 *
 *	delete              goes on in pieces until nothing is left
 *	compact             is loaded as a turn is, and then a detour of the run machine
 *	regenerate, edit    their act makes the run a turn, which goes on as one
 *
 * A job begins anew wherever its worker died: what its commits did they did. */
#include <stdio.h>

#include "common/attr.h"
#include "common/die.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "worker/asking.h"
#include "worker/commit.h"
#include "worker/compact.h"
#include "worker/load.h"
#include "worker/run.h"
#include "worker/sql.h"

#define WEATHER_US 500000

static void submit_act(struct run *r, const char *what, bool ends)
{
	commit_begin(r);
	commit_act(r, what, SLICE("{}"));
	if (ends) {
		commit_end(r, RESULT_COMPLETED);
		r->step = STEP_ENDING;
	}
	commit_submit(r);
}

/* ---- reading */

/* Of the run's tenant, with one statement more to come. */
static struct pg_request *begin_read(struct run *r)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	pg_text(pg_add(q, SQL_CAP), slice_str(r->cap));
	r->loading = true;
	return q;
}

/* NULL: there is no answer, and the step asks again after a pause. */
static const struct pg_result *was_read(struct run *r, const struct pg_answer *a)
{
	r->loading = false;
	if (a->err == ERR_CANCELLED)
		return NULL;
	if (a->err) {
		log_warn("job-reads-again", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message);
		loop_timer_start(r->pause, WEATHER_US);
		return NULL;
	}
	if (pg_get_i64(a->results[0], 0, 1) != r->tenant)
		fatal("the capability for tenant %lld is gone from the database",
		      (long long)r->tenant);
	return a->results[1];
}

/* ---- a deletion */

static void on_left(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	const struct pg_result *rows = was_read(r, a);
	if (!rows)
		return;
	r->job_left = pg_get_bool(rows, 0, 0) ? JOB_LEFT_SOME : JOB_LEFT_NOTHING;
	run_wake(r);
}

static void ask_left(struct run *r)
{
	struct pg_request *q = begin_read(r);
	struct pg_params *p = pg_add(q, SQL_SESSION_LEFT);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->session_id);
	pg_uuid(p, r->id);
	pg_submit(q, CONN_READS, 0, on_left, r);
}

static enum step_verdict delete_piece(struct run *r)
{
	enum job_left left = r->job_left;
	r->job_left = JOB_LEFT_UNKNOWN;
	switch (left) {
	case JOB_LEFT_UNKNOWN:
		ask_left(r);
		return STEP_WAIT;
	case JOB_LEFT_SOME:
		submit_act(r, "delete_some", false);
		return STEP_WAIT;
	case JOB_LEFT_NOTHING:
		submit_act(r, "delete", true);
		break;
	}
	return STEP_MORE;
}

/* ---- a turn made of a job */

static enum step_verdict become_turn(struct run *r)
{
	if (!r->acted) {
		r->acted = true;
		submit_act(r, mode_word(r->job), false);
		return STEP_WAIT;
	}
	r->job = 0;
	r->input_seq = r->head_seq;
	r->step = STEP_LOAD;
	return STEP_MORE;
}

/* ---- a compaction */

static struct slice focus_of(struct run *r, json_t wish)
{
	return arena_slice(r->arena, json_str(json_get(wish, "focus")));
}

static void start_compaction(struct run *r, json_t wish)
{
	int64_t keep = -1, target = 0;
	json_i64(json_get(wish, "keepRecentMessages"), &keep);
	json_i64(json_get(wish, "targetTokenCount"), &target);
	r->acted = true;
	compact_start(r, &(struct compact_wish){.why = COMPACT_ASKED,
						.focus = focus_of(r, wish),
						.keep_messages = (int)keep,
						.target_tokens = target,
						.then = STEP_JOB});
}

static void on_wish(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	const struct pg_result *rows = was_read(r, a);
	if (!rows)
		return;
	struct slice body = pg_rows(rows) ? pg_get_text(rows, 0, 0) : SLICE("{}");
	AUTO(auto_json_free) struct json_doc *d = json_parse(body, body.n, NULL, 0);
	start_compaction(r, json_root(d));
	run_wake(r);
}

static void ask_wish(struct run *r)
{
	struct pg_request *q = begin_read(r);
	struct pg_params *p = pg_add(q, SQL_JOB_BODY);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->id);
	pg_submit(q, CONN_READS, 0, on_wish, r);
}

static enum step_verdict compact_session(struct run *r)
{
	if (!r->acted) {
		if (asking_waits(r))
			return STEP_WAIT;
		enum err e = asking_target(r);
		if (e)
			return run_fail(r, e, "%s", r->answer.error);
		ask_wish(r);
		return STEP_WAIT;
	}
	if (r->compacted.problem[0])
		return run_fail(r, ERR_UNAVAILABLE, "%s", r->compacted.problem);
	commit_begin(r);
	commit_end(r, RESULT_COMPLETED);
	r->step = STEP_ENDING;
	commit_submit(r);
	return STEP_MORE;
}

enum step_verdict job_refused(struct run *r)
{
	char why[sizeof r->refusal];
	snprintf(why, sizeof why, "%s", r->refusal);
	return run_fail(r, ERR_CONFLICT, "%s", why);
}

enum step_verdict step_job(struct run *r)
{
	if (r->committing || r->loading || loop_timer_is_running(r->pause))
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return job_refused(r);
	switch (r->job) {
	case MODE_DELETE:
		return delete_piece(r);
	case MODE_REGENERATE:
	case MODE_EDIT:
		return become_turn(r);
	case MODE_COMPACT:
		return compact_session(r);
	default:
		submit_act(r, mode_word(r->job), true);
		return STEP_MORE;
	}
}
