/* SPDX-License-Identifier: Apache-2.0
 * One request with up to eight reads behind the capability. What it finds is checked
 * against RUN_START: a transcript that does not end where the claim said is not used. A
 * run that ran before and whose rows the database refuses to read ends; its tool rows are
 * read first, so that its calls get their results. */
#include "worker/load.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "common/log.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "worker/cooldowns.h"
#include "worker/bootstrap.h"
#include "worker/emit.h"
#include "worker/keys.h"
#include "worker/resume.h"
#include "worker/run.h"
#include "worker/sql.h"
#include "worker/tools/processes.h"
#include "worker/usage.h"

#define WEATHER_US 500000

int load_is_needed(const struct run *r)
{
	return !r->agent || r->session->head_seq != r->head_seq ||
	       (r->resumed && !r->past);
}

static void take_agent(struct run *r, const struct pg_result *g)
{
	if (r->agent)
		return;
	if (pg_rows(g) == 0) {
		run_fail(r, ERR_NOT_FOUND,
			 "the agent of this run does not exist any more");
		return;
	}
	r->agent = agent_put(r->worker->agents, r->tenant, r->agent_id, r->agent_revision,
			     pg_get_text(g, 0, 1));
}

static void take_history(struct run *r, const struct pg_result *h)
{
	int rows = pg_rows(h);
	if (r->session->head_seq == r->head_seq)
		return;
	session_clear(r->session);
	if (rows) {
		r->session->summary_seq = pg_get_i64(h, 0, 5);
		r->session->context_set = pg_get_i64(h, 0, 6);
		r->session->flushed = pg_get_i64(h, 0, 7);
	}
	for (int i = rows; i-- > 0;) /* newest first, as asked */
		session_add(r->session, pg_get_i64(h, i, 0), pg_get_text(h, i, 1),
			    (int)pg_get_i64(h, i, 2), pg_get_uuid(h, i, 3),
			    pg_get_text(h, i, 4));
	if (r->session->head_seq != r->head_seq) {
		log_error("history-mismatch", "expected=%lld found=%lld",
			  (long long)r->head_seq, (long long)r->session->head_seq);
		session_clear(r->session);
		run_fail(r, ERR_INTERNAL, NULL);
	}
}

static void take_past(struct run *r, const struct pg_result *t, const struct pg_result *u)
{
	struct resume *p = arena_zalloc(r->arena, sizeof *p);
	p->count = pg_rows(t);
	p->bare = r->session->head_seq != r->head_seq;
	p->rows = arena_zalloc(r->arena, (size_t)p->count * sizeof *p->rows);
	for (int i = 0; i < p->count; i++) {
		p->rows[i] = (struct resume_row){
			.step = (int)pg_get_i64(t, i, 0),
			.call = (int)pg_get_i64(t, i, 1),
			.call_id = arena_slice(r->arena, pg_get_text(t, i, 2)),
			.tool = arena_slice(r->arena, pg_get_text(t, i, 3)),
			.state = arena_slice(r->arena, pg_get_text(t, i, 4)),
			.attempt = (int)pg_get_i64(t, i, 5),
			.input = arena_slice(r->arena, pg_get_text(t, i, 6)),
			.approval = arena_slice(r->arena, pg_get_text(t, i, 8)),
			.denial = arena_slice(r->arena, pg_get_text(t, i, 9))};
		resume_result(&p->rows[i], pg_get_text(t, i, 10), pg_get_text(t, i, 11));
	}
	for (int i = 0; i < p->count; i++)
		processes_lost(r->env.processes, (unsigned)pg_get_i64(t, i, 7));
	usage_resume(r, u);
	r->past = p;
}

/* Told again, perhaps: the supervisor forgets a run once. */
static void take_taken(struct run *r, const struct pg_result *t)
{
	for (int i = 0; i < pg_rows(t); i++)
		emit_taken(r, pg_get_uuid(t, i, 0));
}

/* Asked again: at once when the connection went, else after a pause, since what stands in
 * the way is the database's condition. */
static void ask_again(struct run *r, const struct pg_answer *a,
		      void (*load)(struct run *r))
{
	if (a->fate != PG_ROLLED_BACK) {
		load(r);
		return;
	}
	log_warn("load-again", "sqlstate=%s message=\"%s\"", a->sqlstate, a->message);
	loop_timer_start(r->pause, WEATHER_US);
}

static bool is_asked_again(struct run *r, const struct pg_answer *a,
			   void (*load)(struct run *r))
{
	if (!a->err ||
	    (a->fate == PG_ROLLED_BACK && pg_error_kind(a->sqlstate) == PG_ERROR_ROW))
		return false;
	ask_again(r, a, load);
	return true;
}

/* Going on would be to act on an empty history. The next life of this worker gets a
 * capability of its own. */
NORETURN static void no_capability(const struct run *r)
{
	fatal("the capability for tenant %lld is gone from the database",
	      (long long)r->tenant);
}

static void check_capability(const struct run *r, const struct pg_answer *a)
{
	if (pg_get_i64(a->results[0], 0, 1) != r->tenant)
		no_capability(r);
}

static void put_capability(struct pg_request *q, const struct run *r)
{
	pg_text(pg_add(q, SQL_CAP), slice_str(r->cap));
}

/* What the run may use and what its prompt begins with, behind its own look at the
 * capability. */
static void put_terms(struct pg_request *q, const struct run *r)
{
	struct pg_params *p = pg_add(q, SQL_RUN_TERMS);
	pg_text(p, slice_str(r->cap));
	pg_i64(p, r->tenant);
	pg_uuid(p, r->agent_id);
	pg_uuid(p, r->session_id);
	pg_i32(p, skills_known(r->session));
	pg_text(p, slice_str(r->session->memory_version));
}

static void take_terms(struct run *r, const struct pg_result *rows)
{
	if (pg_rows(rows) == 0)
		no_capability(r);
	permit_take(r, rows);
	skills_take(r, rows);
	bootstrap_take(r, rows);
}

static void put_past(struct pg_request *q, const struct run *r)
{
	struct pg_params *p = pg_add(q, SQL_TOOL_ROWS);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->id);
	p = pg_add(q, SQL_USAGE);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->id);
}

static void unreadable(struct run *r)
{
	run_fail(r, ERR_INTERNAL, "what the database holds of this run cannot be read");
	r->unread = false;
	run_wake(r);
}

static void on_past(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	r->loading = false;
	if (a->err == ERR_CANCELLED || is_asked_again(r, a, load_run))
		return;
	/* The third worker that ends for it ends the run: see tb.bury. */
	if (a->err)
		fatal("the tool calls of a run cannot be read (%s: %s): its worker "
		      "starts anew",
		      a->sqlstate, a->message);
	check_capability(r, a);
	take_past(r, a->results[1], a->results[2]);
	unreadable(r);
}

/* Its tool rows alone. */
static void load_past(struct run *r)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	put_capability(q, r);
	put_past(q, r);
	r->loading = true;
	pg_submit(q, CONN_READS, 0, on_past, r);
}

/* The last two statements of a request. */
static void put_target(struct pg_request *q, struct run *r)
{
	r->asks_target = true;
	keys_ask(q, r);
	cooldowns_ask(q);
}

static void take_target(struct run *r, const struct pg_answer *a)
{
	if (!r->asks_target)
		return;
	r->asks_target = false;
	keys_take(r, a->results[a->result_count - 2]);
	cooldowns_take(r, a->results[a->result_count - 1]);
}

static void take_all(struct run *r, const struct pg_answer *a)
{
	check_capability(r, a);
	take_agent(r, a->results[1]);
	take_history(r, a->results[2]);
	take_terms(r, a->results[3]);
	if (r->resumed)
		take_past(r, a->results[4], a->results[5]);
	if (r->unread)
		take_taken(r, a->results[r->resumed ? 6 : 4]);
	take_target(r, a);
	r->unread = false;
	run_wake(r);
}

static void on_loaded(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	r->loading = false;
	if (a->err == ERR_CANCELLED || is_asked_again(r, a, load_run))
		return;
	if (!a->err) {
		take_all(r, a);
		return;
	}
	log_error("load-failed", "sqlstate=%s message=\"%s\"", a->sqlstate, a->message);
	if (r->resumed && !r->past)
		load_past(r);
	else
		unreadable(r);
}

static void on_permit(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	r->loading = false;
	if (a->err == ERR_CANCELLED || is_asked_again(r, a, load_permit))
		return;
	if (a->err) {
		log_error("load-failed", "sqlstate=%s message=\"%s\"", a->sqlstate,
			  a->message);
		run_fail(r, ERR_INTERNAL,
			 "the tool policy cannot be read (the database says %s: see the "
			 "worker's log), so no tool may run",
			 a->sqlstate);
	} else {
		take_terms(r, a->results[0]);
	}
	run_wake(r);
}

void load_permit(struct run *r)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	put_terms(q, r);
	r->loading = true;
	pg_submit(q, CONN_READS, 0, on_permit, r);
}

static void on_target(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	r->loading = false;
	if (a->err == ERR_CANCELLED || is_asked_again(r, a, load_target))
		return;
	if (a->err) {
		log_error("load-failed", "sqlstate=%s message=\"%s\"", a->sqlstate,
			  a->message);
		run_fail(r, ERR_INTERNAL,
			 "the keys of model providers cannot be read (the database says "
			 "%s: see the worker's log), so no model is asked",
			 a->sqlstate);
	} else {
		check_capability(r, a);
		take_target(r, a);
	}
	run_wake(r);
}

bool load_target_is_needed(const struct run *r)
{
	return !keys_are_fresh(r) || !cooldowns_are_fresh(r);
}

void load_target(struct run *r)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	put_capability(q, r);
	put_target(q, r);
	r->loading = true;
	pg_submit(q, CONN_READS, 0, on_target, r);
}

void load_run(struct run *r)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	put_capability(q, r);
	struct pg_params *p = pg_add(q, SQL_AGENT);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->agent_id);
	pg_i32(p, r->agent_revision);
	p = pg_add(q, SQL_HISTORY);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->session_id);
	pg_i64(p, r->input_seq);
	pg_i64(p, RUN_CONTEXT_BYTES);
	put_terms(q, r);
	if (r->resumed)
		put_past(q, r);
	if (r->unread) {
		p = pg_add(q, SQL_TAKEN);
		pg_i64(p, r->tenant);
		pg_uuid(p, r->session_id);
		pg_uuid(p, r->id);
	}
	r->asks_target = false;
	if (load_target_is_needed(r))
		put_target(q, r);
	r->loading = true;
	pg_submit(q, CONN_READS, 0, on_loaded, r);
}
