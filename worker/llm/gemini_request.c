/* SPDX-License-Identifier: Apache-2.0
 * A question in the form of Gemini's generateContent. A message's cached form is its
 * parts without the brackets. What gemini.c keeps as opaque is read back here: of a call
 * {"id", "thoughtSignature"}, of a thought {"thoughtSignature"}, of a text the stretches
 * of it that are signed, [{"from", "to", "thoughtSignature"}] in bytes. */
#include "worker/llm/gemini_request.h"

#include "common/attr.h"
#include "worker/llm/blocks.h"
#include "worker/llm/model_name.h"
#include "worker/llm/sides.h"

/* What Google documents for calls that were made by another model: newer models refuse a
 * step whose first call has no signature. */
#define NO_SIGNATURE "skip_thought_signature_validator"

/* How the forms of a call with an id, and of a result, begin. Inside of texts the quotes
 * would be escaped. */
#define CALL_BEGINS "{\"functionCall\":{\"id\":\""
#define RESULT_BEGINS "{\"functionResponse\":{"
#define RESULT_ID "\"id\":\""
/* And of an image that a tool returned. */
#define IMAGE_BEGINS "{\"inlineData\":{"

/* ---- messages */

static void put_text(struct json_out *o, struct slice text, struct slice signature)
{
	if (!text.n && !signature.n)
		return;
	json_obj(o);
	json_kv_str(o, "text", text);
	if (signature.n)
		json_kv_str(o, "thoughtSignature", signature);
	json_obj_end(o);
}

/* Each signed stretch is a part of its own, as it came. */
static void put_answer_text(struct json_out *o, json_t b)
{
	struct slice text = json_str(json_get(b, "text"));
	struct json_iter it = json_iter(block_opaque(b, "gemini"));
	int64_t at = 0, from, to;
	for (json_t s; (s = json_next(&it, NULL));) {
		if (!json_i64(json_get(s, "from"), &from) ||
		    !json_i64(json_get(s, "to"), &to) || from < at || to < from ||
		    (uint64_t)to > text.n)
			continue;
		put_text(o, slice_of(text.p + at, (size_t)(from - at)), SLICE_NONE);
		put_text(o, slice_of(text.p + from, (size_t)(to - from)),
			 json_str(json_get(s, "thoughtSignature")));
		at = to;
	}
	if (text.n)
		put_text(o, slice_of(text.p + at, text.n - (size_t)at), SLICE_NONE);
}

static void put_thought(struct json_out *o, json_t b)
{
	struct slice signature =
		json_str(json_get(block_opaque(b, "gemini"), "thoughtSignature"));
	if (!signature.n)
		return;
	json_obj(o);
	json_kv_str(o, "text", json_str(json_get(b, "text")));
	json_kv_bool(o, "thought", true);
	json_kv_str(o, "thoughtSignature", signature);
	json_obj_end(o);
}

/* Only what Gemini itself gave an id is called by it again; of two calls with one id the
 * second was given another here. */
static void put_call(struct json_out *o, json_t b, bool first)
{
	AUTO(strbuf_fini) struct strbuf arguments = STRBUF_INIT;
	json_t opaque = block_opaque(b, "gemini");
	struct slice id = json_str(json_get(opaque, "id"));
	struct slice signature = json_str(json_get(opaque, "thoughtSignature"));
	block_add_arguments(&arguments, b);
	json_obj(o);
	json_key(o, "functionCall");
	json_obj(o);
	if (id.n && slice_eq(id, json_str(json_get(b, "callId"))))
		json_kv_str(o, "id", id);
	block_put_word(o, "name", json_str(json_get(b, "name")));
	json_kv_raw(o, "args", strbuf_slice(&arguments));
	json_obj_end(o);
	if (signature.n)
		json_kv_str(o, "thoughtSignature", signature);
	else if (first)
		json_kv_cstr(o, "thoughtSignature", NO_SIGNATURE);
	json_obj_end(o);
}

/* With the id always: whether it is one of Gemini's is known when the question is
 * written. */
static void put_result(struct json_out *o, json_t b)
{
	bool is_error = json_bool(json_get(b, "isError"), false);
	json_obj(o);
	json_key(o, "functionResponse");
	json_obj(o);
	json_kv_str(o, "id", json_str(json_get(b, "callId")));
	block_put_word(o, "name", json_str(json_get(b, "name")));
	json_key(o, "response");
	json_obj(o);
	json_kv_str(o, is_error ? "error" : "output", json_str(json_get(b, "text")));
	json_obj_end(o);
	json_obj_end(o);
	json_obj_end(o);
}

static void put_image(struct json_out *o, json_t b)
{
	json_t data = json_get(b, "data");
	const char *type = json_cstr(json_get(b, "mediaType"), data ? "image/png" : NULL);
	json_obj(o);
	json_key(o, data ? "inlineData" : "fileData");
	json_obj(o);
	if (type)
		json_kv_cstr(o, "mimeType", type);
	if (data)
		json_kv_str(o, "data", json_str(data));
	else
		json_kv_str(o, "fileUri", json_str(json_get(b, "url")));
	json_obj_end(o);
	json_obj_end(o);
}

static void put_answer(struct json_out *o, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	bool first = true;
	for (json_t b; (b = json_next(&it, NULL));) {
		enum block_kind kind = block_kind(b);
		if (kind == BLOCK_TEXT)
			put_answer_text(o, b);
		else if (kind == BLOCK_REASONING)
			put_thought(o, b);
		if (kind != BLOCK_CALL)
			continue;
		put_call(o, b, first);
		first = false;
	}
}

void gemini_write_message(struct strbuf *out, enum llm_role role, json_t blocks)
{
	struct json_out o = json_out(out);
	struct json_iter it = json_iter(blocks);
	if (role == LLM_ASSISTANT) {
		put_answer(&o, blocks);
		return;
	}
	for (json_t b; (b = json_next(&it, NULL));) {
		enum block_kind kind = block_kind(b);
		if (role == LLM_TOOL && kind == BLOCK_RESULT)
			put_result(&o, b);
		else if (role == LLM_USER && kind == BLOCK_IMAGE)
			put_image(&o, b);
		else if (role != LLM_TOOL && kind == BLOCK_TEXT)
			put_text(&o, json_str(json_get(b, "text")), SLICE_NONE);
	}
	for (size_t i = 0; role == LLM_TOOL && i < json_len(blocks); i++)
		if (blocks_result_image(blocks, i))
			put_image(&o, json_at(blocks, i));
}

/* Whether a call of that id, escaped as it stands in a form, is among the answers of the
 * side before. */
static bool gave_id(const struct llm_question *q, const struct llm_side *before,
		    struct slice id)
{
	AUTO(strbuf_fini) struct strbuf call = STRBUF_INIT;
	strbuf_add_str(&call, CALL_BEGINS);
	strbuf_add_slice(&call, id);
	strbuf_add_char(&call, '"');
	for (size_t i = before->from; i < before->end; i++)
		if (slice_find(llm_wire(&llm_gemini, q->messages[i]),
			       strbuf_slice(&call)) >= 0)
			return true;
	return false;
}

static struct slice cut_to(struct slice *rest, size_t n)
{
	struct slice s = slice_of(rest->p, n);
	*rest = slice_of(rest->p + n, rest->n - n);
	return s;
}

/* A text of JSON up to its closing quote. */
static size_t quoted(struct slice s)
{
	size_t n = 0;
	while (n < s.n && s.p[n] != '"')
		n += s.p[n] == '\\' ? 2 : 1;
	return n;
}

/* A form of results, without the ids that Gemini did not give. */
static void put_results(struct json_out *o, const struct llm_question *q,
			const struct llm_side *before, struct slice wire)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	ptrdiff_t at;
	while ((at = slice_find(wire, SLICE(RESULT_BEGINS RESULT_ID))) >= 0) {
		strbuf_add_slice(&b,
				 cut_to(&wire, (size_t)at + sizeof RESULT_BEGINS - 1));
		struct slice rest = slice_of(wire.p + sizeof RESULT_ID - 1,
					     wire.n - (sizeof RESULT_ID - 1));
		size_t id = quoted(rest), whole = sizeof RESULT_ID - 1 + id + 2;
		struct slice member = cut_to(&wire, whole); /* with quote and comma */
		if (id && gave_id(q, before, slice_of(rest.p, id)))
			strbuf_add_slice(&b, member);
	}
	strbuf_add_slice(&b, wire);
	json_put_raw(o, strbuf_slice(&b));
}

/* Of message i what belongs to the results of its side, or to the rest: images that tools
 * returned are the rest's. */
static struct slice part_of(const struct llm_question *q, size_t i, bool results)
{
	struct slice wire = llm_wire(&llm_gemini, q->messages[i]), images;
	if (q->messages[i]->role != LLM_TOOL)
		return results ? SLICE_NONE : wire;
	wire = blocks_cut_images(wire, SLICE(IMAGE_BEGINS), &images);
	return results ? wire : images;
}

/* The results are a content of their own: as many as there were calls, and nothing
 * else. */
static void put_side(struct json_out *o, const struct llm_question *q,
		     const struct llm_side *side, const struct llm_side *before)
{
	for (int results = 1; results >= 0; results--) {
		bool any = false;
		for (size_t i = side->from; i < side->end; i++) {
			struct slice wire = part_of(q, i, results);
			if (!wire.n)
				continue;
			if (!any) {
				json_obj(o);
				json_kv_cstr(o, "role", side->answers ? "model" : "user");
				json_key(o, "parts");
				json_arr(o);
				any = true;
			}
			if (results)
				put_results(o, q, before, wire);
			else
				json_put_raw(o, wire);
		}
		if (any) {
			json_arr_end(o);
			json_obj_end(o);
		}
	}
}

static void put_contents(struct json_out *o, const struct llm_question *q)
{
	struct llm_side side = {0}, before = {0};
	json_key(o, "contents");
	json_arr(o);
	for (; llm_next_side(&llm_gemini, q, &side); before = side)
		put_side(o, q, &side, &before);
	json_arr_end(o);
}

static void put_system(struct json_out *o, const struct llm_question *q)
{
	if (!q->system.n)
		return;
	json_key(o, "systemInstruction");
	json_obj(o);
	json_key(o, "parts");
	json_arr(o);
	put_text(o, q->system, SLICE_NONE);
	json_arr_end(o);
	json_obj_end(o);
}

static void put_tools(struct json_out *o, const struct llm_question *q)
{
	if (!q->tool_count)
		return;
	json_key(o, "tools");
	json_arr(o);
	json_obj(o);
	json_key(o, "functionDeclarations");
	json_arr(o);
	for (size_t i = 0; i < q->tool_count; i++) {
		json_obj(o);
		json_kv_cstr(o, "name", q->tools[i]->name);
		/* it must not be missing */
		json_kv_cstr(o, "description",
			     q->tools[i]->description ? q->tools[i]->description
						      : q->tools[i]->name);
		json_kv_raw(o, "parametersJsonSchema", slice_str(q->tools[i]->schema));
		json_obj_end(o);
	}
	json_arr_end(o);
	json_obj_end(o);
	json_arr_end(o);
}

static void put_choice(struct json_out *o, const struct llm_question *q)
{
	enum llm_choice_kind kind = llm_choice_of(q);
	if (kind == LLM_CHOICE_FREE)
		return;
	json_key(o, "toolConfig");
	json_obj(o);
	json_key(o, "functionCallingConfig");
	json_obj(o);
	json_kv_cstr(o, "mode", kind == LLM_CHOICE_NONE ? "NONE" : "ANY");
	if (kind == LLM_CHOICE_NAMED) {
		json_key(o, "allowedFunctionNames");
		json_arr(o);
		json_put_str(o, q->choice.name);
		json_arr_end(o);
	}
	json_obj_end(o);
	json_obj_end(o);
}

/* ---- parameters */

/* Tokens to think by, for models before 3: what all of 2.5 take (512 to 24,576). */
static int64_t budget_of(struct slice effort)
{
	if (slice_is(effort, "minimal"))
		return 512;
	if (slice_is(effort, "low"))
		return 2048;
	if (slice_is(effort, "medium"))
		return 8192;
	return 24576;
}

/* A model since 3 takes a level, one of 2.5 a budget, and neither takes both. Its name
 * may say no version ("gemini-flash-latest"): it is of the newest. What can be shown of
 * the thoughts is asked for where all models think, so that the stream is not silent
 * meanwhile. */
static void put_thinking(struct json_out *o, const struct llm_question *q)
{
	struct slice effort = q->params.effort;
	int v = model_version(q->model);
	bool level = !v || v >= 300;
	bool thinks = level && slice_find(q->model, SLICE("gemini")) >= 0;
	if (!effort.n ? !thinks : v && v < 205)
		return;
	json_key(o, "thinkingConfig");
	json_obj(o);
	json_kv_bool(o, "includeThoughts", true);
	if (effort.n && level) /* some models refuse minimal, none refuses low */
		json_kv_str(o, "thinkingLevel",
			    slice_is(effort, "minimal") ? SLICE("low") : effort);
	else if (effort.n)
		json_kv_i64(o, "thinkingBudget", budget_of(effort));
	json_obj_end(o);
}

static void put_config(struct json_out *o, const struct llm_question *q)
{
	const struct llm_params *p = &q->params;
	json_key(o, "generationConfig");
	json_obj(o);
	if (p->has_temperature) {
		json_key(o, "temperature");
		json_put_double(o, p->temperature);
	}
	if (p->top_p > 0) {
		json_key(o, "topP");
		json_put_double(o, p->top_p);
	}
	if (p->max_tokens)
		json_kv_i64(o, "maxOutputTokens", p->max_tokens);
	if (p->stop.n)
		json_kv_raw(o, "stopSequences", p->stop);
	if (p->schema.n) {
		json_kv_cstr(o, "responseMimeType", "application/json");
		json_kv_raw(o, "responseJsonSchema", p->schema);
	}
	put_thinking(o, q);
	json_obj_end(o);
}

void gemini_write_request(struct strbuf *out, const struct llm_question *q)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	put_config(&o, q);
	put_tools(&o, q);
	put_choice(&o, q);
	put_system(&o, q);
	put_contents(&o, q);
	json_obj_end(&o);
}

/* A model's name is a path ("tunedModels/x"), or one of "models". */
void gemini_write_path(struct strbuf *out, const struct llm_question *q)
{
	strbuf_add_str(out, "/v1beta/");
	if (q->model.n && !memchr(q->model.p, '/', q->model.n))
		strbuf_add_str(out, "models/");
	for (size_t i = 0; i < q->model.n; i++) {
		unsigned char c = (unsigned char)q->model.p[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || (c && strchr("-._/", c)))
			strbuf_add_char(out, (char)c);
		else
			strbuf_printf(out, "%%%02X", c);
	}
	strbuf_add_str(out, ":streamGenerateContent?alt=sse");
}
