/* SPDX-License-Identifier: Apache-2.0
 * OpenAI's chat completions, streamed or in one piece. */
#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "tests/fakes/fake_answer.h"
#include "tests/fakes/fake_scan.h"

static bool takes(struct slice path)
{
	return path_ends(path, SLICE("/chat/completions"));
}

/* ---- the request */

static bool call_scan(struct chat *c, struct pairs *p, struct slice call)
{
	struct slice id, function, name, arguments;
	SCAN_OBJECT(call, {"id", &id}, {"function", &function});
	SCAN_OBJECT(function, {"name", &name}, {"arguments", &arguments});
	if (!scan_inside(id).n || !is_plain_name(scan_inside(name), 64))
		return chat_refuse(c, "a tool call has no id or no name that fits");
	if (!scan_is_string(arguments))
		return chat_refuse(c, "the arguments of '%.*s' are no string",
				   SLICE_ARG(scan_inside(id)));
	if (!pairs_call(p, scan_inside(id)))
		return chat_refuse(c, "the tool call '%.*s' is there twice",
				   SLICE_ARG(scan_inside(id)));
	return true;
}

static bool answered(struct chat *c, const struct pairs *p)
{
	return !p->open ||
	       chat_refuse(c,
			   "an assistant message with 'tool_calls' must be followed by "
			   "tool messages; '%.*s' has none",
			   SLICE_ARG(pairs_waiting(p)));
}

static bool assistant_scan(struct chat *c, struct pairs *p, struct slice content,
			   struct slice calls)
{
	struct scan s = scan_list(calls);
	struct slice call;
	c->assistants++;
	if (!answered(c, p))
		return false;
	if (!calls.n && !scan_is_string(content) && content.n < 3)
		return chat_refuse(c, "an assistant message says nothing");
	while (scan_element(&s, &call))
		if (!call_scan(c, p, call))
			return false;
	return !calls.n || p->open || chat_refuse(c, "'tool_calls' is empty");
}

static bool tool_scan(struct chat *c, struct pairs *p, struct slice id,
		      struct slice content)
{
	c->tool = content;
	c->has_tool = true;
	if (!pairs_result(p, scan_inside(id)))
		return chat_refuse(c,
				   "the message of role 'tool' for '%.*s' answers no "
				   "'tool_calls' before it",
				   SLICE_ARG(scan_inside(id)));
	return content.n || chat_refuse(c, "a tool message has no content");
}

static bool message_scan(struct chat *c, struct pairs *p, struct slice message)
{
	struct slice role, content, calls, id;
	if (!SCAN_OBJECT(message, {"role", &role}, {"content", &content},
			 {"tool_calls", &calls}, {"tool_call_id", &id}))
		return chat_refuse(c, "a message is no object");
	role = scan_inside(role);
	if (scan_is(role, "assistant"))
		return assistant_scan(c, p, content, calls);
	if (scan_is(role, "tool"))
		return tool_scan(c, p, id, content);
	if (!answered(c, p))
		return false;
	if (!content.n)
		return chat_refuse(c, "a message has no content");
	if (scan_is(role, "user")) {
		c->user = content;
		c->has_tool = false;
	} else if (!scan_is(role, "system") && !scan_is(role, "developer")) {
		return chat_refuse(c, "'%.*s' is no role", SLICE_ARG(role));
	}
	return true;
}

static void tools_scan(struct chat *c, struct slice tools)
{
	struct scan s = scan_list(tools);
	struct slice tool, function, name;
	while (scan_element(&s, &tool)) {
		SCAN_OBJECT(tool, {"function", &function});
		SCAN_OBJECT(function, {"name", &name});
		if (!is_plain_name(scan_inside(name), 64))
			chat_refuse(c, "a tool has no name that fits");
	}
}

static void scan(struct chat *c, const struct request *q)
{
	static struct pairs pairs; /* one request at a time is read */
	struct scan all = scan_of(q->body), s;
	struct slice body, model, stream, options, usage, tools, messages, message;
	pairs.n = pairs.open = 0;
	if (!scan_value(&all, &body) || !scan_at_end(&all) ||
	    !SCAN_OBJECT(body, {"messages", &messages}, {"model", &model},
			 {"stream", &stream}, {"stream_options", &options},
			 {"tools", &tools})) {
		chat_refuse(c, "not a JSON object");
		return;
	}
	c->model = scan_is_string(model) ? model : SLICE_NONE;
	c->stream = slice_is(stream, "true");
	SCAN_OBJECT(options, {"include_usage", &usage});
	c->include_usage = slice_is(usage, "true");
	tools_scan(c, tools);
	if (!messages.n || messages.p[0] != '[')
		chat_refuse(c, "there is no list of messages");
	s = scan_list(messages);
	while (scan_element(&s, &message))
		if (!message_scan(c, &pairs, message))
			return;
	if (s.bad)
		chat_refuse(c, "the messages are no JSON");
	answered(c, &pairs);
}

/* ---- the answer's parts */

static void put_usage(const struct answer *a, struct strbuf *out)
{
	size_t told = answer_tokens_out(a);
	strbuf_printf(out,
		      "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
		      "\"total_tokens\":%zu}",
		      a->tokens_in, told, a->tokens_in + told);
}

static void put_call_head(const struct answer *a, struct strbuf *out, int i)
{
	strbuf_printf(out, "\"id\":\"call_%d", a->chat->assistants);
	if (a->script->tool_count > 1)
		strbuf_printf(out, "_%d", i);
	strbuf_add_str(out, "\",\"type\":\"function\",\"function\":{\"name\":\"");
	json_escape(out, a->script->tools[i].name);
	strbuf_add_str(out, "\",\"arguments\":\"");
}

static const char *finish_reason(const struct answer *a)
{
	return a->calls ? "tool_calls" : "stop";
}

/* ---- streamed */

struct start {
	char text[MODEL_MAX + 200]; /* of every event */
	size_t n;
};

static size_t chunk_begin(const struct answer *a, const struct start *start)
{
	size_t at = a->r->out.n;
	strbuf_add(&a->r->out, start->text, start->n);
	return at;
}

static void chunk_end(const struct answer *a, size_t at, const char *close)
{
	strbuf_add_str(&a->r->out, close);
	strbuf_add_str(&a->r->out, "\n\n");
	event_end(a->r, at);
}

static size_t delta_begin(const struct answer *a, const struct start *start,
			  const char *delta)
{
	size_t at = chunk_begin(a, start);
	strbuf_add_str(&a->r->out, "{\"index\":0,\"delta\":{");
	strbuf_add_str(&a->r->out, delta);
	return at;
}

static void delta_end(const struct answer *a, size_t at, const char *close)
{
	strbuf_add_str(&a->r->out, close);
	chunk_end(a, at, "},\"finish_reason\":null}]}");
	answer_mark(a);
}

static void stream_text(const struct answer *a, const struct start *start,
			const char *delta, struct slice text)
{
	for (int i = 0; text.n && i < a->script->chunks; i++) {
		size_t at = delta_begin(a, start, delta);
		json_escape(&a->r->out, answer_part(text, i, a->script->chunks));
		delta_end(a, at, "\"");
	}
}

static void stream_call(const struct answer *a, const struct start *start, int i)
{
	struct strbuf *out = &a->r->out;
	size_t at = delta_begin(a, start, "\"tool_calls\":[{");
	strbuf_printf(out, "\"index\":%d,", i);
	put_call_head(a, out, i);
	delta_end(a, at, "\"}}]");
	for (int half = 0; half < 2; half++) {
		at = delta_begin(a, start, "\"tool_calls\":[{");
		strbuf_printf(out, "\"index\":%d,\"function\":{\"arguments\":\"", i);
		json_escape(out, answer_part(a->script->tools[i].args, half, 2));
		delta_end(a, at, "\"}}]");
	}
}

static void plain_event(const struct answer *a, const char *data)
{
	size_t at = event_begin(a->r);
	strbuf_add_str(&a->r->out, "data: ");
	chunk_end(a, at, data);
}

static void stream_tail(const struct answer *a, const struct start *start)
{
	struct strbuf *out = &a->r->out;
	size_t at = chunk_begin(a, start);
	strbuf_printf(out, "{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}]}",
		      finish_reason(a));
	chunk_end(a, at, "");
	if (a->chat->include_usage) {
		at = chunk_begin(a, start);
		strbuf_add_str(out, "],");
		put_usage(a, out);
		chunk_end(a, at, "}");
	}
	plain_event(a, "[DONE]");
}

static void stream(const struct answer *a)
{
	struct start start;
	start.n = (size_t)snprintf(start.text, sizeof start.text,
				   "00000000\r\ndata: {\"id\":\"chatcmpl-%" PRIu64
				   "\",\"object\":\"chat.completion.chunk\","
				   "\"created\":%" PRId64 ",\"model\":%.*s,\"choices\":[",
				   a->number, a->created, SLICE_ARG(a->model));
	size_t at = delta_begin(a, &start, "\"role\":\"assistant\",\"content\":\"");
	chunk_end(a, at, "\"},\"finish_reason\":null}]}");
	reply_mark(a->r);
	stream_text(a, &start, "\"reasoning_content\":\"", a->thought);
	stream_text(a, &start, "\"content\":\"", a->text);
	for (int i = 0; a->calls && i < a->script->tool_count; i++)
		stream_call(a, &start, i);
	stream_tail(a, &start);
}

static void stream_error(const struct answer *a)
{
	plain_event(a, "{\"error\":{\"message\":\"scripted\",\"type\":\"server_error\","
		       "\"param\":null,\"code\":\"server_error\"}}");
}

/* ---- in one piece */

static void put_message(const struct answer *a, struct strbuf *out)
{
	strbuf_add_str(out, "\"message\":{\"role\":\"assistant\",\"content\":");
	if (a->calls && !a->text.n) {
		strbuf_add_str(out, "null");
	} else {
		strbuf_add_char(out, '"');
		json_escape(out, a->text);
		strbuf_add_char(out, '"');
	}
	if (a->calls) {
		strbuf_add_str(out, ",\"tool_calls\":[");
		for (int i = 0; i < a->script->tool_count; i++) {
			strbuf_add_str(out, i ? ",{" : "{");
			put_call_head(a, out, i);
			json_escape(out, a->script->tools[i].args);
			strbuf_add_str(out, "\"}}");
		}
		strbuf_add_char(out, ']');
	}
	strbuf_add_char(out, '}');
}

static void whole(const struct answer *a, struct strbuf *body)
{
	strbuf_printf(body,
		      "{\"id\":\"chatcmpl-%" PRIu64
		      "\",\"object\":\"chat.completion\",\"created\":%" PRId64
		      ",\"model\":%.*s,\"choices\":[{\"index\":0,",
		      a->number, a->created, SLICE_ARG(a->model));
	put_message(a, body);
	strbuf_printf(body, ",\"finish_reason\":\"%s\"}],", finish_reason(a));
	put_usage(a, body);
	strbuf_add_char(body, '}');
}

/* ---- refusals */

void openai_put_refusal(struct strbuf *body, struct refusal *f)
{
	char text[200];
	const char *message = f->message, *type, *code = NULL;
	switch (f->why) {
	case REFUSE_STATUS:
		break;
	case REFUSE_KEY:
		f->status = 401;
		message = "Incorrect API key provided.";
		break;
	case REFUSE_REQUEST:
		f->status = 400;
		break;
	case REFUSE_WINDOW:
		f->status = 400;
		snprintf(text, sizeof text,
			 "This model's maximum context length is %zu tokens. However, "
			 "your messages resulted in %zu tokens.",
			 f->window, f->tokens);
		message = text;
		code = "context_length_exceeded";
		break;
	case REFUSE_QUOTA:
		f->status = 429;
		message = "You exceeded your current quota.";
		code = "insufficient_quota";
		break;
	}
	type = f->why == REFUSE_QUOTA ? code
	       : f->status == 429     ? "tokens"
	       : f->status >= 500     ? "server_error"
				      : "invalid_request_error";
	if (!code)
		code = f->status == 401   ? "invalid_api_key"
		       : f->status == 429 ? "rate_limit_exceeded"
		       : f->status >= 500 ? "server_error"
					  : NULL;
	strbuf_add_str(body, "{\"error\":{\"message\":\"");
	json_escape(body, slice_str(message));
	strbuf_printf(body, "\",\"type\":\"%s\",\"param\":null,\"code\":", type);
	strbuf_printf(body, code ? "\"%s\"}}" : "null}}", code);
}

const struct format fake_openai = {
	.takes = takes,
	.key = bearer_key,
	.scan = scan,
	.stream = stream,
	.whole = whole,
	.stream_error = stream_error,
	.put_refusal = openai_put_refusal,
	.request_id = "x-request-id",
	.has_retry_after = true,
};
