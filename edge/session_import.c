/* SPDX-License-Identifier: Apache-2.0
 * Line by line: its members, then what it says of calls and results. */
#include "edge/session_import.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/ident.h"
#include "common/json.h"

#define LINE_MOST ((size_t)2 << 20)
#define CALLS_MOST 256
#define CALL_ID_MOST 200

/* A call that has no result yet. */
struct open_call {
	size_t line;
	bool client; /* it may stay open */
	char id[CALL_ID_MOST + 1];
};

struct import {
	struct import_fault *fault;
	size_t line;
	int64_t seq; /* of the line before, 0: there is none */
	struct open_call open[CALLS_MOST];
	size_t count;
	/* The client's calls so far, each between two NULs: behind a mark they may be
	 * answered anew. */
	struct strbuf of_client;
	bool marked;
};

PRINTF_LIKE(3, 4)
static bool wrong(struct import *x, size_t line, const char *fmt, ...)
{
	va_list ap;
	x->fault->line = line;
	va_start(ap, fmt);
	vsnprintf(x->fault->message, sizeof x->fault->message, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- the members */

static bool is_role(struct slice s)
{
	static const char *const roles[] = {"system", "user",    "assistant",
					    "tool",   "summary", "reset"};
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (slice_is(s, roles[i]))
			return true;
	return false;
}

/* 2026-11-30T13:55:19.548471Z; Postgres judges the numbers. */
static bool is_time(struct slice s)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	if (s.n != sizeof form - 1)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (form[i] == '0' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != form[i])
			return false;
	return true;
}

static bool is_between(json_t v, int64_t least, int64_t most)
{
	int64_t n;
	return json_i64(v, &n) && n >= least && n <= most;
}

static bool check_seq(struct import *x, json_t v)
{
	int64_t seq;
	if (!json_i64(v, &seq) || seq < 1)
		return wrong(x, x->line, "seq must be a positive integer");
	if (x->seq && seq != x->seq + 1)
		return wrong(x, x->line, "seq is %lld, but the line before has %lld",
			     (long long)seq, (long long)x->seq);
	x->seq = seq;
	return true;
}

static bool check_member(struct import *x, struct slice key, json_t v)
{
	struct uuid run;
	if (slice_is(key, "seq"))
		return check_seq(x, v);
	if (slice_is(key, "role"))
		return is_role(json_str(v)) ||
		       wrong(x, x->line,
			     "role must be system, user, assistant, tool, summary or "
			     "reset");
	if (slice_is(key, "step"))
		return is_between(v, 0, INT16_MAX) ||
		       wrong(x, x->line, "step must be an integer from 0 to 32767");
	if (slice_is(key, "runId"))
		return uuid_parse(json_str(v), &run) ||
		       wrong(x, x->line, "runId must be a run's id");
	if (slice_is(key, "createdAt"))
		return is_time(json_str(v)) ||
		       wrong(x, x->line,
			     "createdAt must be like 2026-11-30T13:55:19.548471Z");
	if (slice_is(key, "content"))
		return json_kind(json_get(v, "blocks")) == JSON_ARRAY ||
		       wrong(x, x->line, "content must be an object with blocks");
	if (slice_is(key, "tokens"))
		return is_between(v, 0, INT32_MAX) ||
		       wrong(x, x->line, "tokens must be an integer from 0");
	return wrong(x, x->line, "there is no member \"%.*s\" in a message",
		     key.n < 63 ? (int)key.n : 63, key.p);
}

static bool check_members(struct import *x, json_t message)
{
	static const char *const needed[] = {"seq", "role", "step", "createdAt",
					     "content"};
	struct json_iter it = json_iter(message);
	struct slice key;
	if (json_kind(message) != JSON_OBJECT)
		return wrong(x, x->line, "a line must be a JSON object");
	for (json_t v; (v = json_next(&it, &key));)
		if (!check_member(x, key, v))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!json_get(message, needed[i]))
			return wrong(x, x->line, "%s is missing", needed[i]);
	return true;
}

/* ---- calls and results */

static struct open_call *find_open(struct import *x, struct slice id)
{
	for (size_t i = 0; i < x->count; i++)
		if (slice_is(id, x->open[i].id))
			return &x->open[i];
	return NULL;
}

static bool was_of_client(struct import *x, struct slice id)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_char(&b, 0);
	strbuf_add_slice(&b, id);
	strbuf_add_char(&b, 0);
	return x->marked &&
	       slice_find(strbuf_slice(&x->of_client), strbuf_slice(&b)) >= 0;
}

static bool take_call(struct import *x, struct slice role, struct slice id, bool client)
{
	if (!slice_is(role, "assistant"))
		return wrong(x, x->line, "only an assistant's message makes tool calls");
	if (!id.p || !id.n || id.n > CALL_ID_MOST || memchr(id.p, 0, id.n))
		return wrong(x, x->line, "a tool call's callId must have 1 to %d bytes",
			     CALL_ID_MOST);
	if (find_open(x, id))
		return wrong(x, x->line, "it makes the tool call %.*s twice",
			     SLICE_ARG(id));
	if (x->count == CALLS_MOST)
		return wrong(x, x->line, "it makes more than %d tool calls", CALLS_MOST);
	struct open_call *c = &x->open[x->count++];
	c->line = x->line;
	c->client = client;
	if (client) {
		strbuf_add_char(&x->of_client, 0);
		strbuf_add_slice(&x->of_client, id);
		strbuf_add_char(&x->of_client, 0);
	}
	snprintf(c->id, sizeof c->id, "%.*s", SLICE_ARG(id));
	return true;
}

static bool take_result(struct import *x, struct slice role, struct slice id)
{
	struct open_call *c = find_open(x, id.p ? id : SLICE(""));
	if (!slice_is(role, "tool"))
		return wrong(x, x->line, "only a tool's message holds results");
	if (!c && was_of_client(x, id))
		return true;
	if (!c)
		return wrong(x, x->line,
			     "its result is of the tool call %.*s, which no line before "
			     "makes, or which has a result",
			     id.n < 100 ? (int)id.n : 100, id.p ? id.p : "");
	*c = x->open[--x->count];
	return true;
}

static bool all_answered(struct import *x, const char *before)
{
	for (size_t i = 0; i < x->count; i++)
		if (!x->open[i].client)
			return wrong(x, x->open[i].line,
				     "its tool call %.100s has no result before %s",
				     x->open[i].id, before);
	return true;
}

static bool check_pairs(struct import *x, json_t message)
{
	struct slice role = json_str(json_get(message, "role"));
	struct json_iter it = json_iter(json_get(json_get(message, "content"), "blocks"));
	if (slice_is(role, "assistant")) {
		if (!all_answered(x, "the next answer"))
			return false;
		x->count = 0;
		x->marked = false;
	}
	x->marked |= slice_is(role, "reset");
	for (json_t b; (b = json_next(&it, NULL));) {
		struct slice type = json_str(json_get(b, "type"));
		struct slice id = json_str(json_get(b, "callId"));
		if (!type.p)
			return wrong(x, x->line, "each block must have a type");
		if (slice_is(type, "tool_call") &&
		    !take_call(x, role, id, json_bool(json_get(b, "clientSide"), false)))
			return false;
		if (slice_is(type, "tool_result") && !take_result(x, role, id))
			return false;
	}
	return true;
}

/* ---- */

static bool read_line(struct import *x, struct slice line, struct strbuf *out)
{
	char why[160];
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(line, LINE_MOST, why, sizeof why);
	if (!d)
		return wrong(x, x->line, "it is no valid JSON: %s", why);
	if (!check_members(x, json_root(d)) || !check_pairs(x, json_root(d)))
		return false;
	strbuf_add_char(out, out->p[out->n - 1] == '[' ? ' ' : ',');
	strbuf_add_slice(out, line);
	return true;
}

static bool read_lines(struct import *x, struct slice text, struct strbuf *out)
{
	strbuf_add_char(out, '[');
	while (text.p) {
		struct slice line = slice_trim(slice_cut(&text, '\n'));
		x->line++;
		if (line.n && !read_line(x, line, out))
			return false;
	}
	strbuf_add_char(out, ']');
	if (!x->seq)
		return wrong(x, 1, "there is no message");
	return all_answered(x, "the end: a part ends behind the results");
}

bool import_read(struct slice text, struct strbuf *out, struct import_fault *fault)
{
	struct import x = {.fault = fault};
	bool fine = read_lines(&x, text, out);
	strbuf_fini(&x.of_client);
	return fine;
}
