/* SPDX-License-Identifier: Apache-2.0
 * By tb.dead_json and tb.dead_discard. */
#include "edge/dead_store.h"

#include "edge/store_call.h"

#define INPUT_SHOWN (1 << 20)

void dead_store_list(struct call *c, const struct page_filter *f, struct slice reason,
		     struct json_page *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_DEAD_LIST);
	store_add_page(p, c, f);
	pg_text(p, reason);
	pg_i64(p, (int64_t)f->limit + 1);
	pg_i64(p, PAGE_WINDOW);
	out->limit = f->limit;
	json_page_submit(c, r, out);
}

void dead_store_get(struct call *c, struct uuid run, struct slice *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_DEAD);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, run);
	pg_i32(p, INPUT_SHOWN);
	json_one_submit(c, r, out);
}

void dead_store_discard(struct call *c, struct uuid run, struct slice *out)
{
	char actor[CALL_ACTOR];
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_DEAD_DISCARD);
	call_actor(c, actor);
	pg_uuid(p, run);
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(actor));
	json_one_submit(c, r, out);
}
