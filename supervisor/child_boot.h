/* SPDX-License-Identifier: Apache-2.0
 * What a child is told at its birth. */
#ifndef TB_CHILD_BOOT_H
#define TB_CHILD_BOOT_H

#include "common/strbuf.h"
#include "common/crypto.h"
#include "proto/wire.h"
#include "supervisor/master.h"

struct child;

/* What a BOOT borrows from. */
struct child_secrets {
	struct strbuf endpoints;
	struct master_keys masters;
	uint8_t seal_key[CRYPTO_BOX_KEY];
};

/* Fills b, which borrows from x and conninfo. secret: 32 bytes. */
void child_boot_fill(struct child *c, const uint8_t *secret, const char *conninfo,
		     struct child_secrets *x, struct wire_boot *b);
/* Overwrites and frees it, once BOOT is written. */
void child_boot_forget(struct child_secrets *x);

#endif
