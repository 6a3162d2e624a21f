/* SPDX-License-Identifier: Apache-2.0
 * libsodium under this product's names. */
#include "common/crypto.h"

#include <sodium.h>

#include "common/die.h"

_Static_assert(crypto_hash_sha256_BYTES == 32, "sha256");
_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct crypto_sha256_state),
	       "sha256 state");
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
