/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/queue and GET /v1/workers: what the supervisor tells an operator, of the
 * caller's own lanes; of the whole node to the platform's tokens, those of tenant 0. */
#include "common/json.h"
#include "edge/inquiry.h"
#include "edge/query.h"
#include "edge/reply.h"

enum stage { OPERATION_START, OPERATION_SENT };

static void ask(struct call *c, const char *command)
{
	struct inquiring *q = arena_zalloc(c->request->arena, sizeof *q);
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	c->state = q;
	if (!query_read(c, NULL, 0))
		return;
	json_obj(&o);
	json_kv_cstr(&o, "cmd", command);
	json_key(&o, "args");
	json_obj(&o);
	if (c->caller.tenant)
		json_kv_i64(&o, "tenant", c->caller.tenant);
	json_obj_end(&o);
	json_obj_end(&o);
	c->stage = OPERATION_SENT;
	inquiry_manage(c, strbuf_slice(&b));
}

static void look(struct call *c, const char *command)
{
	if (c->stage == OPERATION_START) {
		ask(c, command);
		return;
	}
	AUTO(auto_json_free) struct json_doc *d = inquiry_take(c);
	if (d)
		inquiry_reply(c);
}

void queue_get(struct call *c)
{
	look(c, "queue.stats");
}

void worker_list(struct call *c)
{
	look(c, "worker.list");
}
