/* SPDX-License-Identifier: Apache-2.0
 * What became of completion webhooks: GET /v1/webhooks/deliveries, GET
 * .../{delivery}, POST .../{delivery}/redeliver. */
#include "common/json.h"
#include "edge/body.h"
#include "edge/reply.h"
#include "edge/webhook_store.h"

enum stage { DELIVERY_START, DELIVERY_ASKED };

/* ---- the list */

struct listing {
	struct paging paging;
	struct delivery_filter filter;
	struct json_page page;
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
	return slice_is(v, "pending") || slice_is(v, "sent") || slice_is(v, "failed") ||
	       reply_wrong(c->request, "state", "state must be pending, sent or failed");
}

static const struct query_param params[] = {{"run", take_run},
					    {"state", take_state},
					    {"limit", paging_limit},
					    {"before", paging_before}};

void delivery_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == DELIVERY_ASKED) {
		json_page_reply(c, "deliveries", &l->page);
		return;
	}
	c->state = l = arena_zalloc(c->request->arena, sizeof *l);
	if (!paging_read(c, &l->filter.page, params, ARRAY_LEN(params)))
		return;
	c->stage = DELIVERY_ASKED;
	webhook_store_list(c, &l->filter, &l->page);
}

/* ---- one */

static void not_found(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such delivery", 0);
}

/* False: answered. */
static bool was_found(struct call *c, const struct slice *answer)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL,
			  c->unsure ? "the database went away: whether this was done is "
				      "not known, ask again"
				    : NULL,
			  0);
	else if (!answer->p || slice_is(*answer, "absent"))
		not_found(c);
	else
		return true;
	return false;
}

static struct slice *begin(struct call *c, struct uuid *id)
{
	struct slice *answer = arena_zalloc(c->request->arena, sizeof *answer);
	c->state = answer;
	c->stage = DELIVERY_ASKED;
	if (uuid_parse(c->match.params[0], id))
		return answer;
	not_found(c);
	return NULL;
}

void delivery_get(struct call *c)
{
	struct slice *answer = c->state;
	struct uuid id;
	if (c->asking)
		return;
	if (c->stage == DELIVERY_START) {
		answer = begin(c, &id);
		if (answer)
			webhook_store_get(c, id, answer);
	} else if (was_found(c, answer)) {
		reply_head(c->request, 200);
		reply_body(c->request, "application/json",
			   slice_str(arena_printf(c->request->arena, "%.*s\n",
						  SLICE_ARG(*answer))));
	}
}

void delivery_again(struct call *c)
{
	struct slice *answer = c->state;
	struct uuid id;
	if (c->asking)
		return;
	if (c->stage == DELIVERY_START) {
		answer = begin(c, &id);
		if (answer && body_read(c, NULL, 0))
			webhook_store_again(c, id, answer);
	} else if (was_found(c, answer)) {
		reply_head(c->request, 202);
		reply_body(c->request, "application/json",
			   SLICE("{\"state\":\"pending\"}\n"));
	}
}
