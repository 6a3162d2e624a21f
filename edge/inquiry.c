/* SPDX-License-Identifier: Apache-2.0
 * The question, and the parts of its answer. */
#include "edge/inquiry.h"

#include "common/json.h"
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

/* It was sent, or not: then it is answered. */
static bool wait_for_it(struct call *c, bool sent, int64_t patience_us)
{
	struct inquiring *q = c->state;
	if (!sent) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
		return false;
	}
	c->at_supervisor = true;
	c->on_finding = inquiry_found;
	c->on_end = on_end;
	q->patience = loop_timer_new(c->edge->loop, on_patience, c);
	loop_timer_start(q->patience, patience_us);
	return true;
}

bool inquiry_manage(struct call *c, struct slice command)
{
	char by[CALL_ACTOR];
	call_actor(c, by);
	struct wire_manage m = {.req = c->handle,
				.tenant = c->caller.tenant,
				.by = slice_str(by),
				.line = command};
	return wait_for_it(c, link_manage(c->edge, &m), ANSWER_US);
}

bool inquiry_ask(struct call *c, struct wire_inquire *m)
{
	char by[CALL_ACTOR];
	call_actor(c, by);
	m->req = c->handle;
	m->tenant = c->caller.tenant;
	m->by = slice_str(by);
	if (!m->model.p)
		m->model = SLICE("");
	if (!m->body.p)
		m->body = SLICE("");
	return wait_for_it(c, link_inquire(c->edge, m),
			   m->kind == INQUIRY_EMBED ? EMBED_US : ANSWER_US);
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

struct json_doc *inquiry_take(struct call *c)
{
	const struct inquiring *q = c->state;
	struct slice body = strbuf_slice(&q->body);
	struct json_doc *d =
		q->known && !q->error ? json_parse(body, body.n, NULL, 0) : NULL;
	struct slice error = json_str(json_get(json_root(d), "error"));
	if (d && !error.p)
		return d;
	if (d)
		reply_err(c->request,
			  err_from_code(json_cstr(json_get(json_root(d), "code"), "")),
			  NULL, arena_slice(c->request->arena, error).p, 0);
	else
		inquiry_reply(c);
	json_free(d);
	return NULL;
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
