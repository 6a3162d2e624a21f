/* SPDX-License-Identifier: Apache-2.0
 * The text of a bearer token. */
#include "edge/token.h"

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

bool token_parse(struct slice text, struct token *out)
{
	long long tenant;
	struct slice rest = text;
	if (!slice_is(slice_cut(&rest, '.'), "tb1"))
		return false;
	struct slice tenant_text = slice_cut(&rest, '.');
	if (tenant_text.n == 0 || tenant_text.p[0] < '1' || tenant_text.p[0] > '9' ||
	    !slice_to_i64(tenant_text, &tenant))
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
