/* SPDX-License-Identifier: Apache-2.0
 * Who calls: the bearer token, its tenant, its end user and its scopes. The tenant comes
 * from the credential alone. */
#ifndef TB_EDGE_AUTH_H
#define TB_EDGE_AUTH_H

#include "edge/call.h"

struct token_row;

enum auth_verdict { AUTH_YES, AUTH_ANSWERED, AUTH_WAIT };

/* Fills c->caller. ANSWERED: 401, 403, 404, 429 or 503 was replied. WAIT: the call is
 * woken when the token has been looked up. */
enum auth_verdict auth_check(struct call *c, unsigned scopes);
struct cache *auth_cache_new(struct edge *e);
/* A token was changed or revoked. */
void auth_invalidate(struct edge *e, struct uuid token);
/* A tenant was. */
void auth_invalidate_tenant(struct edge *e, int64_t tenant);
/* From now on long answers end with their token, also where nobody told this node that it
 * was revoked, and when its time is over: within half a minute. */
void auth_watch(struct edge *e);
/* Whether the row's token is good at this moment. */
bool auth_is_good(const struct token_row *row);

#endif
