/* SPDX-License-Identifier: Apache-2.0
 * An inquiry for embeddings (docs/embeddings.md): {"texts", "base64", "dimensions"?,
 * "user"?}, and which model. Its texts go to their provider in batches, one after the
 * other, or are hashed here; what comes is written out a few milliseconds at a time. What
 * it may cost is reserved before, where a budget may bind it, and settled after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg/pool.h"
#include "worker/context/tokens.h"
#include "worker/inquiry.h"
#include "worker/keys.h"
#include "worker/lexical.h"
#include "worker/llm/embed.h"
#include "worker/llm/endpoints.h"
#include "worker/llm/prices.h"
#include "worker/sql.h"

/* Of one turn of the loop, and between two looks at the clock. */
#define SLICE_US 2000
#define SLICE_BYTES 2048u
/* An upper bound, as worker/budget.c takes it. */
#define TOKEN_BYTES 3

struct embed {
	struct inquiry *inquiry;
	struct json_doc *doc;
	json_t texts;
	size_t count, done, batch_from, batch_end;
	bool base64;
	int64_t dimensions;
	struct slice user, model; /* model: without its provider */
	const struct llm_provider *provider;
	struct provider_key *key;
	struct llm_target target;
	struct price_list *prices;
	struct llm_answer answer;
	struct llm_embed call;
	struct op op;
	struct lexical lexical;
	struct loop_timer *more; /* the next slice */
	struct strbuf out;
	int64_t began_us, tokens;
	int64_t had_tokens, had_micros; /* reserved; had_tokens below 0: nothing */
	int calls;
	enum err failure;
};

static void free_embed(void *p)
{
	struct embed *e = p;
	loop_timer_free(e->more);
	json_free(e->doc);
	key_give_back(e->key);
	price_list_free(e->prices);
	llm_embed_fini(&e->call);
	llm_answer_fini(&e->answer);
	strbuf_fini(&e->out);
	free(e);
}

static struct slice text_at(const struct embed *e, size_t i)
{
	return json_str(json_at(e->texts, i));
}

/* ---- what it cost */

static int64_t cost_of(const struct embed *e, int64_t tokens)
{
	struct price p;
	struct llm_usage u = {.in = tokens};
	return price_find(e->prices, slice_str(e->provider->name), e->model, &p)
		       ? price_cost(&p, &u)
		       : PRICE_UNKNOWN;
}

static void put_micros(struct pg_params *p, int64_t micros)
{
	if (micros < 0)
		pg_null(p, PG_INT8);
	else
		pg_i64(p, micros);
}

static void answer(struct embed *e)
{
	struct inquiry *i = e->inquiry;
	if (e->failure) {
		inquiry_fail(i, e->failure, "%s",
			     e->answer.error[0] ? e->answer.error : err_text(e->failure));
		return;
	}
	strbuf_add_str(&e->out, "],\"model\":\"");
	json_escape(&e->out, slice_str(i->model));
	strbuf_printf(&e->out,
		      "\",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}\n",
		      (long long)e->tokens, (long long)e->tokens);
	inquiry_finish(i, &e->out);
}

static void on_settled(void *arg, const struct pg_answer *a)
{
	struct embed *e = arg;
	if (a->err && a->err != ERR_CANCELLED)
		log_error("embedding-not-settled", "sqlstate=%s message=\"%s\"",
			  a->sqlstate, a->message ? a->message : "");
	answer(e);
	inquiry_release(e->inquiry);
}

/* The ledger first: what nobody was told of was paid all the same. */
static void settle(struct embed *e)
{
	struct inquiry *i = e->inquiry;
	if (!e->calls && e->had_tokens < 0) {
		answer(e);
		return;
	}
	struct pg_request *q = pg_begin(i->worker->pool);
	struct pg_params *p = pg_add(q, SQL_EMBED_SETTLE);
	pg_text(p, slice_str(i->cap));
	pg_text(p, e->user);
	pg_text(p, slice_str(e->provider->name));
	pg_text(p, e->model);
	pg_i32(p, e->calls);
	pg_i64(p, e->tokens);
	put_micros(p, cost_of(e, e->tokens));
	pg_i32(p, (int32_t)((clock_mono_us() - e->began_us) / 1000));
	put_micros(p, e->had_tokens);
	put_micros(p, e->had_micros);
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_settled, e);
}

static void fail(struct embed *e, enum err why)
{
	e->failure = why;
	settle(e);
}

/* ---- vectors, a slice at a time */

static void put_floats(struct strbuf *out, const float *v, bool base64)
{
	char text[4 * ((4 * LEXICAL_DIMENSIONS + 2) / 3) + 8];
	if (base64) {
		crypto_base64(v, LEXICAL_DIMENSIONS * sizeof *v, text, sizeof text);
		strbuf_printf(out, "\"%s\"", text);
		return;
	}
	for (size_t i = 0; i < LEXICAL_DIMENSIONS; i++)
		strbuf_printf(out, "%c%.9g", i ? ',' : '[', (double)v[i]);
	strbuf_add_char(out, ']');
}

static void begin_element(struct embed *e)
{
	strbuf_printf(&e->out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
		      e->done ? "," : "", e->done);
}

/* False: the text is long, and goes on. */
static bool put_lexical(struct embed *e)
{
	struct slice text = text_at(e, e->done);
	if (!lexical_read(&e->lexical, text, SLICE_BYTES))
		return false;
	begin_element(e);
	put_floats(&e->out, e->lexical.v, e->base64);
	strbuf_add_char(&e->out, '}');
	memset(&e->lexical, 0, sizeof e->lexical);
	e->tokens += tokens_of_text(text);
	e->done++;
	return true;
}

static bool put_one(struct embed *e)
{
	begin_element(e);
	if (!llm_embed_next(&e->call, e->done - e->batch_from, e->base64, &e->out)) {
		e->failure = ERR_MODEL_BROKEN;
		return false;
	}
	strbuf_add_char(&e->out, '}');
	e->done++;
	return true;
}

static void ask_batch(struct embed *e);

static void on_more(void *arg)
{
	struct embed *e = arg;
	int64_t until_us = clock_mono_us() + SLICE_US;
	bool local = !e->provider->base_url;
	while (!e->failure && !e->inquiry->over && e->done < e->batch_end &&
	       clock_mono_us() < until_us)
		if (local)
			put_lexical(e);
		else
			put_one(e);
	bool goes_on = !e->failure && !e->inquiry->over;
	if (goes_on && e->done < e->batch_end) {
		loop_timer_start(e->more, 0);
	} else if (goes_on && e->done < e->count) {
		ask_batch(e);
	} else {
		settle(e);
		inquiry_release(e->inquiry);
	}
}

/* ---- the provider */

static int64_t estimate(const struct embed *e, size_t from, size_t end)
{
	int64_t bytes = 0;
	for (size_t i = from; i < end; i++)
		bytes += (int64_t)text_at(e, i).n + TOKEN_BYTES;
	return bytes / TOKEN_BYTES;
}

static void on_done(struct op *op, enum err err, void *arg)
{
	struct embed *e = arg;
	(void)op;
	if (err) {
		fail(e, err);
		inquiry_release(e->inquiry);
		return;
	}
	e->calls++;
	/* Who reports nothing is charged by an estimate. */
	for (size_t i = e->batch_from; !e->call.tokens && i < e->batch_end; i++)
		e->tokens += tokens_of_text(text_at(e, i));
	e->tokens += e->call.tokens;
	loop_timer_start(e->more, 0);
}

/* Holds the inquiry until the last vector is written. */
static void ask_batch(struct embed *e)
{
	struct worker *w = e->inquiry->worker;
	size_t most = llm_embed_batch(e->provider, e->base64);
	e->batch_from = e->done;
	e->batch_end = e->count - e->done > most ? e->done + most : e->count;
	llm_answer_reset(&e->answer);
	op_init(&e->op, w->loop, on_done, e);
	llm_embed_start(&e->call, w->loop, w->http, &e->target,
			&(struct llm_embed_ask){.model = e->model,
						.texts = e->texts,
						.from = e->batch_from,
						.end = e->batch_end,
						.base64 = e->base64,
						.dimensions = e->dimensions,
						.user = e->user},
			&e->answer, &e->op);
}

static void start(struct embed *e)
{
	e->began_us = clock_mono_us();
	strbuf_add_str(&e->out, "{\"object\":\"list\",\"data\":[");
	inquiry_hold(e->inquiry);
	if (e->provider->base_url) {
		ask_batch(e);
		return;
	}
	e->batch_end = e->count;
	e->calls = 1;
	loop_timer_start(e->more, 0);
}

/* ---- budgets */

static void exhausted(struct embed *e, const struct pg_result *b)
{
	struct slice unit = pg_get_text(b, 0, 4), begins = pg_get_text(b, 0, 7);
	e->failure = slice_is(unit, "micros")    ? ERR_BUDGET_COST
		     : slice_is(unit, "calls")   ? ERR_BUDGET_CALLS
		     : slice_is(unit, "seconds") ? ERR_BUDGET_TIME
						 : ERR_BUDGET_TOKENS;
	if (slice_is(pg_get_text(b, 0, 0), "unpriced"))
		snprintf(e->answer.error, LLM_ERROR_BYTES,
			 "a budget limits the cost, and the price of the model '%.100s' "
			 "is not known: give it one by 'terabitsctl price set' or PUT "
			 "/v1/prices",
			 e->inquiry->model);
	else
		snprintf(e->answer.error, LLM_ERROR_BYTES,
			 "the %.*s's budget of %lld %.*s (%.*s) does not hold this: %lld "
			 "are used%s%.*s",
			 SLICE_ARG(pg_get_text(b, 0, 1)), (long long)pg_get_i64(b, 0, 5),
			 SLICE_ARG(unit), SLICE_ARG(pg_get_text(b, 0, 3)),
			 (long long)pg_get_i64(b, 0, 6),
			 begins.n ? "; it begins anew at " : "", SLICE_ARG(begins));
	answer(e);
}

static void on_reserved(void *arg, const struct pg_answer *a)
{
	struct embed *e = arg;
	struct inquiry *i = e->inquiry;
	const struct pg_result *b = a->err ? NULL : a->results[0];
	if (a->err) {
		inquiry_fail(i, ERR_DATABASE, "the budgets cannot be read; try again");
	} else if (slice_is(pg_get_text(b, 0, 0), "granted")) {
		if (i->over)
			settle(e);
		else
			start(e);
	} else if (slice_is(pg_get_text(b, 0, 0), "stale")) {
		inquiry_fail(i, ERR_UNAVAILABLE, "it took too long; try again");
	} else {
		e->had_tokens = -1;
		exhausted(e, b);
	}
	inquiry_release(i);
}

static void reserve(struct embed *e)
{
	struct inquiry *i = e->inquiry;
	struct pg_request *q = pg_begin(i->worker->pool);
	struct pg_params *p = pg_add(q, SQL_EMBED_RESERVE);
	e->had_tokens = estimate(e, 0, e->count);
	e->had_micros = cost_of(e, e->had_tokens);
	pg_text(p, slice_str(i->cap));
	pg_text(p, e->user);
	pg_i64(p, e->had_tokens);
	put_micros(p, e->had_micros);
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_reserved, e);
}

/* ---- by which key */

/* Of the tenant's or else the platform's the first that opens; else the node's own. */
static bool find_target(struct embed *e, const struct pg_result *keys)
{
	struct worker *w = e->inquiry->worker;
	for (int i = 0; i < pg_rows(keys) && !e->key; i++)
		if (pg_get_i64(keys, i, 0) == pg_get_i64(keys, 0, 0))
			e->key = keys_open_row(w, keys, i);
	if (e->key) {
		key_aim(w, e->key, e->provider, &e->target);
	} else if (pg_rows(keys)) {
		inquiry_fail(
			e->inquiry, ERR_MODEL_CONFIG,
			"the key for %s cannot be opened by this node: set it again, "
			"or give the node the master key that it was sealed to",
			e->provider->name);
		return false;
	} else if (e->provider->base_url &&
		   !endpoints_find(w->endpoints, e->provider, &e->target)) {
		inquiry_fail(e->inquiry, ERR_MODEL_CONFIG,
			     "the model '%.100s' needs a key for %s, or the base URL of "
			     "a server that speaks its language",
			     e->inquiry->model, e->provider->name);
		return false;
	}
	e->target.silence_us = w->silence_us;
	return true;
}

static void on_terms(void *arg, const struct pg_answer *a)
{
	struct embed *e = arg;
	struct inquiry *i = e->inquiry;
	if (a->err) {
		inquiry_fail(i, ERR_DATABASE,
			     "the keys of the model provider cannot be read; try again");
	} else if (!pg_rows(a->results[0])) {
		inquiry_fail(i, ERR_UNAVAILABLE, "it took too long; try again");
	} else if (!i->over && find_target(e, a->results[1])) {
		e->prices = price_list_new(pg_get_text(a->results[0], 0, 0));
		if (pg_get_bool(a->results[0], 0, 1))
			reserve(e);
		else
			start(e);
	}
	inquiry_release(i);
}

static void read_terms(struct embed *e)
{
	struct inquiry *i = e->inquiry;
	struct pg_request *q = pg_begin(i->worker->pool);
	pg_text(pg_add(q, SQL_EMBED_TERMS), slice_str(i->cap));
	struct pg_params *p = pg_add(q, SQL_EMBED_KEYS);
	pg_text(p, slice_str(i->cap));
	pg_text(p, slice_str(e->provider->name));
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_terms, e);
}

/* ---- the question */

static void on_time(struct inquiry *i)
{
	struct embed *e = i->work;
	if (op_is_active(&e->op))
		op_cancel(&e->op, ERR_MODEL_TIMEOUT);
	else
		inquiry_fail(i, ERR_UNAVAILABLE, "it took too long; try again");
}

static void on_end(struct inquiry *i)
{
	struct embed *e = i->work;
	op_cancel(&e->op, ERR_CANCELLED);
}

static bool read_model(struct embed *e)
{
	struct slice full = slice_str(e->inquiry->model);
	e->provider = llm_provider_of(full, &e->model);
	if (slice_is(full, "offline")) {
		e->provider = &llm_offline;
		e->model = SLICE("lexical");
	}
	if (!e->provider) {
		inquiry_fail(e->inquiry, ERR_MODEL_CONFIG,
			     "the model '%.100s' is of no provider this node knows: use "
			     "PROVIDER/NAME, for instance openai/text-embedding-3-small, "
			     "or offline",
			     e->inquiry->model);
		return false;
	}
	if (e->provider == &llm_offline && e->dimensions &&
	    e->dimensions != LEXICAL_DIMENSIONS) {
		inquiry_fail(e->inquiry, ERR_BAD_REQUEST,
			     "dimensions must be %d for the model 'offline', or be left "
			     "out",
			     LEXICAL_DIMENSIONS);
		return false;
	}
	if (e->provider != &llm_offline && !llm_embeds(e->provider)) {
		inquiry_fail(e->inquiry, ERR_MODEL_CONFIG,
			     "the provider '%s' has no embeddings", e->provider->name);
		return false;
	}
	return true;
}

void embed_begin(struct inquiry *i)
{
	struct embed *e = xcalloc(1, sizeof *e);
	e->inquiry = i;
	e->had_tokens = e->had_micros = -1;
	e->more = loop_timer_new(i->worker->loop, on_more, e);
	llm_answer_init(&e->answer);
	i->work = e;
	i->on_time = on_time;
	i->on_end = on_end;
	i->free_work = free_embed;
	e->doc = json_parse(strbuf_slice(&i->body), LIMIT_BODY_BYTES, NULL, 0);
	json_t root = json_root(e->doc);
	e->texts = json_get(root, "texts");
	e->count = json_len(e->texts);
	e->base64 = json_bool(json_get(root, "base64"), false);
	json_i64(json_get(root, "dimensions"), &e->dimensions);
	e->user = json_str(json_get(root, "user"));
	if (!e->count)
		inquiry_fail(i, ERR_BAD_REQUEST, "there is no text");
	else if (read_model(e))
		read_terms(e);
}
