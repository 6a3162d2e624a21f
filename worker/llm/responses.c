/* SPDX-License-Identifier: Apache-2.0
 * OpenAI's responses, and the servers that speak them. The whole of an item comes at its
 * end and once more at the end of all, so what was not streamed is taken from there; what
 * was streamed is not taken twice. */
#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/event.h"
#include "worker/llm/llm.h"
#include "worker/llm/refusal.h"
#include "worker/llm/responses_request.h"

/* ---- parts */

/* The item's part, by its place in the answer (below 0: the event does not say). */
static struct llm_part *part_of(struct llm_answer *a, enum llm_part_kind kind,
				int64_t index)
{
	struct llm_part *p = llm_part_at(a, kind, index);
	return p ? p : llm_part_new(a, kind, index);
}

static void set(struct strbuf *b, struct slice s)
{
	if (!s.n)
		return;
	strbuf_reset(b);
	strbuf_add_slice(b, s);
}

/* What the provider names without a place is another call when its id is another. */
static enum err read_call(struct llm_answer *a, int64_t index, json_t item)
{
	struct slice id = json_str(json_get(item, "call_id"));
	struct llm_part *p = llm_part_at(a, LLM_CALL, index);
	if (p && id.n && p->id.n && !slice_eq(id, strbuf_slice(&p->id)))
		p = NULL;
	if (!p)
		p = llm_part_new(a, LLM_CALL, index);
	if (!p)
		return llm_too_many(a);
	set(&p->id, id);
	set(&p->name, json_str(json_get(item, "name")));
	set(&p->arguments, json_str(json_get(item, "arguments")));
	return ERR_OK;
}

/* The texts of a list of {"text"}; of a message's content, refusals too. */
static void add_texts(struct strbuf *out, json_t list, const char *between)
{
	struct json_iter it = json_iter(list);
	for (json_t t; (t = json_next(&it, NULL));) {
		struct slice text = json_str(json_get(t, "text"));
		if (!text.n)
			text = json_str(json_get(t, "refusal"));
		if (text.n && out->n)
			strbuf_add_str(out, between);
		strbuf_add_slice(out, text);
	}
}

static enum err read_message(struct llm_answer *a, int64_t index, json_t item)
{
	AUTO(strbuf_fini) struct strbuf whole = STRBUF_INIT;
	struct slice phase = json_str(json_get(item, "phase"));
	struct llm_part *p = llm_part_at(a, LLM_TEXT, index);
	struct slice had = p ? llm_part_text(a, p) : SLICE_NONE, rest = SLICE_NONE;
	bool grows = !p || p == &a->parts[a->part_count - 1];
	add_texts(&whole, json_get(item, "content"), "");
	if (grows && whole.n > had.n && slice_has_prefix(strbuf_slice(&whole), had))
		rest = slice_of(whole.p + had.n, whole.n - had.n);
	if (!llm_add_text(a, index, rest))
		return llm_too_many(a);
	p = llm_part_at(a, LLM_TEXT, index);
	if (p && phase.n && !p->opaque.n)
		llm_opaque_grow(p, "phase", phase);
	return ERR_OK;
}

static enum err read_thought(struct llm_answer *a, int64_t index, json_t item)
{
	struct slice encrypted = json_str(json_get(item, "encrypted_content"));
	struct json_iter it = json_iter(json_get(item, "summary"));
	struct llm_part *p = part_of(a, LLM_REASONING, index);
	if (!p)
		return llm_too_many(a);
	if (!p->thought.n)
		add_texts(&p->thought, json_get(item, "summary"), "\n\n");
	if (!encrypted.n)
		return ERR_OK;
	strbuf_reset(&p->opaque);
	struct json_out o = json_out(&p->opaque);
	json_obj(&o);
	json_kv_str(&o, "encrypted_content", encrypted);
	json_key(&o, "summary");
	json_arr(&o);
	for (json_t s; (s = json_next(&it, NULL));)
		json_put_str(&o, json_str(json_get(s, "text")));
	json_arr_end(&o);
	json_obj_end(&o);
	return ERR_OK;
}

static enum err read_item(struct llm_answer *a, int64_t index, json_t item)
{
	struct slice type = json_str(json_get(item, "type"));
	if (slice_is(type, "function_call"))
		return read_call(a, index, item);
	if (slice_is(type, "message"))
		return read_message(a, index, item);
	if (slice_is(type, "reasoning"))
		return read_thought(a, index, item);
	return ERR_OK;
}

/* ---- pieces */

static enum err read_added(struct llm_answer *a, int64_t index, json_t root)
{
	return read_item(a, index, json_get(root, "item"));
}

static enum err read_text(struct llm_answer *a, int64_t index, json_t root)
{
	return llm_add_text(a, index, json_str(json_get(root, "delta")))
		       ? ERR_OK
		       : llm_too_many(a);
}

static enum err add_thought(struct llm_answer *a, int64_t index, json_t root)
{
	struct llm_part *p = part_of(a, LLM_REASONING, index);
	if (!p)
		return llm_too_many(a);
	strbuf_add_slice(&p->thought, json_str(json_get(root, "delta")));
	return ERR_OK;
}

/* A new piece of what is shown of a thought. */
static enum err open_summary(struct llm_answer *a, int64_t index, json_t root)
{
	struct llm_part *p = llm_part_at(a, LLM_REASONING, index);
	(void)root;
	if (p && p->thought.n)
		strbuf_add_str(&p->thought, "\n\n");
	return ERR_OK;
}

static enum err read_arguments(struct llm_answer *a, int64_t index, json_t root)
{
	struct llm_part *p = part_of(a, LLM_CALL, index);
	if (!p)
		return llm_too_many(a);
	strbuf_add_slice(&p->arguments, json_str(json_get(root, "delta")));
	set(&p->arguments, json_str(json_get(root, "arguments")));
	return ERR_OK;
}

/* ---- the end */

static void read_usage(struct llm_answer *a, json_t usage)
{
	llm_count(usage, "input_tokens", &a->usage.in);
	llm_count(usage, "output_tokens", &a->usage.out);
	llm_count(json_get(usage, "input_tokens_details"), "cached_tokens",
		  &a->usage.cached);
	llm_count(json_get(usage, "output_tokens_details"), "reasoning_tokens",
		  &a->usage.reasoning);
}

/* Items that no event told of, or not all of them. */
static enum err read_output(struct llm_answer *a, json_t response)
{
	struct json_iter it = json_iter(json_get(response, "output"));
	int64_t index = 0;
	enum err e = ERR_OK;
	if (a->part_count)
		return ERR_OK;
	for (json_t item; !e && (item = json_next(&it, NULL)); index++)
		e = read_item(a, index, item);
	return e;
}

static enum err read_end(struct llm_answer *a, int64_t index, json_t root)
{
	json_t response = json_get(root, "response");
	struct slice why =
		json_str(json_get(json_get(response, "incomplete_details"), "reason"));
	enum err e = read_output(a, response);
	(void)index;
	read_usage(a, json_get(response, "usage"));
	if (e)
		return e;
	if (slice_is(why, "content_filter"))
		a->stop = LLM_STOP_FILTER;
	else if (why.n)
		a->stop = LLM_STOP_LENGTH;
	else
		a->stop = a->call_count ? LLM_STOP_TOOLS : LLM_STOP_END;
	return ERR_OK;
}

/* The error stands in an object, or its members in the event itself. */
static enum err read_error(struct llm_answer *a, int64_t index, json_t root)
{
	json_t error = json_get(json_get(root, "response"), "error");
	(void)index;
	if (json_kind(error) <= JSON_NULL)
		error = json_get(root, "error");
	struct llm_refusal r =
		llm_refusal_of(0, json_kind(error) > JSON_NULL ? error : root);
	if (slice_is(r.type, "error"))
		r.type = SLICE_NONE;
	return llm_refuse(a, &r);
}

static const struct {
	const char *type;
	enum err (*read)(struct llm_answer *a, int64_t index, json_t root);
} events[] = {
	{"response.output_text.delta", read_text},
	{"response.refusal.delta", read_text},
	{"response.function_call_arguments.delta", read_arguments},
	{"response.function_call_arguments.done", read_arguments},
	{"response.reasoning_summary_part.added", open_summary},
	{"response.reasoning_summary_text.delta", add_thought},
	{"response.reasoning_text.delta", add_thought},
	{"response.output_item.added", read_added},
	{"response.output_item.done", read_added},
	{"response.completed", read_end},
	{"response.incomplete", read_end},
	{"response.failed", read_error},
	{"response.cancelled", read_error},
	{"error", read_error},
};

static enum err read_event(struct llm_answer *a, struct slice event, struct slice data)
{
	int64_t index = -1;
	(void)event;
	if (slice_is(data, "[DONE]"))
		return ERR_OK;
	AUTO(auto_json_free) struct json_doc *d = llm_event(a, data);
	json_t root = json_root(d);
	struct slice type = json_str(json_get(root, "type"));
	if (!d)
		return ERR_MODEL_BROKEN;
	if (!type.n && json_kind(json_get(root, "error")) > JSON_NULL)
		return read_error(a, -1, root);
	if (json_i64(json_get(root, "output_index"), &index) && index < 0)
		index = -1;
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (slice_is(type, events[i].type))
			return events[i].read(a, index, root);
	return ERR_OK;
}

static void write_path(struct strbuf *out, const struct llm_question *q)
{
	(void)q;
	strbuf_add_str(out, "/responses");
}

static void write_headers(struct llm_headers *h, const struct llm_target *t)
{
	llm_put_bearer(h, t->api_key);
}

const struct llm_provider llm_responses = {
	.name = "openai-responses",
	.base_url = "https://api.openai.com/v1",
	.write_path = write_path,
	.write_headers = write_headers,
	.write_message = responses_write_message,
	.write_request = responses_write_request,
	.read_event = read_event,
	.read_refusal = llm_refuse_json,
	.look_path = "/models",
	.look_list = "data",
};
