/* SPDX-License-Identifier: Apache-2.0
 * The text of a bearer token: tb1.<tenant>.<token id>.<secret>; tenant 0 is the platform.
 */
#ifndef TB_EDGE_TOKEN_H
#define TB_EDGE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

#define TOKEN_SECRET_MIN 16u
#define TOKEN_SECRET_MAX 128u

struct token {
	int64_t tenant; /* 0: the platform */
	struct uuid id;
	struct slice secret; /* URL-safe base64 characters */
};

/* false: not of that form. The secret borrows from the text. */
bool token_parse(struct slice text, struct token *out);
/* The token of an Authorization field: "Bearer <token>", the word in any case. SLICE_NONE
 * for anything else. */
struct slice token_of_field(struct slice authorization);

/* A new one; the caller wipes it. */
struct token_text {
	struct uuid id;
	uint8_t sha256[32]; /* of the secret's text: all that is kept */
	char text[160];
};
/* id nil: a new one, too. */
void token_make(int64_t tenant, struct uuid id, struct token_text *out);
/* The same token, of another tenant: of one that had no number yet. */
void token_rename(int64_t tenant, struct token_text *t);

#endif
