/* SPDX-License-Identifier: Apache-2.0
 * The tenant's API tokens: GET and POST /v1/tokens, GET, PATCH and DELETE
 * /v1/tokens/{id}, POST .../rotate. A secret is answered once and kept as a hash; who
 * revokes a token ends it at once, with all streams that are open by it. */
#include "edge/admin.h"
#include "edge/link.h"
#include "edge/query.h"
#include "edge/reply.h"

#define GRACE_MAX_S (30 * 24 * 3600)

enum stage { TOKENS_START, TOKENS_ASKED };

static bool has_id(struct call *c, struct admin_call *x)
{
	if (uuid_parse(c->match.params[0], &x->ask.id))
		return true;
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such token", 0);
	return false;
}

static void ask(struct call *c, enum sql what)
{
	c->stage = TOKENS_ASKED;
	admin_ask(c, what);
}

/* Edges of this node forget it now; of other nodes within seconds. */
static void tell(struct call *c)
{
	const struct admin_call *x = c->state;
	link_changed(c->edge, c->caller.tenant, SLICE("token"), x->ask.id);
}

/* ---- reading */

static bool take_before(struct call *c, struct slice v)
{
	struct uuid id;
	struct admin_call *x = c->state;
	if (!uuid_parse(v, &id))
		return reply_wrong(c->request, "before",
				   "before must be an id of this list, such as a page's "
				   "next");
	json_kv_str(&x->doc, "before", v);
	return true;
}

static bool take_state(struct call *c, struct slice v)
{
	struct admin_call *x = c->state;
	if (!slice_is(v, "active") && !slice_is(v, "expired") && !slice_is(v, "revoked"))
		return reply_wrong(c->request, "state",
				   "state must be active, expired or revoked");
	json_kv_str(&x->doc, "state", v);
	return true;
}

static bool take_user(struct call *c, struct slice v)
{
	struct admin_call *x = c->state;
	if (v.n == 0 || v.n > CALL_USER_MAX)
		return reply_wrong(c->request, "user", "user must be 1 to 256 bytes");
	json_kv_str(&x->doc, "user", v);
	return true;
}

void token_list(struct call *c)
{
	static const struct query_param params[] = {{"limit", admin_take_limit},
						    {"before", take_before},
						    {"state", take_state},
						    {"user", take_user}};
	if (c->asking)
		return;
	if (c->stage == TOKENS_START) {
		admin_begin(c, sizeof(struct admin_call));
		if (!query_read(c, params, ARRAY_LEN(params)))
			return;
		admin_put_limit(c);
		ask(c, SQL_TOKEN_PAGE);
	} else if (admin_is_done(c, "the list")) {
		admin_reply(c, 200);
	}
}

void token_get(struct call *c)
{
	if (c->asking)
		return;
	if (c->stage == TOKENS_START) {
		if (has_id(c, admin_begin(c, sizeof(struct admin_call))))
			ask(c, SQL_TOKEN_ONE);
	} else if (admin_is_done(c, "the token")) {
		admin_reply(c, 200);
	}
}

/* ---- writing */

void token_add(struct call *c)
{
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TOKENS_ASKED) {
		if (admin_is_done(c, "the token"))
			admin_reply_made(c, 201, NULL);
		return;
	}
	x = admin_begin(c, sizeof *x);
	if (!body_read(c, admin_token_new, ADMIN_TOKEN_NEW) || !admin_token_is_whole(c))
		return;
	token_make(c->caller.tenant, x->ask.id, &x->made);
	x->ask.id = x->made.id;
	x->ask.sha256 = x->made.sha256;
	ask(c, SQL_TOKEN_MINT);
}

void token_change(struct call *c)
{
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TOKENS_START) {
		x = admin_begin(c, sizeof *x);
		if (has_id(c, x) &&
		    body_read(c, admin_token_change, ADMIN_TOKEN_CHANGE) &&
		    change_read(c, &x->ask.change))
			ask(c, SQL_TOKEN_ALTER);
	} else if (admin_is_done(c, "the token")) {
		tell(c);
		admin_reply(c, 200);
	}
}

void token_revoke(struct call *c)
{
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TOKENS_START) {
		x = admin_begin(c, sizeof *x);
		if (has_id(c, x) && body_read(c, NULL, 0) &&
		    change_read(c, &x->ask.change))
			ask(c, SQL_TOKEN_END);
	} else if (admin_is_done(c, "the token")) {
		tell(c);
		admin_reply(c, 200);
	}
}

static bool take_grace(struct call *c, json_t v)
{
	int64_t s;
	struct admin_call *x = c->state;
	if (!body_number(c, "graceSeconds", v, 0, GRACE_MAX_S, &s))
		return false;
	json_kv_i64(&x->doc, "graceSeconds", s);
	return true;
}

void token_rotate(struct call *c)
{
	static const struct body_member members[] = {{"graceSeconds", take_grace}};
	struct admin_call *x = c->state;
	if (c->asking)
		return;
	if (c->stage == TOKENS_ASKED) {
		if (!admin_is_done(c, "the token"))
			return;
		tell(c);
		admin_reply_made(c, 200, NULL);
		return;
	}
	x = admin_begin(c, sizeof *x);
	if (!has_id(c, x) || !body_read(c, members, ARRAY_LEN(members)) ||
	    !change_read(c, &x->ask.change))
		return;
	token_make(c->caller.tenant, x->ask.id, &x->made);
	x->ask.sha256 = x->made.sha256;
	ask(c, SQL_TOKEN_ROTATE);
}
