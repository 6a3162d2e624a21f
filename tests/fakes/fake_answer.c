/* SPDX-License-Identifier: Apache-2.0
 * Writes answers in the form of OpenAI's chat completions, streamed or in one piece. */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/json.h"
#include "tests/fakes/fake_reply.h"

#define KEEP_BYTES (64u << 10)
#define MODEL_MAX 200
#define DONE_MAX 200
#define CHUNK_HEAD 10 /* eight hex digits and CRLF */

static const char not_json[] = "{\"this is\": not JSON";

/* One chat answer being written. */
struct answer {
	struct reply *r;
	const struct chat *chat;
	const struct script *script;
	const char *finish;
	struct strbuf *text;
	char id[64];
	struct slice model;
	int64_t created;
	char start[MODEL_MAX + 200]; /* of every event */
	size_t start_n;
};

/* ---- texts */

/* The i-th of k parts; characters stay whole. */
static struct slice part_of(struct slice text, int i, int k)
{
	size_t from = text.n * (size_t)i / (size_t)k;
	size_t to = text.n * ((size_t)i + 1) / (size_t)k;
	while (from < text.n && (text.p[from] & 0xc0) == 0x80)
		from++;
	while (to < text.n && (text.p[to] & 0xc0) == 0x80)
		to++;
	return slice_of(text.p + from, to - from);
}

static void generate(struct strbuf *out, size_t n)
{
	static const char words[] =
		"all work and no play makes a model repeat its words ";
	strbuf_reserve(out, n);
	for (size_t left = n; left;) {
		size_t k = left < sizeof words - 1 ? left : sizeof words - 1;
		strbuf_add(out, words, k);
		left -= k;
	}
	if (n)
		out->p[out->n - 1] = '.';
}

static bool calls_tools(const struct answer *a)
{
	return a->script->tool_count && (a->script->loops || !a->chat->has_tool);
}

static void put_done(struct strbuf *out, struct slice tool)
{
	strbuf_add_str(out, "done: ");
	size_t from = out->n, n;
	scan_text(tool, out);
	n = out->n - from;
	if (n <= DONE_MAX)
		return;
	for (n = DONE_MAX; n && (out->p[from + n] & 0xc0) == 0x80;)
		n--;
	out->n = from + n;
}

static void compose(struct answer *a)
{
	strbuf_reset(a->text);
	if (a->script->tool_count) {
		put_done(a->text, a->chat->tool);
	} else if (a->script->size >= 0) {
		generate(a->text, (size_t)a->script->size);
	} else {
		strbuf_add_str(a->text, "echo: ");
		strbuf_add_slice(a->text, a->script->payload);
	}
}

static void put_usage(const struct answer *a, struct strbuf *out, size_t pieces)
{
	size_t prompt = a->chat->body.n / 4;
	strbuf_printf(out,
		      "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
		      "\"total_tokens\":%zu}",
		      prompt, pieces, prompt + pieces);
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

/* ---- streamed */

static size_t event_begin(const struct answer *a)
{
	size_t at = a->r->out.n;
	strbuf_add(&a->r->out, a->start, a->start_n);
	return at;
}

static void event_end(struct reply *r, size_t at)
{
	strbuf_add_str(&r->out, "\n\n");
	size_t n = r->out.n - at - CHUNK_HEAD;
	for (size_t i = 8; i-- > 0; n >>= 4)
		r->out.p[at + i] = "0123456789abcdef"[n & 15];
	strbuf_add_str(&r->out, "\r\n");
}

/* One event that is not made of a->start. */
static void event(struct reply *r, const char *data)
{
	size_t at = r->out.n;
	strbuf_add_str(&r->out, "00000000\r\ndata: ");
	strbuf_add_str(&r->out, data);
	event_end(r, at);
}

static size_t delta_begin(const struct answer *a, const char *delta)
{
	size_t at = event_begin(a);
	strbuf_add_str(&a->r->out, "{\"index\":0,\"delta\":{");
	strbuf_add_str(&a->r->out, delta);
	return at;
}

static void delta_end(const struct answer *a, size_t at, const char *close)
{
	strbuf_add_str(&a->r->out, close);
	strbuf_add_str(&a->r->out, "},\"finish_reason\":null}]}");
	event_end(a->r, at);
	if (a->script->garbage && a->r->mark_count == 1)
		event(a->r, not_json);
	reply_mark(a->r);
}

static void stream_text(const struct answer *a)
{
	struct slice text = strbuf_slice(a->text);
	for (int i = 0; i < a->script->chunks; i++) {
		size_t at = delta_begin(a, "\"content\":\"");
		json_escape(&a->r->out, part_of(text, i, a->script->chunks));
		delta_end(a, at, "\"");
	}
}

static void stream_call(const struct answer *a, int i)
{
	struct strbuf *out = &a->r->out;
	size_t at = delta_begin(a, "\"tool_calls\":[{");
	strbuf_printf(out, "\"index\":%d,", i);
	put_call_head(a, out, i);
	delta_end(a, at, "\"}}]");
	for (int half = 0; half < 2; half++) {
		at = delta_begin(a, "\"tool_calls\":[{");
		strbuf_printf(out, "\"index\":%d,\"function\":{\"arguments\":\"", i);
		json_escape(out, part_of(a->script->tools[i].args, half, 2));
		delta_end(a, at, "\"}}]");
	}
}

static void stream_tail(const struct answer *a)
{
	struct strbuf *out = &a->r->out;
	size_t at = event_begin(a);
	strbuf_printf(out, "{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}]}",
		      a->finish);
	event_end(a->r, at);
	if (a->chat->include_usage) {
		at = event_begin(a);
		strbuf_add_str(out, "],");
		put_usage(a, out, a->r->mark_count - 1);
		strbuf_add_char(out, '}');
		event_end(a->r, at);
	}
	event(a->r, "[DONE]");
	strbuf_add_str(out, "0\r\n\r\n");
}

static void reply_stream(struct answer *a)
{
	struct reply *r = a->r;
	reply_head(r, 200, "text/event-stream");
	strbuf_add_str(&r->out, "Transfer-Encoding: chunked\r\n\r\n");
	if (r->hang)
		return;
	a->start_n = (size_t)snprintf(
		a->start, sizeof a->start,
		"00000000\r\ndata: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\","
		"\"created\":%" PRId64 ",\"model\":%.*s,\"choices\":[",
		a->id, a->created, SLICE_ARG(a->model));
	size_t at = delta_begin(a, "\"role\":\"assistant\",\"content\":\"");
	strbuf_add_str(&r->out, "\"},\"finish_reason\":null}]}");
	event_end(r, at);
	reply_mark(r);
	if (!calls_tools(a))
		stream_text(a);
	else
		for (int i = 0; i < a->script->tool_count; i++)
			stream_call(a, i);
	stream_tail(a);
}

/* ---- in one piece */

static void put_message(const struct answer *a, struct strbuf *out)
{
	strbuf_add_str(out, "\"message\":{\"role\":\"assistant\",\"content\":");
	if (calls_tools(a)) {
		strbuf_add_str(out, "null,\"tool_calls\":[");
		for (int i = 0; i < a->script->tool_count; i++) {
			strbuf_add_str(out, i ? ",{" : "{");
			put_call_head(a, out, i);
			json_escape(out, a->script->tools[i].args);
			strbuf_add_str(out, "\"}}");
		}
		strbuf_add_str(out, "]}");
		return;
	}
	strbuf_add_char(out, '"');
	json_escape(out, strbuf_slice(a->text));
	strbuf_add_str(out, "\"}");
}

static void reply_whole(struct answer *a)
{
	struct strbuf body = STRBUF_INIT;
	strbuf_printf(&body,
		      "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%" PRId64
		      ",\"model\":%.*s,\"choices\":[{\"index\":0,",
		      a->id, a->created, SLICE_ARG(a->model));
	put_message(a, &body);
	strbuf_printf(&body, ",\"finish_reason\":\"%s\"}],", a->finish);
	put_usage(a, &body, (size_t)a->script->chunks);
	strbuf_add_char(&body, '}');
	if (a->script->garbage)
		reply_json(a->r, 200, SLICE(not_json));
	else
		reply_json(a->r, 200, strbuf_slice(&body));
	if (a->r->hang)
		a->r->out.n = a->r->marks[0];
	strbuf_fini(&body);
}

void reply_chat(struct reply *r, const struct chat *c, const struct script *s)
{
	static struct strbuf text; /* one answer at a time is composed */
	static uint64_t number;
	struct answer a = {.r = r, .chat = c, .script = s, .text = &text};
	r->delay_ms = s->delay_ms;
	if (s->status) {
		reply_scripted_error(r, s);
		return;
	}
	r->pause_ms = c->stream ? s->pause_ms : 0;
	r->hang = s->hang;
	a.model = c->model.p && c->model.n <= MODEL_MAX ? c->model : SLICE("\"fake\"");
	a.created = clock_real_us() / 1000000;
	snprintf(a.id, sizeof a.id, "chatcmpl-%" PRIu64, ++number);
	a.finish = calls_tools(&a) ? "tool_calls" : "stop";
	if (!calls_tools(&a))
		compose(&a);
	if (c->stream)
		reply_stream(&a);
	else
		reply_whole(&a);
	strbuf_reset(&text);
	strbuf_shrink(&text, KEEP_BYTES);
	if (r->hang)
		return;
	if (s->cut < 0) {
		r->mark_count--; /* the last chunk and the end go together */
		return;
	}
	/* Cut: what follows the chunk is forgotten, the end of the body with it. */
	size_t last = r->mark_count - 1;
	r->out.n = c->stream ? r->marks[(size_t)s->cut < last ? (size_t)s->cut : last]
			     : (r->marks[0] + r->out.n) / 2;
	r->close = true;
}
