/* SPDX-License-Identifier: Apache-2.0
 * chat.completion.chunk after chat.completion.chunk, or one chat.completion. */
#include "edge/openai/answer.h"
#include "edge/openai/names.h"

static void put_head(const struct openai_answer *a, struct json_out *o,
		     const char *object)
{
	char id[NAME_BYTES];
	name_format(NAME_CHAT, a->run, 0, id);
	json_kv_cstr(o, "id", id);
	json_kv_cstr(o, "object", object);
	json_kv_i64(o, "created", a->created_us / 1000000);
	json_kv_str(o, "model", answer_model(a));
}

/* `usage` of an answer that will tell it in the end. */
static struct json_out begin_chunk(struct openai_answer *a)
{
	strbuf_add_str(&a->out, "data: ");
	struct json_out o = json_out(&a->out);
	json_obj(&o);
	put_head(a, &o, "chat.completion.chunk");
	return o;
}

static void end_chunk(struct openai_answer *a, struct json_out *o)
{
	json_obj_end(o);
	strbuf_add_str(&a->out, "\n\n");
}

static struct json_out begin_delta(struct openai_answer *a)
{
	struct json_out o = begin_chunk(a);
	json_key(&o, "choices");
	json_arr(&o);
	json_obj(&o);
	json_kv_i64(&o, "index", 0);
	json_key(&o, "delta");
	json_obj(&o);
	return o;
}

static void end_delta(struct openai_answer *a, struct json_out *o, const char *reason)
{
	json_obj_end(o);
	json_kv_cstr(o, "finish_reason", reason);
	json_obj_end(o);
	json_arr_end(o);
	if (a->wants_usage) {
		json_key(o, "usage");
		json_put_null(o);
	}
	end_chunk(a, o);
}

static void begin(struct openai_answer *a)
{
	struct json_out o = begin_delta(a);
	json_kv_cstr(&o, "role", "assistant");
	json_kv_cstr(&o, "content", "");
	end_delta(a, &o, NULL);
}

static void put_piece(struct openai_answer *a, struct slice piece)
{
	struct json_out o = begin_delta(a);
	json_kv_str(&o, "content", piece);
	end_delta(a, &o, NULL);
}

/* The messages of a run's steps are one message here, with an empty line between. */
static void text(struct openai_answer *a, struct slice piece)
{
	if (a->message_count && !a->showing)
		put_piece(a, SLICE("\n\n"));
	put_piece(a, piece);
}

static void end_text(struct openai_answer *a)
{
	(void)a;
}

static const char *reason_of(const struct openai_answer *a)
{
	switch (a->end) {
	case ANSWER_CALLS:
		return "tool_calls";
	case ANSWER_LENGTH:
		return "length";
	case ANSWER_FILTER:
		return "content_filter";
	default:
		return "stop";
	}
}

static void put_function(struct json_out *o, struct slice name, struct slice arguments)
{
	json_key(o, "function");
	json_obj(o);
	if (name.n)
		json_kv_str(o, "name", name);
	json_kv_str(o, "arguments", arguments);
	json_obj_end(o);
}

static void put_call_delta(struct openai_answer *a, size_t i, bool first)
{
	const struct answer_call *c = &a->calls[i];
	struct json_out o = begin_delta(a);
	json_key(&o, "tool_calls");
	json_arr(&o);
	json_obj(&o);
	json_kv_i64(&o, "index", (int64_t)i);
	if (first) {
		json_kv_str(&o, "id", c->id);
		json_kv_cstr(&o, "type", "function");
	}
	put_function(&o, first ? c->name : SLICE_NONE, first ? SLICE("") : c->arguments);
	json_obj_end(&o);
	json_arr_end(&o);
	end_delta(a, &o, NULL);
}

static void put_usage(const struct openai_answer *a, struct json_out *o)
{
	const struct answer_usage *u = &a->usage;
	json_key(o, "usage");
	json_obj(o);
	json_kv_i64(o, "prompt_tokens", u->in);
	json_kv_i64(o, "completion_tokens", u->out);
	json_kv_i64(o, "total_tokens", u->in + u->out);
	json_key(o, "prompt_tokens_details");
	json_obj(o);
	json_kv_i64(o, "cached_tokens", u->cached);
	json_obj_end(o);
	json_key(o, "completion_tokens_details");
	json_obj(o);
	json_kv_i64(o, "reasoning_tokens", u->reasoning);
	json_obj_end(o);
	json_obj_end(o);
}

static void put_error(struct openai_answer *a)
{
	strbuf_add_str(&a->out, "data: ");
	struct json_out o = json_out(&a->out);
	json_obj(&o);
	json_key(&o, "error");
	answer_put_error(a, &o, NULL);
	end_chunk(a, &o);
}

static void end(struct openai_answer *a)
{
	if (a->end >= ANSWER_FAILED) {
		put_error(a);
		return;
	}
	for (size_t i = 0; i < a->call_count; i++) {
		put_call_delta(a, i, true);
		put_call_delta(a, i, false);
	}
	struct json_out o = begin_delta(a);
	end_delta(a, &o, reason_of(a));
	if (a->wants_usage) {
		o = begin_chunk(a);
		json_key(&o, "choices");
		json_arr(&o);
		json_arr_end(&o);
		put_usage(a, &o);
		end_chunk(a, &o);
	}
	strbuf_add_str(&a->out, "data: [DONE]\n\n");
}

/* ---- one body */

static void put_content(const struct openai_answer *a, struct json_out *o)
{
	AUTO(strbuf_fini) struct strbuf all = STRBUF_INIT;
	for (size_t i = 0; i < a->message_count; i++) {
		if (i)
			strbuf_add_str(&all, "\n\n");
		strbuf_add_slice(&all, a->messages[i]);
	}
	json_key(o, "content");
	if (all.n || !a->call_count)
		json_put_str(o, all.n ? strbuf_slice(&all) : SLICE(""));
	else
		json_put_null(o);
}

static void put_calls(const struct openai_answer *a, struct json_out *o)
{
	json_key(o, "tool_calls");
	json_arr(o);
	for (size_t i = 0; i < a->call_count; i++) {
		json_obj(o);
		json_kv_str(o, "id", a->calls[i].id);
		json_kv_cstr(o, "type", "function");
		put_function(o, a->calls[i].name, a->calls[i].arguments);
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void put_choice(const struct openai_answer *a, struct json_out *o)
{
	json_obj(o);
	json_kv_i64(o, "index", 0);
	json_key(o, "message");
	json_obj(o);
	json_kv_cstr(o, "role", "assistant");
	put_content(a, o);
	json_kv_cstr(o, "refusal", NULL);
	if (a->call_count)
		put_calls(a, o);
	json_obj_end(o);
	json_kv_cstr(o, "logprobs", NULL);
	json_kv_cstr(o, "finish_reason", reason_of(a));
	json_obj_end(o);
}

static void whole(struct openai_answer *a)
{
	struct json_out o = json_out(&a->out);
	json_obj(&o);
	put_head(a, &o, "chat.completion");
	json_key(&o, "choices");
	json_arr(&o);
	put_choice(a, &o);
	json_arr_end(&o);
	put_usage(a, &o);
	json_obj_end(&o);
	strbuf_add_char(&a->out, '\n');
}

const struct answer_form answer_chat = {
	.begin = begin, .text = text, .end_text = end_text, .end = end, .whole = whole};
