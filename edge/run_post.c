/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/agents/{agent}/runs: the API's own way to place an order. */
#include "common/clock.h"
#include "common/url_guard.h"
#include "edge/call.h"
#include "edge/placing.h"
#include "edge/reply.h"
#include "edge/stream.h"

enum stage { POST_ORDER, POST_PLACING, POST_STREAM };

static void add_fields(struct call *c)
{
	const struct placing *p = c->state;
	char location[9 + UUID_TEXT_LEN + 1] = "/v1/runs/";
	uuid_format(p->run, location + 9);
	reply_field(c->request, "location", slice_str(location));
	reply_field(c->request, "x-run-id", slice_str(location + 9));
	if (p->repeated)
		reply_field(c->request, "idempotent-replayed", SLICE("true"));
}

static void open_stream(struct call *c)
{
	reply_head(c->request, 200);
	add_fields(c);
	stream_begin(c);
}

static const struct follow_sink post_sink = {
	.open = open_stream, .event = stream_event, .end = stream_end, .cut = stream_cut};

/* Where nothing else is allowed it has to lead to the public network, by TLS. What its
 * name stands for is judged again with each delivery. */
static bool check_webhook(struct call *c, const struct order *o)
{
	char why[200];
	if (!o->webhook.p || c->edge->webhook_private ||
	    url_guard_check(o->webhook, why, sizeof why))
		return true;
	return reply_wrong(c->request, "webhook.url",
			   arena_printf(c->request->arena,
					"webhook has a url that is "
					"not allowed: %s",
					why));
}

static bool read_order(struct call *c)
{
	struct request *r = c->request;
	struct placing *p = arena_zalloc(r->arena, sizeof *p);
	struct order_fault fault;
	p->idem_key = http_field(&r->head, "idempotency-key");
	p->agent = c->match.params[0];
	c->state = p;
	bool fine = (!p->idem_key.p || order_check_key(p->idem_key, &fault)) &&
		    order_parse(strbuf_slice(&r->body), r->arena, &p->order, &fault);
	if (!fine) {
		reply_err(r, ERR_BAD_REQUEST, fault.param[0] ? fault.param : NULL,
			  fault.message, 0);
		return false;
	}
	strbuf_fini(&r->body);
	if (p->order.builder && !call_has_scope(c, SCOPE_WRITE)) {
		reply_err(r, ERR_FORBIDDEN, "mode",
			  "mode builder makes and changes agents: the token needs the "
			  "scope write as well",
			  0);
		return false;
	}
	if (!check_webhook(c, &p->order))
		return false;
	c->stage = POST_PLACING;
	if (!p->order.stream)
		return true;
	p->sink = &post_sink;
	p->cancels = p->order.cancel_on_disconnect;
	return call_may_wait(c);
}

static void reply_accepted(struct call *c, const struct placing *p)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	char run[UUID_TEXT_LEN + 1], at[CLOCK_TEXT_LEN + 1];
	uuid_format(p->run, run);
	clock_format(p->accepted_us, at);
	strbuf_printf(&b,
		      "{\"runId\":\"%s\",\"acceptedAt\":\"%s\",\"position\":%u,"
		      "\"status\":\"%s\",\"queueMode\":\"%s\"}\n",
		      run, at, p->position, p->status, mode_word(p->mode));
	reply_head(c->request, 202);
	add_fields(c);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

void run_post(struct call *c)
{
	if (c->stage == POST_ORDER && !read_order(c))
		return;
	if (c->stage == POST_STREAM) {
		follow_step(c->follow);
		return;
	}
	if (placing_step(c, c->state) != PLACING_DONE)
		return;
	if (!c->follow) {
		reply_accepted(c, c->state);
		return;
	}
	c->stage = POST_STREAM;
}
