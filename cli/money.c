/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl usage, budget and price: as the database's owner, by the functions that the
 * HTTP API has, too. Workers learn of a change with their next claim or commit. */
#include <string.h>

#include "cli/catalogue.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/clock.h"

#define LIMIT_DEFAULT 50
#define DAY_US (24ll * 3600 * 1000000)

/* ---- what the commands share */

typedef int work(struct catalogue *c);

static int with_tenant(const struct args *a, work *f)
{
	static struct catalogue c;
	int status = catalogue_open(&c, a);
	if (!status && args_has(a, O(tenant)))
		status = catalogue_tenant(&c);
	if (!status)
		status = f(&c);
	catalogue_close(&c);
	return status;
}

static void put_given(struct pg_params *p, const struct args *a, enum param_id id)
{
	if (a->given >> id & 1)
		pg_i64(p, a->number[id]);
	else
		pg_null(p, PG_INT8);
}

static void put_text(struct pg_params *p, const struct args *a, enum param_id id)
{
	const char *text = args_text(a, id, NULL);
	pg_text(p, text ? slice_str(text) : SLICE_NONE);
}

/* A change: no row means that there was nothing to change. */
static int change(struct catalogue *c, const char *sql, const struct pg_params *p,
		  const char *what, const char *absent)
{
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	int found = catalogue_query(c, sql, p, &json, what);
	if (found < 0)
		return EXIT_FAILED;
	if (!found) {
		report("%s", absent);
		return EXIT_ABSENT;
	}
	catalogue_print(c, &json);
	return EXIT_FINE;
}

/* ---- usage */

static int take_time(const struct args *a, enum param_id id, int64_t *us)
{
	const char *text = args_text(a, id, NULL);
	if (!text || clock_parse(slice_str(text), us))
		return EXIT_FINE;
	report("usage: --%s must be a day or an instant of UTC, like 2026-11-30 or "
	       "2026-11-30T12:00:00Z, not '%s'",
	       param_of(id)->name, text);
	return EXIT_USAGE;
}

static int print_usage(struct catalogue *c)
{
	const struct args *a = c->args;
	struct pg_params p;
	int64_t to = clock_real_us() + DAY_US, from;
	int status = take_time(a, PARAM_to, &to);
	from = to - 30 * DAY_US;
	if (!status)
		status = take_time(a, PARAM_from, &from);
	if (status)
		return status;
	pg_params_init(&p);
	pg_i64(&p, c->tenant);
	pg_time(&p, from);
	pg_time(&p, to);
	pg_text(&p, slice_str(args_text(a, PARAM_by, "day")));
	put_text(&p, a, PARAM_agent);
	pg_i32(&p, (int32_t)args_number(a, PARAM_limit, LIMIT_DEFAULT));
	status = change(c,
			"SELECT tb.usage_report($1, $2, $3, $4, x.id, NULL, $6)::text "
			"FROM (SELECT (SELECT g.agent_id FROM tb.agents g WHERE "
			"g.tenant_id = $1 AND (g.name = $5 OR g.agent_id::text = $5) "
			"LIMIT 1) AS id) x WHERE $5::text IS NULL OR x.id IS NOT NULL",
			&p, "reading the usage", "the tenant has no such agent");
	pg_params_fini(&p);
	return status;
}

int usage_command(const struct args *a)
{
	return with_tenant(a, print_usage);
}

/* ---- budgets */

int budget_list_command(const struct args *a)
{
	return catalogue_list_by_tenant(
		a,
		"SELECT json_build_object('budgets', coalesce(json_agg(b || "
		"jsonb_build_object('tenant', t.slug)), '[]'))::text FROM tb.tenants t "
		"CROSS JOIN LATERAL jsonb_array_elements(tb.budget_report(t.tenant_id, "
		"NULL, NULL)) b WHERE t.tenant_id > 0 AND ($1 = 0 OR t.tenant_id = $1)",
		"reading the budgets");
}

static int set_budget(struct catalogue *c)
{
	static const char sql[] =
		"SELECT json_build_object('tenant', $3, 'period', $5, 'of', x.scope, "
		"'id', nullif(x.id, ''))::text FROM (SELECT s.*, tb.budget_set($4, "
		"s.scope, s.id, $5, $6, $7, $8, $9, $1, $2) AS outcome FROM (SELECT "
		"CASE WHEN $10::text IS NOT NULL THEN 'agent' WHEN $11::text IS NOT NULL "
		"THEN 'user' ELSE 'tenant' END AS scope, CASE WHEN $10 IS NOT NULL THEN "
		"(SELECT g.agent_id::text FROM tb.agents g WHERE g.tenant_id = $4 AND "
		"g.deleted_at IS NULL AND (g.name = $10 OR g.agent_id::text = $10) LIMIT "
		"1) ELSE coalesce($11, '') END AS id) s) x WHERE x.outcome = 'done'";
	const struct args *a = c->args;
	struct pg_params p;
	if (args_has(a, O(agent) | O(user))) {
		report("a budget is of one agent or of one user, not of both");
		return EXIT_USAGE;
	}
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_text(&p, slice_str(c->slug));
	pg_i64(&p, c->tenant);
	pg_text(&p, slice_str(a->text[PARAM_period]));
	put_given(&p, a, PARAM_tokens);
	put_given(&p, a, PARAM_cost);
	put_given(&p, a, PARAM_calls);
	put_given(&p, a, PARAM_busy);
	put_text(&p, a, PARAM_agent);
	put_text(&p, a, PARAM_user);
	int status = change(c, sql, &p, "the budget cannot be changed",
			    "there is no such budget, or agent; 'terabitsctl budget "
			    "list' shows the budgets");
	pg_params_fini(&p);
	return status;
}

int budget_set_command(const struct args *a)
{
	if (!(a->given & (O(tokens) | O(cost) | O(calls) | O(busy)))) {
		report("budget set: say what is limited: --tokens, --cost, --calls or "
		       "--busy; 'budget clear' takes a budget away");
		return EXIT_USAGE;
	}
	return with_tenant(a, set_budget);
}

int budget_clear_command(const struct args *a)
{
	return with_tenant(a, set_budget);
}

/* ---- prices */

static int print_prices(struct catalogue *c)
{
	struct pg_params p;
	pg_params_init(&p);
	pg_i64(&p, c->tenant);
	int status = catalogue_list(
		c, "SELECT json_build_object('prices', tb.price_report($1))::text", &p,
		"reading the prices");
	pg_params_fini(&p);
	return status;
}

int price_list_command(const struct args *a)
{
	return with_tenant(a, print_prices);
}

static int set_price(struct catalogue *c)
{
	const struct args *a = c->args;
	struct pg_params p;
	struct slice model = slice_str(a->text[PARAM_model]);
	struct slice provider = slice_cut(&model, '/');
	if (!provider.n || !model.n) {
		report("the model must be PROVIDER/NAME, for instance "
		       "openai/gpt-4o-mini, "
		       "not '%s'",
		       a->text[PARAM_model]);
		return EXIT_USAGE;
	}
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_i64(&p, c->tenant); /* 0: the platform */
	pg_text(&p, provider);
	pg_text(&p, model);
	put_given(&p, a, PARAM_price_in);
	put_given(&p, a, PARAM_price_out);
	put_given(&p, a, PARAM_price_cached);
	put_given(&p, a, PARAM_price_write);
	int status =
		change(c,
		       "SELECT json_build_object('provider', $4, 'model', $5)::text "
		       "FROM (SELECT tb.price_set($3, $4, $5, $6, $7, $8, $9, $1, "
		       "$2) AS done) x WHERE x.done",
		       &p, "the price cannot be changed",
		       "there is no such price; 'terabitsctl price list' shows them");
	pg_params_fini(&p);
	return status;
}

int price_set_command(const struct args *a)
{
	return with_tenant(a, set_price);
}

int price_clear_command(const struct args *a)
{
	return with_tenant(a, set_price);
}
