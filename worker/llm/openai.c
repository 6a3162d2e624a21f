/* SPDX-License-Identifier: Apache-2.0
 * OpenAI chat completions, and every server that speaks them. Reads leniently: clones
 * leave out `index` or `id`, send usage in the last content chunk or never, say "stop"
 * where tool calls follow. Strict in one thing: a stream that ends without a finish
 * reason was cut. */
#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/event.h"
#include "worker/llm/llm.h"
#include "worker/llm/openai_request.h"
#include "worker/llm/refusal.h"

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
static struct llm_part *call_of(struct llm_answer *a, json_t delta)
{
	int64_t index;
	struct slice id = json_str(json_get(delta, "id"));
	struct slice name = json_str(json_get(json_get(delta, "function"), "name"));
	if (!json_i64(json_get(delta, "index"), &index)) {
		bool opens = id.n || a->call_count == 0;
		return opens ? llm_part_new(a, LLM_CALL, (int64_t)a->call_count)
			     : llm_call_at(a, a->call_count - 1);
	}
	for (size_t i = a->part_count; i-- > 0;) {
		struct llm_part *p = &a->parts[i];
		if (p->kind == LLM_CALL && p->index == index &&
		    !(id.n && name.n && p->name.n && !slice_eq(id, strbuf_slice(&p->id))))
			return p;
	}
	return llm_part_new(a, LLM_CALL, index);
}

static enum err read_calls(struct llm_answer *a, json_t calls)
{
	struct json_iter it = json_iter(calls);
	for (json_t d; (d = json_next(&it, NULL));) {
		struct llm_part *c = call_of(a, d);
		json_t f = json_get(d, "function");
		struct slice id = json_str(json_get(d, "id"));
		struct slice name = json_str(json_get(f, "name"));
		if (!c)
			return llm_too_many(a);
		if (id.n && !c->id.n)
			strbuf_add_slice(&c->id, id);
		if (name.n && !c->name.n)
			strbuf_add_slice(&c->name, name);
		strbuf_add_slice(&c->arguments, json_str(json_get(f, "arguments")));
	}
	return ERR_OK;
}

/* What some servers show of their thinking; it is not sent back. */
static bool read_thought(struct llm_answer *a, json_t delta)
{
	struct slice text = json_str(json_get(delta, "reasoning_content"));
	struct llm_part *p = a->part_count ? &a->parts[a->part_count - 1] : NULL;
	if (!text.n)
		text = json_str(json_get(delta, "reasoning"));
	if (!text.n)
		return true;
	if (!p || p->kind != LLM_REASONING)
		p = llm_part_new(a, LLM_REASONING, -1);
	if (p)
		strbuf_add_slice(&p->thought, text);
	return p;
}

/* Some servers count thoughts beside the answer; their total tells. */
static void read_usage(struct llm_answer *a, json_t usage)
{
	struct llm_usage *u = &a->usage;
	int64_t total = 0;
	llm_count(usage, "prompt_tokens", &u->in);
	llm_count(usage, "completion_tokens", &u->out);
	llm_count(usage, "total_tokens", &total);
	llm_count(json_get(usage, "prompt_tokens_details"), "cached_tokens", &u->cached);
	llm_count(json_get(usage, "completion_tokens_details"), "reasoning_tokens",
		  &u->reasoning);
	if (u->reasoning > u->out || total == u->in + u->out + u->reasoning)
		u->out += u->reasoning;
}

static enum err read_event(struct llm_answer *a, struct slice event, struct slice data)
{
	(void)event;
	if (slice_is(data, "[DONE]"))
		return ERR_OK;
	AUTO(auto_json_free) struct json_doc *d = llm_event(a, data);
	json_t root = json_root(d);
	if (!d)
		return ERR_MODEL_BROKEN;
	if (json_kind(json_get(root, "error")) > JSON_NULL) {
		struct llm_refusal r = llm_refusal_of(0, json_get(root, "error"));
		return llm_refuse(a, &r);
	}
	json_t choice = json_at(json_get(root, "choices"), 0);
	json_t delta = json_get(choice, "delta");
	if (!read_thought(a, delta) ||
	    !llm_add_text(a, -1, json_str(json_get(delta, "content"))))
		return llm_too_many(a);
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

static void write_path(struct strbuf *out, const struct llm_question *q)
{
	(void)q;
	strbuf_add_str(out, "/chat/completions");
}

static void write_headers(struct llm_headers *h, const struct llm_target *t)
{
	llm_put_bearer(h, t->api_key);
}

/* OpenRouter shows its models to everybody, so it is asked about the key. */
#define CHAT(symbol, vendor, url, request, look, list)                                   \
	const struct llm_provider llm_##symbol = {                                       \
		.name = vendor,                                                          \
		.base_url = url,                                                         \
		.write_path = write_path,                                                \
		.write_headers = write_headers,                                          \
		.write_message = openai_write_message,                                   \
		.write_request = request,                                                \
		.read_event = read_event,                                                \
		.read_refusal = llm_refuse_json,                                         \
		.look_path = look,                                                       \
		.look_list = list,                                                       \
	};

CHAT(openai, "openai", "https://api.openai.com/v1", openai_write_request, "/models",
     "data")
CHAT(openrouter, "openrouter", "https://openrouter.ai/api/v1", openai_write_compatible,
     "/key", NULL)
CHAT(ollama, "ollama", "http://127.0.0.1:11434/v1", openai_write_compatible, "/models",
     "data")
CHAT(vllm, "vllm", "http://127.0.0.1:8000/v1", openai_write_compatible, "/models", "data")
CHAT(llamacpp, "llamacpp", "http://127.0.0.1:8080/v1", openai_write_compatible, "/models",
     "data")
