/* SPDX-License-Identifier: Apache-2.0
 * When tokens were used last: told to Postgres a batch at a time, a token once a minute
 * at most, and never by the request that used it. */
#ifndef TB_EDGE_TOKEN_USES_H
#define TB_EDGE_TOKEN_USES_H

#include <stdint.h>

#include "common/ident.h"

struct edge;
struct token_uses;

struct token_uses *token_uses_new(struct edge *e);
/* NULL: nothing is noted. */
void token_uses_note(struct token_uses *u, int64_t tenant, struct uuid token);

#endif
