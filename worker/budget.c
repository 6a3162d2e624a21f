/* SPDX-License-Identifier: Apache-2.0
 * Estimates from above: a call is made only if what it may use fits. */
#include "worker/budget.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "worker/llm/prices.h"
#include "worker/run.h"
#include "worker/sql.h"

/* An answer of which nobody said how long it may be. */
#define ANSWER_TOKENS 8192
/* A shorter one is of no use. */
#define ANSWER_LEAST 64
/* Of tokens: few texts have more than one in three bytes. An upper bound, not the best
 * guess that worker/context/tokens.c makes: what is let pass here must not cost more than
 * was reserved, while a context that is taken for too full is compacted too early. So it
 * learns nothing from what models report, and an image costs more. */
#define TOKEN_BYTES 3
#define MESSAGE_BYTES 64
#define IMAGE_TOKENS 2000
#define CONTENT_MOST (64u << 20)
#define WEATHER_US 500000
#define MILLION 1000000

/* While others hold what it needs. */
static const struct backoff patience = {.first_us = 200000, .cap_us = 2000000};

struct estimate {
	int64_t in, out; /* tokens, at most */
	bool priced;
	int64_t in_micros, price_out;
};

struct scope {
	const char *whose;
	struct budget_limits most, used;
};

/* ---- limits */

static bool is_limit(const struct budget_limits *l)
{
	return l->tokens || l->cost_micros || l->calls || l->seconds;
}

static struct scope of_run(const struct run *r)
{
	return (struct scope){
		"this run's",
		budget_limits_of(&r->agent->config.run_budget, &r->asking.own.budget),
		{r->tokens_in + r->tokens_out, r->usage.cost_micros, r->usage.calls,
		 run_active_ms(r) / 1000}};
}

static struct scope of_session(const struct run *r)
{
	struct scope s = of_run(r);
	const struct budget_limits *before = &r->money.session_used;
	s.whose = "the session's";
	s.most = r->agent->config.session_budget;
	s.used.tokens += before->tokens;
	s.used.cost_micros += before->cost_micros;
	s.used.calls += before->calls;
	s.used.seconds += before->seconds;
	return s;
}

/* ---- the estimate */

static int64_t content_tokens(struct slice content)
{
	int64_t bytes = (int64_t)content.n, tokens = 0;
	if (slice_find(content, SLICE("\"image\"")) < 0)
		return (bytes + MESSAGE_BYTES) / TOKEN_BYTES;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, CONTENT_MOST, NULL, 0);
	struct json_iter it = json_iter(json_get(json_root(d), "blocks"));
	for (json_t b; (b = json_next(&it, NULL));)
		if (slice_is(json_str(json_get(b, "type")), "image")) {
			bytes -= (int64_t)json_str(json_get(b, "data")).n;
			tokens += IMAGE_TOKENS;
		}
	return tokens + (bytes + MESSAGE_BYTES) / TOKEN_BYTES;
}

static struct estimate estimate(const struct run *r, const struct llm_question *q)
{
	struct estimate e = {.in = ((int64_t)q->system.n + MESSAGE_BYTES) / TOKEN_BYTES,
			     .out = q->params.max_tokens ? q->params.max_tokens
							 : ANSWER_TOKENS};
	struct price p;
	for (size_t i = 0; i < q->message_count; i++)
		e.in += content_tokens(q->messages[i]->content);
	for (size_t i = 0; i < q->tool_count; i++)
		e.in += ((int64_t)(strlen(q->tools[i]->name) +
				   slice_str(q->tools[i]->description).n +
				   strlen(q->tools[i]->schema)) +
			 MESSAGE_BYTES) /
			TOKEN_BYTES;
	e.priced = price_find(r->permit->prices, slice_str(r->target.provider->name),
			      r->model, &p);
	if (e.priced) {
		int64_t dearest = p.cache_write > p.in ? p.cache_write : p.in;
		struct price as_new = {.in = dearest};
		e.in_micros = price_cost(&as_new, &(struct llm_usage){.in = e.in});
		e.price_out = p.out;
	}
	return e;
}

/* ---- what a refusal says */

static void put_amount(char *out, size_t size, const char *unit, int64_t n)
{
	if (!strcmp(unit, "micros"))
		snprintf(out, size, "%lld.%06lld US dollars", (long long)n / 1000000,
			 (long long)(n % 1000000));
	else
		snprintf(out, size, "%lld %s", (long long)n,
			 !strcmp(unit, "calls") ? "model calls" : unit);
}

static enum err error_of(const char *unit)
{
	return !strcmp(unit, "micros")    ? ERR_BUDGET_COST
	       : !strcmp(unit, "calls")   ? ERR_BUDGET_CALLS
	       : !strcmp(unit, "seconds") ? ERR_BUDGET_TIME
					  : ERR_BUDGET_TOKENS;
}

/* Always false. `rest` ends the sentence. */
static bool refuse(struct run *r, const char *whose, const char *unit, int64_t most,
		   int64_t used, const char *rest)
{
	char limit[60], had[60];
	put_amount(limit, sizeof limit, unit, most);
	put_amount(had, sizeof had, unit, used);
	run_fail(r, error_of(unit),
		 "%s budget of %s does not hold another model call: %s are used%s", whose,
		 limit, had, rest);
	return false;
}

static bool refuse_unpriced(struct run *r, const char *whose)
{
	run_fail(r, ERR_BUDGET_COST,
		 "%s budget limits the cost, and the price of the model '%s/%.*s' is not "
		 "known: give it one by 'terabitsctl price set' or PUT /v1/prices",
		 whose, r->target.provider->name,
		 (int)(r->model.n > 100 ? 100 : r->model.n), r->model.p);
	return false;
}

/* ---- limits that are counted here */

static int64_t least(const struct estimate *e)
{
	return e->out < ANSWER_LEAST ? e->out : ANSWER_LEAST;
}

static bool cost_fits(struct run *r, const struct scope *s, struct estimate *e)
{
	int64_t most = s->most.cost_micros,
		room = most - s->used.cost_micros - e->in_micros;
	struct price p = {.out = e->price_out};
	if (!most)
		return true;
	if (!e->priced)
		return refuse_unpriced(r, s->whose);
	if (!e->in_micros && !e->price_out)
		return true;
	if (room < price_cost(&p, &(struct llm_usage){.out = least(e)}))
		return refuse(r, s->whose, "micros", most, s->used.cost_micros, "");
	if (e->price_out && room < INT64_MAX / MILLION &&
	    room * MILLION / e->price_out < e->out)
		e->out = room * MILLION / e->price_out;
	return true;
}

/* Shortens the answer to what is left; false: too little is, and the run has failed. */
static bool fits(struct run *r, const struct scope *s, struct estimate *e)
{
	const struct budget_limits *most = &s->most, *used = &s->used;
	int64_t room = most->tokens - used->tokens - e->in;
	if (most->seconds && used->seconds >= most->seconds)
		return refuse(r, s->whose, "seconds", most->seconds, used->seconds, "");
	if (most->calls && used->calls >= most->calls)
		return refuse(r, s->whose, "calls", most->calls, used->calls, "");
	if (most->tokens && room < least(e))
		return refuse(r, s->whose, "tokens", most->tokens, used->tokens, "");
	if (most->tokens && room < e->out)
		e->out = room;
	return cost_fits(r, s, e);
}

/* ---- the session's past */

static void again(struct run *r, const struct pg_answer *a)
{
	log_warn("budget-again", "sqlstate=%s message=\"%s\"", a->sqlstate, a->message);
	loop_timer_start(r->pause, WEATHER_US);
}

/* False: there is none; the run is asked again or has failed. */
static bool is_answer(struct run *r, const struct pg_answer *a)
{
	if (!a->err)
		return true;
	if (a->fate == PG_ROLLED_BACK && pg_error_kind(a->sqlstate) == PG_ERROR_ROW)
		run_fail(r, ERR_INTERNAL,
			 "the budgets cannot be read (the database says %s: see the "
			 "worker's log)",
			 a->sqlstate);
	else
		again(r, a);
	run_wake(r);
	return false;
}

static void on_session(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	r->loading = false;
	if (a->err == ERR_CANCELLED || !is_answer(r, a))
		return;
	const struct pg_result *s = a->results[1];
	r->money.session_used =
		(struct budget_limits){pg_get_i64(s, 0, 0), pg_get_i64(s, 0, 1),
				       pg_get_i64(s, 0, 2), pg_get_i64(s, 0, 3)};
	r->money.session_known = true;
	run_wake(r);
}

static bool ask_session(struct run *r)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	pg_text(pg_add(q, SQL_CAP), slice_str(r->cap));
	struct pg_params *p = pg_add(q, SQL_SESSION_USAGE);
	pg_i64(p, r->tenant);
	pg_uuid(p, r->session_id);
	r->loading = true;
	pg_submit(q, CONN_READS, 0, on_session, r);
	return false;
}

/* ---- limits that runs share */

static void exhausted(struct run *r, const struct pg_result *b)
{
	struct slice scope = pg_get_text(b, 0, 2), id = pg_get_text(b, 0, 3);
	struct slice period = pg_get_text(b, 0, 4), unit = pg_get_text(b, 0, 5);
	struct slice begins = pg_get_text(b, 0, 9);
	char whose[120], rest[120] = "", word[12];
	const char *per = slice_is(period, "total") ? "whole"
			  : slice_is(period, "day") ? "daily"
						    : "monthly";
	if (slice_is(scope, "user"))
		snprintf(whose, sizeof whose, "the user '%.*s' %s",
			 (int)(id.n > 60 ? 60 : id.n), id.p, per);
	else
		snprintf(whose, sizeof whose, "the %.*s's %s", SLICE_ARG(scope), per);
	if (slice_is(pg_get_text(b, 0, 0), "unpriced")) {
		refuse_unpriced(r, whose);
		return;
	}
	if (begins.n)
		snprintf(rest, sizeof rest, "; it begins anew at %.*s",
			 SLICE_ARG(begins));
	snprintf(word, sizeof word, "%.*s", SLICE_ARG(unit));
	refuse(r, whose, word, pg_get_i64(b, 0, 6), pg_get_i64(b, 0, 7), rest);
}

static void wait_for_others(struct run *r)
{
	uint32_t dice;
	crypto_random(&dice, sizeof dice);
	loop_timer_start(r->pause, backoff_us(&patience, ++r->money.refusals, dice, 0));
}

static void on_reserved(void *arg, const struct pg_answer *a)
{
	struct run *r = arg;
	struct run_budget *m = &r->money;
	r->loading = false;
	if (a->err == ERR_CANCELLED || !is_answer(r, a))
		return;
	const struct pg_result *b = a->results[0];
	struct slice outcome = pg_get_text(b, 0, 0);
	m->granted = slice_is(outcome, "granted") || slice_is(outcome, "none");
	m->answer = pg_get_i64(b, 0, 1);
	if (slice_is(outcome, "granted"))
		r->usage.reserved = true;
	if (slice_is(outcome, "stale"))
		r->lost = true;
	else if (slice_is(outcome, "held"))
		wait_for_others(r);
	else if (!m->granted)
		exhausted(r, b);
	run_wake(r);
}

static bool reserve(struct run *r, const struct estimate *e)
{
	struct pg_request *q = pg_begin(r->worker->pool);
	struct pg_params *p = pg_add(q, SQL_BUDGET_RESERVE);
	int64_t tokens = 0, micros = 0;
	for (size_t i = 0; i < r->usage.pending_count; i++) {
		const struct commit_usage *u = &r->usage.pending[i];
		tokens += u->in + u->out;
		micros += u->cost_micros > 0 ? u->cost_micros : 0;
	}
	pg_text(p, slice_str(r->cap));
	pg_i64(p, r->tenant);
	pg_uuid(p, r->id);
	pg_i64(p, r->fence);
	pg_i64(p, tokens);
	pg_i64(p, micros);
	pg_i64(p, e->in);
	pg_i64(p, e->out);
	if (e->priced)
		pg_i64(p, e->in_micros);
	else
		pg_null(p, PG_INT8);
	pg_i64(p, e->price_out);
	r->money.granted_in = e->in;
	r->loading = true;
	pg_submit(q, CONN_READS, 0, on_reserved, r);
	return false;
}

/* ---- before a call */

/* Its time is up while it is at something else, too. */
static void arm(struct run *r, const struct budget_limits *most)
{
	int64_t left = most->seconds * 1000000ll - run_active_ms(r) * 1000ll;
	if (most->seconds && most->seconds * 1000000ll < RUN_BUDGET_US)
		loop_timer_start(r->budget, left > 0 ? left : 0);
}

bool budget_allows(struct run *r, struct llm_question *q)
{
	struct run_budget *m = &r->money;
	struct scope run = of_run(r), session = of_session(r);
	bool shared = r->permit->budgeted, limited = is_limit(&session.most);
	if (!shared && !limited && !is_limit(&run.most))
		return true;
	arm(r, &run.most);
	if (limited && !m->session_known)
		return ask_session(r);
	struct estimate e = estimate(r, q);
	if (!fits(r, &run, &e) || (limited && !fits(r, &session, &e)))
		return false;
	if (shared && !(m->granted && e.in <= m->granted_in))
		return reserve(r, &e);
	if (shared && m->answer && m->answer < e.out)
		e.out = m->answer;
	m->granted = false;
	m->refusals = 0;
	q->params.max_tokens = e.out;
	return true;
}
