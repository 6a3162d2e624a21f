/* SPDX-License-Identifier: Apache-2.0
 * The tool policy's layers, read and replaced: /v1/agents/{agent}/policy,
 * /v1/agents/{agent}/sessions/{key}/policy, /v1/policy/ceiling. A PUT has the whole
 * document; a session need not have begun for it. */
#include "edge/policy.h"

#include "common/json.h"
#include "edge/change.h"
#include "edge/order.h"
#include "edge/policy_store.h"
#include "edge/reply.h"

enum stage { POLICY_START, POLICY_AGENT_ASKED, POLICY_SENT, POLICY_OPENING };

struct policing {
	enum policy_layer layer;
	bool changes;
	bool opened; /* the session was looked for, and begun if there was none */
	struct agent_row agent;
	struct slice key; /* of a session */
	struct slice doc; /* to be kept; SLICE_NONE: takes the layer away */
	struct change change;
	struct policy_rows rows;
};

static const char *const layer_names[] = {"ceiling", "agent", "revision", "session"};
static const char *const owners[] = {"the ceiling", "the agent's policy", "",
				     "the session's policy"};

/* ---- the request */

static bool read_document(struct call *c, struct policing *p)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	char err[320], member[64];
	if (c->request->head.method == METHOD_DELETE)
		return true;
	if (!policy_compose(p->layer, strbuf_slice(&c->request->body), &out, err,
			    sizeof err)) {
		policy_blame(err, member, sizeof member);
		reply_err(c->request, ERR_BAD_REQUEST, *member ? member : NULL, err, 0);
		return false;
	}
	p->doc = arena_slice(c->request->arena, strbuf_slice(&out));
	return true;
}

bool policy_find_agent(struct call *c, struct agent_row *out)
{
	switch (lookup_agent(c, c->match.params[0], out)) {
	case CACHE_FOUND:
		return true;
	case CACHE_ABSENT:
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such agent", 0);
		return false;
	case CACHE_FAILED:
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return false;
	case CACHE_WAIT:
		return false;
	}
	return false;
}

static void send(struct call *c, struct policing *p)
{
	c->stage = POLICY_SENT;
	if (p->changes)
		policy_store_put(c, p->agent.id, p->key, p->doc, &p->change);
	else if (p->layer == POLICY_CEILING)
		policy_store_read_ceiling(c, &p->rows);
	else
		policy_store_read(c, p->agent.id, p->key, &p->rows);
}

static void begin(struct call *c, enum policy_layer layer)
{
	struct policing *p = arena_zalloc(c->request->arena, sizeof *p);
	c->state = p;
	p->layer = layer;
	p->changes = c->request->head.method != METHOD_GET;
	if (layer == POLICY_SESSION)
		p->key = c->match.params[1];
	if (p->changes && (!read_document(c, p) || !change_read(c, &p->change)))
		return;
	c->stage = POLICY_AGENT_ASKED;
	call_wake(c);
}

/* ---- the answer */

bool policy_was_found(struct call *c, const struct policy_rows *rows, bool with_session)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (!rows->found)
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such agent", 0);
	else if (with_session && !rows->in_session)
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  "the agent has no session of that key", 0);
	else
		return true;
	return false;
}

/* A session's own part, and to who reads it what it has of its parent. */
static void put_session(struct json_out *o, struct slice doc, bool with_parent)
{
	struct json_iter it;
	struct slice member;
	AUTO(auto_json_free)
	struct json_doc *d =
		json_parse(doc.p ? doc : SLICE("null"), POLICY_TEXT_MOST * 2, NULL, 0);
	json_key(o, "policy");
	json_obj(o);
	it = json_iter(json_root(d));
	for (json_t v; (v = json_next(&it, &member));) {
		if (slice_is(member, "parent"))
			continue;
		json_key(o, member.p);
		json_put_value(o, v);
	}
	json_obj_end(o);
	if (!with_parent)
		return;
	json_key(o, "parent");
	if (json_get(json_root(d), "parent"))
		json_put_value(o, json_get(json_root(d), "parent"));
	else
		json_put_null(o);
}

static void reply_layer(struct call *c, const struct policing *p, struct slice doc,
			int64_t version)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT, absent = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char none[120];
	json_obj(&o);
	json_kv_cstr(&o, "layer", layer_names[p->layer]);
	if (p->layer != POLICY_CEILING)
		json_kv_cstr(&o, "agent", p->agent.name);
	if (p->layer == POLICY_SESSION) {
		json_kv_str(&o, "sessionKey", p->key);
		put_session(&o, doc, !p->changes);
	} else {
		if (!doc.p) /* what no row means */
			policy_compose(p->layer, SLICE("{}"), &absent, none, sizeof none);
		json_kv_raw(&o, "policy", doc.p ? doc : strbuf_slice(&absent));
	}
	json_kv_i64(&o, "version", version);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	change_reply(c, version, strbuf_slice(&b));
}

static void take_rows(struct call *c, struct policing *p)
{
	const struct policy_rows *r = &p->rows;
	if (!policy_was_found(c, r, p->layer == POLICY_SESSION))
		return;
	if (p->layer == POLICY_CEILING)
		reply_layer(c, p, r->layers.ceiling, r->ceiling_version);
	else if (p->layer == POLICY_AGENT)
		reply_layer(c, p, r->layers.agent, r->agent_version);
	else
		reply_layer(c, p, r->layers.session, r->session_version);
}

/* A session that has not begun: narrowing it shall not have to wait for its first
 * message. */
static bool opens(struct call *c, struct policing *p)
{
	struct order_fault fault;
	if (c->asked || p->change.outcome != CHANGE_ABSENT || p->opened ||
	    p->layer != POLICY_SESSION || !p->doc.p || p->change.expect > 0 ||
	    !order_check_session(p->key, &fault))
		return false;
	lookup_forget_session(c, p->agent.id, p->key);
	c->stage = POLICY_OPENING;
	call_wake(c);
	return true;
}

static void open_session(struct call *c, struct policing *p)
{
	struct session_row row;
	unsigned slot;
	switch (lookup_session(c, p->agent.id, p->key, SLICE_NONE, &row, &slot)) {
	case CACHE_WAIT:
		return;
	case CACHE_FAILED:
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return;
	case CACHE_FOUND:
	case CACHE_ABSENT:
		p->opened = true;
		send(c, p);
	}
}

static void take_change(struct call *c, struct policing *p)
{
	if (!opens(c, p) && change_is_done(c, &p->change, owners[p->layer]))
		reply_layer(c, p, p->doc, p->change.version);
}

static void step(struct call *c, enum policy_layer layer)
{
	struct policing *p = c->state;
	if (c->asking)
		return;
	if (c->stage == POLICY_START) {
		begin(c, layer);
	} else if (c->stage == POLICY_AGENT_ASKED) {
		if (layer == POLICY_CEILING || policy_find_agent(c, &p->agent))
			send(c, p);
	} else if (c->stage == POLICY_OPENING) {
		open_session(c, p);
	} else if (p->changes) {
		take_change(c, p);
	} else {
		take_rows(c, p);
	}
}

void agent_policy_get(struct call *c)
{
	step(c, POLICY_AGENT);
}

void agent_policy_put(struct call *c)
{
	step(c, POLICY_AGENT);
}

void session_policy_get(struct call *c)
{
	step(c, POLICY_SESSION);
}

void session_policy_put(struct call *c)
{
	step(c, POLICY_SESSION);
}

void session_policy_delete(struct call *c)
{
	step(c, POLICY_SESSION);
}

void ceiling_get(struct call *c)
{
	step(c, POLICY_CEILING);
}

void ceiling_put(struct call *c)
{
	step(c, POLICY_CEILING);
}
