/* SPDX-License-Identifier: Apache-2.0
 * By functions of migrations/0024; the tables of secrets and targets are closed to edges.
 */
#include "edge/webhook_store.h"

#include "edge/store_call.h"

void webhook_store_list(struct call *c, const struct delivery_filter *f,
			struct json_page *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_DELIVERIES);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, f->page.before);
	store_add_filter(p, f->run);
	pg_text(p, f->state);
	pg_i64(p, (int64_t)f->page.limit + 1);
	pg_i64(p, PAGE_WINDOW);
	out->limit = f->page.limit;
	json_page_submit(c, r, out);
}

void webhook_store_get(struct call *c, struct uuid delivery, struct slice *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_DELIVERY);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, delivery);
	json_one_submit(c, r, out);
}

static void put_who(struct pg_params *p, struct call *c)
{
	char actor[CALL_ACTOR];
	call_actor(c, actor);
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(actor));
}

void webhook_store_again(struct call *c, struct uuid delivery, struct slice *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_DELIVERY_AGAIN);
	pg_uuid(p, delivery);
	put_who(p, c);
	json_one_submit(c, r, out);
}

void webhook_store_secret(struct call *c, struct slice *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	pg_add(r, SQL_WEBHOOK_SECRET);
	json_one_submit(c, r, out);
}

void webhook_store_set_secret(struct call *c, const struct webhook_secret_row *row,
			      bool rotate, struct slice *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_WEBHOOK_SECRET_SET);
	pg_uuid(p, row->id);
	pg_bytea(p, slice_of(row->sealed, row->sealed_n));
	pg_bytea(p, slice_of(row->master, SEAL_ID));
	pg_bool(p, rotate);
	put_who(p, c);
	json_one_submit(c, r, out);
}
