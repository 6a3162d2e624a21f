/* SPDX-License-Identifier: Apache-2.0
 * GET /healthz: this process answers. GET /readyz: it can take work. */
#include "common/json.h"
#include "common/pg/pool.h"
#include "edge/call.h"
#include "edge/reply.h"

void healthz(struct call *c)
{
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", SLICE("{\"status\":\"ok\"}\n"));
}

/* NULL: ready. What is known here comes before what the supervisor said last. */
static const char *obstacle(const struct edge *e)
{
	if (e->draining)
		return "this node is shutting down";
	if (!e->linked || !e->ready)
		return "it is starting";
	if (!e->pool || !pg_pool_is_up(e->pool))
		return "the database is away";
	if (e->refusing)
		return e->why[0] ? e->why : "no work is accepted";
	return NULL;
}

void readyz(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct edge *e = c->edge;
	const char *reason = obstacle(e);
	json_obj(&o);
	json_kv_cstr(&o, "status", reason ? "not ready" : "ready");
	if (reason)
		json_kv_cstr(&o, "reason", reason);
	json_kv_bool(&o, "database", e->pool && pg_pool_is_up(e->pool));
	json_kv_bool(&o, "supervisor", e->linked);
	json_kv_bool(&o, "draining", e->draining);
	if (e->sandbox[0])
		json_kv_cstr(&o, "sandbox", e->sandbox);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, reason ? 503 : 200);
	if (reason)
		reply_field(c->request, "retry-after", SLICE("1"));
	reply_body(c->request, "application/json", strbuf_slice(&b));
}
