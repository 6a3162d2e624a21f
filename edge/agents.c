/* SPDX-License-Identifier: Apache-2.0
 * Agents: GET and POST /v1/agents; GET, PUT, PATCH and DELETE /v1/agents/{agent}; POST
 * .../clone. An agent's version is the number of its present revision: whatever changes
 * makes another one. Who keeps something of it is told. */
#include "common/json.h"
#include "edge/agent_body.h"
#include "edge/ask.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/paging.h"
#include "edge/reply.h"

#define NO_AGENT "there is no such agent"

enum stage { AGENT_START, AGENT_LOOK, AGENT_SENT };

struct agenting {
	struct agent_body body;
	struct uuid id; /* of a new one */
	struct agent_row row;
	struct ask_answer answer;
};

static struct agenting *begin(struct call *c)
{
	struct agenting *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	c->stage = AGENT_LOOK;
	return x;
}

/* Names are kept here, too: also that one is free. */
static void tell(struct call *c, struct uuid agent)
{
	lookup_invalidate_agent(c->edge, agent);
	link_changed(c->edge, c->caller.tenant, SLICE("agent"), agent);
}

static bool was_done(struct call *c, const struct agenting *x)
{
	if (c->asked || !slice_is(x->answer.word, "taken"))
		return change_is_done(c, &x->answer.change, "the agent");
	reply_err(c->request, ERR_CONFLICT, "name", "another agent has that name", 0);
	return false;
}

/* ---- one */

void agent_get(struct call *c)
{
	struct agenting *x = c->state;
	if (c->asking)
		return;
	if (c->stage == AGENT_START)
		x = begin(c);
	if (c->stage == AGENT_LOOK) {
		if (!lookup_agent_of_path(c, &x->row))
			return;
		struct ask_value v[] = {ask_id(x->row.id)};
		c->stage = AGENT_SENT;
		ask_read(c, SQL_AGENT_GET, v, ARRAY_LEN(v), &x->answer);
	} else if (ask_found(c, &x->answer, NO_AGENT)) {
		ask_reply_version(c, 200, &x->answer, x->answer.version);
	}
}

/* ---- a new one */

static void reply_made(struct call *c, struct agenting *x)
{
	char location[12 + UUID_TEXT_LEN + 1] = "/v1/agents/";
	if (!was_done(c, x))
		return;
	tell(c, x->id);
	uuid_format(x->id, location + 11);
	ask_reply_made(c, &x->answer, slice_str(location));
}

void agent_create(struct call *c)
{
	struct agenting *x = c->state;
	if (c->asking)
		return;
	if (c->stage == AGENT_SENT) {
		reply_made(c, x);
		return;
	}
	x = begin(c);
	if (!agent_body_read(c, AGENT_BODY_NEW, &x->body))
		return;
	x->id = uuid7_new();
	struct ask_value v[] = {
		ask_id(x->id), ask_text(x->body.name), ask_json(x->body.config),
		ask_number_or_none(x->body.max_running),
		ask_text(slice_str(x->body.profile ? x->body.profile : "coding"))};
	c->stage = AGENT_SENT;
	ask_make(c, SQL_AGENT_CREATE, v, ARRAY_LEN(v), &x->answer);
}

void agent_clone(struct call *c)
{
	struct agenting *x = c->state;
	if (c->asking)
		return;
	if (c->stage == AGENT_START) {
		x = begin(c);
		if (!agent_body_read(c, AGENT_BODY_CLONE, &x->body))
			return;
	}
	if (c->stage == AGENT_LOOK) {
		if (!lookup_agent_of_path(c, &x->row))
			return;
		x->id = uuid7_new();
		struct ask_value v[] = {
			ask_id(x->row.id), ask_number_or_none(x->body.revision),
			ask_id(x->id), ask_text(x->body.name), ask_id(uuid7_new())};
		c->stage = AGENT_SENT;
		ask_make(c, SQL_AGENT_CLONE, v, ARRAY_LEN(v), &x->answer);
	} else if (!c->asked && slice_is(x->answer.word, "absent")) {
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  x->body.revision > 0 ? "the agent has no such revision"
					       : NO_AGENT,
			  0);
	} else {
		reply_made(c, x);
	}
}

/* ---- a change */

static void send_change(struct call *c, struct agenting *x)
{
	bool whole = c->request->head.method == METHOD_PUT;
	struct ask_value v[] = {ask_id(x->row.id), ask_json(x->body.config),
				ask_yes(whole), ask_text(x->body.name),
				ask_number_or_none(x->body.max_running)};
	c->stage = AGENT_SENT;
	ask_change(c, SQL_AGENT_CHANGE, v, ARRAY_LEN(v), &x->answer);
}

/* PUT and PATCH */
void agent_change(struct call *c)
{
	struct agenting *x = c->state;
	bool whole = c->request->head.method == METHOD_PUT;
	if (c->asking)
		return;
	if (c->stage == AGENT_START) {
		x = begin(c);
		if (!agent_body_read(c, whole ? AGENT_BODY_WHOLE : AGENT_BODY_PART,
				     &x->body) ||
		    !change_read(c, &x->answer.change))
			return;
	}
	if (c->stage == AGENT_LOOK) {
		if (lookup_agent_of_path(c, &x->row))
			send_change(c, x);
	} else if (was_done(c, x)) {
		tell(c, x->row.id);
		ask_reply_version(c, 200, &x->answer, x->answer.version);
	}
}

/* ---- its end */

/* What it was doing is told to end, as with a session that is deleted. Nobody waits: a
 * turn that hears nothing of it ends by itself. */
static unsigned cancel_runs(struct call *c, struct slice runs)
{
	unsigned n = 0;
	AUTO(auto_json_free) struct json_doc *d = json_parse(runs, runs.n, NULL, 0);
	struct json_iter it = json_iter(json_root(d));
	struct wire_cancel m = {.tenant = c->caller.tenant};
	for (json_t v; (v = json_next(&it, NULL));)
		if (uuid_parse(json_str(v), &m.run) && link_cancel(c->edge, &m))
			n++;
	return n;
}

static void reply_removed(struct call *c, struct agenting *x)
{
	char id[UUID_TEXT_LEN + 1];
	if (!was_done(c, x))
		return;
	tell(c, x->row.id);
	uuid_format(x->row.id, id);
	x->answer.text = slice_str(arena_printf(
		c->request->arena, "{\"deleted\":true,\"id\":\"%s\",\"cancelling\":%u}",
		id, cancel_runs(c, x->answer.text)));
	ask_reply(c, &x->answer);
}

void agent_remove(struct call *c)
{
	struct agenting *x = c->state;
	if (c->asking)
		return;
	if (c->stage == AGENT_START) {
		x = begin(c);
		if (!change_read(c, &x->answer.change))
			return;
	}
	if (c->stage == AGENT_LOOK) {
		if (!lookup_agent_of_path(c, &x->row))
			return;
		struct ask_value v[] = {ask_id(x->row.id)};
		c->stage = AGENT_SENT;
		ask_change(c, SQL_AGENT_REMOVE, v, ARRAY_LEN(v), &x->answer);
	} else {
		reply_removed(c, x);
	}
}

/* ---- the list */

struct listing {
	struct paging paging;
	struct page_filter page;
	struct ask_answer answer;
};

static const struct query_param params[] = {{"limit", paging_limit},
					    {"before", paging_before}};

void agent_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == AGENT_START) {
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		if (!paging_read(c, &l->page, params, ARRAY_LEN(params)))
			return;
		struct ask_value v[] = {ask_id(l->page.before), ask_number(l->page.limit),
					ask_number(PAGE_WINDOW)};
		c->stage = AGENT_SENT;
		ask_read(c, SQL_AGENT_LIST, v, ARRAY_LEN(v), &l->answer);
	} else if (ask_found(c, &l->answer, "")) {
		ask_reply(c, &l->answer);
	}
}
