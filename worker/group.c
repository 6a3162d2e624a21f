/* SPDX-License-Identifier: Apache-2.0
 * Judging calls, and marking the next group. */
#include "worker/group.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "worker/commit.h"
#include "worker/run.h"
#include "worker/tools/args.h"
#include "worker/tools/registry.h"

#define ARGUMENTS_MOST (1u << 20)
#define NAME_MOST 128

static void free_doc(void *d)
{
	json_free(d);
}

static void refuse(struct run_call *c, enum err e, const char *text)
{
	c->refused = e;
	c->refusal = text;
}

/* What a person denied stays denied, whatever the policy says by now. */
static void take_answer(struct run *r, struct run_call *c)
{
	if (c->answer == ANSWER_EXPIRED)
		refuse(c, ERR_TOOL_DENIED,
		       arena_printf(r->arena,
				    "'%s' was not run: nobody allowed it in time",
				    c->tool->name));
	else if (c->answer == ANSWER_DENIED && c->denial.n)
		refuse(c, ERR_TOOL_DENIED,
		       arena_printf(r->arena, "'%s' was not run, it was denied: %.*s",
				    c->tool->name, SLICE_ARG(c->denial)));
	else if (c->answer == ANSWER_DENIED)
		refuse(c, ERR_TOOL_DENIED,
		       arena_printf(r->arena, "'%s' was not run: it was denied",
				    c->tool->name));
}

/* Of a policy that asks since the answer was committed the next call of the tool asks. */
static void ask(struct run *r, struct run_call *c, const struct policy_reason *why)
{
	if (c->may_ask) {
		c->asks = true;
		c->ask_rule = arena_strdup(r->arena, why->rule);
		c->approval = uuid7_new();
		return;
	}
	refuse(c, ERR_TOOL_DENIED,
	       arena_printf(r->arena,
			    "'%s' was not run: a person has to allow it since a moment "
			    "ago (%s); call it again, then it is asked for",
			    c->tool->name, why->rule));
}

void group_permit(struct run *r, struct run_call *c)
{
	struct policy_reason why;
	c->asks = false;
	c->policy_version = permit_version(r, tool_index(c->tool));
	switch (permit_judge(r, tool_index(c->tool), &why)) {
	case POLICY_DENY:
		if (!strcmp(why.layer, "revision"))
			refuse(c, ERR_TOOL_UNKNOWN,
			       arena_printf(r->arena,
					    "there is no tool '%s' for this agent",
					    c->tool->name));
		else
			refuse(c, ERR_TOOL_DENIED,
			       arena_printf(r->arena, "'%s' is not allowed: %s",
					    c->tool->name, why.rule));
		break;
	case POLICY_ASK:
		take_answer(r, c);
		if (c->answer == NOT_ASKED)
			ask(r, c, &why);
		break;
	case POLICY_ALLOW:
		take_answer(r, c);
	}
}

void group_check(struct run *r, struct run_call *c)
{
	char why[320];
	struct json_doc *schema;
	if (c->refusal || c->client)
		return;
	if (!c->tool && client_tools_have(&r->asking.client, c->name)) {
		refuse(c, ERR_TOOL_ARGUMENTS, "the arguments must be a JSON object");
		return;
	}
	if (!c->tool) {
		refuse(c, ERR_TOOL_UNKNOWN,
		       arena_printf(r->arena, "there is no tool '%.*s' for this agent",
				    SLICE_ARG(c->name)));
		return;
	}
	group_permit(r, c);
	if (c->refusal)
		return;
	if (!c->args) {
		c->args = json_parse_unique(c->input, ARGUMENTS_MOST, why, sizeof why);
		if (c->args)
			arena_cleanup(r->arena, free_doc, c->args);
	}
	if (!c->args) {
		refuse(c, ERR_TOOL_ARGUMENTS,
		       arena_printf(r->arena, "the arguments are not JSON: %s", why));
		return;
	}
	schema = json_parse(slice_str(c->tool->schema), ARGUMENTS_MOST, NULL, 0);
	if (args_check(json_root(schema), json_root(c->args), why, sizeof why))
		refuse(c, ERR_TOOL_ARGUMENTS, arena_strdup(r->arena, why));
	json_free(schema);
}

/* As it was read, not as it was written: Postgres refuses some numbers that JSON allows
 * (1e-20000). And as Postgres will give it back, so that the next question is the same
 * whether the transcript was kept here or read. What is not a JSON object is kept as
 * text, so that the transcript can say what was asked. */
static struct slice input_of(struct run *r, struct run_call *c, struct slice arguments)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char why[160];
	struct json_out o = json_out(&b);
	arguments = slice_trim(arguments);
	if (!arguments.n)
		arguments = SLICE("{}");
	c->args = json_parse_unique(arguments, ARGUMENTS_MOST, why, sizeof why);
	if (c->args)
		arena_cleanup(r->arena, free_doc, c->args);
	if (c->args && json_kind(json_root(c->args)) == JSON_OBJECT) {
		json_print_ordered(&b, json_root(c->args));
		return arena_slice(r->arena, strbuf_slice(&b));
	}
	refuse(c, ERR_TOOL_ARGUMENTS,
	       c->args ? "the arguments must be a JSON object"
		       : arena_printf(r->arena, "the arguments are not JSON: %s", why));
	json_obj(&o);
	json_kv_str(&o, "_raw", arguments);
	json_obj_end(&o);
	return arena_slice(r->arena, strbuf_slice(&b));
}

/* Model text becomes column text: valid UTF-8 without U+0000. */
static struct slice clean(struct run *r, struct slice s, size_t most)
{
	if (s.n > most)
		s.n = most;
	while (s.n && (!slice_is_utf8(s) || memchr(s.p, 0, s.n)))
		s.n--;
	return arena_slice(r->arena, s);
}

/* The model may have missed that it was warned. */
static void block_circle(struct run *r, struct run_call *c)
{
	if (c->refusal || loop_guard_repeats(&r->loops, c->hash) < LOOP_BLOCK)
		return;
	c->blocked = true;
	refuse(c, ERR_TOOL_LOOP,
	       arena_printf(r->arena,
			    "'%.*s' was not run: the same call had the same result %d "
			    "times; do something else, or say what stands in the way",
			    SLICE_ARG(c->name), LOOP_BLOCK));
}

bool group_goes_in_circles(const struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (loop_guard_repeats(&r->loops, r->calls[i].hash) >= LOOP_END)
			return true;
	return false;
}

/* Some servers begin to count anew with each answer. What only looks like the id, in a
 * text, costs no more than a new one. */
static bool is_in_history(struct run *r, struct slice id)
{
	const struct session *s = r->session;
	struct slice quoted =
		slice_str(arena_printf(r->arena, "\"%.*s\"", SLICE_ARG(id)));
	for (size_t i = 0; i < s->count; i++) {
		const struct llm_message *m = &s->messages[i]->llm;
		if (m->role == LLM_ASSISTANT && slice_find(m->content, quoted) >= 0)
			return true;
	}
	return false;
}

/* The id the model gave, when it gave one and to this call alone; else one that no other
 * call of the session has: some providers refuse a transcript with two of a kind. */
static struct slice id_of(struct run *r, size_t call, struct slice given)
{
	const uint8_t *u = r->id.b + sizeof r->id.b - 4;
	bool taken = !given.n || is_in_history(r, given);
	for (size_t i = 0; i < call; i++)
		taken |= slice_eq(r->calls[i].id, given);
	if (!taken)
		return given;
	return slice_str(arena_printf(r->arena, "call_%02x%02x%02x%02x_%d_%zu", u[0],
				      u[1], u[2], u[3], r->step_no, call));
}

void group_prepare(struct run *r)
{
	struct llm_answer *a = &r->answer;
	r->call_count = a->call_count;
	r->calls = arena_zalloc(r->arena, (a->call_count + 1) * sizeof *r->calls);
	for (size_t i = 0; i < a->call_count; i++) {
		struct llm_part *m = llm_call_at(a, i);
		struct run_call *c = &r->calls[i];
		c->attempt = 1;
		c->name = clean(r, strbuf_slice(&m->name), NAME_MOST);
		c->id = id_of(r, i, clean(r, strbuf_slice(&m->id), NAME_MOST));
		c->tool = tool_find(c->name);
		c->client = client_tools_have(&r->asking.client, c->name);
		if (r->calls_made >= permit_max_calls(r)) {
			refuse(c, ERR_TOOL_EXCESS, GROUP_EXCESS);
			c->policy_version = permit_max_calls_version(r);
		} else {
			r->calls_made++;
		}
		c->input = input_of(r, c, strbuf_slice(&m->arguments));
		c->hash = loop_call_hash(c->name, c->input);
		c->may_ask = true;
		block_circle(r, c);
		group_check(r, c);
		c->may_ask = false;
		c->asks &= !c->refusal;
		c->client &= !c->refusal; /* the runtime says why not */
	}
}

static bool is_done(const struct run_call *c)
{
	return c->settled || c->settling || c->unknown || c->client;
}

/* It may run beside others of its kind before its row stands. */
static bool is_light(const struct run_call *c)
{
	return is_done(c) || c->refusal || c->tool->effect == EFFECT_PURE;
}

static void start_from(struct run *r, size_t i)
{
	while (i < r->call_count && is_done(&r->calls[i]))
		i++;
	r->call_at = i;
	while (i < r->call_count && is_light(&r->calls[i]))
		i++;
	r->group_end = i < r->call_count ? i + 1 : i;
	for (i = r->call_at; i < r->group_end; i++)
		if (!is_done(&r->calls[i]))
			commit_call(r, i, "running");
}

void group_start(struct run *r)
{
	start_from(r, 0);
}

void group_next(struct run *r)
{
	start_from(r, r->group_end);
}

void group_first(struct run *r)
{
	group_start(r);
	for (size_t i = r->group_end; i < r->call_count; i++)
		if (!r->calls[i].client)
			commit_call(r, i, "pending");
}

bool group_asks(const struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (r->calls[i].asks)
			return true;
	return false;
}

void group_hold(struct run *r)
{
	r->call_at = r->group_end = 0;
	for (size_t i = 0; i < r->call_count; i++)
		if (!r->calls[i].client)
			commit_call(r, i, "pending");
}

void group_skip(struct run *r)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (r->calls[i].client && !r->calls[i].settled && !r->calls[i].settling)
			commit_void(r, i, "cancelled", GROUP_SKIPPED);
	for (size_t i = r->group_end; i < r->call_count; i++)
		if (is_done(&r->calls[i]))
			continue;
		else if (r->calls[i].answer > ANSWER_APPROVED && r->calls[i].refusal)
			commit_void(r, i, "error", r->calls[i].refusal);
		else
			commit_void(r, i, "cancelled", GROUP_SKIPPED);
	r->call_at = r->group_end = r->call_count;
}
