/* SPDX-License-Identifier: Apache-2.0
 * Inside the box: a format's byte, the digest of what the key is bound to, the key. */
#include "proto/keys/key_seal.h"

#include <string.h>

#include "common/die.h"

#define FORMAT 1

void seal_id(const uint8_t public_key[CRYPTO_BOX_KEY], uint8_t id[SEAL_ID])
{
	uint8_t digest[32];
	crypto_sha256(slice_of(public_key, CRYPTO_BOX_KEY), digest);
	memcpy(id, digest, SEAL_ID);
}

static void add_number(struct crypto_sha256_state *s, uint64_t v)
{
	uint8_t b[8];
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	crypto_sha256_add(s, slice_of(b, sizeof b));
}

/* With lengths, so that no two rows have the same bytes. */
static void digest(const struct seal_bound *b, uint8_t out[32])
{
	struct crypto_sha256_state s;
	crypto_sha256_begin(&s);
	crypto_sha256_add(&s, SLICE("terabits provider key"));
	add_number(&s, (uint64_t)b->tenant);
	crypto_sha256_add(&s, uuid_slice(&b->key));
	add_number(&s, b->provider.n);
	crypto_sha256_add(&s, b->provider);
	add_number(&s, b->base_url.n);
	crypto_sha256_add(&s, b->base_url);
	crypto_sha256_end(&s, out);
}

size_t seal_close(const uint8_t public_key[CRYPTO_BOX_KEY], const struct seal_bound *b,
		  struct slice secret, uint8_t out[SEAL_MOST])
{
	uint8_t text[SEAL_INSIDE + PROVIDER_KEY_MOST];
	check(secret.n <= PROVIDER_KEY_MOST);
	text[0] = FORMAT;
	digest(b, text + 1);
	memcpy(text + SEAL_INSIDE, secret.p, secret.n);
	crypto_sealed_close(public_key, slice_of(text, SEAL_INSIDE + secret.n), out);
	crypto_wipe(text, sizeof text);
	return SEAL_INSIDE + secret.n + CRYPTO_BOX_OVERHEAD;
}

static const uint8_t *master_of(struct slice masters, struct slice id)
{
	for (size_t at = 0; at + CRYPTO_BOX_KEY <= masters.n; at += CRYPTO_BOX_KEY) {
		const uint8_t *secret = (const uint8_t *)masters.p + at;
		uint8_t public_key[CRYPTO_BOX_KEY], its[SEAL_ID];
		crypto_sealed_public(secret, public_key);
		seal_id(public_key, its);
		if (slice_eq(id, slice_of(its, sizeof its)))
			return secret;
	}
	return NULL;
}

enum seal_result seal_open(struct slice masters, struct slice id,
			   const struct seal_bound *b, struct slice sealed,
			   uint8_t out[PROVIDER_KEY_MOST], size_t *n)
{
	uint8_t text[SEAL_INSIDE + PROVIDER_KEY_MOST], bound[32];
	const uint8_t *master = master_of(masters, id);
	enum seal_result result = SEAL_BROKEN;
	if (!master)
		return SEAL_NO_MASTER;
	if (sealed.n < SEAL_INSIDE + CRYPTO_BOX_OVERHEAD || sealed.n > SEAL_MOST ||
	    !crypto_sealed_open(master, sealed, text))
		return SEAL_BROKEN;
	digest(b, bound);
	if (text[0] == FORMAT && crypto_equal(text + 1, bound, sizeof bound)) {
		*n = sealed.n - CRYPTO_BOX_OVERHEAD - SEAL_INSIDE;
		memcpy(out, text + SEAL_INSIDE, *n);
		result = SEAL_OPEN;
	}
	crypto_wipe(text, sizeof text);
	return result;
}
