/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/agents/{agent}/runs: from the order to the supervisor's word that it is
 * durable. Once token, agent and session are known here, Postgres is not asked. */
#include "common/clock.h"
#include "common/json.h"
#include "edge/call.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/order.h"
#include "edge/post.h"
#include "edge/reply.h"
#include "edge/store.h"
#include "edge/stream.h"

enum stage {
	POST_ORDER,
	POST_AGENT,
	POST_SESSION,
	POST_SENT,
	POST_FIRST, /* a repeated key: how its run is doing */
	POST_STREAM
};

struct post {
	struct order order;
	struct slice idem_key, session_key;
	uint8_t hash[32];
	struct agent_row agent;
	struct session_row session;
	unsigned slot;
	unsigned mode; /* enum run_mode, the one in force */
	bool retried;  /* the session was opened anew once */
	struct uuid run;
	struct post_answer {
		bool known, repeated;
		enum err error;
		const char *message;
		unsigned retry_after_s, position;
		const char *status;
		struct uuid run;
		int64_t accepted_us;
	} answer;
	struct run_row first; /* of a repeated key: its run */
};

static struct post *post_of(struct call *c)
{
	return c->state;
}

/* ---- the order */

static bool read_order(struct call *c)
{
	struct request *r = c->request;
	struct post *p = arena_zalloc(r->arena, sizeof *p);
	struct order_fault fault;
	struct slice key = http_field(&r->head, "idempotency-key");
	c->state = p;
	bool fine = (!key.p || order_check_key(key, &fault)) &&
		    order_parse(strbuf_slice(&r->body), r->arena, &p->order, &fault);
	if (!fine) {
		reply_err(r, ERR_BAD_REQUEST, fault.param[0] ? fault.param : NULL,
			  fault.message, 0);
		return false;
	}
	strbuf_fini(&r->body);
	p->idem_key = key;
	c->stage = POST_AGENT;
	return true;
}

/* ---- agent and session */

static bool find_agent(struct call *c)
{
	struct post *p = post_of(c);
	if (!lookup_agent_of_path(c, &p->agent))
		return false;
	p->session_key = p->order.session_key;
	if (!p->session_key.p)
		p->session_key = slice_str(
			arena_printf(c->request->arena, "agent:%s:main", p->agent.name));
	c->stage = POST_SESSION;
	return true;
}

static bool find_session(struct call *c)
{
	struct post *p = post_of(c);
	return lookup_found(c,
			    lookup_session(c, p->agent.id, p->session_key, p->order.user,
					   &p->session, &p->slot),
			    NULL, "there is no such agent");
}

/* ---- to the supervisor */

static void add_fields(struct call *c)
{
	const struct post *p = post_of(c);
	char location[9 + UUID_TEXT_LEN + 1] = "/v1/runs/";
	uuid_format(p->answer.run, location + 9);
	reply_field(c->request, "location", slice_str(location));
	reply_field(c->request, "x-run-id", slice_str(location + 9));
	if (p->answer.repeated)
		reply_field(c->request, "idempotent-replayed", SLICE("true"));
}

/* Message, session, agent: the first that says one. */
static unsigned mode_in_force(const struct post *p)
{
	if (p->order.mode)
		return p->order.mode;
	if (p->session.mode)
		return p->session.mode;
	return p->agent.mode ? p->agent.mode : MODE_STEER;
}

/* A message to be collected waits for its like. */
static int64_t delay_ms(const struct post *p)
{
	int64_t debounce = p->mode == MODE_COLLECT ? p->agent.debounce_ms : 0;
	return p->order.delay_ms > debounce ? p->order.delay_ms : debounce;
}

static struct wire_enqueue compose(struct call *c, struct post *p)
{
	const struct order *o = &p->order;
	int64_t now = clock_real_us(), delay = delay_ms(p);
	return (struct wire_enqueue){
		.req = c->handle,
		.tenant = c->caller.tenant,
		.run = p->run,
		.session = p->session.id,
		.agent = p->agent.id,
		.slot = p->slot,
		.mode = p->mode,
		.priority = o->priority,
		.run_at_us = delay ? now + delay * 1000 : 0,
		.deadline_us = o->deadline_ms ? now + o->deadline_ms * 1000 : 0,
		.tenant_max_running = c->caller.max_running,
		.tenant_max_queued = c->caller.max_queued,
		.tenant_weight = c->caller.weight,
		.agent_max_running = p->agent.max_running,
		.lane_cap = p->agent.lane_cap,
		.drop = p->agent.drop,
		.user = o->user,
		.idem_key = p->idem_key,
		.body_hash = p->idem_key.n ? slice_of(p->hash, 32) : SLICE_NONE,
		.body = o->content,
	};
}

static void send_order(struct call *c)
{
	struct post *p = post_of(c);
	p->run = uuid7_new();
	p->answer = (struct post_answer){.run = p->run};
	p->mode = mode_in_force(p);
	if (p->idem_key.n)
		order_hash(&p->order, p->agent.id, p->session_key, p->hash);
	struct wire_enqueue m = compose(c, p);
	if (p->order.stream) {
		if (!c->counted && !call_may_wait(c))
			return;
		struct sse_place start = {0};
		stream_new(c, p->run, &start, add_fields);
		m.sub = stream_expect(c->stream);
	}
	c->stage = POST_SENT;
	if (!link_enqueue(c->edge, &m)) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
		return;
	}
	c->at_supervisor = true;
	if (p->order.cancel_on_disconnect)
		stream_cancels(c->stream);
}

void post_enqueued(struct call *c, const struct wire_enqueued *m)
{
	struct post *p = post_of(c);
	if (c->stage != POST_SENT)
		return;
	c->at_supervisor = false;
	p->answer = (struct post_answer){
		.known = true,
		.repeated = m->repeated,
		.error = m->error.n ? err_from_code(
					      arena_slice(c->request->arena, m->error).p)
				    : ERR_OK,
		.message = m->message.n ? arena_slice(c->request->arena, m->message).p
					: NULL,
		.retry_after_s = m->retry_after_s,
		.run = m->run,
		.accepted_us = m->accepted_us,
		.position = m->position,
		.status = run_state_word(m->state)};
	call_wake(c);
}

/* ---- the answer */

static void reply_accepted(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	const struct post *p = post_of(c);
	char run[UUID_TEXT_LEN + 1], at[CLOCK_TEXT_LEN + 1];
	uuid_format(p->answer.run, run);
	clock_format(p->answer.accepted_us, at);
	strbuf_printf(&b,
		      "{\"runId\":\"%s\",\"acceptedAt\":\"%s\",\"position\":%u,"
		      "\"status\":\"%s\",\"queueMode\":\"%s\"}\n",
		      run, at, p->answer.position, p->answer.status, mode_word(p->mode));
	reply_head(c->request, 202);
	add_fields(c);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

/* The supervisor knows a repeated key's run while it lives, Postgres always. */
static void ask_first(struct call *c)
{
	struct post *p = post_of(c);
	c->stage = POST_FIRST;
	store_get_run(c, p->answer.run, &p->first);
}

static void take_first(struct call *c)
{
	struct post *p = post_of(c);
	const struct run_row *row = &p->first;
	if (c->asking)
		return;
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return;
	}
	if (row->found) {
		p->answer.status = row->cancelling ? "cancelling" : row->state.p;
		p->answer.accepted_us = row->accepted_us;
		p->answer.position = row->ended ? 0 : (unsigned)row->position;
	}
	reply_accepted(c);
}

/* The cached session was deleted meanwhile: its key may open a new one, once. */
static bool try_again(struct call *c)
{
	struct post *p = post_of(c);
	if (p->answer.error != ERR_NOT_FOUND || p->retried)
		return false;
	p->retried = true;
	lookup_forget_session(c, p->agent.id, p->session_key);
	c->stage = POST_SESSION;
	call_wake(c);
	return true;
}

static void take_answer(struct call *c)
{
	struct post *p = post_of(c);
	if (!p->answer.known || (p->answer.error && try_again(c)))
		return;
	if (p->answer.error) {
		reply_err(c->request, p->answer.error, NULL, p->answer.message,
			  p->answer.retry_after_s);
		return;
	}
	if (!p->order.stream) {
		if (p->answer.repeated)
			ask_first(c);
		else
			reply_accepted(c);
		return;
	}
	c->stage = POST_STREAM;
	if (uuid_eq(p->answer.run, p->run))
		stream_accept(c->stream);
	else
		stream_follow(c->stream, p->answer.run);
}

void run_post(struct call *c)
{
	if (c->edge->draining && c->stage < POST_SENT) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return;
	}
	if (c->stage == POST_ORDER && !read_order(c))
		return;
	if (c->stage == POST_AGENT && !find_agent(c))
		return;
	if (c->stage == POST_SESSION) {
		if (find_session(c))
			send_order(c);
		return;
	}
	if (c->stage == POST_SENT)
		take_answer(c);
	else if (c->stage == POST_FIRST)
		take_first(c);
	else if (c->stage == POST_STREAM)
		stream_step(c->stream);
}
