/* SPDX-License-Identifier: Apache-2.0
 * A question in the form of OpenAI's responses. Nothing is kept by the provider
 * (`store`), so its thoughts come and go encrypted, and items go without their ids: an
 * id would be looked up and not found. What responses.c keeps as opaque is read back
 * here: of a thought {"encrypted_content", "summary": [text]}, of a text {"phase"}. */
#include "worker/llm/responses_request.h"

#include "common/attr.h"
#include "worker/llm/blocks.h"
#include "worker/llm/model_name.h"

#define OWN "openai-responses"
/* How the form of an image begins; inside of texts the quotes would be escaped. */
#define IMAGE "{\"type\":\"input_image\","

/* ---- items */

static void put_text(struct json_out *o, struct slice text)
{
	json_obj(o);
	json_kv_cstr(o, "type", "input_text");
	json_kv_str(o, "text", text);
	json_obj_end(o);
}

static void put_image(struct json_out *o, json_t b)
{
	AUTO(strbuf_fini) struct strbuf url = STRBUF_INIT;
	block_image_url(&url, b);
	json_obj(o);
	json_kv_cstr(o, "type", "input_image");
	json_kv_cstr(o, "detail", "auto");
	json_kv_str(o, "image_url", strbuf_slice(&url));
	json_obj_end(o);
}

static void begin_message(struct json_out *o, const char *role)
{
	json_obj(o);
	json_kv_cstr(o, "type", "message");
	json_kv_cstr(o, "role", role);
	json_key(o, "content");
}

static void put_user(struct json_out *o, enum llm_role role, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	bool any = false;
	for (json_t b; (b = json_next(&it, NULL));) {
		enum block_kind kind = block_kind(b);
		struct slice text = json_str(json_get(b, "text"));
		bool image = role == LLM_USER && kind == BLOCK_IMAGE;
		if (!image && !(kind == BLOCK_TEXT && text.n))
			continue;
		if (!any) {
			begin_message(o, "user");
			json_arr(o);
			any = true;
		}
		if (image)
			put_image(o, b);
		else
			put_text(o, text);
	}
	if (any) {
		json_arr_end(o);
		json_obj_end(o);
	}
}

static void put_answer(struct json_out *o, json_t b)
{
	struct slice text = json_str(json_get(b, "text"));
	struct slice phase = json_str(json_get(block_opaque(b, OWN), "phase"));
	if (!text.n)
		return;
	begin_message(o, "assistant");
	json_put_str(o, text);
	if (phase.n)
		json_kv_str(o, "phase", phase);
	json_obj_end(o);
}

static void put_call(struct json_out *o, json_t b)
{
	AUTO(strbuf_fini) struct strbuf arguments = STRBUF_INIT;
	block_add_arguments(&arguments, b);
	json_obj(o);
	json_kv_cstr(o, "type", "function_call");
	block_put_word(o, "call_id", json_str(json_get(b, "callId")));
	block_put_word(o, "name", json_str(json_get(b, "name")));
	json_kv_str(o, "arguments", strbuf_slice(&arguments));
	json_obj_end(o);
}

/* A result that has images is a list, of which they are part. */
static void put_result(struct json_out *o, json_t blocks, size_t i, bool sees)
{
	json_t b = json_at(blocks, i), image = blocks_result_image(blocks, ++i);
	json_obj(o);
	json_kv_cstr(o, "type", "function_call_output");
	block_put_word(o, "call_id", json_str(json_get(b, "callId")));
	if (sees && image) {
		json_key(o, "output");
		json_arr(o);
		put_text(o, json_str(json_get(b, "text")));
		for (; (image = blocks_result_image(blocks, i)); i++)
			put_image(o, image);
		json_arr_end(o);
	} else {
		json_kv_str(o, "output", json_str(json_get(b, "text")));
	}
	json_obj_end(o);
}

/* For a model that takes no images. */
static void put_blind(struct json_out *o, struct slice content)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, content.n, NULL, 0);
	json_t blocks = json_get(json_root(d), "blocks");
	for (size_t i = 0; i < json_len(blocks); i++)
		if (block_kind(json_at(blocks, i)) == BLOCK_RESULT)
			put_result(o, blocks, i, false);
}

static void put_thought(struct json_out *o, json_t b)
{
	json_t opaque = block_opaque(b, OWN);
	struct slice encrypted = json_str(json_get(opaque, "encrypted_content"));
	struct json_iter it = json_iter(json_get(opaque, "summary"));
	if (!encrypted.n)
		return;
	json_obj(o);
	json_kv_cstr(o, "type", "reasoning");
	json_key(o, "summary");
	json_arr(o);
	for (json_t s; (s = json_next(&it, NULL));) {
		json_obj(o);
		json_kv_cstr(o, "type", "summary_text");
		json_kv_str(o, "text", json_str(s));
		json_obj_end(o);
	}
	json_arr_end(o);
	json_kv_str(o, "encrypted_content", encrypted);
	json_obj_end(o);
}

void responses_write_message(struct strbuf *out, enum llm_role role, json_t blocks)
{
	struct json_out o = json_out(out);
	struct json_iter it = json_iter(blocks);
	if (role == LLM_USER || role == LLM_SUMMARY) {
		put_user(&o, role, blocks);
		return;
	}
	for (size_t i = 0; i < json_len(blocks); i++) {
		json_t b = json_next(&it, NULL);
		enum block_kind kind = block_kind(b);
		if (role == LLM_TOOL && kind == BLOCK_RESULT)
			put_result(&o, blocks, i, true);
		else if (role == LLM_TOOL)
			continue;
		else if (kind == BLOCK_TEXT)
			put_answer(&o, b);
		else if (kind == BLOCK_CALL)
			put_call(&o, b);
		else if (kind == BLOCK_REASONING && blocks_go_on(blocks, i))
			put_thought(&o, b);
	}
}

static void put_tools(struct json_out *o, const struct llm_question *q)
{
	if (!q->tool_count)
		return;
	json_key(o, "tools");
	json_arr(o);
	for (size_t i = 0; i < q->tool_count; i++) {
		json_obj(o);
		json_kv_cstr(o, "type", "function");
		json_kv_cstr(o, "name", q->tools[i]->name);
		if (q->tools[i]->description)
			json_kv_cstr(o, "description", q->tools[i]->description);
		json_kv_raw(o, "parameters", slice_str(q->tools[i]->schema));
		/* it would make each member required, if it is not said */
		json_kv_bool(o, "strict", false);
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
	json_kv_str(o, "name", q->choice.name);
	json_obj_end(o);
}

/* ---- parameters */

/* Models that do not reason refuse what belongs to it; those that do refuse a
 * temperature. */
static bool reasons(struct slice model)
{
	static const char *const plain[] = {"gpt-3", "gpt-4", "chatgpt-", "gpt-5-chat"};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (slice_has_prefix(model, slice_str(plain[i])))
			return false;
	return true;
}

static void put_format(struct json_out *o, struct slice schema)
{
	json_key(o, "text");
	json_obj(o);
	json_key(o, "format");
	json_obj(o);
	json_kv_cstr(o, "type", "json_schema");
	json_kv_cstr(o, "name", "answer");
	json_kv_bool(o, "strict", true);
	json_kv_raw(o, "schema", schema);
	json_obj_end(o);
	json_obj_end(o);
}

/* There is no parameter for texts that end the answer. */
static void put_sampling(struct json_out *o, const struct llm_params *p)
{
	if (p->has_temperature) {
		json_key(o, "temperature");
		json_put_double(o, p->temperature);
	}
	if (p->top_p > 0) {
		json_key(o, "top_p");
		json_put_double(o, p->top_p);
	}
}

static void put_params(struct json_out *o, const struct llm_question *q)
{
	const struct llm_params *p = &q->params;
	if (reasons(q->model)) {
		json_kv_raw(o, "include", SLICE("[\"reasoning.encrypted_content\"]"));
		if (p->effort.n) {
			json_key(o, "reasoning");
			json_obj(o);
			json_kv_str(o, "effort", p->effort);
			json_obj_end(o);
		}
	} else {
		put_sampling(o, p);
	}
	if (p->max_tokens)
		json_kv_i64(o, "max_output_tokens", p->max_tokens);
	if (p->schema.n)
		put_format(o, p->schema);
}

void responses_write_request(struct strbuf *out, const struct llm_question *q)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	json_kv_str(&o, "model", q->model);
	json_kv_bool(&o, "stream", true);
	json_kv_bool(&o, "store", false);
	put_params(&o, q);
	put_tools(&o, q);
	put_choice(&o, q);
	if (q->system.n)
		json_kv_str(&o, "instructions", q->system);
	json_key(&o, "input");
	json_arr(&o);
	for (size_t i = 0; i < q->message_count; i++) {
		const struct llm_message *m = q->messages[i];
		struct slice wire = llm_wire(&llm_responses, q->messages[i]);
		bool images = m->role == LLM_TOOL && slice_find(wire, SLICE(IMAGE)) >= 0;
		if (images && !model_of_openai_sees(q->model))
			put_blind(&o, m->content);
		else if (wire.n)
			json_put_raw(&o, wire);
	}
	json_arr_end(&o);
	json_obj_end(&o);
}
