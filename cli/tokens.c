/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl token: create, list, revoke. The database keeps a hash, so a token's text
 * is printed once. */
#include <stdio.h>
#include <string.h>

#include "cli/catalogue.h"
#include "cli/onboard.h"
#include "cli/report.h"
#include "cli/tenant.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"

/* ---- create */

static const char *const scopes[] = {"run", "read", "write", "admin"};

/* The comma-separated words as an array parameter. -1: reported. */
static int put_scopes(struct pg_params *p, const char *text)
{
	struct slice rest = slice_str(text);
	unsigned seen = 0;
	pg_array(p, PG_TEXT);
	while (rest.p) {
		struct slice word = slice_trim(slice_cut(&rest, ','));
		size_t i = 0;
		while (i < ARRAY_LEN(scopes) && !slice_is(word, scopes[i]))
			i++;
		if (i == ARRAY_LEN(scopes) || (seen >> i & 1)) {
			report("token create: --scopes must be some of run, read, write "
			       "and admin, each once, with commas between; not '%s'",
			       text);
			return -1;
		}
		seen |= 1u << i;
		pg_text(p, word);
	}
	pg_array_end(p);
	return 0;
}

#define MADE_EXPIRES CATALOGUE_TIME("expires_at")
#define NOTED                                                                            \
	CATALOGUE_AUDIT("tenant_id", "'token.create'", "token_id::text",                 \
			"jsonb_build_object('scopes', scopes, 'expiresAt', expires_at)")

static const char insert_sql[] =
	"WITH made AS (INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, "
	"expires_at, name, user_id, requests_per_minute, tokens_per_minute, created_by, "
	"scopes) VALUES ($3, $4, $5, now() + make_interval(days => $6), $8, $9, $10, "
	"$11, "
	"$2, $12) RETURNING *), " NOTED "SELECT json_build_object('id', token_id, "
	"'tenant', $7, 'scopes', scopes, 'name', "
	"name, 'user', user_id, 'expiresAt', " MADE_EXPIRES ")::text FROM made";

static void put_text(struct pg_params *p, const struct args *a, enum param_id id)
{
	const char *text = args_text(a, id, NULL);
	pg_text(p, text ? slice_str(text) : SLICE_NONE);
}

/* What the table would refuse, in words. */
static int check(const struct args *a)
{
	bool admin = strstr(args_text(a, PARAM_scopes, ""), "admin") != NULL;
	if (args_has(a, O(platform)) &&
	    (strcmp(args_text(a, PARAM_scopes, ""), "admin") != 0 ||
	     args_has(a, O(user)))) {
		report("token create: a token of the platform has --scopes admin and no "
		       "--user");
		return EXIT_USAGE;
	}
	if (admin && args_has(a, O(user))) {
		report("token create: a token with --user cannot have the scope admin: "
		       "an end user administers nothing");
		return EXIT_USAGE;
	}
	return 0;
}

static int find_tenant(struct catalogue *c)
{
	if (!args_has(c->args, O(platform)))
		return catalogue_tenant(c);
	snprintf(c->slug, sizeof c->slug, "platform");
	return 0;
}

int token_row_new(struct catalogue *c, const struct tenant_new_token *t,
		  const char *scopes_text, struct strbuf *json)
{
	struct pg_params p;
	const struct args *a = c->args;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_i64(&p, c->tenant);
	pg_uuid(&p, t->id);
	pg_bytea(&p, slice_of(t->sha256, sizeof t->sha256));
	if (args_has(a, O(expires)))
		pg_i32(&p, (int32_t)a->number[PARAM_expires]);
	else
		pg_null(&p, PG_INT4);
	pg_text(&p, slice_str(c->slug));
	put_text(&p, a, PARAM_name);
	put_text(&p, a, PARAM_user);
	if (args_has(a, O(requests)))
		pg_i32(&p, (int32_t)a->number[PARAM_requests]);
	else
		pg_null(&p, PG_INT4);
	if (args_has(a, O(model_tokens)))
		pg_i64(&p, a->number[PARAM_model_tokens]);
	else
		pg_null(&p, PG_INT8);
	int found = -2;
	if (!put_scopes(&p, scopes_text))
		found = catalogue_query(c, insert_sql, &p, json,
					"the token cannot be made");
	pg_params_fini(&p);
	return found > 0 ? EXIT_FINE : found == -2 ? EXIT_USAGE : EXIT_FAILED;
}

/* The answer with the token as its first member. */
static void print_token(const struct catalogue *c, const struct tenant_new_token *t,
			const struct strbuf *json)
{
	struct strbuf whole = STRBUF_INIT;
	strbuf_printf(&whole, "{\"token\":\"%s\",%s", t->text, json->p + 1);
	catalogue_print(c, &whole);
	crypto_wipe(whole.p, whole.n);
	strbuf_fini(&whole);
	fflush(stdout);
	if (!args_wants_json(c->args))
		report("the token above is shown this once: the database keeps only a "
		       "hash "
		       "of it");
}

int token_create_command(const struct args *a)
{
	static struct catalogue c;
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	struct tenant_new_token t;
	int status = check(a);
	if (status)
		return status;
	status = catalogue_open(&c, a);
	if (!status)
		status = find_tenant(&c);
	if (!status) {
		tenant_token_new(c.tenant, &t);
		status = token_row_new(&c, &t, a->text[PARAM_scopes], &json);
		if (!status)
			print_token(&c, &t, &json);
		crypto_wipe(&t, sizeof t);
	}
	catalogue_close(&c);
	return status;
}

/* ---- list */

#define CREATED CATALOGUE_TIME("k.created_at")
#define EXPIRES CATALOGUE_TIME("k.expires_at")
#define USED CATALOGUE_TIME("k.last_used_at")
#define REVOKED CATALOGUE_TIME("k.revoked_at")

static const char list_sql[] =
	"SELECT json_build_object('tokens', coalesce(json_agg(json_build_object("
	"'id', k.token_id, 'tenant', t.slug, 'name', k.name, 'user', k.user_id, "
	"'scopes', array_to_string(k.scopes, ','), "
	"'state', CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' "
	"WHEN k.expires_at <= now() THEN 'expired' ELSE 'active' END, "
	"'createdAt', " CREATED ", 'expiresAt', " EXPIRES ", 'revokedAt', " REVOKED
	", 'lastUsedAt', " USED ") ORDER BY t.slug, k.token_id), '[]'))::text "
	"FROM tb.api_tokens k JOIN tb.tenants t USING (tenant_id) "
	"WHERE $1 = 0 OR k.tenant_id = $1";

int token_list_command(const struct args *a)
{
	return catalogue_list_by_tenant(a, list_sql, "reading the tokens");
}

/* ---- revoke */

static int64_t tenant_of(const struct strbuf *json)
{
	int64_t tenant = 0;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(json), json->n, NULL, 0);
	json_i64(json_get(json_root(d), "tenantId"), &tenant);
	return tenant;
}

static int revoke(struct catalogue *c, struct uuid id)
{
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_uuid(&p, id);
	int found = catalogue_query(
		c,
		"WITH old AS (SELECT tenant_id, token_id, revoked_at FROM tb.api_tokens "
		"WHERE token_id = $3 FOR UPDATE), "
		"made AS (UPDATE tb.api_tokens k SET revoked_at = now() FROM old WHERE "
		"k.tenant_id = old.tenant_id AND k.token_id = old.token_id AND "
		"old.revoked_at IS NULL RETURNING k.*), " CATALOGUE_AUDIT(
			"tenant_id", "'token.revoke'", "token_id::text",
			"'{}'::jsonb") "SELECT json_build_object('id', token_id, "
				       "'tenantId', tenant_id, "
				       "'changed', revoked_at IS NULL)::text FROM old",
		&p, &json, "the token cannot be revoked");
	pg_params_fini(&p);
	if (found < 0)
		return EXIT_FAILED;
	if (!found) {
		report("there is no token %s; 'terabitsctl token list' shows them",
		       c->args->text[PARAM_token]);
		return EXIT_ABSENT;
	}
	catalogue_print(c, &json);
	c->tenant = tenant_of(&json);
	catalogue_invalidate(c, "token", &id);
	return EXIT_FINE;
}

int token_revoke_command(const struct args *a)
{
	static struct catalogue c;
	struct uuid id;
	uuid_parse(slice_str(a->text[PARAM_token]), &id);
	int status = catalogue_open(&c, a);
	if (!status)
		status = revoke(&c, id);
	catalogue_close(&c);
	return status;
}
