/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/agents/{agent}/agui and /v1/agui: an order, and its run's events as AG-UI's.
 */
#include "edge/agui/agui_events.h"
#include "edge/agui/agui_input.h"
#include "edge/default_agent.h"
#include "edge/merging.h"
#include "edge/placing.h"
#include "edge/reply.h"

#define HEARTBEAT SLICE(": hb\n\n")

enum stage { AGUI_START, AGUI_PLACING, AGUI_FOLLOWS };

struct agui_call {
	struct placing placing;
	struct agui_input input;
	struct agui events;
	struct merging merging;
	struct strbuf out;
};

static struct agui_call *state_of(const struct call *c)
{
	return c->state;
}

/* ---- the run */

static void flush(struct call *c)
{
	struct strbuf *out = &state_of(c)->out;
	reply_piece(c->request, strbuf_slice(out));
	strbuf_reset(out);
	strbuf_shrink(out, 64u << 10);
}

static void on_open(struct call *c)
{
	struct agui_call *x = state_of(c);
	char location[9 + UUID_TEXT_LEN + 1] = "/v1/runs/";
	uuid_format(x->placing.run, location + 9);
	reply_head(c->request, 200);
	reply_field(c->request, "location", slice_str(location));
	reply_field(c->request, "x-run-id", slice_str(location + 9));
	reply_stream(c->request, "text/event-stream", HEARTBEAT);
	agui_start(&x->events, x->placing.run);
	flush(c);
}

static void on_event(struct call *c, const struct sse_item *item)
{
	struct agui_call *x = state_of(c);
	struct event_view v;
	event_view_read(item, &v);
	if (!merging_hides(&x->merging, item, &v))
		agui_event(&x->events, &v);
	event_view_fini(&v);
	flush(c);
}

static void on_cut(struct call *c)
{
	if (!follow_is_open(c->follow)) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return;
	}
	agui_cut(&state_of(c)->events);
	flush(c);
	reply_stream_end(c->request);
}

static const struct follow_sink sink;

static void on_end(struct call *c)
{
	struct agui_call *x = state_of(c);
	if (!merging_goes_on(c, &x->merging, &sink, &x->events.ours))
		on_cut(c); /* says nothing to a run that has ended */
}

static void on_gone(struct call *c)
{
	struct agui_call *x = state_of(c);
	agui_fini(&x->events);
	strbuf_fini(&x->out);
}

static const struct follow_sink sink = {.open = on_open,
					.event = on_event,
					.end = on_end,
					.cut = on_cut,
					.gone = on_gone};

/* ---- the order */

static bool begin(struct call *c)
{
	struct request *r = c->request;
	struct agui_call *x = arena_zalloc(r->arena, sizeof *x);
	struct order_fault fault;
	struct slice named = c->match.params[0],
		     agent = named.n ? named : default_agent(SLICE_NONE);
	c->state = x;
	if (!agui_input_read(strbuf_slice(&r->body), agent, r->arena, &x->input,
			     &fault)) {
		reply_err(r, ERR_BAD_REQUEST,
			  fault.param[0] ? arena_strdup(r->arena, fault.param) : NULL,
			  arena_strdup(r->arena, fault.message), 0);
		return false;
	}
	strbuf_fini(&r->body);
	if (!call_may_wait(c))
		return false;
	x->placing = (struct placing){.order = x->input.order,
				      .idem_key = x->input.idem_key,
				      .agent = agent,
				      .sink = &sink,
				      .cancels = x->input.cancels};
	agui_init(&x->events, &x->out, x->input.thread, x->input.run);
	c->on_end = on_gone; /* until it is followed */
	c->stage = AGUI_PLACING;
	return true;
}

void agui_post(struct call *c)
{
	if (c->stage == AGUI_START && !begin(c))
		return;
	if (c->stage == AGUI_FOLLOWS)
		follow_step(c->follow);
	else if (placing_step(c, c->state) == PLACING_DONE)
		c->stage = AGUI_FOLLOWS;
}
