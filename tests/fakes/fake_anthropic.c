/* SPDX-License-Identifier: Apache-2.0
 * Anthropic's messages. */
#include <inttypes.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "tests/fakes/fake_answer.h"
#include "tests/fakes/fake_scan.h"

#define BREAKPOINTS_MOST 4

static bool takes(struct slice path)
{
	return path_ends(path, SLICE("/v1/messages"));
}

static struct slice key(const struct request *q)
{
	struct slice own = q->header[HTTP_API_KEY];
	return own.n ? own : bearer_key(q);
}

/* ---- the request */

struct reading {
	struct chat *c;
	struct pairs *pairs;
	bool was_user;    /* the message before */
	int number;       /* of the message */
	bool after_other; /* in this message stands something that is no result */
	int calls;        /* of this message */
};

static bool is_object(struct slice raw)
{
	return raw.n && raw.p[0] == '{';
}

static bool text_block(struct reading *r, struct slice text, bool user)
{
	if (!scan_inside(text).n)
		return chat_refuse(r->c,
				   "messages.%d: text content blocks must be non-empty",
				   r->number);
	if (user) {
		r->c->user = text;
		r->c->has_tool = false;
	}
	return true;
}

static bool use_block(struct reading *r, struct slice id, struct slice name,
		      struct slice input)
{
	r->calls++;
	if (!is_plain_name(scan_inside(id), 64) || !is_plain_name(scan_inside(name), 128))
		return chat_refuse(r->c,
				   "messages.%d: tool_use: id or name does not match "
				   "'^[a-zA-Z0-9_-]+$'",
				   r->number);
	if (!is_object(input))
		return chat_refuse(r->c,
				   "messages.%d: tool_use.input: Input should be a valid "
				   "dictionary",
				   r->number);
	return pairs_call(r->pairs, scan_inside(id)) ||
	       chat_refuse(r->c, "messages.%d: `tool_use` ids must be unique", r->number);
}

static bool result_block(struct reading *r, struct slice id, struct slice content)
{
	if (r->after_other)
		return chat_refuse(r->c,
				   "messages.%d: `tool_result` blocks must come first",
				   r->number);
	if (!pairs_result(r->pairs, scan_inside(id)))
		return chat_refuse(
			r->c,
			"messages.%d: unexpected `tool_use_id` in "
			"`tool_result` blocks: %.*s. The message before has no "
			"such `tool_use`",
			r->number, SLICE_ARG(scan_inside(id)));
	r->c->tool = content;
	r->c->has_tool = true;
	return true;
}

static bool thinking_block(struct reading *r, struct slice thinking,
			   struct slice signature)
{
	struct strbuf text = STRBUF_INIT;
	scan_text(thinking, &text);
	bool good = sign_is(signature, strbuf_slice(&text));
	strbuf_fini(&text);
	return good ||
	       chat_refuse(r->c, "messages.%d: Invalid `signature` in `thinking` block",
			   r->number);
}

static bool block_scan(struct reading *r, struct slice block, bool user)
{
	struct slice type, text, id, name, input, use_id, content, thinking, signature;
	SCAN_OBJECT(block, {"type", &type}, {"text", &text}, {"id", &id}, {"name", &name},
		    {"input", &input}, {"tool_use_id", &use_id}, {"content", &content},
		    {"thinking", &thinking}, {"signature", &signature});
	type = scan_inside(type);
	if (user && scan_is(type, "tool_result"))
		return result_block(r, use_id, content);
	r->after_other = true;
	if (scan_is(type, "text"))
		return text_block(r, text, user);
	if (user && (scan_is(type, "image") || scan_is(type, "document")))
		return true;
	if (!user && scan_is(type, "tool_use"))
		return use_block(r, id, name, input);
	if (!user && scan_is(type, "thinking"))
		return thinking_block(r, thinking, signature);
	if (!user && scan_is(type, "redacted_thinking"))
		return true;
	return chat_refuse(r->c, "messages.%d: a block of type '%.*s' cannot be here",
			   r->number, SLICE_ARG(type));
}

static bool content_scan(struct reading *r, struct slice content, bool user)
{
	struct scan s = scan_list(content);
	struct slice block;
	int blocks = 0;
	r->after_other = false;
	r->calls = 0;
	if (scan_is_string(content))
		return text_block(r, content, user);
	for (; scan_element(&s, &block); blocks++)
		if (!block_scan(r, block, user))
			return false;
	return (blocks && !s.bad) ||
	       chat_refuse(r->c, "messages.%d: all messages must have non-empty content",
			   r->number);
}

static bool message_scan(struct reading *r, struct slice message)
{
	struct slice role, content;
	if (!SCAN_OBJECT(message, {"role", &role}, {"content", &content}))
		return chat_refuse(r->c, "messages.%d: not an object", r->number);
	bool user = scan_is(scan_inside(role), "user");
	if (!user && !scan_is(scan_inside(role), "assistant"))
		return chat_refuse(r->c, "messages.%d: unexpected role '%.*s'", r->number,
				   SLICE_ARG(scan_inside(role)));
	if (user == r->was_user)
		return chat_refuse(r->c,
				   "messages.%d: roles must alternate between \"user\" "
				   "and \"assistant\", and \"user\" comes first",
				   r->number);
	r->was_user = user;
	r->c->assistants += !user;
	if (!content_scan(r, content, user))
		return false;
	if (user && r->pairs->open)
		return chat_refuse(r->c,
				   "messages.%d: `tool_use` ids were found without "
				   "`tool_result` blocks immediately after: %.*s",
				   r->number - 1, SLICE_ARG(pairs_waiting(r->pairs)));
	r->number++;
	return true;
}

static void tools_scan(struct chat *c, struct slice tools)
{
	struct scan s = scan_list(tools);
	struct slice tool, name, schema, type;
	while (scan_element(&s, &tool)) {
		SCAN_OBJECT(tool, {"name", &name}, {"input_schema", &schema});
		SCAN_OBJECT(schema, {"type", &type});
		if (!is_plain_name(scan_inside(name), 128))
			chat_refuse(c, "tools: a name does not match "
				       "'^[a-zA-Z0-9_-]{1,128}$'");
		if (!scan_is(scan_inside(type), "object"))
			chat_refuse(c, "tools: %.*s: input_schema.type: Field required",
				    SLICE_ARG(scan_inside(name)));
	}
}

/* A string of JSON has no quote that is not escaped, so these are keys. */
static int count_breakpoints(struct slice body)
{
	const struct slice mark = SLICE("\"cache_control\":");
	int n = 0;
	for (ptrdiff_t at; (at = slice_find(body, mark)) >= 0; n++)
		body = slice_of(body.p + at + mark.n, body.n - (size_t)at - mark.n);
	return n;
}

static void messages_scan(struct chat *c, struct slice messages)
{
	static struct pairs pairs = {.keeps = true}; /* one request at a time is read */
	struct reading r = {.c = c, .pairs = &pairs};
	struct scan s = scan_list(messages);
	struct slice message;
	pairs.n = pairs.open = 0;
	while (scan_element(&s, &message))
		if (!message_scan(&r, message))
			return;
	if (s.bad || !r.was_user)
		chat_refuse(c, "messages: at least one message is required, and the last "
			       "one must be of \"user\"");
}

static void scan(struct chat *c, const struct request *q)
{
	struct scan all = scan_of(q->body);
	struct slice body, model, stream, most, tools, messages;
	if (!scan_value(&all, &body) || !scan_at_end(&all) ||
	    !SCAN_OBJECT(body, {"messages", &messages}, {"model", &model},
			 {"stream", &stream}, {"max_tokens", &most}, {"tools", &tools})) {
		chat_refuse(c, "The request body is not valid JSON");
		return;
	}
	c->model = scan_is_string(model) ? model : SLICE_NONE;
	c->stream = slice_is(stream, "true");
	c->include_usage = true;
	c->breakpoints = count_breakpoints(body);
	long long tokens;
	if (!q->header[HTTP_VERSION].n)
		chat_refuse(c, "anthropic-version: header is required");
	if (!c->model.n)
		chat_refuse(c, "model: Field required");
	if (!slice_to_i64(most, &tokens) || tokens < 1)
		chat_refuse(c, "max_tokens: Field required");
	if (c->breakpoints > BREAKPOINTS_MOST)
		chat_refuse(c,
			    "A maximum of %d blocks with cache_control may be provided. "
			    "Found %d.",
			    BREAKPOINTS_MOST, c->breakpoints);
	tools_scan(c, tools);
	messages_scan(c, messages);
}

/* ---- the answer */

/* What is marked is written to the cache first and read from it later. */
static void put_usage(const struct answer *a)
{
	size_t n = a->tokens_in, written = 0, taken = 0;
	if (a->chat->breakpoints && a->chat->assistants)
		taken = n / 2;
	if (a->chat->breakpoints)
		written = n / 4;
	strbuf_printf(&a->r->out,
		      "\"usage\":{\"input_tokens\":%zu,\"cache_creation_input_tokens\":"
		      "%zu,\"cache_read_input_tokens\":%zu,\"output_tokens\":%zu}",
		      n - written - taken, written, taken,
		      a->r->mark_count ? answer_tokens_out(a) : 1);
}

static size_t open_event(const struct answer *a, const char *type)
{
	size_t at = event_begin(a->r);
	strbuf_printf(&a->r->out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
	return at;
}

static void close_event(const struct answer *a, size_t at)
{
	strbuf_add_str(&a->r->out, "}\n\n");
	event_end(a->r, at);
}

static void simple_event(const struct answer *a, const char *type)
{
	close_event(a, open_event(a, type));
}

static size_t open_start(const struct answer *a, int index, const char *block)
{
	size_t at = open_event(a, "content_block_start");
	strbuf_printf(&a->r->out, ",\"index\":%d,\"content_block\":{%s", index, block);
	return at;
}

static void put_stop(const struct answer *a, int index)
{
	size_t at = open_event(a, "content_block_stop");
	strbuf_printf(&a->r->out, ",\"index\":%d", index);
	close_event(a, at);
}

static size_t open_delta(const struct answer *a, int index, const char *type,
			 const char *member)
{
	size_t at = open_event(a, "content_block_delta");
	strbuf_printf(&a->r->out, ",\"index\":%d,\"delta\":{\"type\":\"%s\",\"%s\":\"",
		      index, type, member);
	return at;
}

static void put_delta(const struct answer *a, int index, const char *type,
		      const char *member, struct slice text)
{
	size_t at = open_delta(a, index, type, member);
	json_escape(&a->r->out, text);
	strbuf_add_str(&a->r->out, "\"}");
	close_event(a, at);
}

static void stream_thought(const struct answer *a, int index)
{
	struct strbuf signature = STRBUF_INIT;
	size_t at = open_start(
		a, index, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
	close_event(a, at);
	for (int i = 0; i < a->script->chunks; i++) {
		put_delta(a, index, "thinking_delta", "thinking",
			  answer_part(a->thought, i, a->script->chunks));
		answer_mark(a);
	}
	sign_put(&signature, a->thought);
	put_delta(a, index, "signature_delta", "signature", strbuf_slice(&signature));
	strbuf_fini(&signature);
	put_stop(a, index);
}

static void stream_text(const struct answer *a, int index)
{
	close_event(a, open_start(a, index, "\"type\":\"text\",\"text\":\"\"}"));
	simple_event(a, "ping");
	for (int i = 0; i < a->script->chunks; i++) {
		put_delta(a, index, "text_delta", "text",
			  answer_part(a->text, i, a->script->chunks));
		answer_mark(a);
	}
	put_stop(a, index);
}

/* A call without arguments is told by one empty piece. */
static void stream_call(const struct answer *a, int index, int i)
{
	struct slice args = a->script->tools[i].args;
	size_t at = open_start(a, index, "\"type\":\"tool_use\",\"id\":\"toolu_");
	strbuf_printf(&a->r->out, "%d_%d\",\"name\":\"", a->chat->assistants, i);
	json_escape(&a->r->out, a->script->tools[i].name);
	strbuf_add_str(&a->r->out, "\",\"input\":{}}");
	close_event(a, at);
	put_delta(a, index, "input_json_delta", "partial_json", SLICE(""));
	answer_mark(a);
	for (int half = 0; half < 2 && !slice_is(args, "{}"); half++) {
		put_delta(a, index, "input_json_delta", "partial_json",
			  answer_part(args, half, 2));
		answer_mark(a);
	}
	put_stop(a, index);
	simple_event(a, "ping");
}

static void stream(const struct answer *a)
{
	int index = 0;
	size_t at = open_event(a, "message_start");
	strbuf_printf(&a->r->out,
		      ",\"message\":{\"model\":%.*s,\"id\":\"msg_%" PRIu64
		      "\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],"
		      "\"stop_reason\":null,\"stop_sequence\":null,",
		      SLICE_ARG(a->model), a->number);
	put_usage(a);
	strbuf_add_char(&a->r->out, '}');
	close_event(a, at);
	reply_mark(a->r);
	if (a->thought.n)
		stream_thought(a, index++);
	if (a->text.n)
		stream_text(a, index++);
	for (int i = 0; a->calls && i < a->script->tool_count; i++)
		stream_call(a, index++, i);
	at = open_event(a, "message_delta");
	strbuf_printf(&a->r->out,
		      ",\"delta\":{\"stop_reason\":\"%s\",\"stop_sequence\":null},",
		      a->calls ? "tool_use" : "end_turn");
	put_usage(a);
	close_event(a, at);
	simple_event(a, "message_stop");
}

static void stream_error(const struct answer *a)
{
	size_t at = open_event(a, "error");
	strbuf_add_str(&a->r->out,
		       ",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		       "\"scripted\"}");
	close_event(a, at);
}

/* ---- refusals */

static const char *type_of(int status)
{
	static const struct {
		int status;
		const char *type;
	} known[] = {
		{401, "authentication_error"}, {402, "billing_error"},
		{403, "permission_error"},     {404, "not_found_error"},
		{413, "request_too_large"},    {429, "rate_limit_error"},
		{504, "timeout_error"},        {529, "overloaded_error"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].type;
	return status >= 500 ? "api_error" : "invalid_request_error";
}

static void put_refusal(struct strbuf *body, struct refusal *f)
{
	static uint64_t number;
	char text[200];
	const char *message = f->message;
	if (f->why == REFUSE_KEY) {
		f->status = 401;
		message = "invalid x-api-key";
	} else if (f->why == REFUSE_WINDOW) {
		f->status = 400;
		snprintf(text, sizeof text,
			 "prompt is too long: %zu tokens > %zu maximum", f->tokens,
			 f->window);
		message = text;
	} else if (f->why == REFUSE_QUOTA) {
		f->status = 400;
		message = "Your credit balance is too low to access the API.";
	} else if (f->why == REFUSE_REQUEST) {
		f->status = 400;
	}
	strbuf_printf(body,
		      "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"",
		      type_of(f->status));
	json_escape(body, slice_str(message));
	strbuf_printf(body, "\"},\"request_id\":\"req_e%" PRIu64 "\"}", ++number);
}

const struct format fake_anthropic = {
	.takes = takes,
	.key = key,
	.scan = scan,
	.stream = stream,
	.stream_error = stream_error,
	.put_refusal = put_refusal,
	.request_id = "request-id",
	.has_retry_after = true,
};
