/* SPDX-License-Identifier: Apache-2.0
 * Anthropic's messages, and the servers that speak them. Events are told by their own
 * `type`, not by the stream's event names; blocks and deltas of unknown types are passed
 * over, with what belongs to them. */
#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/anthropic_request.h"
#include "worker/llm/event.h"
#include "worker/llm/llm.h"
#include "worker/llm/refusal.h"

static enum llm_stop stop_of(struct slice word)
{
	if (slice_is(word, "tool_use"))
		return LLM_STOP_TOOLS;
	if (slice_is(word, "max_tokens") ||
	    slice_is(word, "model_context_window_exceeded"))
		return LLM_STOP_LENGTH;
	if (slice_is(word, "refusal"))
		return LLM_STOP_FILTER;
	/* end_turn, stop_sequence; pause_turn is of tools that the provider runs, and it
	 * is given none. */
	return word.n ? LLM_STOP_END : LLM_STOP_NONE;
}

/* Counts come whole each time, those that are left out hold on: `in` is the sum of what
 * the provider tells apart. */
static void read_usage(struct llm_usage *u, json_t usage)
{
	int64_t fresh = u->in - u->cached - u->cache_write;
	llm_count(usage, "input_tokens", &fresh);
	llm_count(usage, "cache_read_input_tokens", &u->cached);
	llm_count(usage, "cache_creation_input_tokens", &u->cache_write);
	llm_count(usage, "output_tokens", &u->out);
	u->in = fresh + u->cached + u->cache_write;
}

/* ---- blocks */

/* p->n of a call tells that its arguments are those its start brought, which pieces
 * replace. */
static enum err open_call(struct llm_answer *a, int64_t index, json_t block)
{
	struct slice id = json_str(json_get(block, "id"));
	struct llm_part *p = llm_part_at(a, LLM_CALL, index);
	if (p && slice_eq(strbuf_slice(&p->id), id))
		return ERR_OK; /* said twice */
	p = llm_part_new(a, LLM_CALL, index);
	if (!p)
		return llm_too_many(a);
	strbuf_add_slice(&p->id, id);
	strbuf_add_slice(&p->name, json_str(json_get(block, "name")));
	if (json_len(json_get(block, "input"))) {
		json_print(&p->arguments, json_get(block, "input"));
		p->n = 1;
	}
	return ERR_OK;
}

static enum err open_thought(struct llm_answer *a, int64_t index, json_t block)
{
	struct slice data = json_str(json_get(block, "data"));
	struct slice signature = json_str(json_get(block, "signature"));
	if (llm_part_at(a, LLM_REASONING, index))
		return ERR_OK;
	struct llm_part *p = llm_part_new(a, LLM_REASONING, index);
	if (!p)
		return llm_too_many(a);
	strbuf_add_slice(&p->thought, json_str(json_get(block, "thinking")));
	if (data.n)
		llm_opaque_grow(p, "data", data);
	else if (signature.n)
		llm_opaque_grow(p, "signature", signature);
	return ERR_OK;
}

static enum err open_block(struct llm_answer *a, int64_t index, json_t block)
{
	struct slice type = json_str(json_get(block, "type"));
	if (slice_is(type, "tool_use"))
		return open_call(a, index, block);
	if (slice_is(type, "thinking") || slice_is(type, "redacted_thinking"))
		return open_thought(a, index, block);
	if (slice_is(type, "text") &&
	    !llm_add_text(a, index, json_str(json_get(block, "text"))))
		return llm_too_many(a);
	return ERR_OK;
}

static enum err read_delta(struct llm_answer *a, int64_t index, json_t delta)
{
	struct slice type = json_str(json_get(delta, "type"));
	struct llm_part *p;
	if (slice_is(type, "text_delta"))
		return llm_add_text(a, index, json_str(json_get(delta, "text")))
			       ? ERR_OK
			       : llm_too_many(a);
	if (slice_is(type, "input_json_delta")) {
		struct slice piece = json_str(json_get(delta, "partial_json"));
		p = llm_part_at(a, LLM_CALL, index);
		if (p && piece.n && p->n) {
			strbuf_reset(&p->arguments);
			p->n = 0;
		}
		if (p)
			strbuf_add_slice(&p->arguments, piece);
		return ERR_OK;
	}
	p = llm_part_at(a, LLM_REASONING, index);
	if (p && slice_is(type, "thinking_delta"))
		strbuf_add_slice(&p->thought, json_str(json_get(delta, "thinking")));
	else if (p && slice_is(type, "signature_delta"))
		llm_opaque_grow(p, "signature", json_str(json_get(delta, "signature")));
	return ERR_OK;
}

/* ---- events */

static void read_end(struct llm_answer *a, json_t root)
{
	json_t delta = json_get(root, "delta");
	enum llm_stop stop = stop_of(json_str(json_get(delta, "stop_reason")));
	struct slice why =
		json_str(json_get(json_get(delta, "stop_details"), "explanation"));
	if (stop)
		a->stop = stop == LLM_STOP_END && a->call_count ? LLM_STOP_TOOLS : stop;
	if (stop == LLM_STOP_FILTER && why.n)
		llm_refusal_say(a, why);
	read_usage(&a->usage, json_get(root, "usage"));
}

static enum err read_event(struct llm_answer *a, struct slice event, struct slice data)
{
	AUTO(auto_json_free) struct json_doc *d = llm_event(a, data);
	json_t root = json_root(d);
	struct slice type = json_str(json_get(root, "type"));
	int64_t index = -1;
	(void)event;
	if (!d)
		return ERR_MODEL_BROKEN;
	if (slice_is(type, "error") || json_kind(json_get(root, "error")) > JSON_NULL) {
		struct llm_refusal r = llm_refusal_of(0, json_get(root, "error"));
		return llm_refuse(a, &r);
	}
	json_i64(json_get(root, "index"), &index);
	if (slice_is(type, "message_start"))
		read_usage(&a->usage, json_get(json_get(root, "message"), "usage"));
	else if (slice_is(type, "content_block_start"))
		return open_block(a, index, json_get(root, "content_block"));
	else if (slice_is(type, "content_block_delta"))
		return read_delta(a, index, json_get(root, "delta"));
	else if (slice_is(type, "message_delta"))
		read_end(a, root);
	return ERR_OK;
}

static void write_path(struct strbuf *out, const struct llm_question *q)
{
	(void)q;
	strbuf_add_str(out, "/v1/messages");
}

static void write_headers(struct llm_headers *h, const struct llm_target *t)
{
	h->put(h, "anthropic-version", t->version.n ? t->version : SLICE("2023-06-01"));
	h->put(h, "anthropic-beta", SLICE(ANTHROPIC_BETA));
	llm_put_key(h, t, "x-api-key");
}

const struct llm_provider llm_anthropic = {
	.name = "anthropic",
	.base_url = "https://api.anthropic.com",
	.write_path = write_path,
	.write_headers = write_headers,
	.write_message = anthropic_write_message,
	.write_request = anthropic_write_request,
	.read_event = read_event,
	.read_refusal = llm_refuse_json,
	.look_path = "/v1/models?limit=1000",
	.look_list = "data",
};
