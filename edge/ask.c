/* SPDX-License-Identifier: Apache-2.0
 * Values in, a row out. */
#include "edge/ask.h"

#include "common/pg/param.h"
#include "common/pg/row.h"
#include "edge/reply.h"
#include "edge/store_call.h"

static const enum pg_type types[] = {[ASK_ID] = PG_UUID,
				     [ASK_TEXT] = PG_TEXT,
				     [ASK_JSON] = PG_JSONB,
				     [ASK_NUMBER] = PG_INT4,
				     [ASK_YES] = PG_BOOL};

static void put(struct pg_params *p, const struct ask_value *v)
{
	if (v->none)
		pg_null(p, types[v->kind]);
	else if (v->kind == ASK_ID)
		pg_uuid(p, v->id);
	else if (v->kind == ASK_TEXT)
		pg_text(p, v->text);
	else if (v->kind == ASK_JSON)
		pg_jsonb(p, v->text);
	else if (v->kind == ASK_NUMBER)
		pg_i32(p, (int32_t)v->number);
	else
		pg_bool(p, v->number);
}

static void on_row(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	if (!c)
		return;
	struct ask_answer *out = at;
	const struct pg_result *r = a->results[1];
	struct change change = {.expect = out->change.expect};
	change_take(&change, r);
	*out = (struct ask_answer){.change = change};
	if (!pg_rows(r))
		return;
	out->word = store_keep(c->request->arena, r, 0, 0);
	out->version = pg_is_null(r, 0, 1) ? 0 : pg_get_i64(r, 0, 1);
	out->text = store_keep(c->request->arena, r, 0, 2);
	out->found = out->word.p || out->text.p;
}

static struct pg_params *begin(struct call *c, enum sql what, const struct ask_value *v,
			       size_t n, struct pg_request **r)
{
	*r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(*r, (int)what);
	pg_i64(p, c->caller.tenant);
	for (size_t i = 0; i < n; i++)
		put(p, &v[i]);
	return p;
}

void ask_read(struct call *c, enum sql what, const struct ask_value *v, size_t n,
	      struct ask_answer *out)
{
	struct pg_request *r;
	begin(c, what, v, n, &r);
	store_submit(c, r, on_row, out);
}

void ask_make(struct call *c, enum sql what, const struct ask_value *v, size_t n,
	      struct ask_answer *out)
{
	char actor[CALL_ACTOR];
	struct pg_request *r;
	struct pg_params *p = begin(c, what, v, n, &r);
	call_actor(c, actor);
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(actor));
	store_submit(c, r, on_row, out);
}

void ask_change(struct call *c, enum sql what, const struct ask_value *v, size_t n,
		struct ask_answer *out)
{
	struct pg_request *r;
	struct pg_params *p = begin(c, what, v, n, &r);
	change_add(p, c, &out->change);
	store_submit(c, r, on_row, out);
}
