/* SPDX-License-Identifier: Apache-2.0
 * TOOLS and SETTLED: the calls of a group, and their commit. */
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/json.h"
#include "worker/client_results.h"
#include "worker/commit.h"
#include "worker/emit.h"
#include "worker/group.h"
#include "worker/load.h"
#include "worker/run.h"
#include "worker/tools/registry.h"

#define ATTEMPTS_MOST 5
#define PARALLEL_MOST 8 /* of one step: more would be one run's share of a launcher */

static struct slice kept_output(struct run_call *c)
{
	struct slice s = arena_slice(c->run->arena, strbuf_slice(&c->work.output));
	strbuf_reset(&c->work.output);
	return s;
}

static struct slice kept_image(struct run_call *c)
{
	struct slice s = arena_slice(c->run->arena, strbuf_slice(&c->work.image));
	strbuf_reset(&c->work.image);
	return s;
}

static void fini_output(void *output)
{
	strbuf_fini(output);
}

/* Its output is the arena's, however the call ends. */
static void ready(struct run *r, struct run_call *c)
{
	if (!c->run) {
		arena_cleanup(r->arena, fini_output, &c->work.output);
		arena_cleanup(r->arena, fini_output, &c->work.image);
	}
	c->run = r;
	c->image = SLICE_NONE;
	strbuf_reset(&c->work.output);
	strbuf_reset(&c->work.image);
}

static void refuse(struct run *r, struct run_call *c)
{
	ready(r, c);
	tool_error(&c->work, "%s", c->refusal);
	c->failed = true;
	c->output = kept_output(c);
	c->facts = (struct tool_facts){
		.bytes = c->output.n,
		.error_class = err_code(c->refused ? c->refused : ERR_TOOL_FAILED)};
}

static bool show_printed(struct tool_call *work, int stream, struct slice text,
			 uint64_t offset)
{
	return emit_printed(container_of(work, struct run_call, work), stream, text,
			    offset);
}

static void on_call_done(struct op *op, enum err result, void *arg)
{
	struct run_call *c = arg;
	(void)op;
	c->op_result = result;
	run_wake(c->run);
}

static void start_call(struct run *r, struct run_call *c)
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(r->id, id);
	ready(r, c);
	c->began_us = clock_mono_us();
	c->work.facts = (struct tool_facts){0};
	c->work.tool = c->tool;
	c->work.show = show_printed;
	c->work.env = &r->env;
	c->work.args = json_root(c->args);
	c->work.idem_key =
		arena_printf(r->arena, "%s:%d:%td", id, r->step_no, c - r->calls);
	c->work.op = &c->op;
	c->work.arena = r->arena;
	op_init(&c->op, r->worker->loop, on_call_done, c);
	tool_starter(c->tool)(&c->work);
}

/* Its launcher must know the workspace first; once a run. */
static bool waits_for_workspace(struct run *r, const struct run_call *c)
{
	return c->tool->place == PLACE_JAIL && run_waits_for_workspace(r);
}

/* The database went while the call was under way. A call that may be repeated is. */
static bool repeats(const struct run *r, const struct run_call *c)
{
	return c->op_result == ERR_DATABASE && !r->failure &&
	       c->tool->effect != EFFECT_ONCE && c->attempt < ATTEMPTS_MOST;
}

static void finish_call(struct run *r, struct run_call *c)
{
	if (repeats(r, c)) {
		c->attempt++;
		c->began_us = 0;
		return;
	}
	if (c->work.output.n > c->tool->output_most)
		tool_error(&c->work,
			   "the output has %zu bytes, more than the %zu allowed",
			   c->work.output.n, c->tool->output_most);
	else if (c->work.output.n == 0)
		tool_error(&c->work, "%s", err_text(c->op_result));
	c->failed = c->op_result != ERR_OK;
	c->output = kept_output(c);
	c->image = c->failed ? SLICE_NONE : kept_image(c);
	c->facts = c->work.facts;
	c->facts.duration_us = clock_mono_us() - c->began_us;
	if (!c->facts.bytes)
		c->facts.bytes = c->output.n;
	if (c->failed && !c->facts.error_class)
		c->facts.error_class = err_code(c->op_result);
}

/* The run was cancelled, and the call stopped for it: it has no result. */
static bool is_cut_short(const struct run *r, const struct run_call *c)
{
	return r->failure == ERR_CANCELLED && c->op_result == ERR_CANCELLED;
}

/* Another policy stands: what has not begun is judged anew, and of what had no effect but
 * its answer the model never sees it. */
static void judge_again(struct run *r)
{
	for (size_t i = r->call_at; i < r->call_count; i++) {
		struct run_call *c = &r->calls[i];
		bool has_effect =
			c->began_us && c->tool && c->tool->effect != EFFECT_PURE;
		if (c->settled || c->unknown || c->refusal || !c->tool || has_effect)
			continue;
		group_permit(r, c);
		if (c->refusal && c->output.p)
			refuse(r, c);
	}
}

/* True: the policy has to be read again first. */
static bool reads_policy(struct run *r)
{
	if (!r->permit_is_old)
		return false;
	if (!r->loading && !loop_timer_is_running(r->pause))
		load_permit(r);
	return true;
}

static enum step_verdict commit_group(struct run *r, size_t from)
{
	if (r->committing || reads_policy(r))
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED) {
		return run_fail(r, ERR_INTERNAL, NULL);
	}
	commit_begin(r);
	for (size_t i = from; i < r->group_end; i++)
		if (!r->calls[i].settled && !r->calls[i].unknown && !r->calls[i].client)
			commit_call(r, i, r->calls[i].failed ? "error" : "completed");
	if (r->take & TAKE_STEER)
		group_skip(r);
	if (r->group_end < r->call_count && !r->yielding)
		group_next(r);
	else
		r->call_at = r->group_end; /* none, or none that starts here */
	if (r->group_end == r->call_count && r->call_at == r->group_end)
		commit_take(r);
	commit_submit(r);
	r->step = STEP_SETTLED;
	return STEP_MORE;
}

/* What has ended since the last look. A pure call that nobody may make any more ends
 * with that: see judge_again. */
static void finish_calls(struct run *r)
{
	for (size_t i = r->call_at; i < r->group_end; i++) {
		struct run_call *c = &r->calls[i];
		if (!c->began_us || c->output.p || op_is_active(&c->op) ||
		    is_cut_short(r, c))
			continue;
		finish_call(r, c);
		if (c->refusal && c->output.p)
			refuse(r, c);
	}
}

/* How many of the group are being made. */
static unsigned active(const struct run *r)
{
	unsigned n = 0;
	for (size_t i = r->call_at; i < r->group_end; i++)
		n += op_is_active(&r->calls[i].op);
	return n;
}

/* STEP_MORE: it has begun, or needs not; STEP_WAIT: not yet; STEP_DONE: it must not, its
 * row was refused. */
static enum step_verdict begin_call(struct run *r, struct run_call *c)
{
	bool is_pure = c->tool->effect == EFFECT_PURE;
	/* What has an effect is made alone, behind those that have none. */
	if (active(r) >= (is_pure ? PARALLEL_MOST : 1))
		return STEP_WAIT;
	if (!is_pure && r->committing)
		return STEP_WAIT; /* its row must say `running` first */
	if (!is_pure && r->outcome == COMMIT_REFUSED)
		return STEP_DONE;
	if (reads_policy(r) || waits_for_workspace(r, c))
		return STEP_WAIT;
	if (c->tool->place == PLACE_JAIL && !r->env.workspace)
		c->refusal = r->workspace_error;
	if (c->refusal)
		refuse(r, c);
	else
		start_call(r, c);
	return STEP_MORE;
}

enum step_verdict step_tools(struct run *r)
{
	if (r->loading)
		return STEP_WAIT;
	if (r->judges_again && !r->permit_is_old) {
		r->judges_again = false;
		judge_again(r);
	}
	finish_calls(r);
	if (r->failure) /* what has been made keeps its result */
		return active(r) ? STEP_WAIT : run_fail(r, r->failure, NULL);
	for (size_t i = r->call_at; i < r->group_end; i++) {
		struct run_call *c = &r->calls[i];
		if (c->settled || c->unknown || c->client || c->output.p ||
		    op_is_active(&c->op))
			continue;
		if (c->refusal) {
			refuse(r, c);
			continue;
		}
		enum step_verdict v = begin_call(r, c);
		if (v == STEP_WAIT)
			return STEP_WAIT;
		if (v == STEP_DONE)
			return commit_group(r, r->call_at);
		finish_calls(r); /* it may have ended at once, or have to be repeated */
		i -= !c->output.p && !op_is_active(&c->op);
	}
	return active(r) ? STEP_WAIT : commit_group(r, r->call_at);
}

/* What is left of the answer is the client's to do; a message that came meanwhile goes
 * before it. */
static enum step_verdict hand_over(struct run *r)
{
	commit_begin(r);
	if (r->take) {
		group_skip(r);
		commit_take(r);
	} else {
		commit_hand_over(r);
		r->step = STEP_ENDING;
	}
	commit_submit(r);
	return STEP_MORE;
}

enum step_verdict step_settled(struct run *r)
{
	if (r->committing)
		return STEP_WAIT;
	if (r->outcome == COMMIT_REFUSED)
		return run_fail(r, ERR_INTERNAL,
				"the result of a tool could not be stored");
	if (r->call_at == r->call_count && client_calls_are_open(r))
		return hand_over(r);
	r->step = r->call_at < r->call_count ? STEP_TOOLS : STEP_ASK;
	return STEP_MORE;
}
