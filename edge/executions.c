/* SPDX-License-Identifier: Apache-2.0
 * What tools were called with and what they gave: GET /v1/tools/executions, the newest
 * first, and one of them, whole. */
#include "edge/ask.h"
#include "edge/paging.h"
#include "edge/place.h"
#include "edge/reply.h"

#define TOOL_MOST 100

enum stage { EXECUTIONS_START, EXECUTIONS_AGENT, EXECUTIONS_SENT };

struct listing {
	struct paging paging;
	struct page_filter page; /* without its `before` */
	struct place before;
	struct uuid run;
	struct slice tool, state;
	struct ask_answer answer;
};

/* ---- the query */

static bool take_before(struct call *c, struct slice v)
{
	return place_parse(v, &((struct listing *)c->state)->before) ||
	       reply_wrong(c->request, "before",
			   "before must be an id of this list, such as a page's next");
}

static bool take_run(struct call *c, struct slice v)
{
	return uuid_parse(v, &((struct listing *)c->state)->run) ||
	       reply_wrong(c->request, "run", "run must be a run's id");
}

static bool take_tool(struct call *c, struct slice v)
{
	((struct listing *)c->state)->tool = v;
	return (v.n && v.n <= TOOL_MOST && slice_is_utf8(v) && !slice_has_control(v)) ||
	       reply_wrong(c->request, "tool",
			   "tool must be a tool's name, 1 to 100 bytes");
}

static bool take_state(struct call *c, struct slice v)
{
	static const char *const words[] = {"pending", "running",   "completed",
					    "error",   "cancelled", "unknown"};
	((struct listing *)c->state)->state = v;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(v, words[i]))
			return true;
	return reply_wrong(c->request, "state",
			   "state must be pending, running, completed, error, cancelled "
			   "or unknown");
}

static const struct query_param params[] = {
	{"session", paging_session}, {"agent", paging_agent}, {"limit", paging_limit},
	{"before", take_before},     {"run", take_run},       {"tool", take_tool},
	{"state", take_state}};

/* ---- the list */

static void send(struct call *c, struct listing *l)
{
	if (!paging_is_complete(c))
		return;
	struct ask_value v[] = {ask_id(l->before.run),      ask_number(l->before.step),
				ask_number(l->before.call), ask_id(l->page.agent),
				ask_id(l->page.session),    ask_id(l->run),
				ask_text(l->tool),          ask_text(l->state),
				ask_number(l->page.limit),  ask_number(PAGE_WINDOW)};
	c->stage = EXECUTIONS_SENT;
	ask_read(c, SQL_EXECUTION_LIST, v, ARRAY_LEN(v), &l->answer);
}

void execution_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == EXECUTIONS_START) {
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		l->before = place_newest();
		if (!paging_read(c, &l->page, params, ARRAY_LEN(params)))
			return;
		c->stage = EXECUTIONS_AGENT;
	}
	if (c->stage == EXECUTIONS_AGENT)
		send(c, l);
	else if (ask_found(c, &l->answer, ""))
		ask_reply(c, &l->answer);
}

/* ---- one */

void execution_get(struct call *c)
{
	struct ask_answer *answer = c->state;
	struct place p;
	if (c->asking)
		return;
	if (c->stage == EXECUTIONS_SENT) {
		if (ask_found(c, answer, "there is no such tool execution"))
			ask_reply(c, answer);
		return;
	}
	if (!place_parse(c->match.params[0], &p)) {
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  "there is no such tool execution", 0);
		return;
	}
	c->state = answer = arena_zalloc(c->request->arena, sizeof *answer);
	struct ask_value v[] = {ask_id(p.run), ask_number(p.step), ask_number(p.call)};
	c->stage = EXECUTIONS_SENT;
	ask_read(c, SQL_EXECUTION_GET, v, ARRAY_LEN(v), answer);
}
