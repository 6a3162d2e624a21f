/* SPDX-License-Identifier: Apache-2.0
 * A question in the form of Anthropic's messages. A message's cached form is its content
 * blocks without the brackets: the API wants everything that one side says in a row as
 * one message. */
#include "worker/llm/anthropic_request.h"

#include "common/attr.h"
#include "worker/llm/blocks.h"
#include "worker/llm/model_name.h"
#include "worker/llm/sides.h"

#define CACHE_MARK "\"cache_control\":{\"type\":\"ephemeral\"}"

/* `max_tokens` has to be said. All models since 3.7 that are served take 32,000; what has
 * another name or is older is likely to take 8192. Nobody is billed for what is not
 * used. */
#define ANSWER_MOST 32000
#define ANSWER_MOST_OLD 8192

/* ---- messages */

static void put_image(struct json_out *o, json_t b)
{
	json_t data = json_get(b, "data");
	json_obj(o);
	json_kv_cstr(o, "type", "image");
	json_key(o, "source");
	json_obj(o);
	json_kv_cstr(o, "type", data ? "base64" : "url");
	if (data) {
		json_kv_cstr(o, "media_type",
			     json_cstr(json_get(b, "mediaType"), "image/png"));
		json_kv_str(o, "data", json_str(data));
	} else {
		json_kv_str(o, "url", json_str(json_get(b, "url")));
	}
	json_obj_end(o);
	json_obj_end(o);
}

static void put_text(struct json_out *o, struct slice text)
{
	json_obj(o);
	json_kv_cstr(o, "type", "text");
	json_kv_str(o, "text", text);
	json_obj_end(o);
}

static void put_call(struct json_out *o, json_t b)
{
	AUTO(strbuf_fini) struct strbuf arguments = STRBUF_INIT;
	block_add_arguments(&arguments, b);
	json_obj(o);
	json_kv_cstr(o, "type", "tool_use");
	block_put_word(o, "id", json_str(json_get(b, "callId")));
	block_put_word(o, "name", json_str(json_get(b, "name")));
	json_kv_raw(o, "input", strbuf_slice(&arguments));
	json_obj_end(o);
}

/* A result that has images is a list, of which they are part. */
static void put_list(struct json_out *o, struct slice text, json_t blocks, size_t i)
{
	json_key(o, "content");
	json_arr(o);
	if (slice_trim(text).n)
		put_text(o, text);
	for (json_t image; (image = blocks_result_image(blocks, i)); i++)
		put_image(o, image);
	json_arr_end(o);
}

static void put_result(struct json_out *o, json_t blocks, size_t i)
{
	json_t b = json_at(blocks, i);
	struct slice text = json_str(json_get(b, "text"));
	json_obj(o);
	json_kv_cstr(o, "type", "tool_result");
	block_put_word(o, "tool_use_id", json_str(json_get(b, "callId")));
	if (blocks_result_image(blocks, i + 1))
		put_list(o, text, blocks, i + 1);
	else if (text.n)
		json_kv_str(o, "content", text);
	if (json_bool(json_get(b, "isError"), false))
		json_kv_bool(o, "is_error", true);
	json_obj_end(o);
}

/* A thought goes back to who signed it, or not at all. */
static void put_thought(struct json_out *o, json_t b)
{
	json_t opaque = block_opaque(b, "anthropic");
	struct slice signature = json_str(json_get(opaque, "signature"));
	struct slice data = json_str(json_get(opaque, "data"));
	if (!signature.n && !data.n)
		return;
	json_obj(o);
	if (data.n) {
		json_kv_cstr(o, "type", "redacted_thinking");
		json_kv_str(o, "data", data);
	} else {
		json_kv_cstr(o, "type", "thinking");
		json_kv_str(o, "thinking", json_str(json_get(b, "text")));
		json_kv_str(o, "signature", signature);
	}
	json_obj_end(o);
}

/* Texts of nothing but blanks are refused, so they are left out. */
static void put_answer(struct json_out *o, json_t blocks)
{
	struct json_iter it = json_iter(blocks);
	for (size_t i = 0; i < json_len(blocks); i++) {
		json_t b = json_next(&it, NULL);
		enum block_kind kind = block_kind(b);
		if (kind == BLOCK_TEXT && block_has_text(b))
			put_text(o, json_str(json_get(b, "text")));
		else if (kind == BLOCK_CALL)
			put_call(o, b);
		else if (kind == BLOCK_REASONING && blocks_go_on(blocks, i))
			put_thought(o, b);
	}
}

void anthropic_write_message(struct strbuf *out, enum llm_role role, json_t blocks)
{
	struct json_out o = json_out(out);
	struct json_iter it = json_iter(blocks);
	if (role == LLM_ASSISTANT) {
		put_answer(&o, blocks);
		return;
	}
	for (size_t i = 0; i < json_len(blocks); i++) {
		json_t b = json_next(&it, NULL);
		enum block_kind kind = block_kind(b);
		if (role == LLM_TOOL && kind == BLOCK_RESULT)
			put_result(&o, blocks, i);
		else if (role == LLM_USER && kind == BLOCK_IMAGE)
			put_image(&o, b);
		else if (role != LLM_TOOL && kind == BLOCK_TEXT && block_has_text(b))
			put_text(&o, json_str(json_get(b, "text")));
	}
}

static bool is_answer(const struct llm_message *m)
{
	return m->role == LLM_ASSISTANT;
}

static struct slice wire_of(const struct llm_question *q, size_t i)
{
	return llm_wire(&llm_anthropic, q->messages[i]);
}

/* A block with the mark that all up to it is to be kept by the provider's cache. */
static void put_marked(struct json_out *o, struct slice blocks)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add(&b, blocks.p, blocks.n - 1);
	strbuf_add_str(&b, "," CACHE_MARK "}");
	json_put_raw(o, strbuf_slice(&b));
}

/* What one side says: results of tools first, as the API wants them. `marked` is the
 * message whose last block gets the mark. */
static void put_side(struct json_out *o, const struct llm_question *q,
		     const struct llm_side *side, size_t marked)
{
	json_obj(o);
	json_kv_cstr(o, "role", side->answers ? "assistant" : "user");
	json_key(o, "content");
	json_arr(o);
	for (int results = 1; results >= 0; results--)
		for (size_t i = side->from; i < side->end; i++) {
			struct slice wire = llm_side_wire(&llm_anthropic, q, i, results);
			if (!wire.n)
				continue;
			if (i == marked)
				put_marked(o, wire);
			else
				json_put_raw(o, wire);
		}
	json_arr_end(o);
	json_obj_end(o);
}

/* The last block of what is newest of the user and the tools: everything before it is in
 * the next question too. */
static size_t marked_of(const struct llm_question *q)
{
	for (size_t i = q->message_count; i-- > 0;)
		if (!is_answer(q->messages[i]) && wire_of(q, i).n)
			return i;
	return SIZE_MAX;
}

static void put_messages(struct json_out *o, const struct llm_question *q)
{
	struct llm_side side = {0};
	size_t marked = marked_of(q);
	json_key(o, "messages");
	json_arr(o);
	while (llm_next_side(&llm_anthropic, q, &side))
		put_side(o, q, &side, marked);
	json_arr_end(o);
}

static void put_system(struct json_out *o, const struct llm_question *q)
{
	if (!slice_trim(q->system).n)
		return;
	json_key(o, "system");
	json_arr(o);
	json_obj(o);
	json_kv_cstr(o, "type", "text");
	json_kv_str(o, "text", q->system);
	json_kv_raw(o, "cache_control", SLICE("{\"type\":\"ephemeral\"}"));
	json_obj_end(o);
	json_arr_end(o);
}

static void put_tools(struct json_out *o, const struct llm_question *q)
{
	if (!q->tool_count)
		return;
	json_key(o, "tools");
	json_arr(o);
	for (size_t i = 0; i < q->tool_count; i++) {
		json_obj(o);
		json_kv_cstr(o, "name", q->tools[i]->name);
		if (q->tools[i]->description)
			json_kv_cstr(o, "description", q->tools[i]->description);
		json_kv_raw(o, "input_schema", slice_str(q->tools[i]->schema));
		if (i + 1 == q->tool_count)
			json_kv_raw(o, "cache_control",
				    SLICE("{\"type\":\"ephemeral\"}"));
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void put_choice(struct json_out *o, const struct llm_question *q)
{
	static const char *const types[] = {[LLM_CHOICE_NONE] = "none",
					    [LLM_CHOICE_REQUIRED] = "any",
					    [LLM_CHOICE_NAMED] = "tool"};
	enum llm_choice_kind kind = llm_choice_of(q);
	if (kind == LLM_CHOICE_FREE)
		return;
	json_key(o, "tool_choice");
	json_obj(o);
	json_kv_cstr(o, "type", types[kind]);
	if (kind == LLM_CHOICE_NAMED)
		json_kv_str(o, "name", q->choice.name);
	json_obj_end(o);
}

/* ---- parameters */

/* What a model's generation takes (docs/providers.md). A name of Anthropic's without a
 * version is taken for the newest; another's model knows what the oldest know. */
struct traits {
	int64_t max_tokens;
	bool budget;      /* thinks by a budget of tokens, not by an effort */
	bool temperature; /* takes one */
	bool bound;       /* refuses old thoughts when what was before them changed */
};

static struct traits traits_of(struct slice model)
{
	int v = model_version(model);
	if (!v && slice_has_prefix(model, SLICE("claude")))
		v = 9999;
	return (struct traits){.max_tokens = v < 307 ? ANSWER_MOST_OLD : ANSWER_MOST,
			       .budget = v < 406,
			       .temperature = v < 407,
			       .bound = v >= 501};
}

/* Tokens to think by, for models that know no effort. The least that the API takes is
 * 1024; from 32,000 up the work is better left to a batch, as its guide says, and a
 * quarter of the longest answer is left to the answer itself. */
static int64_t budget_of(struct slice effort)
{
	if (slice_is(effort, "minimal"))
		return 1024;
	if (slice_is(effort, "low"))
		return 4096;
	if (slice_is(effort, "medium"))
		return 12288;
	return 24576;
}

/* A model that thinks by budget refuses to go on with calls that it made without
 * thinking, or that another provider made. */
static bool continues_without_thought(const struct llm_question *q)
{
	size_t i = q->message_count;
	if (!i || q->messages[i - 1]->role != LLM_TOOL)
		return false;
	while (i-- > 0)
		if (is_answer(q->messages[i])) {
			struct slice wire = wire_of(q, i);
			return !slice_has_prefix(wire, SLICE("{\"type\":\"thinking\"")) &&
			       !slice_has_prefix(
				       wire, SLICE("{\"type\":\"redacted_thinking\""));
		}
	return false;
}

/* Tokens to think by; 0: not at all. The answer's limit counts thoughts, and has to leave
 * room beside them. */
static int64_t budget(const struct llm_question *q, int64_t max_tokens)
{
	int64_t n = budget_of(q->params.effort);
	if (!q->params.effort.n || continues_without_thought(q))
		return 0;
	if (n >= max_tokens)
		n = max_tokens / 2;
	return n >= 1024 ? n : 0;
}

/* Says whether the model is asked to think. One that has to call a tool must not be. */
static bool put_thinking(struct json_out *o, const struct llm_question *q,
			 const struct traits *t, int64_t max_tokens)
{
	int64_t n = t->budget ? budget(q, max_tokens) : 0;
	if (llm_choice_of(q) >= LLM_CHOICE_REQUIRED)
		return false;
	if (t->budget ? !n : !q->params.effort.n && !t->bound)
		return false;
	json_key(o, "thinking");
	json_obj(o);
	json_kv_cstr(o, "type", t->budget ? "enabled" : "adaptive");
	if (t->budget)
		json_kv_i64(o, "budget_tokens", n);
	/* A compaction or another list of tools must not end the session. */
	if (t->bound)
		json_kv_raw(o, "block_binding",
			    SLICE("{\"prefix_mismatch_behavior\":\"drop_block\"}"));
	json_obj_end(o);
	return true;
}

static void put_output(struct json_out *o, const struct llm_params *p, bool effort)
{
	if (!effort && !p->schema.n)
		return;
	json_key(o, "output_config");
	json_obj(o);
	if (effort) /* there is no less than low */
		json_kv_str(o, "effort",
			    slice_is(p->effort, "minimal") ? SLICE("low") : p->effort);
	if (p->schema.n) {
		json_key(o, "format");
		json_obj(o);
		json_kv_cstr(o, "type", "json_schema");
		json_kv_raw(o, "schema", p->schema);
		json_obj_end(o);
	}
	json_obj_end(o);
}

/* One of the two: models of 4.1 and later refuse both. */
static void put_sampling(struct json_out *o, const struct llm_params *p)
{
	if (p->has_temperature) {
		json_key(o, "temperature");
		json_put_double(o, p->temperature);
	} else if (p->top_p > 0) {
		json_key(o, "top_p");
		json_put_double(o, p->top_p);
	}
}

static void put_params(struct json_out *o, const struct llm_question *q)
{
	const struct llm_params *p = &q->params;
	struct traits t = traits_of(q->model);
	int64_t max_tokens = p->max_tokens ? p->max_tokens : t.max_tokens;
	json_kv_i64(o, "max_tokens", max_tokens);
	bool thinks = put_thinking(o, q, &t, max_tokens);
	if (t.temperature && !thinks)
		put_sampling(o, p);
	if (p->stop.n)
		json_kv_raw(o, "stop_sequences", p->stop);
	put_output(o, p, p->effort.n && !t.budget);
}

void anthropic_write_request(struct strbuf *out, const struct llm_question *q)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	json_kv_str(&o, "model", q->model);
	json_kv_bool(&o, "stream", true);
	put_params(&o, q);
	put_tools(&o, q);
	put_choice(&o, q);
	put_system(&o, q);
	put_messages(&o, q);
	json_obj_end(&o);
}
