/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/agents/{agent}/ui/{chat}/stream and /v1/ui/{chat}/stream: the run that is under
 * way in a chat, from its first event on; 204 when there is none. */
#include <string.h>

#include "edge/default_agent.h"
#include "edge/lookup.h"
#include "edge/reply.h"
#include "edge/uistream/ui_call.h"

enum stage { RESUME_START, RESUME_AGENT, RESUME_SESSION, RESUME_RUNS, RESUME_FOLLOWS };

/* A run that went into an older one, or several, may stand before it. */
#define RUNS 8

/* Two parameters: the agent is the first. */
static struct slice agent_of(const struct call *c)
{
	return c->match.params[1].p ? c->match.params[0] : default_agent(SLICE_NONE);
}

static struct slice chat_of(const struct call *c)
{
	return c->match.params[1].p ? c->match.params[1] : c->match.params[0];
}

static void nothing(struct call *c)
{
	reply_head(c->request, 204);
	reply_empty(c->request);
}

static bool begin(struct call *c)
{
	struct ui_call *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	x->input.order.session_key = ui_session_key(chat_of(c), c->request->arena);
	if (!x->input.order.session_key.p) {
		nothing(c);
		return false;
	}
	c->stage = RESUME_AGENT;
	return true;
}

static void find_session(struct call *c, struct ui_call *x)
{
	if (!lookup_found(c, lookup_agent(c, agent_of(c), &x->agent), NULL,
			  "there is no such agent"))
		return;
	c->stage = RESUME_SESSION;
	store_find_session(c, x->agent.id, x->input.order.session_key, &x->session);
}

static void find_run(struct call *c, struct ui_call *x)
{
	struct run_filter f = {
		.page = {.session = x->session, .agent = x->agent.id, .limit = RUNS}};
	memset(f.page.before.b, 0xff, sizeof f.page.before.b);
	c->stage = RESUME_RUNS;
	store_list_runs(c, &f, &x->page);
}

static void take_run(struct call *c, struct ui_call *x)
{
	unsigned i = 0;
	while (i < x->page.count && x->page.rows[i].run.ended)
		i++;
	if (i == x->page.count) {
		nothing(c);
	} else if (call_may_wait(c)) {
		c->stage = RESUME_FOLLOWS;
		ui_call_follow(c, x->page.rows[i].id);
	}
}

void ui_resume(struct call *c)
{
	struct ui_call *x = c->state;
	if (c->stage == RESUME_FOLLOWS) {
		ui_call_step(c);
		return;
	}
	if (c->asking || (c->stage == RESUME_START && !begin(c)))
		return;
	x = c->state;
	if (c->stage == RESUME_AGENT)
		find_session(c, x);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (c->stage == RESUME_SESSION && uuid_is_nil(x->session))
		nothing(c);
	else if (c->stage == RESUME_SESSION)
		find_run(c, x);
	else
		take_run(c, x);
}
