/* SPDX-License-Identifier: Apache-2.0
 * The question, and the parts of its answer. */
#include "edge/inquiry.h"

#include "edge/link.h"
#include "edge/reply.h"

/* The supervisor gives up after 12 s; one that is silent for so long is stuck. */
#define ANSWER_US 15000000
#define EMBED_US 65000000 /* after 60 s */

static void on_end(struct call *c)
{
	struct inquiring *q = c->state;
	loop_timer_free(q->patience);
	strbuf_fini(&q->body);
}

static void on_patience(void *arg)
{
	struct call *c = arg;
	struct inquiring *q = c->state;
	q->silent = true;
	call_wake(c);
}

bool inquiry_ask(struct call *c, struct wire_inquire *m)
{
	struct inquiring *q = c->state;
	char by[CALL_ACTOR];
	call_actor(c, by);
	m->req = c->handle;
	m->tenant = c->caller.tenant;
	m->by = slice_str(by);
	if (!m->model.p)
		m->model = SLICE("");
	if (!m->body.p)
		m->body = SLICE("");
	if (!link_inquire(c->edge, m)) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
		return false;
	}
	c->at_supervisor = true;
	c->on_finding = inquiry_found;
	c->on_end = on_end;
	q->patience = loop_timer_new(c->edge->loop, on_patience, c);
	loop_timer_start(q->patience, m->kind == INQUIRY_EMBED ? EMBED_US : ANSWER_US);
	return true;
}

void inquiry_found(struct call *c, const struct wire_finding *m)
{
	struct inquiring *q = c->state;
	struct arena *a = c->request->arena;
	if (!c->at_supervisor || q->known)
		return;
	if (m->error.n) {
		q->error = err_from_code(arena_slice(a, m->error).p);
		q->message = m->message.n ? arena_slice(a, m->message).p : NULL;
		q->retry_after_s = m->retry_after_s;
	} else {
		strbuf_add_slice(&q->body, m->body);
	}
	if (!m->error.n && !m->last)
		return;
	q->known = true;
	c->at_supervisor = false;
	call_wake(c);
}

void inquiry_reply(struct call *c)
{
	struct inquiring *q = c->state;
	if (!q->known && !q->silent)
		return;
	if (!q->known)
		reply_err(c->request, ERR_UNAVAILABLE, NULL,
			  "the node does not answer; try again", 1);
	else if (q->error)
		reply_err(c->request, q->error, NULL, q->message, q->retry_after_s);
	else {
		reply_head(c->request, 200);
		reply_body(c->request, "application/json", strbuf_slice(&q->body));
	}
}
