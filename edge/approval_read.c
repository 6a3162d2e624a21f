/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/approvals, the newest first, a page at a time; and one of them. */
#include "common/json.h"
#include "edge/call.h"
#include "edge/paging.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "proto/wire.h"

enum stage { READ_START, READ_AGENT, READ_RUN, READ_ASKED };

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

/* ---- the query */

struct listing {
	struct paging paging;
	struct approval_filter filter;
	struct run_row run; /* of a list that is one run's */
	struct approval_page page;
};

static bool take_run(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	return uuid_parse(v, &l->filter.run) ||
	       reply_wrong(c->request, "run", "run must be a run's id");
}

static bool take_state(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	l->filter.state = v;
	return approval_is_state(v) ||
	       reply_wrong(c->request, "state",
			   "state must be pending, once, session, denied or expired");
}

static const struct query_param params[] = {
	PAGING_PARAMS, {"run", take_run}, {"state", take_state}};

/* ---- the page */

static void ask(struct call *c, struct listing *l)
{
	if (!paging_is_complete(c))
		return;
	c->stage = READ_ASKED;
	store_list_approvals(c, &l->filter, &l->page);
}

static void begin(struct call *c)
{
	struct listing *l = arena_zalloc(c->request->arena, sizeof *l);
	c->state = l;
	if (!paging_read(c, &l->filter.page, params, ARRAY_LEN(params)))
		return;
	c->stage = READ_AGENT;
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
		ask(c, l);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else
		reply_page(c, &l->page);
}

/* ---- of one run: GET /v1/runs/{run}/approvals */

void run_approvals(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == READ_START) {
		static const struct query_param some[] = {{"limit", paging_limit},
							  {"before", paging_before},
							  {"state", take_state}};
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		if (!call_run_id(c, 0, &l->filter.run) ||
		    !paging_read(c, &l->filter.page, some, ARRAY_LEN(some)))
			return;
		c->stage = READ_RUN;
		store_get_run(c, l->filter.run, &l->run);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (c->stage == READ_RUN && !l->run.found) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	} else if (c->stage == READ_RUN) {
		ask(c, l);
	} else {
		reply_page(c, &l->page);
	}
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
