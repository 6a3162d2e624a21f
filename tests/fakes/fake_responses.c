/* SPDX-License-Identifier: Apache-2.0
 * OpenAI's responses: items with events about each of them, in a strict order. */
#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "tests/fakes/fake_answer.h"
#include "tests/fakes/fake_scan.h"

#define OUTPUT_LEAST 16 /* max_output_tokens */

static bool takes(struct slice path)
{
	return path_ends(path, SLICE("/responses"));
}

/* ---- the request */

struct reading {
	struct chat *c;
	struct pairs *pairs;
	int number;
	bool stored;  /* by the provider, so that ids are enough */
	bool thought; /* the item before was one; it belongs to the next */
};

static bool id_begins(struct reading *r, struct slice id, const char *with)
{
	return !id.n || slice_has_prefix(scan_inside(id), slice_str(with)) ||
	       chat_refuse(r->c,
			   "Invalid 'input[%d].id': '%.*s'. Expected an ID that begins "
			   "with '%s'.",
			   r->number, SLICE_ARG(scan_inside(id)), with);
}

static bool content_scan(struct reading *r, struct slice content, bool assistant,
			 bool user)
{
	struct scan s = scan_list(content);
	struct slice part, type, text;
	int count = 0;
	for (; scan_element(&s, &part); count++) {
		SCAN_OBJECT(part, {"type", &type}, {"text", &text});
		type = scan_inside(type);
		if (assistant ? !scan_is(type, "output_text") && !scan_is(type, "refusal")
			      : !scan_is(type, "input_text") &&
					!scan_is(type, "input_image") &&
					!scan_is(type, "input_file"))
			return chat_refuse(r->c,
					   "Invalid value: '%.*s' as type of a part of "
					   "'input[%d].content'.",
					   SLICE_ARG(type), r->number);
		if (user && text.n)
			r->c->user = text;
	}
	return (count && !s.bad) ||
	       chat_refuse(r->c, "'input[%d].content' is empty.", r->number);
}

static bool message_item(struct reading *r, struct slice role, struct slice content,
			 struct slice id)
{
	bool assistant = scan_is(scan_inside(role), "assistant");
	bool user = scan_is(scan_inside(role), "user");
	if (!assistant && !user && !scan_is(scan_inside(role), "system") &&
	    !scan_is(scan_inside(role), "developer"))
		return chat_refuse(r->c, "Invalid value: '%.*s' as 'input[%d].role'.",
				   SLICE_ARG(scan_inside(role)), r->number);
	if (r->thought && !assistant)
		return chat_refuse(r->c, "Item of type 'reasoning' was provided without "
					 "its required following item.");
	if (!id_begins(r, id, "msg"))
		return false;
	r->thought = false;
	r->c->assistants += assistant;
	if (user)
		r->c->has_tool = false;
	if (!scan_is_string(content))
		return content_scan(r, content, assistant, user);
	if (user)
		r->c->user = content;
	return true;
}

static bool call_item(struct reading *r, struct slice item, struct slice id)
{
	struct slice call_id, name, arguments;
	SCAN_OBJECT(item, {"call_id", &call_id}, {"name", &name},
		    {"arguments", &arguments});
	r->thought = false;
	r->c->assistants++;
	if (!id_begins(r, id, "fc"))
		return false;
	if (!scan_inside(call_id).n || scan_inside(call_id).n > 64 ||
	    !is_plain_name(scan_inside(name), 64) || !scan_is_string(arguments))
		return chat_refuse(r->c,
				   "'input[%d]': a function call needs 'call_id' (of 64 "
				   "at most), 'name' and 'arguments'.",
				   r->number);
	return pairs_call(r->pairs, scan_inside(call_id)) ||
	       chat_refuse(r->c, "Duplicate function call '%.*s' in 'input'.",
			   SLICE_ARG(scan_inside(call_id)));
}

static bool output_item(struct reading *r, struct slice item)
{
	struct slice call_id, output;
	SCAN_OBJECT(item, {"call_id", &call_id}, {"output", &output});
	r->c->tool = output;
	r->c->has_tool = true;
	if (!output.n)
		return chat_refuse(r->c,
				   "Missing required parameter: "
				   "'input[%d].output'.",
				   r->number);
	return pairs_result(r->pairs, scan_inside(call_id)) ||
	       chat_refuse(r->c,
			   "No tool call found for function call output with call_id "
			   "%.*s.",
			   SLICE_ARG(scan_inside(call_id)));
}

/* What is encrypted is told by what is shown of it: ids need not come back. */
static bool is_own_thought(struct slice encrypted, struct slice shown)
{
	struct strbuf text = STRBUF_INIT;
	scan_text(shown, &text);
	bool own = sign_is(encrypted, strbuf_slice(&text));
	strbuf_fini(&text);
	return own;
}

static bool thought_item(struct reading *r, struct slice item, struct slice id)
{
	struct slice content, summary, shown, text = SLICE_NONE;
	struct scan s;
	SCAN_OBJECT(item, {"encrypted_content", &content}, {"summary", &summary});
	s = scan_list(summary);
	if (scan_element(&s, &shown))
		SCAN_OBJECT(shown, {"text", &text});
	r->thought = true;
	if (!summary.n || summary.p[0] != '[')
		return chat_refuse(r->c,
				   "Missing required parameter: "
				   "'input[%d].summary'.",
				   r->number);
	if (!id_begins(r, id, "rs"))
		return false;
	if (!scan_is_string(content) && !r->stored)
		return chat_refuse(r->c,
				   "Item with id '%.*s' not found. Items are not "
				   "persisted when `store` is set to false.",
				   SLICE_ARG(scan_inside(id)));
	return !scan_is_string(content) || is_own_thought(content, text) ||
	       chat_refuse(r->c,
			   "The encrypted content of 'input[%d]' could not be verified.",
			   r->number);
}

static bool item_scan(struct reading *r, struct slice item)
{
	struct slice type, id, role, content;
	if (!SCAN_OBJECT(item, {"type", &type}, {"id", &id}, {"role", &role},
			 {"content", &content}))
		return chat_refuse(r->c, "'input[%d]' is no object.", r->number);
	type = scan_inside(type);
	if (!type.n || scan_is(type, "message"))
		return message_item(r, role, content, id);
	if (scan_is(type, "function_call"))
		return call_item(r, item, id);
	if (scan_is(type, "function_call_output"))
		return output_item(r, item);
	if (scan_is(type, "reasoning"))
		return thought_item(r, item, id);
	return chat_refuse(r->c, "Invalid value: '%.*s' as 'input[%d].type'.",
			   SLICE_ARG(type), r->number);
}

static void input_scan(struct chat *c, struct slice input, bool stored)
{
	static struct pairs pairs = {.keeps = true}; /* one request at a time is read */
	struct reading r = {.c = c, .pairs = &pairs, .stored = stored};
	struct scan s = scan_list(input);
	struct slice item;
	pairs.n = pairs.open = 0;
	if (scan_is_string(input)) {
		c->user = input;
		return;
	}
	for (; scan_element(&s, &item); r.number++)
		if (!item_scan(&r, item))
			return;
	if (s.bad || !r.number)
		chat_refuse(c, "'input' is empty.");
	if (pairs.open)
		chat_refuse(c, "No tool output found for function call %.*s.",
			    SLICE_ARG(pairs_waiting(&pairs)));
	if (r.thought)
		chat_refuse(c, "Item of type 'reasoning' was provided without its "
			       "required following item.");
}

static void tools_scan(struct chat *c, struct slice tools)
{
	struct scan s = scan_list(tools);
	struct slice tool, name, type;
	for (int i = 0; scan_element(&s, &tool); i++) {
		SCAN_OBJECT(tool, {"name", &name}, {"type", &type});
		if (scan_is(scan_inside(type), "function") &&
		    !is_plain_name(scan_inside(name), 64))
			chat_refuse(c, "Missing required parameter: 'tools[%d].name'.",
				    i);
	}
}

static void scan(struct chat *c, const struct request *q)
{
	struct scan all = scan_of(q->body);
	struct slice body, model, stream, store, most, tools, input, include;
	long long n = OUTPUT_LEAST;
	if (!scan_value(&all, &body) || !scan_at_end(&all) ||
	    !SCAN_OBJECT(body, {"input", &input}, {"model", &model}, {"stream", &stream},
			 {"store", &store}, {"max_output_tokens", &most},
			 {"tools", &tools}, {"include", &include})) {
		chat_refuse(c, "We could not parse the JSON body of your request.");
		return;
	}
	c->model = scan_is_string(model) ? model : SLICE_NONE;
	c->stream = slice_is(stream, "true");
	c->include_usage = true;
	c->encrypted = slice_find(include, SLICE("\"reasoning.encrypted_content\"")) >= 0;
	if (most.n && (!slice_to_i64(most, &n) || n < OUTPUT_LEAST))
		chat_refuse(c,
			    "Invalid 'max_output_tokens': integer below minimum value. "
			    "Expected a value >= %d.",
			    OUTPUT_LEAST);
	tools_scan(c, tools);
	input_scan(c, input, !slice_is(store, "false"));
}

/* ---- the answer */

/* The stream so far: number of its events and items, and the items that are done. */
struct told {
	const struct answer *a;
	int sequence, items;
	struct strbuf *output;
};

static size_t open_event(struct told *t, const char *type)
{
	size_t at = event_begin(t->a->r);
	strbuf_printf(&t->a->r->out,
		      "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d", type,
		      type, t->sequence++);
	return at;
}

static void close_event(struct told *t, size_t at)
{
	strbuf_add_str(&t->a->r->out, "}\n\n");
	event_end(t->a->r, at);
}

static void put_response(struct told *t, const char *type, const char *status)
{
	const struct answer *a = t->a;
	struct strbuf *out = &a->r->out;
	size_t at = open_event(t, type),
	       told = a->r->mark_count ? answer_tokens_out(a) : 0;
	size_t thoughts = a->thought.n ? (size_t)a->script->chunks : 0;
	strbuf_printf(out,
		      ",\"response\":{\"id\":\"resp_%" PRIu64
		      "\",\"object\":\"response\",\"created_at\":%" PRId64
		      ",\"status\":\"%s\",\"error\":%s,\"incomplete_details\":null,"
		      "\"model\":%.*s,\"output\":[",
		      a->number, a->created, status,
		      slice_is(slice_str(status), "failed")
			      ? "{\"code\":\"server_error\",\"message\":\"scripted\"}"
			      : "null",
		      SLICE_ARG(a->model));
	if (slice_is(slice_str(status), "completed")) {
		strbuf_add_slice(out, strbuf_slice(t->output));
		strbuf_printf(out,
			      "],\"usage\":{\"input_tokens\":%zu,"
			      "\"input_tokens_details\":{\"cached_tokens\":0},"
			      "\"output_tokens\":%zu,\"output_tokens_details\":{"
			      "\"reasoning_tokens\":%zu},\"total_tokens\":%zu}}",
			      a->tokens_in, told, thoughts, a->tokens_in + told);
	} else {
		strbuf_add_str(out, "],\"usage\":null}");
	}
	close_event(t, at);
}

/* An item that begins: what is known of it, its last member open. */
static void put_added(struct told *t, const char *item)
{
	size_t at = open_event(t, "response.output_item.added");
	strbuf_printf(&t->a->r->out, ",\"output_index\":%d,\"item\":%s", t->items, item);
	close_event(t, at);
}

static void put_item_done(struct told *t, struct slice item)
{
	size_t at = open_event(t, "response.output_item.done");
	strbuf_printf(&t->a->r->out, ",\"output_index\":%d,\"item\":", t->items++);
	strbuf_add_slice(&t->a->r->out, item);
	close_event(t, at);
	if (t->output->n)
		strbuf_add_char(t->output, ',');
	strbuf_add_slice(t->output, item);
}

/* An event about a place in an item, with a text. */
static void put_piece(struct told *t, const char *type, const char *place, const char *id,
		      const char *member, struct slice text)
{
	struct strbuf *out = &t->a->r->out;
	size_t at = open_event(t, type);
	strbuf_printf(out, ",\"item_id\":\"%s\",\"output_index\":%d%s,\"%s\":\"", id,
		      t->items, place, member);
	json_escape(out, text);
	strbuf_add_char(out, '"');
	close_event(t, at);
}

static void put_part(struct told *t, const char *type, const char *place, const char *id,
		     const char *kind, struct slice text)
{
	struct strbuf *out = &t->a->r->out;
	size_t at = open_event(t, type);
	strbuf_printf(
		out,
		",\"item_id\":\"%s\",\"output_index\":%d%s,\"part\":{\"type\":\"%s\","
		"\"text\":\"",
		id, t->items, place, kind);
	json_escape(out, text);
	strbuf_add_str(out, "\"}");
	close_event(t, at);
}

static void put_deltas(struct told *t, const char *type, const char *place,
		       const char *id, struct slice text, int chunks)
{
	for (int i = 0; i < chunks; i++) {
		put_piece(t, type, place, id, "delta", answer_part(text, i, chunks));
		answer_mark(t->a);
	}
}

static void stream_thought(struct told *t)
{
	static const char place[] = ",\"summary_index\":0";
	const struct answer *a = t->a;
	struct strbuf item = STRBUF_INIT;
	char id[40];
	snprintf(id, sizeof id, "rs_%" PRIu64, a->number);
	strbuf_printf(&item, "{\"id\":\"%s\",\"type\":\"reasoning\",\"summary\":[]}", id);
	put_added(t, item.p);
	put_part(t, "response.reasoning_summary_part.added", place, id, "summary_text",
		 SLICE(""));
	put_deltas(t, "response.reasoning_summary_text.delta", place, id, a->thought,
		   a->script->chunks);
	put_piece(t, "response.reasoning_summary_text.done", place, id, "text",
		  a->thought);
	put_part(t, "response.reasoning_summary_part.done", place, id, "summary_text",
		 a->thought);
	strbuf_reset(&item);
	strbuf_printf(&item,
		      "{\"id\":\"%s\",\"type\":\"reasoning\",\"summary\":[{\"type\":"
		      "\"summary_text\",\"text\":\"",
		      id);
	json_escape(&item, a->thought);
	strbuf_add_str(&item, "\"}]");
	if (a->chat->encrypted) {
		strbuf_add_str(&item, ",\"encrypted_content\":\"");
		sign_put(&item, a->thought);
		strbuf_add_char(&item, '"');
	}
	strbuf_add_char(&item, '}');
	put_item_done(t, strbuf_slice(&item));
	strbuf_fini(&item);
}

static void stream_text(struct told *t)
{
	static const char place[] = ",\"content_index\":0";
	const struct answer *a = t->a;
	struct strbuf item = STRBUF_INIT;
	char id[40];
	snprintf(id, sizeof id, "msg_%" PRIu64, a->number);
	strbuf_printf(&item,
		      "{\"id\":\"%s\",\"type\":\"message\",\"status\":\"in_progress\","
		      "\"role\":\"assistant\",\"content\":[]}",
		      id);
	put_added(t, item.p);
	put_part(t, "response.content_part.added", place, id, "output_text", SLICE(""));
	put_deltas(t, "response.output_text.delta", place, id, a->text,
		   a->script->chunks);
	put_piece(t, "response.output_text.done", place, id, "text", a->text);
	put_part(t, "response.content_part.done", place, id, "output_text", a->text);
	strbuf_reset(&item);
	strbuf_printf(&item,
		      "{\"id\":\"%s\",\"type\":\"message\",\"status\":\"completed\","
		      "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
		      "\"annotations\":[],\"text\":\"",
		      id);
	json_escape(&item, a->text);
	strbuf_add_str(&item, "\"}]}");
	put_item_done(t, strbuf_slice(&item));
	strbuf_fini(&item);
}

static void put_call_item(struct strbuf *item, const struct answer *a, int i,
			  struct slice args, const char *status)
{
	strbuf_reset(item);
	strbuf_printf(item,
		      "{\"id\":\"fc_%" PRIu64
		      "_%d\",\"type\":\"function_call\",\"status\":\"%s\","
		      "\"call_id\":\"call_%d_%d\",\"name\":\"",
		      a->number, i, status, a->chat->assistants, i);
	json_escape(item, a->script->tools[i].name);
	strbuf_add_str(item, "\",\"arguments\":\"");
	json_escape(item, args);
	strbuf_add_str(item, "\"}");
}

static void stream_call(struct told *t, int i)
{
	const struct answer *a = t->a;
	struct slice args = a->script->tools[i].args;
	struct strbuf item = STRBUF_INIT;
	char id[48];
	snprintf(id, sizeof id, "fc_%" PRIu64 "_%d", a->number, i);
	put_call_item(&item, a, i, SLICE(""), "in_progress");
	put_added(t, item.p);
	put_deltas(t, "response.function_call_arguments.delta", "", id, args, 2);
	put_piece(t, "response.function_call_arguments.done", "", id, "arguments", args);
	put_call_item(&item, a, i, args, "completed");
	put_item_done(t, strbuf_slice(&item));
	strbuf_fini(&item);
}

static void stream(const struct answer *a)
{
	static struct strbuf output; /* one answer at a time is written */
	struct told t = {.a = a, .output = &output};
	strbuf_reset(&output);
	put_response(&t, "response.created", "in_progress");
	put_response(&t, "response.in_progress", "in_progress");
	reply_mark(a->r);
	if (a->thought.n)
		stream_thought(&t);
	if (a->text.n)
		stream_text(&t);
	for (int i = 0; a->calls && i < a->script->tool_count; i++)
		stream_call(&t, i);
	put_response(&t, "response.completed", "completed");
}

static void stream_error(const struct answer *a)
{
	struct told t = {.a = a, .sequence = 100000};
	size_t at = open_event(&t, "error");
	strbuf_add_str(&a->r->out, ",\"error\":{\"type\":\"server_error\",\"code\":"
				   "\"server_error\",\"message\":\"scripted\","
				   "\"param\":null}");
	close_event(&t, at);
	put_response(&t, "response.failed", "failed");
}

const struct format fake_responses = {
	.takes = takes,
	.key = bearer_key,
	.scan = scan,
	.stream = stream,
	.stream_error = stream_error,
	.put_refusal = openai_put_refusal,
	.request_id = "x-request-id",
	.has_retry_after = true,
};
