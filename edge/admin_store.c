/* SPDX-License-Identifier: Apache-2.0
 * The one statement of what administrators ask; and what they did elsewhere. */
#include "edge/admin.h"
#include "edge/store_call.h"

static void on_answer(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	struct admin_ask *q = at;
	if (!c || !pg_rows(a->results[1]))
		return;
	const struct pg_result *r = a->results[1];
	change_take(&q->change, r);
	q->word = store_keep(c->request->arena, r, 0, 0);
	q->body = store_keep(c->request->arena, r, 0, 2);
}

void admin_store_ask(struct call *c, struct admin_ask *q)
{
	struct token own = {0};
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, (int)q->what);
	token_parse(token_of_field(http_field(&c->request->head, "authorization")), &own);
	pg_uuid(p, c->caller.token);
	pg_text(p, own.secret);
	store_add_filter(p, q->id);
	if (q->doc.p)
		pg_jsonb(p, q->doc);
	else
		pg_null(p, PG_JSONB);
	pg_bytea(p, q->sha256 ? slice_of(q->sha256, 32) : SLICE_NONE);
	change_add_expected(p, q->change.expect);
	pg_uuid(p, uuid7_new());
	store_submit(c, r, on_answer, q);
}

static void on_noted(void *arg, const struct pg_answer *a)
{
	void *out;
	store_answered(arg, a, &out);
}

void change_note(struct call *c, struct slice action, struct slice object)
{
	char actor[CALL_ACTOR];
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_AUDIT_NOTE);
	call_actor(c, actor);
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(actor));
	pg_text(p, action);
	pg_text(p, object);
	store_submit(c, r, on_noted, NULL);
}
