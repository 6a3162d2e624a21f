/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/runs: a tenant's runs, the newest first, a page at a time. */
#include "common/json.h"
#include "edge/call.h"
#include "edge/paging.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "proto/wire.h"

enum stage { LIST_START, LIST_AGENT, LIST_ASKED };

struct listing {
	struct paging paging;
	struct run_filter filter;
	struct run_page page;
};

/* ---- the query */

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

static const struct query_param params[] = {PAGING_PARAMS, {"status", take_status}};

/* ---- the page */

static void ask(struct call *c, struct listing *l)
{
	if (!paging_is_complete(c))
		return;
	c->stage = LIST_ASKED;
	store_list_runs(c, &l->filter, &l->page);
}

static void begin(struct call *c)
{
	struct listing *l = arena_zalloc(c->request->arena, sizeof *l);
	c->state = l;
	if (!paging_read(c, &l->filter.page, params, ARRAY_LEN(params)))
		return;
	c->stage = LIST_AGENT;
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
		ask(c, l);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else
		reply_page(c, &l->page);
}
