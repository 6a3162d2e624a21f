/* SPDX-License-Identifier: Apache-2.0
 * A response as the events of its making, or as one object. Its items: a message for each
 * of the run's, then the calls that are the client's to make. */
#include "edge/openai/answer.h"
#include "edge/openai/names.h"

/* ---- the response */

static void put_text_part(struct json_out *o, struct slice text)
{
	json_obj(o);
	json_kv_cstr(o, "type", "output_text");
	json_kv_str(o, "text", text);
	json_key(o, "annotations");
	json_arr(o);
	json_arr_end(o);
	json_key(o, "logprobs");
	json_arr(o);
	json_arr_end(o);
	json_obj_end(o);
}

/* content SLICE_NONE: none of it is there yet. */
static void put_message(const struct openai_answer *a, struct json_out *o, size_t i,
			const char *status, struct slice content)
{
	char id[NAME_BYTES];
	name_format(NAME_MESSAGE, a->run, i, id);
	json_obj(o);
	json_kv_cstr(o, "id", id);
	json_kv_cstr(o, "type", "message");
	json_kv_cstr(o, "role", "assistant");
	json_kv_cstr(o, "status", status);
	json_key(o, "content");
	json_arr(o);
	if (content.p)
		put_text_part(o, content);
	json_arr_end(o);
	json_obj_end(o);
}

static void put_call(const struct openai_answer *a, struct json_out *o, size_t i,
		     bool done)
{
	char id[NAME_BYTES];
	const struct answer_call *c = &a->calls[i];
	name_format(NAME_CALL, a->run, i, id);
	json_obj(o);
	json_kv_cstr(o, "id", id);
	json_kv_cstr(o, "type", "function_call");
	json_kv_cstr(o, "status", done ? "completed" : "in_progress");
	json_kv_str(o, "call_id", c->id);
	json_kv_str(o, "name", c->name);
	json_kv_str(o, "arguments", done ? c->arguments : SLICE(""));
	json_obj_end(o);
}

static void put_output(const struct openai_answer *a, struct json_out *o)
{
	json_key(o, "output");
	json_arr(o);
	for (size_t i = 0; i < a->message_count; i++)
		put_message(a, o, i, "completed", a->messages[i]);
	if (a->end && a->text.n)
		put_message(a, o, a->message_count, "incomplete", strbuf_slice(&a->text));
	for (size_t i = 0; a->end && i < a->call_count; i++)
		put_call(a, o, i, true);
	json_arr_end(o);
}

static const char *status_of(const struct openai_answer *a)
{
	switch (a->end) {
	case ANSWER_OPEN:
		return a->begun ? "in_progress" : "queued";
	case ANSWER_LENGTH:
	case ANSWER_FILTER:
		return "incomplete";
	case ANSWER_CANCELLED:
		return "cancelled";
	case ANSWER_FAILED:
	case ANSWER_BROKEN:
		return "failed";
	default:
		return "completed";
	}
}

static void put_usage(const struct openai_answer *a, struct json_out *o)
{
	const struct answer_usage *u = &a->usage;
	json_key(o, "usage");
	if (!a->end) {
		json_put_null(o);
		return;
	}
	json_obj(o);
	json_kv_i64(o, "input_tokens", u->in);
	json_kv_i64(o, "output_tokens", u->out);
	json_kv_i64(o, "total_tokens", u->in + u->out);
	json_key(o, "input_tokens_details");
	json_obj(o);
	json_kv_i64(o, "cached_tokens", u->cached);
	json_obj_end(o);
	json_key(o, "output_tokens_details");
	json_obj(o);
	json_kv_i64(o, "reasoning_tokens", u->reasoning);
	json_obj_end(o);
	json_obj_end(o);
}

static void put_reasons(struct openai_answer *a, struct json_out *o)
{
	bool incomplete = a->end == ANSWER_LENGTH || a->end == ANSWER_FILTER;
	json_key(o, "error");
	if (a->end == ANSWER_FAILED || a->end == ANSWER_CANCELLED)
		answer_put_error(a, o, NULL);
	else
		json_put_null(o);
	json_key(o, "incomplete_details");
	if (incomplete) {
		json_obj(o);
		json_kv_cstr(o, "reason",
			     a->end == ANSWER_LENGTH ? "max_output_tokens"
						     : "content_filter");
		json_obj_end(o);
	} else {
		json_put_null(o);
	}
}

/* What the client said of how it is asked is not kept: these stand as they would unsaid.
 */
static void put_rest(struct openai_answer *a, struct json_out *o)
{
	char previous[NAME_BYTES];
	name_format(NAME_RESPONSE, a->previous, 0, previous);
	json_kv_bool(o, "background", a->background);
	json_kv_cstr(o, "instructions", NULL);
	json_kv_cstr(o, "max_output_tokens", NULL);
	json_kv_bool(o, "parallel_tool_calls", true);
	json_kv_cstr(o, "previous_response_id",
		     uuid_is_nil(a->previous) ? NULL : previous);
	json_kv_raw(o, "reasoning", SLICE("{\"effort\":null,\"summary\":null}"));
	json_kv_bool(o, "store", true);
	json_kv_cstr(o, "temperature", NULL);
	json_kv_cstr(o, "top_p", NULL);
	json_kv_raw(o, "text", SLICE("{\"format\":{\"type\":\"text\"}}"));
	json_kv_cstr(o, "tool_choice", "auto");
	json_kv_raw(o, "tools", SLICE("[]"));
	json_kv_cstr(o, "truncation", "disabled");
	json_kv_raw(o, "metadata", SLICE("{}"));
}

static void put_response(struct openai_answer *a, struct json_out *o)
{
	char id[NAME_BYTES];
	name_format(NAME_RESPONSE, a->run, 0, id);
	json_obj(o);
	json_kv_cstr(o, "id", id);
	json_kv_cstr(o, "object", "response");
	json_kv_i64(o, "created_at", a->created_us / 1000000);
	json_kv_cstr(o, "status", status_of(a));
	json_kv_str(o, "model", answer_model(a));
	put_reasons(a, o);
	put_output(a, o);
	put_usage(a, o);
	put_rest(a, o);
	json_obj_end(o);
}

/* ---- its events */

static struct json_out begin_event(struct openai_answer *a, const char *type)
{
	strbuf_add_str(&a->out, "event: ");
	strbuf_add_str(&a->out, type);
	strbuf_add_str(&a->out, "\ndata: ");
	struct json_out o = json_out(&a->out);
	json_obj(&o);
	json_kv_cstr(&o, "type", type);
	json_kv_i64(&o, "sequence_number", a->sequence++);
	return o;
}

static void end_event(struct openai_answer *a, struct json_out *o)
{
	json_obj_end(o);
	strbuf_add_str(&a->out, "\n\n");
}

static void tell_response(struct openai_answer *a, const char *type)
{
	struct json_out o = begin_event(a, type);
	json_key(&o, "response");
	put_response(a, &o);
	end_event(a, &o);
}

static void begin(struct openai_answer *a)
{
	tell_response(a, "response.created");
	tell_response(a, "response.in_progress");
}

/* The places of an event of a message's text. */
static void put_place(struct openai_answer *a, struct json_out *o)
{
	char id[NAME_BYTES];
	name_format(NAME_MESSAGE, a->run, a->message_count, id);
	json_kv_cstr(o, "item_id", id);
	json_kv_i64(o, "output_index", (int64_t)a->message_count);
	json_kv_i64(o, "content_index", 0);
}

static void begin_message(struct openai_answer *a)
{
	struct json_out o = begin_event(a, "response.output_item.added");
	json_kv_i64(&o, "output_index", (int64_t)a->message_count);
	json_key(&o, "item");
	put_message(a, &o, a->message_count, "in_progress", SLICE_NONE);
	end_event(a, &o);
	o = begin_event(a, "response.content_part.added");
	put_place(a, &o);
	json_key(&o, "part");
	put_text_part(&o, SLICE(""));
	end_event(a, &o);
}

static void text(struct openai_answer *a, struct slice piece)
{
	if (!a->showing)
		begin_message(a);
	struct json_out o = begin_event(a, "response.output_text.delta");
	put_place(a, &o);
	json_kv_str(&o, "delta", piece);
	json_kv_raw(&o, "logprobs", SLICE("[]"));
	end_event(a, &o);
}

/* The message was counted already. */
static void end_text(struct openai_answer *a)
{
	struct slice all = a->messages[--a->message_count];
	struct json_out o = begin_event(a, "response.output_text.done");
	put_place(a, &o);
	json_kv_str(&o, "text", all);
	json_kv_raw(&o, "logprobs", SLICE("[]"));
	end_event(a, &o);
	o = begin_event(a, "response.content_part.done");
	put_place(a, &o);
	json_key(&o, "part");
	put_text_part(&o, all);
	end_event(a, &o);
	o = begin_event(a, "response.output_item.done");
	json_kv_i64(&o, "output_index", (int64_t)a->message_count);
	json_key(&o, "item");
	put_message(a, &o, a->message_count++, "completed", all);
	end_event(a, &o);
}

static void put_call_place(struct openai_answer *a, struct json_out *o, size_t i)
{
	char id[NAME_BYTES];
	name_format(NAME_CALL, a->run, i, id);
	json_kv_cstr(o, "item_id", id);
	json_kv_i64(o, "output_index", (int64_t)(a->message_count + i));
}

static void tell_call(struct openai_answer *a, size_t i, const char *type, bool done)
{
	struct json_out o = begin_event(a, type);
	json_kv_i64(&o, "output_index", (int64_t)(a->message_count + i));
	json_key(&o, "item");
	put_call(a, &o, i, done);
	end_event(a, &o);
}

static void show_call(struct openai_answer *a, size_t i)
{
	const struct answer_call *c = &a->calls[i];
	tell_call(a, i, "response.output_item.added", false);
	struct json_out o = begin_event(a, "response.function_call_arguments.delta");
	put_call_place(a, &o, i);
	json_kv_str(&o, "delta", c->arguments);
	end_event(a, &o);
	o = begin_event(a, "response.function_call_arguments.done");
	put_call_place(a, &o, i);
	json_kv_str(&o, "name", c->name);
	json_kv_str(&o, "arguments", c->arguments);
	end_event(a, &o);
	tell_call(a, i, "response.output_item.done", true);
}

static void tell_error(struct openai_answer *a)
{
	struct json_out o = begin_event(a, "error");
	json_kv_str(&o, "code", a->code);
	json_kv_str(&o, "message", a->error);
	json_kv_cstr(&o, "param", NULL);
	end_event(a, &o);
}

static void end(struct openai_answer *a)
{
	if (a->end == ANSWER_BROKEN) {
		tell_error(a);
		return;
	}
	for (size_t i = 0; i < a->call_count; i++)
		show_call(a, i);
	const char *status = status_of(a);
	bool failed = a->end == ANSWER_FAILED || a->end == ANSWER_CANCELLED;
	tell_response(a, failed             ? "response.failed"
			 : status[0] == 'i' ? "response.incomplete"
					    : "response.completed");
	strbuf_add_str(&a->out, "data: [DONE]\n\n");
}

static void whole(struct openai_answer *a)
{
	struct json_out o = json_out(&a->out);
	put_response(a, &o);
	strbuf_add_char(&a->out, '\n');
}

const struct answer_form answer_responses = {
	.begin = begin, .text = text, .end_text = end_text, .end = end, .whole = whole};
