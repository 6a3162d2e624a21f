/* SPDX-License-Identifier: Apache-2.0
 * Tools about sessions: their list, and what was said in one. */
#include <stdio.h>
#include <string.h>

#include "edge/mcp/mcp_call.h"
#include "edge/reply.h"
#include "edge/run_json.h"

#define LIST_DEFAULT 100
#define HISTORY_DEFAULT 50
#define TEXT_MOST 4000u
#define HISTORY_MOST (80u << 10)

enum stage { SESSIONS_START, SESSIONS_AGENT, SESSIONS_READ, SESSIONS_MESSAGES };

/* ---- the list */

static bool read_filter(struct call *c, struct mcp_call *m)
{
	struct slice status = mcp_arg(m, "status"), id = mcp_arg(m, "before"), time;
	long long us;
	m->filter = (struct session_filter){
		.status = slice_is(status, "any") ? SLICE_NONE
			  : status.p              ? status
						  : SLICE("active"),
		.before = {.us = INT64_MAX},
		.limit = (unsigned)mcp_arg_number(m, "limit", LIST_DEFAULT)};
	if (!id.p)
		return true;
	time = slice_cut(&id, '.');
	if (!slice_to_i64(time, &us) || us < 0 || !uuid_parse(id, &m->filter.before.id))
		return reply_wrong(c->request, "before",
				   "before must be the next of a page of this list");
	m->filter.before.us = us;
	return true;
}

static void answer_list(struct call *c, const struct session_page *page)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char next[24 + UUID_TEXT_LEN];
	json_obj(&o);
	json_key(&o, "sessions");
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++)
		json_put_raw(&o, page->rows[i]);
	json_arr_end(&o);
	if (page->more) {
		snprintf(next, sizeof next, "%lld.", (long long)page->next.us);
		uuid_format(page->next.id, next + strlen(next));
		json_kv_cstr(&o, "next", next);
	}
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

/* Of all agents when none is named. */
void mcp_sessions_list(struct call *c, struct mcp_call *m)
{
	if (m->stage == SESSIONS_READ) {
		if (mcp_have_answer(c))
			answer_list(c, &m->sessions);
		return;
	}
	if (m->stage == SESSIONS_START && !read_filter(c, m))
		return;
	m->stage = SESSIONS_AGENT;
	if (mcp_arg(m, "agent").p) {
		if (!mcp_find_agent(c, m))
			return;
		m->filter.agent = m->agent.id;
	}
	m->stage = SESSIONS_READ;
	store_list_sessions(c, &m->filter, &m->sessions);
}

/* ---- history */

/* At most TEXT_MOST bytes of a text, cut between two characters. */
static void put_text(struct json_out *o, const char *key, struct slice text)
{
	size_t n = text.n;
	if (n > TEXT_MOST) {
		n = TEXT_MOST;
		while (n > 0 && ((unsigned char)text.p[n] & 0xC0) == 0x80)
			n--;
	}
	json_kv_str(o, key, slice_of(text.p, n));
	if (n < text.n)
		json_kv_i64(o, "bytes", (int64_t)text.n);
}

static bool put_block(struct json_out *o, json_t block, bool tools)
{
	struct slice type = json_str(json_get(block, "type"));
	bool is_text = slice_is(type, "text"),
	     is_tool = slice_is(type, "tool_call") || slice_is(type, "tool_result");
	if (!is_text && !(is_tool && tools))
		return false;
	json_obj(o);
	json_kv_str(o, "type", type);
	if (is_tool)
		json_kv_str(o, "callId", json_str(json_get(block, "callId")));
	if (is_tool)
		json_kv_str(o, "name", json_str(json_get(block, "name")));
	if (json_str(json_get(block, "text")).p)
		put_text(o, "text", json_str(json_get(block, "text")));
	if (json_get(block, "arguments")) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		json_print(&b, json_get(block, "arguments"));
		put_text(o, "arguments", strbuf_slice(&b));
	}
	json_obj_end(o);
	return true;
}

/* Nothing when the message has nothing to show. */
static void put_message(struct strbuf *out, struct slice line, bool tools)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	AUTO(auto_json_free) struct json_doc *doc = json_parse(line, line.n, NULL, 0);
	json_t message = json_root(doc), block;
	struct json_out o = json_out(&b);
	struct json_iter it = json_iter(json_get(json_get(message, "content"), "blocks"));
	size_t shown = 0;
	int64_t seq = 0;
	json_i64(json_get(message, "seq"), &seq);
	json_obj(&o);
	json_kv_i64(&o, "seq", seq);
	json_kv_str(&o, "role", json_str(json_get(message, "role")));
	json_kv_str(&o, "createdAt", json_str(json_get(message, "createdAt")));
	json_key(&o, "content");
	json_arr(&o);
	while ((block = json_next(&it, NULL)))
		shown += put_block(&o, block, tools);
	json_arr_end(&o);
	json_obj_end(&o);
	if (shown)
		strbuf_add_slice(out, strbuf_slice(&b));
}

static int64_t seq_of(struct slice line)
{
	AUTO(auto_json_free) struct json_doc *doc = json_parse(line, line.n, NULL, 0);
	int64_t seq = 0;
	json_i64(json_get(json_root(doc), "seq"), &seq);
	return seq;
}

static void answer_history(struct call *c, const struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT, one = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct message_page *page = &m->messages;
	bool tools = json_bool(json_get(m->args, "includeTools"), false);
	int64_t next = page->count && page->last > 1 ? page->last : 0;
	json_obj(&o);
	run_put_id(&o, "sessionId", m->session.id);
	json_key(&o, "messages");
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++) {
		strbuf_reset(&one);
		put_message(&one, page->lines[i], tools);
		if (i > 0 && b.n + one.n > HISTORY_MOST) {
			next = seq_of(page->lines[i - 1]);
			break;
		}
		if (one.n)
			json_put_raw(&o, strbuf_slice(&one));
	}
	json_arr_end(&o);
	if (next)
		json_kv_i64(&o, "next", next);
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

static void absent(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such session", 0);
}

static void find_session(struct call *c, struct mcp_call *m)
{
	struct slice id = mcp_arg(m, "sessionId"), key = mcp_arg(m, "sessionKey");
	struct uuid session = {0};
	if (!id.p == !key.p) {
		reply_wrong(c->request, "sessionId",
			    "either sessionId or sessionKey says which session");
		return;
	}
	if (key.p && !mcp_find_agent(c, m))
		return;
	if (id.p && !uuid_parse(id, &session)) {
		absent(c);
		return;
	}
	m->stage = SESSIONS_READ;
	store_read_session(c, session, m->agent.id, key, &m->session);
}

static void read_messages(struct call *c, struct mcp_call *m)
{
	if (!mcp_have_answer(c))
		return;
	if (!m->session.found) {
		absent(c);
		return;
	}
	m->stage = SESSIONS_MESSAGES;
	store_read_messages(c, m->session.id, mcp_arg_number(m, "before", INT64_MAX),
			    false, (unsigned)mcp_arg_number(m, "limit", HISTORY_DEFAULT),
			    &m->messages);
}

void mcp_sessions_history(struct call *c, struct mcp_call *m)
{
	if (m->stage == SESSIONS_START)
		find_session(c, m);
	else if (m->stage == SESSIONS_READ)
		read_messages(c, m);
	else if (mcp_have_answer(c))
		answer_history(c, m);
}
