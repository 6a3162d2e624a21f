/* SPDX-License-Identifier: Apache-2.0
 * Events read, whatever the form. */
#include "edge/openai/answer.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "proto/limits.h"

void answer_init(struct openai_answer *a, const struct answer_form *form,
		 struct arena *arena)
{
	*a = (struct openai_answer){.form = form, .arena = arena};
}

void answer_fini(struct openai_answer *a)
{
	strbuf_fini(&a->out);
	strbuf_fini(&a->text);
}

struct slice answer_model(const struct openai_answer *a)
{
	return a->model.p ? a->model : SLICE("default");
}

void answer_begin(struct openai_answer *a)
{
	if (a->begun)
		return;
	a->begun = true;
	if (a->streams)
		a->form->begin(a);
}

#define GROW(a, list, count, cap)                                                        \
	do {                                                                             \
		if ((a)->count == (a)->cap) {                                            \
			size_t n = (a)->cap ? (a)->cap * 2 : 4;                          \
			void *p = arena_alloc((a)->arena, n * sizeof *(a)->list);        \
			if ((a)->count)                                                  \
				memcpy(p, (a)->list, (a)->count * sizeof *(a)->list);    \
			(a)->list = p;                                                   \
			(a)->cap = n;                                                    \
		}                                                                        \
	} while (0)

/* ---- text */

static void break_off(struct openai_answer *a)
{
	char run[UUID_TEXT_LEN + 1], message[256];
	uuid_format(a->run, run);
	snprintf(message, sizeof message,
		 "the model began its answer anew, with other words than those sent "
		 "already; the run %s goes on: GET /v1/runs/%s has its result",
		 run, run);
	answer_break(a, "stream_restarted", message);
}

/* What is new of a piece, once what was sent has come again. */
static struct slice unsent(struct openai_answer *a, struct slice piece)
{
	size_t left = a->restarted ? a->text.n - a->again : 0;
	size_t n = piece.n < left ? piece.n : left;
	if (n && memcmp(a->text.p + a->again, piece.p, n) != 0) {
		break_off(a);
		return SLICE_NONE;
	}
	a->again += n;
	return slice_of(piece.p + n, piece.n - n);
}

static void take_text(struct openai_answer *a, struct slice piece)
{
	if (a->restarted)
		piece = unsent(a, piece);
	if (!piece.n)
		return;
	strbuf_add_slice(&a->text, piece);
	a->again = a->text.n;
	if (!a->streams)
		return;
	a->form->text(a, piece);
	a->showing = true;
}

static void take_restart(struct openai_answer *a)
{
	if (!a->streams)
		strbuf_reset(&a->text);
	a->restarted = a->streams && a->text.n;
	a->again = 0;
}

static void end_message(struct openai_answer *a)
{
	if (a->restarted && a->again < a->text.n) {
		break_off(a);
		return;
	}
	if (a->text.n) {
		GROW(a, messages, message_count, message_cap);
		a->messages[a->message_count++] =
			arena_slice(a->arena, strbuf_slice(&a->text));
		if (a->streams)
			a->form->end_text(a);
	}
	strbuf_reset(&a->text);
	a->restarted = a->showing = false;
	a->again = 0;
}

static void take_assistant(struct openai_answer *a, json_t body, bool durable)
{
	json_t meta = json_get(body, "metadata");
	if (json_bool(json_get(meta, "reset"), false)) {
		take_restart(a);
		return;
	}
	take_text(a, json_str(json_get(body, "content")));
	if (!durable || a->end == ANSWER_BROKEN)
		return;
	struct slice stop = json_str(json_get(meta, "stop"));
	a->length = slice_is(stop, "length");
	a->filter = slice_is(stop, "filter");
	end_message(a);
}

/* ---- calls of the client's */

static void take_call(struct openai_answer *a, json_t body)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	json_t meta = json_get(body, "metadata"), input = json_get(body, "toolInput");
	if (!json_bool(json_get(meta, "clientSide"), false) ||
	    !slice_is(json_str(json_get(body, "toolState")), "pending"))
		return;
	json_print(&b, input);
	GROW(a, calls, call_count, call_cap);
	a->calls[a->call_count++] = (struct answer_call){
		.id = arena_slice(a->arena, json_str(json_get(meta, "callId"))),
		.name = arena_slice(a->arena, json_str(json_get(body, "toolName"))),
		.arguments = arena_slice(a->arena, b.n ? strbuf_slice(&b) : SLICE("{}")),
		.cut = json_len(input) == 2 &&
		       json_bool(json_get(input, "truncated"), false) &&
		       json_kind(json_get(input, "bytes")) == JSON_NUMBER};
}

bool answer_has_cut(const struct openai_answer *a)
{
	for (size_t i = 0; i < a->call_count; i++)
		if (a->calls[i].cut)
			return true;
	return false;
}

static bool take_whole(struct openai_answer *a, struct answer_call *c, json_t pending)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_iter it = json_iter(pending);
	for (json_t p; (p = json_next(&it, NULL));) {
		if (!slice_eq(json_str(json_get(p, "id")), c->id))
			continue;
		json_print(&b, json_get(p, "arguments"));
		c->arguments = arena_slice(a->arena, strbuf_slice(&b));
		c->cut = false;
		return true;
	}
	return false;
}

bool answer_take_calls(struct openai_answer *a, struct slice pending)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(pending, pending.n, NULL, 0);
	for (size_t i = 0; i < a->call_count; i++)
		if (a->calls[i].cut && !take_whole(a, &a->calls[i], json_root(d)))
			return false;
	return true;
}

/* ---- the end */

static void take_error(struct openai_answer *a, json_t body)
{
	struct slice code = json_str(json_get(json_get(body, "metadata"), "code")),
		     error = json_str(json_get(body, "error"));
	if (code.p)
		a->code = arena_slice(a->arena, code);
	if (error.p)
		a->error = arena_slice(a->arena, error);
}

static bool is_budget(struct slice code)
{
	return slice_has_prefix(code, SLICE("budget_")) || slice_is(code, "run_budget");
}

static enum answer_end failure(const struct openai_answer *a, struct slice result)
{
	if (slice_is(a->code, "model_filter"))
		return ANSWER_FILTER;
	if (is_budget(a->code) && (a->message_count || a->text.n))
		return ANSWER_LENGTH;
	return slice_is(result, "cancelled") ? ANSWER_CANCELLED : ANSWER_FAILED;
}

static void take_end(struct openai_answer *a, json_t body)
{
	json_t meta = json_get(body, "metadata");
	struct slice phase = json_str(json_get(body, "phase")),
		     result = json_str(json_get(meta, "result")),
		     code = json_str(json_get(meta, "code"));
	json_i64(json_get(meta, "tokensIn"), &a->usage.in);
	json_i64(json_get(meta, "tokensOut"), &a->usage.out);
	if (slice_is(phase, "error")) {
		if (!a->code.p)
			a->code = arena_slice(a->arena, code.p     ? code
							: result.p ? result
								   : SLICE("internal"));
		a->end = failure(a, result);
	} else if (slice_is(phase, "end")) {
		a->end = a->call_count ? ANSWER_CALLS
			 : a->length   ? ANSWER_LENGTH
			 : a->filter   ? ANSWER_FILTER
				       : ANSWER_DONE;
		if (uuid_parse(json_str(json_get(meta, "mergedInto")), &a->merged))
			a->end = ANSWER_MERGED;
	}
}

void answer_event(struct openai_answer *a, const struct sse_item *item)
{
	if (a->end)
		return;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(item->body, item->body.n, NULL, 0);
	json_t body = json_root(d);
	if (!strcmp(item->type, "assistant"))
		take_assistant(a, body, item->durable);
	else if (!strcmp(item->type, "tool") && item->durable)
		take_call(a, body);
	else if (!strcmp(item->type, "error"))
		take_error(a, body);
	else if (!strcmp(item->type, "lifecycle"))
		take_end(a, body);
}

void answer_finish(struct openai_answer *a)
{
	if (a->text.n && a->end == ANSWER_LENGTH) /* it was cut amid its words */
		end_message(a);
	if (a->end == ANSWER_BROKEN)
		return;
	if (a->streams)
		a->form->end(a);
	else
		a->form->whole(a);
}

void answer_break(struct openai_answer *a, const char *code, const char *message)
{
	a->end = ANSWER_BROKEN;
	a->code = arena_slice(a->arena, slice_str(code));
	a->error = arena_slice(a->arena, slice_str(message));
	if (a->streams)
		a->form->end(a);
}

/* ---- errors */

int answer_status(const struct openai_answer *a, unsigned *after_s)
{
	static const struct {
		const char *code;
		int status;
		unsigned after_s;
	} rows[] = {
#define OUTCOME(code, status, after) {code, status, after},
#include "edge/openai/outcome.tbl"
#undef OUTCOME
	};
	*after_s = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!slice_is(a->code, rows[i].code))
			continue;
		*after_s = rows[i].after_s;
		return rows[i].status;
	}
	return 500;
}

void answer_put_error(struct openai_answer *a, struct json_out *o, const char *request_id)
{
	unsigned after_s;
	int status = answer_status(a, &after_s);
	json_obj(o);
	json_kv_str(o, "message",
		    a->error.n ? a->error
		    : a->end == ANSWER_CANCELLED
			    ? SLICE("the run was cancelled")
			    : SLICE("the run failed; its log has the details"));
	json_kv_cstr(o, "type",
		     status == 429  ? "rate_limit"
		     : status < 500 ? "invalid_request"
				    : "server_error");
	json_kv_str(o, "code", a->code.n ? a->code : SLICE("internal"));
	json_kv_cstr(o, "param", NULL);
	if (request_id) {
		json_kv_i64(o, "status", status);
		json_kv_cstr(o, "requestId", request_id);
	}
	json_obj_end(o);
}
