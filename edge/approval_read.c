/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/approvals, the newest first, a page at a time; and one of them. */
#include <string.h>

#include "common/json.h"
#include "edge/call.h"
#include "edge/lookup.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/store.h"

#define LIMIT_DEFAULT 50

enum stage { READ_START, READ_AGENT, READ_ASKED };

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

/* ---- the query */

struct listing {
	struct approval_filter filter;
	struct slice agent; /* a name that is to be looked up */
	struct approval_page page;
};

static bool wrong(struct call *c, const char *param, const char *message)
{
	reply_err(c->request, ERR_BAD_REQUEST, param, message, 0);
	return false;
}

static bool take_session(struct call *c, struct listing *l, struct slice v)
{
	return uuid_parse(v, &l->filter.session) ||
	       wrong(c, "session", "session must be a session's id");
}

static bool take_run(struct call *c, struct listing *l, struct slice v)
{
	return uuid_parse(v, &l->filter.run) || wrong(c, "run", "run must be a run's id");
}

static bool take_agent(struct call *c, struct listing *l, struct slice v)
{
	if (v.n == 0 || v.n > LIMIT_NAME)
		return wrong(c, "agent", "agent must be an agent's name or id");
	if (!uuid_parse(v, &l->filter.agent))
		l->agent = v;
	return true;
}

static bool take_state(struct call *c, struct listing *l, struct slice v)
{
	static const char *const words[] = {"pending", "once", "session", "denied",
					    "expired"};
	l->filter.state = v;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(v, words[i]))
			return true;
	return wrong(c, "state",
		     "state must be pending, once, session, denied or expired");
}

static bool take_limit(struct call *c, struct listing *l, struct slice v)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > APPROVAL_PAGE_MAX)
		return wrong(c, "limit", "limit must be an integer from 1 to 200");
	l->filter.limit = (unsigned)n;
	return true;
}

static bool take_before(struct call *c, struct listing *l, struct slice v)
{
	return uuid_parse(v, &l->filter.before) ||
	       wrong(c, "before",
		     "before must be an approval's id, such as a page's next");
}

static const struct {
	const char *name;
	bool (*take)(struct call *c, struct listing *l, struct slice v);
} params[] = {{"session", take_session}, {"agent", take_agent}, {"run", take_run},
	      {"state", take_state},     {"limit", take_limit}, {"before", take_before}};

static bool refuse(struct call *c, struct slice name, const char *why)
{
	struct arena *a = c->request->arena;
	const char *text = arena_strndup(a, name.p, name.n < 63 ? name.n : 63);
	return wrong(c, text, arena_printf(a, "%s%s", text, why));
}

/* One name=value. A misspelt filter must not list everything. */
static bool take_pair(struct call *c, struct listing *l, struct slice pair,
		      unsigned *seen)
{
	struct slice name = slice_cut(&pair, '=');
	char *text = arena_alloc(c->request->arena, pair.n + 1);
	size_t n;
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		if (!slice_is(name, params[i].name))
			continue;
		if (*seen & 1u << i)
			return refuse(c, name, " stands in the query twice");
		*seen |= 1u << i;
		if (!http_unescape(pair, text, &n))
			return refuse(c, name, " is badly percent-encoded");
		return params[i].take(c, l, slice_of(text, n));
	}
	return refuse(c, name, " is no parameter of this path");
}

static bool read_query(struct call *c, struct listing *l)
{
	struct slice rest = c->request->head.query;
	unsigned seen = 0;
	l->filter.limit = LIMIT_DEFAULT;
	memset(&l->filter.before, 0xff, sizeof l->filter.before);
	while (rest.p) {
		struct slice pair = slice_cut(&rest, '&');
		if (pair.n > 0 && !take_pair(c, l, pair, &seen))
			return false;
	}
	return true;
}

/* ---- the page */

static void ask(struct call *c, struct listing *l)
{
	c->stage = READ_ASKED;
	store_list_approvals(c, &l->filter, &l->page);
}

static void find_agent(struct call *c, struct listing *l)
{
	struct agent_row row;
	switch (lookup_agent(c, l->agent, &row)) {
	case CACHE_FOUND:
		l->filter.agent = row.id;
		ask(c, l);
		return;
	case CACHE_ABSENT:
		reply_err(c->request, ERR_NOT_FOUND, "agent", "there is no such agent",
			  0);
		return;
	case CACHE_FAILED:
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return;
	case CACHE_WAIT:
		return;
	}
}

static void begin(struct call *c)
{
	struct listing *l = arena_zalloc(c->request->arena, sizeof *l);
	c->state = l;
	if (!read_query(c, l))
		return;
	c->stage = READ_AGENT;
	if (l->agent.p)
		find_agent(c, l);
	else
		ask(c, l);
}

static void reply_page(struct call *c, const struct approval_page *page)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_key(&o, "approvals");
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++)
		json_put_raw(&o, page->rows[i]);
	json_arr_end(&o);
	run_put_id(&o, "next", page->next);
	json_obj_end(&o);
	reply_json(c, &b);
}

void approval_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == READ_START)
		begin(c);
	else if (c->stage == READ_AGENT)
		find_agent(c, l);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else
		reply_page(c, &l->page);
}

/* ---- one */

void approval_get(struct call *c)
{
	struct approval_row *row = c->state;
	struct uuid id;
	if (c->asking)
		return;
	if (c->stage == READ_START && uuid_parse(c->match.params[0], &id)) {
		c->state = row = arena_zalloc(c->request->arena, sizeof *row);
		c->stage = READ_ASKED;
		store_get_approval(c, id, row);
	} else if (c->stage == READ_START || (!c->asked && !row->found)) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such approval",
			  0);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		strbuf_add_slice(&b, row->body);
		reply_json(c, &b);
	}
}
