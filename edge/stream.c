/* SPDX-License-Identifier: Apache-2.0
 * Events written to a client as server-sent events. */
#include "edge/stream.h"

#include "edge/reply.h"

#define HEARTBEAT SLICE(": hb\n\n")

/* Whether the text composed last is this very event: then it is not composed again for
 * the next subscriber. */
static bool is_composed(const struct strbuf *b, const struct sse_item *item,
			const struct sse_item *last)
{
	struct slice body = item->body;
	return b->n > body.n + 1 && last->seq == item->seq &&
	       last->offset == item->offset && last->durable == item->durable &&
	       last->at_us == item->at_us && last->type == item->type &&
	       uuid_eq(last->run, item->run) && last->body.n == body.n && body.n > 2 &&
	       memcmp(b->p + b->n - 2 - body.n + 1, body.p + 1, body.n - 1) == 0;
}

void stream_event(struct call *c, const struct sse_item *item)
{
	static struct sse_item last;
	struct strbuf *b = &c->edge->scratch;
	if (!is_composed(b, item, &last)) {
		strbuf_reset(b);
		sse_write(b, item);
		last = *item;
		c->edge->composed++;
	}
	reply_piece(c->request, strbuf_slice(b));
	if (b->n > (64u << 10)) {
		strbuf_reset(b);
		strbuf_shrink(b, 4096);
	}
}

void stream_begin(struct call *c)
{
	reply_stream(c->request, "text/event-stream", HEARTBEAT);
}

static void open_answer(struct call *c)
{
	reply_head(c->request, 200);
	stream_begin(c);
}

void stream_end(struct call *c)
{
	reply_stream_end(c->request);
}

void stream_cut(struct call *c)
{
	if (!follow_is_open(c->follow)) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return;
	}
	reply_piece(c->request, SLICE("retry: 1000\n\n"));
	reply_stream_end(c->request);
}

/* What tells an EventSource not to come back again. */
static void stream_over(struct call *c)
{
	reply_head(c->request, 204);
	reply_empty(c->request);
}

const struct follow_sink stream_sink = {.open = open_answer,
					.event = stream_event,
					.over = stream_over,
					.end = stream_end,
					.cut = stream_cut};
