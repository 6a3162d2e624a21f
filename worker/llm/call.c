/* SPDX-License-Identifier: Apache-2.0
 * The way of a question: request text, HTTP, event stream, provider's decoder. A local
 * provider's answer is shown in pieces too, so that what listens meets one behaviour. */
#include "worker/llm/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/http/client.h"
#include "common/http/sse.h"
#include "common/log.h"
#include "common/loop.h"
#include "worker/llm/request.h"

#define STREAM_EVENT_MOST (4u << 20)
#define PARTS_MOST (8u << 20)
#define REFUSAL_MOST (64u << 10)
#define PIECE_BYTES 24
#define PIECE_US 4000
#define DAY_S 86400ll /* nobody is waited for longer */

struct llm_call {
	struct loop *loop;
	const struct llm_provider *provider;
	struct llm_answer *answer;
	void (*on_text)(void *arg);
	void *arg;
	struct op *op; /* the caller's */
	struct strbuf body;
	bool over;

	/* remote */
	struct op wire_op;
	struct http_call *http;
	struct sse_reader sse;
	struct slice api_key; /* borrowed: never shown, whatever the provider says */
	int status;
	struct strbuf refusal;
	enum err decoded;

	/* local */
	struct loop_timer *pieces;
	struct strbuf whole;
	enum err outcome;
};

static void free_call(void *p)
{
	struct llm_call *c = p;
	strbuf_fini(&c->body);
	strbuf_fini(&c->refusal);
	strbuf_fini(&c->whole);
	sse_reader_fini(&c->sse);
	if (c->pieces)
		loop_timer_free(c->pieces);
	free(c);
}

static void conclude(struct llm_call *c, enum err e)
{
	struct op *op = c->op;
	c->over = true;
	if (c->answer->mending.replaced || c->answer->mending.half[0])
		log_warn("model-text-mended", "provider=%s replaced=%zu half=%d",
			 c->provider->name, c->answer->mending.replaced,
			 c->answer->mending.half[0] != 0);
	if (c->pieces)
		loop_timer_stop(c->pieces);
	loop_reap(c->loop, free_call, c);
	op_finish(op, e);
}

static struct llm_call *call_new(struct loop *l, const struct llm_target *t,
				 struct llm_answer *a, void (*on_text)(void *), void *arg,
				 struct op *op)
{
	struct llm_call *c = xcalloc(1, sizeof *c);
	c->loop = l;
	c->provider = t->provider;
	c->answer = a;
	c->on_text = on_text;
	c->arg = arg;
	c->op = op;
	return c;
}

/* ---- remote */

static void on_head(void *arg, int status)
{
	struct llm_call *c = arg;
	c->status = c->answer->status = status;
}

static void on_header(void *arg, struct slice name, struct slice value)
{
	struct llm_call *c = arg;
	long long n;
	if (slice_is(name, "retry-after-ms") && slice_to_i64(value, &n) && n >= 0)
		c->answer->retry_after_us = (n < DAY_S * 1000 ? n : DAY_S * 1000) * 1000;
	else if (slice_is(name, "retry-after") && slice_to_i64(value, &n) && n >= 0 &&
		 !c->answer->retry_after_us)
		c->answer->retry_after_us = (n < DAY_S ? n : DAY_S) * 1000000;
	else if (slice_is(name, "x-request-id") || slice_is(name, "request-id"))
		snprintf(c->answer->request_id, sizeof c->answer->request_id, "%.*s",
			 SLICE_ARG(value));
}

static enum err on_event(void *arg, const struct sse_event *e)
{
	struct llm_call *c = arg;
	return c->provider->read_event(c->answer, e->event, e->data);
}

/* What a server sends without an end must not fill the memory of all runs. */
static size_t parts_bytes(const struct llm_answer *a)
{
	size_t n = 0;
	for (size_t i = 0; i < a->part_count; i++)
		n += a->parts[i].id.n + a->parts[i].name.n + a->parts[i].arguments.n +
		     a->parts[i].thought.n + a->parts[i].opaque.n;
	return n;
}

static bool on_body(void *arg, struct slice piece)
{
	struct llm_call *c = arg;
	size_t had = c->answer->text.n;
	if (c->status < 200 || c->status > 299) {
		if (c->refusal.n + piece.n <= REFUSAL_MOST)
			strbuf_add_slice(&c->refusal, piece);
		return true;
	}
	c->decoded = sse_reader_feed(&c->sse, piece);
	if (!c->decoded && parts_bytes(c->answer) > PARTS_MOST) {
		snprintf(c->answer->error, sizeof c->answer->error,
			 "the model's tool calls and thoughts are larger than %u "
			 "bytes",
			 PARTS_MOST);
		c->decoded = ERR_MODEL_REQUEST;
	}
	if (c->decoded)
		return false;
	if (c->answer->text.n > had)
		c->on_text(c->arg);
	return true;
}

static enum err verdict(struct llm_call *c, enum err e)
{
	struct llm_answer *a = c->answer;
	if (c->decoded) {
		if (!a->error[0])
			snprintf(a->error, sizeof a->error, "%s",
				 c->decoded == ERR_TOO_LARGE
					 ? "an event of the model's stream is too large"
					 : err_text(c->decoded));
		return c->decoded == ERR_TOO_LARGE ? ERR_MODEL_BROKEN : c->decoded;
	}
	/* Before what it says is shortened: half a key is too much. */
	llm_hide(c->refusal.p, &c->refusal.n, c->api_key);
	if (e == ERR_OK && (c->status < 200 || c->status > 299))
		return c->provider->read_refusal(a, c->status, strbuf_slice(&c->refusal));
	if (a->stop && (e == ERR_OK || e == ERR_NETWORK))
		return ERR_OK; /* complete: how the connection ended is no matter */
	if (e == ERR_CANCELLED || e == ERR_BUDGET)
		return e;
	if (e == ERR_OK || c->status) {
		snprintf(a->error, sizeof a->error, "the model's stream broke off%s%s",
			 e ? ": " : "", e ? http_error(c->http) : "");
		return e == ERR_MODEL_TIMEOUT ? e : ERR_MODEL_BROKEN;
	}
	snprintf(a->error, sizeof a->error, "the model cannot be reached: %s",
		 http_error(c->http));
	return e == ERR_TIMEOUT ? ERR_MODEL_TIMEOUT : e;
}

static void hide_key(struct llm_call *c)
{
	char *text = c->answer->error;
	size_t n = strlen(text);
	llm_hide(text, &n, c->api_key);
	text[n] = 0;
}

static void on_wire_done(struct op *op, enum err e, void *arg)
{
	struct llm_call *c = arg;
	(void)op;
	e = verdict(c, e);
	hide_key(c);
	conclude(c, e);
}

static void cancel_remote(struct op *op, enum err why, void *provider)
{
	struct llm_call *c = provider;
	(void)op;
	op_cancel(&c->wire_op, why);
}

static void start_remote(struct llm_call *c, struct http_client *http,
			 const struct llm_target *t, const struct llm_question *q)
{
	static const struct http_events events = {
		.on_head = on_head, .on_header = on_header, .on_body = on_body};
	AUTO(strbuf_fini) struct strbuf url = STRBUF_INIT;
	struct llm_lines headers;
	llm_put_url(&url, t, q);
	llm_lines_fill(&headers, t, true);
	struct http_request r = {.method = "POST",
				 .url = url.p,
				 .headers = (const char *const *)headers.line,
				 .body = strbuf_slice(&c->body),
				 .guarded = t->guarded};
	c->api_key = t->api_key;
	r.first_byte_us = r.idle_us = llm_silence_us(t);
	sse_reader_init(&c->sse, STREAM_EVENT_MOST, on_event, c);
	op_init(&c->wire_op, c->loop, on_wire_done, c);
	c->http = http_start(http, &r, &events, c, &c->wire_op);
	op_start(c->op, cancel_remote, c, 0);
	llm_lines_wipe(&headers);
}

/* ---- local */

static void on_piece(void *arg)
{
	struct llm_call *c = arg;
	struct strbuf *text = &c->answer->text;
	size_t left = c->whole.n - text->n, n = left < PIECE_BYTES ? left : PIECE_BYTES;
	while (n < left && c->whole.p[text->n + n - 1] != ' ')
		n++;
	strbuf_add(text, c->whole.p + text->n, n);
	if (n)
		c->on_text(c->arg);
	if (c->over) /* cancelled by who listens */
		return;
	if (n < left)
		loop_timer_start(c->pieces, PIECE_US);
	else
		conclude(c, c->outcome);
}

static void cancel_local(struct op *op, enum err why, void *provider)
{
	(void)op;
	conclude(provider, why);
}

static void start_local(struct llm_call *c, const struct llm_question *q)
{
	c->outcome = c->provider->answer(c->answer, q);
	c->whole = c->answer->text;
	c->answer->text = STRBUF_INIT;
	c->pieces = loop_timer_new(c->loop, on_piece, c);
	loop_timer_start(c->pieces, 0);
	op_start(c->op, cancel_local, c, 0);
}

struct llm_call *llm_start(struct loop *l, struct http_client *http,
			   const struct llm_target *t, const struct llm_question *q,
			   struct llm_answer *a, void (*on_text)(void *arg), void *arg,
			   struct op *op)
{
	struct llm_call *c = call_new(l, t, a, on_text, arg, op);
	if (!t->provider->base_url) {
		start_local(c, q);
		return c;
	}
	t->provider->write_request(&c->body, q);
	start_remote(c, http, t, q);
	return c;
}

void llm_body_sha256(const struct llm_call *c, uint8_t out[32])
{
	crypto_sha256(strbuf_slice(&c->body), out);
}

void llm_pause(struct llm_call *c, int paused)
{
	if (c->http)
		http_pause(c->http, paused);
}
