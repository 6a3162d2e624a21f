/* SPDX-License-Identifier: Apache-2.0
 * From an answer to the ledger's row, and the settlement of what budgets reserved. */
#include "worker/usage.h"

#include "common/attr.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg/row.h"
#include "worker/commit.h"
#include "worker/llm/prices.h"
#include "worker/run.h"

void usage_begin(struct run *r)
{
	r->usage.asking = true;
	r->asked_us = clock_mono_us();
}

static int64_t cost_of(const struct run *r, struct slice provider, struct slice model,
		       const struct llm_usage *u)
{
	struct price p;
	const struct price_list *l = r->permit ? r->permit->prices : NULL;
	return price_find(l, provider, model, &p) ? price_cost(&p, u) : PRICE_UNKNOWN;
}

/* The place of one more row of the step that the run is at. */
static int call_no(struct run *r, int step)
{
	if (step != r->usage.step) {
		r->usage.step = step;
		r->usage.next_call = 0;
	}
	return r->usage.next_call++;
}

static void add_up(struct commit_usage *to, const struct commit_usage *u)
{
	to->in += u->in;
	to->out += u->out;
	to->cached += u->cached;
	to->cache_write += u->cache_write;
	to->reasoning += u->reasoning;
	to->duration_us += u->duration_us;
	to->cost_micros = to->cost_micros < 0 || u->cost_micros < 0
				  ? PRICE_UNKNOWN
				  : to->cost_micros + u->cost_micros;
}

void usage_add(struct run *r, const struct llm_target *t, struct slice model,
	       const struct llm_usage *u, int64_t duration_us)
{
	struct run_usage *x = &r->usage;
	struct slice provider = slice_str(t->provider->name);
	struct commit_usage row = {.provider = provider,
				   .model = model,
				   .in = u->in,
				   .out = u->out,
				   .cached = u->cached,
				   .cache_write = u->cache_write,
				   .reasoning = u->reasoning,
				   .cost_micros = cost_of(r, provider, model, u),
				   .duration_us = duration_us};
	r->tokens_in += u->in;
	r->tokens_out += u->out;
	x->calls++;
	if (row.cost_micros < 0)
		x->unpriced++;
	else
		x->cost_micros += row.cost_micros;
	if (x->pending_count == COMMIT_USAGE_MOST) { /* no token is lost */
		log_warn("usage-merged", "model=%.*s", SLICE_ARG(model));
		add_up(&x->pending[COMMIT_USAGE_MOST - 1], &row);
		return;
	}
	row.step = r->step_no + 1;
	row.call = call_no(r, row.step);
	x->pending[x->pending_count++] = row;
}

void usage_take(struct run *r)
{
	struct llm_usage u = r->answer.usage;
	bool whole = !r->op_result && r->answer.stop;
	if (!r->usage.asking)
		return;
	r->usage.asking = false;
	if (!whole && !u.in && !u.out)
		return;
	/* Servers that report nothing are charged by a plain estimate. */
	if (whole && !u.out)
		u.out = (int64_t)r->answer.text.n / 4 + 1;
	usage_add(r, &r->target, r->model, &u, clock_mono_us() - r->asked_us);
}

/* ---- the commit */

static void settle(struct run *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	int64_t tokens = 0, micros = 0, us = 0;
	for (size_t i = 0; i < r->usage.pending_count; i++) {
		const struct commit_usage *u = &r->usage.pending[i];
		tokens += u->in + u->out;
		micros += u->cost_micros > 0 ? u->cost_micros : 0;
		us += u->duration_us;
	}
	json_obj(&o);
	json_kv_i64(&o, "tokens", tokens);
	json_kv_i64(&o, "micros", micros);
	json_kv_i64(&o, "calls", (int64_t)r->usage.pending_count);
	json_kv_i64(&o, "ms", us / 1000);
	json_obj_end(&o);
	commit_act(r, "settle", strbuf_slice(&b));
}

void usage_put(struct run *r)
{
	struct run_usage *x = &r->usage;
	for (size_t i = 0; i < x->pending_count; i++)
		r->commit.usage[i] = x->pending[i];
	r->commit.usage_count = x->pending_count;
	if (x->pending_count && x->reserved)
		settle(r);
}

void usage_landed(struct run *r)
{
	if (!r->commit.usage_count)
		return;
	r->usage.pending_count = 0;
	r->usage.reserved = false;
}

void usage_resume(struct run *r, const struct pg_result *u)
{
	r->tokens_in = pg_get_i64(u, 0, 0);
	r->tokens_out = pg_get_i64(u, 0, 1);
	r->usage.cost_micros = pg_get_i64(u, 0, 2);
	r->usage.calls = pg_get_i64(u, 0, 3);
	r->usage.unpriced = pg_get_i64(u, 0, 4);
	r->usage.step = (int)(pg_get_i64(u, 0, 5) >> 16);
	r->usage.next_call = (int)(pg_get_i64(u, 0, 5) & 0xffff) + 1;
}
