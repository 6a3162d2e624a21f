/* SPDX-License-Identifier: Apache-2.0
 * Text, and HMAC-SHA-256 over all of it that stands before the last dot. */
#include "edge/stream_token.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto.h"

#define MARK_TEXT 44 /* 32 bytes as URL-safe base64, and a NUL */

static void make_mark(const uint8_t key[32], struct slice said, char out[MARK_TEXT])
{
	uint8_t mac[32];
	crypto_hmac_sha256(slice_of(key, 32), said, mac);
	crypto_base64url(mac, sizeof mac, out, MARK_TEXT);
}

void stream_token_make(const struct stream_token *t, const uint8_t key[32],
		       char text[STREAM_TOKEN_TEXT])
{
	char token[UUID_TEXT_LEN + 1], object[UUID_TEXT_LEN + 1], mark[MARK_TEXT];
	uuid_format(t->token, token);
	uuid_format(t->object, object);
	int n = snprintf(text, STREAM_TOKEN_TEXT, "ts1.%lld.%s.%c.%s.%lld",
			 (long long)t->tenant, token, t->of_session ? 's' : 'r', object,
			 (long long)t->until_s);
	make_mark(key, slice_of(text, (size_t)n), mark);
	snprintf(text + n, STREAM_TOKEN_TEXT - (size_t)n, ".%s", mark);
}

static bool take_number(struct slice s, int64_t *out)
{
	long long v;
	if (s.n == 0 || s.p[0] < '1' || s.p[0] > '9' || !slice_to_i64(s, &v))
		return false;
	*out = v;
	return true;
}

bool stream_token_parse(struct slice text, struct stream_token *out)
{
	struct slice rest = text, kind;
	if (!slice_is(slice_cut(&rest, '.'), "ts1") ||
	    !take_number(slice_cut(&rest, '.'), &out->tenant) ||
	    !uuid_parse(slice_cut(&rest, '.'), &out->token))
		return false;
	kind = slice_cut(&rest, '.');
	out->of_session = slice_is(kind, "s");
	if ((!out->of_session && !slice_is(kind, "r")) ||
	    !uuid_parse(slice_cut(&rest, '.'), &out->object) ||
	    !take_number(slice_cut(&rest, '.'), &out->until_s) || !rest.p ||
	    rest.n != MARK_TEXT - 1)
		return false;
	out->mark = rest;
	out->said = slice_of(text.p, text.n - rest.n - 1);
	return true;
}

bool stream_token_is_of(const struct stream_token *t, const uint8_t key[32])
{
	char mark[MARK_TEXT];
	make_mark(key, t->said, mark);
	return t->mark.n == MARK_TEXT - 1 && crypto_equal(mark, t->mark.p, MARK_TEXT - 1);
}
