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

#endif
