/* SPDX-License-Identifier: Apache-2.0
 * One row with one JSON text. */
#include "edge/store_context.h"

#include "edge/store_call.h"

static void on_context(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	struct context_row *row = out;
	if (c && pg_rows(a->results[1]))
		row->body = store_keep(c->request->arena, a->results[1], 0, 0);
}

void store_read_context(struct call *c, enum sql what, struct uuid id, int version,
			int limit, struct context_row *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, (int)what);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, id);
	if (what == SQL_SNAPSHOT || what == SQL_SNAPSHOTS)
		pg_i32(p, version);
	if (what == SQL_SNAPSHOTS)
		pg_i32(p, limit);
	store_submit(c, r, on_context, out);
}
