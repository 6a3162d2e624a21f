/* SPDX-License-Identifier: Apache-2.0
 * Event by event; the JSON is what version 1.0 of the protocol says. */
#include "edge/agui/agui_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define PROTOCOL "1.0"

void agui_init(struct agui *a, struct strbuf *out, struct slice thread, struct slice run)
{
	*a = (struct agui){.out = out, .thread = thread, .run = run};
	call_book_init(&a->calls);
}

void agui_fini(struct agui *a)
{
	call_book_fini(&a->calls);
	strbuf_fini(&a->pending);
	free(a->error);
	free(a->code);
}

/* ---- one event */

static struct json_out begin(struct agui *a, const char *type)
{
	struct json_out o = json_out(a->out);
	strbuf_add_str(a->out, "data: ");
	json_obj(&o);
	json_kv_cstr(&o, "type", type);
	return o;
}

static void end(struct agui *a, struct json_out *o)
{
	json_obj_end(o);
	strbuf_add_str(a->out, "\n\n");
}

static void kv_value(struct json_out *o, const char *key, json_t v)
{
	json_key(o, key);
	if (v)
		json_put_value(o, v);
	else
		json_put_null(o);
}

/* A value in a string: a string as it is, another as its JSON. */
static void kv_text_of(struct json_out *o, const char *key, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (json_kind(v) == JSON_STRING) {
		json_kv_str(o, key, json_str(v));
		return;
	}
	json_print(&b, v);
	json_kv_str(o, key, b.n ? strbuf_slice(&b) : SLICE(""));
}

static void put_run(const struct agui *a, struct json_out *o)
{
	json_kv_str(o, "threadId", a->thread);
	json_kv_str(o, "runId", a->run);
}

/* ---- text */

static void name_message(struct agui *a, uint32_t seq)
{
	char run[UUID_TEXT_LEN + 1];
	uuid_format(a->ours, run);
	if (a->resets)
		snprintf(a->message, sizeof a->message, "%s-%u-%u", run, seq, a->resets);
	else
		snprintf(a->message, sizeof a->message, "%s-%u", run, seq);
}

static void open_text(struct agui *a, uint32_t seq)
{
	if (a->is_open)
		return;
	name_message(a, seq);
	a->is_open = a->has_message = true;
	struct json_out o = begin(a, "TEXT_MESSAGE_START");
	json_kv_cstr(&o, "messageId", a->message);
	json_kv_cstr(&o, "role", "assistant");
	end(a, &o);
}

static void close_text(struct agui *a)
{
	if (!a->is_open)
		return;
	a->is_open = false;
	struct json_out o = begin(a, "TEXT_MESSAGE_END");
	json_kv_cstr(&o, "messageId", a->message);
	end(a, &o);
}

static void show_text(struct agui *a, const struct event_view *v)
{
	if (v->content.n) {
		open_text(a, v->seq);
		struct json_out o = begin(a, "TEXT_MESSAGE_CONTENT");
		json_kv_cstr(&o, "messageId", a->message);
		json_kv_str(&o, "delta", v->content);
		end(a, &o);
	}
	if (v->durable)
		close_text(a);
}

/* The message that is void is closed; what follows has another id. */
static void show_reset(struct agui *a)
{
	if (!a->is_open)
		return;
	close_text(a);
	a->resets++;
	a->has_message = false;
	struct json_out o = begin(a, "CUSTOM");
	json_kv_cstr(&o, "name", "message_reset");
	json_key(&o, "value");
	json_obj(&o);
	json_kv_cstr(&o, "messageId", a->message);
	json_obj_end(&o);
	end(a, &o);
}

/* ---- calls */

static void show_call(struct agui *a, struct told_call *c, json_t input)
{
	if (c->started)
		return;
	c->started = true;
	close_text(a);
	struct json_out o = begin(a, "TOOL_CALL_START");
	json_kv_cstr(&o, "toolCallId", c->id);
	json_kv_cstr(&o, "toolCallName", c->tool);
	if (a->has_message)
		json_kv_cstr(&o, "parentMessageId", a->message);
	end(a, &o);
	if (input) {
		o = begin(a, "TOOL_CALL_ARGS");
		json_kv_cstr(&o, "toolCallId", c->id);
		kv_text_of(&o, "delta", input);
		end(a, &o);
	}
	o = begin(a, "TOOL_CALL_END");
	json_kv_cstr(&o, "toolCallId", c->id);
	end(a, &o);
}

static void show_result(struct agui *a, struct told_call *c, const struct event_view *v)
{
	char run[UUID_TEXT_LEN + 1], id[64];
	if (c->ended)
		return;
	c->ended = true;
	uuid_format(a->ours, run);
	snprintf(id, sizeof id, "%s-%u", run, v->seq);
	struct json_out o = begin(a, "TOOL_CALL_RESULT");
	json_kv_cstr(&o, "messageId", id);
	json_kv_cstr(&o, "toolCallId", c->id);
	kv_text_of(&o, "content", v->output);
	json_kv_cstr(&o, "role", "tool");
	end(a, &o);
}

static void note_pending(struct agui *a, struct told_call *c)
{
	if (c->client_side)
		return;
	c->client_side = true;
	strbuf_add_str(&a->pending, a->pending.n ? ",\"" : "\"");
	json_escape(&a->pending, slice_str(c->id));
	strbuf_add_char(&a->pending, '"');
}

/* What a person is asked, and what he answered. */
static void show_approval(struct agui *a, struct told_call *c, const struct event_view *v)
{
	struct json_out o = begin(a, "CUSTOM");
	json_kv_cstr(&o, "name", "approval");
	json_key(&o, "value");
	json_obj(&o);
	json_kv_cstr(&o, "toolCallId", c->id);
	json_kv_cstr(&o, "toolName", c->tool);
	kv_value(&o, "approval", v->approval_body);
	json_obj_end(&o);
	end(a, &o);
}

static void show_tool(struct agui *a, const struct event_view *v)
{
	struct told_call *c = call_book_get(&a->calls, v);
	show_call(a, c, v->input);
	if (v->client_side)
		note_pending(a, c);
	if (v->approval.n)
		show_approval(a, c, v);
	if (v->state == VIEW_COMPLETED || v->state == VIEW_FAILED)
		show_result(a, c, v);
}

static void show_printed(struct agui *a, const struct event_view *v)
{
	struct told_call *c = call_book_get(&a->calls, v);
	struct json_out o = begin(a, "CUSTOM");
	json_kv_cstr(&o, "name", "tool_output");
	json_key(&o, "value");
	json_obj(&o);
	json_kv_cstr(&o, "toolCallId", c->id);
	json_kv_str(&o, "stream", v->stream.p ? v->stream : SLICE("stdout"));
	json_kv_str(&o, "content", v->content.p ? v->content : SLICE(""));
	json_obj_end(&o);
	end(a, &o);
}

/* ---- the run */

void agui_start(struct agui *a, struct uuid ours)
{
	char run[UUID_TEXT_LEN + 1];
	a->ours = ours;
	uuid_format(ours, run);
	struct json_out o = begin(a, "RUN_STARTED");
	put_run(a, &o);
	json_kv_cstr(&o, "protocolVersion", PROTOCOL);
	json_key(&o, "metadata");
	json_obj(&o);
	json_kv_cstr(&o, "runId", run);
	json_obj_end(&o);
	end(a, &o);
}

static void show_phase(struct agui *a, const struct event_view *v)
{
	struct json_out o = begin(a, "CUSTOM");
	json_kv_cstr(&o, "name", "lifecycle");
	json_key(&o, "value");
	json_obj(&o);
	json_kv_str(&o, "phase", v->phase);
	if (v->metadata)
		kv_value(&o, "metadata", v->metadata);
	json_obj_end(&o);
	end(a, &o);
}

static void put_usage(struct json_out *o, const struct event_view *v)
{
	if (!v->tokens_in && !v->tokens_out)
		return;
	json_key(o, "usage");
	json_arr(o);
	json_obj(o);
	json_kv_i64(o, "inputTokens", v->tokens_in);
	json_kv_i64(o, "outputTokens", v->tokens_out);
	json_kv_i64(o, "totalTokens", v->tokens_in + v->tokens_out);
	json_obj_end(o);
	json_arr_end(o);
}

static void put_outcome(const struct agui *a, struct json_out *o, const char *type)
{
	json_key(o, "outcome");
	json_obj(o);
	json_kv_cstr(o, "type", type);
	if (a->pending.n) {
		json_key(o, "pendingToolCallIds");
		json_arr(o);
		json_put_raw(o, strbuf_slice(&a->pending));
		json_arr_end(o);
	}
	json_obj_end(o);
}

static void fail(struct agui *a, const char *message, const char *code,
		 const struct event_view *v)
{
	close_text(a);
	struct json_out o = begin(a, "RUN_ERROR");
	json_kv_cstr(&o, "message", message);
	json_kv_cstr(&o, "code", code);
	if (v)
		put_usage(&o, v);
	end(a, &o);
	a->ended = true;
}

static void finish(struct agui *a, const struct event_view *v, const char *outcome)
{
	close_text(a);
	struct json_out o = begin(a, "RUN_FINISHED");
	put_run(a, &o);
	put_outcome(a, &o, outcome);
	put_usage(&o, v);
	end(a, &o);
	a->ended = true;
}

static void keep(char **to, struct slice s)
{
	free(*to);
	*to = s.p ? xstrndup(s.p, s.n) : NULL;
}

static void show_end(struct agui *a, const struct event_view *v)
{
	if (slice_is(v->result, "cancelled")) {
		strbuf_reset(&a->pending);
		finish(a, v, "cancelled");
	} else if (slice_is(v->phase, "end")) {
		finish(a, v, "success");
	} else {
		if (!a->code)
			keep(&a->code, v->code.p ? v->code : v->result);
		fail(a, a->error ? a->error : "the run failed",
		     a->code ? a->code : "failed", v);
	}
}

void agui_event(struct agui *a, const struct event_view *v)
{
	if (a->ended)
		return;
	switch (v->kind) {
	case VIEW_TEXT:
		show_text(a, v);
		break;
	case VIEW_RESET:
		show_reset(a);
		break;
	case VIEW_TOOL:
		show_tool(a, v);
		break;
	case VIEW_PRINTED:
		show_printed(a, v);
		break;
	case VIEW_PHASE:
		if (!slice_is(v->phase, "start"))
			show_phase(a, v);
		break;
	case VIEW_ERROR:
		keep(&a->error, v->error);
		keep(&a->code, v->code);
		break;
	case VIEW_END:
		show_end(a, v);
		break;
	default:
		break;
	}
}

void agui_cut(struct agui *a)
{
	if (!a->ended)
		fail(a, "the connection ends here; the run goes on", "interrupted", NULL);
}
