/* SPDX-License-Identifier: Apache-2.0
 * libsodium under this product's names. */
#include "common/crypto.h"

#include <sodium.h>

#include "common/die.h"

_Static_assert(crypto_hash_sha256_BYTES == 32, "sha256");
_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct crypto_sha256_state),
	       "sha256 state");
_Static_assert(crypto_auth_hmacsha256_BYTES == 32, "hmac");
_Static_assert(crypto_shorthash_siphash24_KEYBYTES == 16, "siphash key");

void crypto_init(void)
{
	if (sodium_init() < 0)
		fatal("libsodium cannot start: the kernel gives no randomness");
}

void crypto_random(void *out, size_t n)
{
	randombytes_buf(out, n);
}

void crypto_sha256(struct slice data, uint8_t out[32])
{
	crypto_hash_sha256(out, (const unsigned char *)data.p, data.n);
}

static crypto_hash_sha256_state *inside(struct crypto_sha256_state *s)
{
	return (crypto_hash_sha256_state *)(void *)s->opaque;
}

void crypto_sha256_begin(struct crypto_sha256_state *s)
{
	crypto_hash_sha256_init(inside(s));
}

void crypto_sha256_add(struct crypto_sha256_state *s, struct slice data)
{
	crypto_hash_sha256_update(inside(s), (const unsigned char *)data.p, data.n);
}

void crypto_sha256_end(struct crypto_sha256_state *s, uint8_t out[32])
{
	crypto_hash_sha256_final(inside(s), out);
}

void crypto_digest(struct slice data, uint8_t out[CRYPTO_DIGEST])
{
	crypto_generichash(out, CRYPTO_DIGEST, (const unsigned char *)data.p, data.n,
			   NULL, 0);
}

void crypto_hmac_sha256(struct slice key, struct slice data, uint8_t out[32])
{
	crypto_auth_hmacsha256_state s;
	crypto_auth_hmacsha256_init(&s, (const unsigned char *)key.p, key.n);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)data.p, data.n);
	crypto_auth_hmacsha256_final(&s, out);
	crypto_wipe(&s, sizeof s);
}

uint64_t crypto_siphash(const uint8_t key[16], struct slice data)
{
	uint8_t h[8];
	uint64_t v = 0;
	crypto_shorthash_siphash24(h, (const unsigned char *)data.p, data.n, key);
	for (int i = 7; i >= 0; i--)
		v = v << 8 | h[i];
	return v;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

void crypto_hex(const void *data, size_t n, char *out)
{
	sodium_bin2hex(out, n * 2 + 1, data, n);
}

void crypto_base64url(const void *data, size_t n, char *out, size_t out_size)
{
	sodium_bin2base64(out, out_size, data, n,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void crypto_base64(const void *data, size_t n, char *out, size_t out_size)
{
	sodium_bin2base64(out, out_size, data, n, sodium_base64_VARIANT_ORIGINAL);
}

bool crypto_unhex(struct slice text, void *out, size_t n)
{
	size_t got = 0;
	return text.n == 2 * n &&
	       sodium_hex2bin(out, n, text.p, text.n, NULL, &got, NULL) == 0 && got == n;
}

_Static_assert(crypto_box_SEALBYTES == CRYPTO_BOX_OVERHEAD, "sealed box");
_Static_assert(crypto_box_PUBLICKEYBYTES == CRYPTO_BOX_KEY &&
		       crypto_box_SECRETKEYBYTES == CRYPTO_BOX_KEY,
	       "sealed box's keys");

void crypto_sealed_public(const uint8_t secret[32], uint8_t public_key[32])
{
	crypto_scalarmult_base(public_key, secret);
}

void crypto_sealed_close(const uint8_t public_key[32], struct slice text, uint8_t *out)
{
	if (crypto_box_seal(out, (const unsigned char *)text.p, text.n, public_key))
		fatal("a secret cannot be sealed: the master key is no key");
}

bool crypto_sealed_open(const uint8_t secret[32], struct slice sealed, uint8_t *out)
{
	uint8_t public_key[32];
	crypto_sealed_public(secret, public_key);
	return sealed.n >= CRYPTO_BOX_OVERHEAD &&
	       crypto_box_seal_open(out, (const unsigned char *)sealed.p, sealed.n,
				    public_key, secret) == 0;
}
