/* SPDX-License-Identifier: Apache-2.0
 * By the functions of migrations/0017. */
#include "common/ident.h"
#include "common/pg/param.h"
#include "common/pg/row.h"
#include "edge/money.h"
#include "edge/store_call.h"

static void on_report(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	struct money_answer *out = at;
	if (c)
		out->json = store_keep(c->request->arena, a->results[1], 0, 0);
}

static void take_list(struct call *c, struct money_answer *out, const struct pg_result *r)
{
	out->json = store_keep(c->request->arena, r, 0, 0);
	out->change.version = pg_get_i64(r, 0, 1);
}

static void on_list(void *arg, const struct pg_answer *a)
{
	void *out;
	struct call *c = store_answered(arg, a, &out);
	if (c)
		take_list(c, out, a->results[1]);
}

static void on_change(void *arg, const struct pg_answer *a)
{
	void *at;
	struct call *c = store_answered(arg, a, &at);
	struct money_answer *out = at;
	if (!c)
		return;
	struct slice word = pg_get_text(a->results[1], 0, 0);
	out->change.outcome = slice_is(word, "stale") ? CHANGE_STALE : CHANGE_DONE;
	out->absent = slice_is(word, "absent");
	take_list(c, out, a->results[2]);
}

void money_usage(struct call *c, const struct usage_query *q, struct money_answer *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_USAGE_REPORT);
	pg_i64(p, c->caller.tenant);
	pg_time(p, q->from_us);
	pg_time(p, q->to_us);
	pg_text(p, q->by);
	store_add_filter(p, q->agent);
	pg_text(p, q->after);
	pg_i32(p, (int32_t)q->limit);
	store_submit(c, r, on_report, out);
}

static void add_budgets(struct call *c, struct pg_request *r, struct slice scope,
			struct slice id)
{
	struct pg_params *p = pg_add(r, SQL_BUDGETS);
	pg_i64(p, c->caller.tenant);
	pg_text(p, scope);
	pg_text(p, id);
}

void money_budgets(struct call *c, struct slice scope, struct slice id,
		   struct money_answer *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	add_budgets(c, r, scope, id);
	store_submit(c, r, on_list, out);
}

static void add_number(struct pg_params *p, bool is_there, int64_t n)
{
	if (is_there)
		pg_i64(p, n);
	else
		pg_null(p, PG_INT8);
}

void money_set_budget(struct call *c, const struct budget_change *b,
		      struct money_answer *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_BUDGET_PUT);
	change_add_expected(p, out->change.expect);
	pg_text(p, b->scope);
	pg_text(p, b->id);
	pg_text(p, b->period);
	for (int i = 0; i < LIMIT__COUNT; i++)
		add_number(p, b->limit[i] > 0, b->limit[i]);
	change_add_actor(p, c);
	add_budgets(c, r, b->scope, b->id);
	store_submit(c, r, on_change, out);
}

void money_prices(struct call *c, struct money_answer *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	pg_i64(pg_add(r, SQL_PRICES), c->caller.tenant);
	store_submit(c, r, on_list, out);
}

void money_set_price(struct call *c, const struct price_change *x,
		     struct money_answer *out)
{
	struct pg_request *r = store_begin(c->edge, c->caller.tenant);
	struct pg_params *p = pg_add(r, SQL_PRICE_PUT);
	change_add_expected(p, out->change.expect);
	pg_text(p, x->provider);
	pg_text(p, x->model);
	for (int i = 0; i < PRICE__COUNT; i++)
		add_number(p, x->micros[i] >= 0, x->micros[i]);
	change_add_actor(p, c);
	pg_i64(pg_add(r, SQL_PRICES), c->caller.tenant);
	store_submit(c, r, on_change, out);
}
