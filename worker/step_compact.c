/* SPDX-License-Identifier: Apache-2.0
 * COMPACT, COMPACTING, SAVING and COMPACTED: the detour of a run whose context is, or
 * soon will be, too long. */
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/commit.h"
#include "worker/compaction.h"
#include "worker/load.h"
#include "worker/run.h"

/* Steps of the run for which a compaction that failed is not tried again. */
#define REST_STEPS 4
#define ARENA_BYTES (8u << 20)

/* ---- when */

static bool is_worth_it(struct run *r)
{
	struct compact c = {.wish = {.why = COMPACT_FULL, .keep_messages = -1}};
	r->compact = &c;
	bool worth = summary_choose(r);
	r->compact = NULL;
	return worth;
}

bool compact_is_due(struct run *r)
{
	const struct context *x = &r->context;
	if (r->step_no < r->compact_rest || x->used < x->window.flush)
		return false;
	return flush_is_wanted(r) || (x->used >= x->window.compact && is_worth_it(r));
}

void compact_start(struct run *r, const struct compact_wish *w)
{
	struct compact *c = xcalloc(1, sizeof *c);
	c->arena = arena_new(ARENA_BYTES);
	c->wish = *w;
	c->wish.focus = arena_slice(c->arena, w->focus);
	llm_answer_init(&c->answer);
	compact_free(r->compact);
	r->compact = c;
	r->compacted = (struct compact_outcome){0};
	r->step = STEP_COMPACT;
}

void compact_for_overflow(struct run *r)
{
	r->overflowed = true;
	context_refused(r);
	log_warn("context-overflow", "used=%lld window=%lld message=\"%s\"",
		 (long long)r->context.used, (long long)r->context.window.size,
		 r->answer.error);
	compact_start(r, &(struct compact_wish){.why = COMPACT_OVERFLOW,
						.keep_messages = -1,
						.then = STEP_ASK});
}

void compact_free(struct compact *c)
{
	if (!c)
		return;
	flush_free(c->flush);
	llm_answer_fini(&c->answer);
	strbuf_fini(&c->summary);
	arena_free(c->arena);
	free(c);
}

/* ---- questions on the side */

static void on_text(void *arg)
{
	struct run *r = arg;
	if (r->compact->answer.text.n > COMPACT_TEXT_MOST)
		op_cancel(&r->op, ERR_TOO_LARGE);
}

enum step_verdict compact_ask(struct run *r, struct llm_question *q)
{
	struct compact *c = r->compact;
	if (!budget_allows(r, q))
		return r->step == STEP_FAIL ? STEP_MORE : STEP_WAIT;
	llm_answer_reset(&c->answer);
	op_init(&r->op, r->worker->loop, run_op_done, r);
	c->asked_us = clock_mono_us();
	r->step = STEP_COMPACTING;
	r->llm = llm_start(r->worker->loop, r->worker->http, &r->target, q, &c->answer,
			   on_text, r, &r->op);
	return STEP_WAIT;
}

void compact_account(struct run *r)
{
	struct compact *c = r->compact;
	if (!c || !c->asked_us)
		return;
	struct llm_usage u = c->answer.usage;
	int64_t took_us = clock_mono_us() - c->asked_us;
	bool whole = !r->op_result && c->answer.stop;
	c->asked_us = 0;
	if (!whole && !u.in && !u.out)
		return; /* it cost nothing that anybody knows */
	if (whole && !u.out)
		u.out = (int64_t)c->answer.text.n / 4 + 1;
	usage_add(r, &r->target, r->model, &u, took_us);
}

bool compact_tries_again(struct run *r, enum err e)
{
	struct compact *c = r->compact;
	if (!err_is_retryable(e) || ++c->tries >= COMPACT_TRIES_MOST ||
	    c->answer.retry_after_us > 8 * COMPACT_PAUSE_US)
		return false;
	loop_timer_start(r->pause, c->answer.retry_after_us > COMPACT_PAUSE_US
					   ? c->answer.retry_after_us
					   : COMPACT_PAUSE_US);
	r->step = STEP_COMPACT;
	return true;
}

/* ---- the steps */

static enum step_verdict leave(struct run *r)
{
	r->step = (enum run_step)r->compact->wish.then;
	compact_free(r->compact);
	r->compact = NULL;
	return STEP_MORE;
}

/* The history stays as it is; the run goes on with what fits. */
static enum step_verdict give_up(struct run *r, const char *why)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	snprintf(r->compacted.problem, sizeof r->compacted.problem, "%s", why);
	r->compact_rest = r->step_no + REST_STEPS;
	log_warn("compaction-failed", "tokens=%lld message=\"%s\"",
		 (long long)r->compact->before, why);
	json_obj(&o);
	json_kv_i64(&o, "tokensBefore", r->compact->before);
	json_kv_cstr(&o, "problem", why);
	json_obj_end(&o);
	commit_begin(r);
	commit_phase(r, "compaction_failed", strbuf_slice(&b));
	commit_submit(r);
	r->step = STEP_COMPACTED;
	return STEP_MORE;
}

static void announce(struct run *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "{\"tokensBefore\":%lld,\"window\":%lld}",
		      (long long)r->compact->before, (long long)r->context.window.size);
	commit_phase(r, "compacting", strbuf_slice(&b));
}

/* A job's run has measured nothing yet: its tools are of no matter. */
static void measure(struct run *r)
{
	struct llm_question q = {.model = r->model, .system = context_system(r)};
	if (r->compact->wish.why == COMPACT_ASKED)
		context_measure(r, &q);
	r->compact->before = r->context.used;
}

static enum step_verdict begin(struct run *r)
{
	struct compact *c = r->compact;
	measure(r);
	bool chosen = summary_choose(r);
	c->only_flush = c->wish.why == COMPACT_FULL &&
			(r->context.used < r->context.window.compact || !chosen);
	if (!chosen && !c->only_flush)
		return c->wish.why == COMPACT_ASKED
			       ? leave(r)
			       : give_up(r,
					 "there is nothing to be summarised: the newest "
					 "messages alone are as long");
	c->stage = flush_is_wanted(r) ? STAGE_FLUSH : STAGE_SUMMARY;
	if (c->only_flush && c->stage != STAGE_FLUSH)
		return leave(r);
	if (c->only_flush)
		return STEP_MORE;
	commit_begin(r);
	announce(r);
	commit_submit(r);
	return STEP_WAIT;
}

static bool rests(struct run *r)
{
	if (r->committing || r->loading || loop_timer_is_running(r->pause))
		return false;
	if (r->session->head_seq != r->head_seq) {
		load_run(r);
		return false;
	}
	if (r->permit_is_old) {
		load_permit(r);
		return false;
	}
	return !asking_waits(r);
}

enum step_verdict step_compact(struct run *r)
{
	struct compact *c = r->compact;
	if (r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return run_fail(r, ERR_INTERNAL, NULL);
	if (!rests(r))
		return STEP_WAIT;
	if (asking_target(r))
		return give_up(r, r->answer.error);
	switch (c->stage) {
	case STAGE_BEGIN:
		return begin(r);
	case STAGE_FLUSH:
		return flush_ask(r);
	case STAGE_SUMMARY:
		return summary_ask(r);
	default:
		return leave(r);
	}
}

static enum step_verdict flushed(struct run *r)
{
	struct compact *c = r->compact;
	commit_begin(r);
	flush_commit(r);
	commit_submit(r);
	c->tries = 0;
	c->stage = c->only_flush ? STAGE_DONE : STAGE_SUMMARY;
	r->step = STEP_COMPACT;
	return STEP_MORE;
}

static enum step_verdict summarised(struct run *r, enum err e)
{
	struct compact *c = r->compact;
	if (e)
		return give_up(r, c->answer.error[0] ? c->answer.error : err_text(e));
	const char *problem = summary_take(r);
	if (problem)
		return give_up(r, problem);
	c->tries = 0;
	if (!summary_is_whole(r)) {
		r->step = STEP_COMPACT;
		return STEP_MORE;
	}
	commit_begin(r);
	summary_commit(r);
	commit_submit(r);
	r->step = STEP_COMPACTED;
	return STEP_MORE;
}

enum step_verdict step_compacting(struct run *r)
{
	struct compact *c = r->compact;
	enum err e = r->op_result;
	if (op_is_active(&r->op))
		return STEP_WAIT;
	r->llm = NULL;
	compact_account(r);
	if (compact_tries_again(r, e))
		return STEP_WAIT;
	if (c->stage == STAGE_SUMMARY)
		return summarised(r, e);
	if (!flush_answered(r, e))
		return flushed(r);
	return r->step == STEP_SAVING ? STEP_WAIT : STEP_MORE;
}

enum step_verdict step_saving(struct run *r)
{
	if (op_is_active(&r->op))
		return STEP_WAIT;
	if (flush_saved(r))
		return STEP_WAIT;
	r->step = STEP_COMPACT;
	return STEP_MORE;
}

/* A summary that the database does not take changes nothing, and the run goes on. */
enum step_verdict step_compacted(struct run *r)
{
	if (r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED && !r->compacted.done)
		return run_fail(r, ERR_INTERNAL, NULL);
	if (r->outcome == COMMIT_REFUSED) {
		r->compacted = (struct compact_outcome){
			.problem = "the summary could not be stored"};
		r->compact_rest = r->step_no + REST_STEPS;
		r->outcome = COMMIT_LANDED;
	}
	return leave(r);
}
