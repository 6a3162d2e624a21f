/* SPDX-License-Identifier: Apache-2.0
 * The first tenant of a fresh database and the token of the state directory. */
#ifndef TB_CLI_TENANT_H
#define TB_CLI_TENANT_H

#include <stdint.h>

#include "cli/owner.h"
#include "common/ident.h"
#include "common/slice.h"

/* A token's text, "tb1.<tenant>.<token id>.<secret>", in its parts. 0, or -1 when it is
 * none. The secret borrows. */
struct tenant_token {
	long long tenant;
	struct uuid id;
	struct slice secret;
};
int tenant_token_parse(struct slice text, struct tenant_token *out);

/* A token yet to be written to the database. The caller wipes it. */
struct tenant_new_token {
	struct uuid id;
	uint8_t sha256[32]; /* of the secret's text */
	char text[160];
};
void tenant_token_new(int64_t tenant, struct tenant_new_token *out);

/* Makes tenant 1 with its agent unless there is a tenant. -1: reported. */
int tenant_first(struct owner *o);
/* Makes a token of tenant 1 and the file `token` unless that file holds one of this
 * database. -1: reported. */
int tenant_token(struct owner *o);

#endif
