/* SPDX-License-Identifier: Apache-2.0
 * Sessions: one, a list of them, begun, and what their owner says of them. */
#include <stdio.h>
#include <stdlib.h>

#include "edge/body.h"
#include "edge/change.h"
#include "edge/lookup.h"
#include "edge/order.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/session_look.h"
#include "proto/wire.h"

#define TITLE_MAX 500
#define META_MAX (16u << 10)
#define LIMIT_DEFAULT 50

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

static void reply_session(struct call *c, const struct session_info *info)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_slice(&b, info->json);
	strbuf_add_char(&b, '\n');
	change_reply(c, info->version, strbuf_slice(&b));
}

/* ---- GET of one */

void session_get(struct call *c)
{
	struct session_look *l = c->state;
	if (!l)
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
	if (session_look(c, l, false))
		reply_session(c, &l->info);
}

/* ---- POST: getOrCreate */

struct begun {
	struct slice key, user;
	struct agent_row agent;
	struct session_row row;
	struct session_info info;
	bool retried; /* what the cache knew was deleted */
};
enum { OPEN_START, OPEN_AGENT, OPEN_SESSION, OPEN_ASKED };

static bool take_key(struct call *c, json_t v)
{
	struct begun *x = c->state;
	struct order_fault fault;
	return body_text(c, "sessionKey", v, 1, LIMIT_SESSION_KEY, false, &x->key) &&
	       (order_check_session(x->key, &fault) ||
		reply_wrong(c->request, "sessionKey",
			    arena_strdup(c->request->arena, fault.message)));
}

static bool take_user(struct call *c, json_t v)
{
	struct begun *x = c->state;
	return body_text(c, "user", v, 1, ORDER_USER_MAX, false, &x->user);
}

static const struct body_member open_members[] = {{"sessionKey", take_key},
						  {"user", take_user}};

static bool is_gone(struct begun *x)
{
	bool again = !x->info.found && !x->retried;
	x->retried = true;
	return again;
}

static void open_step(struct call *c, struct begun *x)
{
	unsigned slot;
	if (c->stage == OPEN_AGENT) {
		if (!lookup_agent_of_path(c, &x->agent))
			return;
		if (!x->key.p)
			x->key = slice_str(arena_printf(c->request->arena,
							"agent:%s:main", x->agent.name));
		c->stage = OPEN_SESSION;
	}
	if (!lookup_found(
		    c, lookup_session(c, x->agent.id, x->key, x->user, &x->row, &slot),
		    NULL, "there is no such agent, or no such session of this user"))
		return;
	c->stage = OPEN_ASKED;
	store_read_session(c, x->row.id, x->agent.id, SLICE_NONE, &x->info);
}

void session_open(struct call *c)
{
	struct begun *x = c->state;
	if (c->asking)
		return;
	if (c->stage == OPEN_START) {
		c->state = x = arena_zalloc(c->request->arena, sizeof *x);
		if (!body_read(c, open_members, ARRAY_LEN(open_members)) ||
		    !call_user(c, &x->user))
			return;
		c->stage = OPEN_AGENT;
	}
	if (c->stage != OPEN_ASKED) {
		open_step(c, x);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (is_gone(x)) {
		lookup_forget_session(c, x->agent.id, x->key);
		c->stage = OPEN_SESSION;
		open_step(c, x);
	} else if (!x->info.found) {
		session_is_absent(c);
	} else {
		reply_session(c, &x->info);
	}
}

/* ---- PATCH */

struct patching {
	struct session_look look;
	struct session_patch patch;
	struct change change;
	struct session_patched patched;
};
enum { PATCH_START, PATCH_LOOK, PATCH_ASKED };

static bool take_title(struct call *c, json_t v)
{
	struct patching *x = c->state;
	x->patch.has_title = true;
	return json_kind(v) == JSON_NULL ||
	       body_text(c, "title", v, 1, TITLE_MAX, false, &x->patch.title);
}

static bool take_meta(struct call *c, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct patching *x = c->state;
	json_print(&b, v);
	if (json_kind(v) != JSON_OBJECT || b.n > META_MAX)
		return reply_wrong(c->request, "meta",
				   "meta must be an object of at most 16 KiB");
	x->patch.meta = arena_slice(c->request->arena, strbuf_slice(&b));
	return true;
}

static bool take_mode(struct call *c, json_t v)
{
	struct patching *x = c->state;
	unsigned mode = json_str(v).p ? mode_from_word(json_str(v)) : 0;
	x->patch.has_mode = true;
	if (json_kind(v) == JSON_NULL)
		return true;
	x->patch.mode = mode ? slice_str(mode_word(mode)) : SLICE_NONE;
	return (mode && mode != MODE_ANNOUNCE) ||
	       reply_wrong(c->request, "queueMode",
			   "queueMode must be steer, followup, collect, interrupt or "
			   "null");
}

static const struct body_member patch_members[] = {
	{"title", take_title}, {"meta", take_meta}, {"queueMode", take_mode}};

void session_patch(struct call *c)
{
	struct patching *x = c->state;
	if (c->asking)
		return;
	if (c->stage == PATCH_START) {
		c->state = x = arena_zalloc(c->request->arena, sizeof *x);
		if (!body_read(c, patch_members, ARRAY_LEN(patch_members)) ||
		    !change_read(c, &x->change))
			return;
		c->stage = PATCH_LOOK;
	}
	if (c->stage == PATCH_LOOK) {
		if (!session_look(c, &x->look, false))
			return;
		c->stage = PATCH_ASKED;
		store_patch_session(c, x->look.info.id, &x->patch, x->change.expect,
				    &x->patched);
		return;
	}
	x->change.version = x->patched.info.version;
	x->change.outcome = x->patched.done         ? CHANGE_DONE
			    : x->patched.info.found ? CHANGE_STALE
						    : CHANGE_ABSENT;
	if (x->change.outcome == CHANGE_ABSENT && !c->asked) {
		session_is_absent(c);
	} else if (change_is_done(c, &x->change, "the session")) {
		lookup_invalidate_session(c->edge, x->look.info.id);
		reply_session(c, &x->patched.info);
	}
}

/* ---- the list */

struct listing {
	struct session_filter filter;
	struct session_page page;
	struct slice agent; /* a name or id that is to be looked up */
};
enum { LIST_START, LIST_AGENT, LIST_ASKED };

static bool take_agent(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	l->agent = v;
	return (v.n > 0 && v.n <= LIMIT_NAME) ||
	       reply_wrong(c->request, "agent", "agent must be an agent's name or id");
}

static bool take_status(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	l->filter.status = slice_is(v, "any") ? SLICE_NONE : v;
	return slice_is(v, "any") || slice_is(v, "active") || slice_is(v, "archived") ||
	       reply_wrong(c->request, "status",
			   "status must be active, archived or any");
}

static bool take_limit(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > PAGE_MAX)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	l->filter.limit = (unsigned)n;
	return true;
}

static bool take_before(struct call *c, struct slice v)
{
	struct listing *l = c->state;
	long long us;
	struct slice id = v, time = slice_cut(&id, '.');
	if (!slice_to_i64(time, &us) || us < 0 || !uuid_parse(id, &l->filter.before.id))
		return reply_wrong(c->request, "before",
				   "before must be the next of a page of this list");
	l->filter.before.us = us;
	return true;
}

static const struct query_param params[] = {{"agent", take_agent},
					    {"status", take_status},
					    {"limit", take_limit},
					    {"before", take_before}};

static void reply_page(struct call *c, const struct session_page *page)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char next[24 + UUID_TEXT_LEN];
	json_obj(&o);
	json_key(&o, "sessions");
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++)
		json_put_raw(&o, page->rows[i]);
	json_arr_end(&o);
	if (page->more) {
		snprintf(next, sizeof next, "%lld.", (long long)page->next.us);
		uuid_format(page->next.id, next + strlen(next));
		json_kv_cstr(&o, "next", next);
	}
	json_obj_end(&o);
	reply_json(c, &b);
}

static void list_step(struct call *c, struct listing *l)
{
	struct agent_row agent;
	if (l->agent.p) {
		if (!lookup_found(c, lookup_agent(c, l->agent, &agent), "agent",
				  "there is no such agent"))
			return;
		l->filter.agent = agent.id;
	}
	c->stage = LIST_ASKED;
	store_list_sessions(c, &l->filter, &l->page);
}

void session_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == LIST_START) {
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		l->filter = (struct session_filter){.status = SLICE("active"),
						    .before = {.us = INT64_MAX},
						    .limit = LIMIT_DEFAULT};
		if (!query_read(c, params, ARRAY_LEN(params)))
			return;
		c->stage = LIST_AGENT;
	}
	if (c->stage == LIST_AGENT)
		list_step(c, l);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else
		reply_page(c, &l->page);
}
