/* SPDX-License-Identifier: Apache-2.0
 * Bearer tokens, kept five seconds at most, and the end user that a request is for. */
#include "edge/auth.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "edge/penalties.h"
#include "edge/reply.h"
#include "edge/route.h"
#include "edge/store.h"
#include "edge/stream_token.h"
#include "edge/token.h"
#include "edge/token_uses.h"

#define TOKENS_MAX 16384
#define USER_FIELD "X-Terabits-User"
#define UNKNOWN "the token is unknown, expired or revoked"

/* tenant and token id */
#define KEY_BYTES 24

/* What a request brings to say who it is. */
struct credential {
	bool streams; /* `stream`, from the query; else `token`, from the head */
	struct token token;
	struct stream_token stream;
};

static struct slice make_key(int64_t tenant, struct uuid token, char key[KEY_BYTES])
{
	memcpy(key, &tenant, 8);
	memcpy(key + 8, token.b, 16);
	return slice_of(key, KEY_BYTES);
}

static void load(void *arg, struct cache_entry *e, struct slice key, const void *hint)
{
	int64_t tenant;
	struct uuid id;
	(void)hint;
	memcpy(&tenant, key.p, 8);
	memcpy(id.b, key.p + 8, 16);
	store_load_token(arg, e, tenant, id);
}

struct cache *auth_cache_new(struct edge *e)
{
	return cache_new(&(struct cache_config){.loop = e->loop,
						.capacity = TOKENS_MAX,
						.value_size = sizeof(struct token_row),
						.refresh_us = 2500000,
						.fresh_us = 5000000,
						.absent_us = 1000000,
						.load = load,
						.arg = e});
}

static bool is_token(const void *value, const void *id)
{
	const struct token_row *row = value;
	return uuid_eq(row->id, *(const struct uuid *)id);
}

void auth_invalidate(struct edge *e, struct uuid token)
{
	cache_drop_if(e->tokens, is_token, &token);
}

static bool is_tenant(const void *value, const void *tenant)
{
	const struct token_row *row = value;
	return row->tenant == *(const int64_t *)tenant;
}

void auth_invalidate_tenant(struct edge *e, int64_t tenant)
{
	cache_drop_if(e->tokens, is_tenant, &tenant);
}

bool auth_is_good(const struct token_row *row)
{
	return !row->suspended && (!row->expires_us || row->expires_us > clock_real_us());
}

/* ---- refusals */

static enum auth_verdict too_many(struct call *c, unsigned seconds)
{
	reply_err(c->request, ERR_RATE_LIMITED, NULL,
		  "too many requests of this address had no good token: wait", seconds);
	return AUTH_ANSWERED;
}

static enum auth_verdict missing(struct call *c)
{
	reply_err(c->request, ERR_UNAUTHORIZED, NULL,
		  "an Authorization: Bearer field with a token is needed", 0);
	return AUTH_ANSWERED;
}

/* A listener whose clients are gateways has one address for them all. */
static enum auth_verdict refuse(struct call *c, const char *message)
{
	struct request *r = c->request;
	unsigned seconds =
		r->trusted ? 0
			   : penalties_note(c->edge->penalties, request_address(r),
					    loop_now_us(c->edge->loop));
	if (seconds)
		return too_many(c, seconds);
	reply_err(r, ERR_UNAUTHORIZED, NULL, message, 0);
	return AUTH_ANSWERED;
}

static enum auth_verdict forbid(struct call *c, const char *param, const char *message)
{
	reply_err(c->request, ERR_FORBIDDEN, param, message, 0);
	return AUTH_ANSWERED;
}

/* ---- the credential */

static enum auth_verdict read_stream_token(struct call *c, struct slice text,
					   struct credential *out)
{
	if (!stream_token_parse(text, &out->stream))
		return refuse(c, "the stream token is malformed");
	out->streams = true;
	out->token.tenant = out->stream.tenant;
	out->token.id = out->stream.token;
	return AUTH_YES;
}

static enum auth_verdict read_credential(struct call *c, struct credential *out)
{
	struct request *r = c->request;
	struct slice field = http_field(&r->head, "authorization");
	bool by_query = c->match.route == ROUTE_RUN_EVENTS;
	struct slice query =
		by_query ? http_query(&r->head, "token", r->arena) : SLICE_NONE;
	*out = (struct credential){0};
	if (!field.p)
		return query.p ? read_stream_token(c, query, out) : missing(c);
	if (query.p) {
		reply_wrong(r, "token",
			    "token in the query stands for the Authorization field: send "
			    "one of them");
		return AUTH_ANSWERED;
	}
	if (!token_parse(token_of_field(field), &out->token))
		return refuse(c, "the token is malformed");
	return AUTH_YES;
}

/* The secret, or the one before while it is good. */
static bool has_secret(const struct token_row *row, struct slice secret)
{
	uint8_t sha[32];
	crypto_sha256(secret, sha);
	return crypto_equal(sha, row->secret_sha256, sizeof sha) ||
	       (row->previous_until_us > clock_real_us() &&
		crypto_equal(sha, row->previous_sha256, sizeof sha));
}

static bool has_mark(const struct token_row *row, const struct stream_token *t)
{
	return stream_token_is_of(t, row->secret_sha256) ||
	       (row->previous_until_us > clock_real_us() &&
		stream_token_is_of(t, row->previous_sha256));
}

/* ---- whose it is */

static bool is_a_user(struct slice s)
{
	return s.n > 0 && s.n <= CALL_USER_MAX && slice_is_utf8(s) &&
	       !slice_has_control(s);
}

/* The user that the token is bound to, or that a gateway names. False: answered. */
static bool find_user(struct call *c, const struct token_row *row)
{
	struct request *r = c->request;
	struct slice named = http_field(&r->head, "x-terabits-user");
	struct slice bound = slice_of(row->user, row->user_n);
	c->caller.user = bound.n ? arena_slice(r->arena, bound) : SLICE_NONE;
	if (!named.p)
		return true;
	if (!r->trusted)
		forbid(c, USER_FIELD,
		       "X-Terabits-User is taken on a Unix socket and from clients with "
		       "a certificate alone: elsewhere anybody could name anyone");
	else if (!is_a_user(named))
		reply_wrong(r, USER_FIELD,
			    "X-Terabits-User must be 1 to 256 bytes of UTF-8 without "
			    "control characters");
	else if (row->tenant == 0 || (bound.n && !slice_eq(bound, named)))
		forbid(c, USER_FIELD,
		       "X-Terabits-User names another user than the token");
	else
		return c->caller.user = named, true;
	return false;
}

/* An end user administers nothing, whoever's token it is that speaks for them. */
static unsigned scopes_of(const struct call *c, const struct token_row *row)
{
	if (!c->caller.user.n || !(row->scopes & SCOPE_ADMIN))
		return row->scopes;
	return SCOPE_RUN | SCOPE_READ | SCOPE_WRITE;
}

static bool is_for_platform(struct call *c, const struct token_row *row, unsigned scopes)
{
	if (row->tenant == 0 && !(scopes & SCOPE_PLATFORM))
		forbid(c, NULL,
		       "a token of the platform administers tenants: for their own "
		       "things use a token of theirs");
	else if (row->tenant != 0 && scopes == SCOPE_PLATFORM)
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  "there is nothing at this path", 0);
	else
		return true;
	return false;
}

static enum auth_verdict lacks(struct call *c, unsigned scopes)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	for (unsigned i = 0; route_scope_word(i); i++)
		if (scopes & 1u << i)
			strbuf_printf(&b, "%s%s", b.n ? " or " : "", route_scope_word(i));
	return forbid(c, NULL,
		      arena_printf(c->request->arena,
				   "the token lacks the scope this call needs: %.*s",
				   (int)b.n, b.p));
}

static enum auth_verdict allow(struct call *c, const struct token_row *row,
			       unsigned scopes)
{
	if (row->suspended)
		return forbid(c, NULL, "the tenant is suspended");
	c->caller = (struct caller){.tenant = row->tenant,
				    .token = row->id,
				    .suspended = row->suspended,
				    .max_running = row->max_running,
				    .max_queued = row->max_queued,
				    .weight = row->weight,
				    .requests = row->requests,
				    .tenant_requests = row->tenant_requests,
				    .tokens = row->tokens,
				    .tenant_tokens = row->tenant_tokens};
	if (!is_for_platform(c, row, scopes) || !find_user(c, row))
		return AUTH_ANSWERED;
	c->caller.scopes = scopes_of(c, row);
	if (!call_has_scope(c, scopes))
		return lacks(c, scopes);
	token_uses_note(c->edge->uses, row->tenant, row->id);
	return AUTH_YES;
}

/* It is one run's, or those of one session: which the path's is, its handler knows. */
static enum auth_verdict allow_stream(struct call *c, const struct token_row *row,
				      const struct stream_token *t)
{
	struct uuid run;
	enum auth_verdict v;
	if (!uuid_parse(c->match.params[0], &run))
		run = (struct uuid){{0}};
	if (!t->of_session && !uuid_eq(run, t->object))
		return forbid(c, "token", "the stream token is of another run");
	v = allow(c, row, SCOPE_RUN | SCOPE_READ);
	if (v != AUTH_YES)
		return v;
	c->caller.scopes = SCOPE_READ;
	if (t->of_session)
		c->caller.session = t->object;
	return v;
}

/* The row is of the right id: is it of the right secret, in time and allowed this? */
static enum auth_verdict judge(struct call *c, const struct credential *x,
			       const struct token_row *row, unsigned scopes)
{
	bool late = row->expires_us && row->expires_us <= clock_real_us();
	if (late ||
	    !(x->streams ? has_mark(row, &x->stream) : has_secret(row, x->token.secret)))
		return refuse(c, UNKNOWN);
	if (!x->streams)
		return allow(c, row, scopes);
	bool resumes = http_field(&c->request->head, "last-event-id").n;
	int64_t until_s = x->stream.until_s + (resumes ? STREAM_TOKEN_RESUME_S : 0);
	if (until_s <= clock_real_us() / 1000000)
		return refuse(c,
			      "the stream token's time to connect is over: get another "
			      "one");
	return allow_stream(c, row, &x->stream);
}

enum auth_verdict auth_check(struct call *c, unsigned scopes)
{
	char text[KEY_BYTES];
	struct credential x;
	struct token_row row;
	struct edge *e = c->edge;
	if (read_credential(c, &x) != AUTH_YES)
		return AUTH_ANSWERED;
	struct slice key = make_key(x.token.tenant, x.token.id, text);
	/* Who guesses is not looked up for; who is known goes on, also from there. */
	unsigned seconds = penalties_look(e->penalties, request_address(c->request),
					  loop_now_us(e->loop));
	if (seconds && !c->request->trusted &&
	    cache_peek(e->tokens, key, &row) != CACHE_FOUND)
		return too_many(c, seconds);
	switch (cache_look(e->tokens, key, &c->wait, &c->task, NULL, &row)) {
	case CACHE_FOUND:
		return judge(c, &x, &row, scopes);
	case CACHE_ABSENT:
		return refuse(c, UNKNOWN);
	case CACHE_WAIT:
		return AUTH_WAIT;
	default:
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return AUTH_ANSWERED;
	}
}
