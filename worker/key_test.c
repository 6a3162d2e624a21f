/* SPDX-License-Identifier: Apache-2.0
 * Whether a provider takes a key: its list is looked at, or a model asked for a word. It
 * goes the way that a run's question goes. A refusal is told and leaves no cooldown: some
 * keys may ask models and not list them, and what a run meets it finds out itself. */
#include "worker/inquiry.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg/pool.h"
#include "worker/keys.h"
#include "worker/llm/call.h"
#include "worker/llm/look.h"
#include "worker/redact.h"
#include "worker/sql.h"

/* Some providers take no less, some models think first. */
#define ANSWER_TOKENS 16
#define HELLO "{\"blocks\":[{\"type\":\"text\",\"text\":\"Answer with one word: ok\"}]}"

struct key_test {
	struct inquiry *inquiry;
	struct provider_key *key;
	struct llm_target target;
	struct slice model; /* without the provider; n 0: none is asked */
	struct llm_message hello;
	struct llm_answer answer;
	struct llm_look look;
	struct op op;
	int64_t began_us, took_us;
	enum err result;
};

static void free_test(void *p)
{
	struct key_test *t = p;
	key_give_back(t->key);
	strbuf_fini(&t->hello.wire);
	llm_answer_fini(&t->answer);
	free(t);
}

/* ---- the answer */

static void put_counts(struct json_out *o, const struct key_test *t)
{
	if (!t->model.n) {
		if (t->look.models >= 0)
			json_kv_i64(o, "models", t->look.models);
		return;
	}
	json_kv_str(o, "model", t->model);
	json_kv_i64(o, "tokensIn", t->answer.usage.in);
	json_kv_i64(o, "tokensOut", t->answer.usage.out);
}

static void put_error(struct json_out *o, const struct key_test *t)
{
	const char *said = t->answer.error;
	json_key(o, "error");
	json_obj(o);
	json_kv_cstr(o, "code", err_code(t->result));
	json_kv_cstr(o, "message", *said ? said : err_text(t->result));
	json_obj_end(o);
}

static void finish(struct key_test *t)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct inquiry *i = t->inquiry;
	char id[UUID_TEXT_LEN + 1];
	uuid_format(i->object, id);
	json_obj(&o);
	json_kv_bool(&o, "ok", !t->result);
	json_kv_cstr(&o, "key", id);
	json_kv_cstr(&o, "provider", t->target.provider->name);
	json_kv_i64(&o, "latencyMs", t->took_us / 1000);
	if (t->answer.status)
		json_kv_i64(&o, "status", t->answer.status);
	put_counts(&o, t);
	if (t->result)
		put_error(&o, t);
	json_obj_end(&o);
	struct redact *x = redact_new(i->worker);
	redact_add(x, t->target.api_key);
	redact_text(x, &b);
	redact_free(x);
	strbuf_add_char(&b, '\n');
	inquiry_finish(i, &b);
}

static void on_taken(void *arg, const struct pg_answer *a)
{
	struct key_test *t = arg;
	if (a->err && a->err != ERR_CANCELLED)
		log_warn("cooldown-not-told", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message ? a->message : "");
	finish(t);
	inquiry_release(t->inquiry);
}

/* What stood against it is over, as after a run's question. */
static void clear_cooldown(struct key_test *t)
{
	struct inquiry *i = t->inquiry;
	struct pg_request *q = pg_begin(i->worker->pool);
	struct pg_params *p = pg_add(q, SQL_INQUIRY_KEY_TAKEN);
	pg_text(p, slice_str(i->cap));
	pg_text(p, t->model.n ? t->model : SLICE(""));
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_taken, t);
}

static void on_done(struct op *op, enum err e, void *arg)
{
	struct key_test *t = arg;
	struct inquiry *i = t->inquiry;
	(void)op;
	/* That it said nothing within so few tokens is no matter. */
	bool half = e == ERR_MODEL_EMPTY || t->answer.stop;
	t->result = half ? ERR_OK : e;
	t->took_us = clock_mono_us() - t->began_us;
	if (t->result)
		finish(t);
	else
		clear_cooldown(t);
	inquiry_release(i);
}

/* ---- the question */

static void on_text(void *arg)
{
	(void)arg;
}

static void ask_model(struct key_test *t)
{
	struct worker *w = t->inquiry->worker;
	struct llm_message *list[] = {&t->hello};
	struct llm_question q = {.model = t->model,
				 .system = SLICE(""),
				 .messages = list,
				 .message_count = 1,
				 .params = {.max_tokens = ANSWER_TOKENS}};
	t->hello = (struct llm_message){.role = LLM_USER, .content = SLICE(HELLO)};
	llm_start(w->loop, w->http, &t->target, &q, &t->answer, on_text, t, &t->op);
}

static void start(struct key_test *t)
{
	struct worker *w = t->inquiry->worker;
	t->began_us = clock_mono_us();
	op_init(&t->op, w->loop, on_done, t);
	inquiry_hold(t->inquiry);
	if (t->model.n)
		ask_model(t);
	else
		llm_look_start(&t->look, w->loop, w->http, &t->target, &t->answer,
			       &t->op);
}

/* Its time is over: that is an answer, too. */
static void on_time(struct inquiry *i)
{
	struct key_test *t = i->work;
	if (op_is_active(&t->op))
		op_cancel(&t->op, ERR_MODEL_TIMEOUT);
	else
		inquiry_fail(i, ERR_UNAVAILABLE, "the key could not be read in time");
}

static void on_end(struct inquiry *i)
{
	struct key_test *t = i->work;
	op_cancel(&t->op, ERR_CANCELLED);
}

/* "openai/gpt-4o" and "gpt-4o" are the same, of a key for openai. */
static struct slice name_alone(const struct inquiry *i, const struct llm_provider *p)
{
	struct slice rest, full = slice_str(i->model);
	return llm_provider_of(full, &rest) == p ? rest : full;
}

static void on_key(void *arg, const struct pg_answer *a)
{
	struct key_test *t = arg;
	struct inquiry *i = t->inquiry;
	struct worker *w = i->worker;
	if (a->err) {
		inquiry_fail(i, ERR_DATABASE, "the key cannot be read; try again");
	} else if (!pg_rows(a->results[0])) {
		inquiry_fail(i, ERR_NOT_FOUND, "there is no such key");
	} else if (!i->over) {
		struct slice provider = pg_get_text(a->results[0], 0, 2);
		const struct llm_provider *p = llm_provider_named(provider);
		t->key = p ? keys_open_row(w, a->results[0], 0) : NULL;
		if (!p)
			inquiry_fail(i, ERR_NOT_FOUND,
				     "this build knows no such model provider");
		else if (!t->key)
			inquiry_fail(i, ERR_CONFLICT,
				     "the key cannot be opened by this node: set it "
				     "again, or give the node the master key that it was "
				     "sealed to");
		else {
			key_aim(w, t->key, p, &t->target);
			t->model = name_alone(i, p);
			start(t);
		}
	}
	inquiry_release(i);
}

void key_test_begin(struct inquiry *i)
{
	struct key_test *t = xcalloc(1, sizeof *t);
	struct pg_request *q = pg_begin(i->worker->pool);
	t->inquiry = i;
	llm_answer_init(&t->answer);
	i->work = t;
	i->on_time = on_time;
	i->on_end = on_end;
	i->free_work = free_test;
	pg_text(pg_add(q, SQL_INQUIRY_KEY), slice_str(i->cap));
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_key, t);
}
