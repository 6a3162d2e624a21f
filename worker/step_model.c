/* SPDX-License-Identifier: Apache-2.0
 * ASK, ANSWERED and RETRY: the model's part. */
#include <stdio.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "worker/client_results.h"
#include "worker/commit.h"
#include "worker/emit.h"
#include "worker/failover.h"
#include "worker/group.h"
#include "worker/load.h"
#include "worker/resume.h"
#include "worker/run.h"
#include "worker/tools/registry.h"

/* Pauses inside the run keep its place on the worker; a longer one is the queue's. */
static const struct backoff short_pause = {.first_us = 500000,
					   .cap_us = FAILOVER_PAUSE_MOST_US};
static const struct backoff queue_pause = {.first_us = 1000000, .cap_us = 300000000};
/* What may stay for the durable event: one event's worth. */
#define REST_BYTES 2048

/* ---- ASK */

static void fill_question(struct run *r, struct llm_question *q)
{
	const struct client_tools *client = &r->asking.client;
	const struct llm_tool **tools =
		arena_alloc(r->arena, (tool_count() + client->count) * sizeof *tools);
	size_t shown = 0;
	for (size_t i = 0; i < tool_count(); i++)
		if (permit_judge(r, i, NULL) != POLICY_DENY)
			tools[shown++] = agent_tool(r->agent, i);
	for (size_t i = 0; i < client->count; i++)
		tools[shown++] = &client->tools[i];
	*q = (struct llm_question){.model = r->model,
				   .system = context_system(r),
				   .tools = tools,
				   .tool_count = shown,
				   .foreign = client->count,
				   .choice = client_tools_choice(r),
				   .params = asking_params(r)};
	context_measure(r, q);
}

static bool names_no_tool(const struct llm_question *q)
{
	for (size_t i = 0; i < q->tool_count; i++)
		if (slice_is(q->choice.name, q->tools[i]->name))
			return false;
	return q->choice.kind == LLM_CHOICE_NAMED;
}

static void on_text(void *arg)
{
	struct run *r = arg;
	if (r->answer.text.n > RUN_ARENA_BYTES) {
		r->failure = ERR_NO_MEMORY;
		op_cancel(&r->op, ERR_NO_MEMORY);
		return;
	}
	emit_text_grew(r);
}

static enum step_verdict model_failed(struct run *r, enum err e);

enum step_verdict step_ask(struct run *r)
{
	struct llm_question q;
	if (r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return run_fail(r, ERR_INTERNAL, NULL);
	if (r->loading || loop_timer_is_running(r->pause))
		return STEP_WAIT;
	if (r->session->head_seq != r->head_seq) { /* never ask with half a history */
		load_run(r);
		return STEP_WAIT;
	}
	if (!r->results_taken)
		return client_results_take(r);
	if (r->take) {
		commit_begin(r);
		commit_take(r);
		commit_submit(r);
		return STEP_WAIT;
	}
	if (r->permit_is_old) { /* what was taken away is not offered */
		load_permit(r);
		return STEP_WAIT;
	}
	if (skills_are_due(r)) {
		r->step = STEP_SKILLS;
		return STEP_MORE;
	}
	if (asking_waits(r))
		return STEP_WAIT;
	r->judges_again = false; /* nothing that was judged is left */
	if (r->step_no >= RUN_STEPS_MOST)
		return run_fail(r, ERR_BUDGET, "the model was asked %d times in one run",
				RUN_STEPS_MOST);
	r->past = NULL;
	r->calls = NULL;
	r->call_count = 0;
	arena_reset(r->arena);
	llm_answer_reset(&r->answer);
	r->shown = 0;
	r->asking.was_asked = false;
	enum err e = asking_target(r);
	if (e)
		return model_failed(r, e);
	r->asking.was_asked = true;
	fill_question(r, &q);
	if (names_no_tool(&q))
		return run_fail(r, ERR_BAD_REQUEST,
				"toolChoice: this agent may not use the tool '%.*s'",
				SLICE_ARG(q.choice.name));
	if (compact_is_due(r)) {
		compact_start(r, &(struct compact_wish){.why = COMPACT_FULL,
							.keep_messages = -1,
							.then = STEP_ASK});
		return STEP_MORE;
	}
	context_fill(r, &q, 0, 0);
	if (!budget_allows(r, &q))
		return r->step == STEP_FAIL ? STEP_MORE : STEP_WAIT;
	op_init(&r->op, r->worker->loop, run_op_done, r);
	r->step = STEP_ANSWERED;
	usage_begin(r);
	r->llm = llm_start(r->worker->loop, r->worker->http, &r->target, &q, &r->answer,
			   on_text, r, &r->op);
	asked_take(r, &q);
	if (r->worker->congested)
		llm_pause(r->llm, 1);
	return STEP_WAIT;
}

/* ---- ANSWERED */

static int64_t pause_us(const struct run *r, const struct backoff *b, unsigned attempt)
{
	uint32_t dice;
	crypto_random(&dice, sizeof dice);
	return backoff_us(b, attempt, dice, r->answer.retry_after_us);
}

/* Its place on the worker is freed; its lane waits for it. */
static enum step_verdict postpone(struct run *r, enum err e, const char *text)
{
	int64_t pause = pause_us(r, &queue_pause, r->attempt);
	run_say(r, "%s", text);
	commit_begin(r);
	if (r->shown)
		commit_reset_event(r);
	commit_retry(r, pause, e);
	commit_submit(r);
	log_warn("run-postponed", "error=%s attempt=%u pause_ms=%lld message=\"%s\"",
		 err_code(e), r->attempt, (long long)pause / 1000, r->failure_text);
	r->step = STEP_POSTPONED;
	return STEP_MORE;
}

static enum step_verdict pause_and_ask(struct run *r, enum err e, const char *text)
{
	r->retries++;
	int64_t pause = pause_us(r, &short_pause, (unsigned)r->retries);
	log_warn("model-retry", "error=%s attempt=%d pause_ms=%lld message=\"%s\"",
		 err_code(e), r->retries, (long long)pause / 1000, text);
	r->step = STEP_RETRY;
	loop_timer_start(r->pause, pause);
	if (r->shown) {
		commit_begin(r);
		commit_reset_event(r);
		commit_submit(r);
	}
	return STEP_WAIT;
}

static enum step_verdict ask_the_next(struct run *r, enum err e, const char *text)
{
	struct asking *a = &r->asking;
	const char *from = a->models[a->at++];
	r->retries = 0;
	log_warn("model-failover", "from=%s to=%s error=%s message=\"%s\"", from,
		 a->models[a->at], err_code(e), text);
	commit_begin(r);
	if (r->shown)
		commit_reset_event(r);
	commit_failover(r, from, a->models[a->at], e, text);
	commit_submit(r);
	r->step = STEP_RETRY;
	return STEP_MORE;
}

static enum step_verdict model_failed(struct run *r, enum err e)
{
	AUTO(auto_free)
	char *text = xstrdup(r->answer.error[0] ? r->answer.error : err_text(e));
	if (r->failure)
		return run_fail(r, r->failure, NULL);
	if (e == ERR_MODEL_CONTEXT && !r->overflowed) {
		compact_for_overflow(r);
		return STEP_MORE;
	}
	enum failover_move move = failover_decide(
		e, &(struct failover){.retries = r->retries,
				      .has_next = asking_has_next(r),
				      .retry_after_us = r->answer.retry_after_us,
				      .attempt = r->attempt,
				      .max_attempts = r->max_attempts});
	if (move != FAILOVER_AGAIN)
		asking_refused(r, e);
	switch (move) {
	case FAILOVER_AGAIN:
		return pause_and_ask(r, e, text);
	case FAILOVER_NEXT:
		return ask_the_next(r, e, text);
	case FAILOVER_POSTPONE:
		return postpone(r, e, text);
	case FAILOVER_FAIL:
		break;
	}
	r->dead = err_is_retryable(e);
	if (e == ERR_MODEL_CONTEXT)
		return run_fail(r, e,
				"the conversation does not fit the model's window, even "
				"compacted: %s",
				text);
	return run_fail(r, e, "%s", text);
}

/* Intent T2; or, when the run shall not go on with its calls, what becomes of them. */
static void begin_calls(struct run *r)
{
	r->step = STEP_SETTLED;
	if (r->take & TAKE_STEER) {
		r->group_end = 0;
		group_skip(r);
		commit_take(r);
	} else if (group_asks(r)) {
		group_hold(r);
		commit_asks(r);
		r->step = STEP_ASKED;
	} else if (client_calls_are_all(r)) {
		commit_hand_over(r);
		r->step = STEP_ENDING;
	} else if (r->yielding) {
		group_hold(r);
	} else {
		group_first(r);
		r->step = STEP_TOOLS;
	}
}

/* The answer is kept, for who wants to know what it was; its calls are not made. */
static void end_circle(struct run *r)
{
	r->failure = ERR_TOOL_LOOP;
	run_say(r, "the model made the same tool call with the same result %d times",
		LOOP_END);
	for (size_t i = 0; i < r->call_count; i++)
		commit_void(r, i, "error", "the run ended: it went in circles");
	commit_end(r, RESULT_FAILED);
	r->step = STEP_ENDING;
}

static enum step_verdict take_answer(struct run *r)
{
	asking_answered(r);
	r->retries = 0;
	r->overflowed = false;
	context_learn(r);
	r->answer_stored = false;
	r->step_no++;
	group_prepare(r);
	emit_deltas(r, REST_BYTES);
	commit_begin(r);
	commit_answer(r);
	if (group_goes_in_circles(r)) {
		end_circle(r);
	} else if (r->call_count) {
		begin_calls(r);
	} else if (r->take) {
		commit_take(r);
		r->step = STEP_MERGED;
	} else {
		commit_end(r, RESULT_COMPLETED);
		r->step = STEP_ENDING;
	}
	commit_submit(r);
	return STEP_MORE;
}

/* ---- MERGED */

/* The answer is stored. It was the last one unless a message came behind it; one that
 * arrives meanwhile gets its chance before the end. */
enum step_verdict step_merged(struct run *r)
{
	if (r->committing || r->loading || loop_timer_is_running(r->pause))
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return run_fail(r, ERR_INTERNAL, "the answer could not be stored");
	if (r->session->head_seq != r->head_seq) {
		load_run(r);
		return STEP_WAIT;
	}
	if (resume_is_followed(r)) {
		r->step = STEP_ASK;
		return STEP_MORE;
	}
	commit_begin(r);
	if (r->take) {
		commit_take(r);
	} else {
		commit_end(r, RESULT_COMPLETED);
		r->step = STEP_ENDING;
	}
	commit_submit(r);
	return STEP_MORE;
}

/* ---- ANSWERED */

enum step_verdict step_answered(struct run *r)
{
	struct llm_answer *a = &r->answer;
	if (op_is_active(&r->op))
		return STEP_WAIT;
	r->llm = NULL;
	usage_take(r);
	if (r->op_result || r->failure)
		return model_failed(r, r->op_result);
	if (a->stop == LLM_STOP_FILTER && !a->text.n && !a->call_count)
		return model_failed(r, ERR_MODEL_FILTER);
	if (a->stop == LLM_STOP_LENGTH && !a->text.n && !a->call_count) {
		snprintf(
			a->error, sizeof a->error,
			"the model reached the limit of its answer (maxTokens) before it "
			"said anything");
		return model_failed(r, ERR_MODEL_REQUEST);
	}
	if (!a->text.n && !a->call_count)
		return model_failed(r, ERR_MODEL_EMPTY);
	return take_answer(r);
}

enum step_verdict step_retry(struct run *r)
{
	if (r->committing || loop_timer_is_running(r->pause))
		return STEP_WAIT;
	r->step = STEP_ASK;
	return STEP_MORE;
}
