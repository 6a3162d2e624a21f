/* SPDX-License-Identifier: Apache-2.0
 * The workflow of an agent: GET and PUT /v1/agents/{agent}/workflow, and its versions. A
 * PUT has the whole document. */
#include "edge/ask.h"
#include "edge/body.h"
#include "edge/lookup.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/workflow_doc.h"

#define LIMIT_DEFAULT 50

enum stage { WORKFLOW_START, WORKFLOW_LOOK, WORKFLOW_SENT };

struct flowing {
	bool changes;
	struct agent_row agent;
	struct slice doc;
	int64_t version, before, limit; /* version -1: the present one */
	struct ask_answer answer;
};

static struct flowing *begin(struct call *c)
{
	struct flowing *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	c->stage = WORKFLOW_LOOK;
	x->version = -1;
	x->before = INT32_MAX;
	x->limit = LIMIT_DEFAULT;
	return x;
}

/* ---- the document */

static bool read_document(struct call *c, struct flowing *x)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct workflow_fault fault;
	struct arena *a = c->request->arena;
	AUTO(auto_json_free) struct json_doc *d = body_object(c);
	if (!d)
		return false;
	if (!workflow_check(json_root(d), &fault))
		return reply_wrong(c->request,
				   fault.where[0] ? arena_strdup(a, fault.where) : NULL,
				   arena_strdup(a, fault.message));
	json_print(&text, json_root(d));
	x->doc = arena_slice(a, strbuf_slice(&text));
	return true;
}

static void send(struct call *c, struct flowing *x)
{
	struct ask_value put[] = {ask_id(x->agent.id), ask_json(x->doc),
				  ask_id(uuid7_new())};
	struct ask_value get[] = {ask_id(x->agent.id), ask_number_or_none(x->version)};
	c->stage = WORKFLOW_SENT;
	if (x->changes)
		ask_change(c, SQL_WORKFLOW_PUT, put, ARRAY_LEN(put), &x->answer);
	else
		ask_read(c, SQL_WORKFLOW_GET, get, ARRAY_LEN(get), &x->answer);
}

static void reply(struct call *c, const struct flowing *x)
{
	if (x->changes ? change_is_done(c, &x->answer.change, "the workflow")
		       : ask_found(c, &x->answer, "the workflow has no such version"))
		ask_reply_version(c, 200, &x->answer, x->answer.version);
}

static void step(struct call *c, struct flowing *x)
{
	if (c->stage == WORKFLOW_SENT)
		reply(c, x);
	else if (lookup_agent_of_path(c, &x->agent))
		send(c, x);
}

/* ---- the calls */

/* GET and PUT */
void workflow(struct call *c)
{
	struct flowing *x = c->state;
	if (c->asking)
		return;
	if (c->stage == WORKFLOW_START) {
		x = begin(c);
		x->changes = c->request->head.method == METHOD_PUT;
		if (x->changes &&
		    (!read_document(c, x) || !change_read(c, &x->answer.change)))
			return;
	}
	step(c, x);
}

void workflow_version(struct call *c)
{
	struct flowing *x = c->state;
	long long n;
	if (c->asking)
		return;
	if (c->stage == WORKFLOW_START) {
		x = begin(c);
		if (!slice_to_i64(c->match.params[1], &n) || n < 1 || n > INT32_MAX) {
			reply_err(c->request, ERR_NOT_FOUND, NULL,
				  "the workflow has no such version", 0);
			return;
		}
		x->version = n;
	}
	step(c, x);
}

static bool take_limit(struct call *c, struct slice v)
{
	return query_number(c, "limit", v, 1, PAGE_MAX,
			    &((struct flowing *)c->state)->limit);
}

static bool take_before(struct call *c, struct slice v)
{
	return query_number(c, "before", v, 1, INT32_MAX,
			    &((struct flowing *)c->state)->before);
}

static const struct query_param params[] = {{"limit", take_limit},
					    {"before", take_before}};

void workflow_versions(struct call *c)
{
	struct flowing *x = c->state;
	if (c->asking)
		return;
	if (c->stage == WORKFLOW_START) {
		x = begin(c);
		if (!query_read(c, params, ARRAY_LEN(params)))
			return;
	}
	if (c->stage == WORKFLOW_SENT) {
		if (ask_found(c, &x->answer, ""))
			ask_reply(c, &x->answer);
	} else if (lookup_agent_of_path(c, &x->agent)) {
		struct ask_value v[] = {ask_id(x->agent.id), ask_number(x->before),
					ask_number(x->limit)};
		c->stage = WORKFLOW_SENT;
		ask_read(c, SQL_WORKFLOW_VERSIONS, v, ARRAY_LEN(v), &x->answer);
	}
}
