/* SPDX-License-Identifier: Apache-2.0
 * Birth, driver and death of runs. */
#include "worker/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/die.h"
#include "common/log.h"
#include "worker/emit.h"
#include "worker/keys.h"
#include "worker/load.h"
#include "worker/tools/processes.h"

static enum step_verdict (*const steps[])(struct run *r) = {
#define STEP(NAME, fn, text) fn,
#include "worker/run_steps.tbl"
#undef STEP
};

struct key {
	struct uuid run;
	int64_t fence;
};

static struct slice key_of(struct key *k, struct uuid run, int64_t fence)
{
	memset(k, 0, sizeof *k);
	k->run = run;
	k->fence = fence;
	return slice_of(k, sizeof *k);
}

void run_wake(struct run *r)
{
	loop_wake(r->worker->loop, &r->task);
}

void run_op_done(struct op *op, enum err result, void *run)
{
	struct run *r = run;
	(void)op;
	r->op_result = result;
	run_wake(r);
}

/* The text goes to a column, which takes UTF-8 only; a limit may have cut a character. */
static void make_utf8(char *s)
{
	while (*s) {
		size_t most = strnlen(s, 4), n = 1;
		while (n <= most && !slice_is_utf8(slice_of(s, n)))
			n++;
		if (n > most) {
			*s = '?';
			n = 1;
		}
		s += n;
	}
}

static void say(struct run *r, const char *fmt, va_list ap)
{
	vsnprintf(r->failure_text, sizeof r->failure_text, fmt, ap);
	make_utf8(r->failure_text);
}

void run_say(struct run *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(r, fmt, ap);
	va_end(ap);
}

static bool is_interrupted(const struct run *r)
{
	return r->failure == ERR_CANCELLED && r->interrupted;
}

const char *run_code(const struct run *r)
{
	return is_interrupted(r) ? "interrupted" : err_code(r->failure);
}

enum step_verdict run_fail(struct run *r, enum err e, const char *fmt, ...)
{
	va_list ap;
	/* It was told to stop: that is the reason, whatever fails on the way out. */
	if (r->failure == ERR_CANCELLED && e != ERR_CANCELLED) {
		e = ERR_CANCELLED;
		fmt = NULL;
	}
	r->failure = e;
	if (fmt) {
		va_start(ap, fmt);
		say(r, fmt, ap);
		va_end(ap);
	} else {
		run_say(r, "%s",
			is_interrupted(r) ? "a newer message interrupted this run"
					  : err_text(e));
	}
	r->step = STEP_FAIL;
	return STEP_MORE;
}

int run_active_ms(const struct run *r)
{
	return (int)((r->active_us + clock_mono_us() - r->began_us) / 1000);
}

/* ---- death */

static void free_memory(void *p)
{
	struct run *r = p;
	llm_answer_fini(&r->answer);
	asking_fini(&r->asking);
	compact_free(r->compact);
	skills_free(r);
	arena_free(r->arena);
	free(r);
}

static void end(struct run *r)
{
	struct key k;
	map_take(r->worker->runs, key_of(&k, r->id, r->fence));
	list_remove(&r->speaking);
	loop_unwake(r->worker->loop, &r->task);
	loop_timer_free(r->budget);
	loop_timer_free(r->pause);
	processes_free(r->env.processes);
	if (r->agent)
		agent_give_back(r->agent);
	if (r->session && r->session->fence == r->fence) /* nobody else's yet */
		session_trim(r->session, RUN_CONTEXT_BYTES, INT64_MAX);
	key_give_back(r->key);
	permit_give_back(r->permit);
	permit_give_back(r->started_with);
	if (r->session)
		session_give_back(r->session);
	loop_reap(r->worker->loop, free_memory, r);
}

/* ---- the driver */

bool run_ends_processes(struct run *r)
{
	return processes_end(r->env.processes);
}

bool run_calls_tools(const struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (op_is_active(&r->calls[i].op))
			return true;
	return false;
}

static bool is_busy(const struct run *r)
{
	return op_is_active(&r->op) || run_calls_tools(r) || r->committing || r->loading;
}

static void cancel_all(struct run *r, enum err why)
{
	op_cancel(&r->op, why);
	for (size_t i = 0; i < r->call_count; i++)
		op_cancel(&r->calls[i].op, why);
}

/* Another runner has the lane. What is under way here ends first, unseen. */
static enum step_verdict give_up(struct run *r)
{
	cancel_all(r, ERR_CANCELLED);
	if (!run_ends_processes(r) || is_busy(r))
		return STEP_WAIT;
	if (r->session->fence == r->fence)
		session_clear(r->session);
	emit_lost(r);
	return STEP_DONE;
}

/* Where the journal holds all there is of the run, so that another worker can go on.
 * After TOOLS only if no row of the next group says `running`: such a call would count as
 * begun.
 */
static bool is_at_boundary(const struct run *r)
{
	switch (r->step) {
	case STEP_LOAD:
	case STEP_RESUME:
	case STEP_SKILLS:
	case STEP_ASK:
	case STEP_RETRY:
	case STEP_COMPACT:
	case STEP_JOB:
		return r->outcome != COMMIT_REFUSED;
	case STEP_SETTLED:
		return r->outcome != COMMIT_REFUSED && r->call_at == r->group_end;
	default:
		return false;
	}
}

/* Nothing of it may work on the lane's files beside its next runner. */
static enum step_verdict let_go(struct run *r)
{
	if (!run_ends_processes(r))
		return STEP_WAIT;
	emit_yielded(r);
	return STEP_DONE;
}

static enum step_verdict read_first(struct run *r)
{
	if (!loop_timer_is_running(r->pause))
		load_run(r);
	return STEP_WAIT;
}

/* What moves a run from outside its steps. Only one that rests between operations is
 * moved; the rest meets it at its next step. TOOLS looks itself: a call that has ended
 * keeps its result. */
static enum step_verdict next(struct run *r)
{
	bool rests = !is_busy(r);
	if (r->lost)
		return give_up(r);
	if (rests && r->unread)
		return read_first(r);
	if (rests && r->step < STEP_FAIL) {
		if (r->failure && r->step != STEP_TOOLS)
			return run_fail(r, r->failure, NULL);
		if (arena_is_over(r->arena))
			return run_fail(r, ERR_NO_MEMORY, NULL);
		if (r->yielding && is_at_boundary(r))
			return let_go(r);
	}
	return steps[r->step](r);
}

static void drive(void *arg)
{
	struct run *r = arg;
	enum step_verdict v;
	do
		v = next(r);
	while (v == STEP_MORE);
	if (v == STEP_DONE)
		end(r);
}

/* The first reason stands. */
static void stop(struct run *r, enum err why)
{
	if (r->step >= STEP_FAIL || r->failure)
		return;
	r->failure = why;
	cancel_all(r, why);
	run_wake(r);
}

static void on_budget(void *arg)
{
	stop(arg, ERR_BUDGET);
}

/* A deletion has begun to be true when it was accepted: it is not taken back. */
void run_cancel(struct run *r, enum cancel_reason why)
{
	if (r->job == MODE_DELETE)
		return;
	if (!r->failure)
		r->interrupted = why == CANCEL_INTERRUPTED;
	stop(r, ERR_CANCELLED);
}

void run_steer(struct run *r)
{
	r->take |= TAKE_STEER;
	run_wake(r);
}

void run_workspace(struct run *r, uint64_t handle, struct slice error)
{
	r->asks_workspace = false;
	r->env.workspace = handle;
	snprintf(r->workspace_error, sizeof r->workspace_error, "%.*s", SLICE_ARG(error));
	run_wake(r);
}

bool run_waits_for_workspace(struct run *r)
{
	if (r->env.workspace || r->workspace_error[0])
		return false;
	if (!r->asks_workspace)
		emit_workspace_ask(r);
	r->asks_workspace = true;
	return true;
}

void run_yield(struct run *r)
{
	r->yielding = true;
	run_wake(r);
}

static void on_pause_over(void *arg)
{
	run_wake(arg);
}

static void on_processes_ended(void *arg)
{
	run_wake(arg);
}

/* ---- birth */

struct run *run_find(struct worker *w, struct uuid run, int64_t fence)
{
	struct key k;
	return map_get(w->runs, key_of(&k, run, fence));
}

static void on_agent_changed(void *run, struct uuid agent)
{
	emit_agent_changed(run, agent);
}

static void fill_env(struct run *r)
{
	r->env = (struct tool_env){
		.loop = r->worker->loop,
		.pool = r->worker->pool,
		.jails = r->worker->jails,
		.processes = processes_new(r->worker->loop, on_processes_ended, r),
		.tenant = r->tenant,
		.fence = r->fence,
		.run = r->id,
		.session = r->session_id,
		.agent = r->agent_id,
		.cap = r->cap,
		.agent_changed = on_agent_changed,
		.run_itself = r};
}

/* The cached transcript if it is the one this claim found, with the message that the
 * claim appended, if that came with RUN_START; else it is read. A lane's first message
 * needs no look at the database. */
static void take_session(struct run *r, const struct wire_run_start *m)
{
	struct session *s = session_take(r->worker->sessions, m->tenant, m->session);
	int64_t before = m->head_seq - (int64_t)m->appended;
	bool valid = s->head_seq == before && s->fence == m->fence - 1;
	if (!valid)
		session_clear(s);
	session_slim(s);
	if (before == 0)
		s->head_seq = 0;
	if (s->head_seq == before && m->body.n && !m->resumed)
		session_add(s, m->input_seq, SLICE("user"), 0, m->run, m->body);
	else if (!valid || m->appended || m->resumed)
		session_clear(s);
	session_trim(s, RUN_CONTEXT_BYTES, m->input_seq);
	s->fence = m->fence;
	r->session = s;
}

void run_begin(struct worker *w, const struct wire_run_start *m)
{
	struct key k;
	struct run *r = xcalloc(1, sizeof *r);
	r->worker = w;
	r->id = m->run;
	r->tenant = m->tenant;
	r->fence = m->fence;
	r->commit_no = m->commit_no;
	r->input_seq = m->input_seq;
	r->head_seq = m->head_seq;
	r->session_id = m->session;
	r->agent_id = m->agent;
	r->agent_revision = (int)m->agent_revision;
	r->started_us = m->started_us;
	r->ev_seq = m->ev_seq;
	r->skill_sources = m->skills;
	r->attempt = m->attempt;
	r->max_attempts = m->max_attempts;
	r->active_us = m->active_ms * 1000ll;
	r->take = m->take;
	r->suspect = m->crashes > 0;
	r->job = mode_is_job(m->mode) ? m->mode : 0;
	r->resumed = m->resumed && (!r->job || r->job == MODE_COMPACT);
	r->unread = m->resumed && !r->job;
	if (r->job) /* no message is its own */
		r->input_seq = m->head_seq + 1;
	if (m->cancel && r->job != MODE_DELETE)
		r->failure = ERR_CANCELLED;
	r->interrupted = m->cancel == CANCEL_INTERRUPTED;
	snprintf(r->cap, sizeof r->cap, "%.*s", SLICE_ARG(m->cap));
	snprintf(r->policy_claimed, sizeof r->policy_claimed, "%.*s",
		 SLICE_ARG(m->policy));
	fill_env(r);
	r->arena = arena_new(RUN_ARENA_BYTES);
	list_init(&r->speaking);
	llm_answer_init(&r->answer);
	loop_task_init(&r->task, drive, r);
	r->budget = loop_timer_new(w->loop, on_budget, r);
	r->pause = loop_timer_new(w->loop, on_pause_over, r);
	r->began_us = clock_mono_us();
	loop_timer_start(r->budget,
			 r->active_us < RUN_BUDGET_US ? RUN_BUDGET_US - r->active_us : 0);
	take_session(r, m);
	r->agent = agent_take(w->agents, r->tenant, r->agent_id, r->agent_revision);
	if (map_put(w->runs, key_of(&k, r->id, r->fence), r))
		fatal("the supervisor started a run twice under one fence");
	emit_accepted(r);
	run_wake(r);
}

void runs_pause(struct worker *w, int paused)
{
	size_t it = 0;
	void *value;
	while (map_next(w->runs, &it, NULL, &value)) {
		struct run *r = value;
		if (r->llm && r->step == STEP_ANSWERED && op_is_active(&r->op))
			llm_pause(r->llm, paused);
	}
}
