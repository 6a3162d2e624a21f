/* SPDX-License-Identifier: Apache-2.0
 * By tb.provider_keys_json, _add, _change and _remove. */
#include "edge/key_store.h"

#include "common/pg/param.h"
#include "common/pg/row.h"
#include "edge/store_call.h"

/* ---- reading */

static void put_which(struct pg_request *r, struct call *c, struct slice provider,
		      struct uuid id)
{
	struct pg_params *p = pg_add(r, SQL_KEYS);
	pg_i64(p, c->caller.tenant);
	pg_text(p, provider);
	store_add_filter(p, id);
}

static void on_keys(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	if (c)
		*(struct slice *)at = store_keep(c->request->arena, a->results[1], 0, 0);
}

void key_store_read(struct call *c, struct slice provider, struct uuid id,
		    struct slice *json)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	put_which(r, c, provider, id);
	*json = SLICE_NONE;
	store_submit(c, r, on_keys, json);
}

/* ---- writing */

/* The change, then the row as it is now. */
static void on_changed(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	if (!c)
		return;
	struct key_outcome *out = at;
	struct slice word = pg_get_text(a->results[1], 0, 0);
	out->taken = slice_is(word, "taken");
	out->full = slice_is(word, "full");
	change_take(&out->change, a->results[1]);
	if (a->result_count > 2)
		out->json = store_keep(c->request->arena, a->results[2], 0, 1);
}

static void put_text(struct pg_params *p, struct slice s)
{
	pg_text(p, s.n ? s : SLICE_NONE);
}

static void put_priority(struct pg_params *p, const struct key_body *b, bool is_new)
{
	if (b->has_priority || is_new)
		pg_i16(p, (int16_t)b->priority);
	else
		pg_null(p, PG_INT2);
}

static void put_sealed(struct pg_params *p, const struct key_row *row)
{
	bool given = row->sealed_n;
	pg_bytea(p, given ? slice_of(row->sealed, row->sealed_n) : SLICE_NONE);
	pg_bytea(p, given ? slice_of(row->master, SEAL_ID) : SLICE_NONE);
	pg_text(p, given ? slice_str(row->hint) : SLICE_NONE);
}

void key_store_add(struct call *c, const struct key_row *row, const struct key_body *b,
		   struct key_outcome *out)
{
	char actor[CALL_ACTOR];
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_KEY_ADD);
	call_actor(c, actor);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, row->id);
	pg_text(p, row->provider);
	put_text(p, b->label);
	put_text(p, row->base_url);
	put_text(p, row->version);
	pg_bool(p, row->bearer);
	put_priority(p, b, true);
	put_sealed(p, row);
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(actor));
	put_which(r, c, row->provider, row->id);
	store_submit(c, r, on_changed, out);
}

void key_store_change(struct call *c, const struct key_row *row, const struct key_body *b,
		      struct key_outcome *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_KEY_CHANGE);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, row->id);
	pg_text(p, row->provider);
	pg_text(p, b->label);
	if (b->has_disabled)
		pg_bool(p, b->disabled);
	else
		pg_null(p, PG_BOOL);
	put_priority(p, b, false);
	put_sealed(p, row);
	put_text(p, row->base_url);
	put_text(p, row->version);
	pg_bool(p, row->bearer);
	change_add(p, c, &out->change);
	put_which(r, c, row->provider, row->id);
	store_submit(c, r, on_changed, out);
}

void key_store_remove(struct call *c, struct slice provider, struct uuid id,
		      struct key_outcome *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_KEY_REMOVE);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, id);
	pg_text(p, provider);
	change_add(p, c, &out->change);
	store_submit(c, r, on_changed, out);
}
