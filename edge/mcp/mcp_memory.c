/* SPDX-License-Identifier: Apache-2.0
 * Tools about an agent's memory, by the statements of the native API. */
#include <string.h>

#include "edge/ask.h"
#include "edge/mcp/mcp_call.h"
#include "edge/reply.h"
#include "proto/tools/memory_path.h"

#define FOUND_DEFAULT 6
#define LINES_MOST 120
#define TEXT_MOST 12000u
/* Of an append, when another writer came between. */
#define TRIES_MOST 8

enum stage { MEMORY_START, MEMORY_AGENT, MEMORY_READ, MEMORY_WRITTEN };

struct mcp_memory {
	struct ask_answer answer;
	struct slice path;
	unsigned tries;
};

static struct mcp_memory *memory_of(struct call *c, struct mcp_call *m)
{
	if (!m->memory)
		m->memory = arena_zalloc(c->request->arena, sizeof *m->memory);
	return m->memory;
}

static bool read_path(struct call *c, struct mcp_call *m)
{
	struct mcp_memory *x = memory_of(c, m);
	const char *clause;
	x->path = mcp_arg(m, "path");
	if (!x->path.p)
		x->path = SLICE("MEMORY.md");
	clause = memory_path_problem(x->path);
	return !clause || reply_wrong(c->request, "path",
				      arena_printf(c->request->arena, "path %s", clause));
}

static bool has_row(struct call *c, struct mcp_call *m)
{
	if (!mcp_have_answer(c))
		return false;
	if (m->memory->answer.found)
		return true;
	reply_err(c->request, ERR_NOT_FOUND, "path",
		  "the agent's memory has no such document", 0);
	return false;
}

/* ---- search */

void mcp_memory_search(struct call *c, struct mcp_call *m)
{
	struct mcp_memory *x = memory_of(c, m);
	if (m->stage == MEMORY_READ) {
		if (!has_row(c, m))
			return;
		if (slice_is(x->answer.word, "empty"))
			reply_wrong(c->request, "query",
				    "query holds no word to look for");
		else
			mcp_result(c, x->answer.text);
		return;
	}
	if (!mcp_find_agent(c, m))
		return;
	struct ask_value v[] = {ask_id(m->agent.id), ask_text(mcp_arg(m, "query")),
				ask_number(mcp_arg_number(m, "limit", FOUND_DEFAULT))};
	m->stage = MEMORY_READ;
	ask_read(c, SQL_MEMORY_SEARCH, v, ARRAY_LEN(v), &x->answer);
}

/* ---- a document */

static void ask_text_of(struct call *c, struct mcp_call *m)
{
	struct ask_value v[] = {ask_id(m->agent.id), ask_text(m->memory->path),
				ask_number_or_none(-1)};
	m->stage = MEMORY_READ;
	ask_read(c, SQL_MEMORY_GET, v, ARRAY_LEN(v), &m->memory->answer);
}

/* Lines from..., at most so many and TEXT_MOST bytes; *next is the one behind, 0: none.
 */
static struct slice lines_of(struct slice text, int64_t from, int64_t most, int64_t *next)
{
	struct slice rest = text;
	const char *begin;
	for (int64_t i = 1; i < from && rest.p; i++)
		slice_cut(&rest, '\n');
	begin = rest.p;
	*next = 0;
	if (!rest.n)
		return SLICE("");
	for (int64_t i = 0; rest.p && rest.n; i++) {
		struct slice after = rest, line = slice_cut(&after, '\n');
		size_t with = (size_t)(line.p + line.n - begin);
		if (i > 0 && (i == most || with > TEXT_MOST)) {
			*next = from + i;
			return slice_of(begin, (size_t)(rest.p - begin));
		}
		rest = after;
	}
	return slice_of(begin, (size_t)(text.p + text.n - begin));
}

static void answer_text(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct mcp_memory *x = m->memory;
	int64_t next, from = mcp_arg_number(m, "from", 1);
	if (!has_row(c, m))
		return;
	struct slice text = lines_of(x->answer.text, from,
				     mcp_arg_number(m, "lines", LINES_MOST), &next);
	json_obj(&o);
	json_kv_str(&o, "path", x->path);
	json_kv_i64(&o, "version", x->answer.version);
	json_kv_i64(&o, "from", from);
	json_kv_str(&o, "text", text);
	if (next)
		json_kv_i64(&o, "next", next);
	json_obj_end(&o);
	mcp_result(c, strbuf_slice(&b));
}

void mcp_memory_get(struct call *c, struct mcp_call *m)
{
	if (m->stage == MEMORY_READ)
		answer_text(c, m);
	else if (read_path(c, m) && mcp_find_agent(c, m))
		ask_text_of(c, m);
}

/* ---- writing */

/* As the tag list of the native API; SLICE_NONE: they stay. */
static struct slice tags_of(struct call *c, const struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_iter it = json_iter(json_get(m->args, "tags"));
	if (!it.container)
		return SLICE_NONE;
	for (json_t tag; (tag = json_next(&it, NULL));) {
		if (b.n)
			strbuf_add_char(&b, ',');
		strbuf_add_slice(&b, json_str(tag));
	}
	return b.n ? arena_slice(c->request->arena, strbuf_slice(&b)) : SLICE("");
}

static void put(struct call *c, struct mcp_call *m, struct slice body, int64_t expect)
{
	struct mcp_memory *x = m->memory;
	if (body.n > MEMORY_BYTES_MOST) {
		reply_wrong(c->request, "text",
			    "a document has at most 1,048,576 bytes, with what is there");
		return;
	}
	struct ask_value v[] = {ask_id(m->agent.id), ask_text(x->path), ask_text(body),
				ask_text(tags_of(c, m)), ask_id(uuid7_new())};
	x->answer = (struct ask_answer){.change = {.expect = expect}};
	m->stage = MEMORY_WRITTEN;
	ask_change(c, SQL_MEMORY_PUT, v, ARRAY_LEN(v), &x->answer);
}

static void append(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	const struct ask_answer *a = &m->memory->answer;
	struct slice old = a->found ? a->text : SLICE_NONE;
	if (!mcp_have_answer(c))
		return;
	while (old.n && old.p[old.n - 1] == '\n')
		old.n--;
	strbuf_add_slice(&b, old);
	if (old.n)
		strbuf_add_char(&b, '\n');
	strbuf_add_slice(&b, mcp_arg(m, "text"));
	put(c, m, arena_slice(c->request->arena, strbuf_slice(&b)),
	    a->found ? a->version : 0);
}

static void written(struct call *c, struct mcp_call *m)
{
	struct mcp_memory *x = m->memory;
	if (!mcp_have_answer(c))
		return;
	bool appends = !slice_is(mcp_arg(m, "mode"), "replace");
	if (x->answer.change.outcome == CHANGE_STALE && appends &&
	    ++x->tries < TRIES_MOST)
		ask_text_of(c, m);
	else if (x->answer.change.outcome == CHANGE_DONE)
		mcp_result(c, x->answer.text);
	else
		reply_err(c->request, ERR_CONFLICT, NULL,
			  "others write this document at the moment: try again", 0);
}

static void store(struct call *c, struct mcp_call *m)
{
	if (!mcp_find_agent(c, m))
		return;
	if (slice_is(mcp_arg(m, "mode"), "replace"))
		put(c, m, mcp_arg(m, "text"), -1);
	else
		ask_text_of(c, m);
}

void mcp_memory_store(struct call *c, struct mcp_call *m)
{
	if (m->stage == MEMORY_START) {
		if (!read_path(c, m))
			return;
		m->stage = MEMORY_AGENT;
	}
	if (m->stage == MEMORY_AGENT)
		store(c, m);
	else if (m->stage == MEMORY_READ)
		append(c, m);
	else
		written(c, m);
}
