/* SPDX-License-Identifier: Apache-2.0
 * The text of a bearer token. */
#include "edge/token.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto.h"

static bool is_secret(struct slice s)
{
	if (s.n < TOKEN_SECRET_MIN || s.n > TOKEN_SECRET_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			    (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
		if (!fine)
			return false;
	}
	return true;
}

/* Written in one way only. */
static bool is_number(struct slice s)
{
	return slice_is(s, "0") || (s.n > 0 && s.p[0] >= '1' && s.p[0] <= '9');
}

bool token_parse(struct slice text, struct token *out)
{
	long long tenant;
	struct slice rest = text;
	if (!slice_is(slice_cut(&rest, '.'), "tb1"))
		return false;
	struct slice tenant_text = slice_cut(&rest, '.');
	if (!is_number(tenant_text) || !slice_to_i64(tenant_text, &tenant))
		return false;
	out->tenant = tenant;
	if (!uuid_parse(slice_cut(&rest, '.'), &out->id))
		return false;
	out->secret = rest;
	return is_secret(rest);
}

struct slice token_of_field(struct slice authorization)
{
	struct slice rest = authorization;
	struct slice word = slice_cut(&rest, ' ');
	return slice_ieq(word, SLICE("bearer")) ? slice_trim(rest) : SLICE_NONE;
}

static void compose(int64_t tenant, const char *secret, struct token_text *t)
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(t->id, id);
	snprintf(t->text, sizeof t->text, "tb1.%lld.%s.%s", (long long)tenant, id,
		 secret);
}

void token_make(int64_t tenant, struct uuid id, struct token_text *out)
{
	char secret[TOKEN_SECRET_MAX];
	uint8_t bytes[32];
	out->id = uuid_is_nil(id) ? uuid7_new() : id;
	crypto_random(bytes, sizeof bytes);
	crypto_base64url(bytes, sizeof bytes, secret, sizeof secret);
	crypto_sha256(slice_str(secret), out->sha256);
	compose(tenant, secret, out);
	crypto_wipe(bytes, sizeof bytes);
	crypto_wipe(secret, sizeof secret);
}

void token_rename(int64_t tenant, struct token_text *t)
{
	char secret[TOKEN_SECRET_MAX + 1];
	const char *dot = strrchr(t->text, '.');
	if (!dot)
		return;
	snprintf(secret, sizeof secret, "%s", dot + 1);
	compose(tenant, secret, t);
	crypto_wipe(secret, sizeof secret);
}
