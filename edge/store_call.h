/* SPDX-License-Identifier: Apache-2.0
 * What every question to Postgres on behalf of a call has in common. Private to the
 * stores. */
#ifndef TB_EDGE_STORE_CALL_H
#define TB_EDGE_STORE_CALL_H

#include "common/pg/pool.h"
#include "edge/call.h"
#include "edge/store.h"

/* How long a request waits for a connection before the client is told to come back. */
#define STORE_QUEUE_MS 3000

/* A request whose first statement names the tenant, for store_submit or
 * store_submit_load. */
struct pg_request *store_begin(struct edge *e, int64_t tenant);
/* What is nobody's question: a cache's load. The answer is the same for every end user.
 */
void store_submit_load(struct pg_request *r, pg_done_fn *done, void *arg);
/* What the call's end user may see, if it has one. The call waits for it: c->asking until
 * `done`, which gets a ticket as its argument. */
void store_submit(struct call *c, struct pg_request *r, pg_done_fn *done, void *out);
/* To be called first in `done`, once: the call that asked, woken, with c->asked set. NULL
 * when it is gone or the request failed; only otherwise *out may be touched. */
struct call *store_answered(void *ticket, const struct pg_answer *a, void **out);
void store_note_failure(const char *what, const struct pg_answer *a);
/* A copy of a text; NULL stays SLICE_NONE. */
struct slice store_keep(struct arena *a, const struct pg_result *r, int row, int col);
/* nil: NULL, which fits any. */
void store_add_filter(struct pg_params *p, struct uuid id);
/* Of a list: tenant, before, agent, session. */
void store_add_page(struct pg_params *p, const struct call *c,
		    const struct page_filter *f);

#endif
