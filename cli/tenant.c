/* SPDX-License-Identifier: Apache-2.0
 * Tenant 1, agent "main", a token with all scopes. */
#include "cli/tenant.h"

#include <stdio.h>

#include "cli/report.h"
#include "cli/state.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"

#define TOKEN_FILE "token"
#define AGENT_CONFIG                                                                     \
	"{\"systemPrompt\":\"You are a helpful assistant. Use the memory tools to keep " \
	"what the user asks you to remember and to look up what you know.\","            \
	"\"tools\":[\"memory_store\",\"memory_get\"]}"

/* ---- the tenant */

int tenant_first(struct owner *o)
{
	struct pg_params p;
	long long count;
	if (owner_number(o, "SELECT count(*) FROM tb.tenants WHERE tenant_id > 0",
			 "looking for tenants", &count))
		return -1;
	if (count)
		return 0;
	pg_params_init(&p);
	pg_uuid(&p, uuid7_new());
	pg_jsonb(&p, SLICE(AGENT_CONFIG));
	int rv = owner_query(
		o,
		"WITH t AS (INSERT INTO tb.tenants (tenant_id, slug) "
		"           VALUES (1, 'default') RETURNING tenant_id), "
		"a AS (INSERT INTO tb.agents (tenant_id, agent_id, name, revision) "
		"      SELECT tenant_id, $1, 'main', 1 FROM t RETURNING tenant_id), "
		"r AS (INSERT INTO tb.agent_revisions "
		"      (tenant_id, agent_id, revision, config, created_by) "
		"      SELECT tenant_id, $1, 1, $2, 'terabitsctl' FROM a) "
		"INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) "
		"SELECT tenant_id, $1, 'coding' FROM a",
		&p, NULL, "the first tenant cannot be made");
	pg_params_fini(&p);
	if (!rv)
		printf("made tenant 1 'default' with agent 'main'\n");
	return rv;
}

/* ---- the token */

int tenant_token_parse(struct slice text, struct tenant_token *out)
{
	struct slice rest = text;
	if (!slice_is(slice_cut(&rest, '.'), "tb1") ||
	    !slice_to_i64(slice_cut(&rest, '.'), &out->tenant) || out->tenant < 1 ||
	    !uuid_parse(slice_cut(&rest, '.'), &out->id) || rest.n == 0)
		return -1;
	out->secret = rest;
	return 0;
}

enum found { FOUND_NOT, FOUND_GOOD, FOUND_ENDED, FOUND_ERROR };

static enum found judge(const struct pg_result *r, const uint8_t hash[32])
{
	if (pg_rows(r) == 0 || !slice_eq(pg_get_bytea(r, 0, 0), slice_of(hash, 32)))
		return FOUND_NOT;
	return pg_get_bool(r, 0, 1) ? FOUND_GOOD : FOUND_ENDED;
}

static enum found look_up(struct owner *o, const struct tenant_token *t)
{
	struct pg_params p;
	struct pg_result *r;
	uint8_t hash[32];
	crypto_sha256(t->secret, hash);
	pg_params_init(&p);
	pg_i64(&p, t->tenant);
	pg_uuid(&p, t->id);
	int rv = owner_query(o,
			     "SELECT secret_sha256, revoked_at IS NULL AND "
			     "coalesce(expires_at > now(), true) FROM tb.api_tokens "
			     "WHERE tenant_id = $1 AND token_id = $2",
			     &p, &r, "looking for the token");
	pg_params_fini(&p);
	if (rv)
		return FOUND_ERROR;
	enum found f = judge(r, hash);
	pg_result_free(r);
	return f;
}

void tenant_token_new(int64_t tenant, struct tenant_new_token *out)
{
	char secret[48], id[UUID_TEXT_LEN + 1];
	uint8_t bytes[32];
	out->id = uuid7_new();
	crypto_random(bytes, sizeof bytes);
	crypto_base64url(bytes, sizeof bytes, secret, sizeof secret);
	crypto_sha256(slice_str(secret), out->sha256);
	uuid_format(out->id, id);
	snprintf(out->text, sizeof out->text, "tb1.%lld.%s.%s", (long long)tenant, id,
		 secret);
	crypto_wipe(bytes, sizeof bytes);
	crypto_wipe(secret, sizeof secret);
}

static int insert(struct owner *o, const struct tenant_new_token *t)
{
	struct pg_params p;
	pg_params_init(&p);
	pg_uuid(&p, t->id);
	pg_bytea(&p, slice_of(t->sha256, sizeof t->sha256));
	int rv = owner_query(o,
			     "INSERT INTO tb.api_tokens (tenant_id, token_id, "
			     "secret_sha256, scopes) VALUES (1, $1, $2, "
			     "ARRAY['run', 'read', 'write', 'admin'])",
			     &p, NULL, "the token cannot be made");
	pg_params_fini(&p);
	return rv;
}

static int make_token(struct owner *o)
{
	struct tenant_new_token t;
	char line[sizeof t.text + 1];
	tenant_token_new(1, &t);
	snprintf(line, sizeof line, "%s\n", t.text);
	int rv = insert(o, &t) || state_write(o->state, TOKEN_FILE, slice_str(line));
	crypto_wipe(&t, sizeof t);
	crypto_wipe(line, sizeof line);
	if (!rv)
		printf("new token in %s/" TOKEN_FILE "\n", o->state);
	return rv ? -1 : 0;
}

int tenant_token(struct owner *o)
{
	struct tenant_token t;
	long long there;
	AUTO(state_forget) char *text = state_read(o->state, TOKEN_FILE);
	enum found f = text && !tenant_token_parse(slice_str(text), &t) ? look_up(o, &t)
									: FOUND_NOT;
	if (f == FOUND_ENDED)
		report("the token in %s/" TOKEN_FILE " was revoked or has expired; "
		       "remove the file and run migrate again for a new one",
		       o->state);
	if (f != FOUND_NOT)
		return f == FOUND_ERROR ? -1 : 0;
	if (owner_number(o, "SELECT count(*) FROM tb.tenants WHERE tenant_id = 1",
			 "looking for tenant 1", &there))
		return -1;
	return there ? make_token(o) : 0;
}
