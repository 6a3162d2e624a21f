/* SPDX-License-Identifier: Apache-2.0
 * Tools about runs: a message sent, a run looked at, waited for, cancelled. */
#include "edge/blocks.h"
#include "edge/default_agent.h"
#include "edge/link.h"
#include "edge/mcp/mcp_call.h"
#include "edge/reply.h"
#include "edge/run_json.h"

#define WAIT_DEFAULT_S 30

enum stage { WAY_START, WAY_PLACING, WAY_WAITING, WAY_READ };

static struct mcp_call *state_of(const struct call *c)
{
	return c->state;
}

/* ---- the answer */

static bool read_run_id(struct call *c, struct mcp_call *m)
{
	if (uuid_parse(mcp_arg(m, "runId"), &m->run))
		return true;
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	return false;
}

static void ask_row(struct call *c, struct mcp_call *m)
{
	m->stage = WAY_READ;
	store_get_run(c, m->run, &m->row);
}

static void answer_row(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	if (!mcp_have_answer(c))
		return;
	if (!m->row.found) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
		return;
	}
	json_obj(&o);
	run_put(&o, m->run, &m->row);
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

void mcp_run_get(struct call *c, struct mcp_call *m)
{
	if (m->stage == WAY_READ)
		answer_row(c, m);
	else if (read_run_id(c, m))
		ask_row(c, m);
}

/* ---- waiting */

static void on_event(struct call *c, const struct sse_item *item)
{
	struct mcp_call *m = state_of(c);
	struct event_view v;
	if (!item->durable)
		return;
	event_view_read(item, &v);
	merging_hides(&m->merging, item, &v);
	event_view_fini(&v);
}

static void on_gone(struct call *c)
{
	loop_timer_free(state_of(c)->timer);
}

static const struct follow_sink waiting;

static void on_end(struct call *c)
{
	struct mcp_call *m = state_of(c);
	if (merging_goes_on(c, &m->merging, &waiting, &m->run))
		return;
	m->ended = true;
	call_wake(c);
}

static void answer_running(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	run_put_id(&o, "runId", m->run);
	json_kv_cstr(&o, "status", "running");
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

static void on_cut(struct call *c)
{
	struct mcp_call *m = state_of(c);
	if (m->is_over)
		return;
	if (follow_is_open(c->follow))
		answer_running(c, m);
	else
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
}

static const struct follow_sink waiting = {
	.event = on_event, .end = on_end, .cut = on_cut, .gone = on_gone};

static void on_timer(void *arg)
{
	struct call *c = arg;
	state_of(c)->timed_out = true;
	call_wake(c);
}

static bool start_timer(struct call *c, struct mcp_call *m)
{
	int64_t s = mcp_arg_number(m, "timeoutSeconds", WAIT_DEFAULT_S);
	if (!call_may_wait(c))
		return false;
	m->timer = loop_timer_new(c->edge->loop, on_timer, c);
	loop_timer_start(m->timer, s * 1000000);
	c->on_end = on_gone; /* until the run is followed */
	return true;
}

/* When the time is over the row says how far the run is. */
static void wait_on(struct call *c, struct mcp_call *m)
{
	if (!m->ended && !m->timed_out)
		follow_step(c->follow);
	else if (!c->asking)
		ask_row(c, m);
}

void mcp_run_wait(struct call *c, struct mcp_call *m)
{
	struct sse_place start = {0};
	if (m->stage == WAY_READ) {
		answer_row(c, m);
	} else if (m->stage == WAY_WAITING) {
		wait_on(c, m);
	} else if (read_run_id(c, m) && start_timer(c, m)) {
		m->stage = WAY_WAITING;
		follow_new(c, m->run, &start, &waiting);
		follow_ask(c->follow);
	}
}

/* ---- sending */

static bool read_message(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct blocks_fault bad;
	strbuf_add_str(&b, "{\"blocks\":");
	if (!blocks_read(json_get(m->args, "message"), &b, &bad))
		return reply_wrong(c->request, "message", bad.message);
	strbuf_add_char(&b, '}');
	m->placing.order.content = arena_slice(c->request->arena, strbuf_slice(&b));
	return true;
}

static bool read_order(struct call *c, struct mcp_call *m)
{
	struct placing *p = &m->placing;
	struct order_fault fault;
	p->order.session_key = mcp_arg(m, "sessionKey");
	p->idem_key = mcp_arg(m, "idempotencyKey");
	p->agent = mcp_arg(m, "agent");
	if (!p->agent.n)
		p->agent = default_agent(SLICE_NONE);
	if ((p->order.session_key.p &&
	     !order_check_session(p->order.session_key, &fault)) ||
	    (p->idem_key.p && !order_check_key(p->idem_key, &fault)))
		return reply_wrong(c->request, fault.param, fault.message);
	if (!read_message(c, m))
		return false;
	if (mcp_arg_number(m, "timeoutSeconds", WAIT_DEFAULT_S) == 0)
		return true;
	p->sink = &waiting;
	return start_timer(c, m);
}

static void answer_accepted(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	run_put_id(&o, "runId", m->placing.run);
	json_kv_cstr(&o, "status", m->placing.status);
	json_kv_str(&o, "sessionKey", m->placing.session_key);
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

static void place(struct call *c, struct mcp_call *m)
{
	if (placing_step(c, &m->placing) != PLACING_DONE)
		return;
	m->run = m->placing.run;
	if (!m->placing.sink) {
		answer_accepted(c, m);
		return;
	}
	m->stage = WAY_WAITING;
	wait_on(c, m);
}

void mcp_sessions_send(struct call *c, struct mcp_call *m)
{
	if (m->stage == WAY_START && !read_order(c, m))
		return;
	if (m->stage == WAY_START)
		m->stage = WAY_PLACING;
	if (m->stage == WAY_PLACING)
		place(c, m);
	else if (m->stage == WAY_WAITING)
		wait_on(c, m);
	else
		answer_row(c, m);
}

/* ---- cancelling */

static void answer_cancel(struct call *c, const struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct cancelling *x = &m->cancel;
	if (x->q.error && !(x->q.error == ERR_CONFLICT && x->result)) {
		reply_err(c->request, x->q.error, NULL,
			  x->q.error == ERR_NOT_FOUND ? "there is no such run"
						      : x->q.message,
			  0);
		return;
	}
	json_obj(&o);
	run_put_id(&o, "runId", x->run);
	json_kv_cstr(&o, "status", x->result ? result_word(x->result) : "cancelling");
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

/* False: it is nobody's that the caller may know of, or not known yet. */
static bool may_cancel(struct call *c, const struct mcp_call *m)
{
	if (!mcp_have_answer(c))
		return false;
	if (!m->row.found)
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	return m->row.found;
}

void mcp_run_cancel(struct call *c, struct mcp_call *m)
{
	if (m->stage == WAY_START && c->caller.user.n) {
		if (read_run_id(c, m)) /* the supervisor does not know whose it is */
			ask_row(c, m);
	} else if (m->stage == WAY_READ && !may_cancel(c, m)) {
		return;
	} else if (m->stage == WAY_START || m->stage == WAY_READ) {
		m->stage = WAY_WAITING;
		if (read_run_id(c, m))
			cancel_send(c, &m->cancel, m->run);
	} else if (m->cancel.q.known) {
		answer_cancel(c, m);
	} else if (m->cancel.q.silent) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL,
			  "the queue does not answer: whether the run is being cancelled "
			  "is not known, ask again",
			  1);
	}
}
