/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/runs/{id}/cancel: one question to the supervisor, which knows where the run
 * is. Once it says "cancelling" the request is durable. */
#include "common/json.h"
#include "edge/call.h"
#include "edge/cancel.h"
#include "edge/link.h"
#include "edge/question.h"
#include "edge/reply.h"

#define BODY_MAX 4096

enum stage { CANCEL_START, CANCEL_SENT };

/* Nothing can be said in the body yet: a member that is ignored would lie. */
static bool check_body(struct call *c)
{
	char why[160];
	struct arena *a = c->request->arena;
	struct slice body = slice_trim(strbuf_slice(&c->request->body));
	struct slice key;
	if (body.n == 0)
		return true;
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse(body, BODY_MAX, why, sizeof why);
	if (!doc)
		return reply_wrong(
			c->request, NULL,
			arena_printf(a, "the body must be empty or {}: %s", why));
	if (json_kind(json_root(doc)) != JSON_OBJECT)
		return reply_wrong(c->request, NULL, "the body must be empty or {}");
	struct json_iter it = json_iter(json_root(doc));
	if (!json_next(&it, &key))
		return true;
	const char *name = arena_strndup(a, key.p, key.n < 63 ? key.n : 63);
	return reply_wrong(c->request, name,
			   arena_printf(a, "there is no member \"%s\" here", name));
}

static void cancelled(struct call *c, const struct wire_cancelled *m)
{
	struct cancelling *x = c->state;
	if (question_answered(c, m->error, m->message))
		x->result = m->result;
}

bool cancel_send(struct call *c, struct cancelling *x, struct uuid run)
{
	struct wire_cancel m = {.req = c->handle, .tenant = c->caller.tenant, .run = run};
	x->run = run;
	c->on_cancelled = cancelled;
	question_asked(c, link_cancel(c->edge, &m));
	return c->at_supervisor;
}

static void begin(struct call *c)
{
	struct cancelling *x = arena_zalloc(c->request->arena, sizeof *x);
	struct uuid run;
	c->state = x;
	if (!call_run_id(c, 0, &run) || !check_body(c))
		return;
	c->stage = CANCEL_SENT;
	cancel_send(c, x, run);
}

static void reply_status(struct call *c, const struct cancelling *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char run[UUID_TEXT_LEN + 1];
	uuid_format(x->run, run);
	json_obj(&o);
	json_kv_cstr(&o, "runId", run);
	json_kv_cstr(&o, "status", x->result ? result_word(x->result) : "cancelling");
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, x->result ? 200 : 202);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

static void take_answer(struct call *c, const struct cancelling *x)
{
	struct request *r = c->request;
	if (x->q.error == ERR_OK)
		reply_status(c, x);
	else if (x->q.error == ERR_NOT_FOUND)
		reply_err(r, x->q.error, NULL, "there is no such run", 0);
	else if (x->q.error == ERR_CONFLICT && x->result)
		reply_err(r, x->q.error, NULL,
			  arena_printf(r->arena, "the run has ended already: %s",
				       result_word(x->result)),
			  0);
	else
		reply_err(r, x->q.error, NULL, x->q.message, 0);
}

void run_cancel(struct call *c)
{
	const struct cancelling *x = c->state;
	if (c->stage == CANCEL_START)
		begin(c);
	else if (x->q.known)
		take_answer(c, x);
	else if (x->q.silent)
		reply_err(c->request, ERR_UNAVAILABLE, NULL,
			  "the queue does not answer: whether the run is being cancelled "
			  "is "
			  "not known, ask again",
			  1);
}
