/* SPDX-License-Identifier: Apache-2.0
 * The home of libsodium: randomness, hashes, constant-time comparison. */
#ifndef TB_CRYPTO_H
#define TB_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/slice.h"

/* Once at start, before any other call and before a seccomp filter. Dies when the library
 * cannot start. */
void crypto_init(void);
void crypto_random(void *out, size_t n);
void crypto_sha256(struct slice data, uint8_t out[32]);
/* The same in pieces: begin, add any number of times, end. */
struct crypto_sha256_state {
	uint64_t opaque[14];
};
void crypto_sha256_begin(struct crypto_sha256_state *s);
void crypto_sha256_add(struct crypto_sha256_state *s, struct slice data);
void crypto_sha256_end(struct crypto_sha256_state *s, uint8_t out[32]);
/* A fast one for who only has to know whether something is the same: BLAKE2b of 16 bytes.
 */
#define CRYPTO_DIGEST 16
void crypto_digest(struct slice data, uint8_t out[CRYPTO_DIGEST]);
/* HMAC-SHA-256, of a key of any length: who has the key can make it and check it. */
void crypto_hmac_sha256(struct slice key, struct slice data, uint8_t out[32]);
/* SipHash-2-4 with a 16-byte key. */
uint64_t crypto_siphash(const uint8_t key[16], struct slice data);
/* Compares without a data-dependent branch. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* Overwrites a secret; not optimised away. */
void crypto_wipe(void *p, size_t n);
/* Lower-case hex; out has 2 * n + 1 bytes. */
void crypto_hex(const void *data, size_t n, char *out);
/* URL-safe base64 without padding: the text form of secrets. out_size >= 4 * (n + 2) / 3
 * + 1. */
void crypto_base64url(const void *data, size_t n, char *out, size_t out_size);
/* Base64 as files have it, padded; likewise. */
void crypto_base64(const void *data, size_t n, char *out, size_t out_size);
/* The bytes of 2 * n hex digits, either case. False: they are not. */
bool crypto_unhex(struct slice text, void *out, size_t n);

/* ---- sealed boxes (X25519, XSalsa20-Poly1305): who has the public key can seal, who has
 * the secret one can open */
#define CRYPTO_BOX_KEY 32
#define CRYPTO_BOX_OVERHEAD 48
/* The public key of any 32 random bytes. */
void crypto_sealed_public(const uint8_t secret[32], uint8_t public_key[32]);
/* out: text.n + CRYPTO_BOX_OVERHEAD bytes. */
void crypto_sealed_close(const uint8_t public_key[32], struct slice text, uint8_t *out);
/* out: sealed.n - CRYPTO_BOX_OVERHEAD bytes. False: it was not sealed to this key, or was
 * changed since. */
bool crypto_sealed_open(const uint8_t secret[32], struct slice sealed, uint8_t *out);

#endif
