/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/agents/{agent}/ui and /v1/ui: a message, a repetition of the last answer, or
 * what a person says to what a run asks; and the run from there on. */
#include "edge/decide.h"
#include "edge/default_agent.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/reply.h"
#include "edge/uistream/ui_call.h"

enum stage {
	UI_START,
	UI_PLACING,
	UI_AGENT, /* of decisions: whose session is it? */
	UI_SESSION,
	UI_READ, /* one decision after the other */
	UI_SENT,
	UI_FOLLOWS
};

static struct slice agent_of(const struct call *c)
{
	struct slice named = c->match.params[0];
	return named.n ? named : default_agent(SLICE_NONE);
}

static bool read_key(struct call *c, struct slice *key)
{
	struct order_fault fault;
	*key = http_field(&c->request->head, "idempotency-key");
	return !key->p || order_check_key(*key, &fault) ||
	       reply_wrong(c->request, "Idempotency-Key",
			   arena_strdup(c->request->arena, fault.message));
}

static bool begin(struct call *c)
{
	struct request *r = c->request;
	struct ui_call *x = arena_zalloc(r->arena, sizeof *x);
	struct order_fault fault;
	struct slice key;
	c->state = x;
	if (!read_key(c, &key))
		return false;
	if (!ui_input_read(strbuf_slice(&r->body), r->arena, &x->input, &fault)) {
		reply_err(r, ERR_BAD_REQUEST,
			  fault.param[0] ? arena_strdup(r->arena, fault.param) : NULL,
			  arena_strdup(r->arena, fault.message), 0);
		return false;
	}
	strbuf_fini(&r->body);
	if (!call_may_wait(c))
		return false;
	if (x->input.decision_count) {
		c->stage = UI_AGENT;
		return true;
	}
	x->placing = (struct placing){.order = x->input.order,
				      .idem_key = key,
				      .agent = agent_of(c),
				      .sink = &ui_sink,
				      .cancels = x->input.cancels};
	ui_call_prepare(c);
	c->stage = UI_PLACING;
	return true;
}

/* ---- decisions */

static void find_session(struct call *c, struct ui_call *x)
{
	if (!lookup_found(c, lookup_agent(c, agent_of(c), &x->agent), NULL,
			  "there is no such agent"))
		return;
	c->stage = UI_SESSION;
	store_find_session(c, x->agent.id, x->input.order.session_key, &x->session);
}

static void read_approval(struct call *c, struct ui_call *x)
{
	c->stage = UI_READ;
	store_get_approval(c, x->input.decisions[x->at].approval, &x->approval);
}

/* One of another chat is as one that there is not. */
static bool is_ours(const struct ui_call *x)
{
	return x->approval.found && !uuid_is_nil(x->session) &&
	       uuid_eq(x->approval.session, x->session);
}

static void decide(struct call *c, struct ui_call *x)
{
	const struct ui_decision *d = &x->input.decisions[x->at];
	char by[CALL_ACTOR];
	call_actor(c, by);
	struct wire_decide m = {.req = c->handle,
				.tenant = c->caller.tenant,
				.run = x->approval.run,
				.session = x->approval.session,
				.approval = d->approval,
				.decision =
					d->approved ? DECISION_APPROVE : DECISION_DENY,
				.message = d->reason.p ? d->reason : SLICE(""),
				.by = slice_str(by)};
	x->question = (struct question){0};
	x->run = x->approval.run;
	c->stage = UI_SENT;
	c->on_decided = decide_answered;
	question_asked(c, link_decide(c->edge, &m));
}

/* That it was answered otherwise meanwhile is seen in the stream. */
static void decided(struct call *c, struct ui_call *x)
{
	struct question *q = &x->question;
	if (!q->known) {
		if (q->silent)
			reply_err(c->request, ERR_UNAVAILABLE, NULL,
				  "the queue does not answer: whether this was stored is "
				  "not known, ask again",
				  1);
		return;
	}
	if (q->error && q->error != ERR_CONFLICT) {
		reply_err(c->request, q->error, NULL, q->message, 0);
		return;
	}
	loop_timer_free(q->patience);
	q->patience = NULL;
	if (++x->at < x->input.decision_count) {
		read_approval(c, x);
		return;
	}
	c->stage = UI_FOLLOWS;
	ui_call_follow(c, x->run);
}

static void answers(struct call *c, struct ui_call *x)
{
	if (c->asking)
		return;
	if (c->stage == UI_AGENT)
		find_session(c, x);
	else if (c->stage == UI_SENT)
		decided(c, x);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (c->stage == UI_SESSION)
		read_approval(c, x);
	else if (!is_ours(x))
		reply_err(c->request, ERR_NOT_FOUND, "messages",
			  "there is no such approval in this chat", 0);
	else if (!decide_may(c, &x->approval))
		reply_err(c->request, ERR_FORBIDDEN, "messages", DECIDE_MAY_NOT, 0);
	else
		decide(c, x);
}

void ui_post(struct call *c)
{
	if (c->stage == UI_START && !begin(c))
		return;
	if (c->stage == UI_FOLLOWS)
		ui_call_step(c);
	else if (c->stage != UI_PLACING)
		answers(c, c->state);
	else if (placing_step(c, &((struct ui_call *)c->state)->placing) == PLACING_DONE)
		c->stage = UI_FOLLOWS;
}
