/* SPDX-License-Identifier: Apache-2.0
 * The way of an administrator's question: a document, one statement, its answer. */
#include "edge/admin.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "edge/reply.h"
#include "edge/store.h"

#define REQUESTS_MAX 10000000
#define TOKENS_MAX 1000000000000
#define NAME_MAX_BYTES 63
#define YEAR_S (366LL * 24 * 3600)
#define TTL_MAX_S (10 * YEAR_S)
#define LIST_DEFAULT 50

static struct admin_call *state(const struct call *c)
{
	return c->state;
}

static void on_end(struct call *c)
{
	struct admin_call *x = c->state;
	strbuf_fini(&x->text);
	crypto_wipe(&x->made, sizeof x->made);
}

void *admin_begin(struct call *c, size_t size)
{
	struct admin_call *x = arena_zalloc(c->request->arena, size);
	x->ask.change.expect = -1;
	x->limit = LIST_DEFAULT;
	x->doc = json_out(&x->text);
	json_obj(&x->doc);
	c->state = x;
	c->on_end = on_end;
	return x;
}

void admin_ask(struct call *c, enum sql what)
{
	struct admin_call *x = state(c);
	json_obj_end(&x->doc);
	x->ask.what = what;
	x->ask.doc = strbuf_slice(&x->text);
	admin_store_ask(c, &x->ask);
}

/* ---- answers */

bool admin_is_done(struct call *c, const char *what)
{
	struct request *r = c->request;
	const struct admin_ask *q = &state(c)->ask;
	if (c->asked)
		return change_is_done(c, &q->change, what);
	if (slice_is(q->word, "scopes"))
		reply_err(r, ERR_FORBIDDEN, "scopes",
			  "scopes must be some of the caller's own: nobody gives what he "
			  "has not",
			  0);
	else if (slice_is(q->word, "full"))
		reply_err(r, ERR_CONFLICT, NULL,
			  "the tenant has 10000 tokens that are good: revoke some first",
			  0);
	else if (slice_is(q->word, "taken"))
		reply_err(r, ERR_CONFLICT, "name", "there is a tenant of that name", 0);
	else
		return change_is_done(c, &q->change, what);
	return false;
}

static void reply_json(struct call *c, int status, struct slice json)
{
	char tag[32];
	const struct change *ch = &state(c)->ask.change;
	snprintf(tag, sizeof tag, "\"%lld\"", (long long)ch->version);
	reply_head(c->request, status);
	if (ch->version > 0)
		reply_field(c->request, "etag", slice_str(tag));
	reply_body(c->request, "application/json", json);
}

void admin_reply(struct call *c, int status)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_slice(&b, state(c)->ask.body);
	strbuf_add_char(&b, '\n');
	reply_json(c, status, strbuf_slice(&b));
}

static void put_made(struct json_out *o, json_t token, const char *text)
{
	struct json_iter it = json_iter(token);
	struct slice key;
	char name[64];
	json_obj(o);
	json_kv_cstr(o, "token", text);
	for (json_t v; (v = json_next(&it, &key));) {
		snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
		json_key(o, name);
		json_put_value(o, v);
	}
	json_obj_end(o);
}

void admin_reply_made(struct call *c, int status, const char *member)
{
	struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct admin_call *x = state(c);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(x->ask.body, x->ask.body.n, NULL, 0);
	struct json_iter it = json_iter(json_root(d));
	struct slice key;
	char name[64];
	if (!member) {
		put_made(&o, json_root(d), x->made.text);
	} else {
		json_obj(&o);
		for (json_t v; (v = json_next(&it, &key));) {
			snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
			json_key(&o, name);
			if (slice_is(key, member))
				put_made(&o, v, x->made.text);
			else
				json_put_value(&o, v);
		}
		json_obj_end(&o);
	}
	strbuf_add_char(&b, '\n');
	reply_json(c, status, strbuf_slice(&b));
	crypto_wipe(b.p, b.n);
	strbuf_fini(&b);
}

/* ---- members */

/* A number, or null: no limit. */
static bool take_limit(struct call *c, const char *name, json_t v, int64_t most)
{
	struct json_out *o = &state(c)->doc;
	int64_t n;
	if (json_kind(v) == JSON_NULL) {
		json_key(o, name);
		json_put_null(o);
		return true;
	}
	if (!json_i64(v, &n) || n < 1 || n > most)
		return reply_wrong(c->request, name,
				   arena_printf(c->request->arena,
						"%s must be an integer from 1 to %lld, "
						"or null for no limit",
						name, (long long)most));
	json_kv_i64(o, name, n);
	return true;
}

bool admin_take_requests(struct call *c, json_t v)
{
	return take_limit(c, "requestsPerMinute", v, REQUESTS_MAX);
}

bool admin_take_tokens(struct call *c, json_t v)
{
	return take_limit(c, "tokensPerMinute", v, TOKENS_MAX);
}

bool admin_take_limits(struct call *c, json_t v)
{
	static const struct body_member members[] = {
		{"requestsPerMinute", admin_take_requests},
		{"tokensPerMinute", admin_take_tokens}};
	return body_members(c, "limits", v, members, ARRAY_LEN(members));
}

static bool take_name(struct call *c, json_t v)
{
	struct slice name = SLICE_NONE;
	struct json_out *o = &state(c)->doc;
	if (json_kind(v) != JSON_NULL &&
	    !body_text(c, "name", v, 1, NAME_MAX_BYTES, false, &name))
		return false;
	json_key(o, "name");
	if (name.p)
		json_put_str(o, name);
	else
		json_put_null(o);
	return true;
}

static bool wrong_scopes(struct call *c)
{
	return reply_wrong(c->request, "scopes",
			   "scopes must be a list of some of \"run\", \"read\", "
			   "\"write\" and \"admin\", each once");
}

static bool take_scopes(struct call *c, json_t v)
{
	static const char *const words[] = {"run", "read", "write", "admin"};
	struct admin_call *x = state(c);
	struct json_iter it = json_iter(v);
	unsigned seen = 0;
	if (json_kind(v) != JSON_ARRAY || json_len(v) == 0)
		return wrong_scopes(c);
	for (json_t e; (e = json_next(&it, NULL));) {
		size_t i = 0;
		while (i < ARRAY_LEN(words) && !slice_is(json_str(e), words[i]))
			i++;
		if (i == ARRAY_LEN(words) || (seen >> i & 1))
			return wrong_scopes(c);
		seen |= 1u << i;
	}
	if (c->caller.tenant == 0 && c->match.route == ROUTE_TOKEN_ADD && seen != 8)
		return reply_wrong(
			c->request, "scopes",
			"scopes of a token of the platform must be [\"admin\"]");
	x->has_admin = seen >> 3 & 1;
	json_key(&x->doc, "scopes");
	json_put_value(&x->doc, v);
	return x->has_scopes = true;
}

/* One of the two says it; the document has microseconds, -1 stands for never. */
static bool put_expiry(struct call *c, int64_t us)
{
	struct admin_call *x = state(c);
	if (x->has_expiry)
		return reply_wrong(c->request, "ttlSeconds",
				   "ttlSeconds and expiresAt say the same: give one");
	x->has_expiry = true;
	json_key(&x->doc, "expiresUs");
	if (us < 0)
		json_put_null(&x->doc);
	else
		json_put_i64(&x->doc, us);
	return true;
}

static bool take_expires(struct call *c, json_t v)
{
	int64_t us;
	struct slice text = json_str(v);
	if (json_kind(v) == JSON_NULL)
		return put_expiry(c, -1);
	if (!text.p || !clock_parse(text, &us))
		return reply_wrong(c->request, "expiresAt",
				   "expiresAt must be an instant of UTC, like "
				   "2026-11-30T12:00:00Z, or null for never");
	if (us <= clock_real_us())
		return reply_wrong(c->request, "expiresAt", "expiresAt is in the past");
	return put_expiry(c, us);
}

static bool take_ttl(struct call *c, json_t v)
{
	int64_t s;
	return body_number(c, "ttlSeconds", v, 1, TTL_MAX_S, &s) &&
	       put_expiry(c, clock_real_us() + s * 1000000);
}

static bool take_user(struct call *c, json_t v)
{
	struct slice user;
	if (!body_text(c, "user", v, 1, CALL_USER_MAX, false, &user))
		return false;
	json_kv_str(&state(c)->doc, "user", user);
	return state(c)->has_user = true;
}

bool admin_token_is_whole(struct call *c)
{
	const struct admin_call *x = state(c);
	if (!x->has_scopes)
		return reply_wrong(c->request, "scopes", "scopes is missing");
	if (x->has_user && x->has_admin)
		return reply_wrong(c->request, "scopes",
				   "scopes of a token with a user must not have "
				   "\"admin\": an end user administers nothing");
	return true;
}

const struct body_member admin_token_new[ADMIN_TOKEN_NEW] = {
	{"name", take_name},      {"scopes", take_scopes}, {"expiresAt", take_expires},
	{"ttlSeconds", take_ttl}, {"user", take_user},     {"limits", admin_take_limits}};
const struct body_member admin_token_change[ADMIN_TOKEN_CHANGE] = {
	{"name", take_name},
	{"expiresAt", take_expires},
	{"ttlSeconds", take_ttl},
	{"limits", admin_take_limits}};

/* ---- lists */

bool admin_take_limit(struct call *c, struct slice v)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > PAGE_MAX)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	state(c)->limit = n;
	return true;
}

void admin_put_limit(struct call *c)
{
	json_kv_i64(&state(c)->doc, "limit", state(c)->limit);
}
