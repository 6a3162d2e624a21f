/* SPDX-License-Identifier: Apache-2.0
 * A question in the form of OpenAI's chat completions. */
#include "worker/llm/openai_request.h"

#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/blocks.h"
#include "worker/llm/model_name.h"

static void put_image(struct json_out *o, json_t b)
{
	AUTO(strbuf_fini) struct strbuf url = STRBUF_INIT;
	block_image_url(&url, b);
	json_obj(o);
	json_kv_cstr(o, "type", "image_url");
	json_key(o, "image_url");
	json_obj(o);
	json_kv_str(o, "url", strbuf_slice(&url));
	json_obj_end(o);
	json_obj_end(o);
}

static void put_parts(struct json_out *o, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	json_arr(o);
	for (json_t b; (b = json_next(&it, NULL));) {
		enum block_kind kind = block_kind(b);
		if (kind == BLOCK_IMAGE) {
			put_image(o, b);
		} else if (kind == BLOCK_TEXT) {
			json_obj(o);
			json_kv_cstr(o, "type", "text");
			json_kv_str(o, "text", json_str(json_get(b, "text")));
			json_obj_end(o);
		}
	}
	json_arr_end(o);
}

static void put_text_blocks(struct json_out *o, json_t blocks)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	blocks_add_text(&text, blocks);
	json_put_str(o, strbuf_slice(&text));
}

static void put_calls(struct json_out *o, json_t blocks)
{
	AUTO(strbuf_fini) struct strbuf arguments = STRBUF_INIT;
	struct json_iter it = json_iter(blocks);
	bool any = false;
	for (json_t b; (b = json_next(&it, NULL));) {
		if (block_kind(b) != BLOCK_CALL)
			continue;
		if (!any) {
			json_key(o, "tool_calls");
			json_arr(o);
			any = true;
		}
		strbuf_reset(&arguments);
		block_add_arguments(&arguments, b);
		json_obj(o);
		block_put_word(o, "id", json_str(json_get(b, "callId")));
		json_kv_cstr(o, "type", "function");
		json_key(o, "function");
		json_obj(o);
		block_put_word(o, "name", json_str(json_get(b, "name")));
		json_kv_str(o, "arguments", strbuf_slice(&arguments));
		json_obj_end(o);
		json_obj_end(o);
	}
	if (any)
		json_arr_end(o);
}

/* How the form of an image begins. */
#define IMAGE "{\"type\":\"image_url\","

/* A tool's message has no images: they stand behind all results of a step, as words of a
 * user. In the cached form they are behind the results of their message. */
static void put_tool_results(struct json_out *o, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	for (json_t b; (b = json_next(&it, NULL));) {
		if (block_kind(b) != BLOCK_RESULT)
			continue;
		json_obj(o);
		json_kv_cstr(o, "role", "tool");
		block_put_word(o, "tool_call_id", json_str(json_get(b, "callId")));
		json_kv_str(o, "content", json_str(json_get(b, "text")));
		json_obj_end(o);
	}
	for (size_t i = 0; i < json_len(blocks); i++)
		if (blocks_result_image(blocks, i))
			put_image(o, json_at(blocks, i));
}

void openai_write_message(struct strbuf *out, enum llm_role role, json_t blocks)
{
	struct json_out o = json_out(out);
	if (role == LLM_TOOL) {
		put_tool_results(&o, blocks);
		return;
	}
	json_obj(&o);
	json_kv_cstr(&o, "role", role == LLM_ASSISTANT ? "assistant" : "user");
	json_key(&o, "content");
	if (role == LLM_USER && blocks_have(blocks, BLOCK_IMAGE))
		put_parts(&o, blocks);
	else
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
		if (q->tools[i]->description)
			json_kv_cstr(o, "description", q->tools[i]->description);
		json_kv_raw(o, "parameters", slice_str(q->tools[i]->schema));
		json_obj_end(o);
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void put_choice(struct json_out *o, const struct llm_question *q)
{
	enum llm_choice_kind kind = llm_choice_of(q);
	if (kind == LLM_CHOICE_FREE)
		return;
	json_key(o, "tool_choice");
	if (kind != LLM_CHOICE_NAMED) {
		json_put_cstr(o, kind == LLM_CHOICE_NONE ? "none" : "required");
		return;
	}
	json_obj(o);
	json_kv_cstr(o, "type", "function");
	json_key(o, "function");
	json_obj(o);
	json_kv_str(o, "name", q->choice.name);
	json_obj_end(o);
	json_obj_end(o);
}

static void put_schema(struct json_out *o, struct slice schema)
{
	json_key(o, "response_format");
	json_obj(o);
	json_kv_cstr(o, "type", "json_schema");
	json_key(o, "json_schema");
	json_obj(o);
	json_kv_cstr(o, "name", "answer");
	json_kv_bool(o, "strict", true);
	json_kv_raw(o, "schema", schema);
	json_obj_end(o);
	json_obj_end(o);
}

static void put_params(struct json_out *o, const struct llm_params *p,
		       const char *max_tokens)
{
	if (p->has_temperature) {
		json_key(o, "temperature");
		json_put_double(o, p->temperature);
	}
	if (p->top_p > 0) {
		json_key(o, "top_p");
		json_put_double(o, p->top_p);
	}
	if (p->max_tokens)
		json_kv_i64(o, max_tokens, p->max_tokens);
	if (p->effort.n)
		json_kv_str(o, "reasoning_effort", p->effort);
	if (p->stop.n)
		json_kv_raw(o, "stop", p->stop);
	if (p->schema.n)
		put_schema(o, p->schema);
}

static void put_seen(struct json_out *o, struct strbuf *images)
{
	if (!images->n)
		return;
	json_obj(o);
	json_kv_cstr(o, "role", "user");
	json_key(o, "content");
	json_arr(o);
	json_obj(o);
	json_kv_cstr(o, "type", "text");
	json_kv_cstr(o, "text", "What the tools returned as images:");
	json_obj_end(o);
	json_put_raw(o, strbuf_slice(images));
	json_arr_end(o);
	json_obj_end(o);
	strbuf_reset(images);
}

static void put_messages(struct json_out *o, const struct llm_question *q, bool sees)
{
	AUTO(strbuf_fini) struct strbuf images = STRBUF_INIT;
	for (size_t i = 0; i < q->message_count; i++) {
		struct slice wire = llm_wire(&llm_openai, q->messages[i]), seen;
		if (q->messages[i]->role == LLM_TOOL) {
			wire = blocks_cut_images(wire, SLICE(IMAGE), &seen);
			if (sees && seen.n && images.n)
				strbuf_add_char(&images, ',');
			if (sees)
				strbuf_add_slice(&images, seen);
		} else if (wire.n) {
			put_seen(o, &images);
		}
		if (wire.n)
			json_put_raw(o, wire);
	}
	put_seen(o, &images);
}

static void write_request(struct strbuf *out, const struct llm_question *q,
			  const char *max_tokens, bool sees)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	json_kv_str(&o, "model", q->model);
	json_kv_bool(&o, "stream", true);
	json_kv_raw(&o, "stream_options", SLICE("{\"include_usage\":true}"));
	put_params(&o, &q->params, max_tokens);
	if (q->tool_count)
		put_tools(&o, q);
	put_choice(&o, q);
	json_key(&o, "messages");
	json_arr(&o);
	if (q->system.n) {
		json_obj(&o);
		json_kv_cstr(&o, "role", "system");
		json_kv_str(&o, "content", q->system);
		json_obj_end(&o);
	}
	put_messages(&o, q, sees);
	json_arr_end(&o);
	json_obj_end(&o);
}

void openai_write_request(struct strbuf *out, const struct llm_question *q)
{
	write_request(out, q, "max_completion_tokens", model_of_openai_sees(q->model));
}

void openai_write_compatible(struct strbuf *out, const struct llm_question *q)
{
	write_request(out, q, "max_tokens", model_sees(q->model));
}
