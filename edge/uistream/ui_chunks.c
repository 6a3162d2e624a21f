/* SPDX-License-Identifier: Apache-2.0
 * Chunk by chunk, as version 1 of the stream has them. A tool of the runtime is dynamic
 * and carried out by the provider, so that no client tries to; one of the client's own is
 * neither. */
#include "edge/uistream/ui_chunks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

void ui_init(struct ui *u, struct strbuf *out)
{
	*u = (struct ui){.out = out, .reason = "stop"};
	call_book_init(&u->calls);
}

void ui_fini(struct ui *u)
{
	call_book_fini(&u->calls);
	free(u->error);
}

/* ---- one chunk */

static struct json_out begin(struct ui *u, const char *type)
{
	struct json_out o = json_out(u->out);
	strbuf_add_str(u->out, "data: ");
	json_obj(&o);
	json_kv_cstr(&o, "type", type);
	return o;
}

static void end(struct ui *u, struct json_out *o)
{
	json_obj_end(o);
	strbuf_add_str(u->out, "\n\n");
}

static void plain(struct ui *u, const char *type)
{
	struct json_out o = begin(u, type);
	end(u, &o);
}

static void kv_value(struct json_out *o, const char *key, json_t v)
{
	json_key(o, key);
	if (v)
		json_put_value(o, v);
	else
		json_put_null(o);
}

/* ---- steps and texts */

static void close_text(struct ui *u)
{
	if (!u->text_open)
		return;
	u->text_open = false;
	struct json_out o = begin(u, "text-end");
	json_kv_cstr(&o, "id", u->text);
	end(u, &o);
}

static void close_step(struct ui *u)
{
	close_text(u);
	if (!u->step_open)
		return;
	u->step_open = u->step_has_calls = false;
	plain(u, "finish-step");
}

static void open_step(struct ui *u)
{
	if (u->step_open)
		return;
	u->step_open = true;
	plain(u, "start-step");
}

static void open_text(struct ui *u)
{
	if (u->text_open)
		return;
	if (u->step_has_calls) /* text behind calls is another answer of the model */
		close_step(u);
	open_step(u);
	u->text_open = true;
	snprintf(u->text, sizeof u->text, "text-%u", ++u->texts);
	struct json_out o = begin(u, "text-start");
	json_kv_cstr(&o, "id", u->text);
	end(u, &o);
}

static void show_text(struct ui *u, const struct event_view *v)
{
	if (v->content.n) {
		open_text(u);
		struct json_out o = begin(u, "text-delta");
		json_kv_cstr(&o, "id", u->text);
		json_kv_str(&o, "delta", v->content);
		end(u, &o);
	}
	if (!v->durable)
		return;
	close_text(u);
	u->reason = slice_is(v->stop, "length")   ? "length"
		    : slice_is(v->stop, "filter") ? "content-filter"
						  : "stop";
}

/* A part cannot be taken back: one behind it says that it is void. */
static void show_reset(struct ui *u)
{
	if (!u->text_open)
		return;
	close_text(u);
	struct json_out o = begin(u, "data-reset");
	json_kv_cstr(&o, "id", u->text);
	json_key(&o, "data");
	json_obj(&o);
	json_kv_cstr(&o, "textId", u->text);
	json_obj_end(&o);
	end(u, &o);
}

/* ---- calls */

static struct json_out begin_call(struct ui *u, const char *type,
				  const struct told_call *c)
{
	struct json_out o = begin(u, type);
	json_kv_cstr(&o, "toolCallId", c->id);
	return o;
}

static void put_place(struct json_out *o, const struct told_call *c)
{
	if (c->client_side)
		return;
	json_kv_bool(o, "providerExecuted", true);
	json_kv_bool(o, "dynamic", true);
}

static void show_call(struct ui *u, struct told_call *c, const struct event_view *v)
{
	if (c->started)
		return;
	c->started = true;
	c->client_side = v->client_side;
	u->client_calls |= v->client_side;
	close_text(u);
	if (u->step_has_calls && u->step != v->step)
		close_step(u);
	open_step(u);
	u->step_has_calls = true;
	u->step = v->step;
	struct json_out o = begin_call(u, "tool-input-start", c);
	json_kv_cstr(&o, "toolName", c->tool);
	put_place(&o, c);
	end(u, &o);
	o = begin_call(u, "tool-input-available", c);
	json_kv_cstr(&o, "toolName", c->tool);
	kv_value(&o, "input", v->input);
	put_place(&o, c);
	end(u, &o);
}

static void put_error(struct json_out *o, json_t output)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct slice said = json_str(json_get(output, "error"));
	if (!said.p)
		json_print(&b, output);
	json_kv_str(o, "errorText", said.p ? said : b.n ? strbuf_slice(&b) : SLICE(""));
}

static void show_result(struct ui *u, struct told_call *c, const struct event_view *v)
{
	if (c->ended)
		return;
	c->ended = true;
	if (c->denied) {
		struct json_out o = begin_call(u, "tool-output-denied", c);
		end(u, &o);
		return;
	}
	bool fine = v->state == VIEW_COMPLETED;
	struct json_out o =
		begin_call(u, fine ? "tool-output-available" : "tool-output-error", c);
	if (fine)
		kv_value(&o, "output", v->output);
	else
		put_error(&o, v->output);
	put_place(&o, c);
	end(u, &o);
}

static void show_approval(struct ui *u, struct told_call *c, const struct event_view *v)
{
	c->denied = slice_is(v->approval_state, "denied") ||
		    slice_is(v->approval_state, "expired");
	if (c->asked || !slice_is(v->approval_state, "pending"))
		return;
	c->asked = true;
	struct json_out o = begin_call(u, "tool-approval-request", c);
	json_kv_str(&o, "approvalId", v->approval);
	end(u, &o);
}

static void show_tool(struct ui *u, const struct event_view *v)
{
	struct told_call *c = call_book_get(&u->calls, v);
	show_call(u, c, v);
	if (v->approval.n)
		show_approval(u, c, v);
	if (v->state == VIEW_COMPLETED || v->state == VIEW_FAILED)
		show_result(u, c, v);
}

static void show_printed(struct ui *u, const struct event_view *v)
{
	const struct told_call *c = call_book_get(&u->calls, v);
	struct json_out o = begin(u, "data-tool-output");
	json_key(&o, "data");
	json_obj(&o);
	json_kv_cstr(&o, "toolCallId", c->id);
	json_kv_str(&o, "stream", v->stream.p ? v->stream : SLICE("stdout"));
	json_kv_str(&o, "content", v->content.p ? v->content : SLICE(""));
	json_obj_end(&o);
	json_kv_bool(&o, "transient", true);
	end(u, &o);
}

/* ---- the run */

void ui_start(struct ui *u, struct uuid run, struct slice message)
{
	char id[UUID_TEXT_LEN + 1];
	u->run = run;
	uuid_format(run, id);
	struct json_out o = begin(u, "start");
	json_kv_str(&o, "messageId", message.n ? message : slice_str(id));
	json_key(&o, "messageMetadata");
	json_obj(&o);
	json_kv_cstr(&o, "runId", id);
	json_obj_end(&o);
	end(u, &o);
}

static void show_phase(struct ui *u, const struct event_view *v)
{
	struct json_out o = begin(u, "data-lifecycle");
	json_key(&o, "data");
	json_obj(&o);
	json_kv_str(&o, "phase", v->phase);
	if (v->metadata)
		kv_value(&o, "metadata", v->metadata);
	json_obj_end(&o);
	json_kv_bool(&o, "transient", true);
	end(u, &o);
}

static void finish(struct ui *u, const char *reason, const struct event_view *v)
{
	close_step(u);
	struct json_out o = begin(u, "finish");
	json_kv_cstr(&o, "finishReason", reason);
	if (v && (v->tokens_in || v->tokens_out)) {
		json_key(&o, "messageMetadata");
		json_obj(&o);
		json_key(&o, "usage");
		json_obj(&o);
		json_kv_i64(&o, "inputTokens", v->tokens_in);
		json_kv_i64(&o, "outputTokens", v->tokens_out);
		json_kv_i64(&o, "totalTokens", v->tokens_in + v->tokens_out);
		json_obj_end(&o);
		json_obj_end(&o);
	}
	end(u, &o);
	strbuf_add_str(u->out, "data: [DONE]\n\n");
	u->ended = true;
}

static void fail(struct ui *u, const char *text, const struct event_view *v)
{
	close_step(u);
	struct json_out o = begin(u, "error");
	json_kv_cstr(&o, "errorText", text);
	end(u, &o);
	finish(u, "error", v);
}

static void show_end(struct ui *u, const struct event_view *v)
{
	if (slice_is(v->result, "cancelled")) {
		close_step(u);
		struct json_out o = begin(u, "abort");
		json_kv_cstr(&o, "reason", "the run was cancelled");
		end(u, &o);
		finish(u, "other", v);
	} else if (slice_is(v->phase, "end")) {
		finish(u, u->client_calls ? "tool-calls" : u->reason, v);
	} else {
		fail(u, u->error ? u->error : "the run failed", v);
	}
}

void ui_event(struct ui *u, const struct event_view *v)
{
	if (u->ended)
		return;
	switch (v->kind) {
	case VIEW_TEXT:
		show_text(u, v);
		break;
	case VIEW_RESET:
		show_reset(u);
		break;
	case VIEW_TOOL:
		show_tool(u, v);
		break;
	case VIEW_PRINTED:
		show_printed(u, v);
		break;
	case VIEW_PHASE:
		if (!slice_is(v->phase, "start"))
			show_phase(u, v);
		break;
	case VIEW_ERROR:
		free(u->error);
		u->error = v->error.p ? xstrndup(v->error.p, v->error.n) : NULL;
		break;
	case VIEW_END:
		show_end(u, v);
		break;
	default:
		break;
	}
}

void ui_pause(struct ui *u)
{
	if (!u->ended)
		finish(u, "tool-calls", NULL);
}

void ui_forget(struct ui *u)
{
	strbuf_reset(u->out);
	u->text_open = u->step_open = u->step_has_calls = false;
}

void ui_cut(struct ui *u)
{
	if (!u->ended)
		fail(u, "the connection ends here; the run goes on", NULL);
}
