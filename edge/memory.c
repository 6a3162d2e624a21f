/* SPDX-License-Identifier: Apache-2.0
 * An agent's memory: GET /v1/agents/{agent}/memory, its documents by their paths; GET,
 * PUT and DELETE .../memory/content?path=, the text of one; .../memory/history?path=, its
 * versions; .../memory/search?q=. A text goes in and out as it is. */
#include <stdio.h>
#include <string.h>

#include "edge/ask.h"
#include "edge/lookup.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "proto/tools/memory_path.h"

#define LIMIT_DEFAULT 50
#define FOUND_DEFAULT 6
#define FOUND_MOST 50
#define QUERY_MOST 1000
#define NO_DOCUMENT "the agent's memory has no such document"

enum stage { MEMORY_START, MEMORY_LOOK, MEMORY_SENT };
enum { LIST = 1, GET = 2, PUT = 4, REMOVE = 8, HISTORY = 16, SEARCH = 32 };

struct memory {
	unsigned what; /* one of them */
	struct agent_row agent;
	struct slice path, prefix, after, words, tags;
	int64_t limit, before, version; /* version -1: the present one */
	struct ask_answer answer;
};

/* ---- the query */

static bool take_path(struct call *c, struct slice v)
{
	const char *clause = memory_path_problem(v);
	((struct memory *)c->state)->path = v;
	return !clause || reply_wrong(c->request, "path",
				      arena_printf(c->request->arena, "path %s", clause));
}

static bool is_text(struct slice v, size_t most)
{
	return v.n <= most && slice_is_utf8(v) && !slice_has_control(v);
}

static bool take_prefix(struct call *c, struct slice v)
{
	((struct memory *)c->state)->prefix = v;
	return is_text(v, MEMORY_PATH_MOST) ||
	       reply_wrong(c->request, "prefix",
			   "prefix must be the beginning of a path, 200 bytes at most");
}

static bool take_after(struct call *c, struct slice v)
{
	((struct memory *)c->state)->after = v;
	return is_text(v, MEMORY_PATH_MOST) ||
	       reply_wrong(c->request, "after", "after must be a page's next");
}

static bool take_words(struct call *c, struct slice v)
{
	((struct memory *)c->state)->words = v;
	return (slice_trim(v).n && is_text(v, QUERY_MOST)) ||
	       reply_wrong(c->request, "q", "q must be 1 to 1000 bytes of words");
}

static bool take_limit(struct call *c, struct slice v)
{
	struct memory *m = c->state;
	return query_number(c, "limit", v, 1, m->what == SEARCH ? FOUND_MOST : PAGE_MAX,
			    &m->limit);
}

static bool take_before(struct call *c, struct slice v)
{
	return query_number(c, "before", v, 1, INT32_MAX,
			    &((struct memory *)c->state)->before);
}

static bool take_version(struct call *c, struct slice v)
{
	return query_number(c, "version", v, 1, INT32_MAX,
			    &((struct memory *)c->state)->version);
}

static bool take_tags(struct call *c, struct slice v)
{
	struct slice rest = v;
	size_t n = 0;
	bool fine = slice_is_utf8(v);
	((struct memory *)c->state)->tags = v;
	for (; fine && v.n && rest.p; n++) {
		struct slice tag = slice_cut(&rest, ',');
		fine = tag.n && is_text(tag, MEMORY_TAG_BYTES);
	}
	return (fine && n <= MEMORY_TAGS_MOST) ||
	       reply_wrong(c->request, "tags",
			   "tags must be at most 20 words of 1 to 63 bytes, with commas "
			   "between them; empty: none");
}

static const struct {
	struct query_param param;
	unsigned of;
} params[] = {{{"path", take_path}, GET | PUT | REMOVE | HISTORY},
	      {{"prefix", take_prefix}, LIST},
	      {{"after", take_after}, LIST},
	      {{"limit", take_limit}, LIST | HISTORY | SEARCH},
	      {{"before", take_before}, HISTORY},
	      {{"version", take_version}, GET},
	      {{"tags", take_tags}, PUT},
	      {{"q", take_words}, SEARCH}};

static bool read_query(struct call *c, struct memory *m)
{
	struct query_param known[ARRAY_LEN(params)];
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		if (params[i].of & m->what)
			known[n++] = params[i].param;
	m->limit = m->what == SEARCH ? FOUND_DEFAULT : LIMIT_DEFAULT;
	m->prefix = m->after = SLICE("");
	m->before = INT32_MAX;
	m->version = -1;
	if (!query_read(c, known, n))
		return false;
	if (m->what & (GET | PUT | REMOVE | HISTORY) && !m->path.p)
		return reply_wrong(c->request, "path",
				   "path is needed: the document's, like MEMORY.md");
	return m->what != SEARCH || m->words.p ||
	       reply_wrong(c->request, "q", "q is needed: the words to look for");
}

/* ---- the body */

static struct slice body_of(const struct call *c)
{
	struct slice s = strbuf_slice(&c->request->body);
	return s.p ? s : SLICE("");
}

static bool check_body(struct call *c, const struct memory *m)
{
	struct slice s = body_of(c);
	if (m->what != PUT)
		return true;
	if (s.n > MEMORY_BYTES_MOST)
		return reply_wrong(c->request, "body",
				   "a document has at most 1,048,576 bytes");
	return (slice_is_utf8(s) && !(s.n && memchr(s.p, 0, s.n))) ||
	       reply_wrong(c->request, "body",
			   "the body must be the document's text: valid UTF-8 without "
			   "U+0000");
}

/* ---- asking */

static void send_change(struct call *c, struct memory *m)
{
	struct ask_value put[] = {ask_id(m->agent.id), ask_text(m->path),
				  ask_text(body_of(c)), ask_text(m->tags),
				  ask_id(uuid7_new())};
	if (m->what == PUT)
		ask_change(c, SQL_MEMORY_PUT, put, ARRAY_LEN(put), &m->answer);
	else
		ask_change(c, SQL_MEMORY_REMOVE, put, 2, &m->answer);
}

static void send(struct call *c, struct memory *m)
{
	struct uuid id = m->agent.id;
	struct ask_value list[] = {ask_id(id), ask_text(m->prefix), ask_text(m->after),
				   ask_number(m->limit), ask_number(PAGE_WINDOW)};
	struct ask_value get[] = {ask_id(id), ask_text(m->path),
				  ask_number_or_none(m->version)};
	struct ask_value history[] = {ask_id(id), ask_text(m->path),
				      ask_number(m->before), ask_number(m->limit)};
	struct ask_value search[] = {ask_id(id), ask_text(m->words),
				     ask_number(m->limit)};
	c->stage = MEMORY_SENT;
	if (m->what == LIST)
		ask_read(c, SQL_MEMORY_LIST, list, ARRAY_LEN(list), &m->answer);
	else if (m->what == GET)
		ask_read(c, SQL_MEMORY_GET, get, ARRAY_LEN(get), &m->answer);
	else if (m->what == HISTORY)
		ask_read(c, SQL_MEMORY_HISTORY, history, ARRAY_LEN(history), &m->answer);
	else if (m->what == SEARCH)
		ask_read(c, SQL_MEMORY_SEARCH, search, ARRAY_LEN(search), &m->answer);
	else
		send_change(c, m);
}

/* ---- the answer */

static void reply_text(struct call *c, const struct ask_answer *a)
{
	char tag[32];
	snprintf(tag, sizeof tag, "\"%lld\"", (long long)a->version);
	reply_head(c->request, 200);
	reply_field(c->request, "etag", slice_str(tag));
	reply_field(c->request, "x-content-type-options", SLICE("nosniff"));
	reply_body(c->request, "text/markdown; charset=utf-8", a->text);
}

static void reply_change(struct call *c, struct memory *m)
{
	if (!c->asked && m->answer.change.outcome == CHANGE_ABSENT) {
		reply_err(c->request, ERR_NOT_FOUND, m->what == PUT ? NULL : "path",
			  m->what == PUT ? "there is no such agent" : NO_DOCUMENT, 0);
		return;
	}
	if (!change_is_done(c, &m->answer.change, "the document"))
		return;
	if (m->what == REMOVE)
		m->answer.text = SLICE("{\"deleted\":true}");
	ask_reply_version(c, 200, &m->answer, m->answer.version);
}

static void reply(struct call *c, struct memory *m)
{
	if (m->what & (PUT | REMOVE)) {
		reply_change(c, m);
		return;
	}
	if (!c->asked && !m->answer.found) {
		reply_err(c->request, ERR_NOT_FOUND, m->version > 0 ? "version" : "path",
			  m->version > 0 ? "the document has no such version, or there "
					   "is no such document"
					 : NO_DOCUMENT,
			  0);
		return;
	}
	if (!ask_found(c, &m->answer, NO_DOCUMENT))
		return;
	if (slice_is(m->answer.word, "empty"))
		reply_wrong(c->request, "q", "q holds no word to look for");
	else if (m->what == GET)
		reply_text(c, &m->answer);
	else
		ask_reply(c, &m->answer);
}

static void run(struct call *c, unsigned what)
{
	struct memory *m = c->state;
	if (c->asking)
		return;
	if (c->stage == MEMORY_START) {
		c->state = m = arena_zalloc(c->request->arena, sizeof *m);
		m->what = what;
		if (!read_query(c, m) || !check_body(c, m) ||
		    (what & (PUT | REMOVE) && !change_read(c, &m->answer.change)))
			return;
		c->stage = MEMORY_LOOK;
	}
	if (c->stage == MEMORY_SENT)
		reply(c, m);
	else if (lookup_agent_of_path(c, &m->agent))
		send(c, m);
}

void memory_list(struct call *c)
{
	run(c, LIST);
}

void memory_get(struct call *c)
{
	run(c, GET);
}

void memory_put(struct call *c)
{
	run(c, PUT);
}

void memory_remove(struct call *c)
{
	run(c, REMOVE);
}

void memory_history(struct call *c)
{
	run(c, HISTORY);
}

void memory_search(struct call *c)
{
	run(c, SEARCH);
}
