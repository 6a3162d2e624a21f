/* SPDX-License-Identifier: Apache-2.0
 * From the order to the supervisor's word. */
#include "edge/placing.h"

#include "common/clock.h"
#include "edge/limits.h"
#include "edge/lookup.h"
#include "edge/reply.h"

/* ---- agent and session */

static enum placing_outcome not_found(enum cache_verdict v)
{
	return v == CACHE_WAIT ? PLACING_WAIT : PLACING_ANSWERED;
}

static enum placing_outcome find_session(struct call *c, struct placing *p)
{
	enum cache_verdict v = lookup_session(c, p->found.id, p->session_key,
					      p->order.user, &p->session, &p->slot);
	if (!lookup_found(c, v, NULL,
			  "the agent is gone, or its session of that key is another "
			  "user's"))
		return not_found(v);
	if (uuid_is_nil(p->goes_on) || uuid_eq(p->goes_on, p->session.id))
		return PLACING_DONE;
	reply_err(c->request, ERR_NOT_FOUND, NULL,
		  "the session to go on with was deleted meanwhile", 0);
	return PLACING_ANSWERED;
}

static enum placing_outcome find_agent(struct call *c, struct placing *p)
{
	if (!call_user(c, &p->order.user))
		return PLACING_ANSWERED;
	enum limits_verdict may = limits_place(c);
	if (may != LIMITS_PASS)
		return may == LIMITS_WAIT ? PLACING_WAIT : PLACING_ANSWERED;
	enum cache_verdict v = lookup_agent(c, p->agent, &p->found);
	if (!lookup_found(c, v, NULL, "there is no such agent"))
		return not_found(v);
	p->session_key = p->order.session_key;
	if (!p->session_key.p)
		p->session_key = slice_str(
			arena_printf(c->request->arena, "agent:%s:main", p->found.name));
	p->stage = PLACING_SESSION;
	return PLACING_DONE;
}

/* ---- to the supervisor */

/* Message, session, agent: the first that says one. */
static unsigned mode_in_force(const struct placing *p)
{
	if (p->order.mode)
		return p->order.mode;
	if (p->session.mode)
		return p->session.mode;
	return p->found.mode ? p->found.mode : MODE_STEER;
}

/* A message to be collected waits for its like. */
static int64_t delay_ms(const struct placing *p)
{
	int64_t debounce = p->mode == MODE_COLLECT ? p->found.debounce_ms : 0;
	return p->order.delay_ms > debounce ? p->order.delay_ms : debounce;
}

static struct wire_enqueue compose(struct call *c, struct placing *p)
{
	const struct order *o = &p->order;
	int64_t now = clock_real_us(), delay = delay_ms(p);
	return (struct wire_enqueue){
		.req = c->handle,
		.tenant = c->caller.tenant,
		.run = p->own,
		.session = p->session.id,
		.agent = p->found.id,
		.slot = p->slot,
		.mode = p->mode,
		.priority = o->priority,
		.run_at_us = delay ? now + delay * 1000 : 0,
		.deadline_us = o->deadline_ms ? now + o->deadline_ms * 1000 : 0,
		.tenant_max_running = c->caller.max_running,
		.tenant_max_queued = c->caller.max_queued,
		.tenant_weight = c->caller.weight,
		.agent_max_running = p->found.max_running,
		.lane_cap = p->found.lane_cap,
		.drop = p->found.drop,
		.user = o->user,
		.idem_key = p->idem_key,
		.body_hash = p->idem_key.n ? slice_of(p->hash, 32) : SLICE_NONE,
		.body = o->content,
	};
}

static void enqueued(struct call *c, const struct wire_enqueued *m)
{
	struct placing *p = c->placing;
	struct arena *a = c->request->arena;
	if (p->stage != PLACING_SENT || !c->at_supervisor)
		return;
	c->at_supervisor = false;
	p->answered = true;
	p->repeated = m->repeated;
	p->error = m->error.n ? err_from_code(arena_slice(a, m->error).p) : ERR_OK;
	p->message = m->message.n ? arena_slice(a, m->message).p : NULL;
	p->retry_after_s = m->retry_after_s;
	p->run = m->run;
	p->accepted_us = m->accepted_us;
	p->position = m->position;
	p->status = run_state_word(m->state);
	call_wake(c);
}

static enum placing_outcome send_order(struct call *c, struct placing *p)
{
	p->own = p->run = uuid7_new();
	p->answered = false;
	p->mode = mode_in_force(p);
	if (p->idem_key.n)
		order_hash(&p->order, p->found.id, p->session_key, p->hash);
	struct wire_enqueue m = compose(c, p);
	if (p->sink) {
		struct sse_place start = {0};
		follow_new(c, p->own, &start, p->sink);
		m.sub = follow_expect(c->follow);
	}
	c->placing = p;
	c->on_enqueued = enqueued;
	p->stage = PLACING_SENT;
	if (!link_enqueue(c->edge, &m)) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
		return PLACING_ANSWERED;
	}
	c->at_supervisor = true;
	if (p->cancels)
		follow_cancels(c->follow);
	return PLACING_WAIT;
}

/* ---- its answer */

/* The cached session was deleted meanwhile: its key may open a new one, once. */
static bool tries_again(struct call *c, struct placing *p)
{
	if (p->error != ERR_NOT_FOUND || p->retried || !uuid_is_nil(p->goes_on))
		return false;
	p->retried = true;
	lookup_forget_session(c, p->found.id, p->session_key);
	p->stage = PLACING_SESSION;
	return true;
}

static enum placing_outcome done(struct placing *p)
{
	p->stage = PLACING_DONE_STAGE;
	return PLACING_DONE;
}

static enum placing_outcome take_answer(struct call *c, struct placing *p)
{
	if (!p->answered)
		return PLACING_WAIT;
	if (p->error && tries_again(c, p)) {
		call_wake(c);
		return PLACING_WAIT;
	}
	if (p->error) {
		reply_err(c->request, p->error,
			  p->error == ERR_IDEMPOTENCY ? "Idempotency-Key" : NULL,
			  p->message, p->retry_after_s);
		return PLACING_ANSWERED;
	}
	if (p->sink && !p->repeated) {
		follow_accept(c->follow);
		return done(p);
	}
	if (p->sink) {
		follow_other(c->follow, p->run);
		return done(p);
	}
	if (!p->repeated)
		return done(p);
	/* The supervisor knows a repeated key's run while it lives, Postgres always. */
	p->stage = PLACING_FIRST;
	store_get_run(c, p->run, &p->first);
	return PLACING_WAIT;
}

static enum placing_outcome take_first(struct call *c, struct placing *p)
{
	const struct run_row *row = &p->first;
	if (c->asking)
		return PLACING_WAIT;
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return PLACING_ANSWERED;
	}
	if (row->found) {
		p->status = row->cancelling ? "cancelling" : row->state.p;
		p->accepted_us = row->accepted_us;
		p->position = row->ended ? 0 : (unsigned)row->position;
	}
	return done(p);
}

enum placing_outcome placing_step(struct call *c, struct placing *p)
{
	enum placing_outcome way = PLACING_DONE;
	if (c->edge->draining && p->stage < PLACING_SENT) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return PLACING_ANSWERED;
	}
	if (p->stage == PLACING_AGENT)
		way = find_agent(c, p);
	if (p->stage == PLACING_SESSION && way == PLACING_DONE) {
		way = find_session(c, p);
		return way == PLACING_DONE ? send_order(c, p) : way;
	}
	if (p->stage == PLACING_SENT)
		return take_answer(c, p);
	return p->stage == PLACING_FIRST ? take_first(c, p) : way;
}
