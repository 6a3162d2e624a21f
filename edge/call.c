/* SPDX-License-Identifier: Apache-2.0
 * From a request to its handler: route, caller, limits, and the end of it all. */
#include "edge/call.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "edge/auth.h"
#include "edge/handles.h"
#include "edge/query.h"
#include "edge/limits.h"
#include "edge/owner.h"
#include "edge/reply.h"
#include "edge/server.h"
#include "edge/session_job.h"

/* ---- how many long answers a tenant has */

static struct slice tenant_key(const struct call *c)
{
	return slice_of(&c->caller.tenant, sizeof c->caller.tenant);
}

bool call_has_scope(const struct call *c, unsigned scopes)
{
	return c->caller.scopes & (scopes | SCOPE_ADMIN);
}

bool call_may_wait(struct call *c)
{
	struct map *m = c->edge->waiting;
	unsigned *n = map_get(m, tenant_key(c));
	if (n && *n >= c->edge->waiting_most) {
		reply_err(c->request, ERR_TENANT_FULL, NULL,
			  "too many streams and waits of this tenant are open", 5);
		return false;
	}
	if (!n) {
		n = xcalloc(1, sizeof *n);
		map_put(m, tenant_key(c), n);
	}
	++*n;
	c->counted = true;
	c->request->waits = true;
	return true;
}

static void uncount(struct call *c)
{
	unsigned *n = c->counted ? map_get(c->edge->waiting, tenant_key(c)) : NULL;
	if (!n || --*n > 0)
		return;
	map_take(c->edge->waiting, tenant_key(c));
	free(n);
}

/* ---- running */

static bool may_go_on(struct call *c)
{
	c->admitted = c->admitted || limits_check(c) == LIMITS_PASS;
	if (!c->admitted)
		return false;
	c->owned = c->owned || !c->caller.user.n || owner_check(c);
	return c->owned;
}

static void run(void *arg)
{
	struct call *c = arg;
	const struct route_row *row = route_row(c->match.route);
	if (!c->authorised) {
		c->authorised = !row->scopes || auth_check(c, row->scopes) == AUTH_YES;
		if (!c->authorised || !query_fits(c))
			return;
	}
	if (row->scopes && !may_go_on(c))
		return;
	row->handler(c);
}

void call_wake(struct call *c)
{
	loop_wake(c->edge->loop, &c->task);
}

static void on_end(struct request *r)
{
	struct call *c = r->owner;
	if (c->on_end)
		c->on_end(c);
	cache_leave(&c->wait);
	uncount(c);
	handle_free(c->edge->calls, c->handle);
	loop_unwake(c->edge->loop, &c->task);
}

static void no_route(struct request *r, const struct route_match *m)
{
	struct reply_error e = {404, NULL, NULL, 0, NULL};
	if (!m->allow[0]) {
		reply_error(r, &e, "there is nothing at this path");
		return;
	}
	e.status = 405;
	e.allow = m->allow;
	reply_error(r, &e, "this path takes only %s", m->allow);
}

/* What the path takes: no token is asked for, as a browser sends none with this question.
 */
static void say_options(struct request *r, const char *allow)
{
	reply_head(r, 204);
	reply_field(r, "allow", slice_str(allow));
	reply_preflight(r, allow);
	reply_empty(r);
}

bool call_in_pieces(void *arg, struct request *r)
{
	struct route_match m;
	(void)arg;
	route_find(r->head.method, r->head.path, r->arena, &m);
	if (m.route == ROUTE_OPENAI_CHAT || m.route == ROUTE_OPENAI_RESPONSES)
		r->body_most = SERVER_TALK_MAX;
	if (m.route == ROUTE_EMBEDDINGS || m.route == ROUTE_SESSION_IMPORT ||
	    m.route == ROUTE_SESSION_KEY_IMPORT)
		r->body_most = IMPORT_BODY_MAX;
	/* The whole conversation comes with each message. */
	if (m.route == ROUTE_AGUI || m.route == ROUTE_AGENT_AGUI || m.route == ROUTE_UI ||
	    m.route == ROUTE_AGENT_UI)
		r->body_most = SERVER_TALK_MAX;
	return m.route == ROUTE_FILE_PUT || m.route == ROUTE_SKILL_FILE_PUT;
}

void call_begin(void *arg, struct request *r)
{
	struct call *c = arena_zalloc(r->arena, sizeof *c);
	c->edge = arg;
	c->request = r;
	if (r->head_only)
		r->head.method = METHOD_GET;
	route_find(r->head.method, r->head.path, r->arena, &c->match);
	if (c->match.route == ROUTE_NONE) {
		if (r->head.method == METHOD_OPTIONS && c->match.allow[0])
			say_options(r, c->match.allow);
		else
			no_route(r, &c->match);
		return;
	}
	r->owner = c;
	r->on_end = on_end;
	c->handle = handle_new(c->edge->calls, c);
	loop_task_init(&c->task, run, c);
	run(c);
}

/* ---- helpers of handlers */

bool call_user(struct call *c, struct slice *user)
{
	struct slice own = c->caller.user;
	if (own.n && user->n && !slice_eq(own, *user))
		return reply_wrong(c->request, "user",
				   "user must be the token's own, or left out");
	if (own.n)
		*user = own;
	return true;
}

void call_actor(const struct call *c, char text[CALL_ACTOR])
{
	memcpy(text, "token:", strlen("token:"));
	uuid_format(c->caller.token, text + strlen("token:"));
}

bool call_run_id(struct call *c, unsigned i, struct uuid *out)
{
	if (uuid_parse(c->match.params[i], out))
		return true;
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	return false;
}

void call_cut(struct edge *e, const struct uuid *token)
{
	uint32_t it = 0;
	struct call *c;
	while ((c = handle_next(e->calls, &it)))
		if (c->cut && (!token || uuid_eq(*token, c->caller.token)))
			c->cut(c);
}

void call_cut_tenant(struct edge *e, int64_t tenant)
{
	uint32_t it = 0;
	struct call *c;
	while ((c = handle_next(e->calls, &it)))
		if (c->cut && c->caller.tenant == tenant)
			c->cut(c);
}

void call_lost(struct edge *e)
{
	uint32_t it = 0;
	struct call *c;
	call_cut(e, NULL);
	while ((c = handle_next(e->calls, &it)))
		if (c->at_supervisor)
			reply_err(
				c->request, ERR_UNAVAILABLE, NULL,
				"the queue stopped before it answered: whether this was "
				"done is not known, ask again",
				1);
}
