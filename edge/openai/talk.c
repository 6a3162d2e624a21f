/* SPDX-License-Identifier: Apache-2.0
 * From a client's list to a message with its results, and to lines of a transcript. */
#include "edge/openai/talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "edge/blocks.h"
#include "edge/client_tools.h"

#define CALLS_MOST 256
#define NO_RESULT "no result was given"

PRINTF_LIKE(3, 4)
static bool wrong(struct talk_fault *fault, size_t at, const char *fmt, ...)
{
	va_list ap;
	fault->at = at;
	va_start(ap, fmt);
	vsnprintf(fault->message, sizeof fault->message, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- the list */

void talk_init(struct talk *t, struct arena *arena)
{
	*t = (struct talk){.arena = arena};
}

void talk_fini(struct talk *t)
{
	strbuf_fini(&t->text);
	strbuf_fini(&t->system);
	free(t->list);
	*t = (struct talk){0};
}

struct said *talk_add(struct talk *t, enum said_kind kind, size_t at)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->list = xrealloc(t->list, t->cap * sizeof *t->list);
	}
	struct said *s = &t->list[t->count++];
	*s = (struct said){.kind = kind, .at = at, .from = t->text.n};
	return s;
}

void talk_close(struct talk *t, size_t blocks)
{
	struct said *s = &t->list[t->count - 1];
	s->n = t->text.n - s->from;
	s->blocks = blocks;
}

void talk_add_system(struct talk *t, struct slice text)
{
	if (t->system.n && text.n)
		strbuf_add_str(&t->system, "\n\n");
	strbuf_add_slice(&t->system, text);
}

static struct slice own(const struct talk *t, const struct said *s)
{
	return s->n ? slice_of(t->text.p + s->from, s->n) : SLICE("");
}

static bool is_answer(const struct said *s)
{
	return s->kind == SAID_ASSISTANT || s->kind == SAID_CALL;
}

size_t talk_new_from(const struct talk *t)
{
	size_t i = t->count;
	while (i > 0 && !is_answer(&t->list[i - 1]))
		i--;
	return i;
}

/* ---- the new part */

static void put_blocks(const struct talk *t, struct json_out *o, size_t from)
{
	json_key(o, "blocks");
	json_arr(o);
	for (size_t i = from; i < t->count; i++)
		if (t->list[i].kind == SAID_USER && t->list[i].n)
			json_put_raw(o, own(t, &t->list[i]));
	json_arr_end(o);
}

static void put_text_block(struct json_out *o, struct slice text)
{
	json_obj(o);
	json_kv_cstr(o, "type", "text");
	json_kv_str(o, "text", text);
	json_obj_end(o);
}

static void put_result(const struct talk *t, struct json_out *o, const struct said *s)
{
	json_obj(o);
	json_kv_str(o, "toolCallId", s->id);
	json_key(o, "content");
	if (!s->n) {
		json_put_str(o, s->text);
	} else {
		json_arr(o);
		if (s->text.n)
			put_text_block(o, s->text);
		json_put_raw(o, own(t, s));
		json_arr_end(o);
	}
	json_obj_end(o);
}

static void put_results(const struct talk *t, struct json_out *o, size_t from)
{
	json_key(o, "toolResults");
	json_arr(o);
	for (size_t i = from; i < t->count; i++)
		if (t->list[i].kind == SAID_RESULT)
			put_result(t, o, &t->list[i]);
	json_arr_end(o);
}

bool talk_put_new(const struct talk *t, struct json_out *o, struct talk_fault *fault)
{
	size_t from = talk_new_from(t), blocks = 0, results = 0;
	for (size_t i = from; i < t->count; i++) {
		blocks += t->list[i].kind == SAID_USER ? t->list[i].blocks : 0;
		results += t->list[i].kind == SAID_RESULT;
	}
	if (results > CLIENT_RESULTS_MOST)
		return wrong(fault, t->list[t->count - 1].at,
			     "there are results of %zu tool calls: at most %u can be "
			     "given at once",
			     results, CLIENT_RESULTS_MOST);
	if (!blocks && !results)
		return wrong(
			fault, t->count ? t->list[t->count - 1].at : 0,
			"nothing is new: behind the assistant's last words there has "
			"to be a message of the user, or the result of a tool call");
	if (blocks > BLOCKS_MOST)
		return wrong(fault, t->list[t->count - 1].at,
			     "what is new has %zu texts and images: at most %u can be "
			     "said at once",
			     blocks, BLOCKS_MOST);
	put_blocks(t, o, from);
	if (results)
		put_results(t, o, from);
	return true;
}

/* ---- the history */

struct history {
	const struct talk *talk;
	struct talk_fault *fault;
	struct talk_part *parts;
	size_t count, most;
	int64_t now_us, seq;
	const struct said *open[CALLS_MOST]; /* calls without a result */
	size_t open_count;
	struct strbuf line;
};

static void end_part(struct history *h)
{
	if (h->count)
		strbuf_add_str(&h->parts[h->count - 1].body, "]}");
}

static void begin_part(struct history *h)
{
	end_part(h);
	h->parts = xrealloc(h->parts, (h->count + 1) * sizeof *h->parts);
	h->parts[h->count++] = (struct talk_part){STRBUF_INIT};
	strbuf_add_str(&h->parts[h->count - 1].body, "{\"messages\":[");
}

/* The line that was written goes behind the others. */
static bool take_line(struct history *h, size_t at)
{
	struct strbuf *b = h->count ? &h->parts[h->count - 1].body : NULL;
	if (h->line.n + 32 > h->most)
		return wrong(h->fault, at, "it is larger than 2 MB");
	if (!b || b->n + h->line.n + 8 > h->most) {
		begin_part(h);
		b = &h->parts[h->count - 1].body;
	} else {
		strbuf_add_char(b, ',');
	}
	strbuf_add_slice(b, strbuf_slice(&h->line));
	return true;
}

static struct json_out begin_line(struct history *h, const char *role)
{
	char at[CLOCK_TEXT_LEN + 1];
	strbuf_reset(&h->line);
	struct json_out o = json_out(&h->line);
	clock_format(h->now_us, at);
	json_obj(&o);
	json_kv_i64(&o, "seq", ++h->seq);
	json_kv_cstr(&o, "role", role);
	json_kv_i64(&o, "step", 0);
	json_kv_cstr(&o, "createdAt", at);
	json_key(&o, "content");
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	return o;
}

static bool end_line(struct history *h, struct json_out *o, size_t at)
{
	json_arr_end(o);
	json_obj_end(o);
	json_obj_end(o);
	return take_line(h, at);
}

static bool add_user(struct history *h, const struct said *s)
{
	if (!s->n)
		return true;
	struct json_out o = begin_line(h, "user");
	json_put_raw(&o, own(h->talk, s));
	return end_line(h, &o, s->at);
}

static bool add_result(struct history *h, const struct said *call,
		       const struct said *result)
{
	struct json_out o = begin_line(h, "tool");
	json_obj(&o);
	json_kv_cstr(&o, "type", "tool_result");
	json_kv_str(&o, "callId", call->id);
	json_kv_str(&o, "name", call->name);
	json_kv_bool(&o, "isError", !result);
	json_kv_str(&o, "text", result ? result->text : SLICE(NO_RESULT));
	json_obj_end(&o);
	if (result && result->n)
		json_put_raw(&o, own(h->talk, result));
	return end_line(h, &o, call->at);
}

/* Before the next answer each call has its result. */
static bool settle(struct history *h)
{
	for (size_t i = 0; i < h->open_count; i++)
		if (!add_result(h, h->open[i], NULL))
			return false;
	h->open_count = 0;
	return true;
}

static bool open_call(struct history *h, const struct said *s)
{
	if (h->open_count == CALLS_MOST)
		return wrong(h->fault, s->at, "it makes more than %d tool calls",
			     CALLS_MOST);
	for (size_t i = 0; i < h->open_count; i++)
		if (slice_eq(h->open[i]->id, s->id))
			return wrong(h->fault, s->at, "it makes the tool call %.*s twice",
				     (int)(s->id.n < 100 ? s->id.n : 100), s->id.p);
	h->open[h->open_count++] = s;
	return true;
}

static void put_call(const struct talk *t, struct json_out *o, const struct said *s)
{
	json_obj(o);
	json_kv_cstr(o, "type", "tool_call");
	json_kv_str(o, "callId", s->id);
	json_kv_str(o, "name", s->name);
	json_kv_raw(o, "arguments", own(t, s));
	json_kv_bool(o, "clientSide", true);
	json_obj_end(o);
}

/* Words and calls that stand together are one answer. */
static bool add_answer(struct history *h, size_t from, size_t to)
{
	const struct talk *t = h->talk;
	bool any = false;
	if (!settle(h))
		return false;
	for (size_t i = from; i < to; i++)
		any |= t->list[i].kind == SAID_CALL || t->list[i].n;
	if (!any)
		return true;
	struct json_out o = begin_line(h, "assistant");
	for (size_t i = from; i < to; i++) {
		const struct said *s = &t->list[i];
		if (s->kind == SAID_CALL && !open_call(h, s))
			return false;
		if (s->kind == SAID_CALL)
			put_call(t, &o, s);
		else if (s->n)
			json_put_raw(&o, own(t, s));
	}
	return end_line(h, &o, t->list[from].at);
}

/* Takes the open call that the result is of; NULL: there is none (fault). */
static const struct said *call_of(struct history *h, const struct said *result)
{
	for (size_t i = 0; i < h->open_count; i++) {
		const struct said *call = h->open[i];
		if (!slice_eq(call->id, result->id))
			continue;
		h->open_count--;
		for (size_t k = i; k < h->open_count; k++)
			h->open[k] = h->open[k + 1];
		return call;
	}
	wrong(h->fault, result->at,
	      "it is the result of the tool call %.*s, which the assistant's message "
	      "before it does not make, or which has a result",
	      (int)(result->id.n < 60 ? result->id.n : 60), result->id.p);
	return NULL;
}

static bool add_all(struct history *h, size_t to)
{
	const struct talk *t = h->talk;
	for (size_t i = 0; i < to;) {
		const struct said *s = &t->list[i];
		size_t next = i + 1;
		bool fine;
		if (is_answer(s)) {
			while (next < to && is_answer(&t->list[next]))
				next++;
			fine = add_answer(h, i, next);
		} else if (s->kind == SAID_RESULT) {
			const struct said *call = call_of(h, s);
			fine = call && add_result(h, call, s);
		} else {
			fine = add_user(h, s);
		}
		if (!fine)
			return false;
		i = next;
	}
	for (size_t i = to; i < t->count; i++)
		if (t->list[i].kind == SAID_RESULT && !call_of(h, &t->list[i]))
			return false;
	return true;
}

bool talk_history(const struct talk *t, int64_t now_us, size_t most,
		  struct talk_part **parts, size_t *count, struct talk_fault *fault)
{
	struct history h = {.talk = t, .fault = fault, .most = most, .now_us = now_us};
	bool fine = add_all(&h, talk_new_from(t));
	end_part(&h);
	strbuf_fini(&h.line);
	if (!fine) {
		talk_free_parts(h.parts, h.count);
		h.parts = NULL;
		h.count = 0;
	}
	*parts = h.parts;
	*count = h.count;
	return fine;
}

void talk_free_parts(struct talk_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		strbuf_fini(&parts[i].body);
	free(parts);
}
