/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/runs: a tenant's runs, the newest first, a page at a time. */
#include "common/json.h"
#include "edge/call.h"
#include "edge/lookup.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/store.h"
#include "proto/wire.h"

#define LIMIT_DEFAULT 50

enum stage { LIST_START, LIST_AGENT, LIST_ASKED };

struct listing {
	struct run_filter filter;
	struct slice agent; /* a name that is to be looked up */
	struct run_page page;
};

/* ---- the query */

static bool take_session(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	return uuid_parse(v, &l->filter.session) ||
	       reply_wrong(c->request, "session", "session must be a session's id");
}

static bool take_agent(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	if (v.n == 0 || v.n > LIMIT_NAME)
		return reply_wrong(c->request, "agent",
				   "agent must be an agent's name or id");
	if (!uuid_parse(v, &l->filter.agent))
		l->agent = v;
	return true;
}

static bool take_status(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	l->filter.status = v;
	return slice_is(v, "cancelling") || run_state_from_word(v) ||
	       result_from_word(v) ||
	       reply_wrong(
		       c->request, "status",
		       "status must be scheduled, queued, running, waiting, retry_wait, "
		       "cancelling, completed, failed, cancelled, timed_out, dead, "
		       "superseded "
		       "or dropped");
}

static bool take_limit(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > RUN_PAGE_MAX)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	l->filter.limit = (unsigned)n;
	return true;
}

static bool take_before(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	return uuid_parse(v, &l->filter.before) ||
	       reply_wrong(c->request, "before",
			   "before must be a run's id, such as a page's next");
}

static const struct query_param params[] = {{"session", take_session},
					    {"agent", take_agent},
					    {"status", take_status},
					    {"limit", take_limit},
					    {"before", take_before}};

/* ---- the page */

static void ask(struct call *c, struct listing *l)
{
	c->stage = LIST_ASKED;
	store_list_runs(c, &l->filter, &l->page);
}

static void find_agent(struct call *c, struct listing *l)
{
	struct agent_row row;
	if (!lookup_found(c, lookup_agent(c, l->agent, &row), "agent",
			  "there is no such agent"))
		return;
	l->filter.agent = row.id;
	ask(c, l);
}

static void begin(struct call *c)
{
	struct listing *l = arena_zalloc(c->request->arena, sizeof *l);
	c->state = l;
	l->filter.limit = LIMIT_DEFAULT;
	memset(&l->filter.before, 0xff, sizeof l->filter.before);
	if (!query_read(c, params, ARRAY_LEN(params)))
		return;
	c->stage = LIST_AGENT;
	if (l->agent.p)
		find_agent(c, l);
	else
		ask(c, l);
}

static void reply_page(struct call *c, const struct run_page *page)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_key(&o, "runs");
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++) {
		json_obj(&o);
		run_put(&o, page->rows[i].id, &page->rows[i].run);
		json_obj_end(&o);
	}
	json_arr_end(&o);
	run_put_id(&o, "next", page->next);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

void run_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == LIST_START)
		begin(c);
	else if (c->stage == LIST_AGENT)
		find_agent(c, l);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else
		reply_page(c, &l->page);
}
