/* SPDX-License-Identifier: Apache-2.0
 * Tenants, for the platform's administrator: GET and POST /v1/tenants, GET, PATCH and
 * DELETE /v1/tenants/{name or number}, POST .../tokens; and GET /v1/tenant, the caller's
 * own. Of others' tokens nobody learns that these paths exist. */
#include <stdio.h>

#include "edge/admin.h"
#include "edge/link.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "proto/limits.h"
#include "proto/model/agent_config.h"

#define SLUG_MAX 63

enum stage { TENANTS_START, TENANTS_ASKED };

struct tenants_call {
	struct admin_call admin;
	bool has_name, has_token;
	struct slice agent_name, profile;
};

static void ask(struct call *c, enum sql what)
{
	c->stage = TENANTS_ASKED;
	admin_ask(c, what);
}

static struct admin_call *begin_named(struct call *c)
{
	struct admin_call *x = admin_begin(c, sizeof(struct tenants_call));
	json_kv_str(&x->doc, "tenant", c->match.params[0]);
	return x;
}

/* Every edge and worker of this node shall look at it anew. */
static void tell(struct call *c, const char *member)
{
	const struct admin_call *x = c->state;
	struct uuid nil = {{0}};
	int64_t tenant = 0;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(x->ask.body, x->ask.body.n, NULL, 0);
	json_i64(json_get(json_root(d), member), &tenant);
	link_changed(c->edge, tenant, SLICE("tenant"), nil);
}

/* ---- reading */

void tenant_own(struct call *c)
{
	if (c->asking)
		return;
	if (c->stage == TENANTS_START) {
		admin_begin(c, sizeof(struct admin_call));
		ask(c, SQL_TENANT_OWN);
	} else if (admin_is_done(c, "the tenant")) {
		admin_reply(c, 200);
	}
}

static bool take_before(struct call *c, struct slice v)
{
	long long n;
	struct admin_call *x = c->state;
	if (!slice_to_i64(v, &n) || n < 1)
		return reply_wrong(c->request, "before", "before must be a page's next");
	json_kv_i64(&x->doc, "before", n);
	return true;
}

void tenant_list(struct call *c)
{
	static const struct query_param params[] = {{"limit", admin_take_limit},
						    {"before", take_before}};
	if (c->asking)
		return;
	if (c->stage == TENANTS_START) {
		admin_begin(c, sizeof(struct admin_call));
		if (!query_read(c, params, ARRAY_LEN(params)))
			return;
		admin_put_limit(c);
		ask(c, SQL_TENANT_PAGE);
	} else if (admin_is_done(c, "the list")) {
		admin_reply(c, 200);
	}
}

void tenant_get(struct call *c)
{
	if (c->asking)
		return;
	if (c->stage == TENANTS_START) {
		begin_named(c);
		ask(c, SQL_TENANT_ONE);
	} else if (admin_is_done(c, "the tenant")) {
		admin_reply(c, 200);
	}
}

/* ---- members */

static bool put_number(struct call *c, const char *name, json_t v, int64_t most)
{
	int64_t n;
	struct admin_call *x = c->state;
	if (!body_number(c, name, v, 1, most, &n))
		return false;
	json_kv_i64(&x->doc, name, n);
	return true;
}

static bool take_weight(struct call *c, json_t v)
{
	return put_number(c, "weight", v, 10000);
}

static bool take_running(struct call *c, json_t v)
{
	return put_number(c, "maxRunning", v, 1000000);
}

static bool take_queued(struct call *c, json_t v)
{
	return put_number(c, "maxQueued", v, 10000000);
}

static bool take_retention(struct call *c, json_t v)
{
	return put_number(c, "retentionDays", v, 3650);
}

static bool take_status(struct call *c, json_t v)
{
	struct admin_call *x = c->state;
	struct slice s = json_str(v);
	if (!slice_is(s, "active") && !slice_is(s, "suspended"))
		return reply_wrong(c->request, "status",
				   "status must be active or suspended");
	json_kv_str(&x->doc, "status", s);
	return true;
}

/* As the table's check; and one of digits alone would be taken for a number. */
static bool is_slug(struct slice s)
{
	bool letters = false;
	if (s.n == 0 || s.n > SLUG_MAX || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool letter = s.p[i] >= 'a' && s.p[i] <= 'z';
		bool digit = s.p[i] >= '0' && s.p[i] <= '9';
		letters |= letter;
		if (!letter && !digit && s.p[i] != '-')
			return false;
	}
	return letters;
}

static bool take_slug(struct call *c, json_t v)
{
	struct tenants_call *x = c->state;
	struct slice s = json_str(v);
	if (!is_slug(s))
		return reply_wrong(c->request, "name",
				   "name must be 1 to 63 lower-case letters, digits and "
				   "dashes, begin with no dash and have a letter");
	json_kv_str(&x->admin.doc, "name", s);
	return x->has_name = true;
}

/* ---- the first agent: its name, its profile, the rest is its configuration */

static bool take_agent_name(struct call *c, json_t v)
{
	struct tenants_call *x = c->state;
	return body_text(c, "agent.name", v, 1, LIMIT_NAME, false, &x->agent_name);
}

static bool take_profile(struct call *c, json_t v)
{
	static const char *const words[] = {"minimal", "coding", "messaging", "full"};
	struct tenants_call *x = c->state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(json_str(v), words[i]))
			x->profile = slice_str(words[i]);
	return x->profile.p ||
	       reply_wrong(c->request, "agent.profile",
			   "agent.profile must be minimal, coding, messaging or full");
}

static bool check_config(struct call *c, json_t config)
{
	struct agent_config parsed;
	struct settings_fault fault;
	struct slice key;
	struct arena *a = c->request->arena;
	struct json_iter it = json_iter(config);
	agent_config_init(&parsed);
	bool fine = agent_config_read(&parsed, config, true, &fault);
	agent_config_fini(&parsed);
	if (!fine)
		return reply_wrong(c->request, "agent", arena_strdup(a, fault.message));
	while (json_next(&it, &key)) {
		const char *name = arena_strndup(a, key.p, key.n < 63 ? key.n : 63);
		if (!slice_is(key, "name") && !slice_is(key, "profile") &&
		    !agent_config_knows(key))
			return reply_wrong(
				c->request, arena_printf(a, "agent.%s", name),
				arena_printf(a, "there is no member \"%s\" here", name));
	}
	return true;
}

static void put_config(struct json_out *o, json_t agent)
{
	struct json_iter it = json_iter(agent);
	struct slice key;
	char name[64];
	json_key(o, "config");
	json_obj(o);
	for (json_t v; (v = json_next(&it, &key));) {
		if (slice_is(key, "name") || slice_is(key, "profile"))
			continue;
		snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
		json_key(o, name);
		json_put_value(o, v);
	}
	json_obj_end(o);
}

static bool take_agent(struct call *c, json_t v)
{
	struct tenants_call *x = c->state;
	struct json_out *o = &x->admin.doc;
	json_t name = json_get(v, "name"), profile = json_get(v, "profile");
	char id[UUID_TEXT_LEN + 1];
	if (json_kind(v) != JSON_OBJECT)
		return reply_wrong(c->request, "agent", "agent must be an object");
	if (!name)
		return reply_wrong(c->request, "agent.name", "agent.name is missing");
	if (!take_agent_name(c, name) || (profile && !take_profile(c, profile)) ||
	    !check_config(c, v))
		return false;
	uuid_format(uuid7_new(), id);
	json_key(o, "agent");
	json_obj(o);
	json_kv_cstr(o, "id", id);
	json_kv_str(o, "name", x->agent_name);
	if (x->profile.p)
		json_kv_str(o, "profile", x->profile);
	put_config(o, v);
	json_obj_end(o);
	return true;
}

/* ---- the first token */

static bool take_token(struct call *c, json_t v)
{
	struct tenants_call *x = c->state;
	struct json_out *o = &x->admin.doc;
	x->has_token = true;
	json_key(o, "token");
	json_obj(o);
	if (!body_members(c, "token", v, admin_token_new, ADMIN_TOKEN_NEW))
		return false;
	if (!x->admin.has_scopes) {
		json_kv_raw(o, "scopes",
			    x->admin.has_user
				    ? SLICE("[\"run\",\"read\",\"write\"]")
				    : SLICE("[\"run\",\"read\",\"write\",\"admin\"]"));
		x->admin.has_scopes = true;
	}
	json_obj_end(o);
	return admin_token_is_whole(c);
}

static const struct body_member new_members[] = {{"name", take_slug},
						 {"weight", take_weight},
						 {"maxRunning", take_running},
						 {"maxQueued", take_queued},
						 {"retentionDays", take_retention},
						 {"limits", admin_take_limits},
						 {"agent", take_agent},
						 {"token", take_token}};
static const struct body_member change_members[] = {
	{"status", take_status},           {"weight", take_weight},
	{"maxRunning", take_running},      {"maxQueued", take_queued},
	{"retentionDays", take_retention}, {"limits", admin_take_limits}};

/* ---- writing */

/* The tenant's number, and so the token's text, is known when it is made. */
static void name_token(struct call *c)
{
	struct tenants_call *x = c->state;
	int64_t tenant = 0;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(x->admin.ask.body, x->admin.ask.body.n, NULL, 0);
	json_t root = json_root(d), whole = json_get(root, "tenant");
	json_i64(whole ? json_get(whole, "id") : json_get(root, "tenantId"), &tenant);
	token_rename(tenant, &x->admin.made);
}

static void make_token(struct admin_call *x)
{
	token_make(0, (struct uuid){{0}}, &x->made);
	x->ask.id = x->made.id;
	x->ask.sha256 = x->made.sha256;
}

void tenant_add(struct call *c)
{
	struct tenants_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TENANTS_ASKED) {
		if (!admin_is_done(c, "the tenant"))
			return;
		name_token(c);
		if (x->has_token)
			admin_reply_made(c, 201, "token");
		else
			admin_reply(c, 201);
		return;
	}
	x = admin_begin(c, sizeof *x);
	if (!body_read(c, new_members, ARRAY_LEN(new_members)))
		return;
	if (!x->has_name) {
		reply_wrong(c->request, "name", "name is missing");
		return;
	}
	if (x->has_token)
		make_token(&x->admin);
	ask(c, SQL_TENANT_NEW);
}

void tenant_token_add(struct call *c)
{
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TENANTS_ASKED) {
		if (!admin_is_done(c, "the tenant"))
			return;
		name_token(c);
		admin_reply_made(c, 201, NULL);
		return;
	}
	x = begin_named(c);
	if (!body_read(c, admin_token_new, ADMIN_TOKEN_NEW) || !admin_token_is_whole(c))
		return;
	make_token(x);
	ask(c, SQL_TENANT_TOKEN);
}

void tenant_change(struct call *c)
{
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TENANTS_START) {
		x = begin_named(c);
		if (body_read(c, change_members, ARRAY_LEN(change_members)) &&
		    change_read(c, &x->ask.change))
			ask(c, SQL_TENANT_ALTER);
	} else if (admin_is_done(c, "the tenant")) {
		tell(c, "id");
		admin_reply(c, 200);
	}
}

void tenant_remove(struct call *c)
{
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TENANTS_START) {
		x = begin_named(c);
		if (body_read(c, NULL, 0) && change_read(c, &x->ask.change))
			ask(c, SQL_TENANT_END);
	} else if (admin_is_done(c, "the tenant")) {
		tell(c, "id");
		admin_reply(c, 200);
	}
}
