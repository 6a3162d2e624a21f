/* SPDX-License-Identifier: Apache-2.0
 * What an agent was: GET /v1/agents/{agent}/revisions, .../revisions/{revision}, POST
 * .../revisions/{revision}/restore, which makes a new revision of an old one's content.
 */
#include "edge/ask.h"
#include "edge/body.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/query.h"
#include "edge/reply.h"

#define LIMIT_DEFAULT 50

enum stage { REVISION_START, REVISION_LOOK, REVISION_SENT };

struct revising {
	struct agent_row row;
	int64_t before, limit, revision;
	struct ask_answer answer;
};

static struct revising *begin(struct call *c)
{
	struct revising *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	c->stage = REVISION_LOOK;
	x->limit = LIMIT_DEFAULT;
	x->before = INT32_MAX;
	return x;
}

static bool not_found(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL, "the agent has no such revision", 0);
	return false;
}

static bool take_revision(struct call *c, struct revising *x)
{
	long long n;
	if (!slice_to_i64(c->match.params[1], &n) || n < 1 || n > INT32_MAX)
		return not_found(c);
	x->revision = n;
	return true;
}

/* ---- the list */

static bool take_limit(struct call *c, struct slice v)
{
	return query_number(c, "limit", v, 1, PAGE_MAX,
			    &((struct revising *)c->state)->limit);
}

static bool take_before(struct call *c, struct slice v)
{
	return query_number(c, "before", v, 1, INT32_MAX,
			    &((struct revising *)c->state)->before);
}

static const struct query_param params[] = {{"limit", take_limit},
					    {"before", take_before}};

void revision_list(struct call *c)
{
	struct revising *x = c->state;
	if (c->asking)
		return;
	if (c->stage == REVISION_START) {
		x = begin(c);
		if (!query_read(c, params, ARRAY_LEN(params)))
			return;
	}
	if (c->stage == REVISION_LOOK) {
		if (!lookup_agent_of_path(c, &x->row))
			return;
		struct ask_value v[] = {ask_id(x->row.id), ask_number(x->before),
					ask_number(x->limit)};
		c->stage = REVISION_SENT;
		ask_read(c, SQL_REVISION_LIST, v, ARRAY_LEN(v), &x->answer);
	} else if (ask_found(c, &x->answer, "there is no such agent")) {
		ask_reply(c, &x->answer);
	}
}

/* ---- one */

void revision_get(struct call *c)
{
	struct revising *x = c->state;
	if (c->asking)
		return;
	if (c->stage == REVISION_START) {
		x = begin(c);
		if (!take_revision(c, x))
			return;
	}
	if (c->stage == REVISION_LOOK) {
		if (!lookup_agent_of_path(c, &x->row))
			return;
		struct ask_value v[] = {ask_id(x->row.id), ask_number(x->revision)};
		c->stage = REVISION_SENT;
		ask_read(c, SQL_REVISION_GET, v, ARRAY_LEN(v), &x->answer);
	} else if (ask_found(c, &x->answer, "the agent has no such revision")) {
		ask_reply(c, &x->answer);
	}
}

static void take_restored(struct call *c, struct revising *x)
{
	if (!c->asked && x->answer.change.outcome == CHANGE_ABSENT) {
		not_found(c);
		return;
	}
	if (!change_is_done(c, &x->answer.change, "the agent"))
		return;
	lookup_invalidate_agent(c->edge, x->row.id);
	link_changed(c->edge, c->caller.tenant, SLICE("agent"), x->row.id);
	ask_reply_version(c, 200, &x->answer, x->answer.version);
}

void revision_restore(struct call *c)
{
	struct revising *x = c->state;
	if (c->asking)
		return;
	if (c->stage == REVISION_START) {
		x = begin(c);
		if (!take_revision(c, x) || !change_read(c, &x->answer.change) ||
		    !body_read(c, NULL, 0))
			return;
	}
	if (c->stage == REVISION_LOOK) {
		if (!lookup_agent_of_path(c, &x->row))
			return;
		struct ask_value v[] = {ask_id(x->row.id), ask_number(x->revision)};
		c->stage = REVISION_SENT;
		ask_change(c, SQL_REVISION_RESTORE, v, ARRAY_LEN(v), &x->answer);
	} else {
		take_restored(c, x);
	}
}
