/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/runs/{run}/retry: of a run that ended without an answer. */
#include "edge/retry.h"

#include "common/json.h"
#include "edge/body.h"
#include "edge/limits.h"
#include "edge/order.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/store.h"

bool retry_read(struct call *c, struct retry *t)
{
	struct order_fault fault;
	struct slice key = http_field(&c->request->head, "idempotency-key");
	if (key.p && !order_check_key(key, &fault)) {
		reply_err(c->request, ERR_BAD_REQUEST, fault.param, fault.message, 0);
		return false;
	}
	t->key = key;
	return body_read(c, NULL, 0);
}

void retry_send(struct call *c, struct retry *t, struct uuid run)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	t->run = run;
	json_obj(&o);
	json_kv_cstr(&o, "cmd", "run.retry");
	json_key(&o, "args");
	json_obj(&o);
	run_put_id(&o, "run", run);
	json_kv_i64(&o, "tenant", c->caller.tenant);
	if (t->key.p)
		json_kv_str(&o, "idempotencyKey", t->key);
	json_obj_end(&o);
	json_obj_end(&o);
	inquiry_manage(c, strbuf_slice(&b));
}

void retry_reply(struct call *c, struct retry *t)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	AUTO(auto_json_free) struct json_doc *d = inquiry_take(c);
	struct json_out o = json_out(&b);
	struct slice run = json_str(json_get(json_root(d), "run"));
	struct uuid id;
	if (!d)
		return;
	if (uuid_parse(run, &id))
		limits_note_run(c, id);
	json_obj(&o);
	json_kv_str(&o, "runId", run);
	run_put_id(&o, "retryOf", t->run);
	json_kv_cstr(&o, "status", "queued");
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 202);
	reply_field(c->request, "location",
		    slice_str(arena_printf(c->request->arena, "/v1/runs/%.*s",
					   SLICE_ARG(run))));
	reply_field(c->request, "x-run-id", run);
	if (json_bool(json_get(json_root(d), "repeated"), false))
		reply_field(c->request, "idempotent-replayed", SLICE("true"));
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

/* ---- the call */

enum stage { RETRY_START, RETRY_READ, RETRY_SENT };

struct retrying {
	struct retry retry;
	struct uuid run;
	struct run_row row;
};

static void begin(struct call *c)
{
	struct retrying *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	if (!call_run_id(c, 0, &x->run) || !retry_read(c, &x->retry))
		return;
	c->stage = RETRY_READ;
	store_get_run(c, x->run, &x->row);
}

static bool ended_in_vain(const struct run_row *row)
{
	static const char *const words[] = {"failed", "dead", "cancelled", "timed_out",
					    "dropped"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(row->state, words[i]))
			return true;
	return false;
}

static void send_retry(struct call *c, struct retrying *x)
{
	struct request *r = c->request;
	if (c->asked)
		reply_err(r, c->asked, NULL, NULL, 0);
	else if (!x->row.found)
		reply_err(r, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	else if (!x->row.ended)
		reply_err(r, ERR_CONFLICT, NULL, "the run has not ended", 0);
	else if (x->row.builder && !call_has_scope(c, SCOPE_WRITE))
		reply_err(
			r, ERR_FORBIDDEN, NULL,
			"the run is of mode builder, which makes and changes agents: to "
			"retry it the token needs the scope write as well",
			0);
	else if (!ended_in_vain(&x->row))
		reply_err(r, ERR_CONFLICT, NULL,
			  arena_printf(r->arena,
				       "the run is %.*s: only one that failed, timed "
				       "out, died, or was cancelled or dropped is "
				       "retried",
				       SLICE_ARG(x->row.state)),
			  0);
	else {
		c->stage = RETRY_SENT;
		retry_send(c, &x->retry, x->run);
	}
}

void run_retry(struct call *c)
{
	struct retrying *x = c->state;
	if (c->asking)
		return;
	if (c->stage == RETRY_START)
		begin(c);
	else if (c->stage == RETRY_READ)
		send_retry(c, x);
	else
		retry_reply(c, &x->retry);
}
