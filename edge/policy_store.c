/* SPDX-License-Identifier: Apache-2.0
 * By tb.policy_layers and tb.policy_put. */
#include "edge/policy_store.h"

#include "common/pg/param.h"
#include "common/pg/row.h"
#include "edge/store_call.h"

static void on_layers(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	if (!c || !pg_rows(a->results[1]))
		return;
	struct policy_rows *out = at;
	struct arena *arena = c->request->arena;
	const struct pg_result *r = a->results[1];
	*out = (struct policy_rows){.found = true,
				    .layers = {.ceiling = store_keep(arena, r, 0, 0),
					       .agent = store_keep(arena, r, 0, 2),
					       .tools = store_keep(arena, r, 0, 4),
					       .session = store_keep(arena, r, 0, 5)},
				    .ceiling_version = pg_get_i64(r, 0, 1),
				    .agent_version = pg_get_i64(r, 0, 3),
				    .in_session = !pg_is_null(r, 0, 6)};
	if (out->in_session)
		out->session_version = pg_get_i64(r, 0, 6);
}

void policy_store_read(struct call *c, struct uuid agent, struct slice key,
		       struct policy_rows *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_POLICY_LAYERS);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, agent);
	pg_text(p, key);
	*out = (struct policy_rows){0};
	store_submit(c, r, on_layers, out);
}

static void on_ceiling(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	if (!c || !pg_rows(a->results[1]))
		return;
	struct policy_rows *out = at;
	out->layers.ceiling = store_keep(c->request->arena, a->results[1], 0, 0);
	out->ceiling_version = pg_get_i64(a->results[1], 0, 1);
}

void policy_store_read_ceiling(struct call *c, struct policy_rows *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	pg_i64(pg_add(r, SQL_CEILING), c->caller.tenant);
	*out = (struct policy_rows){.found = true};
	store_submit(c, r, on_ceiling, out);
}

static void on_put(void *arg, const struct pg_answer *a)
{
	void *at;
	if (store_answered(arg, a, &at))
		change_take(at, a->results[1]);
}

void policy_store_put(struct call *c, struct uuid agent, struct slice key,
		      struct slice doc, struct change *ch)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_POLICY_PUT);
	pg_i64(p, c->caller.tenant);
	if (uuid_is_nil(agent))
		pg_null(p, PG_UUID);
	else
		pg_uuid(p, agent);
	pg_text(p, key);
	if (doc.p)
		pg_jsonb(p, doc);
	else
		pg_null(p, PG_JSONB);
	change_add(p, c, ch);
	store_submit(c, r, on_put, ch);
}
