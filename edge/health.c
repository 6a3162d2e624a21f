/* SPDX-License-Identifier: Apache-2.0
 * GET /healthz: this process answers. GET /readyz: it can take work. */
#include "common/pg/pool.h"
#include "edge/call.h"
#include "edge/reply.h"

void healthz(struct call *c)
{
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", SLICE("{\"status\":\"ok\"}\n"));
}

static const char *word(bool yes)
{
	return yes ? "true" : "false";
}

void readyz(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	const struct edge *e = c->edge;
	bool database = e->pool && pg_pool_is_up(e->pool);
	bool ready = e->ready && database && !e->draining;
	strbuf_printf(&b,
		      "{\"status\":\"%s\",\"database\":%s,\"supervisor\":%s,"
		      "\"draining\":%s}\n",
		      ready ? "ready" : "not_ready", word(database), word(e->linked),
		      word(e->draining));
	reply_head(c->request, ready ? 200 : 503);
	if (!ready)
		reply_field(c->request, "retry-after", SLICE("1"));
	reply_body(c->request, "application/json", strbuf_slice(&b));
}
