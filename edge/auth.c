/* SPDX-License-Identifier: Apache-2.0
 * Bearer tokens, kept five seconds at most. */
#include "edge/auth.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "edge/reply.h"
#include "edge/store.h"
#include "edge/token.h"

#define TOKENS_MAX 16384

/* tenant and token id */
#define KEY_BYTES 24

static void make_key(const struct token *t, char key[KEY_BYTES])
{
	memcpy(key, &t->tenant, 8);
	memcpy(key + 8, t->id.b, 16);
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

static enum auth_verdict refuse(struct call *c, const char *message)
{
	reply_err(c->request, ERR_UNAUTHORIZED, NULL, message, 0);
	return AUTH_ANSWERED;
}

/* The row is of the right id: is it of the right secret, in time and allowed this? */
static enum auth_verdict judge(struct call *c, const struct token *t,
			       const struct token_row *row, unsigned scopes)
{
	uint8_t sha[32];
	crypto_sha256(t->secret, sha);
	if (!crypto_equal(sha, row->secret_sha256, sizeof sha) ||
	    (row->expires_us && row->expires_us <= clock_real_us()))
		return refuse(c, "the token is unknown, expired or revoked");
	if (row->suspended) {
		reply_err(c->request, ERR_FORBIDDEN, NULL, "the tenant is suspended", 0);
		return AUTH_ANSWERED;
	}
	if (!(row->scopes & (scopes | SCOPE_ADMIN))) {
		reply_err(c->request, ERR_FORBIDDEN, NULL, NULL, 0);
		return AUTH_ANSWERED;
	}
	c->caller = (struct caller){row->tenant,    row->id,          row->scopes,
				    row->suspended, row->max_running, row->max_queued,
				    row->weight};
	return AUTH_YES;
}

enum auth_verdict auth_check(struct call *c, unsigned scopes)
{
	char key[KEY_BYTES];
	struct token t;
	struct token_row row;
	struct slice field = http_field(&c->request->head, "authorization");
	if (!field.p)
		return refuse(c, "an Authorization: Bearer field with a token is needed");
	if (!token_parse(token_of_field(field), &t))
		return refuse(c, "the token is malformed");
	make_key(&t, key);
	switch (cache_look(c->edge->tokens, slice_of(key, sizeof key), &c->wait, &c->task,
			   NULL, &row)) {
	case CACHE_FOUND:
		return judge(c, &t, &row, scopes);
	case CACHE_ABSENT:
		return refuse(c, "the token is unknown, expired or revoked");
	case CACHE_WAIT:
		return AUTH_WAIT;
	default:
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
		return AUTH_ANSWERED;
	}
}
