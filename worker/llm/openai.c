/* SPDX-License-Identifier: Apache-2.0
 * OpenAI chat completions, and every server that speaks them. Reads leniently: clones
 * leave out `index` or `id`, send usage in the last content chunk or never, say "stop"
 * where tool calls follow. Strict in one thing: a stream that ends without a finish
 * reason was cut. */
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/llm.h"

#define EVENT_MOST (8u << 20)
#define ERROR_MOST 240

/* ---- writing */

static void put_text_blocks(struct json_out *o, json_t blocks)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct json_iter it = json_iter(blocks);
	for (json_t b; (b = json_next(&it, NULL));) {
		if (!slice_is(json_str(json_get(b, "type")), "text"))
			continue;
		if (text.n)
			strbuf_add_char(&text, '\n');
		strbuf_add_slice(&text, json_str(json_get(b, "text")));
	}
	json_put_str(o, strbuf_slice(&text));
}

static void put_calls(struct json_out *o, json_t blocks)
{
	AUTO(strbuf_fini) struct strbuf arguments = STRBUF_INIT;
	struct json_iter it = json_iter(blocks);
	bool any = false;
	for (json_t b; (b = json_next(&it, NULL));) {
		if (!slice_is(json_str(json_get(b, "type")), "tool_call"))
			continue;
		if (!any) {
			json_key(o, "tool_calls");
			json_arr(o);
			any = true;
		}
		strbuf_reset(&arguments);
		json_print(&arguments, json_get(b, "arguments"));
		json_obj(o);
		json_kv_str(o, "id", json_str(json_get(b, "callId")));
		json_kv_cstr(o, "type", "function");
		json_key(o, "function");
		json_obj(o);
		json_kv_str(o, "name", json_str(json_get(b, "name")));
		json_kv_str(o, "arguments", strbuf_slice(&arguments));
		json_obj_end(o);
		json_obj_end(o);
	}
	if (any)
		json_arr_end(o);
}

static void put_tool_results(struct json_out *o, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	for (json_t b; (b = json_next(&it, NULL));) {
		if (!slice_is(json_str(json_get(b, "type")), "tool_result"))
			continue;
		json_obj(o);
		json_kv_cstr(o, "role", "tool");
		json_kv_str(o, "tool_call_id", json_str(json_get(b, "callId")));
		json_kv_str(o, "content", json_str(json_get(b, "text")));
		json_obj_end(o);
	}
}

static void write_message(struct strbuf *out, enum llm_role role, struct slice content)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(content, content.n, NULL, 0);
	json_t blocks = json_get(json_root(d), "blocks");
	struct json_out o = json_out(out);
	if (role == LLM_TOOL) {
		put_tool_results(&o, blocks);
		return;
	}
	json_obj(&o);
	json_kv_cstr(&o, "role", role == LLM_ASSISTANT ? "assistant" : "user");
	json_key(&o, "content");
	put_text_blocks(&o, blocks);
	if (role == LLM_ASSISTANT)
		put_calls(&o, blocks);
	json_obj_end(&o);
}

static void put_tools(struct json_out *o, const struct llm_question *q)
{
	json_key(o, "tools");
	json_arr(o);
	for (size_t i = 0; i < q->tool_count; i++) {
		json_obj(o);
		json_kv_cstr(o, "type", "function");
		json_key(o, "function");
		json_obj(o);
		json_kv_cstr(o, "name", q->tools[i]->name);
		json_kv_cstr(o, "description", q->tools[i]->description);
		json_kv_raw(o, "parameters", slice_str(q->tools[i]->schema));
		json_obj_end(o);
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void write_request(struct strbuf *out, const struct llm_question *q)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	json_kv_str(&o, "model", q->model);
	json_kv_bool(&o, "stream", true);
	json_kv_raw(&o, "stream_options", SLICE("{\"include_usage\":true}"));
	if (q->tool_count)
		put_tools(&o, q);
	json_key(&o, "messages");
	json_arr(&o);
	if (q->system.n) {
		json_obj(&o);
		json_kv_cstr(&o, "role", "system");
		json_kv_str(&o, "content", q->system);
		json_obj_end(&o);
	}
	for (size_t i = 0; i < q->message_count; i++) {
		struct llm_message *m = q->messages[i];
		if (m->wire_of != &llm_openai) {
			strbuf_reset(&m->wire);
			write_message(&m->wire, m->role, m->content);
			m->wire_of = &llm_openai;
		}
		if (m->wire.n)
			json_put_raw(&o, strbuf_slice(&m->wire));
	}
	json_arr_end(&o);
	json_obj_end(&o);
}

/* ---- reading */

static enum llm_stop stop_of(struct slice word)
{
	if (slice_is(word, "tool_calls") || slice_is(word, "function_call"))
		return LLM_STOP_TOOLS;
	if (slice_is(word, "length"))
		return LLM_STOP_LENGTH;
	if (slice_is(word, "content_filter"))
		return LLM_STOP_FILTER;
	return word.n ? LLM_STOP_END : LLM_STOP_NONE;
}

/* Which call a delta belongs to: by the provider's index, which need not begin at 0 (text
 * counts for some), unless another id and name open a second call of the same index.
 * Without an index, an id opens a call and its absence continues the last. */
static struct llm_tool_call *call_of(struct llm_answer *a, json_t delta)
{
	int64_t index;
	struct slice id = json_str(json_get(delta, "id"));
	struct slice name = json_str(json_get(json_get(delta, "function"), "name"));
	if (!json_i64(json_get(delta, "index"), &index)) {
		bool opens = id.n || a->call_count == 0;
		return llm_answer_call(a, a->call_count - !opens);
	}
	for (size_t i = a->call_count; i-- > 0;) {
		struct llm_tool_call *c = &a->calls[i];
		if (c->index == index &&
		    !(id.n && name.n && c->name.n && !slice_eq(id, strbuf_slice(&c->id))))
			return c;
	}
	struct llm_tool_call *c = llm_answer_call(a, a->call_count);
	if (c)
		c->index = index;
	return c;
}

static enum err read_calls(struct llm_answer *a, json_t calls)
{
	struct json_iter it = json_iter(calls);
	for (json_t d; (d = json_next(&it, NULL));) {
		struct llm_tool_call *c = call_of(a, d);
		json_t f = json_get(d, "function");
		struct slice id = json_str(json_get(d, "id"));
		struct slice name = json_str(json_get(f, "name"));
		if (!c) {
			snprintf(a->error, sizeof a->error,
				 "the model asked for too many tool calls at once");
			return ERR_MODEL_BROKEN;
		}
		if (id.n && !c->id.n)
			strbuf_add_slice(&c->id, id);
		if (name.n && !c->name.n)
			strbuf_add_slice(&c->name, name);
		strbuf_add_slice(&c->arguments, json_str(json_get(f, "arguments")));
	}
	return ERR_OK;
}

static void read_usage(struct llm_answer *a, json_t usage)
{
	json_i64(json_get(usage, "prompt_tokens"), &a->tokens_in);
	json_i64(json_get(usage, "completion_tokens"), &a->tokens_out);
	json_i64(json_get(json_get(usage, "prompt_tokens_details"), "cached_tokens"),
		 &a->tokens_cached);
}

static void note_error(struct llm_answer *a, json_t error)
{
	struct slice text = json_str(json_get(error, "message"));
	if (!text.p)
		text = json_str(error);
	if (!text.n)
		text = SLICE("(nothing)");
	if (text.n > ERROR_MOST) { /* cut where a character begins */
		text.n = ERROR_MOST;
		while (text.n && ((unsigned char)text.p[text.n] & 0xC0) == 0x80)
			text.n--;
	}
	snprintf(a->error, sizeof a->error, "the model provider says: %.*s",
		 SLICE_ARG(text));
}

static enum err read_event(struct llm_answer *a, struct slice event, struct slice data)
{
	char why[120];
	(void)event;
	if (slice_is(data, "[DONE]"))
		return ERR_OK;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(data, EVENT_MOST, why, sizeof why);
	json_t root = json_root(d);
	if (!d) {
		snprintf(a->error, sizeof a->error, "the model's stream is not JSON: %s",
			 why);
		return ERR_MODEL_BROKEN;
	}
	if (json_kind(json_get(root, "error")) > JSON_NULL) {
		note_error(a, json_get(root, "error"));
		return ERR_MODEL_OVERLOAD;
	}
	json_t choice = json_at(json_get(root, "choices"), 0);
	json_t delta = json_get(choice, "delta");
	strbuf_add_slice(&a->text, json_str(json_get(delta, "content")));
	if (json_len(json_get(delta, "tool_calls"))) {
		enum err e = read_calls(a, json_get(delta, "tool_calls"));
		if (e)
			return e;
	}
	enum llm_stop stop = stop_of(json_str(json_get(choice, "finish_reason")));
	if (stop)
		a->stop = stop == LLM_STOP_END && a->call_count ? LLM_STOP_TOOLS : stop;
	if (json_kind(json_get(root, "usage")) == JSON_OBJECT)
		read_usage(a, json_get(root, "usage"));
	return ERR_OK;
}

static enum err refusal_of(int status)
{
	if (status == 401 || status == 403)
		return ERR_MODEL_AUTH;
	if (status == 429)
		return ERR_MODEL_RATE;
	if (status == 408 || status == 409)
		return ERR_MODEL_TIMEOUT;
	return status >= 500 ? ERR_MODEL_OVERLOAD : ERR_MODEL_REQUEST;
}

static enum err read_refusal(struct llm_answer *a, int status, struct slice body)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(body, EVENT_MOST, NULL, 0);
	json_t error = json_get(json_root(d), "error");
	if (json_kind(error) > JSON_NULL)
		note_error(a, error);
	else
		snprintf(a->error, sizeof a->error,
			 "the model provider answered with status %d", status);
	/* A quota that is used up does not come back by waiting. */
	if (status == 429 &&
	    slice_is(json_str(json_get(error, "code")), "insufficient_quota"))
		return ERR_MODEL_AUTH;
	return refusal_of(status);
}

const struct llm_provider llm_openai = {
	.name = "openai",
	.is_remote = true,
	.write_message = write_message,
	.write_request = write_request,
	.path = "/chat/completions",
	.read_event = read_event,
	.read_refusal = read_refusal,
};
