/* SPDX-License-Identifier: Apache-2.0
 * A provider key at rest: a sealed box to the public half of a master key.
 *
 * Who takes keys in (the edge, the command line) can seal and not open; only workers
 * open. Sealed together with the key is what it is for: tenant, key id, provider and base
 * URL. So a row that was copied to another tenant, or whose address was changed, opens
 * for nobody, whoever wrote it. */
#ifndef TB_KEY_SEAL_H
#define TB_KEY_SEAL_H

#include <stdint.h>

#include "common/crypto.h"
#include "common/ident.h"
#include "common/slice.h"

#define PROVIDER_KEY_MOST 1000u
#define SEAL_ID 8 /* names a master key by its public half */
#define SEAL_INSIDE 33
#define SEAL_MOST (PROVIDER_KEY_MOST + SEAL_INSIDE + CRYPTO_BOX_OVERHEAD)

struct seal_bound {
	int64_t tenant; /* 0: the platform */
	struct uuid key;
	struct slice provider, base_url; /* base_url n 0: none of its own */
};

enum seal_result {
	SEAL_OPEN,
	SEAL_NO_MASTER, /* it is sealed to a master key that is not among these */
	SEAL_BROKEN     /* it was changed, cut, or is of another row */
};

void seal_id(const uint8_t public_key[CRYPTO_BOX_KEY], uint8_t id[SEAL_ID]);
/* Bytes written to out; secret.n is at most PROVIDER_KEY_MOST. */
size_t seal_close(const uint8_t public_key[CRYPTO_BOX_KEY], const struct seal_bound *b,
		  struct slice secret, uint8_t out[SEAL_MOST]);
/* masters: secret halves, CRYPTO_BOX_KEY bytes each. On SEAL_OPEN *n bytes of `out` are
 * the secret, which the caller wipes. */
enum seal_result seal_open(struct slice masters, struct slice id,
			   const struct seal_bound *b, struct slice sealed,
			   uint8_t out[PROVIDER_KEY_MOST], size_t *n);

#endif
